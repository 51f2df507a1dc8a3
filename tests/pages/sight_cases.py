"""Where things stand on the page of a run, in pixels of the window: for the tests of what is in sight, and for `make bench ARGS=screens`."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from core.config import RunConfig
from core.doctor import RULES
from core.records.events import RunResult, RunStatus
from core.records.findings import Diagnosis, Finding, Remedy, Severity
from core.store import RunStore
from tests.pages.browser_watch_cases import WrittenRun

SIGHT = RunConfig(model="resnet18", image_size=32, freeze="head only", epochs=10, learning_rate=0.002)
RESULT = RunResult(10, 1000, 0.31, 0.93, 0.35, 0.91, 0.36, 0.902, 83.0, 380.0, None)

THREE: dict[str, Severity] = {"learning rate too high": "serious", "update ratio": "warning", "small batch": "note"}

PARTS = {
    "head": ".st-key-run_head", "findings": ".st-key-run_findings", "charts": ".thaw-live", "loss": "[data-panel=loss]",
    "accuracy": "[data-panel=accuracy]", "gradients": "[data-panel=heat]", "drawer": ".st-key-run_drawer", "results": ".st-key-run_results",
}  # fmt: skip

_BOXES = """parts => Object.fromEntries(Object.entries(parts).map(([name, path]) => {
  const box = document.querySelector(path)?.getBoundingClientRect();
  return [name, box && box.height ? { top: box.top, bottom: box.bottom, left: box.left, right: box.right } : null];
}))"""

_SAMPLE = """parts => {
  const seen = window.thawSeen = Object.fromEntries(Object.keys(parts).map((name) => [name, []]));
  const look = () => {
    for (const [name, path] of Object.entries(parts)) {
      const box = document.querySelector(path)?.getBoundingClientRect(), last = seen[name].at(-1);
      const top = box ? Math.round(box.top) : null;
      if (last !== top) seen[name].push(top);
    }
    requestAnimationFrame(look);
  };
  look();
}"""


def boxes(page: Page) -> dict[str, dict[str, float] | None]:
    """Each of `PARTS` to its edges in the window; None where it is not drawn."""
    found: dict[str, dict[str, float] | None] = page.evaluate(_BOXES, PARTS)
    return found


def box(page: Page, part: str) -> dict[str, float]:
    """The edges of a part that is drawn."""
    found = boxes(page)[part]
    assert found is not None, f"{part} is not drawn"
    return found


def watch_tops(page: Page, *parts: str) -> None:
    """From now on, look at every frame where these parts begin."""
    page.evaluate(_SAMPLE, {part: PARTS[part] for part in parts})


def tops_seen(page: Page) -> dict[str, list[int | None]]:
    """Where each watched part began, each change once; None: it was not there."""
    found: dict[str, list[int | None]] = page.evaluate("window.thawSeen")
    return found


def three_findings(run: WrittenRun) -> None:
    """What the doctor would say of a run that goes wrong in three ways."""
    remedy = Remedy("Lower it.", "learning_rate=0.001", {"learning_rate": 0.001})
    found = tuple(
        Finding(rule, severity, RULES[rule].title, "The cause.", "Never.", "loss", 5, 25, (), remedy, 25) for rule, severity in THREE.items()
    )
    run.store.set_findings(run.id, Diagnosis(run.step, False, tuple(RULES), found))


def no_findings(run: WrittenRun) -> None:
    """What the doctor says of a run that goes well."""
    run.store.set_findings(run.id, Diagnosis(run.step, False, tuple(RULES), ()))


def live(store: RunStore, **changes: Any) -> WrittenRun:
    """A run that goes on."""
    run = WrittenRun(store, SIGHT.replace(**changes))
    run.train(230)
    no_findings(run)
    return run


def finished(store: RunStore) -> WrittenRun:
    """A run that has ended with results."""
    run = live(store)
    run.finish(RunStatus.FINISHED, RESULT)
    return run


def with_findings(store: RunStore) -> WrittenRun:
    """A run that goes on, of which the doctor has three things to say."""
    run = live(store)
    three_findings(run)
    return run
