"""Weights taken away: each format answers, in its own runtime and without Thaw, as the run does; what cannot be had is said, and leaves nothing."""

from __future__ import annotations

import csv
import errno
import json
import os
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors import safe_open

from core.commands.cli import main
from core.config import ConfigError
from core.config.errors import Cancelled
from core.evaluation import evaluate
from core.export import export as exporting
from core.export import formats, onnx_file, predict_code, pth, receipt, weights
from core.export.export import delete, earlier, export, exports_folder
from core.export.formats import FORMATS
from core.export.subject import Subject
from core.machine import children, files
from core.machine.bits import same
from core.machine.children import Nursery
from core.machine.home import Home
from core.machine.jobs import Child
from core.records.events import RunStatus
from core.records.export import Exported
from core.store import Run, RunStore
from core.store.checkpoint import newest
from tests.export.export_cases import CLASSES, ODD, draw, trained

pytestmark = pytest.mark.timeout(600)

WITH_RECEIPT = [name for name, entry in FORMATS.items() if entry.receipt]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.from_environment(str(tmp_path_factory.mktemp("exports") / "home"))


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(home: Home) -> Run:
    """Of folders with odd names; its network has BatchNorm, and its head dropout."""
    draw(home.path / "photos", 15, 0)
    return trained(home, dataset=f"folder:{home.path / 'photos'}", head_hidden=8, head_dropout=0.5, epochs=2)


@pytest.fixture(scope="module")
def made(home: Home, run: Run) -> dict[str, Exported]:
    """Every format that has a receipt, exported in this process and run in another each, with an interpreter of its own."""
    return {name: export(home, run.id, name) for name in WITH_RECEIPT}


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """A nursery that has imported torch for the processes that run exported models."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(children, "NURSERY", "tests.nursery.exported")
        made = Nursery(tmp_path_factory.mktemp("runners") / "nursery.log")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _run_in_forked_processes(runners: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test exports itself is run in a process that was forked: `made` has shown already what interpreters answer."""
    interpreters = children.Interpreters.start

    def start(self: children.Interpreters, module: str, *arguments: Any, **options: Any) -> Child:
        if module != "core.export.runner" or self is runners._interpreters:
            return interpreters(self, module, *arguments, **options)
        return runners.start(module, *arguments, **{**options, "patient": True})

    monkeypatch.setattr(children, "JOBS", ("core.export.runner",))
    monkeypatch.setattr(children.Interpreters, "start", start)


def subject_of(home: Home, run: Run) -> Subject:
    return Subject(home, RunStore(home.database), run, newest(home, run))


def left_in(home: Home, run: Run) -> set[str]:
    folder = exports_folder(home, run.id)
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.mark.parametrize("name", WITH_RECEIPT)
def test_each_format_gives_the_same_answers_and_has_a_receipt_beside_it(name: str, made: dict[str, Exported], home: Home, run: Run) -> None:
    found = made[name]
    assert found.receipt is not None
    assert run.plan is not None
    assert found.receipt.pictures == run.plan.test_samples > 0
    assert found.receipt.same, found.receipt.different
    assert found.receipt.largest_difference is not None
    assert found.receipt.largest_difference < 1e-5
    assert set(found.receipt.milliseconds) == set(found.receipt.original_milliseconds) == {"1", "32"}
    assert min(found.receipt.milliseconds.values()) > 0
    assert found.bytes == found.receipt.bytes == found.path.stat().st_size
    assert found.receipt.versions["torch"] == version("torch")
    assert found.epoch == 2
    assert found.told == ()
    beside = json.loads(found.path.with_name(f"{found.path.name}.receipt.json").read_text())
    assert beside["digest"] == found.receipt.digest
    assert len(found.receipt.digest) == 64


def test_the_weights_of_a_pth_are_those_of_the_run_and_need_no_pickle(made: dict[str, Exported], home: Home, run: Run) -> None:
    kept = torch.load(home.run_folder(run.id) / "weights.pth", weights_only=True)
    found = torch.load(made["pth"].path, weights_only=True)
    assert list(found) == list(kept)
    assert all(same(found[name], kept[name]) for name in kept)


