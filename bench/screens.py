"""Where the charts of a run's page stand in the window, and by how much they move while a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Page

from bench.screen import screen
from bench.table import table
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from tests.pages.browser_watch_cases import WrittenRun
from tests.pages.sight_cases import RESULT, SIGHT, boxes, finished, live, no_findings, three_findings, tops_seen, watch_tops, with_findings
from tests.pages.test_browser import wait_for_steps
from tests.support import Server

SIZES = ((1280, 900), (800, 900), (800, 600))
KINDS: dict[str, tuple[Callable[[RunStore], WrittenRun], bool]] = {
    "live": (live, False),
    "finished": (finished, False),
    "three findings": (with_findings, False),
    "steering open": (live, True),
}
"""What the page shows: the run, and whether the drawer is open."""


def measure(folder: Path, _rounds: int) -> Iterator[str]:
    """Positions are the same at every look, so one is taken."""
    store = RunStore(Home.from_environment(str(folder / "home")).database)
    with screen(folder) as (server, browser):
        rows = []
        for width, height in SIZES:
            page = browser.new_page(viewport={"width": width, "height": height})
            for name, (made, steering) in KINDS.items():
                rows.append((f"{name}, {width} x {height}", *_positions(page, server, made(store), steering)))
        yield from table(["page, window (px)", "head high", "loss top", "loss bottom", "accuracy top", "gradient view top"], rows)
        yield ""
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        moved = _moved(page, server, WrittenRun(store, SIGHT, begins=False))
        yield from table(["from preparing to the end, 1280 x 900", "moved, px"], [(part, str(most)) for part, most in moved.items()])


def _positions(page: Page, server: Server, run: WrittenRun, steering: bool) -> list[str]:
    page.goto(f"{server.address}/train?run={run.id}")
    wait_for_steps(page, run.step)
    page.locator(".st-key-run_findings").wait_for()
    if steering:
        page.get_by_role("button", name="Change it while it trains").click()
        page.get_by_role("button", name="last stage").wait_for()
    page.wait_for_timeout(1500)
    found = boxes(page)
    head, loss, accuracy, gradients = (found[part] for part in ("head", "loss", "accuracy", "gradients"))
    assert head is not None
    assert loss is not None
    assert accuracy is not None
    assert gradients is not None
    edges = (head["bottom"] - head["top"], loss["top"], loss["bottom"], accuracy["top"], gradients["top"])
    return [f"{edge:.0f}" for edge in edges]


def _moved(page: Page, server: Server, run: WrittenRun) -> dict[str, int]:
    """By how many pixels each chart's top moved over a run with epochs, findings, a change and an end."""
    page.goto(f"{server.address}/train?run={run.id}")
    page.locator("[data-panel=loss] .js-plotly-plot").wait_for()
    page.wait_for_timeout(1500)
    watch_tops(page, "charts", "loss", "accuracy", "gradients")
    run.begin()
    for what in (no_findings, three_findings, lambda run: run.change("last stage"), lambda run: None):
        run.train(60)
        wait_for_steps(page, run.step)
        what(run)
        page.wait_for_timeout(2500)
    run.finish(RunStatus.FINISHED, RESULT)
    page.locator(".st-key-run_results").wait_for()
    page.wait_for_timeout(1500)
    return {part: max(seen) - min(seen) for part, tops in tops_seen(page).items() if (seen := [top for top in tops if top is not None])}
