"""A branch of a run: what can be changed in it, the checkpoint from which it begins, and putting it together. No torch.

What the freeze plan, the learning rate and its multipliers become is written into the branch's timeline at its first step: so its settings say
all that it does, and the same settings begun anew end with the same weights. Only another optimizer or other data cannot be said that way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import catalog
from core.config import ConfigError, RunConfig
from core.config.limits import quoted
from core.config.plans import PRESETS, ROLES, Change, TimedChange, Timeline
from core.data.manifest import PICTURES, RECIPE
from core.machine.home import Home
from core.records.events import ChangeRow
from core.records.forks import Fork
from core.store import Run, RunStore
from core.store.checkpoint import listed
from core.store.continued import ResumeRequest
from core.store.resume_files import ResumePoint, resume_points
from core.worker.training_on import changed_lengths

STEERED = ("freeze", "learning_rate", "learning_rate_multipliers")
"""Fields that become a change of the branch's timeline."""

OPTIMIZER = ("optimizer", "momentum", "weight_decay", "optimizer_options")
"""Where one of these changes, the optimizer begins anew."""

DATA = ("dataset", "fit", "augmentation", "validation_share", "doubles", "batch_size")
"""Where one of these changes, the branch begins with a whole epoch of its own."""

CHANGEABLE = (*STEERED, "timeline", *OPTIMIZER, *DATA, "epochs")
"""All that may be another in a branch."""

_REASONS: Mapping[str, str] = {
    "model": "the weights of the checkpoint are those of the parent's model",
    "image_size": "the model was built for the parent's pictures, and what it knows is about their size",
    "head_hidden": "the weights of the checkpoint are those of the parent's head",
    "head_dropout": "the model was built with the parent's head",
    "starting_weights": "it begins with the weights of the checkpoint",
    "seed": "the batches go on in the parent's order",
    "schedule": "it goes on from where the parent's stands; a learning_rate of your own scales it from there on",
    "schedule_options": "it goes on from where the parent's stands; a learning_rate of your own scales it from there on",
    "device": "other devices compute other bits",
    "devices": "another number of devices sums in another order, and so computes other bits",
    "nodes": "another number of devices sums in another order, and so computes other bits",
    "fault": "what is broken on purpose is broken from the first step on",
}
_CYCLING = ("OneCycleLR", "CyclicLR")


@dataclass(frozen=True)
class Planned:
    """A branch that can be made: its settings, where it begins, the file that it begins from, and what a person should know."""

    config: RunConfig
    fork: Fork
    point: ResumePoint


def refused(field: str) -> str | None:
    """Why `field` cannot be another in a branch, as the end of a sentence; None: it can."""
    if field in CHANGEABLE:
        return None
    return _REASONS.get(field, "a branch does the same as its parent, but for what is changed on purpose")


def nearest(run: Run, folder: Path, step: int) -> ResumePoint:
    """The newest checkpoint of `run`, whose files are in `folder`, that was taken at `step` or before.

    Raises:
        ConfigError: on `step`, there is none, with those that there are.
    """
    points = resume_points(folder)
    if not points:
        raise ConfigError(
            "step", f"{run.id} has no checkpoint to branch off from: {_why_none(run)}; start a new run, which may begin with its weights"
        )
    steps = ", ".join(f"{point.step:,}" for point in reversed(points))
    if step < 0 or step > max(run.step, points[0].step):
        raise ConfigError("step", f"{step:,} is no step of {run.id}, which has made {run.step:,}; its checkpoints are at {steps}")
    before = [point for point in points if point.step <= step]
    if not before:
        raise ConfigError(
            "step", f"{step:,} comes before the first checkpoint of {run.id}; its checkpoints are at {steps}: choose one of them, or start a new run"
        )
    return before[0]


def standing(config: RunConfig, changes: Sequence[ChangeRow], step: int) -> RunConfig:
    """The settings of a run as they stand behind `step` steps: with what its timeline and people have changed up to there.

    What its timeline does before the next step is among them: the branch's own does it, too, before what a person changes.
    """
    plan, factors, rate = config.freeze, config.learning_rate_multipliers, config.learning_rate
    for row in changes:
        if row.step <= step or (row.step == step + 1 and row.source == "timeline"):
            change = Change.parse(row.text)
            plan, factors, rate = plan.then(change), factors.then(change), change.learning_rate or rate
    return config.replace(freeze=plan, learning_rate_multipliers=factors, learning_rate=rate)


