"""The export panel of a run's page and the table of many pictures on Evaluate, by AppTest: what is offered, said, refused and kept."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import ConfigError, RunConfig
from core.evaluation import asked
from core.evaluation.asked import Answered
from core.evaluation.gathering import Picture, Refused
from core.export import formats
from core.export.desk import Export, ExportDesk
from core.export.export import EXPORTED, exports_folder
from core.export.formats import FORMATS
from core.records.evaluation import Work
from core.records.events import RunResult, RunStatus
from core.records.export import Different, Exported, Receipt
from core.store.checkpoint import checkpoint_path
from pages._parts.run import receipt_view
from pages._parts.run.receipt_view import sentence
from pages._parts.shared import words
from pages._parts.shared.services import Services
from tests.pages.pages_cases import errors, healthy, open_page, opened, press, shown
from tests.pages.test_run_page import begun

RECEIPT = Receipt(
    "onnxruntime", 359, 359, 1.2e-6, {"1": 2.1, "32": 0.7}, {"1": 3.0, "32": 1.5}, 4321, "ab" * 32, {"onnx": "1.23.2", "torch": "2.14.1"}
)
NASTY = 'it"s | *a*\ncat <b>'
OTHER = replace(
    RECEIPT,
    same_top1=357,
    largest_difference=0.25,
    different=(Different(7, NASTY, "cat", 0.6, NASTY, 0.55), Different(9, "", "dog", 1.0, None, None)),
)


def finished(shared: Services, *epochs: int) -> str:
    """A run that has ended, with the weights of these epochs; the last are those that it ended with. The files are empty: nothing reads them here."""
    run_id = begun(shared, epochs=3)
    folder = shared.home.run_folder(run_id)
    for epoch in (*epochs, 3):
        path = checkpoint_path(folder, epoch, 36 * epoch, final=epoch == 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    shared.store.end(run_id, RunStatus.FINISHED, RunResult(3, 108, 0.1, 0.95, 0.3, 0.9, 0.3, 0.912, 2.0, 575.0, None))
    return run_id


def exported(
    shared: Services, run_id: str, name: str, receipt: Receipt | None, format: str = "onnx", beside: tuple[str, ...] = (), **more: Any
) -> Exported:
    folder = exports_folder(shared.home, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    for part in (name, *beside):
        (folder / part).write_bytes(part.encode())
    made = Exported(folder / name, format, 4321, receipt, beside=tuple(folder / part for part in beside), epoch=3, made=1.0, **more)
    (folder / f".{name}.export.json").write_bytes(EXPORTED.dump_json(made))
    return made


def panel(run_id: str) -> AppTest:
    return opened(open_page("train.py", run=run_id), f"export_{run_id}")


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


@pytest.fixture(autouse=True)
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: object())


@pytest.fixture
def desk(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A desk that notes what it is asked; `state` is what it says, `raises` what it refuses with."""
    told: dict[str, Any] = {"state": None, "begun": [], "cancelled": [], "dismissed": []}

    def begin(self: ExportDesk, run_id: str, format: str, epoch: int | None = None, output: object = None, force: bool = False) -> None:
        if "raises" in told:
            raise told["raises"]
        told["begun"].append((run_id, format, epoch, force))

    monkeypatch.setattr(ExportDesk, "begin", begin)
    monkeypatch.setattr(ExportDesk, "state", lambda self, run_id: told["state"])
    monkeypatch.setattr(ExportDesk, "cancel", lambda self, run_id: told["cancelled"].append(run_id))
    monkeypatch.setattr(ExportDesk, "dismiss", lambda self, run_id: told["dismissed"].append(run_id))
    return told


# Exports


