"""Messages for the live chart: whole history once, then only what is new, whatever the length of the run."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from core.config import RunConfig
from core.records.events import FROZEN, NO_GRADIENT, NOT_MEASURED, ChangeRow, EpochRow, Histogram, Inspection, Layer, RunPlan, RunStatus, StepRow
from core.records.forks import Fork
from core.records.profile import StepTimes
from core.records.summaries import Summarizer
from core.store import RunStore
from core.store.stream import (  # fmt: skip
    COLUMNS,
    FROZEN_CODE,
    NO_GRADIENT_CODE,
    NOT_FINITE_CODE,
    NOT_MEASURED_CODE,
    POINTS,
    ZERO_CODE,
    Cursor,
    encode_norms,
    level_for,
    message,
)

LAYERS = tuple(Layer(f"layer{index}.weight", (3, 3), 9, index < 2) for index in range(4))


class Writer:
    """Appends steps as a worker does."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.run_id = store.create_run(RunConfig())
        self.summarizer = Summarizer()
        self.step = 0
        store.begin(self.run_id, RunPlan(LAYERS, 10, 10_000, ("a", "b"), 1, 1, 1, "cpu"))

    def write(self, steps: int, loss: float = 0.5, every: int = 10) -> None:
        norms = np.array([FROZEN, FROZEN, 0.1, 10.0], np.float32)
        numbers = range(self.step + 1, self.step + steps + 1)
        sampled = [(norms / 1000, norms) if (number - 1) % every == 0 else (None, None) for number in numbers]
        rows = [StepRow(number, 1, 0.0, loss, 0.1, 1.0, norms, *sample) for number, sample in zip(numbers, sampled, strict=True)]
        self.store.append(self.run_id, rows, self.summarizer.add(rows))
        self.step += steps


@pytest.fixture
def writer(store: RunStore) -> Writer:
    return Writer(store)


def test_first_message_has_the_whole_history_and_the_layers(store: RunStore, writer: Writer) -> None:
    writer.write(100)
    body, cursor = message(store, writer.run_id, None)
    assert body is not None
    assert body["reset"]
    assert [layer["frozen"] for layer in body["layers"]] == [True, True, False, False]
    assert body["steps"]["step"] == list(range(1, 101))
    assert cursor == Cursor(0, 100, 100, status="running")
    json.dumps(body, allow_nan=False)


def test_nothing_new_is_no_message(store: RunStore, writer: Writer) -> None:
    writer.write(10)
    _, cursor = message(store, writer.run_id, None)
    assert message(store, writer.run_id, cursor) == (None, cursor)


def test_end_of_a_run_is_told_though_there_is_no_new_step(store: RunStore, writer: Writer) -> None:
    writer.write(10)
    _, cursor = message(store, writer.run_id, None)
    store.end(writer.run_id, RunStatus.FINISHED)
    body, cursor = message(store, writer.run_id, cursor)
    assert body is not None
    assert body["run"]["status"] == "finished"
    assert "steps" not in body
    assert message(store, writer.run_id, cursor) == (None, cursor)


def test_later_messages_have_only_what_is_new(store: RunStore, writer: Writer) -> None:
    writer.write(10)
    _, cursor = message(store, writer.run_id, None)
    writer.write(3)
    store.append_epoch(writer.run_id, EpochRow(1, 13, 1.0, 0.5, 0.9, float("nan"), None))
    body, cursor = message(store, writer.run_id, cursor)
    assert body is not None
    assert "reset" not in body
    assert body["steps"]["step"] == [11, 12, 13]
    assert body["epochs"]["validation_loss"] == [None]
    assert cursor.epoch == 1


