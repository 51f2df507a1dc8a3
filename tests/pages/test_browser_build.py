"""The Build screen in a real Chromium: a network is put together, changed, saved, deleted and used by pointing and by keyboard."""

from __future__ import annotations

import re
import urllib.parse
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from torch import nn

from core import networks
from core.machine.home import Home
from core.networks import models
from tests.support import Server, becomes, waiting

pytestmark = pytest.mark.browser

SMALL = "mynet: conv 8, norm, relu, pool, global pool"


def open_build(page: Page, server: Server, network: str = "", **query: str) -> None:
    query = {**({"network": network} if network else {}), **query}
    page.goto(f"{server.address}/build?{urllib.parse.urlencode(query)}")
    expect(page.get_by_role("group", name="Add a layer")).to_be_visible()
    settled(page)


def editor(page: Page) -> Locator:
    return page.locator(".thaw-net")


def settled(page: Page) -> None:
    """Wait until the server has answered the last edit."""
    page.wait_for_function("() => { const d = document.querySelector('.thaw-net').dataset; return Number(d.answered) >= Number(d.sent); }")


def layer(page: Page, name: str) -> Locator:
    """The row of the layer with this attribute name."""
    return page.locator(".net-row").filter(has=page.locator("b", has_text=re.compile(rf"^{name}$")))


def names(page: Page) -> list[str]:
    return page.locator(".net-row b").all_inner_texts()


def returns(page: Page, name: str) -> str:
    return layer(page, name).locator(".net-shape").inner_text()


def error(page: Page, name: str) -> str:
    return layer(page, name).locator(".net-error").inner_text()


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def network_of(url: str) -> str:
    return urllib.parse.parse_qs(urllib.parse.urlparse(url).query).get("network", [""])[0]


def in_url(page: Page) -> str:
    return network_of(page.url)


def test_an_empty_screen_says_what_to_do_and_a_network_grows_by_pointing(server: Server, page: Page) -> None:
    open_build(page, server)
    expect(editor(page)).to_contain_text("No layers yet. Add one below, or start from one of the templates above.")
    expect(button(page, "Save")).to_be_disabled()
    for kind in ("Convolution", "Normalisation", "Activation", "Pool"):
        button(page, f"Add {kind}").click()
    settled(page)
    assert names(page) == ["conv1", "norm1", "relu1", "pool1"]
    assert returns(page, "conv1") == "32 ch, 64 x 64 px"
    assert returns(page, "pool1") == "32 ch, 32 x 32 px"
    assert layer(page, "conv1").locator(".net-count").inner_text() == "896 par."
    expect(page.locator(".net-head")).to_contain_text("flatten, nn.Linear(32768, 10)")
    expect(page.locator(".net-totals")).to_contain_text(f"4 layers and the head · {896 + 64 + 327_690:,} parameters · 1.3 MB")
    expect(button(page, "Save")).to_be_disabled()  # it has no name yet
    page.get_by_label("Name", exact=True).fill("mynet")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(button(page, "Save")).to_be_enabled()
    # A new layer goes below the one at work.
    layer(page, "conv1").click(position={"x": 60, "y": 10})
    expect(page.locator(".net-where")).to_have_text("Add below conv1")
    button(page, "Add Dropout").click()
    settled(page)
    assert names(page) == ["conv1", "dropout1", "norm1", "relu1", "pool1"]
    waiting(page, lambda: in_url(page) == "mynet: conv 32, dropout 0.5, norm, relu, pool", in_url(page))


