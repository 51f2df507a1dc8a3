"""The live chart's history, fed with the store's own messages while a run grows: every step once, in order, with its value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from core.config import RunConfig
from core.records.events import FROZEN, ChangeRow, EpochRow, Histogram, Inspection, Layer, RunPlan, RunStatus, StepRow
from core.records.summaries import Summarizer
from core.store import RunStore
from core.store.stream import FROZEN_CODE, Cursor, message
from tests.javascript import Modules
from tests.support import becomes, waiting

pytestmark = pytest.mark.browser

LAYERS = tuple(Layer(f"part{index // 2}.{index}.weight", (3, 3), 9, index == 0, block=f"part{index // 2}") for index in range(4))
JUMPS = (1, 1, 5, 93, 148, 7, 1, 1, 3, 250, 2, 1, 500, 10, 1, 1, 1, 2, 700, 321, 1, 1, 3)
"""Steps between two messages: to 255, 256, 257, 510, 513, 1,013, 1,024, 1,025, 2,048, 2,049 and a little on."""
BROKEN = 40  # the step whose loss is not a number
EPOCH = 100
EVERY = 10  # steps between two looks at weight changes
SOCKET = """
    window.sockets = [];
    window.WebSocket = class {
      constructor(address) { this.address = address; sockets.push(this); }
      close() { this.closed = true; }
    };"""


def loss_at(step: int) -> float:
    return math.nan if step == BROKEN else 3 / step + (step % 7) / 100


def rate_at(step: int) -> float:
    return 0.1 / step


def norms_at(step: int) -> np.ndarray:
    return np.array([FROZEN, *(0.01 * row * (1 + step % 5) for row in (1, 2, 3))], np.float32)


class Growing:
    """A run that is written as its worker does."""

    def __init__(self, store: RunStore) -> None:
        self.store, self.step, self.summarizer = store, 0, Summarizer()
        self.run_id = store.create_run(RunConfig(epochs=30))
        store.begin(self.run_id, RunPlan(LAYERS, EPOCH, 3_000, ("a", "b"), 1, 1, 1, "cpu"))

    def write(self, steps: int) -> None:
        numbers = range(self.step + 1, self.step + steps + 1)
        looks = [
            (np.array([FROZEN, 1e-4, 1e-3, 1e-2], np.float32), np.ones(4, np.float32)) if number % EVERY == 1 else (None, None) for number in numbers
        ]
        rows = [
            StepRow(number, 1, 0.0, loss_at(number), rate_at(number), 1.0, norms_at(number), *look)
            for number, look in zip(numbers, looks, strict=True)
        ]
        self.store.append(self.run_id, rows, self.summarizer.add(rows))
        for number in numbers:
            if number % EPOCH == 0:
                self.store.append_epoch(
                    self.run_id, EpochRow(number // EPOCH, number, 0.0, 1 / number, 0.5, None if number == EPOCH else 2 / number, 0.75)
                )
            if number % 400 == 0:
                self.store.append_change(self.run_id, change_at(number + 1))
                self.store.append_inspection(self.run_id, Inspection(0, number, LAYERS[1].name, Histogram(-1.0, 1.0, (number, 2)), None))
        self.step += steps

    def message(self, cursor: Cursor | None) -> dict[str, Any] | None:
        body, _ = message(self.store, self.run_id, cursor)
        return None if body is None else json.loads(json.dumps(body, allow_nan=False))


def change_at(step: int) -> ChangeRow:
    return ChangeRow(0, step, "live", "!part0", 0.1, np.array([False, True, False, False]), np.array([1, 1, 0.5, 10], np.float32))


def level_of(steps: int) -> int:
    """Columns of the heatmap double their width when there would be more than 256 of them."""
    level = 0
    while steps > 256 * 2**level:
        level += 1
    return level


def buckets(steps: int, width: int) -> list[range]:
    return [range(last - width + 1, last + 1) for last in range(width, steps + 1, width)]


FEED = """
    window.kept ??= { history: new run_history.RunHistory(), cursor: null };
    const { history } = kept;
    const told = JSON.parse(message), fresh = told ? [...history.take(told)] : [];
    if (told) kept.cursor = told.cursor;"""
TOLD = """
    const { steps, epochs, norms, ratios, notFinite, changes, inspections, travelled, layers, blocks, plans, everLearns } = history;
    const columns = ({ step, from, to, codes }) => ({ step, from, to, codes: codes.map((column) => [...column]) });
    return JSON.stringify({ fresh, cursor: kept.cursor,
      told: { steps, epochs, norms: columns(norms), ratios: columns(ratios), notFinite, changes, inspections, travelled: [...travelled], layers,
        blocks, plans, everLearns } });"""


def fed(modules: Modules, message: dict[str, Any] | None) -> tuple[dict[str, Any], Cursor]:
    """What the page's history holds after a message, and the cursor that it would connect with again. As text: quicker than value by value."""
    found = json.loads(modules.run("run_history", FEED + TOLD, message=json.dumps(message)))
    return found, Cursor(**found["cursor"])


