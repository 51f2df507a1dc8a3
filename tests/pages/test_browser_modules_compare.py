"""The chart of several runs and the table of all runs, module by module: smoothing, axes, repeats, lanes, filters and what is chosen."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.javascript import Modules

pytestmark = pytest.mark.browser

HOSTILE = "\"q\" <img src=x onerror='document.body.dataset.hurt=1'> *b*"


def test_smoothing_never_rewrites_what_is_drawn_and_has_no_pull_towards_zero(modules: Modules) -> None:
    values = [5.0 + math.sin(step) for step in range(200)]
    smooth = "return compare_lines.smoothed(values.map((_, at) => at + 1), values, 0.9, 1);"
    whole, half = modules.run("compare_lines", smooth, values=values), modules.run("compare_lines", smooth, values=values[:90])
    assert whole[:90] == half
    assert whole[0] == pytest.approx(values[0])
    mean = total = 0.0
    for value, found in zip(values, whole, strict=True):  # TensorBoard's own
        mean, total = 0.9 * mean + 0.1 * value, 0.9 * total + 0.1
        assert found == pytest.approx(mean / total)
    gaps = modules.run("compare_lines", "return compare_lines.smoothed([1, 2, 3], [1, null, 1], 0.5, 1);")
    assert gaps == [1, None, 1]


def test_a_coarser_summary_of_the_same_steps_is_as_smooth(modules: Modules) -> None:
    script = """
        const steps = Array.from({ length: 1024 }, (_, at) => at + 1), values = steps.map((step) => 10 - step / 200);
        const fine = compare_lines.smoothed(steps, values, 0.95, 8);
        const ends = steps.filter((step) => step % 8 === 0), means = ends.map((end) => (values[end - 1] + values[end - 8]) / 2);
        const coarse = compare_lines.smoothed(ends, means, 0.95, 8);
        return Math.max(...ends.slice(20).map((end, at) => Math.abs(fine[end - 1] - coarse[at + 20])));"""
    assert modules.run("compare_lines", script) < 0.05


def test_repeats_become_a_mean_and_a_band_also_at_other_levels(modules: Modules) -> None:
    script = """
        const line = (step, y) => ({ step, x: step.map((at) => at * 2), y });
        return compare_lines.together([line([1, 2, 3, 4], [1, 1, 3, 3]), null, line([2, 4], [3, 5])]);"""
    found = modules.run("compare_lines", script)
    assert found["step"] == [2, 4]
    assert found["y"] == [2, 4]
    assert (found["low"], found["high"], found["runs"], found["x"]) == ([1, 3], [3, 5], [2, 2], [4, 8])
    assert modules.run("compare_lines", "return compare_lines.together([null, null]);") is None
    one_is_longer = "return compare_lines.together([{ step: [1, 2], x: [1, 2], y: [1, 1] }, { step: [1], x: [1], y: [3] }]);"
    assert modules.run("compare_lines", one_is_longer)["runs"] == [2, 1]


def test_a_line_has_its_axis_its_best_and_its_ends(modules: Modules) -> None:
    script = """
        const run = new compare_history.RunCurves();
        run.take({ at: [0, 3, 0, 0, 3, "running"], reset: true, about: { total: 6, per_epoch: 2 },
          steps: { step: [1, 2, 3], loss: [3, null, 1], rate: [1, 1, 1], time: [5, 6, 7] } });
        const steps = { step: [4], loss: [2], low: [0], high: [4], rate: [1], time: [8], norm: [9] };
        run.take({ at: [0, 4, 2, 0, 4, "running"], steps,
          epochs: { epoch: [2], step: [4], time: [8], train_loss: [2], train_accuracy: [0.5], validation_loss: [null],
            validation_accuracy: [0.25] } });
        const axes = ["step", "epoch", "time"].map((axis) => compare_lines.lineOf(run, "loss", axis).x);
        const ends = compare_lines.ends(compare_lines.lineOf(run, "loss", "step"), "low");
        const later = [run.steps.low, run.steps.norm, compare_lines.lineOf(run, "validation_loss", "step"),
          compare_lines.lineOf(run, "validation_accuracy", "epoch").x];
        run.take({ at: run.at, gone: "deleted" });
        const kept = [run.gone, run.steps.step.length];
        run.take({ at: [1, 2, 0, 0, 4, "running"], reset: true, steps: { step: [2], loss: [2], rate: [1], time: [6] } });
        return { axes, ends, later, kept, fresh: [run.gone, run.steps.step, run.epochs.step] };"""
    found = modules.run("compare_lines compare_history", script)
    assert found["axes"] == [[1, 2, 3, 4], [0.5, 1, 1.5, 2], [5, 6, 7, 8]]
    assert found["ends"] == {"low": 2, "high": 0, "last": 3, "best": 2}
    assert found["later"] == [[3, None, 1, 0], [None, None, None, 9], None, [2]]
    assert found["kept"] == ["deleted", 4], "what is drawn stays"
    assert found["fresh"] == [None, [2], []]


def test_imported_curves_are_drawn_beside_what_they_mean(modules: Modules) -> None:
    script = """
        const run = new compare_history.RunCurves();
        const curve = (name, as, value) => ({ name, as, step: [1, 2], value, time: [0, 1] });
        run.take({ at: [0, 0, 0, 0, 1, "imported"], reset: true, about: { name: "x", per_epoch: null },
          curves: [curve("acc", "validation_accuracy", [40, 90]), curve("memory", "", [1, 2]), curve("gradient_norm/fc", "", [3, 4])] });
        const line = (name, layer) => compare_lines.lineOf(run, name, "step", layer)?.y ?? null;
        return [line("validation_accuracy"), line("memory"), line("norm", "fc"), line("norm", "other"), line("loss"),
          compare_lines.lineOf(run, "memory", "epoch").x];"""
    assert modules.run("compare_lines compare_history", script) == [[0.4, 0.9], [1, 2], [3, 4], None, None, [None, None]]


def test_many_raw_lines_of_a_colour_are_one_trace_and_no_point_of_one_is_joined_to_another(modules: Modules) -> None:
    script = """
        const steps = { step: [1, 2], low: [1, 1], high: [3, 3] };
        const lines = called.map((name, at) => ({ id: name, name, members: [at], color: colours[at % 2], dash: "solid",
          found: { best: 1 }, line: { x: [1, 2], y: [at + 1, at + 2], step: [1, 2] } }));
        const how = { name: "loss", metric: compare_lines.METRICS.loss, put: (values) => values, along: (line) => line.x, hover: "%{y}",
          runs: called.map(() => ({ steps, curves: [], unit: 1 })), smoothing, shown: called.length, looks, background: "#ffffff" };
        const traces = compare_traces.tracesOf(lines, how), stars = compare_traces.starsOf(lines, how);
        const [x, y, names] = ["x", "y", "name"].map((part) => traces.map((trace) => trace[part]));
        return { x, y, names, stars: [stars.x, stars.y] };"""

    def drawn(count: int, smoothing: float) -> Any:
        called, colours = [f"{HOSTILE}{place}" for place in range(count)], ["#000000", "#ff0000"]
        return modules.run("compare_lines compare_traces looks", script, called=called, colours=colours, smoothing=smoothing)

    many = drawn(8, 0.5)
    assert len(many["y"]) == 2 + 8
    assert many["y"][0] == [1, 2, None, 3, 4, None, 5, 6, None, 7, 8]
    assert [len(each) for each in many["x"]] == [len(each) for each in many["y"]]
    assert all("<img" not in name for name in many["names"])
    assert len(drawn(8, 0)["y"]) == 8, "a line that is not smoothed is its own raw line"
    few = drawn(2, 0.5)
    assert len(few["y"]) == 2 * 2 + 2 + 2, "each with the band of its summaries"
    assert few["stars"] == [[2, 2], [2, 3]]


def test_a_part_of_the_axis_is_told_from_other_events(modules: Modules) -> None:
    events = [
        {"xaxis.range[0]": 1, "xaxis.range[1]": 5},
        {"xaxis.range": [2, 3]},
        {"xaxis.autorange": True},
        {"yaxis.range[0]": 1},
        {"autosize": True},
    ]
    found = modules.run(
        "compare_traces", "return events.map((each) => compare_traces.rangeOf(each) ?? (each['xaxis.autorange'] ? 'all' : 'no'));", events=events
    )
    assert found == [[1, 5], [2, 3], "all", "no", "no"]


def test_lanes_join_neighbours_of_one_story_and_speak(modules: Modules) -> None:
    script = """
        document.body.innerHTML = "<div></div>";
        const lanes = [["a", 1, [[1, "frozen"]]], ["b", 1, [[1, "frozen"]]], [hostile, 1, [[1, "frozen"], [5, "learns"]]]];
        const curves = { lanes, about: { total: 10 }, lastStep: 4 };
        compare_lanes.drawLanes(document.body.firstChild, [{ name: hostile, curves, colour: "#000000" }], looks);
        return [compare_lanes.merged(lanes).map(({ label }) => label), document.querySelectorAll("img").length,
          document.querySelector("figure").getAttribute("aria-label"),
          [...document.querySelectorAll("i")].map(({ style }) => [style.left, style.width])];"""
    labels, images, said, bars = modules.run("compare_lanes looks", script, hostile=HOSTILE)
    assert labels == ["a to b", HOSTILE]
    assert images == 0
    assert f"{HOSTILE}: frozen from step 1, learns from step 5" in said
    assert bars == [["0%", "100%"], ["0%", "40%"], ["40%", "60%"]]


TABLE = """
    document.body.innerHTML = "<div></div>";
    window.sent = [];
    const row = (id, called, status, tags, best, bestEpoch, sweep = "") => [id, called, false, tags, "", status, "digits", null, "resnet18",
      "head only", best, bestEpoch, best, 9, null, 61, "cpu", 1795991570, 0, 0.001, sweep];
    window.view = new runs_table.RunsTable(document.body.firstChild, virtual_table.VirtualTable, looks);
    view.send = (what, value) => sent.push([what, value]);
    view.take(JSON.stringify({ most: 2, rows: [row("c", hostile, "running", ["one"], 0.5, 3), row("b", "b", "finished", [], 0.9, 1),
      row("a", "a", "finished", ["one", "two"], null, null, hostile)] }));"""
SHOWN = "() => [...document.querySelectorAll('tr[data-key]')].map((line) => line.dataset.key)"


def test_the_table_of_runs_is_sorted_filtered_and_chosen_from(modules: Modules) -> None:
    page = modules.page
    page.evaluate("sessionStorage.clear()")
    modules.run("runs_table virtual_table looks", TABLE, hostile=HOSTILE)
    assert page.evaluate(SHOWN) == ["c", "b", "a"]
    page.get_by_role("button", name="Best").click()
    assert page.evaluate(SHOWN) == ["b", "c", "a"], "what is not known comes last"
    page.get_by_label("Tag").select_option("one")
    assert page.evaluate(SHOWN) == ["c", "a"]
    page.get_by_label("Tag").select_option("")
    page.get_by_label("Sweep").select_option(HOSTILE)
    assert page.evaluate(SHOWN) == ["a"]
    page.get_by_label("Sweep").select_option("")
    compare = page.locator("[data-act=compare]")
    assert compare.is_disabled()
    for id in ("a", "c"):
        page.locator(f"[data-choose={id}]").check()
    page.locator("[data-choose=b]").click()
    assert not page.locator("[data-choose=b]").is_checked(), "no more than are compared"
    compare.click()
    page.locator("tr[data-key=b] th button").click()
    assert page.evaluate("sent") == [["compare", ["a", "c"]], ["open", ["b"]]], "the oldest first"
    assert page.locator("img").count() == 0


def test_what_is_chosen_and_sorted_is_there_after_a_reload_and_a_deleted_run_is_not(modules: Modules) -> None:
    page = modules.page
    page.evaluate("sessionStorage.clear()")
    modules.run("runs_table virtual_table looks", TABLE, hostile="c")
    page.locator("[data-choose=a]").check()
    page.locator("tr[data-key=b] th button").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Best").click()
    modules.run("runs_table virtual_table looks", TABLE, hostile="c")
    assert page.evaluate(SHOWN) == ["b", "c", "a"]
    assert page.evaluate("[...view.chosen].sort()") == ["a", "b"]
    page.evaluate("view.take(JSON.stringify({ most: 2, rows: [] }))")
    assert page.evaluate("[...view.chosen]") == []
    assert "No run matches" in page.locator("tbody").inner_text()
    page.evaluate("sessionStorage.clear()")


def test_curves_that_were_asked_for_ahead_are_taken_by_the_chart_of_these_runs_and_of_no_others(modules: Modules) -> None:
    script = """
        const real = window.WebSocket, made = [];
        window.WebSocket = class {
          static OPEN = 1;
          constructor(address) { made.push(this); this.address = address; this.readyState = 1; }
          close() { this.readyState = 3; }
        };
        const chart = (...ids) => {
          document.body.innerHTML = '<div><div class="thaw-cmp"></div></div>';
          const data = { runs: ids.map((id) => ({ id, name: id, group: "" })), axis: "step", smoothing: 0, layer: "", more: [], seeds: true };
          compare_chart.mount({ data, parentElement: document.body.firstChild }, looks, scales, { loadPlotly: () => new Promise(() => {}) });
          return document.querySelector(".thaw-cmp");
        };
        const found = [];
        compare_chart.expect(["a", "b"]);
        made[0].onmessage({ data: '{"parts": []}' });
        found.push(chart("c", "d").dataset.steps ?? null, made.length);
        const root = chart("a", "b");
        found.push(root.dataset.steps, made.length, root.querySelector(".thaw-cmp-link").dataset.state, root.chart.socket === made[0]);
        chart("a", "b");
        found.push(made.length);
        compare_chart.expect(["a", "b"]);
        made.at(-1).close();
        chart("a", "b");
        found.push(made.length, new URL(made[0].address).searchParams.get("runs"));
        window.WebSocket = real;
        return found;"""
    assert modules.run("compare_chart looks scales", script) == [None, 2, "[0,0]", 2, "live", True, 3, 5, "a,b"]
