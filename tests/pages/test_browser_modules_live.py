"""The whole live chart on a blank page: nothing that arrives moves it, log scales, a chart shown large, a server that is gone, bad input."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from core.records.events import FROZEN
from core.store.stream import encode_norms
from tests.javascript import Modules
from tests.support import waiting

pytestmark = pytest.mark.browser

SOCKET = "() => { window.sockets = []; window.WebSocket = class { constructor() { sockets.push(this); } close() {} }; }"
MOUNT = """
    document.body.innerHTML = `<div id="host" style="width: ${width}px; padding-top: 40px"><div class="thaw-live"></div></div><p>below</p>`;
    const parentElement = document.querySelector("#host");
    window.unmount = live_chart.mount({ data: { run, plotly: "assets/plotly.min.js", ...more }, parentElement, setTriggerValue() {} });"""
PANELS = ("loss", "accuracy", "heat", "lane", "rate", "table")
LONG = "w" * 300
TRAINING = "The server does not answer. Training goes on in its own process; this page continues when the server is back."


def layer(name: str, block: str = "", frozen: bool = False) -> dict[str, Any]:
    return {"name": name, "frozen": frozen, "block": block or name, "multiplier": 1.0, "count": 9}


LAYERS = [layer(f"b{at // 2}.{at}", f"b{at // 2}", at < 2) for at in range(12)]


def lines(first: int, losses: Sequence[float | None], rate: float = 0.1) -> dict[str, Any]:
    """Steps from `first` on."""
    steps = list(range(first, first + len(losses)))
    return {"steps": {"step": steps, "loss": losses, "low": losses, "high": losses, "learning_rate": [rate] * len(losses)}}


def norms(steps: Sequence[int], rows: Sequence[float]) -> dict[str, Any]:
    values = np.tile(np.array(rows, np.float32), (len(steps), 1))
    return {"heat": {"step": list(steps), "values": base64.b64encode(encode_norms(values).tobytes()).decode()}}


class Live:
    """A mounted chart, and the server's end of its line."""

    def __init__(self, modules: Modules) -> None:
        self.modules, self.page = modules, modules.page

    def mount(self, run: str = "r", width: int = 1130, **more: Any) -> None:
        self.page.evaluate(SOCKET)
        self.modules.run("live_chart", MOUNT, run=run, width=width, more=more)
        self.page.wait_for_function("() => window.Plotly")

    def tell(self, *parts: dict[str, Any], status: str = "running") -> None:
        body = {"run": {"id": "r", "status": status, "step": 1, "total_steps": 100, "epoch": 1, "epochs": 3}, "cursor": {"level": 0}}
        for part in parts:
            body |= part
        self.page.evaluate("(body) => { sockets.at(-1).onmessage({ data: JSON.stringify(body) }); }", body)

    def begin(self, layers: Sequence[dict[str, Any]] = tuple(LAYERS), *parts: dict[str, Any], status: str = "running") -> None:
        self.tell({"reset": True, "layers": list(layers)}, *parts, status=status)

    def drawn(self, step: int) -> None:
        waiting(self.page, lambda: self.page.locator(".thaw-live").get_attribute("data-drawn") == str(step), f"step {step}, drawn")

    def plotted(self, panel: str, script: str) -> Any:
        return self.page.evaluate(
            f"(panel) => {{ const plot = document.querySelector(`[data-panel=${{panel}}] .thaw-plot`); return {script}; }}", panel
        )

    def places(self) -> dict[str, list[int]]:
        """Top and height of every panel and of the toolbar, and of what is drawn in each panel."""
        script = """() => Object.fromEntries([...document.querySelectorAll(
            ".thaw-bar, .thaw-panel:not([hidden]), .thaw-panel:not([hidden]) .thaw-field")].map((element) => {
            const { top, height, width } = element.getBoundingClientRect(), name = element.closest("[data-panel]")?.dataset.panel ?? "bar";
            return [`${name} ${element.className}`, [top + scrollY, height, width].map(Math.round)];
        }))"""
        found: dict[str, list[int]] = self.page.evaluate(script)
        return found

    def areas(self) -> dict[str, list[int]]:
        """Where the axes of each figure lie within it."""
        script = """() => Object.fromEntries([...document.querySelectorAll("[data-panel]:not([hidden]) .thaw-field .thaw-plot")].map((plot) => {
            const { l, t, w, h } = plot._fullLayout._size;
            return [plot.closest("[data-panel]").dataset.panel, [l, t, w, h].map(Math.round)];
        }))"""
        found: dict[str, list[int]] = self.page.evaluate(script)
        return found