def anew(modules: Modules, message: dict[str, Any] | None) -> Any:
    """What a history holds that begins with this message."""
    modules.page.evaluate("() => { window.aside = window.kept; delete window.kept; }")
    found, _ = fed(modules, message)
    modules.page.evaluate("() => { window.kept = window.aside; }")
    return found["told"]


def close(found: Sequence[float | None], wanted: Sequence[float | None]) -> bool:
    """Six digits are sent, and None where there is no number."""
    for value, right in zip(found, wanted, strict=True):
        if value is None or right is None:
            if value is not right:
                return False
        elif not math.isclose(value, right, rel_tol=1e-5):
            return False
    return True


def check_lines(steps: dict[str, list[Any]], written: int) -> None:
    """Each line has each bucket once, in order, with the mean, the lowest and the highest of its losses and a learning rate out of it."""
    found = buckets(written, 2 ** max(0, level_of(written) - 2))
    assert steps["step"] == [bucket[-1] for bucket in found]
    finite = [[loss_at(step) for step in bucket if step != BROKEN] for bucket in found]
    figures: dict[str, Callable[[list[float]], float]] = {"loss": lambda losses: sum(losses) / len(losses), "low": min, "high": max}
    for name, figure in figures.items():
        wanted = [figure(losses) if losses else None for losses in finite]
        assert close(steps[name], wanted), name
    rates = [(rate_at(bucket[-1]), rate_at(bucket[0])) for bucket in found]
    assert len(steps["learning_rate"]) == len(rates)
    assert all(low * (1 - 1e-5) <= rate <= high * (1 + 1e-5) for (low, high), rate in zip(rates, steps["learning_rate"], strict=True))


def check_columns(told: dict[str, Any], written: int) -> None:
    """The heatmap's columns cover every step once, and say the mean of its norms; those of updates stand where somebody looked."""
    width = 2 ** level_of(written)
    found = buckets(written, width)
    norms = told["norms"]
    assert norms["step"] == norms["to"] == [bucket[-1] for bucket in found]
    assert norms["from"] == [bucket[0] - 1 for bucket in found]
    wanted = [100 * np.log10(np.mean([norms_at(step)[1:] for step in bucket], axis=0)) for bucket in found]
    assert [codes[0] for codes in norms["codes"]] == [FROZEN_CODE] * len(found)
    assert np.abs(np.array([codes[1:] for codes in norms["codes"]]).reshape(-1, 3) - np.array(wanted).reshape(-1, 3)).max(initial=0) <= 1
    looked = list(range(1, written + 1, EVERY))
    at = looked if width == 1 else [bucket[-1] for bucket in found if any(step in bucket for step in looked)]
    assert told["ratios"]["step"] == at
    assert told["ratios"]["codes"] == [[FROZEN_CODE, -400, -300, -200]] * len(at)
    assert told["travelled"] == pytest.approx([0, *(len(at) * norm for norm in (1e-4, 1e-3, 1e-2))])


