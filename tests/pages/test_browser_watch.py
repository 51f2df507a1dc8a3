"""Watching and steering a run in a real Chromium: markers, freeze lane, waterfall, layer table, histograms, audit, commands.

Most runs here are written into the store by the test itself, so that they are there at once and say exactly what the test needs.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from itertools import pairwise
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect

from core.config import RunConfig
from core.config.plans import Change
from core.model import anatomy
from core.records.events import (  # fmt: skip
    FROZEN,
    AuditReport,
    AuditRow,
    ChangeRow,
    CommandKind,
    EpochRow,
    Histogram,
    Inspection,
    Layer,
    RunPlan,
    RunStatus,
    StepRow,
    Verdict,
)
from core.records.layers import blocks, frozen_parameters, multipliers_by_parameter
from core.records.summaries import Summarizer
from core.store import RunStore
from tests.pages.test_browser import LONG, badge, chart, ended, plot, start_run, store_of, wait_for_steps
from tests.support import Server, waiting

pytestmark = pytest.mark.browser


class WrittenRun:
    """A run of a real model that nobody trained: its rows are made up and written here. It belongs to this process, so it counts as alive."""

    def __init__(self, store: RunStore, config: RunConfig) -> None:
        self.store = store
        self.config = config
        self.parameters = anatomy.describe(config.model, 10, config.image_size).parameters
        self.names = [parameter.name for parameter in self.parameters]
        self.id = store.create_run(config)
        self.step = self.epoch = 0
        self.plan, self.multipliers, self.rate = config.freeze, config.learning_rate_multipliers, config.learning_rate
        self.total = config.epochs * 100
        home = {name: block for block, names in blocks(self.names).items() for name in names}
        frozen = self.frozen()
        layers = [Layer(p.name, p.shape, p.count, bool(f), home[p.name]) for p, f in zip(self.parameters, frozen, strict=True)]
        me = psutil.Process(os.getpid())
        store.set_process(self.id, me.pid, me.create_time())
        store.begin(self.id, RunPlan(tuple(layers), 100, self.total, tuple("0123456789"), 1438, 359, 360, "cpu"))
        self._summarizer = Summarizer()
        self._random = np.random.default_rng(0)
        self._base = np.linspace(-2.5, -0.3, len(self.names)) + self._random.normal(0, 0.25, len(self.names))
        self._size = np.array([math.sqrt(parameter.count) * 0.05 for parameter in self.parameters])

    def frozen(self) -> NDArray[np.bool_]:
        still = frozen_parameters(self.plan, self.parameters)
        return np.array([name in still for name in self.names])

    def factors(self) -> NDArray[np.float32]:
        """What the learning rates are multiplied by now, float32[tensors]."""
        found = multipliers_by_parameter(self.multipliers, self.parameters)
        return np.array([found[name] for name in self.names], np.float32)

    def train(self, count: int, special: dict[str, float] | None = None) -> None:
        """Write `count` more steps; `special` puts a value in place of some layers' gradient norms."""
        rows: list[StepRow] = []
        frozen, factors = self.frozen(), self.factors()
        for step in range(self.step + 1, self.step + count + 1):
            norms = 10 ** (self._base - 0.6 * math.log10(1 + step / 80) + self._random.normal(0, 0.08, len(self.names)))
            for name, value in (special or {}).items():
                norms[self.names.index(name)] = value
            norms[frozen] = FROZEN
            updates: NDArray[np.float32] | None = None
            weights: NDArray[np.float32] | None = None
            if step % self.config.watch_every == 0:
                size = self._size * (1 + step / 4000)
                moved = size * 10 ** (-3.2 + 0.35 * np.log10(np.abs(norms) + 1e-9) + 0.7) * factors * (self.rate / self.config.learning_rate)
                moved[norms == 0] = 0
                size[frozen] = moved[frozen] = FROZEN
                updates, weights = moved.astype(np.float32), size.astype(np.float32)
            loss = 2.3 / math.sqrt(1 + step / 60) + 0.06 * float(self._random.normal())
            row = StepRow(step, 1 + (step - 1) // 100, step / 12, loss, self.rate, 380.0, norms.astype(np.float32), updates, weights)
            rows.append(row)
        self.step += count
        self.store.append(
            self.id, rows, self._summarizer.add(rows), self.step / 12, step_seconds=self.step / 12, watch_seconds=self.step / 12 * 0.0117
        )
        while self.epoch < self.step // 100:
            self.epoch += 1
            gain = 1 - math.exp(-self.epoch / 3)
            row_ = EpochRow(self.epoch, 100 * self.epoch, self.epoch * 8.3, 2.3 - 1.8 * gain, 0.1 + 0.85 * gain, 2.3 - 1.7 * gain, 0.1 + 0.8 * gain)
            self.store.append_epoch(self.id, row_)

    def change(self, text: str, source: str = "live", ask: bool = True) -> None:
        """What a worker writes down when it has made a change, which holds from the next step on."""
        change = Change.model_validate(text)
        self.plan, self.multipliers = self.plan.then(change), self.multipliers.then(change)
        self.rate = change.learning_rate or self.rate
        if source == "live" and ask:
            command = self.store.request(self.id, CommandKind.CHANGE, str(change))
            (asked,) = [each for each in self.store.commands(self.id, waiting=True) if each.id == command]
            self.store.acknowledge(asked, self.step)
        row = ChangeRow(0, self.step + 1, "live" if source == "live" else "timeline", str(change), self.rate, self.frozen(), self.factors())
        self.store.append_change(self.id, row)

    def inspect(self, name: str, not_finite: int = 0) -> None:
        """Histograms of one layer, as a worker takes them."""
        counts, edges = np.histogram(self._random.normal(0, 0.05, 36_864), 60)
        weight = Histogram(float(edges[0]), float(edges[-1]), tuple(counts.tolist()))
        counts, edges = np.histogram(self._random.laplace(0, 2e-4, 36_864 - not_finite), 60)
        gradient = None if self.frozen()[self.names.index(name)] else Histogram(float(edges[0]), float(edges[-1]), tuple(counts.tolist()), not_finite)
        self.store.append_inspection(self.id, Inspection(0, self.step, name, weight, gradient))

    def finish(self, status: RunStatus = RunStatus.FINISHED) -> None:
        """The run has ended."""
        self.store.end(self.id, status)


def lane(page: Page) -> dict[str, list[list[Any]]]:
    """The freeze lane: block to its stretches of steps, [first, last or None, state]."""
    found: dict[str, list[list[Any]]] = json.loads(page.locator(".thaw-live").last.evaluate("element => element.dataset.lane"))
    return found


def written(server: Server, page: Page, config: RunConfig, steps: int = 30) -> WrittenRun:
    """A run with some steps, on screen."""
    run = WrittenRun(store_of(server), config)
    run.train(steps)
    page.goto(f"{server.address}/train?run={run.id}")
    wait_for_steps(page, steps)
    return run


def section(page: Page, name: str) -> Locator:
    return page.locator(f"[data-panel={name}]")


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


def open_layer(page: Page, name: str) -> Locator:
    """Find a layer in the table, click on it; returns its section."""
    page.get_by_role("searchbox", name="Filter layers by name: Layers of this run").fill(name)
    page.get_by_role("button", name=name, exact=True).click()
    return section(page, "layer")


def table_rows(page: Page) -> list[str]:
    """Names of the layers in the table, as many of them as there are in the page, from the top."""
    return page.locator(".thaw-layer-table tbody tr[data-key]").evaluate_all("rows => rows.map((row) => row.dataset.key)")


FEW = RunConfig(model="resnet18", image_size=32, freeze="head only", epochs=10, learning_rate=0.002)


def test_each_change_is_marked_in_every_chart_and_told_in_words(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 40)
    assert flags(page, "loss") == []
    run.change("!layer4", "timeline")
    run.train(20)
    run.change("learning_rate=0.0005, layer4=0.1")
    run.train(20)
    wait_for_steps(page, 80)
    waiting(page, lambda: len(marked_steps(page, "heat")) == 2 and len(marked_steps(page, "rate")) == 2, "two markers")
    for panel in ("loss", "accuracy", "heat", "lane", "rate"):
        assert marked_steps(page, panel) == [40.5, 60.5], panel
        one, two = flags(page, panel)
        assert (one["text"], two["text"]) == ("1", "2")
        assert one["hovertext"] == "change 1, by the timeline, from step 41 on: layer4 learns"
        assert two["hovertext"] == "change 2, live, from step 61 on: learning rate 0.0005, layer4 learns at x 0.1"
    listed = page.locator(".thaw-changes li").all_inner_texts()
    assert [re.sub(r"\s+", " ", text) for text in listed] == [
        "1 step 41 by the timeline layer4 learns",
        "2 step 61 live learning rate 0.0005, layer4 learns at x 0.1",
    ]
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
    assert plot(page, "heat").evaluate(resting) == ["frozen, 60 rows"]
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
    expect(panel).to_contain_text("anything between 1e-4 and 1e-2")
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


def test_the_layer_table_sorts_filters_and_opens_a_layer_without_a_mouse(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 60)
    table = page.get_by_role("table", name="Layers of this run")
    head = table.get_by_role("columnheader", name="Share of learning")
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    moved = store_of(server).steps_after(run.id, 0, 0).update_norms
    shares = np.where(moved < 0, 0, moved).sum(axis=0) / np.where(moved < 0, 0, moved).sum()
    assert table_rows(page)[0] == run.names[int(shares.argmax())]
    expect(page.locator(f".thaw-layer-table tr[data-key='{run.names[int(shares.argmax())]}']")).to_contain_text(f"{100 * shares.max():.1f} %")
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")

    page.get_by_role("searchbox", name="Filter layers by name: Layers of this run").fill("layer4 conv")
    assert table_rows(page)
    assert all("layer4" in name and "conv" in name for name in table_rows(page))
    expect(page.locator(".thaw-layer-table [role=status]")).to_have_text("4 of 62 rows")
    page.get_by_role("searchbox", name="Filter layers by name: Layers of this run").fill("fc")
    page.get_by_role("button", name="fc.weight").focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("button", name="fc.bias")).to_be_focused()  # it moved less, so it stands first now
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="fc.weight")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="fc.weight")).to_be_visible()
    one = section(page, "layer")
    expect(one).to_contain_text("Share of all learning")
    assert one.locator("[data-part=course]").evaluate("element => [element.layout.yaxis.type, element.layout.yaxis2.type]") == ["log", "log"]
    guide = one.locator("[data-part=course]").evaluate(
        "element => element.layout.shapes.filter(({ yref, type }) => yref === 'y2' && type === 'rect').map(({ y0, y1 }) => [y0, y1])"
    )
    assert guide == [[1e-4, 1e-2]]
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    expect(one).to_be_hidden()
    expect(page.get_by_role("button", name="fc.weight")).to_be_focused()


