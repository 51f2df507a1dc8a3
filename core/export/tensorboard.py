"""A run as TensorBoard event files, for TensorBoard and what reads its files (W&B, MLflow, tbparse). Imports torch and tensorboard.

- Nothing is written where nothing was measured or a tensor was frozen: no point, rather than 0. What was not a number is one.
- All scalars of a step are one event: a tenth of the time that an event each takes.
- Wall times are those at which the steps were taken, pauses left out: a run that was paused or continued seems to end that much earlier.
- Tags have one `/`, behind the name that TensorBoard groups by.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter
from torch.utils.tensorboard.summary import histogram_raw, hparams, text

from core.config.errors import Cancelled
from core.export.subject import Subject
from core.records.events import Histogram, Layer
from core.records.layers import blocks
from core.store import Run
from core.store.rows import StepRecord

MOST_STEPS = 20_000
"""Steps whose loss is written at most. TensorBoard draws a thousand points of a line and its reader keeps ten thousand, unless they are asked for

more; and its writer works out the checksum of every byte in Python, so that a million steps would take minutes."""

MOST_NORMS = 200_000
"""Norms that are written at most: of a long run those of every so many-th step."""

FEWEST_STEPS = 1_000
"""Steps whose norms are written however many tensors there are."""

LOST = 1_000
"""Steps of a thinned run that are written all the same because their loss is not a number, at most."""

Progress = Callable[[str, float | None], None]
Point = tuple[str, float]


def write(subject: Subject, target: Path, progress: Progress, cancelled: Callable[[], bool]) -> tuple[str, ...]:
    """One event file in the folder `target`, to be given to `tensorboard --logdir`; or in a zip, where its name ends in `.zip`.

    Returns:
        Sentences that the person has to know, such as that the norms of a long run are thinned.

    Raises:
        Cancelled: `cancelled` was.
        ConfigError: rows of the run are damaged.
        OSError: the disk is full or cannot be written.
    """
    run = subject.run
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".events-") as made:
        writer = FileWriter(made, max_queue=1000)
        try:
            told = list(_write_all(subject, writer, progress, cancelled))
        finally:
            writer.close()
        # Its own name has the name of this machine in it.
        (file,) = Path(made).iterdir()
        name = f"events.out.tfevents.{int(_began(run))}.{run.id}"
        if target.name.endswith(".zip"):
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(file, name)
        else:
            target.mkdir(exist_ok=True)
            shutil.move(file, target / name)
    return tuple(told)


def _write_all(subject: Subject, writer: FileWriter, progress: Progress, cancelled: Callable[[], bool]) -> Iterator[str]:
    run, store = subject.run, subject.store
    began = _began(run)
    last = store.last_step(run.id)
    layers = run.plan.layers if run.plan else ()
    every, norms_every = strides(last, len(layers))
    names, norms_due, looks_due, lost = _Names(layers), _Due(norms_every), _Due(norms_every), LOST
    for record in _records(subject, last, progress, cancelled):
        updates = dict(zip(record.updated.tolist(), zip(record.update_norms, record.weight_norms, strict=True), strict=True))
        for place, step in enumerate(record.step.tolist()):
            points: list[Point] = []
            finite = math.isfinite(record.loss[place])
            if (step - 1) % every == 0 or step == last or (not finite and lost > 0):
                lost -= not finite
                points += _lines(record, place)
            if norms_due.take(step) and (found := names.points("gradient_norm", record.gradient_norms[place])):
                norms_due.taken(step)
                points += found
            if step in updates and looks_due.take(step):
                looks_due.taken(step)
                points += names.points("update_norm", updates[step][0]) + names.points("weight_norm", updates[step][1])
            if points:
                writer.add_summary(_scalars(points), step, began + record.time[place])
    _write_epochs(subject, writer, began)
    yield from _write_histograms(subject, writer, began)
    _write_settings(subject, writer, began)
    yield from _told(subject, last, every, norms_every)


def strides(steps: int, tensors: int) -> tuple[int, int]:
    """Of a run with so many steps and tensors: every how many-th step is written, and with how many steps between them norms are."""
    return max(1, -(-steps // MOST_STEPS)), max(1, -(-steps // max(FEWEST_STEPS, MOST_NORMS // max(tensors, 1))))


class _Due:
    """Which of the steps at which something was measured are written: the first of each `every` steps, whatever steps those are."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._next = 0

    def take(self, step: int) -> bool:
        """Whether a figure of this step is due."""
        return step >= self._next

    def taken(self, step: int) -> None:
        """It was there."""
        self._next = (step - 1) // self._every * self._every + self._every + 1


def _lines(record: StepRecord, place: int) -> list[Point]:
    speed = float(record.samples_per_second[place])
    return [
        ("loss/step", float(record.loss[place])),
        ("learning_rate/learning_rate", float(record.learning_rate[place])),
        ("progress/epoch", float(record.epoch[place])),
        *([("speed/pictures_per_second", speed)] if math.isfinite(speed) else []),
    ]