@pytest.fixture
def live(modules: Modules) -> Iterator[Live]:
    yield Live(modules)
    modules.page.evaluate("() => { window.unmount?.(); window.unmount = null; sessionStorage.clear(); }")


def change(step: int, **more: Any) -> dict[str, Any]:
    held = {"id": 1, "step": step, "source": "live", "text": f"b1={LONG}", "learning_rate": 0.1, "frozen": [0] * 12}
    return {"changes": [{**held, "multipliers": [1.0] * 6 + [0.05] * 6, **more}]}


@pytest.mark.parametrize("width", [1130, 770, 560])
def test_nothing_that_arrives_moves_or_resizes_anything(live: Live, width: int) -> None:
    live.mount(width=width, rows=12, blocks=6)
    before = live.places()
    assert {name.partition(" ")[0] for name in before} == {"bar", *PANELS}
    if width > 600:
        assert before["loss thaw-panel"][0] == before["accuracy thaw-panel"][0], "beside each other"
        assert before["loss thaw-panel"][1] <= 290
        assert before["heat thaw-panel"][0] - before["bar thaw-bar"][0] < 360, "loss and accuracy are whole above the waterfall"
    live.begin()
    live.tell(lines(1, [2.0]), norms([1], [FROZEN, FROZEN, *[0.1] * 10]))
    live.drawn(1)
    areas = live.areas()
    assert live.places() == before, "the first step"
    epochs = {"epoch": [1], "step": [3], "train_loss": [1.5], "train_accuracy": [0.5], "validation_loss": [1.6], "validation_accuracy": [0.4]}
    moments: dict[str, Sequence[dict[str, Any]]] = {
        "an epoch": (lines(2, [1.9, 1.2e6]), {"epochs": epochs}),
        "a mean of several": ({"steps": {"step": [4], "loss": [1.0], "low": [0.1], "high": [3.0], "learning_rate": [1e-7]}},),
        "what is not finite, zero and without gradient": (
            lines(5, [None]), {"not_finite": [5]}, norms([5], [FROZEN, FROZEN, float("nan"), 0.0, -2.0, *[0.1] * 7]),
        ),
        "a change that adds a multiplier": (lines(6, [1.0]), change(6)),
        "many changes": ({"changes": [change(7, id=at, multipliers=[1 + at / 7] * 12)["changes"][0] for at in range(2, 30)]}, lines(7, [1.0])),
        "what watching costs": (
            {"run": {"id": "r", "status": "running", "epoch": 1, "epochs": 3, "watching": 0.01, "watching_now": 0.02, "norms_every": 16,
                     "watch_every": 16, "watch_every_asked": 10, "watch_budget": 0.02}}, lines(8, [1.0]),
        ),
    }  # fmt: skip
    for step, (what, parts) in zip((3, 4, 5, 6, 7, 8), moments.items(), strict=True):
        live.tell(*parts)
        live.drawn(step)
        live.page.wait_for_timeout(1100)  # what is drawn once a second
        assert live.places() == before, what
        assert live.areas() == areas, what
    assert live.page.locator("[data-panel=rate] .thaw-lines button").count() > 10
    live.page.evaluate("() => sockets.at(-1).onclose({ code: 1006 })")
    assert live.places() == before, "a lost server"
    detail = f"?run=r&chart=loss&steps=2-4&finding={LONG}"
    live.page.evaluate("(detail) => window.dispatchEvent(new CustomEvent('thaw-show-evidence', { detail, cancelable: true }))", detail)
    live.page.wait_for_timeout(1100)
    assert live.places() == before, "a finding's mark"
    live.page.wait_for_function("() => sockets.length === 2")
    live.tell(lines(9, [1.0]), status="finished")
    live.drawn(9)
    assert live.places() == before, "the end"
    assert live.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_until_the_model_is_known_what_lies_below_the_waterfall_is_not_shown(live: Live) -> None:
    live.mount()
    assert not live.page.locator("[data-panel=lane]").is_visible()
    before = live.places()
    live.begin()
    assert live.page.locator("[data-panel=lane]").is_visible()
    after = live.places()
    for name in ("bar thaw-bar", "loss thaw-panel", "accuracy thaw-panel"):
        assert before[name] == after[name]
    assert before["heat thaw-panel"][0] == after["heat thaw-panel"][0]