def test_of_six_hundred_layers_only_those_in_sight_are_drawn(server: Server, page: Page) -> None:
    written(server, page, RunConfig(model="densenet201", image_size=32, epochs=10), 60)
    assert chart(page)["layers"] == 604
    assert page.locator(".thaw-layer-table table").get_attribute("aria-rowcount") == "605"
    assert len(table_rows(page)) < 60, "only rows in sight exist"
    scroll = page.locator(".thaw-layer-table .thaw-table-scroll")
    scroll.evaluate("element => { element.scrollTop = element.scrollHeight; }")
    waiting(page, lambda: table_rows(page)[-1] == "classifier.bias", "the last layer")
    page.get_by_role("table", name="Layers of this run").get_by_role("columnheader", name="Share of learning").get_by_role("button").click()
    waiting(page, lambda: scroll.evaluate("element => element.scrollTop") == 0 or table_rows(page)[-1] != "classifier.bias", "another order")
    assert len(table_rows(page)) < 60


def test_histograms_come_on_demand_and_are_refused_after_the_end(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 40)
    one = open_layer(page, "fc.weight")
    button = one.get_by_role("button", name="Take histograms")
    expect(one).to_contain_text("None were taken yet.")
    button.click()
    expect(one).to_contain_text("the run takes them at its next step")
    expect(button).to_be_disabled()
    waiting(page, lambda: [(c.kind, c.payload) for c in store_of(server).commands(run.id)] == [(CommandKind.INSPECT, "fc.weight")], "the request")
    run.inspect("fc.weight", not_finite=3)
    run.train(2)
    expect(one.locator("figcaption").first).to_contain_text("Weights at step 40: 36,864 values from")
    expect(one.locator("figcaption").nth(1)).to_contain_text("3 values are not finite (NaN or infinite) and in no bar")
    expect(button).to_be_enabled()
    drawn = one.locator("[data-part=weight]").evaluate("element => element.data[0].y.reduce((sum, value) => sum + value, 0)")
    assert drawn == 36_864
    run.finish()
    expect(button).to_be_disabled()
    expect(one).to_contain_text("The run has ended, so no more can be taken. The last ones were taken at step 40.")
    expect(badge(page, "Finished")).to_be_visible()
    page.wait_for_timeout(1000)  # the page is drawn anew, the charts stay as they are
    expect(one.locator("figcaption").first).to_be_visible()


