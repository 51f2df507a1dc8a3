"""Slow motion and the graph of gradients: moments and their addresses, gradients at each of them, scales, groups, and where boxes lie."""

from __future__ import annotations

from typing import Any

import pytest

from tests.javascript import Modules

pytestmark = pytest.mark.browser


def figures(norm: float | None, **more: Any) -> dict[str, Any]:
    return {
        "shape": [2, 3],
        "dtype": "torch.float32",
        "norm": norm,
        "mean": 0.5,
        "minimum": 0.0,
        "maximum": 1.0,
        "first": [0.0, 1.0],
        "finite": True,
        **more,
    }


def story(number: int, cleared: bool, start: list[float | None]) -> dict[str, Any]:
    names = ("a.w", "b.w", "c.w")
    arrivals = [
        {
            "order": at,
            "parameter": name,
            "node": at,
            "before": None,
            "contribution": figures(10.0 * number + at),
            "after": figures(100.0 * number + at),
        }
        for at, name in enumerate(("c.w", "b.w"))
    ]
    grads = [{"parameter": name, "figures": None if norm is None else figures(norm)} for name, norm in zip(names, start, strict=True)]
    call = {
        "kind": "Linear",
        "inputs": [[1, 2]],
        "output": [1, 2],
        "device": "cpu",
        "mode": "train",
        "state": "learns",
        "parameters": [],
        "figures": figures(1.0),
        "node": None,
    }
    calls = [{**call, "number": at, "module": name, "picture": "", "about": name} for at, name in enumerate(("a", "b", "c"))]
    return {"number": number, "cleared": cleared, "grads_at_start": grads, "calls": calls,
    "output": figures(1.0), "loss": 1.0, "loss_lines": [], "arrivals": arrivals,
        "updates": [], "grads_at_end": grads}  # fmt: skip


def walk(code: str = "") -> dict[str, Any]:
    parameters = [
        {"name": name, "shape": [2, 3], "count": 6, "learns": name != "a.w", "in_optimizer": True, "module": name[0]}
        for name in ("a.w", "b.w", "c.w")
    ]
    steps = [story(1, True, [None, None, None]), story(2, False, [None, 5.0, 6.0])]
    return {"name": "w", "device": "cpu", "optimizer": "SGD", "code": code, "model": "m", "pictures": [], "parameters": parameters, "steps": steps}


def test_moments_and_their_addresses(modules: Modules) -> None:
    script = """
        const { momentsOf, addressOf, placeOf, STAGES } = moments, all = momentsOf(walk), addresses = all.map(addressOf);
        return { addresses, places: all.map(({ place }) => place), back: addresses.map((address) => placeOf(all, address)),
          odd: ["2-backward-17", "9-forward", "1-forward-x", "", null, "1-nothing", "2-forward-0"].map((address) => addresses[placeOf(all,
            address)]) };"""
    found = modules.run("moments", script, walk=walk())
    one = ["zero_grad", "forward", "forward-1", "forward-2", "forward-3", "loss", "backward", "backward-1", "backward-2", "step"]
    assert found["addresses"] == [f"{step}-{moment}" for step in (1, 2) for moment in one]
    assert found["places"] == found["back"] == list(range(20))
    assert found["odd"] == ["2-backward-2", "1-zero_grad", "1-zero_grad", "1-zero_grad", "1-zero_grad", "1-zero_grad", "2-forward"]


def test_gradients_at_each_moment(modules: Modules) -> None:
    script = """
        const { gradsAt, momentsOf, addressOf } = moments;
        return Object.fromEntries(momentsOf(walk).map((moment) => [addressOf(moment), [...gradsAt(walk, moment).values()].map((figures) =>
          figures?.norm ?? null)]));"""
    found = modules.run("moments", script, walk=walk())
    none = [None, None, None]
    assert [found[f"1-{stage}"] for stage in ("zero_grad", "forward-2", "loss", "backward")] == [none] * 4
    assert found["1-backward-1"] == [None, None, 100]
    assert found["1-backward-2"] == found["1-step"] == [None, 101, 100]
    assert found["2-zero_grad"] == found["2-backward"] == [None, 5, 6], "what was left out leaves the old ones"
    assert found["2-backward-1"] == [None, 5, 200]
    assert found["2-step"] == [None, 201, 200]