def test_figures_follow_the_width_of_their_place_and_not_the_windows(live: Live) -> None:
    live.mount(rows=12, blocks=6)
    live.begin()
    live.tell(lines(1, [2.0, 1.0]), norms([1, 2], [FROZEN, FROZEN, *[0.1] * 10]))
    live.drawn(2)
    live.page.evaluate("() => { document.querySelector('#host').style.width = '780px'; }")
    for panel in ("loss", "accuracy", "heat", "lane", "rate"):
        fits = "Math.abs(plot._fullLayout.width - plot.parentElement.clientWidth) <= 1 && plot.parentElement.clientWidth < 760"
        waiting(live.page, partial(live.plotted, panel, fits), f"{panel} as wide as its place")
    assert live.plotted("heat", "Math.abs(plot.parentElement.querySelector('canvas').clientWidth - plot._fullLayout._size.w) <= 1")


def test_a_log_scale_is_chosen_with_the_keyboard_kept_for_the_run_and_says_what_it_cannot_show(live: Live) -> None:
    live.mount(rows=12)
    live.begin(LAYERS, lines(1, [100.0, 1.0, 0.0, -2.0, 0.01]))
    live.drawn(5)
    button = live.page.get_by_role("button", name="Log scale of the loss")
    kind = "[plot.layout.yaxis.type ?? 'linear', plot._fullLayout.yaxis.type]"
    assert button.get_attribute("aria-pressed") == "false"
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert live.plotted("loss", kind) == ["log", "log"]
    assert live.plotted("loss", "plot.data[0].y.slice()") == [100, 1, None, None, 0.01]
    assert live.plotted("loss", "plot.data.at(-1).name + ' ' + plot.data.at(-1).customdata") == "0 or below 0,-2"
    assert "2 values are 0 or below" in live.page.locator("[data-panel=loss] .thaw-lines").inner_text()
    assert live.plotted("loss", "plot._fullLayout.yaxis.range.map(Number)") == pytest.approx([-2.32, 2.32])
    live.page.get_by_role("button", name="Log scale of the learning rate").press("Space")
    assert live.plotted("rate", kind)[0] == "log"
    assert live.page.locator(".thaw-unseen").text_content() == "Learning rate: log scale."
    live.page.evaluate("() => unmount()")
    live.mount(run="another", rows=12)
    live.begin(LAYERS, lines(1, [2.0, 1.0]))
    live.drawn(2)
    assert live.plotted("loss", "plot._fullLayout.yaxis.type") == "linear", "another run has a choice of its own"
    live.page.evaluate("() => unmount()")
    live.mount(rows=12)
    live.begin(LAYERS, lines(1, [2.0, 1.0], rate=0.0))
    live.drawn(2)
    assert live.plotted("loss", "plot._fullLayout.yaxis.type") == "log"
    expect(live.page.locator("[data-panel=rate] small")).to_have_text("0 stands at the lower edge")
    assert live.plotted("rate", "plot._fullLayout.yaxis.type") == "log"
    button.press("Enter")
    assert live.plotted("loss", "plot._fullLayout.yaxis.type") == "linear"


