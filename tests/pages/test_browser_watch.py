"""Watching and steering a run in a real Chromium: markers, freeze lane, waterfall, layer table, histograms, audit, commands.

Most runs here are written into the store by the test itself, so that they are there at once and say exactly what the test needs.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from core.config import RunConfig
from tests.pages.browser_watch_cases import FEW, WrittenRun, lane, section, written
from tests.pages.test_browser import chart, plot, store_of, wait_for_steps
from tests.support import Server, becomes, waiting

pytestmark = pytest.mark.browser


def marked_steps(page: Page, panel: str) -> list[float]:
    """Where a figure has lines for changes."""
    found: list[float] = plot(page, panel).evaluate(
        "element => (element.layout.shapes ?? []).filter((shape) => shape.name === 'change').map((shape) => shape.x0)"
    )
    return found


def flags(page: Page, panel: str) -> list[dict[str, str]]:
    """The flags over a figure: what they say and what they say when pointed at."""
    script = (
        "element => (element.layout.annotations ?? []).filter((flag) => flag.name === 'change').map(({ text, hovertext }) => ({ text, hovertext }))"
    )
    found: list[dict[str, str]] = plot(page, panel).evaluate(script)
    return found


def point(page: Page, panel: str, step: float, row: float) -> str:
    """What is said about a place of a picture: a step, and a share of its height from the top."""
    script = """([element, step, row]) => {
      const { _size: { l, t, w, h }, xaxis: { range } } = element._fullLayout;
      const box = element.getBoundingClientRect();
      return [box.left + l + (step - range[0]) / (range[1] - range[0]) * w, box.top + t + row * h];
    }"""
    section(page, panel).scroll_into_view_if_needed()
    x, y = page.evaluate(script, [plot(page, panel).element_handle(), step, row])
    page.mouse.move(x, y)
    return page.locator(".thaw-hint").inner_text()


def test_each_change_is_marked_in_every_chart_and_told_in_words(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 40)
    assert flags(page, "loss") == []
    run.change("!layer4", "timeline")
    run.train(20)
    run.change("learning_rate=0.0005, layer4=0.1")
    run.train(20)
    wait_for_steps(page, 80)
    for panel in ("loss", "accuracy", "heat", "lane", "rate"):
        becomes(page, partial(marked_steps, page, panel), [40.5, 60.5])
        one, two = flags(page, panel)
        assert (one["text"], two["text"]) == ("1", "2")
        assert one["hovertext"] == "change 1, by the timeline, from step 41 on: layer4 learns"
        assert two["hovertext"] == "change 2, live, from step 61 on: learning rate 0.0005, layer4 learns at x 0.1"
    expect(page.locator(".thaw-changes li")).to_have_text(
        ["1 step 41 by the timeline layer4 learns", "2 step 61 live learning rate 0.0005, layer4 learns at x 0.1"], use_inner_text=True
    )
    # One line for each multiplier, and each only where something learns with it.
    rates = plot(page, "rate").evaluate("element => element.data.map(({ name, y }) => [name, Array.from(y)])")
    assert [name for name, _ in rates] == ["x 1: layer4, fc", "x 0.1: layer4"]
    assert rates[1][1][59] is None
    assert rates[1][1][60] == pytest.approx(0.00005)


def test_many_changes_stay_legible(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 20)
    for change in range(40):
        run.change(f"learning_rate={0.001 * (change + 1):g}")
        run.train(1 + change % 7)
    wait_for_steps(page, run.step)
    waiting(page, lambda: chart(page)["changes"] == 40 and len(flags(page, "lane")) > 2, "40 changes")
    page.wait_for_timeout(1000)
    for panel in ("loss", "lane"):
        boxes = (
            plot(page, panel)
            .locator(".annotation .bg")
            .evaluate_all("flags => flags.map((flag) => { const { left, right } = flag.getBoundingClientRect(); return [left, right]; })")
        )
        assert 3 < len(boxes) < 40
        assert all(left >= before for (_, before), (left, _) in pairwise(sorted(boxes))), f"flags of {panel} cover each other"
    numbers = [number for flag in flags(page, "lane") for number in flag["text"].split("-")]
    assert (numbers[0], numbers[-1]) == ("1", "40"), "no change is left out"


def test_the_freeze_lane_shows_when_each_block_learned(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 30)
    run.change("!layer4")
    run.train(30)
    run.change("!layer3.1, fc=0.3")
    run.train(20)
    run.change("layer4")
    run.train(20)
    wait_for_steps(page, 100)
    waiting(page, lambda: chart(page)["changes"] == 3, "three changes")
    waiting(page, lambda: len(lane(page)["layer4"]) == 3, "three stretches of layer4")
    held = lane(page)
    assert list(held) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"], "blocks in the model's order"
    assert held["layer4"] == [[1, 30, "frozen"], [31, 80, "learns"], [81, None, "frozen"]]
    assert held["layer3"] == [[1, 60, "frozen"], [61, None, "in part"]]
    assert held["fc"] == [[1, None, "learns"]]
    page.wait_for_timeout(1000)  # the lane is drawn once a second
    assert point(page, "lane", 50, 5.5 / 7).splitlines() == ["layer4", "steps 31 to 80: all 15 parameter tensors learn", "learning rate 0.002"]
    assert "6 of 15 parameter tensors learn" in point(page, "lane", 90, 4.5 / 7)
    assert "learning rate 0.0006 (x 0.3)" in point(page, "lane", 90, 6.5 / 7)
    label = plot(page, "lane").get_attribute("aria-label")
    assert label is not None
    assert "learns: fc" in label
    assert "in part: layer3" in label


def test_frozen_none_zero_tiny_and_not_finite_look_different(server: Server, page: Page) -> None:
    run = WrittenRun(store_of(server), RunConfig(model="mlp", image_size=32, epochs=10))
    first, second, third, fourth, fifth, sixth = run.names
    run.change(first)
    run.train(40, {second: 0.0, third: -2.0, fourth: 1e-12, fifth: float("nan"), sixth: 1.0})
    page.goto(f"{server.address}/train?run={run.id}")
    wait_for_steps(page, 40)
    script = """canvas => {
      const { width, height } = canvas, brush = canvas.getContext("2d"), rows = 6;
      return Array.from({ length: rows }, (_, row) => {
        const found = new Map();
        const { data } = brush.getImageData(0, Math.round(row * height / rows) + 1, width, Math.floor(height / rows) - 2);
        for (let at = 0; at < data.length; at += 4) {
          const key = data.slice(at, at + 3).join();
          if (data[at + 3]) found.set(key, (found.get(key) ?? 0) + 1);
        }
        return [...found].sort((a, b) => b[1] - a[1]).slice(0, 2).map(([colour]) => colour);
      });
    }"""
    colours = section(page, "heat").locator("canvas").evaluate(script)
    frozen, zero, none, tiny, broken, normal = colours
    assert len({tuple(colour[:1]) for colour in colours}) == 6, f"six states, six grounds: {colours}"
    for patterned in (frozen, zero, none, broken):
        assert len(patterned) == 2, "told apart by a pattern too, not by colour alone"
    assert len(tiny) == len(normal) == 1
    assert section(page, "heat").locator(".thaw-swatch").all_inner_texts() == ["frozen", "exactly 0", "no gradient", "not finite"]
    for row, words in enumerate(
        ("no gradient: frozen", "gradient exactly 0", "the loss does not reach it", "gradient norm 1.0e-12", "not finite", "gradient norm 1")
    ):
        assert words in point(page, "heat", 20, (row + 0.5) / 6)


def test_layers_that_thaw_midway_get_tall_rows(server: Server, page: Page) -> None:
    run = written(server, page, FEW)
    resting = "element => element.layout.annotations.filter(({ text }) => text.startsWith('frozen')).map(({ text }) => text)"
    becomes(page, lambda: plot(page, "heat").evaluate(resting), ["frozen, 60 rows"])
    run.change("!layer4")
    run.train(10)
    wait_for_steps(page, 40)
    waiting(page, lambda: plot(page, "heat").evaluate(resting) == ["frozen, 45 rows"], "fewer rows at rest")
    ticks = plot(page, "heat").evaluate(
        "element => Object.fromEntries(element.layout.yaxis.ticktext.map((text, at) => [text, element.layout.yaxis.tickvals[at]]))"
    )
    assert ticks["layer4.1.conv1.weight"] - ticks["layer4.0.conv1.weight"] > 9 * 10
    assert "frozen" in point(page, "heat", 10, 0.9)
    assert "gradient norm" in point(page, "heat", 36, 0.9)


def test_the_waterfall_switches_to_update_ratios_with_the_keyboard(server: Server, page: Page) -> None:
    written(server, page, FEW, 60)
    radio = page.get_by_role("radio", name="Gradient norm")
    expect(radio).to_be_checked()
    radio.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Update ratio")).to_be_checked()
    panel = section(page, "heat")
    expect(panel.get_by_role("heading")).to_have_text("Update ratios")
    expect(panel).to_contain_text("Karpathy, CS231n notes")
    expect(panel).to_contain_text("The guide band, 1e-4 to 1e-2, is Thaw's own.")
    expect(panel.locator(".thaw-strip i")).to_have_attribute("title", "guide band: 10⁻⁴ to 10⁻²")
    label = plot(page, "heat").get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Update ratio heatmap of 62 layers")
    ratio = float(point(page, "heat", 45, 0.98).splitlines()[1].rpartition("update ratio ")[2])
    columns = store_of(server).steps_after(page.url.partition("run=")[2], 0, 0)
    expected = columns.update_norms[4][-1] / columns.weight_norms[4][-1]
    assert ratio == pytest.approx(expected, rel=0.08), "step 50 stands for steps 41 to 50"
    page.keyboard.press("ArrowLeft")
    expect(panel.get_by_role("heading")).to_have_text("Gradient norms")