def test_a_layer_that_does_not_fit_says_so_beside_it_and_nothing_can_be_saved(server: Server, page: Page) -> None:
    open_build(page, server, "mynet: pool, pool, pool, pool, conv 8", size="64")
    kernel = layer(page, "conv1").get_by_label("kernel of conv1")
    kernel.fill("7")
    settled(page)
    assert returns(page, "conv1") == "8 ch, 4 x 4 px"
    layer(page, "conv1").get_by_label("padding of conv1").fill("0")
    expect(layer(page, "conv1").locator(".net-error")).to_have_text(re.compile("kernel 7 does not fit into 4 x 4 pixels; use a smaller kernel"))
    expect(layer(page, "conv1")).to_have_attribute("aria-label", re.compile("error: kernel 7 does not fit"))
    expect(kernel).to_have_attribute("aria-invalid", "true")
    assert kernel.get_attribute("aria-describedby") == layer(page, "conv1").locator(".net-error").get_attribute("id")
    expect(button(page, "Save")).to_be_disabled()
    expect(page.get_by_role("status").filter(has_text="conv1: kernel 7 does not fit")).to_be_attached()
    # The error goes as soon as its cause is gone: here, larger images.
    page.get_by_label("Image size").fill("128")
    page.get_by_label("Image size").press("Enter")
    expect(layer(page, "conv1").locator(".net-shape")).to_have_text("8 ch, 2 x 2 px")
    assert error(page, "conv1") == ""
    expect(button(page, "Save")).to_be_enabled()


def test_nonsense_in_a_field_keeps_the_rest_and_is_said(server: Server, page: Page) -> None:
    open_build(page, server, SMALL)
    channels = layer(page, "conv1").get_by_label("channels of conv1")
    channels.fill("0")
    expect(page.locator(".net-row").first.locator(".net-error")).to_have_text(
        "channels must be a whole number 1 or more and 4096 or less, got '0' (maps that come out, each found by a filter of its own)"
    )
    assert len(names(page)) == 5
    page.reload()
    expect(page.locator(".net-row").first.locator(".net-error")).to_contain_text("got '0'")
    page.locator(".net-row").first.get_by_label("channels").fill("16")
    expect(layer(page, "conv1").locator(".net-shape")).to_have_text("16 ch, 64 x 64 px")


def test_layers_move_by_buttons_by_keyboard_and_by_dragging(server: Server, page: Page) -> None:
    open_build(page, server, SMALL)
    button(page, "Move relu1 up (Alt+Up)").click()
    settled(page)
    assert names(page) == ["conv1", "relu1", "norm1", "pool1", "global_pool1"]
    expect(button(page, "Move relu1 up (Alt+Up)")).to_be_focused()
    page.keyboard.press("Alt+ArrowUp")
    settled(page)
    assert names(page) == ["relu1", "conv1", "norm1", "pool1", "global_pool1"]
    page.keyboard.press("Alt+ArrowDown")
    page.keyboard.press("Alt+ArrowDown")
    settled(page)
    assert names(page) == ["conv1", "norm1", "relu1", "pool1", "global_pool1"]
    layer(page, "pool1").locator(".net-grip").drag_to(layer(page, "conv1"), target_position={"x": 100, "y": 3})
    waiting(page, lambda: names(page)[0] == "pool1", "dragged to the top")
    settled(page)
    assert returns(page, "conv1") == "8 ch, 32 x 32 px"
    waiting(page, lambda: in_url(page) == "mynet: pool, conv 8, norm, relu, global pool", in_url(page))


def test_all_of_it_works_without_a_mouse(server: Server, page: Page) -> None:
    open_build(page, server)
    button(page, "Add Convolution").focus()
    page.keyboard.press("Enter")
    settled(page)
    expect(button(page, "Add Convolution")).to_be_focused()
    page.keyboard.press("Enter")
    settled(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    settled(page)
    assert names(page) == ["conv1", "conv2", "norm1"]
    # From the field of a layer: the arrows of a number, undo, and removing by a button's key.
    layer(page, "conv2").get_by_label("channels of conv2").focus()
    page.keyboard.press("ArrowUp")
    settled(page)
    assert returns(page, "conv2").startswith("33 ch")
    page.keyboard.press("Control+z")
    settled(page)
    assert returns(page, "conv2").startswith("32 ch")
    button(page, "Remove conv2").focus()
    page.keyboard.press("Delete")
    settled(page)
    assert names(page) == ["conv1", "norm1"]
    expect(button(page, "Remove norm1")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="conv2 removed")).to_be_attached()


