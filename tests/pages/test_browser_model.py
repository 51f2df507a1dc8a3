"""The Model screen, used as a person uses it: tree and treemap, timeline and multipliers, the new head, and what it costs."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from core.config import RunConfig
from core.model import anatomy
from core.store import RunStore
from tests.support import Server, waiting

pytestmark = pytest.mark.browser

SMALL = {"model": "small_cnn", "image_size": "32"}
BLOCKS = ("stage1", "stage2", "stage3", "head")
COUNTS = {
    path: sum(parameter.count for parameter in anatomy.describe("small_cnn", 10, 32).parameters if parameter.name.startswith(path + "."))
    for path in BLOCKS
}
TOTAL = sum(COUNTS.values())


def open_model(page: Page, server: Server, **fields: str) -> None:
    """Open the Model screen with `fields` filled in, and wait until its layers are there."""
    page.goto(f"{server.address}/model?new=1&" + "&".join(f"{name}={quote(value)}" for name, value in {**SMALL, **fields}.items()))
    expect(page.get_by_role("tree", name="Layers").get_by_role("treeitem").first).to_be_visible()
    expect(page.get_by_role("grid").or_(page.get_by_text("The grid of blocks and epochs appears here")).first).to_be_visible()


def switch(page: Page, path: str) -> Locator:
    return page.get_by_role("switch", name=f"freeze {path}", exact=True)


def area(page: Page, path: str) -> Locator:
    return page.locator(f'.thaw-area[data-path="{path}"]')


def box(page: Page, label: str) -> Locator:
    return page.get_by_role("textbox", name=label, exact=True)


def cell(page: Page, block: str, epoch: int) -> Locator:
    return page.get_by_role("gridcell", name=re.compile(rf"^{re.escape(block)}, epoch {epoch}:"))


def row(page: Page, block: str) -> str:
    """One block's row of the grid: 1 frozen, 0 learns, 2 in part."""
    states = page.get_by_role("row").filter(has=page.get_by_role("rowheader").filter(has_text=block)).locator(".thaw-cell")
    return "".join(str({"false": 0, "true": 1, "mixed": 2}[state]) for state in states.evaluate_all("all => all.map((cell) => cell.dataset.frozen)"))


def draft(page: Page) -> RunConfig:
    """What the address says that is being set up."""
    found = {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}
    return RunConfig(**{name: value for name, value in found.items() if name in RunConfig.model_fields})


def trainable(page: Page) -> str:
    return page.get_by_test_id("stMetric").filter(has_text="Trainable parameters").get_by_test_id("stMetricValue").inner_text()


def drag(page: Page, start: Locator, end: Locator) -> None:
    start.scroll_into_view_if_needed()
    first, last = start.bounding_box(), end.bounding_box()
    assert first is not None
    assert last is not None
    page.mouse.move(first["x"] + first["width"] / 2, first["y"] + first["height"] / 2)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] / 2, last["y"] + last["height"] / 2, steps=6)
    page.mouse.up()


# Tree and treemap


def test_a_switch_and_an_area_of_the_treemap_are_one_and_the_same(server: Server, page: Page) -> None:
    open_model(page, server)
    switch(page, "stage2").click()
    expect(area(page, "stage2.0")).to_have_attribute("data-frozen", "true")
    expect(page.locator(".thaw-learning")).to_contain_text(f"{TOTAL - COUNTS['stage2']:,} of {TOTAL:,} parameters learn")
    expect(box(page, "Rules")).to_have_value("train everything, stage2")
    waiting(page, lambda: trainable(page) == f"{TOTAL - COUNTS['stage2']:,}", "the server's count")

    area(page, "head").click()
    expect(switch(page, "head")).to_have_attribute("aria-checked", "true")
    area(page, "head").click()
    expect(switch(page, "head")).to_have_attribute("aria-checked", "false")
    area(page, "stage2.0").click()
    expect(switch(page, "stage2")).to_have_attribute("aria-checked", "mixed")
    expect(switch(page, "stage2.0")).to_have_attribute("aria-checked", "false")
    waiting(page, lambda: str(draft(page).freeze) == "train everything, stage2, !head, !stage2.0", "the plan of what was clicked")
    area(page, "stage3.0").hover()
    tip = page.locator(".thaw-tip")
    expect(tip).to_contain_text("stage3.0")
    expect(tip).to_contain_text("learns; click to freeze")
    expect(tip).to_contain_text("73,728 parameters")