def test_the_overhead_of_watching_is_on_screen(server: Server, page: Page) -> None:
    written(server, page, FEW)
    meter = page.locator(".thaw-watching")
    expect(meter).to_have_text("watching costs 1.2 % of a step")
    title = meter.get_attribute("title")
    assert title is not None
    assert "weight changes at every 10th step" in title


def test_a_request_is_shown_as_requested_then_refused_or_applied_and_taken_back(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 40)
    store = store_of(server)
    page.get_by_text("Change it while it trains").click()
    page.get_by_role("button", name="x 0.5").click()
    expect(page.get_by_text("learning rate 0.001 · requested at step 40 · waiting for the step at hand")).to_be_visible()
    (asked,) = store.commands(run.id, waiting=True)
    assert asked.payload == "learning_rate=0.001"
    store.acknowledge(asked, 40, "the schedule has come down to 0")
    expect(page.get_by_text("learning rate 0.001 · requested at step 40 · refused: the schedule has come down to 0")).to_be_visible()

    field = page.get_by_label("New learning rate")
    field.fill("fast")
    page.get_by_role("button", name="Apply").first.click()
    expect(page.get_by_role("alert").filter(has_text="'fast' is no number; enter one such as")).to_be_visible()
    assert store.commands(run.id, waiting=True) == [], "what is no number was not asked for"
    field.fill("0.0004")
    page.get_by_role("button", name="Apply").first.click()
    (asked,) = waiting(page, lambda: store.commands(run.id, waiting=True), "a request")
    assert asked.payload == "learning_rate=0.0004"
    run.change(asked.payload, ask=False)
    store.acknowledge(asked, 40)
    run.train(10)
    expect(page.get_by_text("learning rate 0.0004 · requested at step 40 · applied after step 40")).to_be_visible()
    expect(page.get_by_label("New learning rate")).to_have_attribute("placeholder", "0.0004 now")
    page.get_by_role("button", name="Undo").click()
    (asked,) = waiting(page, lambda: store.commands(run.id, waiting=True), "the opposite")
    assert asked.payload == "learning_rate=0.002", "what it was before"

    page.get_by_label("Multiplier", exact=True).fill("0.1")
    page.get_by_role("button", name="Apply").nth(1).click()
    waiting(page, lambda: [c.payload for c in store.commands(run.id, waiting=True)][-1:] == ["conv1=0.1"], "a multiplier")
    run.finish()
    expect(page.get_by_text("conv1 learns at x 0.1 · requested at step 50 · refused: the run had already ended (finished)")).to_be_visible()
    expect(page.get_by_text("Change it while it trains")).to_be_hidden()