def test_what_a_session_keeps_is_read_with_care(modules: Modules) -> None:
    script = """
        const found = [];
        for (const kept of ["{", "null", "7", '{"loss":"yes","rate":true,"lane":true}']) {
          sessionStorage.setItem("thaw-scales-r", kept);
          found.push(new scales.Scales("r").chosen);
        }
        sessionStorage.clear();
        return { found, nothing: scales.logAxis([null, 0, -1]), one: scales.logAxis([3]).axis.range };"""
    found = modules.run("scales", script)
    assert found["found"] == [{}, {}, {}, {"rate": True}]
    assert found["nothing"]["axis"]["range"] == pytest.approx([-1.08, 0.08]), "an axis without any value is one all the same"
    assert found["one"] == pytest.approx([np.log10(3) - 0.04, np.log10(3) + 0.04])


@pytest.mark.parametrize("panel", ["loss", "accuracy", "heat", "lane", "rate"])
def test_a_chart_is_shown_large_and_goes_on(live: Live, panel: str) -> None:
    page = live.page
    live.mount(rows=12, blocks=6)
    live.begin(LAYERS, lines(1, [2.0, 1.0, 0.5]), norms([1, 2, 3], [FROZEN, FROZEN, *[0.1] * 10]))
    live.drawn(3)
    live.plotted(panel, "window.Plotly.relayout(plot, { 'xaxis.range[0]': 1, 'xaxis.range[1]': 2.5 })")
    button = page.locator(f"[data-panel={panel}] [data-act=large]")
    button.scroll_into_view_if_needed()
    before, scrolled = live.places(), page.evaluate("() => scrollY")
    height = live.plotted(panel, "plot._fullLayout.height")
    button.press("Enter")
    dialog = page.locator("dialog.thaw-large")
    assert dialog.evaluate("(element) => [element.open, element.matches(':modal')]") == [True, True]
    assert dialog.locator(f"[data-panel={panel}]").count() == 1
    assert button.evaluate("(element) => element === document.activeElement")
    assert button.get_attribute("aria-label").startswith("Close ")  # type: ignore[union-attr]
    waiting(page, lambda: live.plotted(panel, "plot._fullLayout.height") > max(500, height), "a high figure")
    assert live.plotted(panel, "plot._fullLayout.width <= plot.parentElement.clientWidth && plot.parentElement.clientWidth > 1100")
    assert live.plotted(panel, "plot.parentElement.scrollHeight <= plot.parentElement.clientHeight + 1"), "whole, without scrolling"
    others = {name: place for name, place in live.places().items() if not name.startswith(panel)}
    assert others == {name: place for name, place in before.items() if not name.startswith(panel)}, "the page behind it does not move"
    live.tell(lines(4, [0.25]), norms([4], [FROZEN, FROZEN, *[0.1] * 10]))
    live.drawn(4)
    assert live.plotted(panel, "plot._fullLayout.xaxis.range.map(Number)") == [1, 2.5], "the zoom is kept"
    page.keyboard.press("Escape")
    assert dialog.evaluate("(element) => [element.open, element.childElementCount]") == [False, 0]
    assert button.evaluate("(element) => element === document.activeElement")
    assert (live.places(), page.evaluate("() => scrollY")) == (before, scrolled)
    assert live.plotted(panel, "plot._fullLayout.height") == height
    assert live.plotted(panel, "plot._fullLayout.xaxis.range.map(Number)") == [1, 2.5]