def check_events(told: dict[str, Any], written: int) -> None:
    ends = range(EPOCH, written + 1, EPOCH)
    epochs = told["epochs"]
    assert epochs["step"] == list(ends)
    assert epochs["epoch"] == [end // EPOCH for end in ends]
    assert close(epochs["train_loss"], [1 / end for end in ends])
    assert close(epochs["validation_loss"], [None if end == EPOCH else 2 / end for end in ends])
    at = range(400, written + 1, 400)
    assert [(change["id"], change["step"]) for change in told["changes"]] == [(number + 1, step + 1) for number, step in enumerate(at)]
    assert [(found["step"], found["weight"]["counts"][0]) for found in told["inspections"]] == [(step, step) for step in at]
    assert [plan["step"] for plan in told["plans"]] == [1, *(step + 1 for step in at)]
    assert told["everLearns"] == [bool(at), True, True, True]
    assert told["blocks"] == [{"name": "part0", "rows": [0, 1]}, {"name": "part1", "rows": [2, 3]}]


def test_a_growing_run_has_every_step_once_in_order_with_its_value(modules: Modules, store: RunStore) -> None:
    run, cursor = Growing(store), None
    modules.page.evaluate("() => { delete window.kept; }")
    seen = set()
    for jump in JUMPS:
        run.write(jump)
        found, cursor = fed(modules, run.message(cursor))
        told = found["told"]
        check_lines(told["steps"], run.step)
        check_columns(told, run.step)
        check_events(told, run.step)
        width = 2 ** max(0, level_of(run.step) - 2)
        assert told["notFinite"] == ([math.ceil(BROKEN / width) * width] if run.step >= BROKEN and width == 1 else told["notFinite"])
        assert len(told["notFinite"]) == len(set(told["notFinite"])) == (run.step >= BROKEN)
        assert told == anew(modules, run.message(None)), f"grown and read at once are not the same at step {run.step}"
        seen |= set(found["fresh"])
    assert run.step > 2_048
    assert seen == {"everything", "steps", "epochs", "changes", "norms", "updates", "inspections"}


@pytest.mark.parametrize("meanwhile", [0, 3, 300, 1_200])
def test_after_a_lost_connection_it_goes_on_from_its_cursor(modules: Modules, store: RunStore, meanwhile: int) -> None:
    run = Growing(store)
    modules.page.evaluate("() => { delete window.kept; }")
    run.write(200)
    before, cursor = fed(modules, run.message(None))
    if meanwhile:
        run.write(meanwhile)
    # What the browser gives back has numbers alone: the status is told anew.
    found, _ = fed(modules, run.message(Cursor(**{**asdict(cursor), "status": ""})))
    check_lines(found["told"]["steps"], run.step)
    check_columns(found["told"], run.step)
    check_events(found["told"], run.step)
    assert ("everything" in found["fresh"]) == (meanwhile >= 300)
    if not meanwhile:
        assert found["told"] == before["told"]


def test_each_step_lies_in_the_column_that_was_measured_for_it(modules: Modules) -> None:
    script = """
        const history = new run_history.RunHistory();
        const codes = (...values) => btoa(String.fromCharCode(...new Uint8Array(Int16Array.from(values).buffer)));
        const change = (step) => ({ step, source: "live", text: "", frozen: [0], multipliers: [1] });
        history.take({ reset: true, layers: [{ name: "a", frozen: false, count: 1, block: "a", multiplier: 1 }] });
        history.take({ heat: { step: [1, 5], values: codes(10, 20) }, cursor: { level: 0 } });
        history.take({ changes: [change(7)] });
        history.take({ heat: { step: [9], values: codes(30) }, cursor: { level: 0 } });
        const { norms } = history;
        return { places: Array.from({ length: 12 }, (_, step) => norms.at(step)), from: norms.from, to: norms.to, newest: norms.newest(0),
          has: [norms.has(20), norms.has(21)] };"""
    found = modules.run("run_history", script)
    # Up to the change at step 7 the look at step 5 goes on; from there on the one at step 9 speaks.
    assert found["places"] == [-1, 0, 1, 1, 1, 1, 1, 2, 2, 2, -1, -1]
    assert (found["from"], found["to"]) == ([0, 1, 6], [1, 6, 9])
    assert found["newest"] == 30
    assert found["has"] == [True, False]


def test_limits_of_colour_leave_out_the_outermost_and_every_special_code(modules: Modules) -> None:
    script = """
        const history = new run_history.RunHistory();
        const text = btoa(Array.from(new Uint8Array(Int16Array.from(values).buffer), (byte) => String.fromCharCode(byte)).join(""));
        history.layersAre(values.map((_, row) => ({ name: `l${row}`, frozen: false, block: "b" })));
        history.take({ heat: { step: [1], values: text }, cursor: { level: 0 } });
        return history.norms.limits();"""
    special = [-32768, -32767, -32766, -32765, 32767]
    assert modules.run("run_history", script, values=special) is None
    assert modules.run("run_history", script, values=[*special, -150]) == [-2, -1], "a single value gets half a decade on each side"
    many = [*range(-300, 100), -9000, 9000, *special]
    low, high = modules.run("run_history", script, values=many)
    assert (low, high) == pytest.approx((-2.96, 0.95), abs=0.03), "four values of 402 at each end are left out"


def test_plans_stretches_and_multipliers_follow_the_changes(modules: Modules) -> None:
    script = """
        const history = new run_history.RunHistory();
        const layer = (name, frozen, block, multiplier) => ({ name, frozen, count: 9, block, multiplier });
        history.take({ reset: true, layers: [layer("a.w", true, "a", 1), layer("a.b", true, "a", 1), layer("c.w", false, "c", 0.1)] });
        const change = (step, frozen, multipliers) => ({ step, source: "live", text: "", frozen, multipliers });
        history.take({ changes: [change(5, [1, 0, 1], [1, 1, 0.1]), change(5, [0, 1, 0], [1, 1, 0.1]), change(9, [0, 0, 1], [10, 2, 0.1])] });
        return { a: history.stretches(history.blocks[0]), c: history.stretches(history.blocks[1]), now: history.frozenNow, ever: history.everLearns,
          at: [1, 4, 5, 8, 9, 100].map((step) => history.plans.indexOf(history.planAt(step))),
          factors: [history.multipliers(history.plans[0]), history.multipliers(history.now), history.multipliers(history.now, [1])] };"""
    found = modules.run("run_history", script)
    assert found["a"] == [
        {"from": 1, "to": 4, "state": "frozen", "frozen": 2},
        {"from": 5, "to": 8, "state": "in part", "frozen": 1},
        {"from": 9, "to": None, "state": "learns", "frozen": 0},
    ]
    assert found["c"] == [{"from": 1, "to": 8, "state": "learns", "frozen": 0}, {"from": 9, "to": None, "state": "frozen", "frozen": 1}]
    assert (found["now"], found["ever"]) == (1, [True, True, True])
    assert found["at"] == [0, 0, 2, 2, 3, 3], "of two changes before one step the last one holds"
    assert found["factors"] == [[0.1], [10, 2], [2]]


def test_the_whole_chart_draws_each_step_once_and_asks_from_its_cursor_again(modules: Modules, store: RunStore) -> None:
    run, page = Growing(store), modules.page
    page.evaluate(f"() => {{ {SOCKET} }}")
    mount = """
        document.body.innerHTML = '<div><div class="thaw-live"></div></div>';
        window.unmount = live_chart.mount({ data: { run: "r 1", plotly: "assets/plotly.min.js" }, parentElement: document.body.firstChild,
          setTriggerValue() {} });"""
    modules.run("live_chart", mount)
    page.wait_for_function("() => window.Plotly")
    newest = "(step) => document.querySelector('.thaw-live').dataset.drawn === step"
    drawn = """() => { const data = document.querySelector('[data-panel=loss] .thaw-plot').data ?? [];
        return data.filter(({ name }) => /^training, (each|mean)/.test(name)).map(({ x, y }) => [[...x], [...y]])[0] ?? null; }"""
    cursor, wanted, losses = Cursor(), [0], [0.0]
    for jump in (1, 255, 1, 100, 670, 5):
        run.write(jump)
        body = run.message(cursor if cursor.step else None)
        assert body is not None
        page.evaluate("(body) => sockets.at(-1).onmessage({ data: JSON.stringify(body) })", body)
        cursor = Cursor(**body["cursor"])
        wanted = [bucket[-1] for bucket in buckets(run.step, 2 ** max(0, level_of(run.step) - 2))]
        waiting(page, partial(page.evaluate, newest, str(wanted[-1])), "the newest step, drawn")
        becomes(page, lambda: (page.evaluate(drawn) or [None])[0], wanted)
        losses = page.evaluate(drawn)[1]
        assert len(losses) == len(wanted)
        becomes(page, partial(page.evaluate, "() => document.querySelector('.thaw-live').dataset.points"), str(len(wanted)))
        expect(page.locator(".thaw-epochs tbody tr")).to_have_count(run.step // EPOCH)
    told = f"Step {wanted[-1]:,} of 3,000, epoch 1 of 30. Training loss {losses[-1]:.4g}. Validation accuracy 75.0 %."
    told += f" Loss not finite from step {BROKEN}."
    expect(page.locator(".thaw-summary")).to_have_text(told)
    page.evaluate("() => sockets.at(-1).onclose({ code: 1006 })")
    page.wait_for_function("() => sockets.length === 2")
    query = f"level={cursor.level}&after={cursor.step}&heat={cursor.heat}&epoch={cursor.epoch}&change={cursor.change}&inspection={cursor.inspection}"
    query += f"&forgetting={cursor.forgetting}"
    assert page.evaluate("() => sockets.at(-1).address") == f"ws://localhost/live?run=r%201&{query}"
    store.end(run.run_id, RunStatus.FINISHED)
    body = run.message(Cursor(**{**asdict(cursor), "status": ""}))
    page.evaluate("(body) => { sockets.at(-1).onmessage({ data: JSON.stringify(body) }); }", body)
    expect(page.locator(".thaw-link span")).to_have_text("Complete")
    becomes(page, lambda: page.evaluate(drawn)[0], wanted)
    page.evaluate("() => unmount()")
