"""The Autograd screen in a real browser: how soon the step is there, from moment to moment, and a node of the graph looked at closely.

Times are the browser's own. The helper process is warm: the example was looked at before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page

from bench.screen import screen
from bench.table import spread, table

EXAMPLES = {"resnet18 (the classic)": "", "densenet201": "?example=own&new=1&model=densenet201&image_size=64&threads=1"}
NODES = 8
"""Nodes of each graph that are looked at in a round."""

FIRST = """() => {
  window.painted = {};
  const places = { step: ".thaw-motion[data-at]", graph: ".thaw-boxes g" };
  new MutationObserver(() => {
    for (const [name, place] of Object.entries(places)) {
      if (name in window.painted || !document.querySelector(place)) continue;
      window.painted[name] = 0;
      requestAnimationFrame(() => requestAnimationFrame((now) => { window.painted[name] = now; }));
    }
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-at"] });
}"""

STAGES = """async () => {
  const times = [];
  for (const stage of document.querySelectorAll(".thaw-rail button")) {
    const began = performance.now();
    stage.click();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - began);
  }
  return times;
}"""

CLOSER = """async ([nodes, round]) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const rows = () => [...document.querySelectorAll('.thaw-graph-tree [data-key^="node "]')];
  if (!rows().length) document.querySelector("[data-act=open]").click();
  await frame();
  const keys = rows().map((row) => row.dataset.key), found = { words: [], check: [] };
  for (let turn = 0; turn < nodes; turn++) {
    const key = keys[Math.floor(keys.length * (turn + round / 7) / nodes) % keys.length];
    const began = performance.now();
    document.querySelector(`.thaw-graph-tree [data-key="${key}"]`).click();
    let words = null;
    while (performance.now() - began < 60000) {
      await frame();
      const node = document.querySelector(".thaw-node");
      if (words === null && node.querySelector("pre")) words = performance.now() - began;
      if (node.querySelector(".thaw-checks, .thaw-check-note")) break;
    }
    if (words === null) continue;
    found.words.push(words);
    found.check.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 200));
  }
  return found;
}"""


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """In each round a fresh browser, the same once more, every stage, and nodes spread over the graph that nobody has looked at."""
    with screen(folder) as (server, browser):
        rows = [_measure(browser, f"{server.address}/autograd{address}", label, rounds) for label, address in EXAMPLES.items()]
    heads = [
        "",
        "step painted, fresh browser, ms",
        "again, ms",
        "graph painted, fresh, ms",
        "from stage to stage, ms",
        "a node's words, ms",
        "its check, ms",
    ]
    yield from table(heads, rows)


def _measure(browser: Browser, address: str, label: str, rounds: int) -> tuple[str, ...]:
    fresh: list[float] = []
    again: list[float] = []
    graph: list[float] = []
    stages: list[float] = []
    words: list[float] = []
    check: list[float] = []
    for turn in range(rounds + 1):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(f"({FIRST})()")
        page = context.new_page()
        first = _painted(page, address)
        second = _painted(page, address)
        if turn:  # the first warms up
            fresh.append(first["step"])
            again.append(second["step"])
            graph.append(first["graph"])
            stages += page.evaluate(STAGES)
            found = page.evaluate(CLOSER, [NODES, turn])
            words += found["words"]
            check += found["check"]
        context.close()
    return label, *(spread(values, 0) for values in (fresh, again, graph, stages, words, check))


def _painted(page: Page, address: str) -> dict[str, float]:
    """When the step and the graph were painted, in milliseconds since the browser began to load the page."""
    page.goto(address)
    page.wait_for_function("() => window.painted.step && window.painted.graph", timeout=120_000)
    painted: dict[str, float] = page.evaluate("() => window.painted")
    page.wait_for_timeout(1000)  # for the rest of the screen
    return painted
