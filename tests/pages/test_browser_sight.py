"""What is in sight on the page of a run, in a real Chromium: where the charts begin, and that nothing which arrives pushes them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.store.run_folder import Notice, RunFolder
from tests.pages.browser_watch_cases import WrittenRun
from tests.pages.sight_cases import RESULT, SIGHT, box, boxes, finished, live, no_findings, three_findings, tops_seen, watch_tops, with_findings
from tests.pages.test_browser import badge, chart, store_of, visible_range, wait_for_steps
from tests.support import Server, waiting

pytestmark = pytest.mark.browser

MENU = 57
"""Where the page's own menu ends, in pixels."""


def visit(server: Server, page: Page, run: WrittenRun, width: int = 1280, height: int = 900) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{server.address}/train?run={run.id}")
    wait_for_steps(page, run.step)
    expect(page.locator(".st-key-run_findings")).to_be_visible()


def open_drawer(page: Page) -> None:
    expect(page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')).to_be_attached()  # the page is drawn
    page.get_by_role("button", name="Change it while it trains").click()
    expect(page.get_by_role("button", name="last stage")).to_be_visible()


def rename(server: Server, table: str, name: str) -> None:
    """A table of the store is called otherwise: without `runs` nothing can be read."""
    with closing(sqlite3.connect(server.home / "thaw.db", timeout=30)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")
        connection.commit()


@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("made", [live, finished, with_findings], ids=lambda made: made.__name__)
def test_the_loss_begins_high_up_whatever_there_is_to_say_and_whether_it_has_ended(
    server: Server, page: Page, made: Callable[[RunStore], WrittenRun], width: int
) -> None:
    run = made(store_of(server))
    visit(server, page, run, width)
    assert box(page, "loss")["top"] <= 300
    assert box(page, "charts")["top"] - box(page, "findings")["bottom"] == pytest.approx(9, abs=6)
    if width == 1280:
        assert box(page, "accuracy")["top"] == box(page, "loss")["top"], "the two stand beside each other"
        assert box(page, "accuracy")["bottom"] <= 760
        assert box(page, "gradients")["top"] <= 760
    if made is with_findings:
        shown = page.locator(".st-key-run_findings [class*=st-key-chip_]")
        expect(shown).to_have_count(3)
        edges = shown.evaluate_all("chips => chips.map((chip) => chip.getBoundingClientRect()).map(({ top, right }) => [top, right])")
        assert len({top for top, _ in edges}) == 1, "one line"
        assert edges[-1][1] <= width, "all three of them in sight"
        top = box(page, "loss")["top"]
        shown.first.get_by_role("button").click()
        expect(page.get_by_role("button", name="Do it now: learning rate 0.001")).to_be_visible()
        assert box(page, "loss")["top"] == top, "it opens over the page"
    if made is finished:
        expect(page.get_by_test_id("stMetric").filter(has_text="Test accuracy")).to_contain_text("90.2")
        assert box(page, "results")["bottom"] <= box(page, "head")["bottom"], "the results are in the head"


def test_nothing_that_arrives_moves_the_charts_from_before_the_first_step_to_the_end(server: Server, page: Page) -> None:
    store = store_of(server)
    run = WrittenRun(store, SIGHT, begins=False)
    page.goto(f"{server.address}/train?run={run.id}")
    page.locator("[data-panel=loss] .js-plotly-plot").wait_for()
    expect(page.get_by_text("Findings: the doctor looks once")).to_be_visible()
    watch_tops(page, "charts", "loss", "accuracy")

    run.begin()
    run.train(20)
    wait_for_steps(page, 20)
    no_findings(run)
    expect(page.get_by_text("No findings:")).to_be_visible()
    run.train(110)
    three_findings(run)
    expect(page.get_by_text("Findings: 1 serious, 1 warning, 1 note")).to_be_visible()
    expect(page.get_by_text(re.compile("accuracy after epoch 1: training"))).to_be_visible()
    folder = RunFolder(Home(server.home).run_folder(run.id))
    folder.begin()
    folder.say(Notice(0.0, "The store is locked by another program.", 12))
    expect(page.locator(".st-key-run_progress")).to_contain_text("The store is locked by another program.")
    folder.all_well()
    rename(server, "runs", "away")
    alert = page.get_by_role("alert").filter(has_text="The store of runs cannot be used").first
    expect(alert).to_be_in_viewport()
    rename(server, "away", "runs")
    expect(badge(page, "Running")).to_be_visible()
    run.change("last stage")
    expect(page.locator(".st-key-run_position")).to_contain_text("applied after step 130")
    run.train(20)
    wait_for_steps(page, 150)
    weights = folder.path / "weights.pth"
    weights.write_bytes(b"weights")
    run.finish(RunStatus.FINISHED, replace(RESULT, weights=str(weights)))
    expect(page.get_by_test_id("stMetric").filter(has_text="Test accuracy")).to_be_visible()
    expect(page.get_by_role("button", name="Download weights")).to_be_visible()
    expect(badge(page, "Finished")).to_be_visible()
    seen = tops_seen(page)
    assert {part: len(tops) for part, tops in seen.items()} == {"charts": 1, "loss": 1, "accuracy": 1}, seen


def test_the_page_of_another_run_begins_at_its_top_and_has_its_address(server: Server, page: Page) -> None:
    other = finished(store_of(server))
    visit(server, page, live(store_of(server)))
    page.locator(f".st-key-history_{other.id}").get_by_role("link").click()  # scrolls down to it
    page.wait_for_url(re.compile(f"run={other.id}"))
    expect(badge(page, "Finished")).to_be_visible()
    waiting(page, lambda: box(page, "charts")["top"] >= box(page, "findings")["bottom"] > box(page, "head")["bottom"], "the curves in sight")


def test_the_drawer_stands_beside_the_charts_which_stay_as_they_are_and_show_what_it_did(server: Server, page: Page) -> None:
    run = live(store_of(server))
    visit(server, page, run)
    plot = page.locator("[data-panel=loss] .thaw-plot")
    plot.evaluate("element => { element.known = true; window.Plotly.relayout(element, { 'xaxis.range[0]': 100, 'xaxis.range[1]': 300 }); }")
    waiting(page, lambda: visible_range(page, "loss") == visible_range(page, "rate") == [100, 300], "a zoom")
    top = box(page, "charts")["top"]
    open_drawer(page)
    edges = boxes(page)
    assert edges["drawer"] is not None
    assert edges["charts"] is not None
    assert edges["drawer"]["left"] >= edges["charts"]["right"]
    assert edges["charts"]["top"] == top
    assert edges["drawer"]["bottom"] <= 900, "it scrolls by itself"
    assert box(page, "loss")["top"] <= 320
    assert plot.evaluate("element => element.known"), "the same chart"
    assert visible_range(page, "loss") == [100, 300], "with its zoom"

    page.get_by_role("button", name="last stage").click()
    (asked,) = waiting(page, lambda: run.store.commands(run.id, waiting=True), "the request")
    assert asked.payload == "last stage"
    expect(page.locator(".st-key-run_asked")).to_contain_text("waiting for the step at hand")
    run.change(asked.payload, ask=False)
    run.store.acknowledge(asked, run.step)
    run.train(10)
    expect(page.locator(".st-key-run_asked")).to_contain_text("applied after step 230")
    waiting(page, lambda: chart(page).get("markers") == 1, "the marker on the curve")
    assert box(page, "loss")["bottom"] <= 900, "in sight"
    assert box(page, "charts")["top"] == top

    page.get_by_role("link", name="Home").click()
    page.get_by_text("Running now").wait_for()
    page.go_back()
    expect(page.get_by_role("button", name="last stage")).to_be_visible()  # it stays open from page to page
    page.locator(".st-key-run_drawer").get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="last stage")).to_have_count(0)
    assert boxes(page)["drawer"] is None


