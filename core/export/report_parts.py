"""What the report tells of a run's training: curves, gradients, freezing, audit, findings, settings. Data for the template, no torch."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from core.catalog import find_model
from core.config import FAULTS, ConfigError, RunConfig
from core.data.datasets import short_name
from core.export.report_charts import Series, lines
from core.export.report_layers import Heat, blocks_of, heatmap, lane
from core.export.subject import Subject
from core.records import audits
from core.records.changes import change_in_words
from core.records.events import AuditReport, ChangeRow, EpochRow, RunStatus
from core.records.findings import Diagnosis, Finding
from core.records.telling import digits, duration, reuse_in_words
from core.store import Run
from core.store.rows import StepColumns
from core.store.stream import COLUMNS, POINTS, level_for, measured

MOST_CHANGES = 200
"""Changes that are listed at most."""

LIBRARIES = ("torch", "torchvision", "numpy", "pillow")

STATUS = {
    RunStatus.QUEUED: "waits in the queue",
    RunStatus.PREPARING: "prepares its model and data",
    RunStatus.RUNNING: "still trains",
    RunStatus.PAUSED: "is paused",
    RunStatus.FINISHED: "finished",
    RunStatus.STOPPED: "was stopped",
    RunStatus.FAILED: "failed",
    RunStatus.LOST: "was lost: its process ended without a word",
    RunStatus.INTERRUPTED: "was interrupted by the machine",
}


class Row(NamedTuple):
    """A line of a table of names and values."""

    name: str
    value: str
    about: str = ""


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption."""

    title: str
    drawing: Markup
    caption: str


@dataclass(frozen=True)
class Audit:
    """The freeze audit: `blocks` are rows (block, tensors, values, verdicts), `faults` (what, why, names), `tensors` every tensor."""

    headline: str
    about: str
    blocks: tuple[tuple[str, int, int, str], ...]
    faults: tuple[tuple[str, str, str], ...]
    tensors: tuple[tuple[str, int, str, str, str], ...]


def title(run: Run) -> str:
    """What people call the run, or what it is about."""
    return run.labels.name or about_what(run.config)


def about_what(config: RunConfig) -> str:
    """'digits with ResNet-18'. A model that nothing is known of any more keeps the name that it was given."""
    name = short_name(config.dataset)
    model = config.model
    with suppress(ConfigError):
        model = find_model(config.model).label
    return f"{name} with {model}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 as '91.2 %', in which the number and its sign stay on one line."""
    return "not measured" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def figure(value: float | None) -> str:
    """A loss or the like, in four significant digits."""
    if value is None:
        return "not measured"
    return f"{value:.4g}" if math.isfinite(value) else "not a number" if math.isnan(value) else "infinite"


def facts(run: Run, last: EpochRow | None) -> tuple[Row, ...]:
    """What it came to, in a few figures."""
    plan, result = run.plan, run.result
    said = [Row("Status", STATUS[run.status])]
    total = f" of {plan.total_steps:,}" if plan and run.step != plan.total_steps else ""
    said.append(Row("Training", f"{run.step:,}{total} steps, {duration(run.active_seconds)}"))
    if result is not None and result.test_accuracy is not None:
        said.append(Row("Test accuracy", percent(result.test_accuracy), f"at the end of the run, loss {figure(_loss(result.test_loss))}"))
    if last is not None and last.validation_accuracy is not None:
        said.append(Row("Validation accuracy", percent(last.validation_accuracy), f"epoch {last.epoch:,}, loss {figure(last.validation_loss)}"))
    if last is not None:
        said.append(Row("Training accuracy", percent(last.train_accuracy), f"epoch {last.epoch:,}, loss {figure(last.train_loss)}"))
    if plan is not None:
        held = f"{plan.train_samples:,} to train, {plan.validation_samples:,} to validate, {plan.test_samples:,} to test"
        said.append(Row("Pictures", held, f"{len(plan.classes):,} classes"))
        values = sum(layer.count for layer in plan.layers)
        learn = sum(layer.count for layer in plan.layers if not layer.frozen)
        said.append(Row("Parameters", f"{learn:,} of {values:,} learned at the beginning", f"{len(plan.layers):,} tensors"))
        said.append(Row("Device", plan.device))
    return tuple(said)


def _loss(value: float | None) -> float:
    # Beside an accuracy that was measured, a loss that is missing was not a number, which JSON cannot hold.
    return math.nan if value is None else value