def plan(home: Home, store: RunStore, run_id: str, step: int, values: Mapping[str, Any], whole: bool = True) -> Planned:
    """A branch of a run from `step` on with other `values` of its config; nothing is made yet.

    Args:
        whole: see that something is left to do, too; False: somebody has only begun to say what is to be another.

    Raises:
        ConfigError: on `step`, no checkpoint is there to begin from; on a field that cannot be another in a branch, or not this.
        KeyError: there is no such run.
    """
    for field in values:
        if field not in RunConfig.model_fields:
            raise ConfigError("set", f"{quoted(field)} is no field of a config; a branch can change {', '.join(CHANGEABLE)}")
        if (reason := refused(field)) is not None:
            raise ConfigError(field, f"it cannot be another in a branch: {reason}. A branch can change {', '.join(CHANGEABLE)}")
    run = store.run(run_id)
    point = nearest(run, home.run_folder(run.id), step)
    before = standing(run.config, store.changes_after(run.id), point.step)
    ends = [row.step for row in store.epochs_after(run.id) if row.step <= point.step]
    wanted = catalog.check(before.replace(**values))
    changed = tuple(field for field in CHANGEABLE if getattr(wanted, field) != getattr(before, field))
    fork = Fork(
        run.id, step, point.step, len(ends), tuple((field, _shown(before, field), _shown(wanted, field)) for field in changed),
        any(field in OPTIMIZER for field in changed), any(field in DATA for field in changed),
    )  # fmt: skip
    _refuse_timeline(run, wanted, fork, begun=len(ends) + (point.step not in ends))
    if whole:
        _refuse_lengths(run, wanted, fork)
    _refuse_optimizer(wanted, fork)
    _refuse_data(home, run, wanted, fork)
    kept = {field: getattr(run.config, field) for field in STEERED}
    config = wanted.replace(**kept, timeline=_timeline(run.config, before, wanted, fork))
    return Planned(catalog.check(config) if not fork.data_anew else config, fork, point)


def make(home: Home, store: RunStore, planned: Planned, process: tuple[int, float] | None = None, accept_other_bits: bool = False) -> str:
    """Put the branch together and have it wait in the queue, or be this `process`'s (see `RunStore.create_run`); returns its id.

    One that changes something need not have its parent's bits: where torch, the processor or the threads are others than then, that is said and
    marked; one that changes nothing is refused there unless `accept_other_bits`.

    The files that it begins from are second names of the parent's where the disk allows it, so they cost no room and stay when that is deleted.

    Raises:
        ConfigError: on `step`, the checkpoint is not there any more; on `home`, the disk does not take the files. Nothing is left then.
        KeyError: the parent is not there any more.
        StoreError: the store cannot be written. Nothing is left then.
    """
    run_id = store.create_fork(planned.config, planned.fork)
    folder, parent = home.run_folder(run_id), home.run_folder(planned.fork.parent)
    first = next((kept.path for kept in listed(parent) if kept.epoch == 0), None)
    files = [planned.point.path, *([first] if first else []), *([] if planned.fork.data_anew else [parent / PICTURES, parent / RECIPE])]
    try:
        for file in files:
            _beside(file, folder / file.relative_to(parent))
        store.ask_to_resume(run_id, ResumeRequest(accept_other_bits or bool(planned.fork.changed)), process)
    except FileNotFoundError as error:
        _undo(store, run_id, folder)
        raise ConfigError("step", f"{error.filename} is not there any more, without which nothing can branch off; choose another step") from None
    except OSError as error:
        _undo(store, run_id, folder)
        raise ConfigError("home", f"the branch's files cannot be written to {folder} ({error.strerror}); free some space, and try again") from None
    return run_id


def _undo(store: RunStore, run_id: str, folder: Path) -> None:
    store.delete_run(run_id)
    shutil.rmtree(folder, ignore_errors=True)


def _beside(file: Path, to: Path) -> None:
    """A second name for a file that is only ever replaced whole; a copy where the disk has no second names."""
    if file.name in (PICTURES, RECIPE) and not file.exists():
        return  # of a time before runs kept lists
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, to)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(file, to)


