"""What the Evaluate screen says where there is nothing to show, its words, and the PyTorch beside it. The rest is in test_browser_evaluate."""

from __future__ import annotations

import ast
import html
import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.code.evaluation import evaluation_code
from core.config import RunConfig
from core.data import prepare
from core.evaluation import pictures
from core.lab.lab import Lab
from core.machine.home import Home
from core.networks import models
from core.records.evaluation import Bin, ClassScore, Difference, Evaluation, Guess, Interval, Prediction, Sample, Work
from core.records.events import RunPlan, RunStatus
from core.store import Run, RunStore
from core.store.checkpoint import Checkpoint, checkpoint_path
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.compare import square
from pages._parts.evaluate.pictures import tile
from pages._parts.evaluate.subject import NEWEST, Subject, in_words, kept_of, up_to
from pages._parts.evaluate.try_it import last_fine
from tests.support import ROOT

TINY = RunConfig(model="small_cnn", image_size=16, epochs=2, threads=1, device="cpu")
PLAN = RunPlan((), 36, 72, tuple("0123456789"), 1150, 287, 359, "cpu")
NOTHING = Interval(None, None, None)


def share(value: float) -> Interval:
    return Interval(value, value - 0.05, value + 0.05)


def evaluated(confusion: list[list[int]], bins: tuple[Bin, ...] = ()) -> Evaluation:
    """An evaluation with this confusion matrix; what the test does not look at is made up."""
    scores = tuple(ClassScore(str(label), sum(row), 0, NOTHING, NOTHING, NOTHING) for label, row in enumerate(confusion))
    names = tuple(score.name for score in scores)
    samples = sum(map(sum, confusion))
    matrix = tuple(map(tuple, confusion))
    return Evaluation("run", 1, 36, names, samples, 0.2, share(0.9), None, None, None, share(0.9), scores, share(0.1), bins, matrix, 0, 0.1)


# Words


@pytest.mark.parametrize(
    ("row", "column", "place"), [(0, 0, "upper left"), (3, 3, "centre"), (6, 0, "lower left"), (3, 6, "middle right"), (0, 3, "upper centre")]
)
def test_heat_is_said_to_lie_where_it_lies(row: int, column: int, place: str) -> None:
    heat = np.full((7, 7), 0.01)
    heat[row, column] = 1.0
    assert place in evaluation_words.where_hot(heat.tolist())


def test_heat_everywhere_and_heat_nowhere_are_said_to_be_so() -> None:
    assert evaluation_words.where_hot([[0.5] * 4] * 4) == "spread over the whole picture"
    assert evaluation_words.where_hot([[0.7]]) == "spread over the whole picture"  # a layer of one place knows of no other
    assert "no heat" in evaluation_words.where_hot([[0.0, 0.0], [0.0, 0.0]])
    assert "no heat" in evaluation_words.where_hot([[float("nan")]])


def test_largest_confusions_come_first_and_what_is_right_is_none_of_them() -> None:
    found = evaluated([[50, 1, 0], [7, 90, 2], [0, 0, 4]])
    assert evaluation_words.confusions(found, 10) == [(1, 0, 7), (1, 2, 2), (0, 1, 1)]
    assert evaluation_words.confusions(found, 1) == [(1, 0, 7)]
    assert evaluation_words.confusions(found, 10, of=2) == [(1, 2, 2)], "of one class: what it is taken for, and what for it"
    assert evaluation_words.confusions(evaluated([[3, 0], [0, 3]]), 5) == []


def test_comparison_says_who_is_better_only_where_chance_hardly_explains_it() -> None:
    clear = evaluation_words.verdict(Difference(tuple(range(30)), (30, 31), 300, 5, 1.2e-7), "A", "B")
    assert "that speaks for A" in clear
    assert "less than once in 10,000" in clear
    unclear = evaluation_words.verdict(Difference((0, 1, 2), (3,), 300, 5, 0.625), "A", "B")
    assert "no proof that A is better" in unclear
    assert "62" in unclear or "63" in unclear
    even = evaluation_words.verdict(Difference((0, 1, 2), (3, 4, 5, 6), 300, 5, 1.0), "A", "B")
    assert "would come by chance 100\N{NO-BREAK SPACE}% of the time" in even
    assert "there is no difference" in evaluation_words.verdict(Difference((), (), 300, 5, 1.0), "A", "B")
    assert "nothing speaks for either" in evaluation_words.verdict(Difference((1,), (2,), 300, 5, 1.0), "A", "B")


