"""How long it takes to open a run of 1,000 to 1,000,000 steps: to read its history for a chart, and to see it in a browser."""

from __future__ import annotations

import json
import time
from pathlib import Path

from playwright.sync_api import Page

from bench.screen import screen
from bench.synthetic import SyntheticRun
from bench.table import spread, table
from core.machine.home import Home
from core.store import RunStore, stream
from tests.support import Server

WARM_UP_SECONDS = 15.0  # the server's helper processes import torch at first
HISTORIES = (1_000, 100_000, 1_000_000)


def measure(folder: Path, rounds: int) -> list[str]:
    """The first message of a fresh client, from the store to JSON text; and a fresh tab, from the address to the complete chart."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    rows = []
    with screen(folder) as (server, browser):
        time.sleep(WARM_UP_SECONDS)
        page = browser.new_page()
        for steps in HISTORIES:
            run = SyntheticRun(store, steps)
            read = [first_message(store, run.id) for _ in range(rounds)]
            message = read[0][1]
            by_address(page, server, run.id)  # the first visit fetches scripts that a browser then keeps
            clicks = [by_click(page, server, run.id) for _ in range(rounds)]
            tabs = [by_address(page, server, run.id) for _ in range(rounds)]
            figures = spread([seconds * 1000 for seconds, _ in read], 1), spread(clicks), spread(tabs)
            rows.append((f"{steps:,} steps", *figures, str(len(message["steps"]["step"])), f"{len(json.dumps(message)) / 1000:.0f}"))
    heads = ["history", "first message read, ms", "click on Home to complete chart, s", "address to complete chart, s", "points on a line", "kB sent"]
    return table(heads, rows)


def first_message(store: RunStore, run_id: str) -> tuple[float, dict[str, dict[str, list[float]]]]:
    """Seconds to the text of the first message, with a new connection to the database; and the message."""
    store.close()
    began = time.perf_counter()
    message, _ = stream.message(store, run_id, None)
    json.dumps(message)
    seconds = time.perf_counter() - began
    assert message is not None
    return seconds, message


def by_address(page: Page, server: Server, run_id: str) -> float:
    """Seconds from typing the run's address into an empty tab to a chart with all its history drawn: Streamlit itself is loaded too."""
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(f"{server.address}/train?run={run_id}", wait_until="commit")
    return _complete(page, began)


def by_click(page: Page, server: Server, run_id: str) -> float:
    """Seconds from a click on the run in Home's list to a chart with all its history drawn."""
    page.goto(server.address)
    link = page.locator(f"a[href*='{run_id}']").first
    link.wait_for()
    page.wait_for_timeout(1500)  # for the rest of Home
    began = time.perf_counter()
    link.click()
    return _complete(page, began)


def _complete(page: Page, began: float) -> float:
    drawn = "() => { const chart = document.querySelector('.thaw-live'); return chart && chart.dataset.drawn > 0 && chart.dataset.columns > 0; }"
    page.wait_for_function(drawn, polling=20, timeout=60_000)
    page.evaluate("() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)))")
    return time.perf_counter() - began
