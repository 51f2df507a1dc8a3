"""Many runs: the table of 500, and 20 runs of 100,000 steps over each other, beside one of a million steps."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Page

from bench.screen import screen
from bench.synthetic import SyntheticRun
from bench.table import spread, table
from core.comparing.rows import row_of
from core.comparing.stream import Cursor, message
from core.config import RunConfig
from core.machine.home import Home
from core.records.events import EpochRow, RunStatus
from core.store import RunStore
from tests.support import Server

ALL, OVERLAID, STEPS, LONGEST = 500, 20, 100_000, 1_000_000
WARM_UP_SECONDS = 15.0  # the server's helper processes import torch at first
COPIED = ("steps", "levels", "epochs")


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """From a click to what is painted, in a browser that has been here before; what is read and sent for it."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    ids, growing = make(home, store)
    yield f"{ALL:,} runs, {OVERLAID} of {STEPS:,} steps and one of {LONGEST:,} in a store of {home.database.stat().st_size / 1e6:,.0f} MB"
    yield ""
    listing = [seconds(lambda: json.dumps([row_of(run) for run in store.listed()])) for _ in range(rounds)]
    first, cursor, size = history(home, store, ids, rounds)
    tick = one_tick(home, store, ids, cursor, growing)
    read = [
        (f"all {ALL} runs read for the table, ms", spread([each * 1000 for each in listing], 1)),
        (f"first message of {OVERLAID} runs, ms", spread([each * 1000 for each in first], 1)),
        ("... its size, kB", f"{size / 1000:.0f}"),
        ("one tick, one run having grown by 512 steps, bytes", f"{tick:,}"),
    ]
    yield from table(["what is read and sent", ""], read)
    yield ""
    with screen(folder) as (server, browser):
        time.sleep(WARM_UP_SECONDS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for visit in (by_click, overlay, by_choice):
            visit(page, server, ids)  # the first visit fetches scripts that a browser then keeps
        painted = [
            (f"click on Runs to the table of {ALL}", spread([by_click(page, server, ids) for _ in range(rounds)])),
            ("press on a header to the sorted table", spread([sort(page) for _ in range(rounds)])),
            (f"press on Compare to {OVERLAID} runs of {STEPS:,} steps painted", spread([by_choice(page, server, ids) for _ in range(rounds)])),
            ("the same from its address in an empty tab", spread([overlay(page, server, ids) for _ in range(rounds)])),
            ("the same from what the browser holds", spread([redraw(page) for _ in range(rounds)])),
        ]
        yield from table(["in a browser", "s"], painted)
        yield ""
        yield f"Processes that wanted one of {os.cpu_count()} cores meanwhile: {os.getloadavg()[0]:.1f}"


def make(home: Home, store: RunStore) -> tuple[list[str], SyntheticRun]:
    """The runs; those that are overlaid are copies of one, which goes on."""
    growing = SyntheticRun(store, STEPS)
    store.append_epoch(growing.id, EpochRow(1, 1000, 50.0, 1.0, 0.5, 1.0, 0.5))
    SyntheticRun(store, LONGEST)
    others = [store.create_run(RunConfig(epochs=100, learning_rate=0.001 + number / 1e6)) for number in range(ALL - 2)]
    with sqlite3.connect(home.database) as connection:
        for other in others[: OVERLAID - 1]:
            for name in COPIED:
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})") if row[1] != "run"]
                named = ", ".join(columns)
                connection.execute(f"INSERT INTO {name} (run, {named}) SELECT ?, {named} FROM {name} WHERE run = ?", (other, growing.id))  # noqa: S608  our own names
        for other in others:
            connection.execute("UPDATE runs SET plan = (SELECT plan FROM runs WHERE id = ?), step = ? WHERE id = ?", (growing.id, STEPS, other))
            connection.execute("UPDATE runs SET status = ? WHERE id = ?", (RunStatus.FINISHED, other))
        for other in others[OVERLAID:]:
            rows = [(other, epoch, epoch * 1000, epoch * 50.0, 1.0, 0.5, 1.0, epoch / 100) for epoch in range(1, 51)]
            connection.executemany("INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    return [growing.id, *others[: OVERLAID - 1]], growing


def seconds(act: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def history(home: Home, store: RunStore, ids: list[str], rounds: int) -> tuple[list[float], Cursor, int]:
    """Seconds to the first message as text, its cursor, and its bytes."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        body, cursor = message(home, store, ids, {})
        text = json.dumps(body, separators=(",", ":"))
        took.append(time.perf_counter() - began)
    return took, cursor, len(text)


def one_tick(home: Home, store: RunStore, ids: list[str], cursor: Cursor, growing: SyntheticRun) -> int:
    """Bytes of a message after one run has grown by two buckets."""
    growing.append(512)
    body, _ = message(home, store, ids, cursor)
    return len(json.dumps(body, separators=(",", ":")))


def by_click(page: Page, server: Server, _ids: list[str]) -> float:
    """From a press on Runs in the menu to its table with all rows."""
    page.goto(f"{server.address}/notions")
    page.get_by_role("link", name="Runs", exact=True).wait_for()
    page.wait_for_timeout(1500)
    began = time.perf_counter()
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_function(f"() => document.querySelector('.thaw-runs')?.dataset.rows === '{ALL}'", polling=10)
    return time.perf_counter() - began


def sort(page: Page) -> float:
    """From a press on a header to rows in another order, in the page itself."""
    script = """() => { const began = performance.now(); document.querySelector(".thaw-runs thead button").click();
        document.body.getBoundingClientRect(); return (performance.now() - began) / 1000; }"""
    return float(page.evaluate(script))


PAINTED = f"""() => {{ const root = document.querySelector(".thaw-cmp"), first = root?.querySelector(".thaw-cmp-plot");
    return root?.dataset.due === "0" && first?.querySelectorAll(".js-line").length >= {OVERLAID}; }}"""
"""Whether every panel in sight holds its lines."""


def overlay(page: Page, server: Server, ids: list[str]) -> float:
    """From the address of the comparison in an empty tab to all panels in sight: Streamlit itself is loaded, too."""
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(f"{server.address}/compare?runs={','.join(ids)}", wait_until="commit")
    return painted(page, began)


def by_choice(page: Page, server: Server, ids: list[str]) -> float:
    """From a press on Compare above the table of all runs."""
    page.goto(f"{server.address}/notions")
    page.evaluate("ids => sessionStorage.setItem('thaw-runs-table', JSON.stringify({ chosen: ids }))", ids)
    page.goto(f"{server.address}/runs")
    page.get_by_role("button", name=f"Compare {OVERLAID} runs").wait_for()
    page.wait_for_timeout(1500)
    began = time.perf_counter()
    page.get_by_role("button", name=f"Compare {OVERLAID} runs").click()
    return painted(page, began)


def painted(page: Page, began: float) -> float:
    """Seconds since `began` until every panel in sight is painted, the first with a line of each run."""
    page.wait_for_function(PAINTED, polling=10, timeout=60_000)
    return time.perf_counter() - began


def redraw(page: Page) -> float:
    """From a message with the whole history to the frame in which it is painted, in the page itself."""
    script = """() => new Promise((done) => {
        const { chart } = document.querySelector(".thaw-cmp"), began = performance.now();
        const end = () => done((performance.now() - began) / 1000);
        const look = () => (chart.root.dataset.due === "0" ? requestAnimationFrame(() => setTimeout(end)) : setTimeout(look));
        chart.redrawAll();
        look(); })"""
    return float(page.evaluate(script))