@pytest.mark.parametrize(("predicted", "confidence"), [(1, 0.991), (0, 0.5), (1, 1.0), (None, None)])
def test_a_figure_below_a_picture_is_not_parted_from_its_unit(predicted: int | None, confidence: float | None) -> None:
    drawn = tile(cast("Subject", SimpleNamespace(classes=("cat", "dog"))), Sample(69, "", 0, predicted, confidence))
    assert not re.search(r"\d %|no\. \d", drawn.about), "an ordinary space may become the end of a line"
    assert re.search(r"no\.\s69$", drawn.about)
    assert confidence is None or f"{100 * confidence:.1f}\N{NO-BREAK SPACE}% sure" in drawn.about


def test_square_counts_every_picture_once() -> None:
    numbers = [int(text) for text in re.findall(r"<b>(\d+)</b>", square(Difference((1, 2), (3,), 90, 7, 1.0)))]
    assert numbers == [90, 2, 1, 7]
    assert "90.0\N{NO-BREAK SPACE}%" in html.unescape(square(Difference((1, 2), (3,), 90, 7, 1.0)))


def test_last_layer_with_enough_places_is_found_in_few_looks() -> None:
    layers = [f"layer{number}" for number in range(64)]
    looks: list[str] = []

    def found(fine: int) -> str:
        looks.clear()

        def has_places(layer: str) -> bool:
            looks.append(layer)
            return int(layer[5:]) < fine

        return last_fine(layers, has_places)

    assert [found(fine) for fine in (1, 2, 40, 63)] == ["layer0", "layer1", "layer39", "layer62"]
    assert len(looks) <= 8
    assert found(64) == "layer63"
    assert looks == ["layer63"]
    assert found(0) == "layer63"  # none is: the usual one


# Which weights


def at(epoch: int, step: int, final: bool = False) -> Checkpoint:
    return Checkpoint(epoch, step, Path("file"), final)


def test_final_weights_take_the_place_of_their_epoch() -> None:
    assert kept_of([at(0, 0), at(1, 36), at(2, 72, True)], at(2, 72, True)) == (0, 1, NEWEST)
    # Early stopping brought the weights of epoch 1 back.
    assert kept_of([at(0, 0), at(1, 36), at(1, 36, True), at(2, 72)], at(1, 36, True)) == (0, NEWEST, 2)


def test_run_that_was_stopped_in_its_first_epoch_has_weights_before_and_after() -> None:
    last = at(0, 20, True)
    assert kept_of([at(0, 0), last], last) == (0, NEWEST)


def test_weights_that_came_later_are_left_out_until_they_are_asked_for() -> None:
    found = [at(0, 0), at(1, 36), at(2, 72)]
    assert up_to(found, 36) == (found[0], found[1])
    assert up_to(found, 71)[-1] == found[1]
    assert kept_of(up_to(found, 36), found[1]) == (0, NEWEST)
    assert up_to(found[1:], 0) == ()


def test_weights_are_named_after_what_they_are(store: RunStore) -> None:
    run = written(store, RunStatus.STOPPED)
    assert in_words(run, at(2, 72, True)) == "after epoch 2 (final)"
    assert in_words(run, at(1, 60, True)) == "after step 60 (final)"
    assert in_words(replace(run, status=RunStatus.RUNNING), at(0, 0)) == "before training (newest)"


# Where there is nothing to show


def written(store: RunStore, status: RunStatus, planned: bool = True) -> Run:
    """A run as its worker would have left it, without weights."""
    run_id = store.create_run(TINY)
    if planned:
        store.begin(run_id, PLAN)
    if status == RunStatus.FAILED:
        store.end(run_id, status, error="model: it cannot be built\nTraceback")
    elif status != RunStatus.QUEUED:
        store.set_status(run_id, status)
    return store.run(run_id)