def test_no_toggle_is_lost_however_fast_they_come(server: Server, page: Page) -> None:
    open_model(page, server, model="resnet18", freeze="train everything")
    page.get_by_role("button", name="Expand all").click()
    layers = [f"layer{stage}.{block}.conv{conv}" for stage in (1, 2, 3, 4) for block in (0, 1) for conv in (1, 2)]
    page.evaluate(
        """(layers) => {
          const [first, ...rest] = layers.map((path) => document.querySelector(`.thaw-layer[data-path="${path}"] button`));
          first.click();
          rest.forEach((button, index) => setTimeout(() => button.click(), 60 * (index + 1)));
        }""",
        layers,
    )
    waiting(page, lambda: set(draft(page).freeze.rules) == {"train everything", *layers}, "every layer in the plan, once")
    for path in layers:
        expect(switch(page, path)).to_have_attribute("aria-checked", "true")


def test_the_tree_works_by_keyboard_and_says_what_it_did(server: Server, page: Page) -> None:
    open_model(page, server)
    page.get_by_role("button", name="Collapse all").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("treeitem", name=re.compile("^stage1,"))).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("treeitem", name=re.compile("^stage2,"))).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    expect(switch(page, "stage2.0")).to_have_attribute("aria-checked", "true")
    expect(page.get_by_role("treeitem", name=re.compile(r"^stage2.0, Conv2d, [\d,]+ parameters, frozen"))).to_be_focused()
    expect(page.locator(".thaw-layers [role=status]")).to_have_text("stage2.0 is frozen now.")
    waiting(page, lambda: str(draft(page).freeze) == "train everything, stage2.0", "the plan")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(switch(page, "head")).to_have_attribute("aria-checked", "true")


def test_layers_are_found_by_a_part_of_their_name(server: Server, page: Page) -> None:
    open_model(page, server, model="densenet121", image_size="64")
    page.get_by_label("Filter layers by name or kind").fill("denselayer16.conv2")
    expect(page.get_by_role("treeitem", name=re.compile(r"^features\.denseblock4\.denselayer16\.conv2,"))).to_be_visible()
    shown = page.get_by_role("treeitem").evaluate_all("lines => lines.map((line) => line.dataset.path)")
    assert [path for path in shown if path.endswith("conv2")] == [f"features.denseblock{block}.denselayer16.conv2" for block in (3, 4)] or len(
        shown
    ) < 12
    page.get_by_label("Filter layers by name or kind").fill("no such layer")
    expect(page.get_by_text("No layer has that in its name.")).to_be_visible()
    page.get_by_label("Filter layers by name or kind").fill("")
    expect(page.get_by_role("treeitem", name=re.compile("^classifier,"))).to_be_visible()


def test_freezing_everything_is_refused_with_a_remedy_and_the_switch_goes_back(server: Server, page: Page) -> None:
    open_model(page, server, freeze="head only")
    switch(page, "head").click()
    expect(page.get_by_role("alert").filter(has_text="leave at least one trainable")).to_be_visible()
    expect(switch(page, "head")).to_have_attribute("aria-checked", "false")
    expect(area(page, "head")).to_have_attribute("data-frozen", "false")
    waiting(page, lambda: str(draft(page).freeze) == "head only", "the plan in the URL")


def test_a_pattern_that_matches_nothing_is_said_beside_the_rules_and_starts_nothing(server: Server, page: Page) -> None:
    open_model(page, server)
    box(page, "Rules").fill("head only, !layer9")
    box(page, "Rules").press("Enter")
    error = page.get_by_role("alert").filter(has_text="'layer9' matches no layer of this model")
    expect(error).to_be_visible()
    below, above = error.bounding_box(), box(page, "Rules").bounding_box()
    assert below is not None
    assert above is not None
    assert 0 < below["y"] - above["y"] < 150
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    box(page, "Rules").fill("*.weight, *.bias")
    box(page, "Rules").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="leave at least one trainable").first).to_be_visible()
    expect(switch(page, "stage1")).to_have_attribute("aria-checked", "true")


