"""The live chart beside its lines: the table of layers, one layer in full, the window of a finding, the sentences, a pressed pointer."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.javascript import Modules

pytestmark = pytest.mark.browser

FROZEN, ZERO, NONE, NOT_MEASURED, BROKEN = -32768, -32767, -32766, -32765, 32767

TABLE = """
    document.body.innerHTML = "<div></div>";
    window.opened = [];
    window.table = new virtual_table.VirtualTable(document.body.firstChild, { label: "l", placeholder: "p", empty: "nothing", key: ({ name }) =>
      name, text: ({ name }) => name,
      open: ({ name }) => opened.push(name), height: 300, columns: [
        { label: "Name", width: "10rem", sort: ({ name }) => name, cell: ({ name }) => name },
        { label: "Value", width: "10rem", number: true, sort: ({ value }) => value, cell: ({ value }) => String(value) }] });
    table.show(rows);"""
ROWS = "() => [...document.querySelectorAll('tr[data-key]')].map((line) => [Number(line.getAttribute('aria-rowindex')), line.dataset.key])"


def keys(modules: Modules) -> list[str]:
    return [key for _, key in modules.page.evaluate(ROWS)]


def test_a_long_table_holds_the_rows_in_sight_alone(modules: Modules) -> None:
    page = modules.page
    modules.run("virtual_table", TABLE, rows=[{"name": f"row{at:03}", "value": at} for at in range(600)])
    first = page.evaluate(ROWS)
    assert first == [[at + 2, f"row{at:03}"] for at in range(len(first))]
    assert 300 / 30 <= len(first) <= 300 / 30 + 12
    for scrolled in (3_000, 10**6):
        page.evaluate("(top) => { table.scroll.scrollTop = top; table.render(); }", scrolled)
        rows = page.evaluate(ROWS)
        numbers = [int(key[3:]) for _, key in rows]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert [index for index, _ in rows] == [number + 2 for number in numbers]
        # Each row that is in sight exists, and stands where its place in the list says.
        script = """() => { const box = table.scroll.getBoundingClientRect(), head = document.querySelector("th").getBoundingClientRect();
            const seen = [...document.querySelectorAll("tr[data-key]")].map((line) => line.getBoundingClientRect()).filter(({ top, bottom }) =>
              bottom > head.bottom && top < box.bottom);
            return [seen[0].top <= head.bottom, seen.at(-1).bottom >= box.bottom - 20, table.scroll.scrollHeight, head.height]; }"""
        above, below, tall, head = page.evaluate(script)
        assert above
        assert below
        assert tall == pytest.approx(600 * 30 + head, abs=2), "the rows that do not exist keep their room"
    assert page.evaluate(ROWS)[-1] == [601, "row599"]
    assert page.locator("table").get_attribute("aria-rowcount") == "601"


def test_sorting_puts_what_is_not_known_last_and_the_third_click_gives_the_order_back(modules: Modules) -> None:
    values = [("b", 2), ("n", None), ("a", 10), ("z", "Infinity"), ("m", "-Infinity"), ("e", 2)]
    prepare = "for (const row of rows) if (typeof row.value === 'string') row.value = Number(row.value);"
    modules.run("virtual_table", prepare + TABLE, rows=[{"name": name, "value": value} for name, value in values])
    given = [name for name, _ in values]
    heads = modules.page.locator("thead button")
    seen = [keys(modules)]
    for _ in range(3):
        heads.nth(1).evaluate("button => button.click()")
        seen.append(keys(modules))
    assert seen == [given, ["z", "a", "b", "e", "m", "n"], ["m", "b", "e", "a", "z", "n"], given]
    heads.nth(0).evaluate("button => button.click()")
    assert keys(modules) == sorted(given)
    assert [modules.page.locator("th[aria-sort]").nth(at).get_attribute("aria-sort") for at in (0, 1)] == ["ascending", "none"]


def test_filter_needs_every_word_and_the_keyboard_goes_row_by_row(modules: Modules) -> None:
    page = modules.page
    modules.run("virtual_table", TABLE, rows=[{"name": name, "value": 1} for name in ("conv1 weight", "conv1 bias", "conv2 weight", "fc bias")])
    page.locator("input").fill("CONV  weight")
    assert keys(modules) == ["conv1 weight", "conv2 weight"]
    assert page.locator("[role=status]").text_content() == "2 of 4 rows"
    page.locator("input").fill("none of these")
    assert page.locator(".thaw-table-empty").text_content() == "nothing"
    page.locator("input").fill("")
    page.locator("tbody button").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    assert page.evaluate("() => [opened, document.activeElement.textContent]") == [["conv1 bias"], "conv1 bias"]
    page.keyboard.press("End")
    assert page.evaluate("() => document.activeElement.textContent") == "fc bias"
    assert page.locator("tr[aria-current]").get_attribute("data-key") == "conv1 bias"


CHART = """
    const told = new run_history.RunHistory();
    for (const message of messages) told.take(message);
    document.body.innerHTML = `<div>${panels.PAGE}</div>`;
    const root = document.body.firstChild, asked = [];
    const chart = { root, history: told, run: "r", view: "norm", zoom: null, cursor: { level: 0 }, about: messages.at(-1).run,
      colours: looks.readColours(root), heights: {},
      panel: (name) => root.querySelector(`[data-panel=${name}]`), plot: (name) => root.querySelector(`[data-panel=${name}] .thaw-plot`),
      range: () => chart.zoom ?? [0, Math.max(10, told.lastStep) + 0.5], zoomTo: (range, heights) => { chart.zoom = range; chart.heights = heights; },
      drawAll() {}, show: (view) => { chart.view = view; }, openLayer: (row) => { asked.push(row);
        chart.panel("layer").innerHTML = '<h3 tabindex="-1"></h3>'; }, config: () => ({}), follow() {},
      evidence: { marks: () => ({ shapes: [], annotations: [], room: 0 }) } };"""


def layer(name: str, frozen: bool = False, block: str = "", multiplier: float = 1.0, count: int = 9) -> dict[str, Any]:
    return {"name": name, "frozen": frozen, "block": block, "multiplier": multiplier, "count": count}


def codes(*columns: Sequence[int]) -> str:
    return base64.b64encode(np.array(columns, "<i2").tobytes()).decode()


def first(*layers: dict[str, Any], run: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"reset": True, "layers": list(layers), "cursor": {"level": 0}, "run": {"status": "running", "watch_every": 1, **(run or {})}, **more}


def steps(last: int, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {name: [1.0] * last for name in ("loss", "low", "high", "learning_rate")}
    return {"step": list(range(1, last + 1)), **given, **more}


def charted(modules: Modules, body: str, message: dict[str, Any], also: str, **given: object) -> Any:
    return modules.run(f"run_history looks panels {also}", CHART + body, messages=[message], **given)


def test_the_table_of_layers_says_newest_values_shares_and_states(modules: Modules) -> None:
    script = """
        const table = layer_table.layerTable(root.querySelector(".thaw-layer-table"), chart);
        table.scroll.style.maxHeight = "none";
        layer_table.fitNames(table, told);
        table.show(layer_table.layerRows(told));
        const rows = () => [...root.querySelectorAll("tr[data-key]")].map((line) => [...line.children].map(({ textContent }) => textContent.trim()));
        const found = { rows: rows(), sorted: {}, widths: [...root.querySelectorAll("col")].slice(0, 2).map(({ style }) => style.width) };
        found.dots = [...root.querySelectorAll("tr[data-key] td:nth-child(5) svg")].map((svg) => [svg.querySelectorAll("circle").length,
          svg.querySelector("path")?.getAttribute("d") ?? ""]);
        for (const place of [4, 6]) { table.sortBy(place); found.sorted[place] = rows().map(([name]) => name); }
        return found;"""
    names = ["a.frozen", "a.zero", "b.none", "b.value", "b.broken", "b.tiny"]
    layers = [layer(name, name == "a.frozen", name[0], 2.0, count=1000 * (at + 1)) for at, name in enumerate(names)]
    norms = codes([FROZEN, ZERO, NONE, -300, -100, -700], [FROZEN, ZERO, NONE, -100, BROKEN, -700])
    updates = {"step": [1, 2], "update": codes([FROZEN, ZERO, NONE, -300, -300, -700], [FROZEN, ZERO, NONE, -300, -300, -700])}
    updates["weight"] = codes([0] * 6, [0, 0, 0, 0, ZERO, -200])
    message = first(*layers, steps=steps(2), heat={"step": [1, 2], "values": norms}, updates=updates)
    found = charted(modules, script, message, "layer_table")
    by_name = {row[0]: row[1:] for row in found["rows"]}
    assert list(by_name) == names
    assert by_name["a.frozen"] == ["a", "1,000", "frozen", "none", "none", "0 %", "x 2"]
    assert by_name["a.zero"] == ["a", "2,000", "learns", "0", "0", "0 %", "x 2"]
    assert by_name["b.none"] == ["b", "3,000", "learns", "none", "none", "0 %", "x 2"]
    assert by_name["b.value"] == ["b", "4,000", "learns", "0.1", "0.001", "50.0 %", "x 2"]
    assert by_name["b.broken"] == ["b", "5,000", "learns", "not finite", "not finite", "50.0 %", "x 2"]
    assert by_name["b.tiny"] == ["b", "6,000", "learns", "1.0e-7", "1.0e-5", "< 0.1 %", "x 2"]
    assert [dots for dots, _ in found["dots"]] == [0, 0, 0, 1, 0, 1], "the newest value has a dot, where it is one"
    up, flat = found["dots"][3][1], found["dots"][5][1]
    (x0, y0), (x1, y1) = ([float(number) for number in point.split()] for point in up[1:].split("L"))
    assert x0 < x1
    assert (y0, y1) == (18, 2), "a larger norm stands higher"
    assert len({point.split()[1] for point in flat[1:].split("L")}) == 1
    assert found["sorted"]["4"] == ["b.broken", "b.value", "b.tiny", "a.zero", "a.frozen", "b.none"]
    assert found["sorted"]["6"][:3] == ["b.value", "b.broken", "b.tiny"]
    assert found["widths"] == ["5.4rem", "4.2rem"]


def test_one_layer_shows_its_course_its_freezes_and_its_histograms(modules: Modules) -> None:
    script = """
        const drawn = {};
        chart.Plotly = { react: (plot, data, layout) => { drawn[plot.dataset.part] = { data, layout }; plot.on ??= () => {}; }, purge: (plot) => {
          drawn[plot.dataset.part] = null; } };
        const view = new one_layer.OneLayer(chart, chart.panel("layer"), 1, { onClose() {}, onInspect: (name) => asked.push(name) });
        const text = (selector) => [...chart.panel("layer").querySelectorAll(selector)].map(({ textContent }) => textContent.trim());
        const { data, layout } = drawn.course;
        view.part("inspect").click();
        const waiting = text(".thaw-inspect [role=status]"), disabled = view.part("inspect").disabled;
        told.take({ inspections: [{ ...told.inspections[1], id: 9, step: 6, weight: { ...told.inspections[1].weight, low: -4, high: 4 } }] });
        view.draw();
        return { facts: text("dd"), lines: data.map(({ name, x, y }) => [name, x, y]), shapes: layout.shapes.filter(({ label }) => label).map(({
          x0, x1 }) => [x0, x1]),
          bars: drawn.weight.data.map(({ x, y, width, name }) => ({ x, y, width, name })), range: drawn.weight.layout.xaxis.range,
            captions: text("figcaption"),
          gradient: drawn.gradient, waiting, disabled, asked, after: text(".thaw-inspect [role=status]"), now: view.part("inspect").disabled };"""
    histogram = lambda low, high, counts, broken=0: {"low": low, "high": high, "counts": counts, "not_finite": broken}  # noqa: E731
    inspections = [
        {"id": 1, "step": 2, "name": "a.w", "weight": histogram(-1, 1, [1, 3]), "gradient": None},
        {"id": 2, "step": 4, "name": "a.w", "weight": histogram(-2, 2, [2, 6], 1), "gradient": None},
        {"id": 3, "step": 4, "name": "other", "weight": histogram(-9, 9, [9]), "gradient": None},
    ]
    changes = [{"step": step, "source": "live", "text": "", "frozen": [0, frozen], "multipliers": [1, 3]} for step, frozen in ((3, 1), (5, 0))]
    norms = codes(*[[-100, code] for code in (-200, -100, FROZEN, FROZEN, ZERO, BROKEN)])
    message = first(
        layer("other"),
        layer("a.w", block="a"),
        steps=steps(6),
        heat={"step": [1, 2, 3, 4, 5, 6], "values": norms},
        changes=changes,
        inspections=inspections,
    )
    found = charted(modules, script, message, "one_layer")
    assert found["facts"] == ["a", "9", "learns", "not finite", "not measured yet", "not measured yet", "x 3"]
    course = {name: y for name, _, y in found["lines"]}
    assert course["gradient norm"] == [pytest.approx(0.01), pytest.approx(0.1), None, None, None, None]
    floor = pytest.approx(10**-2.25)
    assert course["gradient exactly 0"] == [None] * 4 + [floor, None]
    assert course["gradient not finite"] == [None] * 5 + [floor]
    assert found["shapes"] == [[2.5, 4.5]], "frozen in steps 3 and 4"
    bars, before = found["bars"]
    assert (bars["x"], bars["y"], bars["width"], bars["name"]) == ([-2, 2], [2, 6], 4, "step 6")
    assert (before["x"], before["y"], before["name"]) == ([-2, 0, 0, 2], [4, 4, 12, 12], "step 4"), "as high for the same density"
    assert found["range"] == [-4, 4]
    assert found["captions"] == [
        "Weights at step 6: 8 values from -4 to 4. 1 value is not finite (NaN or infinite) and in no bar.",
        "Gradient at step 6: there was none, since the layer was frozen.",
    ]
    assert (found["gradient"], found["asked"], found["disabled"], found["now"]) == (None, ["a.w"], True, False)
    assert found["waiting"] == ["Asked for; the run takes them at its next step."]
    assert found["after"] == ["These were taken at step 6."]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("chart=loss", None),
        ("steps=12", {"chart": "loss", "first": 12, "last": 12, "layers": [], "finding": ""}),
        (
            "chart=update+ratio&steps=0-7&layers=a,,b&finding=f",
            {"chart": "update ratio", "first": 1, "last": 7, "layers": ["a", "b"], "finding": "f"},
        ),
        ("steps=7-3", "no range of steps"),
        ("steps=1e3", "no range of steps"),
        ("steps=1-2&chart=constructor", "no chart"),
        ("steps=1-2&chart=heat", "no chart"),
    ],
)
def test_a_window_of_steps_in_the_address(modules: Modules, query: str, wanted: Any) -> None:
    found = modules.run("evidence", "return evidence.evidenceIn(`?run=r&${query}`);", query=query)
    if isinstance(wanted, str):
        assert wanted in found["wrong"]
    else:
        assert found == wanted


def test_a_marked_window_is_shown_with_a_quarter_around_it(modules: Modules) -> None:
    script = """
        history.replaceState(null, "", `/?run=r&${query}`);
        const held = new evidence.Evidence(chart);
        chart.Plotly = {}; chart.rows = { edges: [0, 10, 30, 60] };
        held.show();
        const marks = (figure) => held.marks(figure, 800), box = ({ x0, x1, y0, y1, yref, name }) => [name, x0, x1, yref, y0, y1];
        const found = { zoom: chart.zoom, view: chart.view, asked, said: root.querySelector(".thaw-marked").textContent,
          unseen: root.querySelector(".thaw-unseen").textContent };
        if (held.marked) Object.assign(found, { loss: marks("loss").shapes.map(box), heat: marks("heat").shapes.map(box),
          rate: marks("rate").annotations.length,
          label: marks("loss").annotations.map(({ text, x, xanchor }) => [text, x, xanchor]), room: marks("heat").room });
        held.forget(); held.close();
        return { ...found, left: location.search, none: held.marks("loss", 800).shapes.length };"""
    message = first(layer("a"), layer("b"), layer("c"), run={"total_steps": 200}, steps=steps(100))
    found = charted(modules, script, message, "evidence", query="chart=update+ratio&steps=41-60&layers=b&finding=rule")
    assert found["zoom"] == [35.5, 65.5]
    assert (found["view"], found["asked"], found["room"], found["rate"]) == ("ratio", [1], 22, 0)
    assert found["loss"] == [["evidence", 40.5, 60.5, "paper", 0, 1]]
    assert ["evidence", 40.5, 60.5, "y", 10, 30] in found["heat"]
    assert found["label"] == [["rule, steps 41 to 60", 50.5, "center"]]
    assert found["said"] == "Marked: rule, steps 41 to 60."
    assert (found["left"], found["none"]) == ("?run=r", 0)
    edge = charted(modules, script, message, "evidence", query="steps=1-2")
    assert edge["zoom"] == [0, 5.5], "at least eight points, and nothing before the first step"
    assert edge["label"][0][1:] == [0.5, "left"]
    late = charted(modules, script, message, "evidence", query="steps=101")
    assert late["said"] == "The address asks for step 101, but this run has 100 steps so far."
    assert late["zoom"] is None


def test_the_sentences_of_a_run(modules: Modules) -> None:
    script = """
        spoken.summarise(chart); spoken.listEpochs(chart); spoken.listEpochs(chart);
        const text = (selector) => root.querySelector(selector).textContent;
        return { summary: text(".thaw-summary"), unseen: text(".thaw-unseen"),
          meter: root.querySelector(".thaw-watching").hidden ? null : text(".thaw-watching"),
          labels: ["loss", "accuracy", "rate", "heat"].map((name) => chart.plot(name).getAttribute("aria-label")),
          rows: [...root.querySelectorAll(".thaw-epochs tbody tr")].map((row) => [...row.cells].map(({ textContent }) => textContent)),
            small: text("[data-panel=heat] small") };"""
    waiting = charted(modules, script, first(layer("a")), "spoken")
    assert waiting["summary"] == "Waiting for the first step."
    assert waiting["meter"] is None
    epochs = {
        "epoch": [1, 2],
        "step": [2, 4],
        "train_loss": [0.5, 0.25],
        "train_accuracy": [0.5, 0.6],
        "validation_loss": [None, 0.75],
        "validation_accuracy": [0.5, 0.7],
    }
    run = {
        "total_steps": 1234,
        "epoch": 2,
        "epochs": 3,
        "watching": 0.01,
        "watching_now": 0.0001,
        "norms_every": 22,
        "watch_every": 160,
        "watch_every_asked": 10,
        "watch_budget": 0.02,
    }
    message = first(
        layer("a", True),
        layer("b", multiplier=0.5),
        layer("c"),
        run=run,
        epochs=epochs,
        not_finite=[4],
        steps=steps(4, loss=[3.0, 2.0, 1.5, None], learning_rate=[0.1, 0.1, 0.1, 0.05]),
    )
    found = charted(modules, script, message, "spoken")
    assert found["summary"] == "Step 4 of 1,234, epoch 2 of 3. Training loss 1.5. Validation accuracy 70.0 %. Loss not finite from step 4."
    assert found["labels"] == [
        "Loss chart. Latest training loss 1.5, validation loss 0.75.",
        "Accuracy chart. Latest training accuracy 60.0 %, validation accuracy 70.0 %.",
        "Learning rate chart. Latest 0.05, multiplied by 1, 0.5 for groups of layers.",
        "Gradient norm heatmap of 3 layers over steps; 1 of them are frozen. The table of layers below has the same in numbers.",
    ]
    assert found["rows"] == [["1", "0.5", "none", "50.0 %", "50.0 %"], ["2", "0.25", "0.75", "60.0 %", "70.0 %"]]
    assert found["unseen"] == "Epoch 2 done: training loss 0.25, validation accuracy 70.0 %."
    assert found["meter"] == "watching costs less than 0.1 % of a step · gradient norms at every 22nd step (budget 2 %)"
    assert found["small"] == "2 of 3 parameter tensors learn, 1 is frozen · log scale"
    # Where the bar of a step's time is on the page, the meter has the bar's figure, never one of another moment.
    bars = """
        chart.run = "mine";
        for (const [run, watching] of [["another", "9.0 %"], ["mine", "4.5 %"]]) {
          const bar = Object.assign(document.createElement("div"), { className: "thaw-step-time" });
          Object.assign(bar.dataset, { run, watching });
          document.body.append(bar);
        }
        spoken.watching(chart);
        const meter = root.querySelector(".thaw-watching").textContent;
        document.querySelectorAll(".thaw-step-time").forEach((bar) => bar.remove());
        spoken.watching(chart);
        return [meter, root.querySelector(".thaw-watching").textContent];"""
    told, alone = charted(modules, bars, message, "spoken")
    assert told.startswith("watching costs 4.5 % of a step")
    assert alone == found["meter"]


def test_a_press_lasts_until_the_pointer_is_let_go_wherever_that_is(modules: Modules) -> None:
    script = """
        document.body.innerHTML = '<main><div class="thaw-plot"></div><p></p></main>';
        const root = document.body.firstChild, [plot, other] = root.children, released = [], seen = [];
        const held = new press.Press(root, () => released.push(1));
        const event = (name, target, more = {}) => target.dispatchEvent(new PointerEvent(name, { bubbles: true, isPrimary: true, button: 0,
          buttons: 1, ...more }));
        const note = async () => { await new Promise((resolve) => setTimeout(resolve, 5)); seen.push([held.now, released.length]); };
        event("pointerdown", other); await note();
        event("pointerdown", plot, { button: 2 }); await note();
        event("pointerdown", plot); await note();
        event("pointermove", document.body); await note();
        event("pointermove", document.body, { buttons: 0 }); await note();
        event("pointerdown", plot); event("pointerup", window); await note();
        event("pointerdown", plot); other.dispatchEvent(new FocusEvent("blur", { bubbles: true })); await note();
        window.dispatchEvent(new Event("blur")); await note();
        held.close(); event("pointerdown", plot); await note();
        return seen;"""
    assert modules.run("press", script) == [
        [False, 0], [False, 0], [True, 0], [True, 0], [False, 1], [False, 2], [True, 2], [False, 3], [False, 3],
    ]  # fmt: skip
