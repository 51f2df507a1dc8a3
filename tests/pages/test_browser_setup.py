"""The form of the Train screen, filled in with the keyboard alone: how fast a run computes, and what it keeps."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from core.config import RunConfig
from tests.pages.test_browser_model import draft
from tests.support import Server, waiting

pytestmark = pytest.mark.browser

SMALL = RunConfig(model="small_cnn", image_size=32, freeze="head only")
WANTED = SMALL.replace(accumulate=4, clip_norm=0.5, fused_optimizer=True, feature_cache="float16", watch_budget=0.07)


def unfold(page: Page, *groups: str) -> None:
    """Open groups of the form as a person without a mouse does, once the form stands still."""
    expect(page.get_by_role("switch", name="freeze head", exact=True)).to_be_visible()  # drawn last
    page.wait_for_timeout(500)
    for group in groups:
        page.locator("summary").filter(has_text=group).press("Enter")


def fill(page: Page, label: str, text: str) -> None:
    box = page.get_by_role("spinbutton", name=label, exact=True)
    box.fill(text)
    box.press("Enter")


def test_speed_and_frozen_layers_are_set_by_keyboard_and_kept_on_the_way_to_another_screen(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/train?new=1&model=small_cnn&image_size=32&freeze=head only")
    expect(page.get_by_text("Trainable parameters", exact=True)).to_be_visible()
    fill(page, "Gradient accumulation", "4")
    expect(page.get_by_text("32 x 4 = 128 images in one step; 9 steps an epoch")).to_be_visible()
    fill(page, "Longest gradient", "0.5")
    unfold(page, "Speed", "Frozen layers, computed once", "More settings")
    page.get_by_role("checkbox", name="Fused optimizer").press("Space")
    page.get_by_role("radio", name="Kept as they are").press("ArrowDown")
    fill(page, "Watching budget (%)", "7")
    waiting(page, lambda: draft(page) == WANTED, "all that was set in the address")

    page.get_by_role("link", name="Model screen").click()
    page.get_by_role("link", name="Other settings on Train").click()
    expect(page.get_by_role("spinbutton", name="Gradient accumulation", exact=True)).to_have_value("4")
    waiting(page, lambda: draft(page) == WANTED, "the same in the address of the other screen")
    unfold(page, "Speed", "Frozen layers, computed once", "More settings")
    expect(page.get_by_role("checkbox", name="Fused optimizer")).to_be_checked()
    expect(page.get_by_role("radio", name="Kept in float16")).to_be_checked()
    expect(page.get_by_role("spinbutton", name="Watching budget (%)", exact=True)).to_have_value("7")

    page.get_by_role("radiogroup", name="Speed").get_by_role("radio", name="exact").press("ArrowDown")
    expect(page.get_by_role("checkbox", name="Fused optimizer")).to_have_count(0)
    waiting(page, lambda: draft(page) == WANTED.replace(speed="automatic", fused_optimizer=False), "what automatic decides is given back to it")


def test_the_whole_form_fits_a_narrow_window(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 900})
    page.goto(f"{server.address}/train?new=1&model=small_cnn&image_size=32&accumulate=36")
    expect(page.get_by_test_id("stMain").get_by_role("alert").filter(has_text="36 batches of 32 are more than the 1,150 images")).to_be_visible()
    unfold(page, "Speed", "Frozen layers, computed once", "More settings")
    expect(page.get_by_role("spinbutton", name="Fixed views")).to_be_visible()
    main = page.get_by_test_id("stMain")
    assert main.evaluate("box => box.scrollWidth <= box.clientWidth"), "nothing is wider than the window"
    wide = main.evaluate("box => [...box.querySelectorAll('[class*=st-key-field_]')].filter((one) => one.scrollWidth > one.clientWidth + 1).length")
    assert wide == 0, "no widget is wider than its place"