def test_the_last_changes_can_be_taken_back(server: Server, page: Page) -> None:
    open_model(page, server)
    undo = page.get_by_role("button", name="Undo").first
    expect(undo).to_be_disabled()
    switch(page, "stage1").click()
    expect(box(page, "Rules")).to_have_value("all but stem")  # which is what that comes to
    switch(page, "stage3").click()
    expect(box(page, "Rules")).to_have_value("all but stem, stage3")
    undo.click()
    expect(switch(page, "stage3")).to_have_attribute("aria-checked", "false")
    expect(box(page, "Rules")).to_have_value("all but stem")
    undo.click()
    expect(switch(page, "stage1")).to_have_attribute("aria-checked", "false")
    expect(undo).to_be_disabled()


# Timeline and multipliers


def test_the_timeline_is_edited_by_pointing(server: Server, page: Page) -> None:
    open_model(page, server, freeze="head only", epochs="6")
    cell(page, "stage3", 3).click()
    expect(box(page, "Timeline")).to_have_value("3: !stage3")
    assert row(page, "stage3") == "110000"
    expect(page.get_by_text("The head learns from epoch 1, stage3 from 3.")).to_be_visible()
    drag(page, cell(page, "stage2", 2), cell(page, "stage2", 4))
    expect(box(page, "Timeline")).to_have_value("2: !stage2; 3: !stage3; 5: stage2")
    assert row(page, "stage2") == "100011"
    cell(page, "stage1", 6).click(modifiers=["Shift"])
    expect(box(page, "Timeline")).to_have_value("2: !stage2; 3: !stage3; 5: stage2; 6: !stage1")
    # The first epoch is the freeze plan itself: tree and grid agree.
    cell(page, "stage1", 1).click()
    expect(switch(page, "stage1")).to_have_attribute("aria-checked", "false")
    expect(box(page, "Timeline")).to_have_value("2: !stage2; 3: !stage3; 5: stage2")
    waiting(page, lambda: str(draft(page).freeze) == "head only, !stage1", "the plan in the URL")
    cell(page, "head", 1).click()
    cell(page, "stage1", 1).click()
    expect(page.get_by_role("alert").filter(has_text="leave at least one trainable")).to_be_visible()
    assert row(page, "stage1") == "000000", "what would leave nothing to train is taken back"
    page.get_by_role("button", name="Undo").last.click()
    waiting(page, lambda: row(page, "head") == "000000", "the head learns again")


def test_the_timeline_works_by_keyboard(server: Server, page: Page) -> None:
    open_model(page, server, freeze="head only", epochs="6")
    page.get_by_label("learning-rate multiplier of stage1, empty is 1").focus()
    page.keyboard.press("Tab")
    expect(cell(page, "stage1", 1)).to_be_focused()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", " "):
        page.keyboard.press(key)
    expect(box(page, "Timeline")).to_have_value("3: !stage3")
    expect(cell(page, "stage3", 3)).to_be_focused()
    page.keyboard.press("ArrowUp")
    for key in ("Shift+ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator('.thaw-cell[aria-selected="true"]')).to_have_count(4)
    page.keyboard.press("Enter")
    expect(box(page, "Timeline")).to_have_value("3: !stage3, !stage1, !stage2; 5: stage1, stage2")
    assert [row(page, block) for block in BLOCKS] == ["110011", "110011", "110000", "000000"]
    expect(page.locator(".thaw-timeline [role=status]")).to_have_text("stage1, stage2: learns in epochs 3 to 4.")


def test_presets_and_steps_inside_a_timeline_are_shown_and_kept(server: Server, page: Page) -> None:
    open_model(page, server, freeze="head only", epochs="6", timeline="5: train everything; step 30: learning_rate=0.01")
    assert [row(page, block) for block in BLOCKS] == ["111100", "111100", "111100", "000000"]
    expect(page.get_by_text("Step 30: the learning rate becomes 0.01.")).to_be_visible()
    cell(page, "stage1", 4).click()
    expect(box(page, "Timeline")).to_have_value("4: !stage1; 5: train everything; step 30: learning_rate=0.01")
    box(page, "Timeline").fill("9: !stage1")
    box(page, "Timeline").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="comes after the last epoch (6)")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    box(page, "Timeline").fill("2: !layer9")
    box(page, "Timeline").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="'layer9' matches no layer").first).to_be_visible()


