"""The report: one file that loads nothing, whatever the run came to and is called."""

from __future__ import annotations

import re
import shutil
import sqlite3
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Browser

from bench.synthetic import SyntheticRun
from core.config import RunConfig
from core.config.errors import Cancelled
from core.export import report, report_evaluation, report_layers
from core.machine.home import Home
from core.records.evaluation import Evaluation
from core.records.events import ChangeRow, Layer, RunStatus
from core.records.findings import Diagnosis, Finding, Remedy
from core.store import RunStore, saving
from core.worker.process import work
from tests.export.report_cases import EVIL, empty, never, quiet, recorded, subject, target
from tests.pages.test_contrast import contrast, over

NETWORK = "tiny: conv 8, norm, relu, pool, conv 16, norm, relu, global pool"

TINY = RunConfig(
    dataset="digits", model=NETWORK, image_size=16, batch_size=64, epochs=2, threads=1, learning_rate=0.03, timeline="2: !conv1", freeze="head only"
)

VOID = {"meta", "img", "image", "path", "rect", "circle", "stop", "br", "col"}


class Page(HTMLParser):
    """What is in a page: its elements with their attributes, its text, and whether elements end in the order in which they begin."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.said.append(data)

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(" ".join(self.said).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def written(home: Home, run_id: str, tmp_path: Path) -> tuple[Page, str, tuple[str, ...]]:
    """The report of a run: parsed, as text, and what was told."""
    file = target(tmp_path, "report.html")
    told = report.write(subject(home, run_id), file, quiet, never)
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    assert_sound(page, text)
    return page, text, told


def assert_sound(page: Page, text: str) -> None:
    """Well-formed, with nothing from outside, nothing that runs, and a text for each picture."""
    assert page.wrong == []
    assert not page.of("script")
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
    assert not re.search(r"@import|url\((?!#)", text)
    assert all(attributes.get("alt") for attributes in page.of("img"))
    assert all(attributes.get("aria-label") or attributes.get("aria-hidden") for attributes in page.of("svg"))
    assert len(page.of("table")) == len(page.of("caption"))
    assert len(page.of("h1")) == 1
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)


def in_line(text: str) -> str:
    """With common spaces, as `Page.text` has them."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """A home with a run on digits that has finished: its head learned, then a layer more."""
    home = Home.from_environment(str(tmp_path_factory.mktemp("home")))
    run_id = RunStore(home.database).create_run(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "SHARE", 1e9)  # every epoch is worth keeping, however quick it was
        assert work(home, run_id) == RunStatus.FINISHED
    return home, run_id


@pytest.fixture(scope="module")
def whole(trained: tuple[Home, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, tuple[str, ...]]:
    return written(*trained, tmp_path_factory.mktemp("out"))


Written = tuple[Page, str, tuple[str, ...]]


def test_a_finished_run_has_all_its_parts(whole: Written) -> None:
    page, _, told = whole
    assert told == ()
    wanted = ["Summary", "Findings", "Test", "Curves", "Gradients and freezing", "Freeze audit", "Settings and surroundings", "Worst mistakes"]
    assert [name for name in wanted if name not in page.text] == []
    labels = [attributes.get("aria-label") or "" for attributes in page.of("svg")]
    for start in ("Training loss", "Accuracy", "Loss by epoch", "Heatmap of the gradient norms", "Freeze lane", "Reliability"):
        assert any(label.startswith(start) for label in labels), start
    assert "frozen and verified" in page.text
    assert "import torch" in page.text


def test_its_figures_are_those_of_the_evaluation(trained: tuple[Home, str], whole: Written) -> None:
    from core.evaluation.predictions import open_predictions

    made = open_predictions(*trained, None)
    assert made is not None
    found = made.evaluation
    assert in_line(report_evaluation.interval(found.accuracy)) in whole[0].text
    assert in_line(report_evaluation.interval(found.per_class[3].f1)) in whole[0].text
    wrong = int((~made.right).sum())
    assert f"{wrong:,} of {found.samples:,} test pictures are wrong" in whole[0].text
    assert len(whole[0].of("img")) == min(wrong, report_evaluation.MOST_MISTAKES)
    cells = [int(number) for number in re.findall(r'<td class="(?:right|wrong)[^>]*>(\d+)</td>', whole[1])]
    assert sum(cells) == found.samples


def test_changes_of_the_timeline_are_listed_and_drawn(trained: tuple[Home, str], whole: Written) -> None:
    (change,) = RunStore(trained[0].database).changes_after(trained[1])
    assert f"1 {change.step:,} conv1 learns timeline" in whole[0].text
    assert "steps 1 to" in whole[1]  # a stretch of the freeze lane


def test_what_was_set_stands_apart_from_what_is_usual(whole: Written) -> None:
    own, usual = whole[0].text.split("All others are the usual ones:")
    assert "learning_rate 0.03" in own
    assert "weight_decay:" in usual


@pytest.mark.parametrize("status", [None, *(status for status in RunStatus if not status.active)])
def test_every_ending_and_hostile_names_give_a_sound_report(home: Home, tmp_path: Path, status: RunStatus | None) -> None:
    """NaN, frozen and unmeasured figures, a name, a note, classes and an error of markup."""
    page, text, told = written(home, recorded(home, status, classes=(EVIL, "b")), tmp_path)
    assert in_line(EVIL) in page.text
    assert EVIL not in text
    assert "123579456" not in page.text.partition("Summary")[0]  # nothing in braces was worked out
    assert "has no weights" in page.text
    assert any("has no weights" in sentence for sentence in told)
    assert "not a number" in page.text
    if status is None:
        assert any("still trains" in sentence for sentence in told)
    if status == RunStatus.FAILED:
        assert "Why it ended" in page.text


def test_a_run_that_failed_before_its_first_step_has_a_report_of_its_failure(home: Home, tmp_path: Path) -> None:
    page, _, _ = written(home, empty(home, f"Traceback\nValueError: {EVIL}"), tmp_path)
    assert "It has recorded no step" in page.text
    assert "There is no script" in page.text
    assert "<script" not in page.text.partition("Why it ended")[0]


def test_findings_are_told_with_what_to_do(home: Home, tmp_path: Path) -> None:
    run_id = recorded(home)
    finding = Finding("rule", "serious", f"title {EVIL}", "the cause", "not where meant", "loss", 1, 2, (), Remedy("lower the rate"), 3, 4)
    RunStore(home.database).set_findings(run_id, Diagnosis(4, True, ("rule",), (finding,)))
    page, _, _ = written(home, run_id, tmp_path)
    for said in ("1 finding, 1 of them gone since", "the cause", "lower the rate", "since step 3, gone at step 4", "A false alarm? not where meant"):
        assert said in page.text


def test_deleted_pictures_cost_the_pictures_and_nothing_else(tmp_path: Path, trained: tuple[Home, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from core.config import ConfigError
    from core.evaluation import evaluate, test_set

    def gone(*_: Any) -> Any:
        raise ConfigError("dataset", "the folder /x is not there; bring it back")

    monkeypatch.setattr(test_set, "open_test_set", gone)
    monkeypatch.setattr(evaluate, "open_test_set", gone)
    page, _, _ = written(*trained, tmp_path)
    assert "Their pictures cannot be shown: the folder /x is not there; bring it back." in page.text
    assert "Macro F1" in page.text
    assert not page.of("img")


def test_without_pictures_and_earlier_figures_the_report_says_why_there_is_no_test(
    tmp_path: Path, trained: tuple[Home, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.config import ConfigError
    from core.evaluation import evaluate

    def gone(*_: Any) -> Any:
        raise ConfigError("dataset", "the folder /x is not there; bring it back")

    home = Home.from_environment(str(tmp_path / "copy"))
    shutil.copytree(trained[0].path, home.path, dirs_exist_ok=True)
    shutil.rmtree(home.run_folder(trained[1]) / "evaluations")
    monkeypatch.setattr(evaluate, "open_test_set", gone)
    page, _, told = written(home, trained[1], tmp_path)
    assert told == ("The test could not be made: the folder /x is not there; bring it back.",)
    assert told[0] in page.text
    assert "Heatmap of the gradient norms" in str(page.elements)


def test_a_run_that_goes_on_is_tested_with_the_newest_weights_that_it_has_kept(tmp_path: Path, trained: tuple[Home, str]) -> None:
    home = Home.from_environment(str(tmp_path / "copy"))
    shutil.copytree(trained[0].path, home.path, dirs_exist_ok=True)
    for file in (home.run_folder(trained[1]) / "checkpoints").glob("*-final.pth"):
        file.unlink()
    (home.run_folder(trained[1]) / "weights.pth").unlink()
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE runs SET status = 'running', result = NULL, ended = NULL, step = 30")
    each = subject(home, trained[1])
    assert each.checkpoint is not None
    page, _, told = written(home, trained[1], tmp_path)
    assert told == ("This run still trains: the report shows it after step 30.",)
    assert f"Weights after epoch {each.checkpoint.epoch} (step {each.checkpoint.step})" in page.text
    assert "Macro F1" in page.text


def test_a_hundred_thousand_steps_make_a_report_of_the_same_size(home: Home, tmp_path: Path) -> None:
    """Of a tenth of that, which lies at a level as well: what is drawn has as many points."""
    page, text, _ = written(home, SyntheticRun(RunStore(home.database), 10_000).id, tmp_path)
    assert "Each point is the mean of 16 steps" in page.text
    assert len(text) < 500_000


def test_many_classes_are_a_picture_and_a_list_of_confusions() -> None:
    from core.evaluation import metrics

    generator = np.random.default_rng(0)
    labels = np.arange(600) % 300
    logits = generator.normal(size=(600, 300)).astype(np.float32)
    logits[np.arange(600), np.where(labels == 7, 8, labels)] += 9
    found: Evaluation = metrics.evaluation("run", 1, 1, [f"class {number}" for number in range(300)], logits, labels)
    assert next(report_evaluation._confusions(found)) == ("class 7", "class 8", 2, "100.0\N{NO-BREAK SPACE}%")
    assert "Confusion matrix of 300 classes" in report_evaluation._matrix_picture(found)
    assert len(report_evaluation._listed(found)) == report_evaluation.MOST_CLASSES
    assert "class 7" in {score.name for score in report_evaluation._listed(found)}


def test_a_model_of_a_thousand_tensors_in_many_blocks_still_fits_on_a_page() -> None:
    layers = [Layer(f"block{number // 5}.{number}.weight", (1,), 1, number % 2 == 0, f"block{number // 5}") for number in range(1_000)]
    norms = np.full((3, 1_000), 0.5, np.float32)
    change = ChangeRow(1, 3, "live", "train everything", 0.1, np.zeros(1_000, np.bool_), np.ones(1_000, np.float32))
    drawn = (
        report_layers.heatmap(report_layers.Heat(np.array([1, 2, 3]), norms), layers, 3),
        report_layers.lane(layers, [change], 4),
    )
    for drawing in drawn:
        assert float(re.findall(r'class="chart" viewBox="0 0 850 (\d+)"', drawing)[0]) < 550
        places = sorted(float(y) for y in re.findall(r'class="tick mono"[^>]* y="([\d.]+)"', drawing))
        assert all(after - before >= 9 for before, after in pairwise(places))
    assert drawn[1].count('class="lane-part"') == 200
    assert drawn[1].count('class="lane-learns"') == 200


def test_who_cancels_gets_no_file(home: Home, tmp_path: Path) -> None:
    file = target(tmp_path, "report.html")
    with pytest.raises(Cancelled):
        report.write(subject(home, recorded(home)), file, quiet, lambda: True)
    assert not file.exists()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_and_prints_it_without_asking_anybody(browser: Browser, trained: tuple[Home, str], tmp_path: Path, scheme: Any) -> None:
    """The file's own policy is kept, nothing is wider than a narrow window, and it prints on pages of A4."""
    file = target(tmp_path, "report.html")
    report.write(subject(*trained), file, quiet, never)
    said: list[str] = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": 800, "height": 900})
    try:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: said.append(request.url[:80]) if not request.url.startswith(("data:", file.as_uri())) else None)
        page.goto(file.as_uri())
        for width in (1280, 800, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    finally:
        context.close()
    assert said == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_its_texts_can_be_read_in_both_themes(theme: str) -> None:
    style = (Path(report.__file__).parent / "report.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in re.findall(r":root \{(.*?)\}", style, re.DOTALL))
    colours = light if theme == "light" else {**light, **dark}
    for name in ("ink", "muted", "accent", "bad", "warning", "note"):
        for ground in ("paper", "soft"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    cells = {name: [int(part) for part in numbers.split(", ")] for name, numbers in re.findall(r"--(cell[\w-]*): ([\d, ]+);", style)}
    strength = float(re.findall(r"var\(--cell\), calc\(([\d.]+) \* var\(--share\)\)", style)[0])
    for channels in (cells if theme == "dark" else light_cells(style)).values():
        fullest = over("#" + "".join(f"{channel:02x}" for channel in channels), colours["paper"], strength)
        assert contrast(colours["ink"], fullest) >= 4.5, channels


def light_cells(style: str) -> dict[str, list[int]]:
    """The colours of the confusion matrix in the light theme, which comes first."""
    first = style.partition("@media")[0]
    return {name: [int(part) for part in numbers.split(", ")] for name, numbers in re.findall(r"--(cell[\w-]*): ([\d, ]+);", first)}