def test_each_format_is_offered_with_a_sentence_and_the_weights_of_kept_epochs(shared_services: Services, desk: dict[str, Any]) -> None:
    run_id = finished(shared_services, 0, 1)
    closed = open_page("train.py", run=run_id)
    assert not [radio for radio in closed.radio if radio.label == "Format"], "nothing is read before the box is open"
    app = panel(run_id)
    (format,) = [radio for radio in app.radio if radio.label == "Format"]
    assert format.options == [entry.label for entry in FORMATS.values()]
    assert list(format.proto.captions) == [words.plain(entry.about) for entry in FORMATS.values()]
    (weights,) = [box for box in app.selectbox if box.label == "Weights"]
    assert weights.options == ["the newest", "before training", "after epoch 1"]
    assert "The newest are those after epoch 3, step 108." in shown(app)
    assert "No exports of this run yet." in shown(app)
    weights.set_value(1)
    format.set_value("safetensors")
    app = press(healthy(app.run()), "Export as safetensors")
    assert desk["begun"] == [(run_id, "safetensors", 1, False)]
    app = healthy(app.radio[0].set_value("report").run())
    assert not [box for box in app.selectbox if box.label == "Weights"], "a report is about all epochs"
    press(app, "Export as Report")
    assert desk["begun"][1:] == [(run_id, "report", None, False)]


def test_a_missing_package_is_said_with_its_command_and_nothing_can_be_pressed(
    shared_services: Services, desk: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else object())
    app = panel(finished(shared_services))
    app.radio[0].set_value("onnx")
    app = healthy(app.run())
    assert "ONNX needs `onnxscript`, which is not installed here" in shown(app)
    (command,) = [code.value for code in app.code if "pip" in code.value]
    assert command == FORMATS["onnx"].install
    assert command.endswith("requirements-export.txt")
    assert "Export as ONNX" not in labels(app)


def test_what_goes_on_is_shown_after_a_refresh_and_can_be_cancelled(shared_services: Services, desk: dict[str, Any]) -> None:
    run_id = finished(shared_services)
    desk["state"] = Export("onnx", None, Work("working", 0.42, "answering with *ONNX* Runtime"))
    app = open_page("train.py", run=run_id)  # the box was not opened: it opens by itself
    (bar,) = [element for element in app.get("progress") if "ONNX" in element.proto.text]
    assert bar.proto.value == 42
    assert "Answering with \\*ONNX\\* Runtime · 42" in bar.proto.text
    assert not [label for label in labels(app) if label.startswith("Export as")]
    press(app, "Cancel")
    assert desk["cancelled"] == [run_id]


@pytest.mark.parametrize("how", ["failed", "refused"])
def test_an_export_that_fails_says_why(shared_services: Services, desk: dict[str, Any], how: str) -> None:
    run_id = finished(shared_services)
    if how == "failed":
        desk["state"] = Export("onnx", None, Work("failed", message="the exporter refuses *this* model"))
        assert "The exporter refuses \\*this\\* model." in errors(panel(run_id))
        return
    app = panel(run_id)
    desk["raises"] = ConfigError("run", "it is *gone*")
    assert "It is \\*gone\\*." in errors(press(app, "Export as PyTorch weights"))
    del desk["raises"]
    assert "gone" not in errors(press(app, "Export as PyTorch weights")), "it is said until the next try"


def test_a_file_that_is_there_is_written_over_only_after_a_question(shared_services: Services, desk: dict[str, Any]) -> None:
    run_id = finished(shared_services)
    name = f"{run_id}-epoch-3.pth"
    exported(shared_services, run_id, name, RECEIPT, "pth")
    app = panel(run_id)
    assert "Export as PyTorch weights" not in labels(app), "a popover in its place"
    assert f"`{name}` is there already" in shown(app)
    press(app, "Replace it")
    assert desk["begun"] == [(run_id, "pth", None, True)]