def test_patterns_fill_timeline_and_multipliers(server: Server, page: Page) -> None:
    open_model(page, server, epochs="6")
    page.get_by_role("button", name="Gradual unfreezing").click()
    page.get_by_role("button", name="A block each epoch").click()
    expect(box(page, "Timeline")).to_have_value("2: !stage3; 3: !stage2; 4: train everything")
    expect(box(page, "Rules")).to_have_value("head only")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Discriminative learning rates").click()
    expect(box(page, "Learning rate multipliers")).to_have_value(re.compile(r"stage2=0\.15, stage3=0\.38"))
    expect(page.get_by_label("learning-rate multiplier of stage3, empty is 1")).to_have_value("0.38")
    page.get_by_role("button", name="Clear").click()
    expect(box(page, "Timeline")).to_have_value("")
    expect(box(page, "Learning rate multipliers")).to_have_value("")


def test_a_multiplier_is_typed_beside_its_block(server: Server, page: Page) -> None:
    open_model(page, server, learning_rate="0.01")
    field = page.get_by_label("learning-rate multiplier of stage2, empty is 1")
    field.fill("0.3")
    field.press("Enter")
    expect(box(page, "Learning rate multipliers")).to_have_value("stage2=0.3")
    expect(page.get_by_role("row").filter(has=field).locator("output")).to_have_text("0.003")
    field.fill("-1")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(box(page, "Learning rate multipliers")).to_have_value("stage2=0.3")
    field.fill("")
    field.press("Enter")
    expect(box(page, "Learning rate multipliers")).to_have_value("")
    box(page, "Learning rate multipliers").fill("stage9=2")
    box(page, "Learning rate multipliers").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="'stage9' matches no layer")).to_be_visible()


# Head, cost, and the way on


def test_the_new_head_is_shown_as_what_replaces_the_old_one(server: Server, page: Page) -> None:
    open_model(page, server, model="resnet18", image_size="32")
    expect(page.get_by_text("fc was Linear(in_features=512, out_features=1000, bias=True)")).to_be_visible()
    expect(page.get_by_text("fc = Linear(in_features=512, out_features=10, bias=True)")).to_be_visible()
    page.get_by_label("Hidden layer", exact=True).fill("64")
    page.get_by_label("Hidden layer", exact=True).press("Enter")
    expect(page.get_by_text("(0): Linear(in_features=512, out_features=64, bias=True)")).to_be_visible()
    page.get_by_label("Head dropout", exact=True).fill("0.5")
    page.get_by_label("Head dropout", exact=True).press("Enter")
    expect(page.get_by_text("Dropout(p=0.5, inplace=False)")).to_be_visible()
    expect(page.get_by_role("treeitem", name=re.compile("^fc, Sequential"))).to_be_visible()
    page.get_by_label("Head dropout", exact=True).fill("1.5")
    page.get_by_label("Head dropout", exact=True).press("Enter")
    expect(page.get_by_role("alert").filter(has_text="must be below 1")).to_be_visible()
    expect(switch(page, "layer4")).to_be_visible()


def test_the_cost_is_measured_and_follows_the_switches(server: Server, page: Page) -> None:
    open_model(page, server)
    value = page.get_by_test_id("stMetric").filter(has_text="Optimizer memory").get_by_test_id("stMetricValue")
    expect(value).to_have_text(f"{TOTAL * 8 / 1000:.0f} kB")  # AdamW keeps two numbers a parameter
    expect(page.get_by_test_id("stMetric").filter(has_text="Time a step").get_by_test_id("stMetricValue")).to_have_text(re.compile(r"[\d.]+ m?s"))
    expect(page.get_by_text("Everything learns: the backward pass crosses the whole network.")).to_be_visible()
    nodes = page.get_by_test_id("stMetric").filter(has_text="Backward graph").get_by_test_id("stMetricValue")
    before, everything = nodes.inner_text().split(" of ")
    assert before == everything
    switch(page, "stage2").click()
    switch(page, "stage3").click()
    expect(page.get_by_text("yet the backward pass still crosses 100\u00a0% of the network")).to_be_visible()
    # What was measured before stays in sight, in grey, until the new figures are there.
    expect(value).to_have_text(f"{(COUNTS['stage1'] + COUNTS['head']) * 8 / 1000:.0f} kB")
    waiting(page, lambda: int(nodes.inner_text().split(" of ")[0]) < int(everything), "fewer nodes")


