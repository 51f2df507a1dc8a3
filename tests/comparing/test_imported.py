"""Curves from elsewhere: event files and CSV, whole, damaged and still being written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from core.commands.cli import main
from core.comparing import imported, sent
from core.comparing.imported import curve_of, meaning_of, steps_of_an_epoch
from core.config import ConfigError
from core.machine.home import Home


def events(folder: Path, steps: int = 20, name: str = "events.out.tfevents.1.host") -> Path:
    """A file as `torch.utils.tensorboard` writes it: a record for each scalar."""
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        for step in range(1, steps + 1):
            values = [Summary.Value(tag="loss/train", simple_value=1 / step), Summary.Value(tag="Accuracy/val", simple_value=step / 100)]
            record = Event(wall_time=1000.0 + step, step=step, summary=Summary(value=values)).SerializeToString()
            length = struct.pack("<Q", len(record))
            file.write(length + struct.pack("<I", masked_crc32c(length)) + record + struct.pack("<I", masked_crc32c(record)))
    return folder / name


def test_a_folder_of_event_files_is_a_training_for_each_folder(tmp_path: Path) -> None:
    events(tmp_path / "logs" / "first")
    events(tmp_path / "logs" / "second", 5)
    found = imported.read(tmp_path / "logs")
    assert [one.name for one in found] == ["logs/first", "logs/second"]
    curves = {curve.name: curve for curve in found[0].curves}
    assert curves["loss/train"].meaning == "loss"
    assert curves["Accuracy/val"].meaning == "validation_accuracy"
    assert curves["loss/train"].value.tolist() == pytest.approx([1 / step for step in range(1, 21)])
    assert curves["loss/train"].time.tolist() == list(range(20))
    assert found[0].said == ()


def test_a_file_that_is_still_written_gives_what_is_there_and_the_rest_later(tmp_path: Path) -> None:
    file = events(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2 + 5])
    (before,) = imported.read(tmp_path)
    assert 0 < len(before.curves[0].step) < 20
    assert "could not be read: it is damaged there, or still being written" in before.said[0]
    file.write_bytes(whole)
    (after,) = imported.read(tmp_path)
    assert len(after.curves[0].step) == 20
    assert imported.id_of(before.source, before.name) == imported.id_of(after.source, after.name)


def test_what_a_browser_sends_is_read_by_folder_leads_nowhere_else_and_is_gone_afterwards(home: Home, tmp_path: Path) -> None:
    content = events(tmp_path).read_bytes()
    table = b"step,loss\n1,2.0\n2,1.0\n"
    files = {"exp/a/events.out.tfevents.1": content, "exp/b/events.out.tfevents.1": content[:300], "../../loss <b>.csv": table, "/empty.csv": b""}
    folder = sent.lay_out(home, files.items())
    assert folder.parent == home.cache
    assert {path.parent.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {"exp/a", "exp/b", sent.ALONE}
    found = sent.read(folder)
    sources = ["exp/a", "exp/b", "loss <b>.csv"]
    assert [one.source for one in found] == [f"sent by a browser: {source}" for source in sources]
    assert "empty.csv" in found[0].said[-1]
    assert "could not be read" in found[1].said[0]
    sent.throw_away(home.cache)
    sent.throw_away(folder)
    assert home.cache.is_dir()
    assert not folder.exists()
    with pytest.raises(ConfigError, match="nothing was sent"):
        sent.read(folder)


@pytest.mark.parametrize("at", [0.0, 0.3, 0.99])
def test_a_damaged_file_gives_what_came_before_the_damage(tmp_path: Path, at: float) -> None:
    file = events(tmp_path)
    content = bytearray(file.read_bytes())
    place = int(at * len(content))
    content[place : place + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(bytes(content))
    if at == 0.0:
        with pytest.raises(ConfigError, match=r"nothing to draw.*could not be read"):
            imported.read(tmp_path)
    else:
        (found,) = imported.read(tmp_path)
        assert 0 < len(found.curves[0].step) < 20
        assert found.said


def test_what_is_no_event_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"curves: no event file .* lies in"):
        imported.read(tmp_path)
    (tmp_path / "events.out.tfevents.2").write_bytes(b"hello")
    with pytest.raises(ConfigError, match=r"5 of 5 bytes of events.out.tfevents.2 could not be read"):
        imported.read(tmp_path)
    with pytest.raises(ConfigError, match="there is nothing at"):
        imported.read(tmp_path / "nowhere")


def csv(tmp_path: Path, text: str, name: str = "metrics.csv") -> list[imported.Imported]:
    path = tmp_path / name
    path.write_text(text)
    return imported.read(path)


def test_a_csv_of_lightning_with_holes_is_read_column_by_column(tmp_path: Path) -> None:
    (found,) = csv(tmp_path, "epoch,step,train_loss,val_acc\n0,10,2.0,\n0,20,,0.5\n1,30,1.0,\n1,40,,0.75\n")
    assert [(curve.name, curve.meaning, curve.step.tolist(), curve.value.tolist()) for curve in found.curves] == [
        ("train_loss", "loss", [10, 30], [2.0, 1.0]),
        ("val_acc", "validation_accuracy", [20, 40], [0.5, 0.75]),
    ]
    assert found.per_epoch is None, "one change of epoch says where the second began, not how long one is"


@pytest.mark.parametrize(
    ("steps", "epochs", "found"),
    [
        (range(1, 13), [1] * 4 + [2] * 4 + [3] * 4, 4.0),
        ([10, 20, 30], [0.5, 1.0, 1.5], 20.0),
        ([1, 2], [1, 1], None),
        ([], [], None),
        ([5], [1], None),
    ],
)
def test_steps_of_an_epoch_follow_from_where_it_changes(steps: list[int], epochs: list[float], found: float | None) -> None:
    assert steps_of_an_epoch(list(steps), epochs) == found


def test_a_csv_of_tensorboard_is_called_like_its_file(tmp_path: Path) -> None:
    (found,) = csv(tmp_path, "Wall time,Step,Value\n100.5,1,0.9\n101.5,2,0.8\n", "run_val_loss.csv")
    assert [(curve.name, curve.meaning, curve.time.tolist()) for curve in found.curves] == [("run_val_loss", "validation_loss", [0.0, 1.0])]


def test_a_long_table_is_a_training_for_each_run_it_names(tmp_path: Path) -> None:
    hostile = '<img src=x onerror="alert(1)">'
    found = csv(tmp_path, f'run,step,loss\na,1,1\na,2,2\n"{hostile.replace(chr(34), chr(34) * 2)}",1,5\n')
    assert [(one.name, one.curves[0].value.tolist()) for one in found] == [("a", [1.0, 2.0]), (hostile, [5.0])]


def test_lines_and_values_that_do_not_fit_are_counted_and_the_rest_is_shown(tmp_path: Path) -> None:
    (found,) = csv(tmp_path, "step,loss\n1,2\n2,oops\n3,1,7,8\n4,nan\n5,0.5\n")
    assert found.curves[0].step.tolist() == [1, 2, 4, 5]
    assert np.isnan(found.curves[0].value[1:3]).all()
    assert any("1 line has more columns" in said for said in found.said)
    assert any("1 of 'loss'" in said for said in found.said)


@pytest.mark.parametrize("text", ["", "step,name\n1,x\n", "\x00\x01\x02"])
def test_a_csv_without_curves_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="^curves: "):
        csv(tmp_path, text)


def test_what_was_written_twice_at_a_step_counts_once_as_it_was_last() -> None:
    curve = curve_of("loss", [(1, 1.0, 0.0), (2, 2.0, 1.0), (2, 9.0, 2.0), (1, 5.0, 3.0)])
    assert (curve.step.tolist(), curve.value.tolist()) == ([1, 2], [5.0, 9.0])


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("loss/step", "loss"), ("Loss/val", "validation_loss"), ("valLoss", "validation_loss"), ("eval/loss", "validation_loss"),
        ("accuracy/training", "accuracy"), ("val_acc", "validation_accuracy"), ("learning_rate/learning_rate", "rate"), ("lr", "rate"),
        ("loss/test", ""), ("gradient_norm/fc.weight", ""), ("speed", ""), ("box_loss", ""), ("glossy", ""),
    ],
)  # fmt: skip
def test_names_say_beside_what_a_curve_is_drawn(name: str, meaning: str) -> None:
    assert meaning_of(name) == meaning


def test_imported_curves_are_kept_listed_removed_and_brought_back(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("step,loss\n1,2\n")
    assert main(["curves", str(path), "--name", "mine", "--home", str(home.path)]) == 0
    (id,) = imported.listed(home)
    assert imported.load(home, id).name == "mine"
    assert main(["curves", "--remove", id, "--home", str(home.path)]) == 0
    assert imported.listed(home) == {}
    assert main(["curves", "--remove", id, "--home", str(home.path)]) == 2
    assert main(["curves", "--restore", id, "--home", str(home.path)]) == 0
    assert list(imported.listed(home)) == [id]
    (home.path / "curves" / f"{id}.npz").write_bytes(b"damaged")
    assert imported.listed(home) == {}
    with pytest.raises(ConfigError, match="damaged"):
        imported.load(home, id)
    for hostile in ("../../etc/passwd", "curves-../../../../x", ""):
        with pytest.raises(ConfigError, match="names no imported curves"):
            imported.load(home, hostile)
    capsys.readouterr()