def test_safetensors_carry_what_belongs_to_the_weights(made: dict[str, Exported], home: Home, run: Run) -> None:
    kept = torch.load(home.run_folder(run.id) / "weights.pth", weights_only=True)
    with safe_open(made["safetensors"].path, "pt") as file:
        about = file.metadata()
        assert all(same(file.get_tensor(name), kept[name]) for name in kept)
        assert set(file.keys()) == set(kept)
    assert tuple(json.loads(about["classes"])) == tuple(sorted(CLASSES))
    assert (about["image_size"], about["fit"], about["model"], about["epoch"]) == ("16", "crop", "small_cnn", "2")
    assert len(json.loads(about["mean"])) == len(json.loads(about["std"])) == 3


def test_onnx_is_one_file_that_takes_bytes_and_any_number_of_pictures(made: dict[str, Exported], home: Home, run: Run) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path = made["onnx"].path
    assert [file.name for file in path.parent.glob("[!.]*.onnx*") if not file.name.startswith(f"{path.name}.")] == [path.name]
    assert not list(path.parent.glob("*.data"))
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("pictures", "tensor(uint8)", [3, 16, 16])
    pictures = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16)).astype(np.uint8)
    loaded = evaluate.load(home, run.id)
    expected = loaded.logits(torch.from_numpy(pictures)).numpy()
    for number in (1, 5):
        (found,) = session.run(None, {"pictures": pictures[:number]})
        np.testing.assert_allclose(found, expected[:number], atol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(about["classes"])) == tuple(sorted(CLASSES))
    assert about["fit"] == "crop"


def test_a_torch_export_takes_any_number_of_pictures_and_says_what_it_is(made: dict[str, Exported]) -> None:
    extra = {"about.json": ""}
    program = torch.export.load(made["torch-export"].path, extra_files=extra)
    assert json.loads(json.loads(extra["about.json"])["classes"]) == sorted(CLASSES)
    for number in (1, 7):
        assert program.module()(torch.zeros(number, 3, 16, 16, dtype=torch.uint8)).shape == (number, len(CLASSES))