def audit(run: WrittenRun, faults: dict[str, Verdict], complete: bool = False) -> AuditReport:
    """An audit of a written run in which some tensors are faulty."""
    frozen = run.frozen()
    rows = []
    for parameter, still in zip(run.parameters, frozen, strict=True):
        verdict = faults.get(parameter.name, Verdict.VERIFIED if still else Verdict.LEARNING)
        before = hashlib.sha256(parameter.name.encode()).hexdigest()
        moved = verdict == Verdict.LEAKING or not still
        rows.append(
            AuditRow(
                parameter.name, parameter.count, not still, not still and verdict != Verdict.NO_OPTIMIZER, "none" if still else "flows", moved,
                True if verdict == Verdict.DRIFTING else None, "train", 0 if still else None, before,
                hashlib.sha256(before.encode()).hexdigest() if moved else before, verdict,
            )
        )  # fmt: skip
    return AuditReport(run.step, complete, tuple(rows))


def test_the_audit_gives_the_proof_and_a_remedy_for_each_fault(server: Server, page: Page) -> None:
    run = WrittenRun(store_of(server), FEW)
    run.train(20)
    store = store_of(server)
    store.set_audit(run.id, audit(run, {}))
    page.goto(f"{server.address}/train?run={run.id}")
    total = sum(parameter.count for parameter in run.parameters) - 5130
    expect(
        page.get_by_text(f"Freeze audit: 0 of {total:,} frozen values changed, so far, after step 20 · 60 frozen and verified, 2 learning")
    ).to_be_visible()

    faults = {"layer1.0.bn1.weight": Verdict.DRIFTING, "layer1.0.bn1.bias": Verdict.DRIFTING, "conv1.weight": Verdict.LEAKING}
    store.set_audit(run.id, audit(run, faults | {"fc.bias": Verdict.NO_OPTIMIZER}))
    expect(
        page.get_by_text(f"9,408 of {total:,} frozen values changed, so far, after step 20 · 1 leaking, 2 drifting, 1 in no optimizer")
    ).to_be_visible()
    table = page.get_by_role("searchbox", name="Filter by name or verdict")

    def opened() -> bool:  # faults open it by themselves, and may do so just before the click, which closes it then
        if not table.is_visible():
            page.get_by_text("Every tensor of the freeze audit").click()
            page.wait_for_timeout(2000)
        return table.is_visible()

    waiting(page, opened, "the table")
    lines = page.locator(".thaw-audit tbody tr[data-key]")
    worst_first = ["conv1.weight", "layer1.0.bn1.weight", "layer1.0.bn1.bias", "fc.bias"]
    waiting(page, lambda: lines.evaluate_all("rows => rows.slice(0, 4).map((row) => row.dataset.key)") == worst_first, "faults first")
    page.get_by_role("searchbox", name="Filter by name or verdict").fill("drifting")
    expect(page.locator(".thaw-audit [role=status]")).to_have_text("2 of 62 rows")

    page.locator(".st-key-fault_drifting").get_by_role("button", name="Freeze them properly").click()
    (asked,) = waiting(page, lambda: store.commands(run.id, waiting=True), "the remedy")
    assert asked.payload == "layer1.0.bn1", "one rule for both tensors of the layer, and for nothing else"
    page.locator(".st-key-fault_no_optimizer").get_by_role("button", name="Give them to the optimizer").click()
    waiting(page, lambda: [c.payload for c in store.commands(run.id, waiting=True)][1:] == ["!fc.bias"], "the second remedy")

    run.finish()
    store.set_audit(run.id, audit(run, faults, complete=True))
    page.reload()
    expect(page.get_by_text(f"9,408 of {total:,} frozen values changed, complete, after step 20")).to_be_visible()
    page.locator(".st-key-fault_leaking").get_by_role("button", name="Set up a run that does").click()
    page.wait_for_url(re.compile("freeze="))
    expect(page.get_by_role("textbox", name="Rules")).to_have_value("head only, conv1")