def test_a_layer_that_is_chosen_in_the_large_waterfall_is_shown_on_the_page(live: Live) -> None:
    page = live.page
    live.mount(rows=12, blocks=6)
    live.begin(LAYERS, lines(1, [2.0]), norms([1], [FROZEN, FROZEN, *[0.1] * 10]))
    live.drawn(1)
    page.get_by_role("button", name="Show Gradient norms large").click()
    waiting(page, lambda: live.plotted("heat", "plot._fullLayout.height") > 500, "a high figure")
    canvas = page.locator("[data-panel=heat] canvas")
    canvas.hover(position={"x": 60, "y": canvas.evaluate("(element) => element.clientHeight") - 8}, force=True)
    assert page.locator(".thaw-hint").is_visible(), "over the dialog, not below it"
    page.mouse.down()
    page.mouse.up()
    heading = page.locator("[data-panel=layer] h3")
    heading.wait_for()
    assert heading.inner_text() == "b5.11"
    assert page.locator("dialog.thaw-large").evaluate("(element) => element.open") is False


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("running", TRAINING),
        ("preparing", TRAINING),
        ("paused", "The server does not answer. The run stays paused in its own process; this page continues when the server is back."),
        ("finished", "The server does not answer. This page continues when the server is back."),
        ("queued", "The server does not answer. This page continues when the server is back."),
        ("interrupted", "The server does not answer. This page continues when the server is back."),
    ],
)
def test_a_lost_server_is_said_with_what_it_means_for_the_run(live: Live, status: str, said: str) -> None:
    page = live.page
    live.mount(rows=12)
    live.begin(LAYERS, lines(1, [2.0]), status=status)
    lost, spoken = page.locator(".thaw-lost"), page.locator("[role=status].thaw-unseen")
    assert lost.is_hidden()
    page.evaluate("() => sockets.at(-1).onclose({ code: 1006 })")
    assert lost.is_visible()
    assert lost.inner_text() == spoken.text_content() == said
    assert spoken.get_attribute("aria-live") == "polite"
    assert not page.locator(".thaw-summary").is_visible()
    assert lost.evaluate("(element) => element.scrollHeight <= element.clientHeight + 1"), "whole"
    assert page.locator(".thaw-link").inner_text() == "Reconnecting"
    page.evaluate(
        "() => { window.spoken = 0; new MutationObserver(() => { spoken++; }).observe(document.querySelector('.thaw-unseen'), { childList: true }); }"
    )
    page.wait_for_function("() => sockets.length === 2")
    page.evaluate("() => sockets.at(-1).onclose({ code: 1006 })")
    page.wait_for_function("() => sockets.length === 3")
    assert page.evaluate("() => spoken") == 0, "told once, not at each try"
    page.evaluate("() => sockets.at(-1).onopen()")
    assert lost.is_hidden()
    assert spoken.text_content() == "The server answers again."
    for code, words in ((4404, "This run is gone"), (4422, "This run cannot be read")):
        page.evaluate("(code) => sockets.at(-1).onclose({ code })", code)
        assert page.locator(".thaw-link").inner_text() == words
        assert lost.is_hidden()


