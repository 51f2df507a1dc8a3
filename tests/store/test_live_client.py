"""A page that stays open while its run grows: whatever comes at whatever moment, it has every step once, at every length."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.config import RunConfig
from core.records.events import FROZEN, ChangeRow, EpochRow, Histogram, Inspection, Layer, RunPlan, StepRow
from core.records.summaries import Summarizer
from core.store import RunStore
from core.store.stream import INSPECTIONS, Cursor, message

LAYERS = tuple(Layer(f"layer{index}.weight", (3, 3), 9, index == 0) for index in range(3))


class Writer:
    """Appends steps as a worker does; the loss of a step is its number, and every fifth step is looked at closely."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.run_id = store.create_run(RunConfig())
        self.summarizer = Summarizer()
        self.step = 0
        store.begin(self.run_id, RunPlan(LAYERS, 10, 10_000, ("a", "b"), 1, 1, 1, "cpu"))

    def write(self, steps: int) -> None:
        norms, moves = np.array([FROZEN, 0.1, 10.0], np.float32), np.array([FROZEN, 0.0001, 0.01], np.float32)
        numbers = range(self.step + 1, self.step + steps + 1)
        looks = [(moves, norms) if number % 5 == 0 else (None, None) for number in numbers]
        losses = [float("nan") if number % 97 == 0 else float(number) for number in numbers]
        rows = [StepRow(number, 1, 0.0, loss, 0.1, 1.0, norms, *look) for number, loss, look in zip(numbers, losses, looks, strict=True)]
        self.store.append(self.run_id, rows, self.summarizer.add(rows))
        self.step += steps
        if self.step % 7 == 0:
            self.store.append_epoch(self.run_id, EpochRow(self.step // 7, self.step, 1.0, 0.5, 0.9, 0.4, 0.8))
        if self.step % 50 == 0:
            self.store.append_change(self.run_id, ChangeRow(0, self.step + 1, "live", "", 0.1, np.zeros(3, np.bool_), np.ones(3, np.float32)))
            self.store.append_inspection(self.run_id, Inspection(0, self.step, "layer1.weight", Histogram(0.0, 1.0, (1,)), None))


class Client:
    """What a browser does with the messages: `RunHistory.take` of pages/_parts/components/live_chart/run_history.js, in its order."""

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        self.resets: list[int] = []
        self.forget()

    def forget(self) -> None:
        self.steps: dict[str, list[Any]] = {name: [] for name in ("step", "loss", "low", "high", "learning_rate")}
        self.epochs: list[int] = []
        self.heat: list[int] = []
        self.updates: list[int] = []
        self.not_finite: list[int] = []
        self.changes: list[int] = []
        self.inspections: list[int] = []
        self.travelled = np.zeros(0)
        self.layers: list[str] = []

    def ask(self, store: RunStore, run_id: str) -> bool:
        """Give the cursor, take what comes; whether anything came."""
        body, after = message(store, run_id, self.cursor)
        assert body is None or Cursor(**body["cursor"]) == after, "the browser keeps the cursor that is in the message"
        if body is None:
            return False
        self.take(body)
        return True

    def take(self, body: dict[str, Any]) -> None:
        self.cursor = Cursor(**body["cursor"])
        if body.get("reset"):
            self.resets.append(body["run"]["step"])
            self.forget()
        if "layers" in body:
            self.layers = [layer["name"] for layer in body["layers"]]
            self.travelled = np.zeros(len(self.layers))
        for name, values in body.get("steps", {}).items():
            self.steps[name] += values
        self.not_finite += body.get("not_finite", [])
        self.epochs += body.get("epochs", {}).get("epoch", [])
        self.changes += [change["step"] for change in body.get("changes", [])]
        if "heat" in body:
            assert len(decoded(body["heat"]["values"])) == len(self.layers) * len(body["heat"]["step"])
            self.heat += body["heat"]["step"]
        if "updates" in body:
            codes = decoded(body["updates"]["update"]).reshape(-1, len(self.layers))
            self.travelled += np.where(codes > -32765, 10 ** (codes / 100), 0).sum(0)
            self.updates += body["updates"]["step"]
        self.inspections += [inspection["step"] for inspection in body.get("inspections", [])]


def decoded(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text), "<i2").astype(np.float64)


def spans(ends: list[int], width: int) -> None:
    """Columns of `width` steps each, from the first step on, none twice and none left out."""
    assert ends == list(range(width, width * len(ends) + 1, width))


def check(client: Client, writer: Writer) -> None:
    """The client has the whole run as it is now, as far as whole columns go."""
    assert client.cursor is not None
    steps, level = writer.step, client.cursor.level
    assert 2**level * 128 < max(steps, 129) <= 2**level * 256 or (level == 0 and steps <= 256), "from half full to full"
    line, column = 2 ** max(0, level - 2), 2**level
    assert client.layers == [layer.name for layer in LAYERS]
    spans(client.steps["step"], line)
    assert len(client.steps["step"]) == steps // line
    spans(client.heat, column)
    assert len(client.heat) == steps // column
    assert client.updates == sorted(set(client.updates))
    whole = column * (steps // column)
    if level == 0:
        assert client.updates == list(range(5, steps + 1, 5))
    # Each look moved the two layers that learn by 0.0001 and 0.01: summed up over what came, whole columns are means of their looks.
    moved = len(client.updates)
    assert client.travelled == pytest.approx([0.0, 0.0001 * moved, 0.01 * moved], rel=0.02)
    assert client.updates[-1:] <= [whole]
    for at, step in enumerate(client.steps["step"]):
        bucket = [number for number in range(step - line + 1, step + 1) if number % 97]
        assert client.steps["loss"][at] == (pytest.approx(sum(bucket) / len(bucket), rel=1e-5) if bucket else None), step
        assert (client.steps["low"][at], client.steps["high"][at]) == ((min(bucket), max(bucket)) if bucket else (None, None))
    shown = line * (steps // line)
    assert client.not_finite == sorted({-(-number // line) * line for number in range(97, shown + 1, 97)})
    assert client.epochs == sorted(set(client.epochs))
    assert client.changes == sorted(set(client.changes))


@pytest.mark.parametrize("grows", ["by one", "in jumps", "at once"])
def test_an_open_page_has_every_step_once_at_every_length(store: RunStore, grows: str) -> None:
    writer, client = Writer(store), Client()
    client.ask(store, writer.run_id)
    sizes = {"by one": [1] * 600, "in jumps": [1, 3, 30, 200, 21, 1, 1, 40, 214, 1, 1, 7, 500, 4, 1, 2000, 13], "at once": [600]}[grows]
    for size in sizes:
        writer.write(size)
        assert client.ask(store, writer.run_id)
        assert not client.ask(store, writer.run_id), "all that is new came at once"
        if grows != "by one" or writer.step % 16 == 0 or writer.step in (1, 2, 255, 256, 257, 258, 511, 512, 513, 514):
            check(client, writer)
    check(client, writer)
    if grows == "by one":
        assert client.resets == [0, 1, 257, 513], "it starts over with the first step, and wherever the columns would be more than 256"
    late = Client()
    late.ask(store, writer.run_id)
    for name in ("steps", "heat", "updates", "not_finite", "epochs", "changes", "layers"):
        assert getattr(client, name) == getattr(late, name), f"{name}: as if the page had been opened now"


def test_a_page_that_slept_or_came_back_goes_on_where_it_was(store: RunStore) -> None:
    writer, client = Writer(store), Client()
    for size in (100, 100, 57, 300, 1, 1000):  # asks once, then sleeps
        writer.write(size)
        client.ask(store, writer.run_id)
        assert client.cursor is not None
        client.cursor = Cursor(**vars(client.cursor))  # the connection broke, and the browser gives back what it has
    check(client, writer)


def test_of_many_histograms_the_newest_come(store: RunStore) -> None:
    writer, client = Writer(store), Client()
    writer.write(1)
    asked = range(1, INSPECTIONS + 6)
    for step in asked:
        store.append_inspection(writer.run_id, Inspection(0, step, "layer1.weight", Histogram(0.0, 1.0, (1,)), None))
    client.ask(store, writer.run_id)
    assert client.inspections == list(asked)[-INSPECTIONS:]
    assert not client.ask(store, writer.run_id), "and the older ones never"