def test_settings_can_be_used_again_with_what_was_changed_live(server: Server, page: Page) -> None:
    run = written(server, page, FEW.replace(timeline="2: !layer4"), 30)
    run.change("learning_rate=0.0005, !layer3")
    run.train(10)
    run.finish()
    page.reload()
    page.get_by_text("Settings of this run").click()
    expect(page.get_by_text("2: !layer4; step 31: learning_rate=0.0005, !layer3", exact=True)).to_be_visible()
    page.get_by_role("button", name="Use them with what was changed live").click()
    page.wait_for_url(re.compile("timeline="))
    assert "step+31" in page.url or "step%2031" in page.url


def test_a_real_run_is_steered_and_looked_into_while_it_trains(server: Server, page: Page) -> None:
    run_id = start_run(page, server, LONG)
    store = store_of(server)
    wait_for_steps(page, 5)
    assert lane(page)["layer4"] == [[1, None, "frozen"]]
    page.get_by_text("Change it while it trains").click()
    page.get_by_role("switch", name="freeze layer4", exact=True).click()
    expect(page.get_by_text(re.compile(r"layer4 learns · requested at step \d+ · applied after step \d+"))).to_be_visible()
    (command,) = store.commands(run_id)
    assert (command.kind, command.payload) == (CommandKind.CHANGE, "!layer4")
    assert command.applied_at_step is not None
    thawed = command.applied_at_step + 1
    waiting(page, lambda: chart(page)["changes"] == 1 and chart(page).get("markers") == 1, "a marker")
    assert lane(page)["layer4"] == [[1, thawed - 1, "frozen"], [thawed, None, "learns"]]
    assert lane(page)["layer3"] == [[1, None, "frozen"]]

    page.get_by_role("button", name="x 0.1").click()
    expect(page.get_by_text(re.compile(r"learning rate 0.0001 · requested at step \d+ · applied after step \d+"))).to_be_visible()
    waiting(page, lambda: store.steps_after(run_id, 0, store.last_step(run_id) - 1).learning_rate[-1] == pytest.approx(1e-4), "the new rate")

    open_layer(page, "layer4.0.conv1.weight").get_by_role("button", name="Take histograms").click()
    expect(section(page, "layer").locator("figcaption").first).to_contain_text("1,179,648 values from")
    expect(section(page, "layer").locator("figcaption").nth(1)).to_contain_text("Gradient at step")

    # What is opened while it trains stays open, whatever the next look finds.
    page.get_by_text("Every tensor of the freeze audit").click()
    expect(page.get_by_role("searchbox", name="Filter by name or verdict")).to_be_visible()
    said = page.get_by_text("Freeze audit:").inner_text()
    waiting(page, lambda: page.get_by_text("Freeze audit:").inner_text() != said, "another look")
    expect(page.get_by_role("searchbox", name="Filter by name or verdict")).to_be_visible()

    # Nothing would be left to learn: refused, with the reason, and the switches say what is true again.
    page.locator(".st-key-requests").get_by_role("button", name="Undo").nth(1).click()
    expect(page.get_by_text(re.compile(r"layer4 frozen · requested at step \d+ · applied after step \d+"))).to_be_visible()
    page.get_by_role("switch", name="freeze fc", exact=True).click()
    expect(page.get_by_text(re.compile(r"fc frozen · requested at step \d+ · refused: .*nothing would learn"))).to_be_visible()
    expect(page.get_by_role("switch", name="freeze fc", exact=True)).to_have_attribute("aria-checked", "false")

    page.get_by_role("button", name="Stop and save").click()
    run = ended(server, run_id)
    assert run.plan is not None
    frozen = sum(layer.count for layer in run.plan.layers if layer.frozen)
    expect(page.get_by_text(f"Freeze audit: 0 of {frozen:,} frozen values changed, complete, after step {run.step:,}")).to_be_visible()