def test_every_edit_can_be_undone_and_done_again(server: Server, page: Page) -> None:
    open_build(page, server, SMALL)
    expect(button(page, "Undo (Ctrl+Z)")).to_be_disabled()
    texts = [in_url(page)]
    layer(page, "conv1").get_by_label("channels of conv1").fill("64")
    page.keyboard.press("Tab")
    settled(page)
    layer(page, "norm1").get_by_label("kind of norm1").select_option("group")
    settled(page)
    button(page, "Remove relu1").click()
    settled(page)
    button(page, "ResNet-like").click()  # a template is one step, too
    expect(layer(page, "residual5")).to_be_visible()
    for expected in ("conv 64, group norm, pool, global pool", "conv 64, group norm, relu, pool", "conv 64, norm, relu", "conv 8, norm"):
        button(page, "Undo (Ctrl+Z)").click()
        waiting(page, partial(_is_now, page, f": {expected}"), f"{expected} in {in_url(page)}")
    expect(button(page, "Undo (Ctrl+Z)")).to_be_disabled()
    assert in_url(page).partition(": ")[2] == texts[0].partition(": ")[2]
    for _ in range(4):
        button(page, "Redo (Ctrl+Shift+Z)").click()
    waiting(page, lambda: "residual 128" in in_url(page), in_url(page))
    expect(button(page, "Redo (Ctrl+Shift+Z)")).to_be_disabled()


def _is_now(page: Page, part: str) -> bool:
    return part in in_url(page)


def test_ten_quick_changes_are_all_made_and_all_undone(server: Server, page: Page) -> None:
    open_build(page, server, SMALL)
    page.evaluate("() => { for (let i = 0; i < 10; i++) document.querySelector('[data-add=\"activation\"]').click(); }")
    settled(page)
    assert len(names(page)) == 15
    waiting(page, lambda: in_url(page).count("relu") == 11, in_url(page))
    page.evaluate("() => { for (let i = 0; i < 10; i++) document.querySelector('[data-act=\"undo\"]').click(); }")
    waiting(page, lambda: in_url(page) == SMALL, in_url(page))


def test_a_refresh_and_another_screen_lose_nothing(server: Server, page: Page) -> None:
    open_build(page, server, SMALL)
    button(page, "Add Residual block").click()
    settled(page)
    text = "mynet: conv 8, norm, relu, pool, global pool, residual 64"
    waiting(page, lambda: in_url(page) == text, in_url(page))
    page.reload()
    expect(layer(page, "residual1")).to_be_visible()
    becomes(page, lambda: names(page), ["conv1", "norm1", "relu1", "pool1", "global_pool1", "residual1"])
    expect(page.get_by_label("Name", exact=True)).to_have_value("mynet")
    page.get_by_role("link", name="Home").first.click()
    expect(page.get_by_role("heading", name="Thaw")).to_be_visible()
    page.get_by_role("link", name="Build").first.click()
    expect(layer(page, "residual1")).to_be_visible()
    waiting(page, lambda: in_url(page) == text, in_url(page))


def test_nonsense_in_the_url_is_shown_as_what_it_is(server: Server, page: Page) -> None:
    open_build(page, server, "a b: conv 8, no such layer, relu", size="many", classes="-3")
    expect(page.get_by_role("alert").filter(has_text="'a b' cannot be the name of a network")).to_be_visible()
    row = page.locator(".net-row").nth(1)
    expect(row).to_contain_text("there is no layer 'no'")
    row.get_by_role("button", name="Remove").click()
    settled(page)
    assert names(page) == ["conv1", "relu1"]


