"""The Autograd screen, used as a person uses it: a step in slow motion, gradients that add up, what freezing leaves out, and the graph."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support import Server, waiting

pytestmark = pytest.mark.browser


def open_autograd(page: Page, server: Server, **fields: str) -> None:
    """Open the screen and wait until its step and its graph are there."""
    page.goto(f"{server.address}/autograd?" + "&".join(f"{name}={quote(value)}" for name, value in fields.items()))
    shown(page)


def shown(page: Page) -> None:
    expect(page.locator(".thaw-motion")).to_have_attribute("data-at", re.compile(r"^\d-"))
    expect(page.get_by_role("tree").get_by_role("treeitem").first).to_be_visible()


def at(page: Page, moment: str) -> None:
    """The step stands at this moment, and so says the address."""
    expect(page.locator(".thaw-motion")).to_have_attribute("data-at", moment)
    expect(page).to_have_url(re.compile(rf"[?&]at={moment}(&|$)"))


def in_address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def tally(page: Page) -> Locator:
    return page.locator(".thaw-tally")


def plan(page: Page, name: str) -> Locator:
    return page.get_by_role("radio", name=re.compile(rf"^{name} "))


def numbers(row: Locator) -> list[float]:
    return [float(text) for text in row.get_by_role("cell").all_inner_texts()]


def test_scripts_are_there_before_they_are_needed(server: Server, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(server.address)))
    with page.expect_response(f"{server.address}/autograd") as response:
        page.goto(f"{server.address}/autograd")
    named = [f"/{address}" for address in re.findall("<([^>]+)>; rel=modulepreload", response.value.all_headers()["link"])]
    shown(page)
    own = [address for address in asked if address.startswith("/assets/")]
    assert own, "the page has scripts of its own"
    assert set(own) <= set(named), "a script that is not named is heard of late"
    assert all(asked.count(address) == 1 for address in named), "one that is named otherwise than it is used would be loaded twice"
    first_word = next(place for place, address in enumerate(asked) if "_stcore" in address)
    assert all(asked.index(address) < first_word for address in named)


def test_a_step_goes_moment_by_moment_with_the_keyboard_and_a_refresh_loses_no_moment(server: Server, page: Page) -> None:
    open_autograd(page, server)
    step, said = page.locator(".thaw-motion"), page.locator(".thaw-motion [role=status]")
    expect(said).to_contain_text("Step 1 of 2, zero_grad. Before the first step every .grad is None")
    expect(tally(page)).to_have_text("62 parameters: 0 gradients, 62 None.")

    step.get_by_role("button", name="Forward", exact=True).click()
    expect(said).to_contain_text("The batch goes in: 1 picture")
    expect(step.get_by_role("img", name="A picture of the batch")).to_be_visible()
    page.keyboard.press("ArrowRight")
    at(page, "1-forward-1")
    layer = step.locator(".thaw-card").filter(visible=True)
    expect(layer).to_contain_text(re.compile(r"conv1\s*Conv2d\s*1 . 3 . 64 . 64\s*1 . 64 . 32 . 32\s*learns\s*train mode\s*on cpu"))
    page.keyboard.press("PageDown")
    at(page, "1-loss")
    expect(step.locator("[aria-current=step]").filter(has_text="loss =")).to_have_text("loss = (prediction - labels).sum()")
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowRight")
    at(page, "1-backward-1")
    expect(said).to_contain_text("Gradient 1 of 62 reaches fc.")
    expect(tally(page)).to_contain_text("1 gradient, ")
    step.get_by_role("group", name="Step 2").get_by_role("button", name="step", exact=True).click()
    at(page, "2-step")
    expect(tally(page)).to_have_text("62 parameters: 62 gradients, 46.8 MB.")
    step.get_by_label("Followed parameter").select_option("fc.bias")
    expect(step.get_by_role("group", name="The update, in symbols and with real numbers")).to_contain_text(re.compile(r"0\.9 . 1 \+ 1 = 1\.9"))

    page.reload()
    shown(page)
    at(page, "2-step")
    page.keyboard.press("Tab")
    step.get_by_role("slider", name="Moment of the step").press("ArrowLeft")
    at(page, "2-backward-62")


def test_without_zero_grad_the_second_backward_pass_adds_to_the_first(server: Server, page: Page) -> None:
    open_autograd(page, server, at="2-zero_grad")
    expect(page.get_by_text("62 gradients dropped, 46.8 MB of memory given back.")).to_be_visible()
    page.get_by_text("optimizer.zero_grad() before each step").click()
    expect(page.get_by_text("62 gradients kept, 46.8 MB.")).to_be_visible()
    expect(page).to_have_url(re.compile("zero_grad=off"))
    assert in_address(page) == {"zero_grad": "off", "at": "2-zero_grad"}

    page.locator(".thaw-motion").get_by_role("group", name="Step 2").get_by_role("button", name="backward").click()
    page.keyboard.press("ArrowRight")
    at(page, "2-backward-1")
    rows = page.get_by_role("table", name="before + contribution = after").get_by_role("row")
    before, brought, after = (numbers(rows.nth(place))[1:] for place in (1, 2, 3))
    assert after == pytest.approx([old + new for old, new in zip(before, brought, strict=True)], rel=1e-3)
    assert any(before)

    page.reload()
    shown(page)
    at(page, "2-backward-1")
    expect(page.get_by_role("switch", name="optimizer.zero_grad() before each step").or_(page.get_by_role("checkbox"))).not_to_be_checked()


def test_what_is_frozen_keeps_none_and_is_drawn_as_removed(server: Server, page: Page) -> None:
    open_autograd(page, server)
    page.get_by_text("Freeze for fine-tuning").click()
    expect(page.get_by_text("then model.fc is replaced by a new nn.Linear(512, 10)")).to_be_visible()
    expect(page).to_have_url(re.compile("example=fine-tuning"))
    page.locator(".thaw-motion").get_by_role("group", name="Step 1").get_by_role("button", name="step", exact=True).click()
    expect(tally(page)).to_have_text("62 parameters: 2 gradients, 20.5 kB, 60 None because frozen.")
    expect(page.locator(".thaw-words")).to_contain_text("2 parameters of 62 move now.")
    page.get_by_text("The same as a table").click()
    page.get_by_label(re.compile("^Filter by name")).fill("conv1.weight")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="conv1.weight", exact=True))
    expect(row).to_contain_text("None (frozen)")

    expect(plan(page, "head only")).to_be_checked()
    expect(page.get_by_role("treeitem", name="layer4, 31 nodes removed")).to_be_visible()
    expect(page.locator('.thaw-boxes g[data-key="layer4"]')).to_have_attribute("data-gone", "")
    page.get_by_role("treeitem", name="fc, 4 nodes").press("Enter")
    expect(page.get_by_role("treeitem", name=re.compile("^AccumulateGrad of fc.weight, 10 . 512"))).to_be_visible()

    page.go_back()
    expect(plan(page, "train everything")).to_be_checked()
    expect(tally(page)).to_have_text("62 parameters: 0 gradients, 62 None.")


def test_a_node_says_what_flows_through_it_and_a_real_small_change_agrees(server: Server, page: Page) -> None:
    open_autograd(page, server)
    for name, count in (("train everything", 133), ("last stage", 38), ("head only", 5), ("conv1 and fc", 74)):
        expect(plan(page, name)).to_have_accessible_name(re.compile(rf"^{name} {count} nodes"))
    search = page.get_by_role("combobox", name="Go to a parameter or module")
    search.fill("layer4.1.conv2.weight")
    search.press("Enter")
    about = page.get_by_role("complementary", name="The node that is looked at")
    expect(about.locator("header")).to_contain_text(re.compile("AccumulateGrad of layer4.1.conv2.weight, 512 . 512 . 3 . 3"))
    expect(about.get_by_role("cell", name="agrees")).to_be_visible()
    expect(page.get_by_role("treeitem", name=re.compile("^AccumulateGrad of layer4.1.conv2.weight"))).to_have_attribute("aria-selected", "true")

    page.locator('.thaw-boxes g[data-key^="node "]').filter(has_text="Convolution").click()
    expect(about.locator("header")).to_contain_text(re.compile("ConvolutionBackward0 in layer4.1.conv2, 1 . 512 . 2 . 2"))
    expect(about.get_by_role("cell", name="agrees")).not_to_have_count(0)
    expect(about.get_by_role("cell", name="differs")).to_have_count(0)
    expect(about).to_contain_text("Kept for the backward pass")
    expect(page.locator(".thaw-graph [role=status]")).to_contain_text("The chain rule agrees.")

    plan(page, "head only").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".thaw-why")).to_contain_text("74 nodes")
    page.reload()
    shown(page)
    expect(plan(page, "conv1 and fc")).to_be_checked()
    expect(about.locator("header")).to_contain_text("ConvolutionBackward0 in layer4.1.conv2")


def test_the_model_that_is_being_set_up_is_looked_at_however_large_or_what_is_wrong_with_it_said(server: Server, page: Page) -> None:
    own = {"example": "own", "new": "1", "model": "densenet201", "image_size": "64", "freeze": "last stage", "threads": "1"}
    open_autograd(page, server, **own, at="1-loss")
    expect(page.get_by_text("densenet201 on digits, images of 64 px, freeze plan “last stage”")).to_be_visible()
    expect(page.locator(".thaw-loss")).to_contain_text("CrossEntropyLoss")
    expect(plan(page, "last stage")).to_be_checked()
    rows = page.get_by_role("treeitem")
    assert rows.count() < 40, "a graph of 1,318 nodes begins closed"
    search = page.get_by_role("combobox", name="Go to a parameter or module")
    search.fill("features.denseblock3.denselayer20.conv2.weight")
    search.press("Enter")
    expect(page.locator(".thaw-node header")).to_contain_text("AccumulateGrad of features.denseblock3.denselayer20.conv2.weight")
    expect(page.locator('.thaw-boxes g[data-key="features.denseblock3"]')).to_be_visible()
    assert rows.count() < 200
    page.get_by_role("button", name="Open all").click()
    waiting(page, lambda: rows.count() > 1318, "all rows: whoever listens to the tree gets all of it")
    boxes = page.locator(".thaw-boxes g")
    assert 0 < boxes.count() < 400, "only what is in sight is drawn"
    rows.first.focus()
    page.keyboard.press("End")
    expect(page.locator(".thaw-boxes g[data-leaf]", has_text="features.conv0.weight").last).to_be_in_viewport()
    page.locator(".thaw-motion").get_by_role("group", name="Step 1").get_by_role("button", name="forward").click()
    page.keyboard.press("ArrowRight")  # a picture of this many is asked for one by one
    expect(page.locator(".thaw-reel figure[data-now] > div")).to_have_css("background-image", re.compile("^url"))

    own |= {"model": "small_cnn", "image_size": "32", "learning_rate": "-1"}
    page.goto(f"{server.address}/autograd?" + "&".join(f"{name}={quote(value)}" for name, value in own.items()))
    expect(page.get_by_text(re.compile("^Learning rate: Must be"))).to_be_visible()
    page.get_by_role("link", name="Change it on Model").click()
    expect(page.get_by_role("heading", name="Model", exact=True)).to_be_visible()
    expect(page.get_by_role("spinbutton", name="Image size")).to_have_value("32")