@pytest.mark.parametrize("height", [900, 600])
def test_on_a_narrow_window_the_drawer_lies_at_its_foot_and_the_head_stays_small_and_in_sight(server: Server, page: Page, height: int) -> None:
    run = with_findings(store_of(server))
    visit(server, page, run, 800, height)
    assert box(page, "loss")["top"] <= 300
    open_drawer(page)
    drawer = box(page, "drawer")
    assert drawer["bottom"] <= height
    assert drawer["top"] >= 0.6 * height, "a third of the window at most"
    assert drawer["top"] >= box(page, "loss")["top"] + 100, "and the curve above it"
    assert page.evaluate("document.documentElement.scrollWidth") <= 800, "nothing is wider than the window"
    page.get_by_test_id("stMain").evaluate("element => element.scrollTo(0, 400)")
    waiting(page, lambda: box(page, "loss")["top"] < 0, "the page scrolled")
    head = box(page, "head")
    assert head["top"] == pytest.approx(MENU, abs=1.5)
    assert head["bottom"] - head["top"] <= (90 if height < 700 else 112)
    on_top = "([x, y]) => document.elementFromPoint(x, y).closest('.st-key-run_head') !== null"
    assert page.evaluate(on_top, [400, (head["top"] + head["bottom"]) / 2]), "nothing shows through it"
    expect(page.get_by_role("button", name="Pause")).to_be_in_viewport()
    expect(page.get_by_role("link", name="Evaluate this run")).to_be_in_viewport()  # an icon that keeps its name