def open_page(home: Home, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("THAW_HOME", str(home.path))
    app = AppTest.from_file(ROOT / "pages" / "_app.py", default_timeout=60).run()
    app.switch_page("evaluate.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception[0].value
    return app


def said(app: AppTest) -> str:
    parts: list[Any] = [*app.info, *app.error, *app.warning, *app.markdown, *app.caption]
    return "\n".join(f"{getattr(part.proto, 'title', '')} {part.value}" for part in parts)


def test_screen_without_a_run_says_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(home, monkeypatch)
    assert "There is no run yet. Train a model first" in said(app)
    assert not app.selectbox


@pytest.mark.parametrize(
    ("status", "planned", "words"),
    [
        (RunStatus.QUEUED, False, "getting ready"),
        (RunStatus.RUNNING, True, "has kept no weights yet"),
        (RunStatus.FAILED, False, "ended before it kept any. model: it cannot be built"),
        (RunStatus.STOPPED, True, "files were deleted, or it was stopped before its first step"),
    ],
)
def test_run_without_weights_says_why(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, status: RunStatus, planned: bool, words: str
) -> None:
    run = written(store, status, planned)
    app = open_page(home, monkeypatch, run=run.id)
    assert words in said(app)
    assert app.selectbox[0].value == run.id


def test_deleted_run_is_named_and_another_one_shown(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = written(store, RunStatus.STOPPED)
    app = open_page(home, monkeypatch, run="20250101-000000-dead")
    assert "There is no run 20250101-000000-dead" in said(app)
    assert app.selectbox[0].value == other.id


def test_newest_run_with_weights_that_went_well_is_chosen_before_newer_ones(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    older, went_wrong = written(store, RunStatus.STOPPED), written(store, RunStatus.FAILED)
    for run in (older, went_wrong):
        file = checkpoint_path(home.run_folder(run.id), 1, 36, True)
        file.parent.mkdir(parents=True)
        file.write_bytes(b"no weights, but a name")
    written(store, RunStatus.STOPPED)
    assert open_page(home, monkeypatch, view="nonsense", epoch="nonsense", cell="99-x", picture="../../secret").selectbox[0].value == older.id


# A picture that is brought along


@pytest.mark.parametrize(("method", "said_of"), [("umap", "umap"), ("PCA", "PCA"), ("pca", ""), ("t-sne", ""), ("", "")])
def test_a_link_to_the_map_with_an_unknown_projection_says_what_is_shown_instead(
    method: str, said_of: str, home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = written(store, RunStatus.STOPPED)
    for epoch, step, final in ((0, 0, False), (1, 36, True)):
        file = checkpoint_path(home.run_folder(run.id), epoch, step, final)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")
    asked: list[str] = []

    def embedding(lab: Lab, run_id: str, before: int | None, after: int | None, method: str, retry: bool = False) -> tuple[Work, None]:
        asked.append(method)
        return Work("failed", message="not now"), None

    monkeypatch.setattr(Lab, "embedding", embedding)
    app = open_page(home, monkeypatch, run=run.id, view="map", **({"method": method} if method else {}))
    complaints_of_link = [element.value for element in app.warning if "projection" in element.value]
    assert set(asked) == {method if method and not said_of else "pca"}
    if not said_of:
        assert complaints_of_link == []
        return
    (complaint,) = complaints_of_link
    assert complaint == f"The link asks for the projection '{said_of}', which there is not; this is PCA. There are PCA and t-SNE."
    app.button_group(key="evaluate_method").set_value("t-sne")
    app.run()
    assert [element.value for element in app.warning if "projection" in element.value] == []


def picture(side: int = 40) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def trying(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """ "Try it" with its box for uploads, over a lab that looks at the picture and knows one class."""
    run = written(store, RunStatus.STOPPED)
    file = checkpoint_path(home.run_folder(run.id), 1, 36, True)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")

    def predict(lab: Lab, run_id: str, source: int | str, epoch: int | None = None) -> Prediction:
        if isinstance(source, str):
            pictures.open_picture(Path(source), 16, as_files=True)
        return Prediction("data:,", (Guess(3, "three", 0.9),), 1, 36)

    monkeypatch.setattr(Lab, "predict", predict)
    monkeypatch.setattr(Lab, "samples", lambda *_: ())
    monkeypatch.setattr(Lab, "cam_layers", lambda *_: ())
    app = open_page(home, monkeypatch, run=run.id)
    return choose(app, "Upload")


def choose(app: AppTest, where: str) -> AppTest:
    app.session_state["evaluate_from"] = where
    return healthy(app.run())


def healthy(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def bring(app: AppTest, name: str, data: bytes) -> AppTest:
    return healthy(app.file_uploader[0].set_value((name, data, "image/png")).run())


def complaints(app: AppTest) -> list[str]:
    return [f"{error.proto.title} {error.value}" for error in app.error]


def test_an_error_belongs_to_the_upload_that_it_is_about(trying: AppTest) -> None:
    app = bring(trying, "notes.png", b"these are only notes")
    assert ["notes.png" in each for each in complaints(app)] == [True]
    assert complaints(bring(app, "good.png", picture())) == []
    assert "good.png" in str(app.query_params["picture"])
    (again,) = complaints(bring(app, "more.png", b"still only notes"))
    assert "more.png" in again
    assert complaints(healthy(app.file_uploader[0].clear().run())) == [], "it was taken away"


def test_an_upload_that_turns_out_to_be_broken_is_not_kept(trying: AppTest, home: Home) -> None:
    app = bring(trying, "half.png", picture()[:-200])
    assert "half.png" in complaints(app)[0]
    assert list((home.cache / "uploads").iterdir()) == []
    assert "picture" not in app.query_params
    assert "half.png" in complaints(healthy(app.run()))[0], "why it is not there stays to be seen"
    assert complaints(bring(app, "good.png", picture())) == []
    assert [file.name.partition("-")[2] for file in (home.cache / "uploads").iterdir()] == ["good.png"]


# The PyTorch


@pytest.mark.usefixtures("one_thread")
def test_evaluation_code_runs_as_it_stands_on_the_very_test_set_of_the_run(tmp_path: Path, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    model = models.build(TINY.model, 10, TINY.image_size)
    file = tmp_path / "weights.pth"
    torch.save(model.state_dict(), file)
    names: dict[str, Any] = {}
    exec(compile(evaluation_code(TINY, PLAN.classes, str(file)), "script.py", "exec"), names)
    test = prepare(TINY, home, lambda text, share: None).test
    batches = [(batch.labels, batch.images) for batch in test.batches(0)]
    assert torch.equal(names["labels"], torch.cat([labels for labels, _ in batches]))
    right = (names["predicted"] == names["labels"]).float().mean().item()
    printed = capsys.readouterr().out
    assert f"359 test images, loss {torch.nn.functional.cross_entropy(names['logits'], names['labels']):.4f}, accuracy {right:.1%}" in printed
    assert int(names["confusion"].sum()) == 359
    picture = tmp_path / "picture.png"
    from PIL import Image

    Image.new("RGBA", (30, 20), "white").save(picture)
    names["predict"](picture)
    assert len(capsys.readouterr().out.splitlines()) == 5
    heat = names["grad_cam"](picture, "stage2", target=3)
    assert heat.shape == (4, 4)
    assert heat.max() == 1 or not heat.any()  # nothing speaks for the class


@pytest.mark.parametrize("config", [RunConfig(model="resnet18", dataset="CIFAR10"), RunConfig(model="resnet18", dataset="EuroSAT", head_hidden=16)])
def test_evaluation_code_of_other_datasets_is_python_and_imports_what_it_uses(config: RunConfig) -> None:
    text = evaluation_code(config, PLAN.classes, "weights.pth")
    compile(text, "script.py", "exec")
    assert ("stratified_split" in text) == (config.dataset == "EuroSAT")
    tree = ast.parse(text)
    imported = {name.asname or name.name for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert imported <= used
    for name in ("np", "nn", "torch", "torchvision", "Dataset", "Path", "Image", "ImageOps", "datasets", "v2", "F", "hashlib"):
        assert (name in used) == (name in imported), name
    assert "core" not in imported
