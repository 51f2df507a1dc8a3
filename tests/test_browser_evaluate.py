"""The Evaluate screen on a real, tiny run, in a real Chromium: measures, confusion matrix by keyboard, pictures brought along, Grad-CAM, map."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from core.config import RunConfig
from core.home import Home
from core.predictions import open_predictions
from core.store import Run
from core.supervisor import Supervisor
from tests.support import Server, wait_until
from tests.test_browser import store_of

pytestmark = pytest.mark.browser

TINY = RunConfig(model="small_cnn", image_size=32, epochs=2, learning_rate=0.01, threads=1, device="cpu")


@pytest.fixture(scope="module")
def runs(server: Server) -> Iterator[tuple[Run, Run]]:
    """Two runs of two short epochs that have ended; the second learned from another seed."""
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store)
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
    expect(place.get_by_role("status")).to_contain_text(re.compile(r"\d: .*sure · no\. \d+"))
    expect(place.locator(".thaw-map-hint img")).to_have_attribute("src", re.compile("^data:image/png"))
    canvas.press("Enter")
    page.wait_for_url(re.compile("picture="))
    expect(guesses(page)).to_have_count(5)
