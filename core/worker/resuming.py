"""A run goes on: its newest checkpoint is read, put into a trainer that was built anew, and compared with what was written, before the first step."""

from __future__ import annotations

import collections
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.config import ConfigError
from core.data.manifest import Picture, read_pictures
from core.doctor import signs
from core.doctor.doctor import Case
from core.machine.bits import digest
from core.records import events, findings, profile, summaries
from core.records.forks import Fork
from core.store.checkpoint import listed
from core.store.continued import Cut, ResumeRequest
from core.store.resume_files import FORMAT, ResumePoint, resume_points
from core.training import audit
from core.training.state import group_names, put_back
from core.training.trainer import EpochReport, Score, Trainer
from core.worker.assembly import Assembly
from core.worker.training_on import refuse_after_early_stopping
from core.worker.where import here, other_bits

_RECORDS: tuple[Any, ...] = (
    EpochReport, Score, Case, signs.Before, signs.Stretch, audit.Record, summaries.Buckets, events.Signal, events.EpochRow, events.ChangeRow,
    events.AuditReport, events.AuditRow, events.Verdict, findings.Finding, findings.Remedy, findings.Birth, findings.Overlap,
    profile.StepTimes, collections.deque,
)  # fmt: skip
_ARRAYS: tuple[Any, ...] = (
    bytes, np.ndarray, np.dtype, np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0],
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i8", "i4", "u1", "?")},
)  # fmt: skip
"""What a checkpoint may hold besides plain values and tensors: records of ours, and arrays. torch's reader refuses whatever else is in a file."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that was read, and in words which newer ones could not be."""

    point: ResumePoint
    content: Mapping[str, Any]
    passed_over: tuple[str, ...]

    @property
    def run(self) -> Mapping[str, Any]:
        """What the worker, its recorder, doctor and audit knew."""
        found: Mapping[str, Any] = self.content["run"]
        return found

    @property
    def cut(self) -> Cut:
        """Where the run goes on."""
        return Cut(self.content["small"]["step"], self.run["epochs"], self.run["changes"])


def newest(folder: Path) -> Loaded | None:
    """The newest checkpoint in a run's folder that can be read; None where there is none: the run begins anew then.

    Raises:
        ConfigError: on `run`, there are some, and none can be read.
    """
    passed_over: list[str] = []
    for point in resume_points(folder):
        try:
            return Loaded(point, read(point.path), tuple(passed_over))
        except ConfigError as error:
            passed_over.append(error.message)
    if passed_over:
        raise ConfigError("run", f"it cannot be continued: {'; '.join(passed_over)}. Remove the folder's checkpoints to begin anew, or train again")
    return None


def read(path: Path) -> Mapping[str, Any]:
    """What a checkpoint holds.

    Raises:
        ConfigError: on `run`, it is cut short, damaged, of a newer Thaw, or holds something else than values, arrays and records of ours.
    """
    try:
        with torch.serialization.safe_globals([*_RECORDS, *_ARRAYS]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        version = content["format"]
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+)", str(error))
        what = f": {match[1][:100]}" if match else ""
        raise ConfigError("run", f"{path.name} holds what no checkpoint of Thaw holds, and was not read{what}") from None
    except Exception as error:  # torch.load has no error of its own
        raise ConfigError("run", f"{path.name} is damaged or cut short ({type(error).__name__})") from error
    if not isinstance(version, int) or version > FORMAT:
        raise ConfigError("run", f"{path.name} was written by a newer Thaw (format {version}, this one knows {FORMAT}); update Thaw")
    found: Mapping[str, Any] = content
    return found


def may_go_on(request: ResumeRequest, loaded: Loaded, assembly: Assembly, folder: Path) -> list[str]:
    """See to it that the run goes on as the same, before anything of it is changed; what is to be said of how it goes on.

    Raises:
        ConfigError: pictures, model or machine are others than before, or early stopping ends a run of more epochs in the same place.
    """
    refuse_other_model(loaded, assembly.trainer)
    refuse_other_pictures(read_pictures(folder), assembly.images.pictures())
    if request.epochs is not None:
        refuse_after_early_stopping(loaded.content["small"]["best"][1], assembly.trainer.early_stopping)
    others = refuse_other_bits(loaded, assembly.trainer, request.accept_other_bits)
    return [f"from step {loaded.cut.step + 1:,} on with other bits: {'; '.join(others)}"] if others else []


def refuse_other_model(loaded: Loaded, trainer: Trainer) -> None:
    """Raises ConfigError on `run` where a checkpoint is of another model than that which was built."""
    shapes = {name: tuple(each.shape) for name, each in trainer.model.named_parameters()}
    kept = {name: tuple(shape) for name, shape in loaded.content["shapes"].items()}
    if shapes != kept:
        other = sorted({name for name in shapes.keys() | kept.keys() if shapes.get(name) != kept.get(name)})
        which = f"{', '.join(other[:3])}{' and others' if len(other) > 3 else ''}"
        raise ConfigError("run", f"{loaded.point.path.name} is of another model: {which} differ; put back the checkpoint of this run, or train again")


