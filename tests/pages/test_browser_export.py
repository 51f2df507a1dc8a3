"""A small run taken away in a real Chromium: exported with its receipt, downloaded, and many pictures predicted, through refreshes. One server."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from core.config import RunConfig
from core.export.export import earlier, exports_folder
from core.machine.home import Home
from core.store import Run
from core.worker.supervisor import Supervisor
from tests.pages.test_browser import store_of
from tests.support import Server, nursery, wait_until, waiting

pytestmark = pytest.mark.browser

TINY = RunConfig(model="small_cnn", image_size=16, epochs=1, learning_rate=0.01, threads=1, device="cpu")


@pytest.fixture(scope="module")
def run(server: Server) -> Iterator[Run]:
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store, nursery())
    run_id = supervisor.start(TINY)
    wait_until(lambda: not store.run(run_id).status.active, timeout=120, what="the end of the run")
    assert store.run(run_id).result is not None, store.run(run_id).error
    yield store.run(run_id)
    supervisor.close()


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(256, size=(12, 9), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def content(page: Page, button: Locator) -> bytes:
    """What a press on a button downloads."""
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_bytes()


def test_a_run_is_exported_found_again_after_a_refresh_downloaded_and_deleted(server: Server, page: Page, run: Run) -> None:
    home = Home(server.home)
    page.goto(f"{server.address}/train?run={run.id}")
    box = page.get_by_test_id("stExpander").filter(has=page.get_by_text("Export this run", exact=True))
    charts = page.locator(".st-key-run_charts")
    expect(charts).to_be_visible()
    head = box.get_by_text("Export this run", exact=True)
    head.scroll_into_view_if_needed()

    def top() -> float:
        found: float = charts.evaluate("element => element.getBoundingClientRect().top + document.querySelector('[data-testid=stMain]').scrollTop")
        return found

    expect(page.locator(".st-key-run_doctor")).to_be_visible()
    place = top()
    head.click()
    page.get_by_role("radio", name=re.compile("^safetensors")).check(force=True)
    page.get_by_role("button", name="Export as safetensors").click()
    page.reload()  # it goes on: the box opens by itself, with the work or with what came of it
    verdict = page.get_by_text("safetensors: the same answers")
    expect(verdict).to_be_visible(timeout=120_000)
    (made,) = earlier(home, run.id)
    assert made.receipt is not None
    assert made.receipt.same
    card = page.locator('[class*="st-key-exported_"]')
    expect(card).to_contain_text("Same answers")
    expect(card).to_contain_text(f"{made.receipt.pictures:,} of {made.receipt.pictures:,} pictures: same class")
    expect(card).to_contain_text(str(made.path))
    waiting(page, lambda: top() <= place + 1, "the charts where they were: nothing has pushed them down")
    assert content(page, card.get_by_role("button", name="Download")) == made.path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content(page, card.get_by_role("button", name="All as zip")))) as archive:
        assert set(archive.namelist()) == {made.path.name, *(path.name for path in made.beside)}
    card.get_by_text("Receipt", exact=True).click()
    expect(card.get_by_role("table")).to_contain_text("SHA-256")
    expect(card.get_by_role("table")).to_contain_text(made.receipt.digest)
    expect(page.get_by_role("button", name="Export as safetensors")).to_be_visible()
    page.get_by_role("button", name="Export as safetensors").click()
    expect(page.get_by_text("is there already")).to_be_visible()
    page.keyboard.press("Escape")
    card.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("No exports of this run yet.")).to_be_visible()
    assert not [path for path in exports_folder(home, run.id).iterdir() if not path.name.startswith(".")]


def test_many_pictures_become_a_table_that_stays_over_a_refresh(server: Server, page: Page, run: Run, tmp_path: Path) -> None:
    page.goto(f"{server.address}/evaluate?run={run.id}")
    page.get_by_test_id("stButtonGroup").get_by_text("Many", exact=True).click()
    files: list[FilePayload] = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": png(number)} for number in range(3)]
    files.append({"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.locator('input[type="file"]').set_input_files(files)
    page.get_by_role("button", name="Predict 4 files").click()
    expect(page.get_by_text("4 pictures: 3 pictures")).to_be_visible()
    waiting(page, lambda: re.search("many=[0-9a-f]{16}", page.url), "the table's address")
    expect(page.get_by_text("1 picture could not be used")).to_be_visible()
    page.reload()
    expect(page.get_by_text("4 pictures: 3 pictures")).to_be_visible()
    expect(page.get_by_test_id("stDataFrame").last).to_be_visible()
    table = content(page, page.get_by_role("button", name="Download CSV")).decode()
    head, *rows = csv.reader(io.StringIO(table, newline=""))
    assert head == ["file", "predicted", "probability", *"0123456789"]
    assert [row[0] for row in rows] == ["0.png", "1.png", "2.png"]
    packed = content(page, page.get_by_role("button", name="Download sorted into class folders"))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert sorted(archive.namelist()) == sorted(f"{row[1]}/{row[0]}" for row in rows)
    # A folder on this machine, by its path and the Enter key; then another kind of picture, and back.
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for number in range(2):
        (tmp_path / "photos" / "deep" / f"{number}.png").write_bytes(png(number))
    path = page.get_by_role("textbox", name="A folder, zip file or picture on this machine")
    path.fill(str(tmp_path / "photos"))
    path.press("Enter")
    expect(page.get_by_text("photos: 2 pictures")).to_be_visible()
    page.get_by_test_id("stButtonGroup").get_by_text("Upload", exact=True).click()
    expect(page.get_by_text("Bring a picture along")).to_be_visible()
    waiting(page, lambda: "many=" not in page.url, "the address without the table")
    page.get_by_test_id("stButtonGroup").get_by_text("Many", exact=True).click()
    expect(page.get_by_text("photos: 2 pictures")).to_be_visible()
