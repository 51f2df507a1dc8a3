"""What Evaluate, the profile and the audit draw: cells and rows in sight, sorting, bars as long as their shares, points where they belong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.javascript import Modules

pytestmark = pytest.mark.browser

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
MOUNT = """
    document.body.innerHTML = `<div style="width: 900px"><div class="${place}"></div></div>`;
    const host = document.body.firstChild; window.sent = [];
    const show = (shown) => mount({ data: typeof shown === "string" ? shown : JSON.stringify(shown), parentElement: host, setTriggerValue: (event,
      { at, ...value }) => sent.push([event, value]) });
    const text = (selector) => [...host.querySelectorAll(selector)].map(({ textContent }) => textContent);
    show(data);"""


def mounted(modules: Modules, name: str, place: str, data: object, body: str, needs: str = "elements") -> Any:
    call = f"const mount = (component) => {name}.mount(component{', ' + needs if needs else ''});"
    return modules.run(f"{name} {needs}".strip(), call + MOUNT + body, place=place, data=json.dumps(data))


def grid(classes: int, wrong: list[list[int]], **more: Any) -> dict[str, Any]:
    """A confusion matrix with 9 right pictures a class, and [label, predicted, number] besides."""
    rows: list[list[list[int]]] = [[[at, 9]] for at in range(classes)]
    for label, predicted, number in wrong:
        rows[label].append([predicted, number])
    totals = [sum(number for _, number in cells) for cells in rows]
    named = {
        "label": "l",
        "classes": [f"c{at:03}" for at in range(classes)],
        "rows": rows,
        "totals": totals,
        "shares": False,
        "chosen": None,
        "of": None,
    }
    return {**named, **more}


CELLS = """
    const cells = () => [...host.querySelectorAll("[data-cell]")];
    const at = (row, column) => host.querySelector(`[data-row="${row}"][data-column="${column}"]`);
    const told = (row, column) => { const cell = at(row, column); return [cell.textContent, cell.dataset.kind, cell.title,
      Number(cell.style.getPropertyValue("--thaw-share"))]; };
    const box = host.querySelector(".thaw-confusion-box");
    const key = (name, more = {}) => { (document.activeElement ?? box).dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true,
      ...more }));
      return [document.activeElement.dataset.row, document.activeElement.dataset.column].map(Number); };"""


def test_confusion_cells_say_what_was_taken_for_what(modules: Modules) -> None:
    script = (
        CELLS
        + """
        const seen = { count: cells().length, right: told(1, 1), wrong: told(1, 2), none: told(2, 1) };
        box.focus(); seen.keys = ["ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft", "End", "Home"].map((name) => key(name));
        seen.said = host.querySelector(".thaw-confusion-said").textContent;
        key("ArrowRight"); key("Enter"); at(1, 2).click();
        show(other); seen.shares = [told(1, 1)[0], told(1, 2)[0], told(0, 0)[0], told(2, 2)[2]];
        return seen;"""
    )
    other = grid(3, [[1, 2, 1990]], shares=True)
    other["rows"][2], other["totals"][2] = [], 0
    call = "const other = JSON.parse(others);"
    found = modules.run("confusion_grid elements", "const mount = (component) => confusion_grid.mount(component, elements);" + call + MOUNT + script,
        place="thaw-confusion", data=json.dumps(grid(3, [[1, 2, 3]])), others=json.dumps(other))  # fmt: skip
    assert found["count"] == 9
    assert found["right"] == ["9", "right", "9 of 12 pictures of c001 correctly taken for c001, 75.0 %", 0.75]
    assert found["wrong"] == ["3", "wrong", "3 of 12 pictures of c001 taken for c002, 25.0 %", 0.25 + 2.2 * 0.25]
    assert found["none"] == ["", "none", "0 of 9 pictures of c002 taken for c001, 0.0 %", 0.25]
    assert found["keys"] == [[0, 1], [1, 1], [2, 1], [2, 1], [2, 0], [2, 2], [2, 0]]
    assert found["said"] == "0 of 9 pictures of c002 taken for c000, 0.0 %", "the cell that the keyboard is at is told"
    assert modules.page.evaluate("() => sent") == [["opened", {"label": 2, "predicted": 1}], ["opened", {"label": 1, "predicted": 2}]]
    assert found["shares"] == ["0.5", "100", "100", "no test pictures of c002"]


def test_of_two_hundred_classes_the_cells_in_sight_exist(modules: Modules) -> None:
    script = (
        CELLS
        + """
        const seen = () => { const held = cells(), rows = held.map(({ dataset }) => Number(dataset.row)), columns = held.map(({ dataset }) =>
          Number(dataset.column));
          return [Math.min(...rows), Math.max(...rows), Math.min(...columns), Math.max(...columns), held.length]; };
        const places = [seen()];
        box.focus(); key("End", { ctrlKey: true }); places.push(seen(), key("PageUp"));
        const inside = document.activeElement.getBoundingClientRect(), frame = box.getBoundingClientRect();
        return { places, head: host.querySelectorAll("[role=rowheader]")[0].textContent, count: box.getAttribute("aria-rowcount"),
          inside: [inside.top - frame.top, frame.bottom - inside.bottom, inside.left - frame.left, frame.right - inside.right] };"""
    )
    found = mounted(modules, "confusion_grid", "thaw-confusion", grid(200, []), script)
    first, last, up = found["places"]
    assert first[0] == first[2] == 0
    assert first[1] < 60
    assert last[1] == last[3] == 199
    assert last[0] > 150
    for low, high, left, right, count in (first, last):
        assert count == (high - low + 1) * (right - left + 1)
    assert up == [189, 199]
    assert min(found["inside"]) >= -1, "in sight but for the border"
    assert found["count"] == "201"
    sought = mounted(modules, "confusion_grid", "thaw-confusion", grid(200, [], of=120), CELLS + """
        const cell = at(120, 120).getBoundingClientRect(), frame = box.getBoundingClientRect();
        return [cell.top > frame.top && cell.bottom < frame.bottom && cell.left > frame.left && cell.right < frame.right,
          text("[data-sought=true]").length];""")  # fmt: skip
    assert sought == [True, 2]


def score(name: str, value: float | None, samples: int) -> dict[str, Any]:
    precision = [None] * 3 if value is None else [value, 0.25, 0.75]
    return {"name": name, "samples": samples, "predicted": 3, "precision": precision, "recall": [0.5, None, None], "f1": [0.5, 0.25, 0.5]}


def test_classes_are_sorted_by_value_with_the_lowest_first_and_the_undefined_last(modules: Modules) -> None:
    script = """
        const names = () => text("tbody th"), press = (place) => host.querySelectorAll("thead button")[place].click(), seen = [names()];
        for (const place of [3, 3, 3, 0, 0, 1]) { press(place); seen.push(names()); }
        const strip = host.querySelectorAll("tbody tr")[0].querySelectorAll("td")[2].querySelector("span");
        return { seen, strip: [strip.querySelector("i").style.left, strip.querySelector("i").style.width, strip.querySelector("b").style.left],
          cells: text("tbody tr:first-child td"), none: text(".thaw-classes-none") };"""
    rows = [score("c10", 0.5, 1), score("c9", None, 5), score("c1", 0.9, 3), score("c2", 0.1, 2)]
    found = mounted(modules, "class_table", "thaw-classes", {"caption": "c", "rows": rows}, script)
    given = ["c10", "c9", "c1", "c2"]
    assert found["seen"] == [
        given,
        ["c2", "c10", "c1", "c9"],
        ["c1", "c10", "c2", "c9"],
        given,
        ["c1", "c2", "c9", "c10"],
        ["c10", "c9", "c2", "c1"],
        ["c10", "c2", "c1", "c9"],
    ]
    assert found["cells"] == ["1", "3", "50.0 %25 to 75\u00a0%", "50.0 %", "50.0 %25 to 50\u00a0%"]
    assert found["strip"] == ["25%", "50%", "50%"]
    assert found["none"] == ["never predicted"]


def test_reliability_bars_stand_at_their_confidence_and_reach_their_share(modules: Modules) -> None:
    script = """
        const number = (element, name) => Number(element.getAttribute(name));
        const boxes = (kind) => [...host.querySelectorAll(`.thaw-reliability-${kind}`)].map((element) => ["x", "y", "width", "height", "cx",
          "cy"].map((name) => number(element, name)));
        return { bars: boxes("bar"), counts: boxes("count"), dots: boxes("dot"), titles: text("title"), table: text("tbody td"),
          whiskers: [...host.querySelectorAll(".thaw-reliability-whisker")].map((path) => path.getAttribute("d")) };"""
    bins = [
        {"low": 0.0, "high": 0.5, "samples": 10, "confidence": 0.25, "accuracy": {"value": 0.1, "low": 0.0, "high": 0.2}},
        {"low": 0.5, "high": 1.0, "samples": 1000, "confidence": 0.75, "accuracy": {"value": 1.0, "low": None, "high": None}},
    ]
    found = mounted(modules, "reliability", "thaw-reliability", {"label": "l", "bins": bins}, script)
    left, top, side, low = 46, 26, 300, 60
    first, second = found["bars"]
    assert first[:4] == pytest.approx([left + 1, top + 0.9 * side, side / 2 - 2, 0.1 * side])
    assert second[:4] == pytest.approx([left + side / 2 + 1, top, side / 2 - 2, side])
    assert [box[4:] for box in found["dots"]] == [pytest.approx([left + 0.25 * side, top + 0.9 * side]), pytest.approx([left + 0.75 * side, top])]
    floor = top + side + 26 + low
    assert [(box[1] + box[3], box[3]) for box in found["counts"]] == [(floor, 1), (floor, 60)]
    assert found["whiskers"] == [f"M{left + 75} {top + side}V{top + 0.8 * side:g}M{left + 71} {top + side}h8M{left + 71} {top + 0.8 * side:g}h8"]
    assert found["titles"][0] == "Confidence 0.0 % to 50.0 %: 10 pictures, 10.0 % right, 95 % interval 0.0 % to 20.0 %; on average 25.0 % confident"
    assert found["table"][5:] == ["50.0 % to 100.0 %", "1,000", "75.0 %", "100.0 %", ""]


def test_guesses_names_and_numbers(modules: Modules) -> None:
    script = """
        const seen = () => [...host.querySelectorAll("li")].map((item) => [item.children[0].textContent, item.children[1].firstChild.style.width,
          item.children[2].textContent]);
        const first = seen(); show({ label: "l", guesses: JSON.parse(data).guesses.slice(0, 1) });
        return { first, then: seen(), short: [elements.short("abcdefghij", 10), elements.short("abcdefghijklmnop", 9)], percent: [0, 0.0004,
          0.0005, 1].map(elements.percent) };"""
    guesses = [{"name": "cat", "probability": 0.75, "mark": "✓"}, {"name": "d" * 30 + "e" * 30, "probability": 0.0001, "mark": ""}]
    found = mounted(modules, "guesses", "thaw-guesses", {"label": "l", "guesses": guesses}, script)
    assert found["first"] == [["cat ✓", "75%", "75.0 %"], ["d" * 14 + "…" + "e" * 13, "0.01%", "< 0.1 %"]]
    assert found["then"] == [["cat ✓", "75%", "75.0 %"]]
    assert found["short"] == ["abcdefghij", "abcd…mnop"]
    assert found["percent"] == ["0.0 %", "< 0.1 %", "0.1 %", "100.0 %"]


def test_points_of_the_map_glide_are_chosen_by_class_and_found_by_pointer_and_keys(modules: Modules) -> None:
    script = """
        const canvas = host.querySelector("canvas");
        const brush = CanvasRenderingContext2D.prototype, drawn = [], arc = brush.arc;
        brush.arc = function (x, y, radius) { if (radius < 5) drawn.push([x, y]); return arc.apply(this, arguments); };
        const paint = (act) => { drawn.length = 0; act(); return structuredClone(drawn); };
        const press = (name) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true })), said = () =>
          host.querySelector(".thaw-map-said").textContent;
        const wait = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
        const find = (label) => host.querySelector(`.thaw-map-key [data-label="${label}"]`), switches = host.querySelectorAll("[data-side]");
        const seen = { all: paint(() => press("Escape") ?? find(1).click() ?? find(1).click()) };
        seen.all = paint(() => { find(0).click(); find(0).click(); }).slice(-4);
        seen.one = paint(() => find(1).click()); seen.pressed = [find(0), find(1)].map((button) => button.getAttribute("aria-pressed"));
        find(1).click();
        drawn.length = 0; switches[0].click(); await wait(); seen.before = structuredClone(drawn.slice(-4)); seen.at = host.firstChild.dataset.at;
        switches[1].click(); await wait();
        canvas.focus(); press("ArrowRight"); seen.right = said(); press("ArrowLeft"); seen.left = said(); press("Enter");
        press("Escape"); const [x, y] = seen.all[1], box = canvas.getBoundingClientRect();
        canvas.onpointermove({ clientX: box.left + x + 11, clientY: box.top + y }); seen.near = host.querySelector(".thaw-map-hint").hidden;
        canvas.onpointermove({ clientX: box.left + x + 13, clientY: box.top + y }); seen.far = host.querySelector(".thaw-map-hint").hidden;
        brush.arc = arc; seen.extent = [canvas.clientWidth, canvas.clientHeight];
        return seen;"""
    # index, label, before x and y, after x and y: a square of side 2 after training, a row before.
    points = [[10, 0, 0, 0, -1, -1], [11, 0, 1, 0, 1, -1], [12, 1, 2, 0, 1, 1], [13, 1, 3, 0, -1, 1]]
    data = {
        "label": "l",
        "points": points,
        "classes": ["cat", "dog"],
        "titles": ["b", "a"],
        "pictures": [{"index": 12, "picture": PIXEL, "text": "a dog"}],
    }
    found = mounted(modules, "embedding_map", "thaw-map", data, script)
    width, height = found["extent"]
    half = min(width, height) / 2 - 18
    right, left, up, down = width / 2 + half, width / 2 - half, height / 2 - half, height / 2 + half
    assert found["all"] == [pytest.approx(place) for place in ([left, down], [right, down], [right, up], [left, up])]
    assert found["one"] == found["all"][2:]
    assert found["pressed"] == ["false", "true"]
    assert [y for _, y in found["before"]] == [pytest.approx(height / 2)] * 4
    assert [x for x, _ in found["before"]] == sorted(x for x, _ in found["before"])
    assert found["at"] == "0.00"
    assert {found["right"], found["left"]} <= {"a dog", "test picture 11: cat", "test picture 10: cat", "test picture 13: dog"}
    opened = [value["index"] for event, value in modules.page.evaluate("() => sent") if event == "opened"]
    assert opened == [{"a dog": 12, "test picture 10: cat": 10, "test picture 13: dog": 13}[found["left"]]]
    assert points[opened[0] - 10][4] == -1, "left of it"
    assert (found["near"], found["far"]) == (False, True)


def test_slices_and_bars_are_as_long_as_their_shares(modules: Modules) -> None:
    part = lambda name, share: {"name": name, "about": "a", "share": share, "value": "v", "place": 3}  # noqa: E731
    bar = {"kind": "bar", "title": "t", "note": "n", "slices": [part("one", 0.25), part("two", 0.0004), part("none", 0)]}
    script = """const widths = [...host.querySelectorAll(".thaw-slices i")].map(({ style }) => style.width), key = text("li"),
      label = host.querySelector("[role=img]").getAttribute("aria-label");
        show({ ...JSON.parse(data), slices: JSON.parse(data).slices.slice(1, 2) }); return { widths, key, label, then: text("li") };"""
    found = mounted(modules, "step_time", "thaw-step-time", bar, script, "")
    assert found["widths"] == ["25%", "0.04%", "0%"]
    assert found["key"] == ["one 25.0 %", "two < 0.1 %", "none 0.0 %"]
    assert found["label"] == "t. one: v, 25.0 %; two: v, < 0.1 %; none: v, 0.0 %."
    assert found["then"] == ["two < 0.1 %"]
    line = lambda name, share, *inside: {"name": name, "note": "", "cells": [{"share": share, "value": "v"}], "inside": list(inside)}  # noqa: E731
    table = {"kind": "table", "caption": "c", "columns": ["n", "v", ""], "lines": [line("a", 0.5, line("a1", 0.001), line("a2", 0)), line("b", None)]}
    script = """const bars = [...host.querySelectorAll(".thaw-bar-strip")].map((strip) => strip.firstChild?.style.width ?? null), inner = () =>
      [...host.querySelectorAll("[data-inside]")].map(({ hidden }) => hidden);
        const button = host.querySelector("button"), seen = [inner()]; button.click(); seen.push(inner()); show(JSON.parse(data)); seen.push(inner());
        show({ ...JSON.parse(data), caption: "other" }); seen.push(inner()); host.querySelector("button").click(); seen.push(inner()); return {
          bars, seen };"""
    found = mounted(modules, "step_time", "thaw-step-time", table, script, "")
    assert found["bars"] == ["50%", "0.6%", "0%", None]
    closed, opened = [True, True], [False, False]
    assert found["seen"] == [closed, opened, opened, opened, closed], "what a person opened stays open while figures change"


def test_audit_rows_say_what_was_compared_and_what_was_not(modules: Modules) -> None:
    rows = [
        ["bad.w", 9, "leaking", False, True, "stale", True, None, "train", 0, "a" * 64, "b" * 64],
        ["wait.w", 9, "verified", False, False, "none", None, None, "eval", 3, "", ""],
        ["still.w", 9, "verified", False, False, "none", False, False, "eval", 1200, "c" * 64, "c" * 64],
        ["norm", 0, "drifting", False, False, "none", None, True, "train", 0, "", ""],
        ["free.w", 1234, "learning", True, True, "flows", True, None, "train", None, "d" * 64, "e" * 64],
    ]
    script = """const rows = () => [...host.querySelectorAll("tr[data-key]")].map((row) => [...row.children].map(({ textContent }) => textContent));
        const found = { rows: rows(), digest: host.querySelector("[data-digest]").dataset.digest, sorted: [] };
        for (const place of [2, 9]) { host.querySelectorAll("thead button")[place].click(); found.sorted.push(rows().map(([name]) => name)); }
        const filter = host.querySelector("input"); filter.value = "not compared"; filter.oninput(); found.filtered = rows().map(([name]) => name);
          return found;"""
    found = mounted(modules, "audit_table", "thaw-audit", rows, script, "virtual_table")
    by_name = {row[0]: row[1:] for row in found["rows"]}
    assert list(by_name) == ["bad.w", "wait.w", "still.w", "norm", "free.w"]
    assert by_name["bad.w"] == [
        "✗leaking: frozen, but changed",
        "9",
        "False",
        "yes",
        "stale, left over",
        "yes",
        "none",
        "train",
        "the start",
        "a" * 10,
        "b" * 10,
    ]
    assert by_name["wait.w"][0] == "…frozen, not compared yet"
    assert by_name["wait.w"][5:] == ["not compared yet", "none", "eval", "step 3", "not yet", "not yet"]
    assert by_name["still.w"][0] == "✓frozen and verified"
    assert by_name["still.w"][5:9] == ["no", "no", "eval", "step 1,200"]
    assert by_name["norm"][5:7] == ["has none", "yes"]
    assert by_name["free.w"][1:5] == ["1,234", "True", "yes", "flows"]
    assert by_name["free.w"][8] == "learns"
    assert found["digest"] == "a" * 64
    assert found["sorted"] == [["free.w", "bad.w", "wait.w", "still.w", "norm"], ["still.w", "wait.w", "bad.w", "norm", "free.w"]]
    assert found["filtered"] == ["wait.w"]
