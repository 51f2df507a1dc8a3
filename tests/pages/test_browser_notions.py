"""The index of notions and the panel of modes, used as a person uses them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from core.notions import NOTIONS, containing, searched
from tests.javascript import Modules
from tests.support import Server

pytestmark = pytest.mark.browser


def open_notions(page: Page, server: Server, query: str = "") -> None:
    page.goto(f"{server.address}/notions{query}")
    expect(page.locator(".thaw-notions article")).to_have_count(len(NOTIONS))


def entry(page: Page, name: str) -> Locator:
    return page.locator(f".thaw-notions article[data-name='{name}']")


def test_what_is_looked_for_is_found_while_typing(server: Server, page: Page) -> None:
    open_notions(page, server)
    field = page.get_by_label("Look for")
    expect(field).to_be_focused()
    for wanted in ("backprop", "is_leaf", "optimizer.state_dict()"):
        field.fill(wanted)
        names = [notion.name for notion in containing(wanted)]
        assert names
        expect(page.locator(".thaw-notions article:visible")).to_have_count(len(names))
        assert [each.get_attribute("data-name") for each in page.locator(".thaw-notions article:visible").all()] == names
    field.press("Enter")
    expect(entry(page, "Checkpoint")).to_be_focused()
    field.fill("no such thing")
    expect(page.locator(".thaw-notions output")).to_have_text("Nothing has this in its name, sentence or code.")
    expect(page.locator(".thaw-notions h3:visible")).to_have_count(0)
    field.press("Escape")
    expect(page.locator(".thaw-notions output")).to_have_text(f"{len(NOTIONS)} notions")


def test_an_entry_has_an_address(server: Server, page: Page) -> None:
    open_notions(page, server, "?notion=backprop")
    expect(entry(page, "backward")).to_be_focused()
    expect(entry(page, "backward")).to_be_in_viewport()
    expect(page).to_have_url(re.compile(r"\?notion=backward$"))
    entry(page, "Leaf").get_by_role("link", name="Leaf").click()
    expect(page).to_have_url(re.compile(r"\?notion=Leaf$"))
    expect(entry(page, "Leaf")).to_be_focused()
    open_notions(page, server, "?notion=laef")
    expect(page.get_by_text("'laef' is not in the index; did you mean Leaf")).to_be_visible()


def test_a_link_leads_to_the_learners_own_model(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/autograd?example=own&model=mlp&image_size=16&new=1")
    expect(page.locator(".thaw-motion")).to_have_attribute("data-at", re.compile(r"^\d-"))
    page.get_by_role("radio", name="Classic step").click()
    expect(page).to_have_url(re.compile(r"^(?!.*example=own)"))
    page.get_by_role("link", name="Notions").click()
    entry(page, "train()").get_by_role("link", name=re.compile("Autograd: Frozen")).click()
    expect(page.get_by_text(re.compile(r"^MLP heeds|nothing that heeds train\(\) and eval\(\)")).first).to_be_visible()
    expect(page.get_by_text("Frozen, eval, no_grad: what each of them does", exact=True)).to_be_in_viewport()
    expect(page).to_have_url(re.compile("example=own"))
    rows = page.locator("[data-testid=stExpander] table tbody tr")
    expect(rows).to_have_count(6)
    expect(rows.nth(4)).to_contain_text("inference_mode()")
    expect(rows.nth(4)).to_contain_text("refused")


def test_a_link_to_a_run_says_where_there_is_none(server: Server, page: Page) -> None:
    open_notions(page, server)
    assert re.search(
        r"^Train: Learning rate( \(of a run: there is none yet\))?$", entry(page, "Learning rate schedule").locator(".thaw-notion-way").inner_text()
    )
    entry(page, "Batch").get_by_role("link", name="Train: Training").click()
    expect(page.get_by_role("heading", name="Set up a run")).to_be_visible()
    expect(page.get_by_role("heading", name="Training", exact=True)).to_be_in_viewport()


def test_the_part_of_a_screen_is_found_by_its_heading_and_brought_once_the_index_has_gone(modules: Modules) -> None:
    body = """
      const here = document.createElement("div");
      here.innerHTML = "<p>Loss</p><details><summary><p> Show the PyTorch </p></summary></details><h3 hidden>Loss</h3><h3 id='it'>Loss</h3>";
      document.body.replaceChildren(here);
      const found = ["Loss", "Show the PyTorch", "no such part"].map((part) => notions_index.called(part)?.tagName ?? null);
      const brought = [];
      here.querySelector("#it").scrollIntoView = () => brought.push(gone);
      let gone = false;
      notions_index.bring("Loss", () => gone, 2, 0.2);
      await new Promise((done) => setTimeout(done, 300));
      gone = true;
      await new Promise((done) => setTimeout(done, 1000));
      const times = brought.length;
      notions_index.bring("Loss", () => true, 2, 1);
      dispatchEvent(new WheelEvent("wheel"));
      await new Promise((done) => setTimeout(done, 300));
      return [found, brought.every((each) => each), times > 0 && times < 6, brought.length - times];
    """
    assert modules.run("notions_index", body) == [["H3", "P", None], True, True, 0]


@pytest.mark.parametrize("wanted", ["leaf", "LEAF tensor", " state  dict ", "", "zzz"])
def test_the_browser_finds_what_core_finds(wanted: str, modules: Modules) -> None:
    entries: list[dict[str, Any]] = [{"name": each.name, "also": each.also, "says": each.says, "code": each.code} for each in NOTIONS.values()]
    body = "return entries.map((entry) => [notions_index.searched(entry), notions_index.matches(notions_index.searched(entry), wanted)]);"
    found = modules.run("notions_index", body, entries=entries, wanted=wanted)
    assert [text for text, _ in found] == [searched(notion) for notion in NOTIONS.values()]
    assert [notion for notion, (_, matches) in zip(NOTIONS.values(), found, strict=True) if matches] == list(containing(wanted))