def test_lines_of_the_loop_are_those_of_the_code(modules: Modules) -> None:
    code = "import x\ndef f():\n    optimizer.zero_grad(set_to_none=True)  # drop\n    # out = model(comment)\n    out = model(images)\n"
    code += "loss = criterion(out, y)   # c\n    loss.backward()\noptim.step()\n"
    assert modules.run("moments", "return moments.linesOf({ code })", code=code) == {
        "zero_grad": "optimizer.zero_grad(set_to_none=True)",
        "forward": "out = model(images)",
        "loss": "loss = criterion(out, y)",
        "backward": "loss.backward()",
        "step": "optim.step()",
    }
    assert modules.run("moments", "return moments.linesOf({ code: '' }).loss") == "loss = criterion(prediction, labels)"


def test_scales_groups_and_bars(modules: Modules) -> None:
    script = """
        const scale = ladder.logScale([1e-6, 1, 0, null, NaN, Infinity]), few = ladder.logScale([1, 10]), none = ladder.logScale([]);
        const bar = (figures, look) => stages.gradBar(figures && { finite: true, ...figures }, look, few);
        return { shares: [0, 1e-6, 1e-3, 1, null].map(scale.share), ends: [scale.top, few.top, few.bottom, none.top, none.bottom],
          low: few.share(1e-9),
          groups: [["a.w", "a.b", "b.w", "c.w"], ["m.x.w", "m.x.b", "m.y.w", "n"]].map((names) => ladder.topGroups(names).map(({ name, from,
            to }) => [name, from, to])),
          bars: [bar({ norm: 0 }), bar({ norm: 10 }), bar({ norm: 1, finite: false }), bar({ norm: null }), bar(null, { learns: true }), bar(null,
            { learns: false })],
          words: [stages.gradWords({ norm: 0 }), stages.gradWords({ norm: 2.5 }), stages.gradWords({ norm: 1, finite: false }),
            stages.gradWords(null, { learns: false }), stages.gradWords(null)] };"""
    found = modules.run("ladder stages", script)
    zero, low, middle, top, nothing = found["shares"]
    assert (zero, top, nothing) == (0, 1, 0)
    assert (low, middle) == pytest.approx((0.3 / 6.3, 3.3 / 6.3))
    assert found["ends"] == pytest.approx([1, 10, 0.01, 1, 0.001])
    assert found["low"] == 0.04
    assert found["groups"] == [[["a", 0, 2], ["b", 2, 3], ["c", 3, 4]], [["x", 0, 2], ["y", 2, 3], ["n", 3, 4]]]
    assert [bar["kind"] for bar in found["bars"]] == ["zero", "value", "broken", "broken", "none", "frozen"]
    assert found["bars"][1]["share"] == 1
    assert found["words"] == ["all zero", "norm 2.5", "not finite", "None (frozen)", "None"]


def test_why_nothing_was_recorded_for_a_layer_is_said_by_what_it_holds(modules: Modules) -> None:
    script = """
        const call = (state, node) => ({ kind: "ReLU", mode: "train", about: "A.", state, node });
        const calls = [call("none", null), call("frozen", null), call("none", 3)];
        const panel = Object.create(stages.Forward.prototype, { view: { value: { walk: { steps: [{ calls }], pictures: [] } } } });
        return calls.map((_, at) => panel.words({ step: 0, at }).trim());"""
    assert modules.run("stages", script) == [
        "A. Nothing was recorded for it: it has no parameters, and nothing before it learns.",
        "A. Nothing was recorded for it: it is frozen, and nothing before it learns.",
        "A.",
    ]


def test_numbers_of_a_walkthrough_in_words(modules: Modules) -> None:
    script = """const { num, bytes, shape, place, plural, elements, sizeOf, escaped, code } = step_words;
        return [[null, 0, 0.001, 0.00099, 123456, -1.5e-9, 1e5].map((value) => num(value)), [0, 999, 1000, 1.5e6, 2e9].map(bytes), [shape([]),
          shape([2, 3]), place([]), place([3, 0])],
          [plural(1, "layer"), plural(1000, "layer"), plural(2, "is", "are")], elements([2, 3, 4]), ["torch.float16", "torch.float64",
            "torch.odd"].map((dtype) => sizeOf({ shape: [3], dtype })), escaped(`<a b="c" d='e'>&`)];"""
    assert modules.run("step_words", script) == [
        ["not finite", "0", "0.001", "9.9e-4", "1.235e5", "-1.5e-9", "1e5"],
        ["0 B", "999 B", "1 kB", "1.5 MB", "2 GB"],
        ["a single number", "2 \u00d7 3", "", "[3, 0]"],
        ["1 layer", "1,000 layers", "2 are"],
        24,
        [6, 24, 12],
        "&#60;a b=&#34;c&#34; d=&#39;e&#39;&#62;&#38;",
    ]