def test_a_model_of_a_thousand_layers_stays_bounded_and_legible_and_hides_nothing_that_is_wrong(live: Live) -> None:
    page = live.page
    layers = [
        layer(f"block{at // 4}.part{at % 4}." + (LONG if at == 7 else "weight"), f"block{at // 4}" + (LONG if at < 4 else "")) for at in range(1000)
    ]
    live.mount(rows=1000, blocks=250, width=770)
    rows = np.full(1000, 0.1)
    rows[777] = np.nan
    live.begin(layers, lines(1, [2.0] * 20), norms(range(1, 21), rows.tolist()))
    live.drawn(20)
    page.wait_for_timeout(1100)
    for panel in ("heat", "lane", "table"):
        assert live.plotted(panel, "(plot ?? document.querySelector('.thaw-table-scroll')).clientHeight") <= 520
    for panel in ("heat", "lane"):
        heights = sorted(
            page.locator(f"[data-panel={panel}] .ytick text").evaluate_all("(labels) => labels.map((label) => label.getBoundingClientRect().y)")
        )
        assert len(heights) > 15
        assert np.diff(heights).min() >= 10, "labels do not lie on each other"
    assert page.locator("[data-panel=heat] .ytick text").nth(3).text_content().startswith("block")  # type: ignore[union-attr]
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("[data-panel=lane] .thaw-plot").evaluate("(plot) => plot.ariaLabel.length") < 2000
    assert page.locator(".thaw-layer-table tbody tr").count() < 40
    # The one layer that is not finite is seen, although three share its pixel, and told.
    page.locator("[data-panel=heat]").scroll_into_view_if_needed()
    box = page.locator("[data-panel=heat] canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 777.5 / 1000)
    hint = page.locator(".thaw-hint").inner_text().splitlines()
    assert hint[0].startswith("block19")
    assert " to block19" in hint[0]
    assert "layers: largest gradient norm 0.1, 1 not finite" in hint[1]
    red = """(canvas) => { const { width, height } = canvas, brush = canvas.getContext("2d"); let other = 0;
        const { data } = brush.getImageData(0, Math.floor(height * 0.7775) - 1, width, 3), usual = brush.getImageData(width / 2, 5, 1, 1).data.join();
        for (let at = 0; at < data.length; at += 4) other += data.slice(at, at + 4).join() !== usual; return other / width; }"""
    assert page.locator("[data-panel=heat] canvas").evaluate(red) > 0.8
    for row in (0, 7):
        page.evaluate("(key) => document.querySelector(`tr[data-key='${key}'] button`).click()", layers[row]["name"])
        page.locator("[data-panel=layer] h3").wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_run_of_one_step_and_one_without_any_number(live: Live) -> None:
    live.mount(rows=12)
    live.begin(LAYERS, lines(1, [2.5]), norms([1], [0.1] * 12), status="finished")
    live.drawn(1)
    point = "[plot.data[0].mode, plot.data[0].marker.size, plot._fullLayout.xaxis.range.map(Number)]"
    waiting(live.page, lambda: live.plotted("rate", "plot.data?.length"), "the learning rate, drawn")  # as all but two, once a second
    for panel in ("loss", "rate"):
        assert live.plotted(panel, point) == ["lines+markers", [6], [0, 10.5]]
    low, high = live.plotted("loss", "plot._fullLayout.yaxis.range.map(Number)")
    assert low < 2.5 < high
    assert live.plotted("accuracy", "plot.layout.annotations[0].text") == "No epoch was completed"
    assert live.page.locator(".thaw-changes ol").is_hidden(), "none will come"
    live.page.evaluate("() => unmount()")
    live.mount(rows=12)
    live.begin(LAYERS, lines(1, [None, None]), {"not_finite": [1, 2]}, norms([1, 2], [float("nan")] * 12), status="failed")
    live.drawn(2)
    assert live.plotted("loss", "plot.layout.annotations.map(({ text }) => text)") == ["The loss is NaN or infinite from step 1 on: no value to draw"]
    assert json.dumps(live.plotted("loss", "plot.data.at(-1).y")) == "[1, 1]"
    assert "Loss not finite from step 1." in live.page.locator(".thaw-summary").inner_text()


def test_lines_are_hidden_and_shown_by_their_key(live: Live) -> None:
    live.mount(rows=12)
    band = {"step": [1, 2], "loss": [2.0, 1.0], "low": [1.0, 0.5], "high": [3.0, 2.0], "learning_rate": [0.1, 0.1]}
    live.begin(LAYERS, {"steps": band})
    live.drawn(2)
    keys = live.page.locator("[data-panel=loss] .thaw-lines button")
    assert keys.all_inner_texts() == ["range", "training", "smoothed"]
    assert [key.get_attribute("title") for key in keys.all()] == ["lowest to highest", "training, mean", "training, smoothed"]
    keys.nth(0).press("Enter")
    visible = "plot.data.map(({ name, visible }) => [name, visible])"
    band_hidden = [["lowest", False], ["lowest to highest", False], ["training, mean", True], ["training, smoothed", True]]
    assert live.plotted("loss", visible) == band_hidden
    assert keys.nth(0).get_attribute("aria-pressed") == "false"
    assert keys.nth(0).evaluate("(element) => element === document.activeElement"), "the focus stays where it is"
    live.tell(lines(3, [0.5]))
    live.drawn(3)
    assert live.plotted("loss", visible) == band_hidden, "as long as somebody wants it"
    keys.nth(0).press("Enter")
    assert all(shown for _, shown in live.plotted("loss", visible))
