"""What is wrong with data, in a browser: doubles mended and brought back, a lasso that filters the gallery, doubted labels judged by keyboard."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from core import versions
from core.machine.home import Home
from tests.curating.planted import NAME, item, saved, version
from tests.support import Server, becomes

pytestmark = pytest.mark.browser

SWAPPED = (4, 11)
"""Pictures with the label of the other class."""


def tinted(seed: int, warm: bool, side: int = 40) -> Image.Image:
    """Blobs of red or of blue."""
    noise = np.random.default_rng(seed).integers(0, 90, (5, 5, 3), dtype=np.uint8)
    noise[..., 0 if warm else 2] += 140
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def home(server: Server) -> Home:
    """60 pictures of two colours: two labels swapped, two pictures in two splits, one that is flat."""
    home = Home.from_environment(str(server.home))
    items = []
    for place in range(60):
        warm = place % 2 == 0
        label = "red" if warm != (place in SWAPPED) else "blue"
        items.append(item(home, saved(tinted(place, warm)), f"{label}/{place}.png", label, "test" if place < 12 else "train"))
    for place in (0, 1):
        again = saved(tinted(place, place == 0), "JPEG", quality=85)
        items.append(item(home, again, f"{items[place].label}/again{place}.jpg", items[place].label, "train"))
    items.append(item(home, saved(Image.new("RGB", (40, 40), (180, 20, 20))), "red/flat.png", "red", "train"))
    version(home, items)
    return home


def newest(home: Home) -> versions.Version:
    return versions.read(home, NAME)


def open_part(page: Page, server: Server, part: str) -> None:
    page.goto(f"{server.address}/data?dataset=own:{NAME}&part={part}")


def test_doubles_are_shown_side_by_side_mended_at_one_click_and_brought_back(server: Server, page: Page, home: Home) -> None:
    before = newest(home)
    open_part(page, server, "duplicates")
    groups = page.get_by_role("list", name="Pictures that are there more than once: In two splits").locator("> li")
    expect(groups).to_have_count(2)
    expect(groups.first.get_by_role("listitem")).to_have_count(2)
    expect(groups.first.locator("img").first).to_have_js_property("complete", True)
    groups.first.get_by_role("button", name="Leave out of train").click()
    expect(page.get_by_text("1 double left out of train.")).to_be_visible()
    expect(groups).to_have_count(1)
    assert [one.name for one in before.items if one.key not in newest(home).by_key] == ["red/again0.jpg"]
    page.get_by_role("button", name="Undo").click()
    expect(groups).to_have_count(2)
    page.get_by_role("button", name="Move all to train: all 2").click()
    expect(page.get_by_text("None of the 63 pictures is there twice")).not_to_be_visible()
    expect(page.get_by_text("in one class and split: 2")).to_be_visible()
    assert {newest(home).items[place].split for place in (0, 1, 60, 61)} == {"train"}
    page.get_by_role("button", name="Undo").click()
    expect(groups).to_have_count(2)
    assert newest(home).items == before.items


def test_a_lasso_and_keys_on_the_map_filter_the_gallery_and_what_is_chosen_can_be_changed(server: Server, page: Page, home: Home) -> None:
    before = newest(home)
    open_part(page, server, "map")
    map_, told = page.locator(".thaw-picture-map"), page.locator(".thaw-gallery-told")
    expect(map_).to_have_attribute("data-points", "63")
    expect(told).to_have_text("63 pictures")
    box = map_.locator("canvas").bounding_box()
    assert box is not None
    middle, half = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), (box["width"] / 2, box["height"] / 2)
    page.mouse.move(middle[0] - 2, middle[1] - half[1] + 4)
    page.mouse.down()
    for x, y in ((-half[0] + 4, -half[1] + 4), (-half[0] + 4, half[1] - 4), (-2, half[1] - 4), (-2, 0)):
        page.mouse.move(middle[0] + x, middle[1] + y, steps=4)
    page.mouse.up()
    expect(told).to_contain_text("(chosen on the map)")
    chosen = int(map_.get_attribute("data-chosen") or 0)
    assert 15 < chosen < 50, "one of two colours lies on either side"
    expect(told).to_have_text(f"{chosen} pictures (chosen on the map)")
    page.get_by_role("button", name=f"Select all {chosen}").click()
    page.get_by_role("combobox", name="Move to").select_option("validation")
    expect(page.get_by_text(f"{chosen} pictures moved to validation.")).to_be_visible()
    expect(told).to_have_text("63 pictures")
    assert sum(one.split == "validation" for one in newest(home).items) == chosen
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("restored")).to_be_visible()
    assert newest(home).items == before.items

    expect(map_).to_have_attribute("data-points", "63")
    map_.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    expect(map_.locator(".thaw-picture-map-hint img")).to_be_visible()
    page.keyboard.press("n")
    expect(told).to_have_text("24 pictures (chosen on the map)")
    page.keyboard.press("Escape")
    expect(told).to_have_text("63 pictures")


def test_doubted_labels_are_judged_by_keyboard_remembered_and_make_one_version(server: Server, page: Page, home: Home) -> None:
    before = newest(home)
    open_part(page, server, "doubts")
    wall = page.locator(".thaw-doubts")
    told = wall.locator(".thaw-doubts-told")
    expect(told).to_contain_text("0 of")
    count = wall.get_by_role("option").count()
    assert count >= len(SWAPPED)
    stage = wall.get_by_role("application")
    stage.focus()
    first = int(wall.get_attribute("data-at") or -1)
    assert first in SWAPPED, "the most doubtful label is one that was swapped"
    own = before.classes.index(before.items[first].label)
    page.keyboard.press(str(2 - own))  # the other class: keys count from 1
    expect(told).to_have_text(f"1 of {count} looked at: 1 corrected, 0 confirmed.")
    second = int(wall.get_attribute("data-at") or -1)
    assert second != first
    page.keyboard.press("Space")
    expect(told).to_have_text(f"2 of {count} looked at: 1 corrected, 1 confirmed.")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Home")
    expect(wall).to_have_attribute("data-at", str(first))
    expect(page.get_by_role("button", name="Make a version with 1 correction")).to_be_enabled()
    page.reload()
    expect(told).to_have_text(f"2 of {count} looked at: 1 corrected, 1 confirmed.")
    page.get_by_role("button", name="Make a version with 1 correction").click()
    expect(page.get_by_text("1 doubted label corrected.")).to_be_visible()
    after = newest(home)
    assert [old.name for old, new in zip(before.items, after.items, strict=True) if old.label != new.label] == [before.items[first].name]
    expect(page.get_by_text("Of 2 doubted labels that were looked at")).to_be_visible()
    for place in (first, second):  # neither is asked about again
        expect(wall.locator(f'[role="option"][data-place="{place}"]')).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("restored")).to_be_visible()
    expect(wall).to_have_attribute("data-at", str(first))
    assert newest(home).items == before.items


def test_figures_are_drawn_and_what_stands_out_opens_in_the_gallery(server: Server, page: Page, home: Home) -> None:
    open_part(page, server, "balance")
    expect(page.locator(".st-key-data_balance .js-plotly-plot")).to_be_visible()
    expect(page.locator(".st-key-data_colours .js-plotly-plot")).to_be_visible()
    expect(page.get_by_text("Of all 63 pictures, each counting alike.")).to_be_visible()
    expect(page.get_by_text("As good as one colour: red/flat.png")).to_be_visible()
    page.locator(".st-key-data_odd_0").get_by_role("button").click()
    expect(page.get_by_role("listbox", name="Pictures").get_by_role("option")).to_have_count(1)
    assert math.isclose(sum(newest(home).counts["train"]), 51)


def test_all_of_it_fits_a_narrow_window(server: Server, page: Page, home: Home) -> None:
    page.set_viewport_size({"width": 800, "height": 900})
    for part, drawn in (("duplicates", ".thaw-doubles-group"), ("map", ".thaw-picture-map[data-points]"), ("doubts", ".thaw-doubts-stage")):
        open_part(page, server, part)
        expect(page.locator(drawn).first).to_be_visible()
        main = page.get_by_test_id("stMain")
        becomes(page, partial(main.evaluate, "box => box.scrollWidth <= box.clientWidth"), True)  # the address names the part
    assert newest(home).dataset == NAME