def test_slow_motion_goes_moment_by_moment_and_stage_by_stage(modules: Modules) -> None:
    script = """
        document.body.innerHTML = '<div style="width: 900px"><div class="thaw-motion"></div></div>';
        const host = document.body.firstChild, root = host.firstChild;
        slow_motion.mount({ data: JSON.stringify(walk), parentElement: host }, virtual_table, looks);
        const go = (what) => { if (what.includes("-")) root.querySelector(`[data-address="${what}"]`).click();
          else if (what.startsWith("Key")) root.dispatchEvent(new KeyboardEvent("keydown", { key: what.slice(3), bubbles: true }));
            else root.querySelector(`[data-go=${what}]`).click();
          return root.dataset.at; };
        const text = (selector) => root.querySelector(selector).textContent;
        const found = { at: root.dataset.at, ends: [root.querySelector("[data-go=back]").disabled], way: way.map(go) };
        found.where = text(".thaw-where"); found.tally = text(".thaw-tally"); found.words = text(".thaw-words");
        found.rail = [...root.querySelectorAll(".thaw-rail button")].map((button) => [button.dataset.address, button.dataset.done,
          button.querySelector("i").style.width]).slice(5, 9);
        go("KeyEnd"); found.ends.push(root.querySelector("[data-go=forward]").disabled, root.dataset.at);
        go("2-zero_grad"); found.left = [text(".thaw-loop [data-now]"), text(".thaw-words")];
        return found;"""
    ways = [
        "forward",
        "forward",
        "forward",
        "KeyPageUp",
        "KeyPageUp",
        "last",
        "last",
        "last",
        "forward",
        "forward",
        "KeyArrowRight",
        "KeyPageDown",
        "first",
        "2-backward",
        "forward",
    ]
    found = modules.run("slow_motion virtual_table looks", script, walk=walk(), way=ways)
    assert found["at"] == "1-zero_grad"
    assert found["way"] == [
        "1-forward", "1-forward-1", "1-forward-2", "1-forward", "1-zero_grad", "1-forward", "1-loss",
        "1-backward", "1-backward-1", "1-backward-2", "1-step",
        "2-zero_grad", "1-step", "2-backward", "2-backward-1",
    ]  # fmt: skip
    assert found["where"] == "Step 2, backward, gradient 1 of 2"
    assert found["tally"] == "3 parameters: 2 gradients, 48 B, 1 None because frozen."
    assert found["rail"] == [
        ["2-zero_grad", "true", "100%"],
        ["2-forward", "true", "100%"],
        ["2-loss", "true", "100%"],
        ["2-backward", "false", "50%"],
    ]
    assert found["ends"] == [True, True, "2-step"]
    assert found["left"][0] == "# optimizer.zero_grad()   left out"
    assert "The 2 gradients of step 1 stay where they are" in found["left"][1]


def node(id: int, module: str, parameter: str = "", kind: str = "AddBackward0") -> dict[str, Any]:
    return {"id": id, "kind": kind, "module": module, "parameter": parameter, "shape": [1], "saved": [], "saved_bytes": 0}


def edge(*pairs: tuple[int, int]) -> list[dict[str, int]]:
    return [{"source": source, "target": target, "slot": 0} for source, target in pairs]


