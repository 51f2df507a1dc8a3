"""The form in a real browser: few clicks from Home to a fine-tune of one's own, and a bar that stays in sight and covers nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from playwright.sync_api import Locator, Page, expect

from tests.pages.test_browser import store_of
from tests.pages.test_pages import paint
from tests.support import Server, wait_until, waiting

pytestmark = pytest.mark.browser

MOST_CLICKS = 8


class Person:
    """Somebody who clicks, and types where they have clicked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0
        self.typed = 0

    def click(self, what: Locator) -> None:
        what.click()
        self.clicks += 1

    def type(self, where: Locator, text: str) -> None:
        self.click(where)
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")
        self.typed += 1


def test_from_home_to_a_fine_tune_of_ones_own_folder_with_weights_from_a_file(server: Server, page: Page, tmp_path: Path) -> None:
    photos = paint(tmp_path / "photos", {"ants": 30, "bees": 30})
    weights = tmp_path / "weights_of_mine.pth"
    torch.save(torchvision.models.mobilenet_v3_small(num_classes=5).state_dict(), weights)
    person = Person(page)
    page.goto(server.address)
    person.click(page.get_by_role("link", name="Set up a run"))
    person.click(page.get_by_test_id("stSelectbox").filter(has_text="Dataset").get_by_role("combobox"))
    person.click(page.get_by_role("option", name="folder", exact=True))
    person.type(page.get_by_role("textbox", name="Folder", exact=True), photos)
    person.click(page.get_by_role("radiogroup", name="Starting weights").get_by_text("file", exact=True))
    person.type(page.get_by_role("textbox", name="Weights file", exact=True), str(weights))
    person.click(page.get_by_role("button", name="Use mobilenet_v3_small"))
    expect(page.get_by_text("242 of 244 tensors fit, the head is new (classifier.3).")).to_be_visible()
    expect(page.get_by_text("2,050 of 1,519,906 parameters learn, ")).to_be_visible()
    person.click(page.get_by_role("button", name="Start training"))
    page.wait_for_url(re.compile(r"[?&]run="))
    run_id = page.url.partition("run=")[2].partition("&")[0]
    store = store_of(server)
    wait_until(lambda: store.run(run_id).step > 0, what="the first step")
    run = store.run(run_id)
    assert (str(run.config.freeze), run.config.model, run.config.starting_weights) == ("head only", "mobilenet_v3_small", str(weights))
    assert person.clicks <= MOST_CLICKS
    assert person.typed == 2


def bar(page: Page) -> Locator:
    return page.locator(".st-key-start_bar")


def focused_places(page: Page, most: int = 120) -> Iterator[tuple[str, float]]:
    """What has the focus, one after the other by Tab, and how many pixels of it lie below the upper edge of the bar."""
    for _ in range(most):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """() => { const at = document.activeElement, bar = document.querySelector('.st-key-start_bar');
            if (!bar || bar.contains(at)) return null;
            const below = at.getBoundingClientRect().bottom - bar.getBoundingClientRect().top;
            return [at.getAttribute('aria-label') ?? at.textContent.slice(0, 40), below]; }"""
        )
        if told is None:
            return
        yield told[0], told[1]


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (800, 900), (800, 600)])
def test_start_stays_in_sight_and_covers_nothing_that_has_the_focus(server: Server, page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{server.address}/train?new=1&model=small_cnn&image_size=32&freeze=head only")
    expect(page.get_by_role("switch", name="freeze head", exact=True)).to_be_attached()
    expect(bar(page).get_by_text("1,290 of 94,762 parameters learn, 180 steps.")).to_be_in_viewport()
    main = page.get_by_test_id("stMain")
    for top in (0, 400, 900):
        main.evaluate("(box, top) => box.scrollTo(0, top)", top)
        expect(page.get_by_role("button", name="Start training")).to_be_in_viewport(ratio=1)
    left, right = bar(page).bounding_box(), page.get_by_role("heading", name="What learns").bounding_box()
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] >= right["x"] + right["width"], "both columns wide"
    assert left["height"] < height / 4
    main.evaluate("box => box.scrollTo(0, 0)")
    page.get_by_role("combobox").first.focus()
    places = list(focused_places(page))
    assert len(places) > 20
    assert [(what, below) for what, below in places if below > 0] == [], "covered by the bar"


def test_the_bar_says_what_is_wrong_and_leads_there(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 600})
    page.goto(f"{server.address}/train?new=1&model=small_cnn&image_size=32&epochs=0&clip_norm=-1&seed=-5&watch_every=0&learning_rate=1e9")
    expect(
        bar(page).get_by_text(re.compile(r"^Learning rate: Must be 1000 or less, got \d+; try 0\.001\. Also: Epochs, Seed and 2 more$"))
    ).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_in_viewport(ratio=1)
    bar(page).get_by_role("button", name="Go to Epochs").click()
    waiting(page, lambda: page.evaluate("document.activeElement.getAttribute('aria-label')") == "Epochs", "the cursor in the field")
    expect(page.get_by_role("spinbutton", name="Epochs", exact=True)).to_be_in_viewport(ratio=1)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("box => box.scrollWidth <= box.clientWidth")
    # A field in a section that was closed meanwhile: the section opens.
    page.goto(f"{server.address}/train?new=1&model=small_cnn&image_size=32&watch_every=0")
    expect(bar(page).get_by_role("button", name="Go to Watch every")).to_be_visible()
    page.locator("summary").filter(has_text="More settings").click()
    expect(page.get_by_role("spinbutton", name="Watch every", exact=True)).to_be_hidden()
    bar(page).get_by_role("button", name="Go to Watch every").click()
    expect(page.get_by_role("spinbutton", name="Watch every", exact=True)).to_be_in_viewport()
