"""What the live chart makes of a history: lines, bands, colours, labels, sentences and rows in sight."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.javascript import Modules

pytestmark = pytest.mark.browser

FROZEN, ZERO, NONE, NOT_MEASURED, BROKEN = -32768, -32767, -32766, -32765, 32767
SPECIAL = [FROZEN, ZERO, NONE, NOT_MEASURED, BROKEN]

CHART = """
    const chosen = {}; // log scales
    const none = () => ({ shapes: [], annotations: [], room: 0 });
    const told = new run_history.RunHistory();
    for (const message of messages) told.take(message);
    const chart = { history: told, run: "r", view: "norm", cursor: messages.at(-1)?.cursor ?? null, slider: { value: 0 }, heights: {},
      labelLength: 30, scales: { log: (name, otherwise = false) => (chosen[name] ?? otherwise) },
      about: messages.at(-1)?.run, colours: looks.readColours(document.body), range: () => [0, Math.max(10, told.lastStep) + 0.5], evidence: {
        marks: none } };"""


def codes(columns: Sequence[Sequence[int]]) -> str:
    return base64.b64encode(np.array(columns, "<i2").tobytes()).decode()


def layer(name: str, frozen: bool = False, block: str = "", multiplier: float = 1.0, count: int = 9) -> dict[str, Any]:
    return {"name": name, "frozen": frozen, "block": block, "multiplier": multiplier, "count": count}


def start(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"reset": True, "layers": list(layers), "cursor": {"level": 0}, "run": {"status": "running"}}


def lines(losses: Sequence[float | None], **more: Any) -> dict[str, Any]:
    """Steps 1, 2, ... with these losses."""
    steps = {"step": list(range(1, len(losses) + 1)), "loss": losses, "low": losses, "high": losses, "learning_rate": [0.1] * len(losses)}
    return {"steps": {**steps, **more}, "cursor": {"level": 0}, "run": {"status": "running"}}


def charted(modules: Modules, body: str, messages: list[dict[str, Any]], also: str = "", **given: object) -> Any:
    return modules.run(f"run_history looks figures {also}".strip(), CHART + body, messages=messages, **given)


def test_loss_lines_band_smoothing_and_what_is_not_finite(modules: Modules) -> None:
    script = """
        chart.slider.value = weight;
        const [traces, layout] = figures.drawLoss(chart);
        return { traces: traces.map(({ name, x, y, fill = "" }) => ({ name, x, y, fill })), shapes: layout.shapes.map(({ x0, x1 }) => [x0, x1]) };"""
    plain = charted(modules, script, [start(), lines([4.0, 2.0, 1.0])], weight=0)
    assert plain["traces"] == [{"name": "training, each step", "x": [1, 2, 3], "y": [4, 2, 1], "fill": ""}]
    losses = [4.0, None, 2.0, 1.0]
    epochs = {
        "epoch": [1, 2],
        "step": [2, 4],
        "train_loss": [3, 2],
        "train_accuracy": [0.5, 0.6],
        "validation_loss": [None, 2.5],
        "validation_accuracy": [None, 0.25],
    }
    message = {**lines(losses, low=[3.0, None, 1.5, 1.0], high=[5.0, None, 2.5, 1.0]), "not_finite": [2], "epochs": epochs}
    found = charted(modules, script, [start(), message], weight=0.75)
    by_name = {trace["name"]: trace["y"] for trace in found["traces"]}
    assert by_name["lowest"] == [3, None, 1.5, 1]
    assert by_name["lowest to highest"] == [5, None, 2.5, 1]
    assert [trace["name"] for trace in found["traces"] if trace["fill"]] == ["lowest to highest"]
    assert by_name["training, mean"] == losses
    # Means over what is there in which each value counts three quarters of the one after it, and a gap where there is none.
    first, gap, second, third = by_name["training, smoothed"]
    assert gap is None
    assert [first, second, third] == pytest.approx([4, (2 + 0.75 * 4) / (1 + 0.75), (1 + 0.75 * 2 + 0.75**2 * 4) / (1 + 0.75 + 0.75**2)])
    assert by_name["validation"] == [None, 2.5]
    assert by_name["not finite"] == [None, 4, None, None], "as high as the highest loss"
    assert found["shapes"] == [[2, 2]]


def test_accuracy_is_in_percent_and_stands_at_its_epoch(modules: Modules) -> None:
    script = """
        const [traces, layout] = figures.drawAccuracy(chart);
        return { traces: traces.map(({ name, x, y, mode, customdata }) => [name, x, y, mode, customdata]), notes: layout.annotations.length,
          range: layout.yaxis.range ?? null };"""
    empty = charted(modules, script, [start()])
    assert (empty["notes"], empty["range"], len(empty["traces"])) == (1, [0, 100], 1)
    epochs = {
        "epoch": [1, 2],
        "step": [5, 9],
        "train_loss": [1, 1],
        "train_accuracy": [0.5, None],
        "validation_loss": [None, None],
        "validation_accuracy": [0.125, 1],
    }
    found = charted(modules, script, [start(), {"epochs": epochs}])
    assert found["traces"] == [
        ["training", [5, 9], [50, None], "lines+markers", [1, 2]],
        ["validation", [5, 9], [12.5, 100], "lines+markers", [1, 2]],
    ]
    assert (found["notes"], found["range"]) == (0, None)
    many = list(range(1, 82))
    long = {name: [0.5] * 81 for name in epochs} | {"epoch": many, "step": many}
    assert {trace[3] for trace in charted(modules, script, [start(), {"epochs": long}])["traces"]} == {"lines"}


def test_heights_in_a_window_reach_to_the_points_beside_it(modules: Modules) -> None:
    script = "return windows.map((window) => figures.heightsIn(told, window).loss);"
    found = charted(modules, script, [start(), lines([100.0, 3.0, 2.0, 1.0, -50.0])], windows=[[2.5, 3.5], [2.1, 2.2], [4.5, 4.6], [8, 9]])
    # With the points at steps 2 and 4, between which the line is in sight: from 8 % of the height below to 16 % above.
    assert found[0] == pytest.approx([1 - 0.16, 3 + 0.32])
    assert found[1] == pytest.approx([2 - 0.08, 3 + 0.16])
    assert found[2] == pytest.approx([-50 - 0.08 * 51, 1 + 0.16 * 51])
    assert found[3] is None


def test_rates_of_each_multiplier_break_off_while_nothing_learns_with_it(modules: Modules) -> None:
    script = """
        const [traces, layout] = figures.drawRate(chart);
        return { traces: traces.map(({ name, y, line: { dash } }) => [name, y, dash]), axis: [layout.yaxis.type, layout.yaxis.range] };"""
    layers = [layer("a.w", False, "a"), layer("b.w", False, "b", 0.05), layer("c.w", True, "c", 7)]
    change = {"step": 3, "source": "live", "text": "a", "learning_rate": 0.1, "frozen": [1, 0, 1], "multipliers": [1, 0.05, 7]}
    found = charted(modules, script, [start(*layers), {**lines([1.0] * 4, learning_rate=[0.1, 0.2, None, 0.4]), "changes": [change]}])
    assert found["traces"][0] == ["x 1: a", [0.1, 0.2, None, None], "solid"]
    assert found["traces"][1][0::2] == ["x 0.05: b", "dash"]
    assert found["traces"][1][1] == [pytest.approx(0.005), pytest.approx(0.01), None, pytest.approx(0.02)]
    assert found["axis"][0] == "log"
    assert found["axis"][1] == pytest.approx([np.log10(0.005) - 0.08 * np.log10(40), np.log10(0.2) + 0.08 * np.log10(40)])
    single = charted(modules, script, [start(layer("a")), lines([1.0] * 2, learning_rate=[0.1, 0.3])])
    assert single["traces"] == [["learning rate", [0.1, 0.3], "solid"]]
    assert single["axis"] == ["linear", [0, pytest.approx(0.336)]]
    many = charted(modules, script, [start(*(layer(f"l{at}", False, f"b{at}") for at in range(5)), layer("z", False, "z", 2)), lines([1.0])])
    assert [trace[0] for trace in many["traces"]] == ["x 2: z", "x 1: b0 to b4, 5 blocks"]
    assert many["axis"][0] == "linear", "twice as high is no reason for a log axis"


@pytest.mark.parametrize("view", ["norm", "ratio"])
def test_the_waterfall_paints_special_states_apart_from_each_value(modules: Modules, view: str) -> None:
    script = """
        chart.view = view;
        const rows = waterfall.arrange(told, 160), canvas = document.createElement("canvas"), width = 120, height = Math.round(rows.total);
        canvas.width = width; canvas.height = height;
        const context = canvas.getContext("2d");
        waterfall.paintWaterfall(chart, rows, context, { width, height, x0: 0.5, x1: 3.5, down: (y) => y });
        const kinds = (row, left, right) => {
          const top = Math.ceil(rows.edges[row]) + 1, { data } = context.getImageData(left, top, right - left,
            Math.floor(rows.edges[row + 1]) - top - 1), found = {};
          for (let at = 0; at < data.length; at += 4) { const key = [...data.slice(at, at + 4)].join(); found[key] = (found[key] ?? 0) + 1; }
          return Object.entries(found).sort((a, b) => b[1] - a[1]).map(([key]) => key);
        };
        const hex = (name) => [...looks.channels(chart.colours[name]), 255].join();
        return { first: told.layers.map((_, row) => kinds(row, 1, 39)), second: told.layers.map((_, row) => kinds(row, 41, 79)), third: kinds(0,
          81, 119), rows,
          of: Object.fromEntries(["frozen", "frozenLine", "zero", "zeroLine", "none", "noneLine", "broken", "brokenLine"].map((name) => [name,
            hex(name)])),
          tell: told.layers.map((_, row) => waterfall.tellWaterfall(chart, rows, 1, (rows.edges[row] + rows.edges[row + 1]) / 2)),
            far: waterfall.tellWaterfall(chart, rows, 9, 1),
          key: waterfall.keyOf(chart), at: [0, rows.edges[1] - 0.1, rows.edges[1], rows.total - 0.1].map((y) => waterfall.rowAt(rows, y)) };"""
    values = [*SPECIAL, -500, -300, -100]
    layers = [layer(f"l{at}", value == FROZEN) for at, value in enumerate(values)]
    columns = [values, [-300] * len(values)]
    weights = codes([[0] * len(values)] * 2)
    message = {"heat": {"step": [1, 2], "values": codes(columns)}, "updates": {"step": [1, 2], "update": codes(columns), "weight": weights}}
    found = charted(modules, script, [start(*layers), {**message, "run": {"watch_every": 1}, "cursor": {"level": 0}}], "waterfall", view=view)
    of = found["of"]
    for row, name in ((0, "frozen"), (1, "zero"), (2, "none"), (4, "broken")):
        assert set(found["first"][row]) == {of[name], of[f"{name}Line"]}, name
        assert found["first"][row][0] == of[name]
    assert found["first"][3] == ["0,0,0,0"], "not measured: as where there is no column"
    tiny, small, large = (found["first"][row] for row in (5, 6, 7))
    assert len(tiny) == len(small) == len(large) == 1
    assert len({tiny[0], small[0], large[0], *of.values(), "0,0,0,0"}) == 4 + len(set(of.values())), "each value has a colour of its own"
    assert all(column == small for column in found["second"]), "the column of step 2 lies between 1.5 and 2.5"
    assert found["third"] == ["0,0,0,0"], "nothing is painted after the last column"
    absent, zero, none, broken = {
        "norm": (
            "no gradient: frozen",
            "gradient exactly 0",
            "no gradient: it should learn, but the loss does not reach it",
            "gradient not finite: NaN or infinite",
        ),
        "ratio": (
            "does not move: frozen",
            "did not move at all",
            "did not move: no gradient",
            "no ratio: a value that is not finite, or weights that are all 0",
        ),
    }[view]
    what = {"norm": "gradient norm", "ratio": "update ratio"}[view]
    words = [absent, zero, none, "not measured", broken, f"{what} 1.0e-5", f"{what} 0.001", f"{what} 0.1"]
    assert [lines[:2] for lines in found["tell"]] == [[f"l{at}", f"step 1: {said}"] for at, said in enumerate(words)]
    assert found["far"] is None
    assert found["at"] == [0, 0, 1, len(values) - 1]
    assert [word in found["key"] for word in ("frozen", "not finite", "no gradient")] == [True] * 3
    assert ("did not move" if view == "ratio" else "exactly 0") in found["key"]


def test_rows_that_learn_are_tall_and_those_at_rest_are_told_together(modules: Modules) -> None:
    script = """const rows = waterfall.arrange(told, 210), layout = waterfall.layoutWaterfall(chart, rows);
        return { sizes: rows.edges.slice(1).map((edge, at) => edge - rows.edges[at]), total: rows.total, notes: layout.annotations.map(({ text,
          y }) => [text, y]),
          labels: layout.yaxis.ticktext, at: layout.yaxis.tickvals, range: layout.yaxis.range,
          same: waterfall.arrange(told, 420).edges.at(-1) };"""
    layers = [layer("one"), *(layer(f"still{at}", True) for at in range(30)), layer("two"), layer("alone", True)]
    found = charted(modules, script, [start(*layers)], "waterfall")
    thin = 170 / 31
    assert found["sizes"] == pytest.approx([20, *[thin] * 30, 20, thin])
    notes = dict(found["notes"][1:])
    assert notes == {"frozen, 30 rows": pytest.approx(20 + 15 * thin)}, "one thin row has no room for a word"
    assert found["labels"][:2] == ["one", "two"], "what learns gets its label first"
    assert found["at"][:2] == pytest.approx([10, 20 + 30 * thin + 10])
    near = sorted(found["at"])
    assert min(b - a for a, b in pairwise(near)) >= 11
    assert len(near) > 10
    assert found["range"] == [210, 0]
    assert found["total"] == pytest.approx(210)
    assert found["same"] == pytest.approx(420), "rows fill the height that they are given"


def test_numbers_codes_and_changes_in_words(modules: Modules) -> None:
    script = """return { short: [0, 0.034, 0.00099, 9999, 10000, -3.2e-5, 1e-3].map(looks.short), said: [null, ...codes].map((code) =>
      looks.said(code)),
        number: [null, 0, 1.23456, 1e-7].map(looks.number), percent: [null, 0, 0.1234, 1].map(looks.percent), ten: [-4, 0, 12].map(looks.tenTo),
        ending: [looks.ending("abcdef", 6), looks.ending("abcdefg", 6)], cut: [looks.cut("abcdef", 6), looks.cut("abcdefg", 6)],
        change: [looks.inWords("!layer4, learning_rate=0.0005, fc=10, stem, head only"), looks.inWords("a, b, c, d", 2)],
        mixed: [looks.mixed("#ff0000", "#0000ff", 0.25), looks.faded("#010203", 0.5)], plain: codes.map(looks.plain),
        scale: [-1, 0, 0.25, 0.5, 1, 2].map((share) => looks.colourAt(["#000000", "#ffffff", "#ff0000"], share)) };"""
    found = modules.run("looks", script, codes=[*SPECIAL, -32764, -300, 32766])
    assert found["short"] == ["0", "0.034", "9.9e-4", "10000", "1.0e4", "-3.2e-5", "0.001"]
    words = ["not measured yet", "none: frozen", "exactly 0", "none: the loss does not reach it", "not measured at this step", "not finite"]
    assert found["said"][:6] == words
    assert found["said"][7] == "0.001"
    assert found["number"] == ["none", "0", "1.235", "1e-7"]
    assert found["percent"] == ["none", "0.0 %", "12.3 %", "100.0 %"]
    assert found["ten"] == ["10⁻⁴", "10⁰", "10¹²"]
    assert found["ending"] == ["abcdef", "…cdefg"]
    assert found["cut"] == ["abcdef", "abcde…"]
    assert found["change"] == [
        "layer4 learns, learning rate 0.0005, fc learns at x 10, stem frozen, preset “head only”",
        "a frozen, b frozen and 2 more",
    ]
    assert found["mixed"] == ["#4000bf", "rgba(1,2,3,0.5)"]
    assert found["plain"] == [False] * 5 + [True] * 3
    assert found["scale"] == ["#000000", "#000000", "#808080", "#ffffff", "#ff0000", "#ff0000"]


def test_flags_of_changes_that_would_cover_each_other_become_one(modules: Modules) -> None:
    script = """chart.range = () => [0, 100];
        const { shapes, annotations } = markers.markers(chart, 1000), list = document.createElement("ol");
        markers.listChanges(list, told, 1);
        return { lines: shapes.map(({ x0, line: { dash } }) => [x0, dash]), flags: annotations.map(({ x, text, hovertext }) => [x, text,
          hovertext.split("<br>").length]),
          hover: annotations[0].hovertext, items: [...list.children].map((item) => [...item.children].map(({ textContent }) => textContent)) };"""
    change = lambda step, source="live": {"step": step, "source": source, "text": "fc", "learning_rate": 0.1, "frozen": [0], "multipliers": [1]}  # noqa: E731
    steps = [10, 11, 13, 50, 50, 200]
    changes = [change(step, "timeline" if step == 50 else "live") for step in steps]
    found = charted(modules, script, [start(layer("fc")), {"changes": changes}], "markers")
    assert found["lines"] == [[9.5, "solid"], [10.5, "solid"], [12.5, "solid"], [49.5, "dot"]], "one line for two before one step, none out of range"
    assert found["flags"] == [[9.5, "1-2", 2], [12.5, "3", 1], [49.5, "4-5", 2]]
    assert found["hover"].startswith("change 1, live, from step 10 on: fc frozen<br>change 2,")
    said = [["2", "step 11", "live"], ["3", "step 13", "live"], ["4", "step 50", "by the timeline"], ["5", "step 50", "by the timeline"]]
    assert [item[:3] for item in found["items"]] == [*said, ["6", "step 200", "live"]]


def test_the_lane_tells_what_a_block_did_and_with_which_rates(modules: Modules) -> None:
    script = """const height = freeze_lane.laneHeight(told);
        return { data: freeze_lane.laneAsData(told), words: freeze_lane.laneInWords(told), height,
          tell: [[0.2, 1], [3.4, 1], [3.6, 1], [4, height - 1], [8, 1]].map(([step, y]) => freeze_lane.tellLane(chart, step, y)) };"""
    layers = [layer("a.w", True, "a"), layer("a.b", False, "a", 2), layer("c.w", False, "c", 1)]
    change = {"step": 4, "source": "live", "text": "", "learning_rate": 0.1, "frozen": [0, 0, 1], "multipliers": [1, 2, 1]}
    found = charted(
        modules, script, [start(*layers), {**lines([1.0] * 6, learning_rate=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), "changes": [change]}], "freeze_lane"
    )
    assert found["data"] == {"a": [[1, 3, "in part"], [4, None, "learns"]], "c": [[1, 3, "learns"], [4, None, "frozen"]]}
    assert found["words"] == "Freeze lane of 2 blocks over steps. Now learns: a; frozen: c."
    assert found["height"] == 42
    part = "1 of 2 parameter tensors learn, 1 are frozen"
    assert found["tell"] == [
        ["a", f"steps 1 to 3: {part}", "learning rate 0.2 (x 2)"],
        ["a", f"steps 1 to 3: {part}", "learning rate 0.6 (x 2)"],
        ["a", "steps 4 until now: all 2 parameter tensors learn", "learning rate 0.8 (x 2), 0.4"],
        ["c", "steps 4 until now: its parameter tensor frozen"],
        None,
    ]