def test_nodes_of_a_graph_in_their_modules(modules: Modules) -> None:
    script = """
        const { Group, treeOf, above } = groups, tree = treeOf({ nodes, edges });
        const told = (group) => [group.key, ...group.children.map((child) => (child instanceof Group ? told(child) : child))];
        return { tree: told(tree.root), chain: tree.chain(6).map(({ key }) => key), nodes: tree.root.nodes, names: [...tree.groups.values()].map(({
          name }) => name), above: above("a.b.c") };"""
    nodes = [
        node(0, ""), node(1, "relu"), node(2, "relu"), node(3, "body.fc"), node(4, "", "body.fc.weight"),
        node(5, "relu"), node(6, "relu"), node(7, "body"),
        node(8, "alone"),
    ]  # fmt: skip
    edges = edge((0, 1), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (7, 8))
    found = modules.run("groups", script, nodes=nodes, edges=edges)
    # The ReLU that was called twice is two groups, one around a single node is none, and groups follow each other as their nodes do.
    assert found["tree"] == ["", 0, ["relu", 1, 2], ["body", ["body.fc", 3, 4], 7], ["relu#2", 5, 6], 8]
    assert found["chain"] == ["", "relu#2"]
    assert sorted(found["nodes"]) == list(range(9))
    assert set(found["names"]) == {"", "relu", "body", "fc"}
    assert found["above"] == ["a.b", "a"]


def test_boxes_of_a_graph_lie_below_each_other_and_apart(modules: Modules) -> None:
    script = """const { width, height, at, bends } = layout.layered(boxes, edges);
        return { width, height, at: Object.fromEntries(at), bends: Object.fromEntries(bends) };"""
    boxes = [{"key": key, "width": 60 + 10 * place, "height": 28} for place, key in enumerate("abcdef")]
    edges = [["a", "b"], ["a", "c"], ["b", "d"], ["c", "d"], ["a", "d"], ["d", "e"], ["a", "b"]]
    found = modules.run("layout", script, boxes=boxes, edges=edges)
    at, wide = found["at"], {box["key"]: box["width"] for box in boxes}
    assert set(at) == set("abcdef")
    assert at["a"]["y"] < at["b"]["y"] == at["c"]["y"] < at["d"]["y"] < at["e"]["y"]
    assert at["b"]["y"] - at["a"]["y"] == 28 + 26
    for one in at:
        assert 0 <= at[one]["x"] <= found["width"] - wide[one] + 1e-6
        for other in at:
            if one < other and at[one]["y"] == at[other]["y"]:
                first, second = sorted((one, other), key=lambda key: at[key]["x"])
                assert at[second]["x"] - at[first]["x"] - wide[first] >= 18 - 1e-6
    assert list(found["bends"]) == ["a d"], "the long way round b and c has a bend"
    assert found["bends"]["a d"][0]["y"] == at["b"]["y"] + 14
    assert found["height"] == at["e"]["y"] + 28
    circle = modules.run("layout", script, boxes=boxes[:2], edges=[["a", "b"], ["b", "a"], ["a", "a"]])
    assert circle["at"]["a"]["y"] < circle["at"]["b"]["y"]


