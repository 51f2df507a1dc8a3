"""Hostile names in every component that shows names: the page shows them letter by letter, makes nothing of them and asks nobody.

The tags in them are harmless, and of no use to anybody but this test: an element that nothing else makes, and addresses at which nobody is.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from core.records.events import FROZEN
from core.store.stream import encode_norms
from tests.javascript import Modules
from tests.support import waiting

pytestmark = pytest.mark.browser

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
NAMES = (
    "<made-up>in a tag</made-up>",
    '<img made src="http://elsewhere/a">',
    '"><made-up>',
    "' made='1",
    '" made="1',
    "`${1 + 1}` %{y} {{x}}",
    '<a made href="http://elsewhere/b">a link</a>',
    "javascript:void 0",
    "&lt;i&gt; &amp; &quot; &#60;made-up&#62;",
    "</style></script><made-up>",
    "<b>bold</b><br>and <sub>low</sub>",
    "back\\slash\\new [0] #1 'a' \"b\"",
    "__proto__",
    "constructor",
    "\u05e9\u05dc\u05d5\u05dd \u202ereversed",
    "two  spaces and a tail that is very, very long " + "n" * 300 + "<made-up>",
)

SOCKET = "() => { window.sockets = []; window.WebSocket = class { constructor() { sockets.push(this); } close() {} }; }"
HOST = "const host = document.createElement('div'); host.innerHTML = `<div class='${place}'></div>`; document.body.append(host);"
MADE = "() => document.querySelectorAll('made-up, [made], svg a, [href^=\"javascript:\"], [src*=elsewhere]').length"


def texts(modules: Modules, selector: str, attribute: str = "") -> list[str]:
    """Of all elements that `selector` finds: their text, or an attribute."""
    script = "(elements, attribute) => elements.map((element) => (attribute ? element.getAttribute(attribute) : element.textContent))"
    found: list[str] = modules.page.locator(selector).evaluate_all(script, attribute)
    return found


def shown(modules: Modules, selector: str, names: tuple[str, ...] | list[str] = NAMES, attribute: str = "") -> None:
    """Each element that `selector` finds shows a name, letter by letter, in the order of `names`."""
    assert texts(modules, selector, attribute) == list(names), selector


def nothing_made(modules: Modules) -> None:
    assert modules.page.evaluate(MADE) == 0


def ending(text: str, length: int) -> str:
    return text if len(text) <= length else f"…{text[len(text) - length + 1 :]}"


def mount(modules: Modules, name: str, place: str, data: Any, needs: str = "") -> None:
    """Mount a component as its loader does, with the modules that it `needs`. What it sends is kept in `window.sent`."""
    script = f"""{HOST} window.sent = [];
        const send = (event, value) => sent.push([event, value]);
        {name}.mount({{ data, parentElement: host, setTriggerValue: send,
          setStateValue: send }}{", " + ", ".join(needs.split()) if needs else ""});"""
    modules.run(f"{name} {needs}".strip(), script, place=place, data=data)


def test_live_chart(modules: Modules) -> None:
    page = modules.page
    page.evaluate(SOCKET)
    mount(modules, "live_chart", "thaw-live", {"run": "<made-up>", "plotly": "assets/plotly.min.js"})
    page.wait_for_function("() => window.Plotly")
    layers = [{"name": name, "count": 9, "frozen": place == 0, "block": name, "multiplier": 20 - place} for place, name in enumerate(NAMES)]
    norms = np.array([[FROZEN, *(0.1 for _ in NAMES[1:])]], np.float32)
    change = {"id": 1, "step": 1, "source": "<made-up>", "text": f"{NAMES[0]}, !{NAMES[2]}, {NAMES[8]}=2", "learning_rate": 0.1}
    change |= {"frozen": [int(place == 0) for place in range(len(NAMES))], "multipliers": [layer["multiplier"] for layer in layers]}
    histogram = {"low": -1.0, "high": 1.0, "counts": [1, 2], "not_finite": 0}
    body = {
        "run": {"id": "r", "status": "running", "step": 1, "total_steps": 10, "epoch": 1, "epochs": 1},
        "cursor": {"level": 0, "step": 1},
        "reset": True,
        "layers": layers,
        "steps": {"step": [1], "loss": [0.5], "low": [0.5], "high": [0.5], "learning_rate": [0.1]},
        "heat": {"step": [1], "values": base64.b64encode(encode_norms(norms).tobytes()).decode()},
        "changes": [change],
        "inspections": [{"id": 1, "step": 1, "name": NAMES[1], "weight": histogram, "gradient": histogram}],
    }
    page.evaluate("(body) => { sockets[0].onmessage({ data: JSON.stringify(body) }); }", body)
    waiting(page, lambda: page.locator("[data-panel=lane] .ytick").count() == len(NAMES), "the lane's labels")
    page.locator(".thaw-table-scroll").evaluate("element => { element.style.maxHeight = 'none'; }")
    shown(modules, "[data-panel=lane] .ytick text", [ending(name, 30) for name in NAMES])
    shown(modules, "[data-panel=heat] .ytick text", [ending(name, 30) for name in (*NAMES[1:], NAMES[0])])  # the frozen one last
    shown(modules, ".thaw-layer-table tr[data-key]", attribute="data-key")
    shown(modules, ".thaw-layer-table tr[data-key] code", [ending(name, 38) for name in NAMES])
    shown(modules, ".thaw-layer-table tr[data-key] code", attribute="title")
    legend = texts(modules, "[data-panel=rate] .thaw-lines button")
    assert legend == [f"x {20 - place}: {ending(name, 44)}" for place, name in enumerate(NAMES) if place]
    assert texts(modules, ".thaw-changes li span:nth-of-type(2)") == ["<made-up>"]
    assert texts(modules, ".thaw-changes li span:nth-of-type(3)") == [f"{NAMES[0]} frozen, {NAMES[2]} learns, {NAMES[8]} learns at x 2"]
    for name in NAMES:
        page.evaluate('(name) => document.querySelector(`.thaw-layer-table tr[data-key="${CSS.escape(name)}"] button`).click()', name)
        shown(modules, "[data-panel=layer] h3", [name])
        assert texts(modules, "[data-panel=layer]", "aria-label") == [f"Layer {name}"]
    nothing_made(modules)


@pytest.mark.parametrize("name", NAMES)
def test_marked_finding(modules: Modules, name: str) -> None:
    """The finding's name comes out of the page's address, where anybody may have written it."""
    script = """
        history.replaceState(null, "", `/?${new URLSearchParams({ run: "r", chart: "gradient norms", steps: "1-3", finding: name, layers: name })}`);
        const root = document.createElement("div");
        root.innerHTML = '<button data-act="back"></button><span class="thaw-marked"></span><p class="thaw-unseen"></p><h3 tabindex="-1"></h3>';
        document.body.append(root);
        const none = () => {}, told = new run_history.RunHistory();
        told.take({ reset: true, layers: [{ name, count: 1, frozen: false, block: "b", multiplier: 1 }], steps: { step: [1, 2, 3, 4], loss: [1, 1,
          1, 1] } });
        const chart = { run: "r", root, history: told, about: { status: "finished" }, Plotly: {}, colours: looks.readColours(root), range: () =>
          [0, 4], panel: () => root,
          zoomTo: none, show: none, openLayer: none, drawAll: none };
        const held = new evidence.Evidence(chart);
        held.show();
        const { annotations } = held.marks("heat", 800), label = annotations[0].text;
        held.close();
        return { marked: root.querySelector(".thaw-marked").textContent, label, rows: held.marked.rows };"""
    found = modules.run("evidence run_history looks", script, name=name)
    words = name if len(name) <= 60 else f"{name[:59]}…"
    assert found["marked"].strip() == f"Marked: {words}, steps 1 to 3.".strip() + (" Not all of its layers are in this run." if "," in name else "")
    assert (
        modules.run("looks", "const made = document.createElement('p'); made.innerHTML = label; return made.textContent;", label=found["label"])
        == f"{words}, steps 1 to 3"
    )
    assert found["rows"] == ([] if "," in name else [0])
    nothing_made(modules)


def test_freeze_tree_and_treemap(modules: Modules) -> None:
    rows = [[name, name, 1, False, name, "3 x 3", 9, 18] for name in NAMES]
    data = {"key": "k", "states": "0" * len(rows), "partly": [], "map": True, "revision": 1, "acknowledged": ["", 0], "settles": False}
    script = f"""{HOST}
        window.sent = [];
        const table = new TextEncoder().encode(JSON.stringify({{ key: "k", rows }}));
        freeze_tree.take({{ data: table }});
        freeze_tree.mount({{ data, parentElement: host, setTriggerValue: (event, value) => sent.push([event, value]) }}, outbox, treemap);"""
    modules.run("freeze_tree outbox treemap", script, place="thaw-layers", rows=rows, data=data)
    shown(modules, ".thaw-layer", attribute="data-path")
    shown(modules, ".thaw-layer .thaw-name")
    shown(modules, ".thaw-layer .thaw-kind")
    shown(modules, ".thaw-layer button", [f"freeze {name}" for name in NAMES], "aria-label")
    areas = texts(modules, ".thaw-area", "data-path")
    assert sorted(areas) == sorted(NAMES)
    assert texts(modules, ".thaw-area span") == areas
    modules.page.evaluate("() => { for (const area of document.querySelectorAll('.thaw-area')) area.click(); }")
    assert modules.page.evaluate("() => sent.at(-1)[1].edits.map(([, path]) => path)") == areas
    assert texts(modules, ".thaw-tip b") == [areas[-1]]
    nothing_made(modules)


def test_timeline_editor(modules: Modules) -> None:
    rows = [{"path": name, "count": 9, "cells": "00", "factors": [1]} for name in NAMES]
    mount(modules, "timeline_editor", "thaw-timeline", {"rows": rows, "columns": [[1, 1], [2, 2]], "rate": 0.1, "acknowledged": ["", 0]}, "outbox")
    shown(modules, ".thaw-block b")
    shown(modules, ".thaw-cell[data-column='0']", [f"{name}, epoch 1: learns" for name in NAMES], "aria-label")
    shown(modules, ".thaw-line input", [f"learning-rate multiplier of {name}, empty is 1" for name in NAMES], "aria-label")
    modules.page.evaluate("() => { const cells = document.querySelectorAll('.thaw-cell'); cells[0].focus(); }")
    modules.page.keyboard.press("Shift+End")
    for _ in NAMES[1:]:
        modules.page.keyboard.press("Shift+ArrowDown")
    modules.page.keyboard.press("Enter")
    assert modules.page.evaluate("() => sent[0][1].edits") == [[1, "paint", list(NAMES), 1, None, True]]
    assert texts(modules, ".thaw-said") == [f"{', '.join(NAMES)}: frozen from epoch 1 on."]
    nothing_made(modules)


def test_network_editor(modules: Modules) -> None:
    facts = {"shape": "3 ch", "words": "w", "count": 0}
    rows = [{"kind": "?", "options": {}, "text": name, "name": name, "error": name, **facts} for name in NAMES]
    head = {"text": NAMES[0], "error": NAMES[1], **facts}
    data = {
        "kinds": [],
        "rows": rows,
        "head": head,
        "totals": NAMES[2],
        "image": NAMES[3],
        "imageShape": NAMES[4],
        "fits": False,
        "most": 200,
        "seen": ["", 0],
    }
    mount(modules, "network_editor", "thaw-net", {**data, "origin": 1})
    shown(modules, ".net-row b")
    shown(modules, ".net-row code")
    shown(modules, ".net-row .net-error")
    shown(modules, ".net-row [data-act=remove]", [f"Remove {name}" for name in NAMES], "aria-label")
    assert texts(modules, ".net-totals, .net-head .net-error") == [NAMES[2], NAMES[1]]
    nothing_made(modules)


def figures(**more: Any) -> dict[str, Any]:
    return {
        "shape": [2],
        "dtype": "torch.float32",
        "norm": 1.0,
        "mean": 0.5,
        "minimum": 0.0,
        "maximum": 1.0,
        "first": [0.0, 1.0],
        "finite": True,
        **more,
    }


def walkthrough() -> dict[str, Any]:
    """A walkthrough in which every text is a hostile name."""
    calls = [
        {"number": at, "module": name, "kind": name, "inputs": [[1, 2]], "output": [1, 2], "device": name,
        "mode": "train", "state": "learns", "parameters": [name],
         "figures": figures(), "node": at, "picture": "", "about": name}
        for at, name in enumerate(NAMES)
    ]  # fmt: skip
    arrivals = [
        {"order": at, "parameter": name, "node": at, "before": None, "contribution": figures(), "after": figures()} for at, name in enumerate(NAMES)
    ]
    updates = [
        {"parameter": name, "in_optimizer": False, "index": [0], "gradient": 1.0, "weight_before": 1.0,
        "weight_after": 0.5, "norm_before": 1.0, "norm_after": 0.5,
         "update_norm": 0.5, "state": [[name, None, 1.0]], "formula": [name], "filled": [name, name], "still": name}
        for name in NAMES
    ]  # fmt: skip
    grads = [{"parameter": name, "figures": figures()} for name in NAMES]
    story = {
        "number": 1,
        "cleared": True,
        "grads_at_start": grads,
        "calls": calls,
        "output": figures(dtype=NAMES[0]),
        "loss": 0.5,
        "loss_lines": list(NAMES),
    }
    story |= {"arrivals": arrivals, "updates": updates, "grads_at_end": grads}
    parameters = [{"name": name, "shape": [2], "count": 2, "learns": True, "in_optimizer": True, "module": name} for name in NAMES]
    pictures = [{"source": PIXEL, "label": name} for name in NAMES]
    return {
        "name": "w",
        "device": NAMES[0],
        "optimizer": NAMES[1],
        "code": "\n".join(NAMES),
        "model": "m",
        "pictures": pictures,
        "parameters": parameters,
        "steps": [story],
    }


def test_slow_motion(modules: Modules) -> None:
    page = modules.page
    mount(modules, "slow_motion", "thaw-motion", json.dumps(walkthrough()), "virtual_table looks")
    stage = lambda name: page.evaluate('(name) => document.querySelector(`[data-address="1-${name}"]`).click()', name)  # noqa: E731
    page.evaluate("() => { document.querySelector('.thaw-motion details').open = true; }")
    page.wait_for_selector(".thaw-grad-table tr[data-key]")
    shown(modules, ".thaw-grad-table tr[data-key] code", texts(modules, ".thaw-grad-table tr[data-key]", "data-key"))
    assert set(texts(modules, ".thaw-grad-table tr[data-key]", "data-key")) <= set(NAMES)
    stage("forward")
    shown(modules, ".thaw-batch figcaption")
    forward = [page.evaluate("() => document.querySelector('[data-go=forward]').click()") or texts(modules, "[data-part=layer] h4") for _ in NAMES]
    assert forward == [[name] for name in NAMES]
    assert texts(modules, "[data-part=layer] header span, .thaw-chips span:nth-of-type(3)") == [NAMES[-1], f"on {NAMES[-1]}"]
    stage("loss")
    assert texts(modules, ".thaw-loss pre") == ["\n".join(NAMES)]
    stage("backward")
    backward = [page.evaluate("() => document.querySelector('[data-go=forward]').click()") or texts(modules, "[data-part=arrival] h4") for _ in NAMES]
    assert backward == [[f"{name}.grad"] for name in NAMES]
    stage("step")
    shown(modules, "#thaw-followed option", attribute="value")
    for name in NAMES:
        page.evaluate("(name) => { const pick = document.querySelector('#thaw-followed'); pick.value = name; pick.onchange(); }", name)
        assert texts(modules, ".thaw-rule pre") == [name, name, "", name]
        assert texts(modules, ".thaw-still") == [f"It does not move. {name}"]
        assert texts(modules, ".thaw-states tbody tr:last-child th") == [name]
    nothing_made(modules)


def test_grad_graph(modules: Modules) -> None:
    page = modules.page
    saved = [{"name": name, "shape": [1], "dtype": "d", "bytes": 4, "what": name} for name in NAMES]
    nodes = [
        {"id": at, "kind": name, "module": name, "parameter": "", "shape": [1], "saved": saved, "saved_bytes": 4} for at, name in enumerate(NAMES)
    ]  # fmt: skip
    edges = [{"source": at, "target": at + 1, "slot": 0} for at in range(len(NAMES) - 1)]
    plans = [
        {"name": name, "about": name, "kept": list(range(len(NAMES))), "why": name, "chosen": at == 0, "count": 1} for at, name in enumerate(NAMES)
    ]
    data = {"name": "w", "parameters": [], "graph": {"nodes": nodes, "edges": edges, "plans": plans}}
    mount(modules, "grad_graph", "thaw-graph", json.dumps(data), "step_words")
    kinds = [name[0].upper() + name[1:] for name in NAMES]
    shown(modules, ".thaw-plans label", [f"{name} 1 nodes" + (" this example" if at == 0 else "") for at, name in enumerate(NAMES)])
    shown(modules, ".thaw-plans label", attribute="title")
    shown(modules, ".thaw-graph-tree [role=treeitem] span", kinds)
    assert sorted(texts(modules, "datalist option", "value")) == sorted(NAMES)
    assert texts(modules, ".thaw-boxes g text") == kinds
    assert texts(modules, ".thaw-boxes g title") == [f"{name} of {name}, 1, keeps 4 B" for name in NAMES]
    flow = {"of": NAMES[0], "node": 1, "figures": None}
    story = {"title": "", "about": NAMES[1], "formula": list(NAMES), "derivative": list(NAMES), "incoming": [flow], "outgoing": [flow], "removed": ""}
    checks = [
        {"place": name, "measured": None, "predicted": None, "relative_difference": None, "step": 1, "agrees": None, "note": name} for name in NAMES
    ]
    page.evaluate("() => document.querySelectorAll('.thaw-graph-tree [role=treeitem]')[2].click()")
    modules.run("grad_graph", "grad_graph.take({ data: { name: 'w', id: 2, story, checks }, setStateValue() {} })", story=story, checks=checks)
    assert texts(modules, ".thaw-node h4, .thaw-node header code") == [kinds[2], NAMES[2], NAMES[2]]
    shown(modules, ".thaw-checks tbody th")
    shown(modules, ".thaw-check-note td")
    assert texts(modules, ".thaw-node pre") == ["\n".join(NAMES)] * 2
    shown(modules, ".thaw-saved code")
    shown(modules, ".thaw-saved small")
    nothing_made(modules)


def test_parts_of_evaluate(modules: Modules) -> None:
    classes = list(NAMES)
    show = lambda name, place, data: mount(modules, name, place, json.dumps(data), "elements")  # noqa: E731
    show("guesses", "thaw-guesses", {"label": classes[0], "guesses": [{"name": name, "probability": 0.5, "mark": ""} for name in classes]})
    shown(modules, ".thaw-guesses b", attribute="title")
    tiles = [{"index": at, "picture": PIXEL, "title": name, "about": name, "verdict": "right", "chosen": False} for at, name in enumerate(classes)]
    show("picture_wall", "thaw-wall", {"label": classes[0], "action": classes[1], "large": False, "pictures": tiles})
    shown(modules, ".thaw-wall button span")
    shown(modules, ".thaw-wall button", [f"{name}, {name}. {classes[1]}" for name in classes], "aria-label")
    views = [{"title": name, "picture": PIXEL, "overlay": PIXEL, "text": name, "value": name, "alternative": name} for name in classes]
    show("heat_view", "thaw-heat", {"views": views})
    for part in ("b", "figcaption span", "p:not([class])"):
        shown(modules, f".thaw-heat-pair {part}")
    shown(modules, ".thaw-heat-pair [role=img]", attribute="aria-label")
    rows = [[[at, 1]] for at in range(len(classes))]
    show(
        "confusion_grid",
        "thaw-confusion",
        {"label": classes[0], "classes": classes, "rows": rows, "totals": [1] * len(classes), "shares": False, "chosen": None, "of": None},
    )
    shown(modules, ".thaw-confusion-column", attribute="title")
    shown(modules, ".thaw-confusion-name", attribute="aria-label")
    shown(modules, "[data-kind=right]", [f"1 of 1 pictures of {name} correctly taken for {name}, 100.0 %" for name in classes], "title")
    scores = [
        {"name": name, "samples": 1, "predicted": 1, **{measure: [0.5, 0.1, 0.9] for measure in ("precision", "recall", "f1")}} for name in classes
    ]
    show("class_table", "thaw-classes", {"caption": classes[0], "rows": scores})
    shown(modules, ".thaw-classes tbody th", attribute="title")
    assert texts(modules, ".thaw-classes caption") == [classes[0]]
    points = [[at, at, *(place + at for place in (0.0, 1.0, 2.0, 3.0))] for at in range(len(classes))]
    pictures = [{"index": 0, "picture": PIXEL, "text": classes[1]}]
    show("embedding_map", "thaw-map", {"label": classes[0], "points": points, "classes": classes, "titles": classes[:2], "pictures": pictures})
    shown(modules, ".thaw-map-key button", attribute="title")
    shown(modules, ".thaw-map-bar [data-side]", classes[:2])
    modules.page.locator(".thaw-map canvas").focus()
    modules.page.keyboard.press("ArrowRight")
    assert texts(modules, ".thaw-map-said")[0] in {classes[1], *(f"test picture {at}: {name}" for at, name in enumerate(classes))}
    show("reliability", "thaw-reliability", {"label": classes[0], "bins": []})
    assert texts(modules, ".thaw-reliability svg", "aria-label") == [classes[0]]
    nothing_made(modules)


def test_step_time_and_audit(modules: Modules) -> None:
    slices = [{"name": name, "about": name, "share": 0.1, "value": name, "place": 0} for name in NAMES]
    mount(modules, "step_time", "thaw-step-time", json.dumps({"kind": "bar", "title": NAMES[0], "note": NAMES[1], "slices": slices}))
    shown(modules, ".thaw-slices-key li", [f"{name} 10.0 %" for name in NAMES])
    shown(modules, ".thaw-slices i", [f"{name}: {name}, 10.0 % ({name})" for name in NAMES], "title")
    modules.empty()
    inside = [{"name": NAMES[0], "note": "", "cells": [], "inside": []}]
    lines = [{"name": name, "note": name, "cells": [{"share": 0.5, "value": name}], "inside": inside} for name in NAMES]
    mount(modules, "step_time", "thaw-step-time", json.dumps({"kind": "table", "caption": NAMES[0], "columns": list(NAMES[:3]), "lines": lines}))
    shown(modules, ".thaw-bars button")
    shown(modules, ".thaw-bars button", attribute="data-name")
    shown(modules, ".thaw-bars tr:not([data-inside]) .thaw-bar-note")
    shown(modules, ".thaw-bars thead th", NAMES[:3])
    rows = [[name, 9, "learning", True, True, "flows", True, None, "train", None, "0" * 64, "1" * 64] for name in NAMES]
    mount(modules, "audit_table", "thaw-audit", json.dumps(rows), "virtual_table")
    shown(modules, ".thaw-audit tr[data-key]", attribute="data-key")
    shown(modules, ".thaw-audit tr[data-key] code", [ending(name, 38) for name in NAMES])
    shown(modules, ".thaw-audit tr[data-key] code", attribute="title")
    shown(modules, ".thaw-audit tr[data-key] td:nth-last-child(2) button", [f"Copy the digest of {name} before" for name in NAMES], "aria-label")
    nothing_made(modules)


def test_link_to_a_finding(modules: Modules) -> None:
    script = """document.body.innerHTML = "<a><small></small></a>";
        evidence_link.mountLink({ data: { address: `?finding=${encodeURIComponent(name)}`, help: name, label: name, steps: name },
          parentElement: document.body });
        const link = document.querySelector("a");
        return [link.title, link.getAttribute("aria-label"), link.textContent, new URL(link.href).searchParams.get("finding"),
          new URL(link.href).origin];"""
    for name in NAMES:
        assert modules.run("evidence_link", script, name=name) == [name] * 4 + ["http://localhost"]
        nothing_made(modules)