class _Names:
    """The tags of norms, and the blocks that tensors are in."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.tensors = [layer.name for layer in layers]
        own = [layer.block for layer in layers]
        if not all(own) and layers:  # runs of the first Thaw know no blocks
            found = {name: path for path, members in blocks(self.tensors).items() for name in members}
            own = [found[name] for name in self.tensors]
        self.blocks = list(dict.fromkeys(own))
        self._block_of = np.array([self.blocks.index(block) for block in own], np.int64)

    def points(self, what: str, norms: NDArray[np.float32]) -> list[Point]:
        """A point for each tensor that has a figure, and one for each block: the norm of all its tensors that have one, taken together."""
        there = np.flatnonzero(~(norms < 0))  # codes are negative, and NaN is not
        values = norms[there].astype(np.float64)
        squares = np.bincount(self._block_of[there], values**2, len(self.blocks))
        found = np.bincount(self._block_of[there], minlength=len(self.blocks))
        by_block = [(f"{what}_by_block/{name}", math.sqrt(squares[place])) for place, name in enumerate(self.blocks) if found[place]]
        return by_block + [(f"{what}/{self.tensors[place]}", value) for place, value in zip(there.tolist(), values.tolist(), strict=True)]


def _scalars(points: Iterable[Point]) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in points])


def _records(subject: Subject, last: int, progress: Progress, cancelled: Callable[[], bool]) -> Iterator[StepRecord]:
    after = 0
    while after < last:
        if cancelled():
            raise Cancelled
        progress(f"step {after:,} of {last:,}", after / last)
        record = subject.store.record_after(subject.run.id, after)
        if not len(record):
            return
        after = int(record.step[-1])
        yield record


def _write_epochs(subject: Subject, writer: FileWriter, began: float) -> None:
    for row in subject.store.epochs_after(subject.run.id):
        points = [
            ("loss/training", row.train_loss), ("accuracy/training", row.train_accuracy),
            ("loss/validation", row.validation_loss), ("accuracy/validation", row.validation_accuracy),
        ]  # fmt: skip
        writer.add_summary(_scalars([(tag, value) for tag, value in points if value is not None]), row.step, began + row.time)
    result = subject.run.result
    if result is not None and result.test_accuracy is not None:
        loss = math.nan if result.test_loss is None else result.test_loss
        writer.add_summary(_scalars([("loss/test", loss), ("accuracy/test", result.test_accuracy)]), result.steps, began + result.seconds)


def _write_histograms(subject: Subject, writer: FileWriter, began: float) -> Iterator[str]:
    times: dict[int, float] = {}
    lost: list[str] = []
    for row in subject.store.inspections_after(subject.run.id):
        if row.step not in times:
            record = subject.store.record_after(subject.run.id, row.step - 1, limit=1)
            times[row.step] = began + (float(record.time[0]) if len(record) else 0.0)
        for what, values in (("weight", row.weight), ("gradient", row.gradient)):
            if values is None:
                continue
            if not sum(values.counts):
                lost.append(f"{what} of {row.name} at step {row.step:,}")
                continue
            writer.add_summary(_histogram(f"{what}_values/{row.name}", values), row.step, times[row.step])
            if values.not_finite:
                said = f"{values.not_finite:,} of {sum(values.counts) + values.not_finite:,} values were NaN or infinite, and are in no bin."
                writer.add_summary(text(f"not_finite/{what}_{row.name}", said), row.step, times[row.step])
    if lost:
        yield f"TensorBoard has no histogram of values that are all NaN or infinite, so none is there of: {', '.join(lost)}."


def _histogram(tag: str, values: Histogram) -> Summary:
    """Bins as they were recorded. Sums of values and squares are not known any more: those of the bins' middles stand for them."""
    counts = np.asarray(values.counts, np.float64)
    edges = np.linspace(values.low, values.high, len(counts) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    # The first bin of TensorBoard's reaches down to what its neighbour begins with: an empty one says where ours begins.
    return histogram_raw(
        tag, values.low, values.high, int(counts.sum()), float((counts * middles).sum()), float((counts * middles**2).sum()),
        edges.tolist(), [0.0, *counts.tolist()],
    )  # fmt: skip


def _write_settings(subject: Subject, writer: FileWriter, began: float) -> None:
    """Settings and what they came to for the HParams tab, and as text; changes while it went on as text."""
    run, store = subject.run, subject.store
    config: dict[str, Any] = json.loads(run.config.to_json())
    result = run.result
    figures = {
        f"result/{name}": getattr(result, name)
        for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy")
        if result is not None and getattr(result, name) is not None
    }
    for summary in hparams({name: _setting(value) for name, value in config.items()}, figures):
        writer.add_summary(summary, walltime=began)
    if result is not None and figures:
        writer.add_summary(_scalars(figures.items()), result.steps, began + result.seconds)
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in config.items())
    writer.add_summary(text("run/settings", f"| setting | value |\n| --- | --- |\n{rows}"), 0, began)
    for change in store.changes_after(run.id):
        writer.add_summary(text("run/changes", f"From step {change.step:,} on ({change.source}): {_cell(change.text)}"), change.step, began)


def _setting(value: Any) -> float | int | str:
    """A setting as the HParams tab takes it: torch would make a number of True, and leave None out."""
    if isinstance(value, bool | list | dict) or value is None:
        return json.dumps(value)
    return value if isinstance(value, int | float | str) else str(value)


def _cell(value: Any) -> str:
    """Text that Markdown's tables show as it is."""
    shown = value if isinstance(value, str) else json.dumps(value)
    return "`" + shown.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`" if shown else ""


def _began(run: Run) -> float:
    """When the run would have begun if it had trained ever since: Unix seconds. `started` is when it last went on."""
    return min(run.started or run.created, max(run.created, (run.ended or time.time()) - run.active_seconds))


def _told(subject: Subject, last: int, every: int, norms_every: int) -> Iterator[str]:
    run = subject.run
    if not last:
        yield "The run has recorded no step, so there are no curves."
    elif run.status.active:
        yield f"The run still goes on: its curves end with step {last:,}."
    if every > 1:
        yield f"Of {last:,} steps, one in {every:,} is there; the CSV and Parquet exports have all."
    if norms_every > 1:
        yield f"Norms are those of one step in {norms_every:,}; the CSV and Parquet exports have all."
    if run.started and run.ended and run.ended - run.started > run.active_seconds + max(60.0, 0.1 * run.active_seconds):
        yield "Wall times leave pauses out, so they end before the run did."
