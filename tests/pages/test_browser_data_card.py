"""The data card in a browser: it fits a narrow window whatever the classes are called, and fills itself once a folder has been looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support import Server

pytestmark = pytest.mark.browser

LONG = "a_class_whose_name_has_sixty_letters_without_a_single_space_"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 classes with names of 60 letters and more."""
    root = tmp_path_factory.mktemp("data") / ("folder_" * 12)
    for number in range(120):
        home = root / f"{LONG}{number:03}"
        home.mkdir(parents=True)
        for picture in range(3):
            Image.new("RGB", (24, 16), (2 * number, 90, 40 * picture)).save(home / f"{picture}.png")
    return root


def test_120_classes_with_long_names_widen_no_page_and_all_can_be_listed_by_keyboard(server: Server, page: Page, many: Path) -> None:
    page.set_viewport_size({"width": 800, "height": 900})
    page.goto(f"{server.address}/train?new=1&model=small_cnn&image_size=32&dataset=folder:{many}")
    card = page.locator(".st-key-data_card")
    expect(card.get_by_text("120 classes · 360 pictures")).to_be_visible()
    expect(card.locator(".tiles img")).to_have_count(8)
    summary = card.locator("summary").filter(has_text="Show all 120 classes")
    expect(card.locator(".bars li:visible")).to_have_count(12)
    summary.press("Enter")
    expect(card.locator(".bars li:visible")).to_have_count(120)
    scrolling = card.get_by_role("group", name="The other classes")
    assert scrolling.evaluate("box => box.scrollHeight > 2 * box.clientHeight"), "it scrolls by itself"
    assert scrolling.evaluate("box => { box.focus(); return document.activeElement === box; }"), "with the keyboard too"
    for place in (page.get_by_test_id("stMain"), card, scrolling):
        assert place.evaluate("box => box.scrollWidth <= box.clientWidth"), "nothing is wider than its place"


def test_a_pasted_path_is_cleaned_and_what_is_in_it_appears(server: Server, page: Page, many: Path) -> None:
    page.goto(f"{server.address}/train?new=1&model=small_cnn&image_size=32")
    expect(page.locator(".st-key-data_card").get_by_text("Digits · 10 classes")).to_be_visible()
    page.get_by_role("combobox", name="Dataset").press("ArrowDown")
    page.get_by_role("option", name="folder", exact=True).click()
    box = page.get_by_role("textbox", name="Folder")
    box.fill(f" 'file://{many}/' ")
    box.press("Enter")
    expect(box).to_have_value(str(many))
    expect(page.locator(".st-key-data_card").get_by_text("120 classes · 360 pictures")).to_be_visible()
    expect(page.get_by_role("img", name="as the model sees it")).to_have_count(8)
