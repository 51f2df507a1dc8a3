"""A dataset of 60,000 pictures on screen: how soon its gallery is there, and how soon a lasso on its map has filtered it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page

from bench.imports import make
from bench.screen import screen
from bench.table import spread, table
from core.machine.home import child_environment
from tests.support import Server

PICTURES, SIZE = 60_000, (32, 32)  # px
WARM_UP_SECONDS = 15.0  # the server's helper processes import torch at first
MOST_PAINT, MOST_LASSO = 1.5, 0.5
"""Seconds that are asked for at most."""

NAME = "many"
TILES = "() => document.querySelectorAll('.thaw-gallery-tile').length > 0"
SEEN = """() => { const images = [...document.querySelectorAll('.thaw-gallery-tile img')];
    return images.length > 0 && images.every((image) => image.complete && image.naturalWidth); }"""
MAPPED = "() => Number(document.querySelector('.thaw-picture-map')?.dataset.points) > 0"

LASSO = """() => { window.thawLasso = new Promise((done) => {
    const told = document.querySelector('.thaw-gallery-told'), canvas = document.querySelector('.thaw-picture-map canvas');
    canvas.addEventListener('pointerup', () => {
        const began = performance.now(), end = () => requestAnimationFrame(() => setTimeout(() => done((performance.now() - began) / 1000)));
        const look = () => (told.textContent.includes('chosen on the map') ? end() : requestAnimationFrame(look));
        requestAnimationFrame(look);
    }, { capture: true, once: true });
}); }"""
"""Have `thawLasso` count from the end of the line to the frame behind the one in which map and gallery are painted."""


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """Import by command; then the gallery by its address and by a click, a filter, and the map."""
    pictures = make(folder / "pictures", PICTURES, size=SIZE)
    began = time.perf_counter()
    line = ["import", str(pictures), "--name", NAME, "--home", str(folder / "home")]
    subprocess.run([sys.executable, "-m", "core", *line], env=child_environment(), check=True, stderr=subprocess.DEVNULL)
    yield f"{PICTURES:,} JPEG files of {SIZE[0]} x {SIZE[1]} px, imported in {time.perf_counter() - began:.0f} s; {rounds} rounds, seconds."
    yield ""
    with screen(folder) as (server, browser):
        time.sleep(WARM_UP_SECONDS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        first = by_address(page, server)
        tabs = [by_address(page, server) for _ in range(rounds)]
        clicks = [by_click(page, server) for _ in range(rounds)]
        filters = [filtered(page) for _ in range(rounds)]
        began = time.perf_counter()
        page.goto(f"{server.address}/data?dataset=own:{NAME}&part=map", wait_until="commit")
        page.wait_for_function(MAPPED, polling=20, timeout=600_000)
        made = time.perf_counter() - began
        lassos, chosen = zip(*(lasso(page) for _ in range(rounds)), strict=True)
        rows = [
            ("address in an empty tab, the first time: tiles", f"{first[0]:.2f}"),
            (f"address in an empty tab: tiles (asked for: {MOST_PAINT:g} at most)", spread([drawn for drawn, _ in tabs])),
            ("likewise, with every picture in sight", spread([seen for _, seen in tabs])),
            ("Open, on the page of all datasets: tiles", spread(clicks)),
            ("a class chosen in the filter: the wall drawn anew", spread(filters, 3)),
            ("the map, worked out once", f"{made:.1f}"),
            (f"lasso to filtered gallery, {max(chosen):,} pictures in it (asked for: {MOST_LASSO:g} at most)", spread(list(lassos), 3)),
        ]
        yield from table(("", "seconds"), rows)


def by_address(page: Page, server: Server) -> tuple[float, float]:
    """Seconds from the address in an empty tab to the first tiles, and to all pictures in sight: Streamlit itself is loaded too."""
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(f"{server.address}/data?dataset=own:{NAME}", wait_until="commit")
    return _painted(page, TILES, began), _painted(page, SEEN, began)


def by_click(page: Page, server: Server) -> float:
    """Seconds from a click on the dataset's card to the first tiles."""
    page.goto(f"{server.address}/data")
    page.get_by_role("button", name="Open", exact=True).first.wait_for()
    page.wait_for_timeout(2000)  # for the rest of the page
    began = time.perf_counter()
    page.get_by_role("button", name="Open", exact=True).first.click()
    return _painted(page, TILES, began)


def filtered(page: Page) -> float:
    """Seconds from a class in the filter to the wall of its pictures, in the page itself."""
    script = """() => { const ask = document.querySelector('.thaw-gallery select'), began = performance.now();
        ask.value = ask.value ? '' : ask.options[1].value;
        ask.dispatchEvent(new Event('change'));
        document.querySelector('.thaw-gallery-view').getBoundingClientRect();
        return (performance.now() - began) / 1000; }"""
    return float(page.evaluate(script))


def lasso(page: Page) -> tuple[float, int]:
    """Seconds from the end of a line around half of the map to the painted gallery, and how many pictures are in it."""
    page.locator(".thaw-picture-map canvas").scroll_into_view_if_needed()
    box = page.locator(".thaw-picture-map canvas").bounding_box()
    assert box is not None
    left, top, middle, bottom = box["x"] + 3, box["y"] + 3, box["x"] + box["width"] / 2, box["y"] + box["height"] - 3
    page.keyboard.press("Escape")
    page.evaluate(LASSO)
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((middle, top), (middle, bottom), (left, bottom), (left, top + 9)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    seconds = float(page.evaluate("() => window.thawLasso"))
    return seconds, int(page.locator(".thaw-picture-map").get_attribute("data-chosen") or 0)


def _painted(page: Page, condition: str, began: float) -> float:
    page.wait_for_function(condition, polling=10, timeout=60_000)
    page.evaluate("() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)))")
    return time.perf_counter() - began
