"""The fastest way to train that keeps the promised accuracy, found by measuring: what `speed` automatic means.

`core.measuring.trials` measures; here is what is made of it. What was measured is remembered for this machine, this model and about this
load, so that the next such run begins at once; which way is taken is decided anew each time, since that depends on the number of
epochs too.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from core.config import RunConfig
from core.config.plans import FreezePlan
from core.data import Loader
from core.machine import devices
from core.machine.files import written_whole
from core.machine.home import Home
from core.measuring.bench import tidy
from core.measuring.trial import Found, Hopeless, Subject, Timer, stopwatch
from core.measuring.trials import Trials
from core.records.layers import ParameterInfo, frozen_parameters
from core.records.speed import Tuning, Way
from core.training.steps import THREADS

VERSION = 2
"""Of the files in which results are remembered: another one is measured again."""

MARGIN = 0.03
"""A difference in time that is no reason to change anything: of ways this close to the fastest, the one nearest to exact is taken."""

LOAD_SECONDS = 0.25
"""How long the processor is watched to see what others use of it."""

LOAD_LEVELS = 8
"""Loads that are told apart, at most: on a machine of up to 8 cores, how many of them are busy."""

Progress = Callable[[str, float | None], None]


def busy_share() -> float:
    """Share of the processor (0 to 1, all cores) that other processes use now. Takes `LOAD_SECONDS`."""
    me = psutil.Process()
    before, began = me.cpu_times(), time.perf_counter()
    all_of_it = psutil.cpu_percent(LOAD_SECONDS) / 100
    after, seconds = me.cpu_times(), time.perf_counter() - began
    own = (after.user + after.system - before.user - before.system) / seconds / (psutil.cpu_count() or 1)
    return min(1.0, max(0.0, all_of_it - own))


def choose(
    config: RunConfig,
    home: Home,
    model: nn.Module,
    layers: tuple[ParameterInfo, ...],
    train: Loader,
    device: torch.device,
    progress: Progress = lambda text, share: None,
    timer: Timer = stopwatch,
    busy: Callable[[], float] = busy_share,
) -> Tuning:
    """The fastest way to train `model` as `config` says. Never fails: where nothing can be measured, exact is chosen and says why.

    Takes about 6 s on two cores for resnet18 at 64 px, less where it is remembered. The model, torch's chance and its number of
    threads are left as they are.

    Args:
        config: with `speed` automatic.
        model: on `device`, with its starting weights.
        layers: its parameters.
        progress: told what is going on; what it raises ends the measuring.
        timer: measures one part of a step.
        busy: says which share of the processor others use.
    """
    progress("finding the fastest way to train", None)
    config = config.replace(speed="exact")
    load = busy()
    free = max(1, THREADS - round(load * THREADS))
    threads = (config.threads,) if config.threads else thread_counts(THREADS, free) if device.type == "cpu" else (THREADS,)
    steps = len(train) * config.accumulate * config.epochs
    frozen = frozen_parameters(lasting_plan(config, len(train)), layers)
    subject = Subject(config, model, frozen, train, device, steps, threads, free)
    memory = Memory(home.cache / "tuning", _key(subject, load))
    remembered = memory.read()
    if remembered is not None:
        return decided(replace(remembered, steps=steps, prefix_share=_share(remembered, subject), remembered=True))

    tuning, complete = _measured(subject, timer, progress, load)
    if complete:
        memory.write(tuning)
    return tuning if tuning.reason else decided(tuning)


def _measured(subject: Subject, timer: Timer, progress: Progress, load: float) -> tuple[Tuning, bool]:
    """What measuring found, with no way chosen yet, and whether each way had its chance. Where nothing can be measured, `reason` says why."""

    def tell(done: float, ways: int) -> None:
        progress(f"finding the fastest way to train: {int(done)} of about {ways} ways measured", done / ways)

    began, why = time.perf_counter(), ""
    try:
        found = Trials(subject, timer, tell).run()
    except Hopeless as reason:
        alone = Way(threads=subject.threads[0], loss_error=0.0, gradient_error=0.0, refused="")
        found, why = Found((alone,), 1, 0, 0.0, None, complete=False), f"nothing could be measured: {reason}"
    finally:
        tidy()
    tuning = Tuning(
        ways=found.ways,
        chosen=0,
        reason=why,
        device=str(subject.device),
        possible=found.possible,
        steps=subject.steps,
        batch_size=subject.config.batch_size,
        images=found.images,
        tolerance=found.tolerance,
        prefix_share=found.prefix_share,
        busy_share=load,
        measured_seconds=time.perf_counter() - began,
    )
    return tuning, found.complete


def decided(tuning: Tuning) -> Tuning:
    """The same measurements, with the way that suits the run best: the shortest run, and of those alike the one nearest to exact."""
    exact = tuning.ways[0]
    totals = {
        place: way.start_seconds + tuning.steps * seconds
        for place, way in enumerate(tuning.ways)
        if not way.refused and (seconds := tuning.seconds(way)) is not None
    }
    shortest = min(totals.values())
    chosen = min(
        (place for place in totals if totals[place] <= (1 + MARGIN) * shortest), key=lambda place: (_changes(tuning.ways[place]), totals[place])
    )
    way = tuning.ways[chosen]
    own, exact_seconds = tuning.seconds(way), tuning.seconds(exact)
    if chosen == 0 or own is None or exact_seconds is None:
        reason = f"no other way saves more than {100 * MARGIN:.0f} % of the time"
    else:
        faster = "{:.2f} times as fast as exact".format
        reason = faster(exact_seconds / own)
        if way.threads != exact.threads:
            reason += f" on {exact.threads} threads"
            alike_exact = [other for other in tuning.ways if other.threads == way.threads and _changes(other) == (0, 0) and other is not way]
            reason += "".join(f", {faster(seconds / own)} on {way.threads}" for other in alike_exact if (seconds := tuning.seconds(other)))
    return replace(tuning, chosen=chosen, reason=reason)


def thread_counts(cores: int, free: int) -> tuple[int, ...]:
    """Numbers of threads to try on a machine of `cores` cores of which `free` are not used by others; that of an exact run first."""
    counts = {cores, free, max(1, cores // 2), *([1] if cores <= 8 else [])}
    return tuple(sorted(counts, reverse=True))


def lasting_plan(config: RunConfig, steps_per_epoch: int) -> FreezePlan:
    """Of the freeze plans that a run has in its course, the one that holds for the most steps."""
    plan, since = config.freeze, 0
    held: dict[FreezePlan, int] = {}
    for timed in config.timeline.changes:
        at = (timed.at - 1) * (steps_per_epoch if timed.unit == "epoch" else 1)
        changed = plan.then(timed.change)
        if changed != plan:
            held[plan] = held.get(plan, 0) + at - since
            plan, since = changed, at
    held[plan] = held.get(plan, 0) + config.epochs * steps_per_epoch - since
    return max(held, key=lambda one: held[one])


def _changes(way: Way) -> tuple[int, int]:
    """How far a way is from exact: rounding to fewer digits weighs more than another order of sums."""
    others = way.fused_optimizer + way.compile_model + way.fold_norms + way.im2col_gradients + (way.memory_format != "contiguous")
    return int(way.precision != "float32"), int(others)


def _share(remembered: Tuning, subject: Subject) -> float | None:
    """The `prefix_share` of this run, in which features are kept as they were in that of which the result is."""
    views = subject.train.views
    return None if remembered.prefix_share is None or views is None else min(1.0, views / subject.config.epochs)


def _key(subject: Subject, load: float) -> str:
    """All that decides how long steps take and how they round."""
    config, cpu = subject.config, subject.device.type == "cpu"
    labels = {device.name: device.label for device in devices.available()}
    weights = config.starting_weights if config.starting_weights in ("random", "pretrained") else "file"
    facts = {
        "device": labels.get(str(subject.device), str(subject.device)),
        "processor": f"{labels['cpu']} {torch.backends.cpu.get_cpu_capability()}",
        "cores": THREADS,
        "threads": config.threads,
        # On one thread the processor's time is measured, of which others take nothing.
        "busy": round(load * min(THREADS, LOAD_LEVELS)) if cpu and config.threads != 1 else None,
        "torch": torch.__version__,
        "images": [config.image_size, config.batch_size],
        "frozen": sorted(subject.frozen),
        "weights": weights,
        "views": None if config.feature_cache == "off" else subject.train.views,
        "parameters": [[name, list(parameter.shape)] for name, parameter in subject.model.named_parameters()],
        # Compiling pays in long runs only, and is not tried in others.
        "long": None if cpu else len(str(subject.steps)),
        **config.model_dump(include={"model", "head_dropout", "head_hidden", "loss", "loss_options", "optimizer", "optimizer_options"}),
    }
    return json.dumps(facts, sort_keys=True)


@dataclass(frozen=True)
class _Record:
    """What a file holds."""

    version: int
    key: str
    tuning: Tuning


_RECORD = TypeAdapter(_Record)


class Memory:
    """The file in which the result for one situation is remembered.

    Args:
        folder: where such files are.
        key: the situation, all of it.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.key = key
        self.path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def read(self) -> Tuning | None:
        """What was remembered; None for nothing, and for a file that is damaged or of another version."""
        try:
            record = _RECORD.validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None
        tuning = record.tuning
        usable = record.version == VERSION and record.key == self.key and tuning.ways and tuning.seconds(tuning.ways[0]) is not None
        return tuning if usable else None

    def write(self, tuning: Tuning) -> None:
        """Remember, or, where that cannot be written, do without."""
        with suppress(OSError), written_whole(self.path) as file:
            file.write(_RECORD.dump_json(_Record(VERSION, self.key, tuning)))
