"""Naming runs in a browser: by keyboard, while a clock draws the list anew, with names for screen readers, and nothing wider than the window."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.records.labels import LabelChange
from core.store import RunStore
from tests.support import Server, waiting

pytestmark = pytest.mark.browser

WIDE = "x" * 120
CUT = "links => links.filter(link => link.scrollWidth > link.clientWidth + 1).map(link => link.innerText)"


def ended(server: Server, **settings: object) -> str:
    store = RunStore(Home.from_environment(str(server.home)).database)
    run_id = store.create_run(RunConfig(**{"model": "small_cnn", **settings}))
    store.end(run_id, RunStatus.FINISHED)
    store.close()
    return run_id


def name_of(server: Server, run_id: str) -> str:
    store = RunStore(Home.from_environment(str(server.home)).database)
    name = store.labels(run_id).name
    store.close()
    return name


def test_a_run_is_renamed_by_keyboard_while_its_list_is_drawn_anew(server: Server, page: Page) -> None:
    run_id = ended(server, seed=71)
    page.goto(server.address)
    row = page.locator(f".st-key-history_{run_id}")
    more = row.get_by_role("button", name=re.compile("^More for digits with small_cnn"))
    more.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu", name=re.compile("^More for digits with small_cnn"))).to_be_visible()
    waiting(page, lambda: page.evaluate("document.activeElement.closest('[role=menu]') !== null"), "the menu has the focus")

    def chosen() -> bool:
        page.keyboard.press("ArrowDown")
        return bool(page.evaluate("document.activeElement.innerText") == "Rename and note")

    waiting(page, chosen, "an arrow comes to it")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Rename and note")
    name = dialog.get_by_role("textbox", name="Name", exact=True)
    name.fill("by *keyboard*")
    before = row.inner_text()
    ended(server, seed=72)  # the list has another row once the clock has drawn it anew
    expect(page.get_by_text("seed 72").first).to_be_visible()
    expect(name).to_have_value("by *keyboard*")
    name.press("Enter")
    expect(dialog).to_have_count(0)
    expect(row.get_by_role("link", name="by *keyboard*")).to_be_visible()
    assert before != row.inner_text()
    assert name_of(server, run_id) == "by *keyboard*"
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    assert name_of(server, run_id) == ""


def test_a_long_name_widens_no_page_and_is_what_the_tab_is_called(server: Server, page: Page) -> None:
    run_id = ended(server, seed=73)
    store = RunStore(Home.from_environment(str(server.home)).database)
    store.label(run_id, LabelChange(WIDE, "note " + WIDE, ("t" * 40, "<b>")))
    store.close()
    page.set_viewport_size({"width": 800, "height": 600})
    for path in ("", "/runs", f"/train?run={run_id}", f"/evaluate?run={run_id}"):
        page.goto(f"{server.address}{path}")
        if "evaluate" in path:
            expect(page.get_by_role("combobox", name="Run")).to_have_value(re.compile(WIDE))
        else:
            expect(page.get_by_text(WIDE).first).to_be_visible()
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth <= window.innerWidth"), path
        assert page.locator("[data-testid=stPageLink-NavLink] p").evaluate_all(CUT) == [], path
        if "?run=" in path:
            expect(page).to_have_title(f"{'Evaluate ' if 'evaluate' in path else ''}{WIDE} · Thaw")
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page).to_have_title("Thaw")


def test_what_is_looked_for_is_in_the_address_and_found_after_a_reload(server: Server, page: Page) -> None:
    run_id = ended(server, seed=74)
    store = RunStore(Home.from_environment(str(server.home)).database)
    store.label(run_id, LabelChange("Thimble", starred=True))
    store.close()
    page.goto(f"{server.address}/runs")
    page.get_by_role("textbox", name="Find runs").fill("thimble")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 run has 'thimble'.")).to_be_visible()
    page.get_by_text("Starred only").click()
    waiting(page, lambda: "find=thimble" in page.url and "starred=true" in page.url, "the address says what is looked for")
    page.reload()
    expect(page.get_by_text("1 run has 'thimble' and a star.")).to_be_visible()
    expect(page.get_by_role("textbox", name="Find runs")).to_have_value("thimble")
    expect(page.get_by_role("button", name=re.compile("^More for"))).to_have_count(1)