def test_client_that_came_before_the_first_step_hears_of_the_layers(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    body, cursor = message(store, run_id, None)
    assert body is not None
    assert body["layers"] == []
    assert message(store, run_id, cursor)[0] is None
    store.begin(run_id, RunPlan(LAYERS, 10, 100, ("a", "b"), 1, 1, 1, "cpu"))
    store.append(run_id, [StepRow(1, 1, 0.0, 0.5, 0.1, 1.0, np.zeros(4, np.float32))])
    body, _ = message(store, run_id, cursor)
    assert body is not None
    assert body["reset"]
    assert len(body["layers"]) == 4


@pytest.mark.parametrize("steps", [1, 255, 256, 257, 1024, 1025, 5000, 40_000])
def test_history_of_any_length_fits_the_screen(store: RunStore, writer: Writer, steps: int) -> None:
    writer.write(steps)
    body, cursor = message(store, writer.run_id, None)
    assert body is not None
    assert min(steps, POINTS // 2) <= len(body["steps"]["step"]) <= POINTS
    assert min(steps, COLUMNS // 2) <= len(body["heat"]["step"]) <= COLUMNS
    # What is not yet shown is less than one bucket.
    assert steps - cursor.step < 2 ** max(0, level_for(steps) - 2)


def test_chart_starts_over_when_the_level_grows(store: RunStore, writer: Writer) -> None:
    writer.write(COLUMNS)
    _, cursor = message(store, writer.run_id, None)
    writer.write(1)
    body, cursor = message(store, writer.run_id, cursor)
    assert body is not None
    assert body["reset"]
    assert cursor.level == 1
    assert len(body["steps"]["step"]) == COLUMNS + 1


def test_a_tick_is_no_larger_after_a_long_history(store: RunStore) -> None:
    sizes = []
    for history in (1_100, 100_000):
        writer = Writer(store)
        writer.write(history)
        _, cursor = message(store, writer.run_id, None)
        ticks = []
        for _ in range(20):
            writer.write(10)
            body, cursor = message(store, writer.run_id, cursor)
            ticks.append(len(json.dumps(body)) if body else 0)
        sizes.append(max(ticks))
    assert sizes[1] <= sizes[0]


def test_reconnected_client_that_is_ahead_of_the_store_starts_over(store: RunStore, writer: Writer) -> None:
    writer.write(10)
    body, _ = message(store, writer.run_id, Cursor(0, 99, 99, 0))
    assert body is not None
    assert body["reset"]


def test_loss_that_is_not_finite_is_marked(store: RunStore, writer: Writer) -> None:
    writer.write(2)
    writer.write(1, float("nan"))
    writer.write(1, float("inf"))
    body, _ = message(store, writer.run_id, None)
    assert body is not None
    assert body["not_finite"] == [3, 4]
    assert body["steps"]["loss"] == [0.5, 0.5, None, None]
    json.dumps(body, allow_nan=False)


def test_norms_are_hundredths_of_a_decade_with_codes() -> None:
    norms = np.array([[1.0, 0.01, FROZEN, 0.0, NO_GRADIENT, NOT_MEASURED, np.nan, np.inf]], np.float32)
    codes = [0, -200, FROZEN_CODE, ZERO_CODE, NO_GRADIENT_CODE, NOT_MEASURED_CODE, NOT_FINITE_CODE, NOT_FINITE_CODE]
    assert encode_norms(norms).tolist() == [codes]


def test_heat_values_decode_to_columns_of_layers(store: RunStore, writer: Writer) -> None:
    writer.write(3)
    body, _ = message(store, writer.run_id, None)
    assert body is not None
    values = np.frombuffer(base64.b64decode(body["heat"]["values"]), "<i2").reshape(3, 4)
    assert values.tolist() == [[FROZEN_CODE, FROZEN_CODE, -100, 100]] * 3


def test_weight_changes_come_with_the_steps_at_which_they_were_measured(store: RunStore, writer: Writer) -> None:
    writer.write(25)
    body, cursor = message(store, writer.run_id, None)
    assert body is not None
    assert body["updates"]["step"] == [1, 11, 21]
    for name, norms in (("update", [1e-4, 1e-2]), ("weight", [1e-1, 1e1])):
        codes = np.frombuffer(base64.b64decode(body["updates"][name]), "<i2").reshape(3, 4)
        assert (codes[:, 2:] == np.round(100 * np.log10(norms))).all()
    writer.write(5)
    body, cursor = message(store, writer.run_id, cursor)
    assert body is not None
    assert "updates" not in body
    writer.write(1)
    body, _ = message(store, writer.run_id, cursor)
    assert body is not None
    assert body["updates"]["step"] == [31]


def test_weight_changes_of_a_long_run_are_there_at_every_level(store: RunStore, writer: Writer) -> None:
    writer.write(5000)
    body, _ = message(store, writer.run_id, None)
    assert body is not None
    # 5,000 steps: a bucket stands for 32 of them, so each has three looks or four.
    assert body["updates"]["step"] == body["heat"]["step"]


def test_changes_and_histograms_are_sent_once(store: RunStore, writer: Writer) -> None:
    writer.write(3)
    _, cursor = message(store, writer.run_id, None)
    factors = np.array([1, 1, 0.5, 10], np.float32)
    store.append_change(writer.run_id, ChangeRow(0, 4, "live", "!layer0", 0.01, np.array([False, True, False, False]), factors))
    store.append_inspection(writer.run_id, Inspection(0, 3, "layer2.weight", Histogram(-1.0, 1.0, (1, 2)), None))
    body, cursor = message(store, writer.run_id, cursor)
    assert body is not None
    (change,) = body["changes"]
    assert (change["step"], change["source"], change["frozen"], change["multipliers"]) == (4, "live", [0, 1, 0, 0], [1, 1, 0.5, 10])
    (inspection,) = body["inspections"]
    assert inspection["weight"] == {"low": -1.0, "high": 1.0, "counts": (1, 2), "not_finite": 0}
    assert inspection["gradient"] is None
    assert message(store, writer.run_id, cursor)[0] is None


def test_column_in_which_nothing_was_measured_is_left_out(store: RunStore, writer: Writer) -> None:
    writer.write(1)
    nothing, norms = np.array([FROZEN, FROZEN, NOT_MEASURED, NOT_MEASURED], np.float32), np.array([FROZEN, FROZEN, 0.1, NO_GRADIENT], np.float32)
    rows = [StepRow(step, 1, 0.0, 0.5, 0.1, 1.0, norms if step % 4 == 1 else nothing) for step in range(2, 15)]
    store.append(writer.run_id, rows, writer.summarizer.add(rows))
    body, cursor = message(store, writer.run_id, None)
    assert body is not None
    assert body["steps"]["step"] == list(range(1, 15)), "losses are there at every step"
    assert body["heat"]["step"] == [1, 5, 9, 13]
    assert cursor.heat == 14
    later = [StepRow(15, 1, 0.0, 0.5, 0.1, 1.0, nothing)]
    store.append(writer.run_id, later, writer.summarizer.add(later))
    body, _ = message(store, writer.run_id, cursor)
    assert body is not None
    assert "heat" not in body


def test_thinned_norms_of_a_long_run_have_a_column_wherever_one_was_measured(store: RunStore, writer: Writer) -> None:
    nothing, norms = np.array([FROZEN, FROZEN, NOT_MEASURED, NOT_MEASURED], np.float32), np.array([FROZEN, FROZEN, 0.1, 10.0], np.float32)
    rows = [StepRow(step, 1, 0.0, 0.5, 0.1, 1.0, norms if step % 16 == 1 else nothing) for step in range(1, 2001)]
    store.append(writer.run_id, rows, writer.summarizer.add(rows))
    body, _ = message(store, writer.run_id, None)
    assert body is not None
    # 2,000 steps: a column stands for 8 of them, and every other one has none that was measured.
    assert body["heat"]["step"] == list(range(8, 2001, 16))
    values = np.frombuffer(base64.b64decode(body["heat"]["values"]), "<i2").reshape(-1, 4)
    assert set(values[:, 2].tolist()) == {-100}


def test_message_says_how_often_is_measured(store: RunStore, writer: Writer) -> None:
    times = StepTimes(10, {"forward": 0.9, "watching": 0.1}, 5, {"forward": 0.49, "watching": 0.005, "recording": 0.005}, False, 4, 160, 0.02)
    rows = [StepRow(1, 1, 0.0, 0.5, 0.1, 1.0, np.zeros(4, np.float32))]
    store.append(writer.run_id, rows, step_seconds=1.0, watch_seconds=0.1, times=times)
    body, _ = message(store, writer.run_id, None)
    assert body is not None
    summary = body["run"]
    assert (summary["watching"], summary["watching_now"]) == (0.1, 0.02)
    assert (summary["norms_every"], summary["watch_every"], summary["watch_every_asked"], summary["watch_budget"]) == (4, 160, 10, 0.02)


def test_a_branch_has_its_parents_past_and_hears_how_that_went_on(store: RunStore, writer: Writer) -> None:
    writer.write(300)
    store.append_epoch(writer.run_id, EpochRow(1, 100, 0.0, 1.0, 0.5, 1.0, 0.5))
    store.append_epoch(writer.run_id, EpochRow(2, 200, 0.0, 1.0, 0.5, 0.9, 0.6))
    run_id = store.create_fork(RunConfig(), Fork(writer.run_id, 150, 120, 1))
    body, cursor = message(store, run_id, None)
    assert body is not None
    assert body["run"]["fork"] == {"parent": writer.run_id, "step": 120}
    assert body["steps"]["step"] == list(range(1, 121)), "the shared past is its own"
    assert body["epochs"]["epoch"] == [1]
    assert body["parent"]["step"][0] > 120
    assert body["parent"]["epochs"] == {"step": [200.0], "validation_loss": [0.9], "validation_accuracy": [0.6]}
    again, _ = message(store, run_id, cursor)
    assert again is None, "it is sent once"
    store.delete_run(writer.run_id)
    body, _ = message(store, run_id, None)
    assert body is not None
    assert body["parent"] is None
    assert body["steps"]["step"][-1] == 120