def test_receipts_are_tables_and_other_answers_are_said_loudly(shared_services: Services, desk: dict[str, Any]) -> None:
    run_id = finished(shared_services)
    made = exported(shared_services, run_id, "good.onnx", RECEIPT, told=("Mind *this*.",))
    app = panel(run_id)
    text = shown(app)
    assert (
        "359 of 359 pictures: same class; largest difference 0.000001; "
        "2.1\N{NO-BREAK SPACE}ms a picture alone, 0.7\N{NO-BREAK SPACE}ms in batches of 32" in text
    )
    assert "| Same class | **359 of 359** test pictures |" in text
    assert "| A picture in batches of 32 | 0.7\N{NO-BREAK SPACE}ms (the run's model in PyTorch: 1.5\N{NO-BREAK SPACE}ms) |" in text
    assert "Mind \\*this\\*." in text
    assert str(made.path) in [code.value for code in app.code]
    assert not errors(app)
    exported(shared_services, run_id, "bad.onnx", OTHER)
    app = panel(run_id)
    assert "2 of 359 test pictures get another class" in errors(app)
    (table,) = [element.value for element in app.markdown if "The run says" in element.value]
    rows = table.splitlines()
    assert len(rows) == 4
    assert rows[2].count("|") - rows[2].count("\\|") == 4, "a name with a bar and a line break is still one cell"
    assert "<b>" not in rows[2].replace("\\<b>", "")
    assert rows[3] == "| no. 9 of the test set | dog, 100.0\N{NO-BREAK SPACE}% | nothing: not finite |"
    desk["state"] = Export("onnx", None, Work("done", 1.0), replace(made, receipt=OTHER))
    assert "357 of 359 pictures: same class" in errors(panel(run_id)), "also beside the button"


def test_sentences_of_receipts() -> None:
    assert "largest difference 0, equal to the bit" in sentence(replace(RECEIPT, largest_difference=0.0))
    assert "largest difference 2e-09;" in sentence(replace(RECEIPT, largest_difference=2.3e-9))
    assert "largest difference not known, since some outputs are not finite" in sentence(replace(RECEIPT, largest_difference=None))
    assert sentence(replace(RECEIPT, milliseconds={})).endswith("0.000001")


def test_an_export_is_downloaded_with_what_it_needs_and_deleted_after_a_question(shared_services: Services, desk: dict[str, Any]) -> None:
    run_id = finished(shared_services)
    alone = exported(shared_services, run_id, "a.onnx", RECEIPT, beside=("a.onnx.receipt.json",))
    script = exported(shared_services, run_id, "run.py", None, "script", beside=("pictures.csv",))
    for made, inside in ((alone, {"a.onnx", "a.onnx.receipt.json"}), (script, {"run.py", "pictures.csv"})):
        with zipfile.ZipFile(io.BytesIO(receipt_view.packed(made))) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == {name: name.encode() for name in inside}
    folder = exported(shared_services, run_id, "events", None, "tensorboard")
    folder.path.unlink()
    (folder.path / "deep").mkdir(parents=True)
    (folder.path / "deep" / "events.1").write_bytes(b"x")
    with zipfile.ZipFile(io.BytesIO(receipt_view.packed(folder))) as archive:
        assert archive.namelist() == ["events/deep/events.1"]
    app = panel(run_id)
    assert "`a.onnx` and what lies beside it are removed" in shown(app)
    healthy(app.button(key="export_surely_a.onnx").click().run())
    assert {path.name for path in exports_folder(shared_services.home, run_id).iterdir() if not path.name.startswith(".")} == {
        "run.py",
        "pictures.csv",
        "events",
    }
    assert desk["dismissed"] == [run_id]


def test_a_run_without_weights_and_one_that_goes_on_say_so(shared_services: Services, desk: dict[str, Any]) -> None:
    waiting = shared_services.store.create_run(RunConfig(model="small_cnn", image_size=32))
    assert "nothing to take away yet" in "\n".join(info.value for info in panel(waiting).info)
    going_on = begun(shared_services)
    path = checkpoint_path(shared_services.home.run_folder(going_on), 1, 36)
    path.parent.mkdir(parents=True)
    path.touch()
    assert "The run goes on: those are meant that it has kept when the export begins." in shown(panel(going_on))


# Many pictures


