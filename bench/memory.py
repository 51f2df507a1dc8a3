"""What Thaw holds of the machine's memory: the server, its nursery, its helpers and a worker, after a walk over all screens and once it is idle.

PSS (proportional set size) counts a page that several processes share in equal parts, so that the sum over processes is what they hold
together. The walk is a browser's: two runs of the demo from Home, every screen of the menu and every part of Evaluate. Then nobody asks
anything, until the helpers have gone home.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
from playwright.sync_api import Page

from bench.screen import screen
from bench.table import table
from core.helpers.helper import idle_seconds
from core.machine.children import NURSERY
from core.machine.home import Home
from core.store import RunStore
from tests.support import Server

PARTS = ("try", "metrics", "confusion", "mistakes", "compare", "map")
SCREENS = ("", "model", "model?model=resnet18&image_size=64&dataset=digits", "build", "train", "runs", "autograd", "notions")
AFTERWARDS = 20.0
"""Seconds beyond the helpers' own in which they are gone."""

Held = dict[str, float]
"""Megabytes (10^6 bytes) of PSS by process."""


def measure(folder: Path, _rounds: int) -> Iterator[str]:
    """One walk, looked at three times."""
    with screen(folder) as (server, browser):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        _wait(page, lambda: _imported(server), "the nursery")
        found: dict[str, Held] = {"server started": held(server)}
        found["while the resnet18 of the demo trains"] = _demo(page, server)
        run_id = RunStore(Home.from_environment(str(folder / "home")).database).runs(limit=1)[0].id
        for path in (*SCREENS, *(f"evaluate?run={run_id}&view={part}" for part in PARTS)):
            _visit(page, f"{server.address}/{path}")
        found["after the walk"] = held(server)
        page.close()
        time.sleep(idle_seconds() + AFTERWARDS)
        found[f"idle {idle_seconds() + AFTERWARDS:g} s later"] = held(server)
    names = sorted({name for at in found.values() for name in at})
    rows = [(name, *(f"{at[name]:,.0f}" if name in at else "-" for at in found.values())) for name in names]
    yield from table(["PSS, MB", *found], [*rows, ("sum", *(f"{sum(at.values()):,.0f}" for at in found.values()))])


def held(server: Server) -> Held:
    """What each process of the server holds just now."""
    found: Held = {}
    seen: Counter[str] = Counter()
    root = psutil.Process(server.pid)
    for process in (root, *root.children(recursive=True)):
        try:
            name = "server" if process == root else _named(process)
            taken = process.memory_full_info().pss / 1e6
        except psutil.NoSuchProcess:
            continue
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = taken
    return found


def _imported(server: Server) -> bool:
    """Whether the server's nursery, if it has one, has imported all: its socket, the last word of its command line, is there then."""
    commands = [child.cmdline() for child in psutil.Process(server.pid).children()]
    return all(Path(words[-1]).exists() for words in commands if NURSERY in words)


def _named(process: psutil.Process) -> str:
    """A helper by what it logs to, the nursery and workers by what they are."""
    log = Path(f"/proc/{process.pid}/fd/2").readlink()
    if log.name == "worker.log":
        return "worker"
    return {"nursery": "nursery", "lab": "helper: models", "explaining": "helper: slow motion", "measuring": "helper: cost"}.get(
        log.stem, f"helper: {log.stem}"
    )


def _demo(page: Page, server: Server) -> Held:
    """Both demos to their ends; what was held in the middle of the second."""
    store = RunStore(Home.from_environment(str(server.home)).database)
    during: Held = {}
    for number, button in enumerate(("Start the demo", "The head of a resnet18 instead"), start=1):
        page.goto(server.address)
        page.get_by_role("button", name=button).click()
        _wait(page, lambda number=number: len(store.runs()) == number, "the run")  # type: ignore[misc]
        _wait(page, lambda: store.runs(limit=1)[0].step > 0, "the first step")
        during = held(server)
        _wait(page, lambda: not store.runs(active=True), "the end of the run")
    return during


def _visit(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("heading").first.wait_for()
    page.wait_for_timeout(1000)
    for waited in ("stSpinner", "stProgress", "stSkeleton"):
        page.get_by_test_id(waited).filter(has_not_text="parameters learn").first.wait_for(state="detached", timeout=120_000)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(state="attached", timeout=120_000)
    page.wait_for_timeout(2000)


def _wait(page: Page, condition: object, what: str, seconds: float = 900) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what} in vain")
        page.wait_for_timeout(200)