def test_graph_shows_what_a_plan_removes_and_the_card_of_a_node(modules: Modules) -> None:
    script = """
        document.body.innerHTML = '<div style="width: 1200px"><div class="thaw-graph"></div></div>';
        const host = document.body.firstChild, asked = [], set = (event, value) => asked.push(value);
        grad_graph.mount({ data: JSON.stringify(data), parentElement: host }, step_words);
        grad_graph.take({ data: null, setStateValue: set });
        const tree = () => [...host.querySelectorAll("[role=treeitem]")].map((row) => [row.dataset.key, row.querySelector("small").textContent,
          row.dataset.gone !== undefined]);
        const text = (selector) => [...host.querySelectorAll(selector)].map(({ textContent }) => textContent.trim());
        const found = { tree: tree(), gone: host.querySelectorAll(".thaw-edges path[data-gone]").length,
          edges: host.querySelectorAll(".thaw-edges path").length, why: text(".thaw-why") };
        host.querySelectorAll(".thaw-plans input")[1].click();
        found.after = tree(); found.goneAfter = host.querySelectorAll(".thaw-edges path[data-gone]").length;
          found.plan = new URLSearchParams(location.search).get("plan");
        const search = host.querySelector("input[type=search]"); search.value = "body.fc.weight"; search.onchange();
        found.asked = structuredClone(asked); found.node = new URLSearchParams(location.search).get("node"); found.head = text(".thaw-node h4");
          found.removed = text(".thaw-removed").length;
        grad_graph.take({ data: { name: "w", id: 2, story, checks }, setStateValue: set });
        found.other = text(".thaw-node h4");
        grad_graph.take({ data: { name: "w", id: 3, story, checks }, setStateValue: set });
        found.story = [text(".thaw-node h4"), text(".thaw-checks td[data-agrees]"), text("[role=status]")];
        search.value = "nowhere"; search.onchange(); found.none = text("[role=status]"); host.querySelector("[data-act=close]").click();
          found.closed = tree().map(([key]) => key);
        return found;"""
    nodes = [node(0, "head"), node(1, "head"), node(2, "body.fc"), node(3, "", "body.fc.weight", "AccumulateGrad"), node(4, "body.fc")]
    edges = edge((0, 1), (1, 2), (2, 3), (2, 4))
    plans = [
        {"name": "all", "about": "a", "kept": [0, 1, 2, 3, 4], "why": "w", "chosen": True, "count": 5},
        {"name": "frozen", "about": "b", "kept": [0, 1], "why": "x", "chosen": False, "count": 2},
    ]
    story = {"title": "Sum", "about": "", "formula": [], "derivative": [], "incoming": [], "outgoing": [], "removed": ""}
    check = {"place": "p", "measured": 1.0, "predicted": 1.0, "relative_difference": 0.0, "step": 0.1, "note": ""}
    checks = [{**check, "agrees": True}, {**check, "agrees": False}, {**check, "agrees": None}]
    data = {"name": "w", "parameters": [], "graph": {"nodes": nodes, "edges": edges, "plans": plans}}
    found = modules.run("grad_graph step_words", script, data=data, story=story, checks=checks)
    keys = ["head", "body", "body.fc", "node 2", "node 3", "node 4"]
    assert [key for key, _, _ in found["tree"]] == keys
    assert not any(gone for _, _, gone in found["tree"])
    assert (found["gone"], found["edges"]) == (0, 3)
    assert found["why"] == ["a w"]
    assert {key for key, _, gone in found["after"] if gone} == set(keys[1:])
    assert {key: about for key, about, _ in found["after"]}["body"] == "3 nodes removed"
    assert (found["goneAfter"], found["plan"]) == (3, "frozen")
    assert [asked["id"] for asked in found["asked"]] == [3]
    assert (found["node"], found["head"], found["removed"]) == ("3", ["AccumulateGrad"], 1)
    assert found["other"] == ["AccumulateGrad"], "what is said of another node is not shown here"
    assert found["story"][0] == ["Sum"]
    assert found["story"][2] == ["Sum. The chain rule agrees at 1 of 2 places."]
    assert found["none"] == ["No node has nowhere in its name."]
    assert found["closed"] == ["head", "body"]


def test_window_onto_the_graph_zooms_about_its_middle_and_draws_what_is_in_sight(modules: Modules) -> None:
    script = """
        document.body.innerHTML = '<div style="width: 400px; height: 300px; overflow: auto"><svg style="display: block"></svg></div>';
        const frame = document.body.firstChild, drawn = [], zooms = [];
        const held = new sight.Sight(frame, frame.firstChild, { drawn() {}, zoomed: (share) => zooms.push(share) });
        held.show({ width: 4000, height: 3000, whole: false, boxes: new Map([["b", { x: 2000, y: 1500, width: 100, height: 40 }]]),
          draw: (where) => { drawn.push({ ...where }); return ""; } });
        held.center("b"); const centre = [frame.scrollLeft, frame.scrollTop], count = drawn.length;
        held.bring("b"); frame.scrollLeft += 10; held.draw(); const still = drawn.length - count;
        frame.scrollLeft -= 10; held.zoomBy(2); const zoomed = [frame.scrollLeft, frame.scrollTop];
        held.zoomBy(100); held.zoomBy(1e-9); held.fit(); held.leave();
        return { first: drawn[0], last: drawn[count - 1], centre, still, zoomed, zooms };"""
    found = modules.run("sight", script)
    assert found["first"] == {"left": -400, "right": 800, "top": -300, "bottom": 600}
    assert found["centre"] == [2050 - 200, 1520 - 150]
    assert found["last"] == {"left": 1450, "right": 2650, "top": 1070, "bottom": 1970}
    assert found["still"] == 0, "what lies beside what is in sight is drawn already"
    assert found["zoomed"] == [2 * 2050 - 200, 2 * 1520 - 150], "the middle stays where it is"
    assert found["zooms"] == [1, 2, 2, 0.25, 0.6]