def _why_none(run: Run) -> str:
    if run.step == 0:
        return "it has made no step yet"
    return "the first comes at the end of its first epoch" if run.status.active else "they were freed, or it is of an older Thaw"


def _shown(config: RunConfig, field: str) -> str:
    value = getattr(config, field)
    return "as usual" if value is None else f"{value:g}" if isinstance(value, float) else str(value) or "none"


def _steering(before: RunConfig, wanted: RunConfig) -> Change | None:
    """The change of a timeline that makes of what stood before what is wanted; None where it is the same."""
    rules: list[str] = []
    if wanted.freeze != before.freeze:
        rules += wanted.freeze.rules if wanted.freeze.rules[0] in PRESETS else ("train everything", *wanted.freeze.rules)
    if wanted.learning_rate != before.learning_rate:
        rules.append(f"learning_rate={wanted.learning_rate!r}")
    if wanted.learning_rate_multipliers != before.learning_rate_multipliers:
        if before.learning_rate_multipliers.rules:  # rules are added behind others: those of before are to say nothing any more
            rules += [f"{role}=1" for role in ROLES]
        rules += wanted.learning_rate_multipliers.rules
    return Change(rules=tuple(rules)) if rules else None


def _timeline(parent: RunConfig, before: RunConfig, wanted: RunConfig, fork: Fork) -> Timeline:
    """That of the branch, with what changes at its first step, behind whatever else comes then."""
    changes = list(wanted.timeline.changes)
    if fork.data_anew:  # its steps are others, and those that are over are over
        changes = [timed for timed in changes if timed.unit == "epoch" or timed.at > fork.step]
    change = _steering(before, wanted)
    if change is not None:
        unit, at = ("epoch", fork.epochs + 1) if fork.data_anew else ("step", fork.step + 1)
        changes.append(TimedChange.model_validate({"unit": unit, "at": at, "change": change}))
    return Timeline(changes=tuple(changes))


def _refuse_timeline(run: Run, wanted: RunConfig, fork: Fork, begun: int) -> None:
    """What lies before the fork has happened, and stays as it was. `begun`: epochs of which it has made a step."""

    def past(timeline: Timeline) -> list[TimedChange]:
        return [timed for timed in timeline.changes if timed.at <= (fork.step if timed.unit == "step" else begun)]

    if past(wanted.timeline) != past(run.config.timeline):
        over = "; ".join(map(str, past(run.config.timeline))) or "nothing"
        raise ConfigError(
            "timeline", f"up to step {fork.step:,} it has happened already and stays as it was ({over}); change what comes later, or start a new run"
        )


def _refuse_lengths(run: Run, wanted: RunConfig, fork: Fork) -> None:
    """See that something is left to do, at the rates that the schedule has for it."""
    if run.plan is None:
        return
    if fork.epochs >= wanted.epochs:
        what = "" if "epochs" in {field for field, *_ in fork.changed} else ", or give more epochs"
        raise ConfigError(
            "epochs" if not what else "step",
            f"all {wanted.epochs:,} epochs are over behind step {fork.step:,}, so nothing would be left to do; branch off at an earlier step{what}",
        )
    changed = changed_lengths(run, wanted.epochs)
    if changed:
        raise ConfigError(
            "epochs", f"the schedule {run.config.schedule} follows the number of epochs ({'; '.join(changed)}); leave it at {run.config.epochs:,}"
        )


def _refuse_optimizer(wanted: RunConfig, fork: Fork) -> None:
    if fork.optimizer_anew and wanted.schedule in _CYCLING:
        field = next(field for field, *_ in fork.changed if field in OPTIMIZER)
        raise ConfigError(
            field, f"the schedule {wanted.schedule} moves the optimizer's momentum together with the rate, and goes on with the parent's; "
            "start a new run with the weights of this one"
        )  # fmt: skip


def _refuse_data(home: Home, run: Run, wanted: RunConfig, fork: Fork) -> None:
    """See that the parent's head can answer for the branch's pictures."""
    if run.plan is None or wanted.dataset == run.config.dataset:
        return
    classes = catalog.class_names(wanted.dataset, home.data)
    if len(classes) != len(run.plan.classes):
        raise ConfigError(
            "dataset",
            f"{quoted(wanted.dataset)} has {len(classes):,} classes, and the head of {run.id} has {len(run.plan.classes):,}; "
            "choose one with as many, or start a new run with the weights of this one",
        )