def curves(subject: Subject, changes: Sequence[ChangeRow]) -> tuple[Chart, ...]:
    """Loss, accuracy and learning rate; none where nothing was recorded."""
    run, store = subject.run, subject.store
    level = max(0, level_for(run.step) - 2)
    rows = store.steps_after(run.id, level, 0, limit=2 * POINTS)
    if not len(rows.step):
        return ()
    epochs = store.epochs_after(run.id)
    bad = rows.step[~rows.finite].tolist()
    marks = _marks(changes)
    made = [Chart("Training loss", _loss_chart(rows, run.step, marks, bad), _loss_caption(rows, level, bad, bool(marks)))]
    made += list(_epoch_charts(epochs))
    if np.ptp(rows.learning_rate):
        rate = lines([Series("learning rate", rows.step, rows.learning_rate)], "Learning rate over the steps", marks=marks, height=150)
        made.append(Chart("Learning rate", rate, "Of a layer whose multiplier is 1."))
    else:
        made.append(Chart("Learning rate", Markup(""), f"It was {digits(float(rows.learning_rate[0]), 6)} all the time, for a multiplier of 1."))
    return tuple(made)


def _loss_chart(rows: StepColumns, last: int, marks: Sequence[tuple[float, str]], bad: Sequence[int]) -> Markup:
    series = [Series("training loss", rows.step, rows.loss, rows.low, rows.high)]
    return lines(series, f"Training loss over {last:,} steps", marks=marks, not_finite=bad, span=(1, float(max(last, 2))))


def _loss_caption(rows: StepColumns, level: int, bad: Sequence[int], marked: bool) -> str:
    mean = f"Each point is the mean of {2**level:,} steps; the band reaches from the lowest to the highest."
    said = mean if level else "Each point is one step."
    if bad:
        about = " or shortly before." if level else "."
        said += f" A red cross on top: the loss was not a number there, for the first time at step {bad[0]:,}{about}"
    return said + (" Dotted lines, numbered: changes, listed below." if marked else "")


def _epoch_charts(epochs: Sequence[EpochRow]) -> Iterator[Chart]:
    if not epochs:
        return
    across = np.array([row.epoch for row in epochs], np.int64)
    parts = (("training", "train"), ("validation", "validation"))
    for what, named, share in (("accuracy", "Accuracy", True), ("loss", "Loss by epoch", False)):
        series = [Series(label, across, np.array([_or_nan(getattr(row, f"{part}_{what}")) for row in epochs], np.float64)) for label, part in parts]
        drawing = lines(series, f"{named} of training and validation over {len(epochs):,} epochs", "epoch", percent=share, height=190)
        held = any(row.validation_accuracy is not None for row in epochs)
        said = "Validation: after the epoch." if held else "There is no validation set."
        yield Chart(named, drawing, f"Training: measured while it learns, over the epoch. {said}")


def gradients(subject: Subject, changes: Sequence[ChangeRow]) -> tuple[Chart, ...]:
    """The heatmap of gradient norms and the freeze lane."""
    run, store = subject.run, subject.store
    layers = run.plan.layers if run.plan else ()
    level = level_for(run.step)
    rows = store.steps_after(run.id, level, 0, limit=4 * COLUMNS)
    if not len(rows.step) or not layers:
        return ()
    there = measured(rows.gradient_norms)
    made = []
    if there.any():
        heat = Heat(rows.step[there], rows.gradient_norms[there])
        mean = f" Each column is the mean of {2**level:,} steps." if level else ""
        said = f"One row a parameter tensor, the first layer on top.{mean} Darker is smaller."
        made.append(Chart("Gradient norms", heatmap(heat, layers, run.step), said))
    said = f"What learned and what was frozen, in {len(blocks_of(layers)):,} blocks; hatched: frozen."
    made.append(Chart("Freeze lane", lane(layers, changes, run.step), said))
    return tuple(made)


def change_rows(changes: Sequence[ChangeRow]) -> tuple[tuple[str, str, str, str], ...]:
    """Number, step, what was changed, and by whom or what."""
    return tuple(
        (f"{number}", f"{row.step:,}", change_in_words(row.text, most=12), "timeline" if row.source == "timeline" else "by hand")
        for number, row in enumerate(changes[:MOST_CHANGES], start=1)
    )