def test_a_refresh_and_the_way_to_train_keep_everything(server: Server, page: Page) -> None:
    open_model(page, server, freeze="head only", epochs="2")
    cell(page, "stage3", 2).click()
    expect(box(page, "Timeline")).to_have_value("2: !stage3")
    field = page.get_by_label("learning-rate multiplier of stage3, empty is 1")
    field.fill("0.5")
    field.press("Enter")
    expect(box(page, "Learning rate multipliers")).to_have_value("stage3=0.5")
    page.get_by_label("Head dropout", exact=True).fill("0.25")
    page.get_by_label("Head dropout", exact=True).press("Enter")
    wanted = RunConfig(
        model="small_cnn",
        image_size=32,
        freeze="head only",
        epochs=2,
        timeline="2: !stage3",
        learning_rate_multipliers="stage3=0.5",
        head_dropout=0.25,
    )
    waiting(page, lambda: draft(page) == wanted, "the draft in the address")
    page.reload()
    expect(box(page, "Timeline")).to_have_value("2: !stage3")
    expect(page.get_by_label("learning-rate multiplier of stage3, empty is 1")).to_have_value("0.5")
    expect(page.get_by_label("Head dropout", exact=True)).to_have_value("0.25")

    page.get_by_role("link", name="Other settings on Train").click()
    expect(page.get_by_role("heading", name="Set up a run")).to_be_visible()
    expect(page.get_by_text("The head learns from epoch 1, stage3 from 2.")).to_be_visible()
    expect(page.get_by_text("Head dropout 0.25")).to_be_visible()
    page.get_by_role("link", name="Model", exact=True).click()
    expect(box(page, "Timeline")).to_have_value("2: !stage3")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile(r"/train\?run="))
    store = RunStore(server.home / "thaw.db")
    run = store.run(page.url.partition("run=")[2])
    assert run.config == wanted
    waiting(page, lambda: not store.run(run.id).status.active, "the end of the run", 90)
    assert store.run(run.id).error is None


def test_the_back_button_leads_to_the_draft_before(server: Server, page: Page) -> None:
    open_model(page, server, freeze="head only")
    switch(page, "stage3").click()
    waiting(page, lambda: str(draft(page).freeze) == "last stage", "the switch in the address")
    page.go_back()
    expect(box(page, "Rules")).to_have_value("head only")
    expect(switch(page, "stage3")).to_have_attribute("aria-checked", "true")


def test_rules_that_another_model_does_not_have_are_dropped_with_a_notice(server: Server, page: Page) -> None:
    open_model(
        page, server, freeze="head only, !stage3", timeline="2: !stage2; 3: train everything", learning_rate_multipliers="stem=0.1, stage3=0.5"
    )
    page.get_by_test_id("stSelectbox").filter(has_text="Model").get_by_role("combobox").click()
    page.get_by_role("option", name="mlp", exact=True).click()
    alerts = page.get_by_role("alert")
    expect(alerts.filter(has_text="the rules head only, !stage3 were dropped; head only is left")).to_be_visible()
    expect(alerts.filter(has_text="the learning-rate multipliers stage3=0.5 were dropped")).to_be_visible()
    expect(alerts.filter(has_text="the timeline 2: !stage2; 3: train everything was dropped")).to_be_visible()
    expect(box(page, "Learning rate multipliers")).to_have_value("stem=0.1")
    waiting(page, lambda: (str(draft(page).freeze), str(draft(page).timeline)) == ("head only", ""), "the draft without them")


def test_nothing_is_wider_than_the_window(server: Server, page: Page) -> None:
    open_model(page, server, model="densenet121", epochs="60", image_size="64")
    expect(page.locator(".thaw-area").first).to_be_visible()
    for width in (1280, 800, 480):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        for place in ("[data-testid=stMain]", ".thaw-layers", ".thaw-tree", ".thaw-timeline"):
            assert page.locator(place).first.evaluate("element => element.scrollWidth - element.clientWidth") <= 1, f"{place} at {width} px"
    expect(page.get_by_text("Each column stands for 2 epochs.")).to_be_visible()
