"""The Model screen's own code, what normalising does, and how much to freeze: used as a person uses them, with the keyboard too."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.pages.test_browser_model import open_model
from tests.support import Server

pytestmark = pytest.mark.browser


def test_the_code_of_a_layer_follows_the_tree_and_the_keyboard(page: Page, server: Server) -> None:
    open_model(page, server)
    page.get_by_text("The model's own code").click()
    trail = page.get_by_role("navigation", name="Where the layer is")
    expect(trail.get_by_role("button", name="small_cnn")).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("region", name="The model's class: SmallCNN")).to_contain_text("def forward(self, x: Tensor)")

    # From the tree, with the keyboard.
    page.get_by_role("treeitem").first.focus()
    page.keyboard.press("End")
    page.keyboard.press("Home")
    around = page.get_by_role("region", name=re.compile("^SmallCNN, which makes it in line"))
    # Where a class stands is set apart from what it is.
    expect(page.locator(".thaw-source figcaption").first).to_have_text(re.compile(r"^SmallCNN, which .* line \d+ · [\w.]+, line \d+$"))
    expect(around.locator(".thaw-marked")).to_have_count(2)
    expect(around.locator(".thaw-marked").nth(0)).to_contain_text("self.stage1 = _stage(3, 32)")
    expect(around.locator(".thaw-marked").nth(1)).to_contain_text("x = self.stage1(x)")

    # Deeper, with the keyboard, and the note of a container.
    inside = page.get_by_role("group", name="Layers inside")
    inside.get_by_role("button", name="1 BatchNorm2d").focus()
    page.keyboard.press("Enter")
    expect(trail.get_by_role("button").nth(2)).to_be_focused()
    expect(page.get_by_text("stage1 is an nn.Sequential: its forward calls what is in it")).to_be_visible()
    expect(page.get_by_role("region", name="Its own class: BatchNorm2d")).to_be_visible()
    expect(page.locator(".thaw-pointed")).to_have_attribute("data-path", re.compile("^stage1"))


def test_what_the_model_sees_is_shown_with_other_figures(page: Page, server: Server) -> None:
    open_model(page, server)
    page.get_by_text("What the model sees: why pictures are normalised").click()
    expect(page.get_by_role("row", name=re.compile("as its weights expect"))).to_contain_text("0.485 0.456 0.406; 0.229 0.224 0.225")
    expect(page.get_by_text("These weights are random: no figures are wrong for them yet")).to_be_visible()


def test_how_much_to_freeze_is_told_from_runs_and_pictures(page: Page, server: Server) -> None:
    open_model(page, server)
    page.get_by_text("How much to freeze: what your runs and pictures say").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="head only", exact=True))
    expect(row).to_contain_text("1,290")
    expect(row).to_contain_text("1.1 a picture")
    page.get_by_role("button", name="Try the features on your pictures").click()
    expect(page.get_by_text(re.compile(r"of 200 pictures .* lie nearest to the mean of their own class"))).to_be_visible()
