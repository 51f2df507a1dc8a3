"""The Evaluate screen on a real, tiny run, in a real Chromium: measures, confusion matrix by keyboard, pictures brought along, Grad-CAM, map."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from core.config import RunConfig
from core.evaluation.predictions import difference, open_predictions
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import Run
from core.store.checkpoint import newest
from core.worker.supervisor import Supervisor
from pages._parts.evaluate.confusion import LONGEST
from pages._parts.evaluate.words import short
from tests.pages.test_browser import store_of
from tests.support import Server, nursery, wait_until, waiting

pytestmark = pytest.mark.browser

TINY = RunConfig(model="small_cnn", image_size=32, epochs=2, learning_rate=0.01, threads=1, device="cpu")
ENDLESS = TINY.replace(model="tiny: conv 8, relu, pool, global pool", image_size=16, epochs=100_000)


@pytest.fixture(scope="module")
def runs(server: Server) -> Iterator[tuple[Run, Run]]:
    """Two runs of two short epochs that have ended; the second learned from another seed."""
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store, nursery())
    ids = [supervisor.start(TINY), supervisor.start(TINY.replace(seed=1, epochs=1))]
    wait_until(lambda: not store.runs(active=True), timeout=120, what="the end of both runs")
    first, second = (store.run(run_id) for run_id in ids)
    assert first.result is not None, first.error
    assert second.result is not None, second.error
    yield first, second
    supervisor.close()


@pytest.fixture
def run(runs: tuple[Run, Run]) -> Run:
    return runs[0]


def open_part(server: Server, page: Page, run: Run, part: str, **query: str) -> None:
    further = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{server.address}/evaluate?run={run.id}&view={part}{further}")


def png(picture: Image.Image) -> FilePayload:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"name": "my picture.png", "mimeType": "image/png", "buffer": file.getvalue()}


def guesses(page: Page) -> Locator:
    return page.get_by_role("list", name="The likeliest classes").get_by_role("listitem")


def test_measures_are_those_of_the_run_and_two_runs_are_compared(server: Server, page: Page, runs: tuple[Run, Run]) -> None:
    run, other = runs
    assert run.plan is not None
    assert run.result is not None
    open_part(server, page, run, "metrics")
    card = page.get_by_test_id("stMetric").filter(has_text="Accuracy").first
    expect(card).to_contain_text(f"{100 * run.result.test_accuracy:.1f} %")  # type: ignore[operator]
    expect(card).to_contain_text(re.compile(r"[\d.]+ to [\d.]+\s%"))
    rows = page.get_by_role("table", name="Precision, recall and F1 of each class").locator("tbody tr")
    expect(rows).to_have_count(10)
    recalls = page.get_by_role("columnheader", name="Recall")
    recalls.get_by_role("button").press("Enter")
    expect(recalls).to_have_attribute("aria-sort", "ascending")
    sorted_ = [float(text.split()[0]) for text in rows.locator("td:nth-child(5) output").all_inner_texts()]
    assert sorted_ == sorted(sorted_)
    assert sorted_[0] < sorted_[-1]
    expect(page.get_by_role("img", name=re.compile("Reliability diagram"))).to_be_visible()
    # Before training: the slider moves through the epochs, and what is missing is worked out.
    page.get_by_role("slider", name="Weights").press("Home")
    expect(page.get_by_text("through the weights before training")).to_be_visible()
    page.wait_for_url(re.compile("epoch=0"))
    expect(card).not_to_contain_text(f"{100 * run.result.test_accuracy:.1f} %")  # type: ignore[operator]
    # With another run, picture by picture.
    open_part(server, page, run, "compare", **{"with": other.id})
    cells = page.get_by_role("table", name="Test pictures by who is right").locator("td b")
    expect(cells).to_have_count(4)
    both, only_first, only_second, neither = (int(text) for text in cells.all_inner_texts())
    assert both + only_first + only_second + neither == run.plan.test_samples
    assert both + only_first == round(run.result.test_accuracy * run.plan.test_samples)  # type: ignore[operator]
    assert both + only_second == round(other.result.test_accuracy * run.plan.test_samples)  # type: ignore[operator, union-attr]
    expect(page.get_by_role("list", name="Pictures that only A gets right").get_by_role("button")).to_have_count(min(24, only_first))


def test_weights_of_both_sides_are_chosen_and_their_pictures_are_leafed_through(server: Server, page: Page, runs: tuple[Run, Run]) -> None:
    run, other = runs
    assert other.plan is not None
    samples = other.plan.test_samples
    open_part(server, page, run, "compare", **{"with": other.id})
    expect(page.get_by_test_id("stMetric").filter(has_text="B: accuracy after epoch 1 (final)")).to_be_visible()
    page.get_by_role("slider", name="Weights of B").press("Home")
    page.wait_for_url(re.compile("with_epoch=0"))
    expect(page.get_by_test_id("stMetric").filter(has_text="B: accuracy before training")).to_be_visible()
    ours, theirs = (open_predictions(Home(server.home), each.id, epoch) for each, epoch in ((run, None), (other, 0)))
    assert ours is not None
    assert theirs is not None
    only_first = ours.surest_first(difference(ours, theirs).only_first)
    assert len(only_first) > 48, "some pages"
    wall = page.get_by_role("list", name="Pictures that only A gets right")
    place = wall.get_by_role("button")
    expect(place.first).to_have_attribute("data-index", str(only_first[0]))
    page.get_by_role("button", name="Page 3", exact=True).first.click()
    page.wait_for_url(re.compile(r"page=3\b"))
    expect(place.first).to_have_attribute("data-index", str(only_first[48]))
    expect(page.get_by_text(f"49 to {min(72, len(only_first))} of {len(only_first)} pictures")).to_be_visible()
    page.reload()  # nothing is lost
    expect(place.first).to_have_attribute("data-index", str(only_first[48]))
    # The run against itself: what the last epoch has brought.
    page.get_by_role("combobox", name=re.compile("Compare with")).click()
    page.get_by_role("option", name=re.compile(run.id)).click()
    page.wait_for_url(re.compile(f"with={run.id}"))
    # The other run was at its weights before training too, so the figure alone does not say that the page has been drawn anew.
    expect(page.get_by_test_id("stCaptionContainer").filter(has_text=run.id)).to_have_count(2)
    expect(page.get_by_test_id("stMetric").filter(has_text="B: accuracy before training")).to_be_visible()
    waiting(page, lambda: "page=" not in page.url, "the address: other pictures begin at their first page")
    page.get_by_role("slider", name="Weights of B").press("ArrowRight")
    expect(page.get_by_test_id("stMetric").filter(has_text="B: accuracy after epoch 1")).to_be_visible()
    cells = page.get_by_role("table", name="Test pictures by who is right").locator("td b")
    expect(cells).to_have_count(4)
    assert sum(int(text) for text in cells.all_inner_texts()) == samples


def test_run_that_still_trains_is_looked_at_and_newer_weights_are_offered(server: Server, page: Page, run: Run) -> None:
    store = store_of(server)
    home = Home(server.home)
    supervisor = Supervisor(home, store, nursery())
    run_id = supervisor.start(ENDLESS)

    def newest_step() -> int:
        found = newest(home, store.run(run_id))
        return found.step if found else 0

    def train_on() -> None:
        """Until there are newer weights. In between it rests, and leaves the machine to what is tested."""
        before = newest_step()
        supervisor.resume(run_id)
        wait_until(lambda: newest_step() > before, timeout=120, what="newer weights")
        supervisor.pause(run_id)
        wait_until(lambda: store.run(run_id).status == RunStatus.PAUSED, what="the pause")

    wait_until(lambda: store.run(run_id).status == RunStatus.RUNNING, timeout=120, what="the start of the run")
    train_on()
    page.goto(f"{server.address}/evaluate?run={run_id}")
    expect(guesses(page)).to_have_count(5)
    here = page.get_by_text(re.compile(r"these weights of step [\d,]+"))
    began = step_in(here)
    assert began > 0
    page.evaluate("window.sameDocument = true")
    page.get_by_role("radio", name="Test metrics").or_(page.get_by_role("button", name="Test metrics")).first.click()
    about = page.get_by_text(re.compile(r"test pictures, through the weights.*\(step [\d,]+\)"))
    assert step_in(about) == began
    # It goes on: the figures stand still, and the newer weights are a press away.
    train_on()
    offer = page.get_by_role("button", name=re.compile("Go on to step"))
    expect(offer).to_be_visible()
    assert step_in(about) == began
    offer.click()
    expect(about).not_to_contain_text(f"(step {began:,})")
    later = step_in(about)
    assert later > began
    # Under "Try it" they come by themselves.
    page.get_by_role("radio", name="Try it").or_(page.get_by_role("button", name="Try it")).first.click()
    expect(guesses(page)).to_have_count(5)
    shown = step_in(here)
    train_on()
    expect(here).not_to_contain_text(f"step {shown:,}")
    assert step_in(here) > shown
    expect(guesses(page)).to_have_count(5)
    assert page.evaluate("window.sameDocument"), "the page was never loaded anew"
    # As the other of two runs it stands still as well.
    open_part(server, page, run, "compare", **{"with": run_id})
    beside = page.get_by_text(re.compile(r"B: accuracy after epoch \d+ \(newest\)"))
    expect(beside).to_be_visible()
    named = beside.inner_text()
    train_on()
    expect(offer).to_be_visible()
    expect(beside).to_have_text(named)
    offer.click()
    expect(beside).not_to_have_text(named)
    supervisor.stop(run_id)
    wait_until(lambda: not store.run(run_id).status.active, what="the end of the run")
    supervisor.close()


def step_in(place: Locator) -> int:
    """The step that a text names."""
    expect(place).to_be_visible()
    found = re.search(r"step ([\d,]+)", place.inner_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def test_class_among_many_with_long_names_is_found(server: Server, page: Page, tmp_path: Path) -> None:
    names = [f"Rhododendron ferrugineum subsp. carpathicum, leaf seen from below {number:02d}" for number in range(40)]
    generator = np.random.default_rng(0)
    for number, name in enumerate(names):
        for part, count in (("train", 2), ("test", 0 if number == 7 else 1)):
            (tmp_path / part / name).mkdir(parents=True)
            for each in range(count):
                Image.fromarray(generator.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(tmp_path / part / name / f"{each}.png")
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store, nursery())
    config = TINY.replace(dataset=f"folder:{tmp_path}", model="mlp", image_size=8, batch_size=16, epochs=1, validation_share=0.0)
    run_id = supervisor.start(config)
    wait_until(lambda: not store.run(run_id).status.active, timeout=120, what="the end of the run")
    supervisor.close()
    run = store.run(run_id)
    assert run.result is not None, run.error
    open_part(server, page, run, "confusion")
    grid = page.get_by_role("grid", name=re.compile("Confusion matrix"))
    expect(page.get_by_text(re.compile("No test images of Rhododendron.* 07: recall is not defined there"))).to_be_visible()
    expect(grid.get_by_role("rowheader", name=names[0], exact=True)).to_have_text(re.compile("^Rhodo.*….*below 00$"))  # the ends differ
    row = grid.get_by_role("rowheader", name=names[39], exact=True)
    expect(row).to_have_count(0)  # it is out of sight
    box = page.get_by_role("combobox", name=re.compile("Find a class"))
    box.fill("below 39")
    box.press("Enter")
    page.wait_for_url(re.compile("of=39"))
    expect(row).to_be_in_viewport()
    expect(row).to_have_attribute("data-sought", "true")
    expect(page.get_by_text(f"Most often confused with {short(names[39], LONGEST)}")).to_be_visible()
    open_part(server, page, run, "map")
    find = page.get_by_role("searchbox", name=re.compile("Find a class"))
    find.fill("below 39")
    buttons = page.get_by_role("toolbar", name=re.compile("Classes: press one")).get_by_role("button")
    expect(buttons).to_have_count(1)
    find.fill("below 3")
    expect(buttons).to_have_count(10)
    find.press("Tab")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(buttons.last).to_have_attribute("aria-pressed", "true")
    expect(buttons.first).to_have_attribute("aria-pressed", "false")


def test_cell_of_the_confusion_matrix_opens_its_pictures_by_keyboard_and_one_is_looked_at(server: Server, page: Page, run: Run) -> None:
    open_part(server, page, run, "confusion")
    grid = page.get_by_role("grid", name=re.compile("Confusion matrix"))
    expect(grid.get_by_role("gridcell")).to_have_count(100)
    page.get_by_role("button", name="Work out all 3").click()
    expect(page.get_by_text("All 3 are worked out")).to_be_visible()
    kept = open_predictions(Home(server.home), run.id, None)
    assert kept is not None
    label, predicted = (int(values[kept.mistakes(1)[0]]) for values in (kept.labels, kept.predicted))
    grid.focus()
    page.keyboard.press("Control+Home")
    for key, times in (("ArrowDown", label), ("ArrowRight", predicted)):
        for _ in range(times):
            page.keyboard.press(key)
    wanted = kept.cell(label, predicted)
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile(rf"^{len(wanted)} of \d+ pictures of {label} taken for {predicted}, "))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"cell={label}-{predicted}"))
    pictures = page.get_by_role("list", name=f"Pictures of {label} taken for {predicted}").get_by_role("button")
    expect(pictures).to_have_count(min(24, len(wanted)))
    expect(grid.locator("[aria-selected=true]")).to_have_count(1)
    page.reload()  # nothing is lost
    expect(pictures).to_have_count(min(24, len(wanted)))
    pictures.first.press("Enter")
    page.wait_for_url(re.compile(f"picture={wanted[0]}"))
    expect(page.get_by_text(f"It is {label}")).to_be_visible()
    expect(guesses(page).first).to_contain_text(str(predicted))


def test_picture_that_is_brought_along_is_answered_and_a_bad_one_says_why(server: Server, page: Page, run: Run) -> None:
    open_part(server, page, run, "try")
    expect(guesses(page)).to_have_count(5)  # a test picture is there from the start
    page.get_by_role("radio", name="Upload").or_(page.get_by_role("button", name="Upload", exact=True)).first.click()
    box = page.locator("input[type=file]")
    box.set_input_files(png(Image.fromarray(np.full((40, 60, 4), 200, np.uint8))))
    page.wait_for_url(re.compile("picture=[0-9a-f]{20}-my_picture.png"))
    expect(guesses(page)).to_have_count(5)
    expect(page.get_by_text("Its transparent parts were put on white")).to_be_visible()
    shares = [float(text.strip("<% ")) for text in guesses(page).locator("output").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    before = page.url
    box.set_input_files({"name": "notes.png", "mimeType": "image/png", "buffer": b"these are only notes"})
    alert = page.get_by_role("alert").filter(has_text="This picture cannot be used")
    expect(alert).to_contain_text("notes.png")
    expect(guesses(page)).to_have_count(5)  # the one of before is still there
    assert page.url == before
    page.reload()
    expect(page.get_by_text("Its transparent parts were put on white")).to_be_visible()


def test_grad_cam_shows_two_checkpoints_and_says_where_the_heat_is(server: Server, page: Page, run: Run) -> None:
    open_part(server, page, run, "try", picture="7")
    heat = page.locator(".thaw-heat figure")
    expect(heat).to_have_count(2)
    expect(heat.first).to_contain_text("Before training")
    expect(heat.last).to_contain_text("After epoch 2 (final)")
    expect(heat.last.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"heat for \d in \S+: (most in|spread)"))
    before = heat.last.locator("img").last.get_attribute("src")
    page.get_by_role("combobox", name=re.compile("Evidence for")).click()
    page.get_by_role("option", name="3", exact=True).click()
    page.wait_for_url(re.compile("target=3"))
    expect(heat.last.get_by_role("img")).to_have_attribute("aria-label", re.compile("heat for 3"))
    assert heat.last.locator("img").last.get_attribute("src") != before
    page.get_by_role("slider", name=re.compile("How strongly the heat is shown")).fill("0")
    expect(heat.last.locator("img").last).to_have_css("opacity", "0")


def test_map_glides_and_shows_the_picture_of_a_point(server: Server, page: Page, run: Run) -> None:
    assert run.plan is not None
    open_part(server, page, run, "map")
    place = page.locator(".thaw-map")
    expect(place).to_have_attribute("data-points", str(run.plan.test_samples))
    expect(place).to_have_attribute("data-at", "1.00")
    place.get_by_role("button", name="Before training").click()
    expect(place).to_have_attribute("data-at", "0.00")
    canvas = place.get_by_role("application")
    canvas.press("ArrowRight")
    expect(place.get_by_role("status")).to_contain_text(re.compile(r"\d: .*sure · no\.\s\d+"))
    expect(place.locator(".thaw-map-hint img")).to_have_attribute("src", re.compile("^data:image/png"))
    canvas.press("Enter")
    page.wait_for_url(re.compile("picture="))
    expect(guesses(page)).to_have_count(5)