def refuse_other_pictures(before: Sequence[Picture] | None, now: Sequence[Picture]) -> None:
    """Raises ConfigError on `dataset` where the run's pictures are others than those it began with: how many, and the first of them."""
    if before is None or list(before) == list(now):
        return
    known, there = ({each.file: (each.name, each.sha256) for each in pictures} for pictures in (before, now))
    gone, new = known.keys() - there.keys(), there.keys() - known.keys()
    changed = [place for place in known.keys() & there.keys() if known[place] != there[place]]
    said = [f"{len(places):,} {what} ({min(places)})" for places, what in ((gone, "gone"), (new, "new"), (changed, "changed")) if places]
    reason = ", ".join(said) or "they are split in another way"
    raise ConfigError(
        "dataset", f"the run's pictures are others than those it began with: {reason}; bring them back to continue it, or start a new run"
    )


def refuse_other_bits(loaded: Loaded, trainer: Trainer, accept: bool) -> list[str]:
    """What of this machine computes other bits than the one before, in words, if that was accepted.

    Raises:
        ConfigError: on `accept_other_bits`, something does, and it was not accepted.
    """
    others = other_bits(dict(loaded.content["where"]), here(trainer.device, trainer.partition.threads.base, trainer.ranks))
    if others and not accept:
        remedy = "continue it as it was, or accept that with --accept-other-bits"
        raise ConfigError("accept_other_bits", f"the run would go on with other bits than before: {'; '.join(others)}; {remedy}")
    return others


def put_into(trainer: Trainer, loaded: Loaded, folder: Path, fork: Fork | None = None) -> str:
    """Have `trainer` stand where the checkpoint was taken, and prove it.

    Args:
        fork: the run branches off there: its optimizer or its pictures may be others, of which nothing is compared then.

    Returns:
        What was compared, in a sentence.

    Raises:
        ConfigError: on `run`, the weights of before training are not there, or something is not as it was written.
    """
    content = loaded.content
    anew = fork is not None and fork.optimizer_anew
    put_back(trainer, content["small"], content["large"], _first_weights(folder, loaded), optimizer_anew=anew)
    differing = differences(trainer, content, fork)
    if differing:
        raise ConfigError(
            "run", f"{loaded.point.path.name} did not come back as it was written: {'; '.join(differing[:5])}; the run was left as it is"
        )
    tensors = len(content["digests"])
    frozen = len(content["small"]["frozen"])
    groups = len(content["small"]["groups"])
    batch = "" if fork is not None and fork.data_anew else ", next batch"
    return (
        f"continued at step {trainer.step:,}: {tensors:,} tensors ({frozen:,} frozen), {groups:,} optimizer "
        f"group{'' if groups == 1 else 's'}, next learning rate {trainer.steering.learning_rate:.3g}{batch}: all as they were"
    )


def differences(trainer: Trainer, content: Mapping[str, Any], fork: Fork | None = None) -> list[str]:
    """What of a trainer is not as a checkpoint says, in words: weights, groups, optimizer state, rate, and the pictures of the next batch."""
    found = [f"{name} has other values" for name, each in trainer.model.named_parameters() if digest([each]) != content["digests"].get(name)]
    small = content["small"]
    frozen = sorted(trainer.freezing.frozen)
    if frozen != small["frozen"]:
        found.append(f"{len(frozen):,} tensors are frozen, {len(small['frozen']):,} were")
    names = group_names(trainer)
    if names != [group["names"] for group in small["groups"]]:
        found.append("the optimizer's groups hold other tensors")
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    if rates != [group["lr"] for group in small["groups"]]:
        found.append(f"the groups learn at {rates}")
    if fork is None or not fork.optimizer_anew:
        found += _other_state(trainer, content["large"])
    if trainer.steering.learning_rate != small["next_rate"]:
        found.append(f"the next learning rate is {trainer.steering.learning_rate:g} and was {small['next_rate']:g}")
    if (fork is None or not fork.data_anew) and trainer.train.places(trainer.place.epoch, trainer.place.batches) != content["next_pictures"]:
        found.append("the next batch has other pictures")
    return found


def _other_state(trainer: Trainer, large: Mapping[str, Tensor]) -> list[str]:
    kept = {key.removeprefix("optimizer "): value for key, value in large.items() if key.startswith("optimizer ")}
    now = {
        f"{name} {key}": value
        for name, parameter in trainer.model.named_parameters()
        for key, value in trainer.optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }
    missing = [f"the optimizer's {key} is {'missing' if key in kept else 'new'}" for key in sorted(kept.keys() ^ now.keys())]
    return missing + [f"the optimizer's {key} has other values" for key in kept.keys() & now.keys() if digest([kept[key]]) != digest([now[key]])]


def _first_weights(folder: Path, loaded: Loaded) -> Mapping[str, Tensor]:
    """Weights before training, by name; none where all parameters have learned."""
    if set(loaded.content["shapes"]) <= set(loaded.content["learned"]):
        return {}
    first = [checkpoint for checkpoint in listed(folder) if checkpoint.epoch == 0]
    try:
        state: Mapping[str, Tensor] = torch.load(first[0].path, map_location="cpu", weights_only=True)
    except Exception as error:  # none, or torch.load with no error of its own
        reason = "it is not there" if not first else type(error).__name__
        where = f"{folder.name}/checkpoints has the frozen weights in epoch-0000-step-00000000.pth"
        raise ConfigError("run", f"{where}, which cannot be read ({reason}); bring it back, or train again") from error
    return state
