"""How long a toggle on the Model screen takes in a real browser: tree, treemap and counts painted; the same confirmed by the server; all else.

The whole tree is unfolded, so that every row is there to be painted. Times are the browser's own, from the click's time stamp to
the second frame after the change: what is on the glass by then.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from bench.screen import screen
from bench.table import spread, table
from tests.support import Server

MODELS = (("resnet18", 64), ("densenet201", 64), ("vit_b_16", 224))
TOGGLES_A_ROUND = 4

WATCH = """([path, label]) => {
  const root = document.querySelector(".thaw-layers");
  const value = () => [...document.querySelectorAll("[data-testid=stMetric]")].find((box) => box.textContent.startsWith(label))
    .querySelector("[data-testid=stMetricValue]").textContent.replaceAll(",", "");
  const line = root.querySelector(`.thaw-layer[data-path="${path}"]`), area = root.querySelector(`.thaw-area[data-path="${path}"]`);
  const before = [line.dataset.frozen, area?.dataset.frozen, root.dataset.learning];
  const revision = root.dataset.revision;
  const after = (done) => requestAnimationFrame(() => requestAnimationFrame(done));
  window.toggled = {};
  root.addEventListener("click", ({ timeStamp }) => {
    const since = (name) => after(() => { window.toggled[name] = performance.now() - timeStamp; });
    const look = () => {
      const now = [line.dataset.frozen, area?.dataset.frozen, root.dataset.learning];
      if (!seen && now.every((state, place) => state === undefined || state !== before[place])) { seen = true; since("painted"); }
      if (seen && !answered && root.dataset.revision !== revision) { answered = true; since("confirmed"); }
      if (answered && value() === root.dataset.learning) { since("everywhere"); observer.disconnect(); }
    };
    let seen = false, answered = false;
    const observer = new MutationObserver(look);
    const attributeFilter = ["data-frozen", "data-learning", "data-revision"];
    observer.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter });
    look();
  }, { capture: true, once: true });
}"""


def measure(folder: Path, rounds: int) -> list[str]:
    """Four toggles a round on each model: layers spread over its depth, one after the other."""
    with screen(folder) as (server, browser):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        rows = [_measure(page, server, model, size, TOGGLES_A_ROUND * rounds) for model, size in MODELS]
    heads = ["model", "rows of the tree", "click to tree, treemap and counts painted, ms", "to the same confirmed by the server, ms"]
    return table([*heads, "to cost and timeline drawn anew, ms"], rows)


def _measure(page: Page, server: Server, model: str, size: int, toggles: int) -> tuple[str, ...]:
    page.goto(f"{server.address}/model?new=1&model={model}&image_size={size}")
    page.get_by_role("button", name="Expand all").click()
    page.locator(".thaw-area").first.wait_for()
    page.wait_for_timeout(2000)  # for the rest of the screen
    layers = page.locator(".thaw-layer:not([aria-expanded])").evaluate_all("lines => lines.map((line) => line.dataset.path)")
    count = page.locator(".thaw-layer").count()
    taken: dict[str, list[float]] = {"painted": [], "confirmed": [], "everywhere": []}
    for toggle in range(toggles + 1):
        layer = layers[(7 + toggle * 61) % len(layers)]
        page.evaluate(WATCH, [layer, "Trainable parameters"])
        page.locator(f'.thaw-layer[data-path="{layer}"] [role=switch]').click()
        page.wait_for_function("() => window.toggled.everywhere !== undefined", polling=20, timeout=20_000)
        figures = page.evaluate("() => window.toggled")
        for name, values in taken.items() if toggle else ():  # the first warms up
            values.append(figures[name])
        page.wait_for_timeout(700)  # measuring the new cost and drawing it is another thing
    return model, str(count), *(spread(values, 0) for values in taken.values())