def test_a_bundle_predicts_on_another_machine_without_thaw(made: dict[str, Exported], home: Home, run: Run, tmp_path: Path) -> None:
    assert run.plan is not None
    with zipfile.ZipFile(made["bundle"].path) as archive:
        archive.extractall(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"weights.pth", "predict.py", "config.json", "classes.json", "README.md"}
    assert json.loads((tmp_path / "classes.json").read_text()) == sorted(CLASSES)
    card = (tmp_path / "README.md").read_text()
    assert "<b>" not in card
    assert "&lt;b&gt;bold &amp; more" in card
    assert f"{run.plan.test_samples} test pictures" in card
    code = (tmp_path / "predict.py").read_text()
    assert "core" not in code.replace("scores", "")
    picture = home.path / "photos" / CLASSES[1] / "0.jpg"
    done = subprocess.run(
        [sys.executable, "-I", "predict.py", str(picture)], cwd=tmp_path, capture_output=True, text=True, check=False, env={}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    loaded = evaluate.load(home, run.id)
    likeliest = evaluate.predict(loaded, *evaluate.picture(loaded, picture)).guesses[0]
    assert f"{likeliest.name} {likeliest.probability:.1%}" in done.stdout


def test_a_bundle_can_be_a_folder(home: Home, run: Run, tmp_path: Path) -> None:
    found = export(home, run.id, "bundle", epoch=1, output=tmp_path / "taken")
    assert found.path.is_dir()
    assert found.receipt is not None
    assert found.receipt.same
    assert json.loads((found.path / "config.json").read_text())["epoch"] == found.epoch == 1
    with pytest.raises(ConfigError, match="there already"):
        export(home, run.id, "bundle", output=tmp_path / "taken")
    again = export(home, run.id, "bundle", output=tmp_path / "taken", force=True)
    assert (again.path, again.epoch) == (found.path, 2)
    (found.path / "mine.txt").write_text("a person's own")
    zipped = exporting.target_of(subject_of(home, run), FORMATS["bundle"], tmp_path / "taken", force=True)
    assert zipped == found.path / f"{run.id}-epoch-2.zip", "a folder with something of somebody's own is never replaced, but put into"
    with pytest.raises(ConfigError, match="somebody's own"):
        exporting.target_of(subject_of(home, run), FORMATS["tensorboard"], tmp_path / "taken", force=True)
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "events.out.tfevents.1").write_bytes(b"")
    assert exporting.target_of(subject_of(home, run), FORMATS["tensorboard"], tmp_path / "events", force=True) == tmp_path / "events"


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("dataset", ["photos", "digits"])
def test_predict_reads_a_picture_as_thaw_does(fit: str, dataset: str, home: Home, run: Run, tmp_path: Path) -> None:
    config = run.config.replace(fit=fit, image_size=20, **({} if dataset == "photos" else {"dataset": "digits"}))
    loaded = replace(evaluate.load(home, run.id), config=config)
    code = predict_code.predict_code(predict_code.Made(config, CLASSES, "a test"), "torch", "weights.pth")
    (tmp_path / "predict.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "predict.py"))
    pictures = sorted((home.path / "photos").rglob("[0-7].*"))
    assert len(pictures) == 8 * len(CLASSES)
    for path in pictures:
        expected, _ = evaluate.picture(loaded, path)
        assert np.array_equal(names["picture"](path), expected[0].numpy()), path


def test_predict_reads_deep_pictures_by_the_range_of_the_run(home: Home, run: Run, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "deep.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 4000, (40, 30)).astype(np.uint16)).save(path)
    loaded = replace(evaluate.load(home, run.id), value_range=(100.0, 3000.0))
    for value_range in ((100.0, 3000.0), None):
        code = predict_code.predict_code(predict_code.Made(run.config, CLASSES, "a test", value_range), "onnxruntime", "model.onnx")
        (tmp_path / "predict.py").write_text(code.replace("import onnxruntime\n", ""))
        names = runpy.run_path(str(tmp_path / "predict.py"))
        if value_range is None:
            with pytest.raises(SystemExit, match="more than 8 bits"):
                names["picture"](path)
        else:
            assert np.array_equal(names["picture"](path), evaluate.picture(loaded, path)[0][0].numpy())


def test_names_with_line_breaks_and_marks_come_through_whole(home: Home, run: Run, tmp_path: Path) -> None:
    odd = subject_of(home, run)
    odd.known["loaded"] = replace(weights.loaded_of(odd), classes=ODD)
    for name, file in (("safetensors", "w.safetensors"), ("onnx", "m.onnx"), ("torch-export", "m.pt2"), ("bundle", "folder")):
        target = tmp_path / name / file
        target.parent.mkdir()
        FORMATS[name].writer(odd, target, lambda text, share: None, lambda: False)
        script = target / "predict.py" if target.is_dir() else target.with_name(f"{file}.predict.py")
        text = script.read_text(encoding="utf-8")
        assert tuple(runpy.run_path(str(script), run_name="not main")["CLASSES"]) == ODD
        assert "'''" not in text.splitlines()[0]
    with safe_open(tmp_path / "safetensors" / "w.safetensors", "pt") as weights_file:
        assert tuple(json.loads(weights_file.metadata()["classes"])) == ODD
    card = (tmp_path / "bundle" / "folder" / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert tuple(json.loads((tmp_path / "bundle" / "folder" / "classes.json").read_text(encoding="utf-8"))) == ODD


def test_the_script_is_a_file_that_ends_with_the_weights_of_the_run_in_an_empty_folder(home: Home, run: Run, tmp_path: Path) -> None:
    digits = trained(home, epochs=1, validation_share=0.8, head_dropout=0.3, early_stopping=1, seed=3)
    for number, of in enumerate((run, digits)):
        folder = tmp_path / str(number) / "it's empty"
        folder.mkdir(parents=True)
        found = export(home, of.id, "script", output=folder / "run.py")
        assert found.receipt is None
        assert ("change ROOT" in " ".join(found.told)) == (of is run)
        assert "bit for bit" in " ".join(found.told)
        listed = folder / "run.pictures.csv"
        assert listed.is_file() == (of is run)
        assert set(found.beside) == ({listed} if of is run else set())
        if of is run:
            with listed.open(encoding="utf-8", newline="") as file:
                assert {row["part"] for row in csv.DictReader(file)} == {"train", "validation", "test"}
        done = subprocess.run(
            [sys.executable, "-I", str(folder / "run.py")], cwd=tmp_path, capture_output=True, text=True, check=False, env={}, timeout=300
        )
        assert done.returncode == 0, done.stderr
        real = torch.load(home.run_folder(of.id) / "weights.pth", weights_only=True)
        shown = torch.load(folder / "weights.pth", weights_only=True)
        assert [name for name in real if not same(real[name], shown[name])] == []


def test_answers_that_differ_are_named_picture_by_picture(home: Home, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def turned(subject: Subject) -> Mapping[str, torch.Tensor]:
        state = weights.state_of(subject)
        name = [name for name in state if name.endswith("bias")][-1]
        state[name] = state[name] + torch.tensor([0.0, 1e4, 0.0])  # whatever it sees, the second class comes first
        return state

    monkeypatch.setattr(pth, "state_of", turned)
    found = export(home, run.id, "pth", output=tmp_path / "w.pth")
    assert found.receipt is not None
    assert not found.receipt.same
    assert found.receipt.largest_difference is not None
    assert found.receipt.largest_difference > 0.01
    (said,) = found.told
    assert said.startswith("THE ANSWERS DIFFER: on ")
    names = sorted(CLASSES)
    for row in found.receipt.different:
        assert row.exported == names[1] != row.original
        assert row.file in said or len(found.receipt.different) > 10
    assert len(found.receipt.different) == found.receipt.pictures - found.receipt.same_top1


def test_logits_that_are_not_finite_are_no_answer_and_are_counted() -> None:
    test: Any = SimpleNamespace(images=range(4), files=("a/1.png", "a/2.png", "b/1.png", "b/2.png"), notes=())
    figures = {"milliseconds": {"1": 1.0, "32": 1.0}, "versions": {}}
    logits = np.array([[0, 1, 2], [np.nan, 0, 0], [3, 0, 0], [0, 5, 0]], np.float32)
    other = logits.copy()
    other[2] = [np.inf, 0, 0]
    other[3, 1] = 4.5
    found = receipt.compare(logits, other, CLASSES, [0, 1, 2, 3], test, FORMATS["pth"], figures, {"1": 1.0, "32": 1.0}, 1, "")
    assert (found.pictures, found.same_top1, found.same) == (4, 3, False)
    (row,) = found.different
    assert (row.index, row.file, row.original, row.exported, row.exported_probability) == (2, "b/1.png", CLASSES[0], None, None)
    assert found.largest_difference == pytest.approx(np.exp(5) / (np.exp(5) + 2) - np.exp(4.5) / (np.exp(4.5) + 2), abs=1e-6)
    assert found.notes == (
        "For 1 of 4 pictures the original and the exported model both give NaN or infinite numbers: that is no answer.",
        "For 1 pictures one of the two gives NaN or infinite numbers: they are in no difference.",
    )
    assert "b/1.png" in receipt.told(found)[0]
    alike = receipt.compare(logits, logits, CLASSES, [0, 1, 2, 3], test, FORMATS["pth"], figures, {"1": 1.0, "32": 1.0}, 1, "")
    assert alike.same
    assert receipt.told(alike) == found.notes[:1], "said aloud, although both agree"
    assert "exported: no answer" in receipt.told(found)[0]
    nothing = receipt.compare(logits * np.nan, other * np.nan, CLASSES, [0, 1, 2, 3], test, FORMATS["pth"], figures, {}, 1, "")
    assert (nothing.same, nothing.largest_difference) == (True, None)


def test_a_receipt_looks_at_so_many_pictures_at_most_evenly_spread() -> None:
    assert receipt.chosen_of(2_000) == list(range(2_000))
    chosen = receipt.chosen_of(70_001)
    assert len(set(chosen)) == 2_000
    assert (chosen[0], chosen[-1]) == (0, 70_000)


@pytest.mark.parametrize("name", ["pth", "safetensors"])
def test_another_run_can_start_from_what_was_exported(name: str, made: dict[str, Exported], home: Home, run: Run) -> None:
    config = run.config.model_dump(exclude={"starting_weights", "learning_rate", "epochs"})
    again = trained(home, **config, starting_weights=str(made[name].path), learning_rate=1e-9, epochs=1)
    for key, value in torch.load(home.run_folder(again.id) / "weights.pth", weights_only=True).items():
        if value.is_floating_point() and "running" not in key:
            torch.testing.assert_close(value, torch.load(made["pth"].path, weights_only=True)[key], atol=1e-5, rtol=0)


def test_a_run_whose_pictures_are_gone_is_exported_without_a_receipt_and_says_so(home: Home, run: Run, tmp_path: Path) -> None:
    photos = home.path / "photos"
    photos.rename(home.path / "elsewhere")
    try:
        found = export(home, run.id, "pth", output=tmp_path / "w.pth")
    finally:
        (home.path / "elsewhere").rename(photos)
    assert found.receipt is None
    assert found.path.is_file()
    assert found.told[0].startswith("There is no receipt, since the test pictures cannot be had: ")
    assert not (tmp_path / "w.pth.receipt.json").exists()


def test_what_cannot_be_exported_is_said_and_leaves_nothing(home: Home, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = left_in(home, run)
    (tmp_path / "file").write_text("a person's own")
    for arguments, field, said in (
        ({"format": "onx"}, "format", "did you mean onnx"),
        ({"format": "pth", "epoch": 77}, "epoch", "were not kept; choose one of 0, 1, 2"),
        ({"format": "pth", "output": tmp_path / "file"}, "output", "there already; give another name, or replace it with --force"),
        ({"format": "pth", "output": tmp_path / "file" / "w.pth"}, "output", "could not be written"),
        ({"format": "script", "output": ""}, "output", "no path is given"),
    ):
        with pytest.raises(ConfigError, match=said) as raised:
            export(home, run.id, **arguments)
        assert raised.value.field == field
    with pytest.raises(ConfigError, match="there is no run 'nobody'"):
        export(home, "nobody", "pth")
    assert (tmp_path / "file").read_text() == "a person's own"

    def full(part: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(files, "_sync", full)
        with pytest.raises(ConfigError, match=r"No space left on device.*free some space"):
            export(home, run.id, "script", output=tmp_path / "run.py", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert left_in(home, run) == before


def test_an_existing_file_is_replaced_only_where_that_is_asked_for(home: Home, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "run.py"
    target.write_text("a person's own")
    command = ["export", run.id, "--format", "script", "--output", str(target), "--home", str(home.path)]
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "a person's own"
    assert main([*command, "--force", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"path", "format", "bytes", "receipt"} <= told.keys()
    assert (told["path"], told["format"], told["receipt"]) == (str(target), "script", None)
    assert "plain PyTorch" in target.read_text()


def test_the_command_line_prints_the_receipt(home: Home, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", run.id, "--format", "pth", "--epoch", "0", "--output", str(tmp_path), "--json", "--home", str(home.path)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["path"] == str(tmp_path / f"{run.id}-epoch-0.pth")
    assert told["receipt"].keys() >= {"pictures", "same_top1", "largest_difference", "milliseconds", "versions"}
    assert told["receipt"]["same_top1"] == told["receipt"]["pictures"]
    assert told["bytes"] == Path(told["path"]).stat().st_size


def test_a_run_that_goes_on_gives_the_newest_epoch_that_it_has_kept_and_says_which(home: Home, run: Run) -> None:
    going = replace(run, status=RunStatus.RUNNING)
    said = list(exporting._which(subject_of(home, going), FORMATS["pth"], None))
    assert said[0].startswith("The run still goes on: these are its weights after epoch 2 (step ")
    assert list(exporting._which(subject_of(home, going), FORMATS["pth"], 2)) == []
    assert list(exporting._which(subject_of(home, run), FORMATS["pth"], None)) == []


def test_a_network_whose_layers_have_versions_comes_back_from_its_weights(home: Home, run: Run, tmp_path: Path) -> None:
    """torchvision's MNASNet refuses a state_dict without what torch keeps beside the tensors: `ValueError: version should be set to 1 or 2`."""
    found = trained(home, model="mnasnet0_5", dataset=run.config.dataset, image_size=32, epochs=1)
    by_hand = torchvision.models.mnasnet0_5(num_classes=len(CLASSES))
    by_hand.load_state_dict(torch.load(home.run_folder(found.id) / "weights.pth", weights_only=True))
    for name in ("pth", "safetensors"):
        made = export(home, found.id, name, output=tmp_path / name)
        assert made.receipt is not None
        assert made.receipt.same


def test_a_run_without_weights_has_none_to_export(home: Home, tmp_path: Path) -> None:
    store = RunStore(home.database)
    run_id = store.create_run(trained(home, epochs=1, validation_share=0.9).config)
    for name in WITH_RECEIPT:
        with pytest.raises(ConfigError, match="has not saved weights yet"):
            export(home, run_id, name)
    with pytest.raises(ConfigError, match="has not begun to train"):
        export(home, run_id, "script")
    assert not exports_folder(home, run_id).exists() or not list(exports_folder(home, run_id).iterdir())


def test_a_missing_extra_is_said_with_its_command(home: Home, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name.startswith("onnx") else real(name))
    assert FORMATS["onnx"].missing == ("onnx", "onnxscript", "onnxruntime")
    with pytest.raises(ConfigError, match=r"which are not installed; install .*requirements-export\.txt"):
        export(home, run.id, "onnx")
    assert FORMATS["pth"].missing == ()


def test_weights_that_one_onnx_file_cannot_hold_are_refused(home: Home, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(ConfigError, match="one ONNX file holds 0 GB at most; export it as torch-export"):
        export(home, run.id, "onnx", force=True)


def test_an_exported_model_that_cannot_be_run_is_no_export(home: Home, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pth, "state_of", lambda subject: {"nothing": torch.zeros(1)})
    with pytest.raises(ConfigError, match=r"the exported model cannot be run by torch \(RuntimeError: "):
        export(home, run.id, "pth", output=tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["pth", "torch-export"])
def test_an_export_that_is_given_up_leaves_nothing(name: str, home: Home, run: Run, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(Cancelled):
        export(home, run.id, name, output=tmp_path / "w", progress=lambda text, share: told.append(text), cancelled=lambda: bool(told[1:]))
    assert list(tmp_path.iterdir()) == []
    assert not [path for path in home.cache.iterdir() if path.name.startswith("receipt-")]


def test_exports_of_a_run_are_listed_and_can_be_deleted(home: Home, run: Run, made: dict[str, Exported]) -> None:
    listed = {found.path.name: found for found in earlier(home, run.id)}
    assert {found.format for found in listed.values()} >= set(made)
    assert listed[made["pth"].path.name] == made["pth"]
    with pytest.raises(ConfigError, match=r"no export of"):
        delete(home, run.id, "../../weights.pth")
    script = export(home, run.id, "script")
    assert earlier(home, run.id)[0] == script
    delete(home, run.id, script.path.name)
    assert not script.path.exists()
    assert not any(path.exists() for path in script.beside)
    assert script.path.name not in {found.path.name for found in earlier(home, run.id)}