def _marks(changes: Sequence[ChangeRow]) -> list[tuple[float, str]]:
    return [(row.step, str(number)) for number, row in enumerate(changes[:MOST_CHANGES], start=1)]


def audit(report: AuditReport | None, run: Run) -> Audit | None:
    """The freeze audit, None before the first look."""
    if report is None:
        return None
    rows = report.rows
    faults = tuple(
        (f"{len(found):,} {'tensor' if len(found) == 1 else 'tensors'}: {fault.what}", fault.why, ", ".join(row.name for row in found[:12]) +
         (f" and {len(found) - 12:,} more" if len(found) > 12 else ""))
        for verdict, fault in audits.FAULTS.items() if (found := [row for row in rows if row.verdict == verdict])
    )  # fmt: skip
    tensors = tuple(
        (row.name, row.count, audits.in_short(row), "" if row.frozen_since is None else f"{row.frozen_since:,}", row.after or row.before)
        for row in rows
    )
    return Audit(audits.headline(report, run.step), audits.about(report), tuple(_by_block(report, run)), faults, tensors)


def _by_block(report: AuditReport, run: Run) -> Iterator[tuple[str, int, int, str]]:
    """Block, tensors, values, and how many of each verdict."""
    layers = run.plan.layers if run.plan else ()
    rows = {row.name: row for row in report.rows}
    for block in blocks_of(layers):
        names = [layer.name for layer in layers[block.first : block.first + block.count]]
        inside = [rows[name] for name in names if name in rows]
        verdicts = Counter(audits.in_short(row) for row in inside)
        yield block.name, len(inside), sum(row.count for row in inside), ", ".join(f"{count:,} {name}" for name, count in verdicts.items())


def findings(diagnosis: Diagnosis | None) -> tuple[str, tuple[Finding, ...]]:
    """A sentence on what the doctor looked at, and what it found: open ones first."""
    if diagnosis is None:
        return "The doctor has not looked at this run yet.", ()
    looked = f"{len(diagnosis.rules):,} rules were looked at, {'at the end' if diagnosis.final else 'so far'}, after step {diagnosis.step:,}."
    if not diagnosis.findings:
        return f"No findings. {looked}", ()
    gone = f", {len(diagnosis.resolved):,} of them gone since" if diagnosis.resolved else ""
    number = len(diagnosis.findings)
    return f"{number:,} {'finding' if number == 1 else 'findings'}{gone}. {looked}", (*diagnosis.open, *diagnosis.resolved)


def settings(config: RunConfig) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """The settings that are not the default ones, with what they mean, and the others."""
    values: dict[str, Any] = json.loads(config.to_json())
    usual: dict[str, Any] = json.loads(RunConfig().to_json())
    own: list[Row] = []
    others: list[Row] = []
    for name, value in values.items():
        about = type(config).model_fields[name].description or ""
        (own if value != usual.get(name) else others).append(Row(name, _shown(value), about))
    return tuple(own), tuple(others)


def surroundings(run: Run) -> tuple[Row, ...]:
    """What trained it, and what made this report. The versions are those of now: a run does not keep its own."""
    rows = [Row("Run", run.id), Row("Dataset", run.config.dataset), Row("Model", run.config.model), Row("Seed", str(run.config.seed))]
    if run.plan is not None:
        rows.append(Row("Trained on", run.plan.device))
    rows.append(Row("Report written on", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"))
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            rows.append(Row(name, importlib.metadata.version(name), "as installed where this report was written"))
    return tuple(rows)


def told(subject: Subject) -> tuple[str, ...]:
    """What has to be known of the run: why it failed, what was broken on purpose, how it went on, what was left out of its data."""
    run, store = subject.run, subject.store
    said = []
    if run.status.active:
        said.append(f"This run {STATUS[run.status]}: the report shows it after step {run.step:,}.")
    if not run.step:
        said.append("It has recorded no step, so there is nothing to draw.")
    if run.error:
        said.append(f"Why it ended: {(run.error.strip().splitlines() or [''])[-1]}")
    if run.config.fault != "none":
        said.append(f"Broken on purpose ({run.config.fault}): {FAULTS[run.config.fault]}")
    said += store.continued(run.id)
    said += run.plan.notes if run.plan else ()
    if (reuse := store.reuse(run.id)) is not None and reuse.state != "off":
        said.append(reuse_in_words(reuse))
    return tuple(said)


def _shown(value: Any) -> str:
    return value or "(none)" if isinstance(value, str) else json.dumps(value)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
