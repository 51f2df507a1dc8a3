"""Editors of freezing, timelines and networks, and the outbox that carries their edits: what they send, and what they paint meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.javascript import Modules

pytestmark = pytest.mark.browser

CLOCK = """
    const timers = new Map(); let now = 0, ids = 0;
    const [later, never] = [window.setTimeout, window.clearTimeout];
    window.setTimeout = (act, after) => { timers.set(++ids, [now + after, act]); return ids; };
    window.clearTimeout = (id) => timers.delete(id);
    const wait = (ms) => { const end = now + ms;
      for (;;) { const due = [...timers].filter(([, [at]]) => at <= end).sort((a, b) => a[1][0] - b[1][0])[0]; if (!due) break;
        timers.delete(due[0]); now = due[1][0]; due[1][1](); }
      now = end; };
    const back = () => { window.setTimeout = later; window.clearTimeout = never; };"""


def test_outbox_numbers_edits_and_sends_all_again_until_they_are_acknowledged(modules: Modules) -> None:
    script = (
        CLOCK
        + """
        const out = new outbox.Outbox(), posts = [];
        out.send = ({ client, edits }) => posts.push([client === out.client, now, structuredClone(edits)]);
        const acknowledge = (number, client = out.client) => out.acknowledge([client, number]);
        out.add("a", true); wait(500); out.add("b", false); out.add("c");
        acknowledge(2, "somebody else"); const other = out.pending.length;
        acknowledge(2); const left = structuredClone(out.pending);
        wait(2000); acknowledge(1); const older = out.pending.length;
        out.add("d"); acknowledge(4); wait(10000); out.post(); const quiet = posts.length;
        out.add("e");
        back();
        return { posts, other, left, older, quiet, sent: out.sent, last: out.pending };"""
    )
    found = modules.run("outbox", script)
    assert found["posts"] == [
        [True, 0, [[1, "a", True]]],
        [True, 500, [[1, "a", True], [2, "b", False]]],
        [True, 500, [[1, "a", True], [2, "b", False], [3, "c"]]],
        [True, 2500, [[3, "c"]]],
        [True, 2500, [[3, "c"], [4, "d"]]],
        [True, 12500, [[5, "e"]]],
    ]
    assert (found["other"], found["left"], found["older"]) == (3, [[3, "c"]], 1)
    assert found["quiet"] == 5, "nothing is sent once all is acknowledged"
    assert (found["sent"], found["last"]) == (5, [[5, "e"]])


ROWS = [
    ["body", "body", 1, True, "Sequential", "", 90, 0],
    ["body.a", "a", 2, False, "Conv2d", "4 x 4", 60, 1_500],
    ["body.b", "b", 2, True, "Block", "", 30, 0],
    ["body.b.c", "c", 3, False, "Conv2d", "", 20, 0],
    ["body.b.d", "d", 3, False, "Linear", "", 10, 0],
    ["head", "head", 1, False, "Linear", "", 10, 2_000_000],
]
TREE = """
    document.body.innerHTML = '<div style="width: 1000px"><div class="thaw-layers"></div></div>';
    const host = document.body.firstChild, sent = [];
    freeze_tree.take({ data: new TextEncoder().encode(JSON.stringify({ key: model, rows })) });
    const show = (states, more = {}) => freeze_tree.mount({ parentElement: host, setTriggerValue: (event, value) => sent.push([event,
      structuredClone(value)]),
      data: { key: model, states, partly: [], map, revision: 1, acknowledged: ["", 0], settles: false, ...more } }, outbox, treemap);
    const lines = () => [...host.querySelectorAll(".thaw-layer")].map((line) => [line.dataset.path, line.dataset.frozen]);
    const press = (path) => host.querySelector(`.thaw-layer[data-path="${path}"] button`).click();
    const client = () => sent.at(-1)[1].client, text = (selector) => host.querySelector(selector).textContent.trim();"""


def tree(modules: Modules, body: str, key: str, map: bool = True, rows: list[Any] = ROWS) -> Any:
    return modules.run("freeze_tree outbox treemap", TREE + body, model=key, map=map, rows=rows)


def test_freeze_tree_paints_toggles_at_once_and_believes_the_server_afterwards(modules: Modules) -> None:
    script = """
        show("0010"); const seen = [lines(), text(".thaw-learning")];
        press("body.b"); seen.push(lines(), text(".thaw-learning"));
        press("body.b"); press("head"); seen.push(lines());
        show("0000", { acknowledged: [client(), 1] }); seen.push(lines());
        show("0000", { acknowledged: [client(), 3] }); seen.push(lines());
        return { seen, edits: sent.filter(([event]) => event === "toggled").map(([, { edits }]) => edits) };"""
    found = tree(modules, script, "toggles")
    paths = [row[0] for row in ROWS]
    states = lambda at: dict(found["seen"][at])  # noqa: E731
    assert [path for path, _ in found["seen"][0]] == paths
    # Leaves in order: body.a, body.b.c, body.b.d, head.
    assert states(0) == dict(zip(paths, ["mixed", "false", "mixed", "false", "true", "false"], strict=True))
    assert found["seen"][1] == "90 of 100 parameters learn (90 %); 1 of 4 layers frozen"
    assert states(2) == dict(zip(paths, ["mixed", "false", "true", "true", "true", "false"], strict=True)), "in part becomes frozen"
    assert found["seen"][3] == "70 of 100 parameters learn (70 %); 2 of 4 layers frozen"
    assert states(4) == dict(zip(paths, ["false", "false", "false", "false", "false", "true"], strict=True))
    assert states(5) == states(4), "what is not acknowledged is painted on top"
    assert states(6) == dict.fromkeys(paths, "false"), "an answer is the truth, also when it refuses"
    assert found["edits"][-1] == [[1, "body.b", True], [2, "body.b", False], [3, "head", True]]


def test_freeze_tree_counts_tensors_that_are_frozen_in_part(modules: Modules) -> None:
    found = tree(
        modules, """show("2100", { partly: [[0, 45]] }); return [text(".thaw-learning"), lines().find(([path]) => path === "body.a")];""", "partly"
    )
    assert found == ["35 of 100 parameters learn (35 %); 1 of 4 layers frozen", ["body.a", "mixed"]]


def test_freeze_tree_folds_filters_and_moves_with_the_keyboard(modules: Modules) -> None:
    script = """
        show("0000"); const seen = [lines().length], names = () => lines().map(([path]) => path);
        const key = (name) => { const row = document.activeElement; row.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
          return document.activeElement.dataset.path; };
        host.querySelector("[data-act=close]").click(); seen.push(names());
        host.querySelector(".thaw-layer").focus();
        seen.push(["ArrowRight", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowLeft", "End", "ArrowUp", "Home",
          "ArrowLeft"].map(key)); seen.push(names());
        const filter = host.querySelector("input"); filter.value = " LINear "; filter.oninput(); seen.push(names(), text(".thaw-said"));
        filter.value = "no such"; filter.oninput(); seen.push(host.querySelector(".thaw-nothing").hidden);
        filter.value = ""; filter.oninput(); host.querySelector("[data-act=open]").click(); seen.push(names().length);
        return seen;"""
    found = tree(modules, script, "keys")
    assert found[0:2] == [6, ["body", "head"]]
    assert found[2] == ["body", "body.a", "body.b", "body.b", "body.b.c", "body.b", "body.b", "head", "body.b", "body", "body"]
    assert found[3] == ["body", "head"]
    assert found[4:] == [["body", "body.b", "body.b.d", "head"], "4 of 6 rows", False, 6]


def test_treemap_areas_are_as_large_as_counts_and_lie_apart(modules: Modules) -> None:
    script = """
        document.body.innerHTML = '<div style="position: relative; width: 600px; height: 400px"></div>';
        const said = [], map = new treemap.Treemap(document.body.firstChild, { toggle: (path) => said.push(path), point() {} });
        const made = rows.map(([path, name, level, group, kind, shape, count], at) => ({ path, name, level, group, kind, count, state: at % 3 }));
        map.show(made);
        const areas = Object.fromEntries([...map.areas].map(([row, area]) => [row.path, ["left", "top", "width", "height"].map((side) =>
          parseFloat(area.style[side])).concat(area.dataset.frozen)]));
        const area = [...map.areas.values()].at(-1); area.click();
        return { areas, said, tip: [map.tip.textContent] };"""
    flat = [[f"l{at}", f"l{at}", 1, False, "Conv2d", "", count, 0] for at, count in enumerate([600, 200, 100, 50, 25, 25, 0])]
    areas: dict[str, list[Any]] = modules.run("treemap", script, rows=flat)["areas"]
    assert sorted(areas) == [f"l{at}" for at in range(6)], "nothing is drawn for no parameters"
    for at, count in enumerate([600, 200, 100, 50, 25, 25]):
        left, top, width, height, state = areas[f"l{at}"]
        assert width * height == pytest.approx(600 * 400 * count / 1000, rel=0.01)
        assert left >= 0
        assert top >= 0
        assert left + width <= 600.2
        assert top + height <= 400.2
        assert max(width, height) / min(width, height) < 4, "near to a square"
        assert state == ["false", "true", "mixed"][at % 3]
    boxes = [box[:4] for box in areas.values()]
    apart = lambda a, b: a[0] + a[2] <= b[0] + 0.2 or b[0] + b[2] <= a[0] + 0.2 or a[1] + a[3] <= b[1] + 0.2 or b[1] + b[3] <= a[1] + 0.2  # noqa: E731
    assert all(apart(one, other) for at, one in enumerate(boxes) for other in boxes[:at])
    found = modules.run("treemap", script, rows=ROWS)
    nested = found["areas"]
    for path, parent in (("body.a", "body"), ("body.b", "body"), ("body.b.c", "body.b"), ("body.b.d", "body.b")):
        (left, top, width, height, _), (x, y, wide, tall, _) = nested[path], nested[parent]
        assert x <= left
        assert y <= top
        assert left + width <= x + wide + 0.2
        assert top + height <= y + tall + 0.2
    assert nested["body"][2] * nested["body"][3] == pytest.approx(0.9 * 600 * 400, rel=0.01)
    assert found["said"] == ["head"]
    assert found["tip"] == ["headLinear10 parameters (10 %)in part; click to freeze".replace("in part", "frozen in part")]


GRID = """
    document.body.innerHTML = '<div><div class="thaw-timeline"></div></div>';
    const host = document.body.firstChild, sent = [];
    const show = (cells, more = {}) => timeline_editor.mount({ parentElement: host, setTriggerValue: (event, value) =>
      sent.push(structuredClone(value)),
      data: { columns, rate: 0.1, acknowledged: ["", 0], rows: cells.map((cells, at) => ({ path: "abc"[at], count: 1500, cells,
        factors: factors[at] })), ...more } }, outbox);
    const cell = (row, column) => host.querySelector(`.thaw-cell[data-row="${row}"][data-column="${column}"]`);
    const painted = () => [0, 1, 2].map((row) => columns.map((_, column) => ({ false: "0", true: "1", mixed: "2" })[cell(row,
      column).dataset.frozen]).join(""));
    const key = (name, more = {}) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, ...more }));
    const type = (row, text) => { const input = host.querySelectorAll("input")[row]; input.value = text; input.dispatchEvent(new Event("change", {
      bubbles: true })); };
    const edits = () => sent.at(-1).edits;"""


def grid(modules: Modules, body: str, columns: list[list[int]], factors: list[list[float]] | None = None) -> Any:
    return modules.run("timeline_editor outbox", GRID + body, columns=columns, factors=factors or [[1], [1], [1]])


def test_timeline_edits_are_from_an_epoch_on_or_just_those_marked(modules: Modules) -> None:
    script = """
        show(["0000", "1111", "0120"]); const seen = [painted()];
        cell(0, 1).focus(); key(" "); seen.push(painted());
        cell(1, 1).focus(); key("ArrowRight", { shiftKey: true }); key("ArrowDown", { shiftKey: true }); key("Enter"); seen.push(painted());
        cell(2, 3).focus(); key("Enter"); seen.push(painted(), host.querySelector(".thaw-said").textContent);
        show(["0000", "1111", "0120"], { acknowledged: [sent.at(-1).client, 2] }); seen.push(painted());
        return { seen, edits: edits() };"""
    found = grid(modules, script, [[1, 1], [2, 2], [3, 3], [4, 4]])
    assert found["seen"][:4] == [
        ["0000", "1111", "0120"],
        ["0111", "1111", "0120"],
        ["0111", "1001", "0000"],
        ["0111", "1001", "0001"],
    ]
    assert found["seen"][4] == "c: frozen from epoch 4 on."
    assert found["seen"][5] == ["0000", "1111", "0121"], "what the server took back is gone, what it has not answered stays"
    assert found["edits"] == [
        [1, "paint", ["a"], 2, None, True],
        [2, "paint", ["b", "c"], 2, 3, False],
        [3, "paint", ["c"], 4, None, True],
    ]


def test_timeline_with_shared_columns_sends_first_and_last_epoch_of_them(modules: Modules) -> None:
    script = """show(["00", "00", "00"]); cell(1, 0).focus(); key("Enter"); cell(1, 0).focus(); key(" ");
        return [edits(), painted(), host.querySelector(".thaw-said").textContent, cell(1, 1).title];"""
    found = grid(modules, script, [[1, 3], [4, 5]])
    assert found[0] == [[1, "paint", ["b"], 1, 3, True], [2, "paint", ["b"], 1, None, False]]
    assert found[1:] == [["00", "00", "00"], "b: learns from epoch 1 on.", "b, epochs 4 to 5: learns"]


def test_timeline_factors_are_numbers_above_0_up_to_1000(modules: Modules) -> None:
    script = """
        show(["0", "0", "0"]); const said = [], state = () => [...host.querySelectorAll("input")].map(({ value, placeholder }, at) => [value,
          placeholder, host.querySelectorAll("output")[at].textContent]);
        said.push(state()); type(0, "0,5"); type(1, ""); type(2, "1000"); said.push(state());
        for (const wrong of ["0", "-1", "1001", "NaN", "many", "Infinity"]) { type(0, wrong);
          said.push(host.querySelectorAll("input")[0].getAttribute("aria-invalid")); }
        return { said, edits: edits() };"""
    found = grid(modules, script, [[1, 1]], [[1], [0.25], [0.1, 2]])
    assert found["said"][0] == [["", "1", "0.1"], ["0.25", "1", "0.025"], ["", "varied", "0.01 to 0.2"]]
    assert found["said"][1] == [["0.5", "1", "0.05"], ["", "1", "0.1"], ["1000", "1", "100"]]
    assert found["said"][2:] == ["true"] * 6
    assert found["edits"] == [[1, "factor", "a", 0.5], [2, "factor", "b", None], [3, "factor", "c", 1000]]


NET = """
    document.body.innerHTML = '<div><div class="thaw-net"></div></div>';
    const host = document.body.firstChild, sent = [];
    const option = (name, usual, more = {}) => ({ name, label: name, kind: "int", default: usual, about: "", ...more });
    const kinds = [{ kind: "conv", word: "conv", label: "Convolution", about: "", options: [option("channels", "8"), option("kernel", "3", {
      further: true }), option("pad", "1", { only: ["kernel", "5"] })] },
      { kind: "relu", word: "relu", label: "ReLU", about: "", options: [] }];
    const facts = (name) => ({ name, shape: "s", words: "w", count: 1234, error: "" });
    const row = (kind, name, options = {}) => ({ kind, options, text: kind, ...facts(name) });
    const show = (rows, more = {}) => network_editor.mount({ parentElement: host, setTriggerValue: (event, value) =>
      sent.push(structuredClone(value)),
      data: { kinds, rows, head: { ...facts("head"), text: "head" }, totals: "t", image: "i", imageShape: "is", fits: true, most: 4, origin: 1,
        seen: ["", 0], ...more } });
    const names = () => [...host.querySelectorAll(".net-row b")].map(({ textContent }) => textContent);
    const on = (place, act) => host.querySelectorAll(".net-row")[place].querySelector(`[data-act=${act}]`).click();
    const list = () => sent.at(-1).rows.map(([kind, options]) => [kind, options.channels ?? null]);"""


def test_network_editor_sends_the_whole_list_and_can_undo_each_edit(modules: Modules) -> None:
    script = """
        show([row("conv", "one", { channels: "8", kernel: "3" }), row("relu", "two"), row("conv", "three", { channels: "16", kernel: "3" })]);
        const steps = [];
        on(2, "up"); steps.push(list());
        on(0, "remove"); steps.push(list());
        host.querySelectorAll(".net-row")[0].querySelector("[data-act=up]").click(); steps.push(sent.length);
        host.querySelector("[data-add=relu]").click(); steps.push(list());
        const undo = (name) => host.querySelector(`[data-act=${name}]`).click();
        undo("undo"); steps.push(list()); undo("undo"); undo("undo"); steps.push(list()); undo("redo"); steps.push(list());
        steps.push(sent.map(({ number }) => number));
        return steps;"""
    found = modules.run("network_editor", NET + script)
    a, b, c = ["conv", "8"], ["relu", None], ["conv", "16"]
    assert found[0] == [a, c, b]
    assert found[1] == [c, b]
    assert found[2] == 2, "the first row cannot go up"
    assert sorted(map(str, found[3])) == sorted(map(str, [c, b, b]))
    assert found[4:7] == [[c, b], [a, b, c], [a, c, b]]
    assert found[7] == list(range(1, len(found[7]) + 1))


def test_network_editor_forgets_what_was_undone_once_something_else_is_edited(modules: Modules) -> None:
    script = """
        show([row("conv", "one", { channels: "8", kernel: "3" }), row("relu", "two"), row("conv", "three", { channels: "16", kernel: "3" })]);
        const act = (name) => host.querySelector(`[data-act=${name}]`);
        const seen = [act("redo").disabled];
        on(0, "remove"); act("undo").click(); seen.push(act("redo").disabled);
        on(2, "remove"); seen.push(act("redo").disabled, list());
        act("redo").click(); seen.push(list());
        return seen;"""
    found = modules.run("network_editor", NET + script)
    assert found[:3] == [True, False, True]
    assert found[3] == found[4] == [["conv", "8"], ["relu", None]]


def test_network_editor_ignores_answers_to_older_edits_and_shows_which_fields_there_are(modules: Modules) -> None:
    script = """
        const given = [row("conv", "one", { channels: "8", kernel: "3" }), row("relu", "two")];
        show(given);
        const fields = () => [...host.querySelectorAll(".net-row")].map((item) => [...item.querySelectorAll("[name]")].map(({ name, value }) =>
          [name, value]));
        const seen = [fields()];
        on(0, "more"); seen.push(fields());
        const input = host.querySelector("[name=kernel]"); input.value = "5"; input.dispatchEvent(new Event("input", { bubbles: true }));
          input.dispatchEvent(new Event("change", { bubbles: true }));
        seen.push(sent.at(-1).rows[0][1]);
        on(1, "remove"); const { client } = sent.at(-1);
        show([row("conv", "stale", { channels: "9" }), given[1]], { seen: [client, 1] }); seen.push(names());
        show([row("conv", "renamed", { channels: "8", kernel: "5", pad: "1" })], { seen: [client, 2] }); seen.push(names(), fields());
        show([row("relu", "new")], { origin: 2, seen: [client, 2] }); seen.push(names());
        host.querySelector("[data-act=undo]").click(); seen.push(list());
        const count = sent.length; for (let at = 0; at < 6; at++) host.querySelector("[data-add=relu]").click(); seen.push(sent.at(-1).rows.length,
          sent.length - count);
        return seen;"""
    found = modules.run("network_editor", NET + script)
    assert found[0] == [[["channels", "8"]], []]
    assert found[1] == [[["channels", "8"], ["kernel", "3"]], []], "what holds only for another kernel is not asked"
    assert found[2] == {"channels": "8", "kernel": "5"}
    assert found[3] == ["one"]
    assert found[4] == ["renamed"]
    assert found[5] == [[["channels", "8"], ["kernel", "5"], ["pad", "1"]]]
    assert found[6] == ["new"]
    assert found[7] == [["conv", "8"]]
    assert found[8:] == [4, 3], "at most as many layers as there may be"


def test_network_parts_in_words(modules: Modules) -> None:
    script = """
        const item = document.createElement("div");
        item.innerHTML = '<i class="net-shape"></i><i class="net-count"></i><i class="net-error"></i>';
        const parts = network_parts, tell = (facts) => { parts.facts(item, facts); return [...item.children].map(({ textContent, title }) =>
          [textContent, title]).concat(item.className); };
        return [parts.words(0), parts.words(1234567), tell({ shape: "3 ch", words: "w", count: 1500, error: "" }), tell({ shape: "", words: "",
          count: 0, error: "wrong" }),
          tell({ shape: "1", words: "w", count: 0, error: "" })[1], parts.pick({ a: 1, b: 2 }, ["b"])];"""
    found = modules.run("network_parts", script)
    assert found[:2] == ["no parameters", "1,234,567 parameters"]
    assert found[2] == [["3 ch", "returns w"], ["1,500 par.", "1,500 parameters"], ["", ""], ""]
    assert found[3] == [["\u2013", ""], ["", ""], ["wrong", ""], "net-wrong"]
    assert found[4] == ["\u2013", "no parameters"]
    assert found[5] == {"b": 2}