def answered(shared: Services, run_id: str, count: int = 3, **changes: Any) -> str:
    """The key of a question that has its answer: pictures of ten classes, one of which was left out."""
    key = asked.ask_uploads(shared.home, run_id, None, [("a.png", b"x")])
    shares = np.full((count, 10), 0.05, np.float32)
    labels = np.arange(count) % 10
    shares[np.arange(count), labels] = 0.55
    pictures = tuple(Picture(f"{number}.png", Path("/nowhere"), 0, f"{number}.png") for number in range(count))
    values: dict[str, Any] = {"refused": (Refused("bad *one*.png", "not an image"),), "notes": ("Mind *this*.",), "thumbnails": ("data:,",) * count}
    values |= changes
    made = Answered(run_id, 3, 108, "my *photos*", tuple("0123456789"), pictures, labels, shares, seconds=1.2, **values)
    asked.keep(shared.home, key, made)
    return key


@pytest.fixture
def evaluated(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> str:
    run_id = finished(shared_services, 0, 1)
    monkeypatch.setattr(shared_services.lab._evaluating, "_home", shared_services.home)
    monkeypatch.setattr(type(shared_services.lab), "test_pictures", lambda lab, run: 359)
    return run_id


def test_a_table_comes_back_after_a_refresh_with_what_was_left_out(shared_services: Services, evaluated: str) -> None:
    app = open_page("evaluate.py", run=evaluated, many=answered(shared_services, evaluated))
    text = shown(app)
    assert "**my \\*photos\\*: 3 pictures**, by the weights after epoch 3" in text
    assert "0: 1 · 1: 1 · 2: 1" in text
    assert "Mind \\*this\\*." in text
    assert "1 picture could not be used and is not in the table" in text
    left_out, table = (frame.value for frame in app.dataframe)
    assert left_out.to_numpy().tolist() == [["bad *one*.png", "not an image"]]
    assert table["file"].tolist() == ["0.png", "1.png", "2.png"]
    assert table["predicted"].tolist() == ["0", "1", "2"]
    assert table["probability"].tolist() == pytest.approx([0.55] * 3)
    assert [column for column in table.columns if column.startswith("class ")] == [f"class {label}" for label in range(10)]
    assert "other weights are chosen" not in text
    app = open_page("evaluate.py", run=evaluated, epoch="1", many=answered(shared_services, evaluated))
    assert "other weights are chosen than those that made this table" in shown(app)
    assert "Predict again with these weights" in labels(app)


def test_a_large_table_is_cut_on_the_screen_alone(shared_services: Services, evaluated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages._parts.evaluate.many.MOST_ROWS", 2)
    monkeypatch.setattr("pages._parts.evaluate.many.MOST_CLASSES", 4)
    app = open_page("evaluate.py", run=evaluated, many=answered(shared_services, evaluated, 5, refused=(), thumbnails=()))
    (table,) = (frame.value for frame in app.dataframe)
    assert len(table) == 2
    assert list(table.columns) == ["file", "predicted", "probability", "class 0", "class 1", "class 2", "class 3"]
    assert "The first 2 of 5: the CSV file has all." in shown(app)
    assert "The columns of 4 of 10 classes: the CSV file has all." in shown(app)


@pytest.mark.parametrize("key", ["0123456789abcdef", "../../etc", "x"])
def test_a_link_to_a_table_that_is_not_kept_says_so(shared_services: Services, evaluated: str, key: str) -> None:
    assert "It was made long ago, or the link is of another machine" in shown(open_page("evaluate.py", run=evaluated, many=key))


def test_a_path_that_is_not_there_is_refused_and_the_table_of_before_stays(shared_services: Services, evaluated: str) -> None:
    app = open_page("evaluate.py", run=evaluated, many=answered(shared_services, evaluated))
    (path,) = [box for box in app.text_input if box.label.startswith("A folder, zip file")]
    path.set_value("/no/such *folder*")
    app = press(app, "Predict")
    assert "There is no file or folder /no/such \\*folder\\*; check the path." in errors(app)
    assert "3 pictures" in shown(app)