def test_a_network_is_saved_opened_deleted_and_brought_back(own_server: Server, page: Page) -> None:
    home = Home(own_server.home)
    open_build(page, own_server, SMALL)
    expect(page.get_by_text("None yet. What you save stands here")).to_be_visible()
    button(page, "Save").click()
    expect(page.get_by_text("It stands among the models now")).to_be_visible()
    assert networks.saved(home) == {"mynet": SMALL}

    # Another network under the same name asks first.
    button(page, "Remove relu1").click()
    settled(page)
    button(page, "Save").click()
    expect(page.get_by_text("Another network is saved as mynet.")).to_be_visible()
    assert networks.saved(home) == {"mynet": SMALL}
    button(page, "Replace mynet").click()
    expect(page.get_by_text("It stands among the models now")).to_be_visible()
    assert networks.saved(home) == {"mynet": "mynet: conv 8, norm, pool, global pool"}

    button(page, "Delete").click()
    expect(page.get_by_text("mynet was deleted.")).to_be_visible()
    assert networks.saved(home) == {}
    button(page, "Undo").click()
    waiting(page, lambda: list(networks.saved(home)) == ["mynet"], "the network that was brought back")
    expect(button(page, "Open")).to_be_visible()

    (home.networks / "broken.txt").write_text("broken: conv zero")
    open_build(page, own_server)
    expect(page.get_by_text("broken.txt was left out: layer 1, 'conv zero'")).to_be_visible()
    button(page, "Open").click()
    expect(layer(page, "global_pool1")).to_be_visible()
    becomes(page, lambda: names(page), ["conv1", "norm1", "pool1", "global_pool1"])
    expect(page.get_by_label("Name", exact=True)).to_have_value("mynet")


def test_the_class_that_is_shown_and_downloaded_is_the_network(server: Server, page: Page, tmp_path: Path) -> None:
    open_build(page, server, "my-net: conv 8 bias=no, norm, gelu, residual 12 stride=2, global pool", size="32", classes="7")
    expect(page.get_by_test_id("stCode")).to_contain_text("self.residual1 = Residual(8, 12, stride=2)")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download my-net.py").click()
    file = tmp_path / download.value.suggested_filename
    assert file.name == "my-net.py"
    download.value.save_as(file)
    found: dict[str, Any] = {}
    exec(compile(file.read_text(), "my-net.py", "exec"), found)
    by_hand: nn.Module = found["MyNet"]()
    ours = models.build("my-net: conv 8 bias=no, norm, gelu, residual 12 stride=2, global pool", 7, 32)
    by_hand.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(by_hand.eval()(images), ours.eval()(images))


def test_use_it_takes_the_network_to_the_model_screen(server: Server, page: Page) -> None:
    open_build(page, server, SMALL, size="32")
    button(page, "Use it").click()
    page.wait_for_url(re.compile(r"/model"))
    expect(page.get_by_role("switch", name="freeze conv1", exact=True)).to_be_visible()
    expect(page.get_by_label("Image size", exact=True)).to_have_value("32")
    model = page.get_by_test_id("stSelectbox").filter(has_text=re.compile("^Model"))
    expect(model.get_by_role("combobox")).to_have_value("mynet")


def test_nothing_is_cut_off_on_wide_and_narrow_screens(server: Server, page: Page) -> None:
    open_build(page, server, "mynet: conv 4096 kernel=31 groups=1 dilation=2, residual 64 norm=group, leaky relu 0.2, global max pool 7", size="128")
    layer(page, "conv1").get_by_role("button", name="Further options of conv1").click()
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("width => innerWidth === width", arg=width)
        outside = page.evaluate("""() => {
            const root = document.querySelector(".thaw-net").getBoundingClientRect();
            return [...document.querySelectorAll(".thaw-net :is(input, select, button, .net-shape, .net-count)")].filter((each) => {
                const box = each.getBoundingClientRect();
                const cut = each.tagName === "SPAN" && each.scrollWidth > each.clientWidth + 2;
                return box.width && (cut || box.left < root.left - 1 || box.right > root.right + 1);
            }).map((each) => each.outerHTML.slice(0, 120));
        }""")
        assert outside == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
