"""The learning-rate finder: a short training of a copy, in which the rate rises from step to step. The model itself is left as it is."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from core.catalog import losses
from core.catalog.optimizers import FIRST_STEP_ONLY, OPTIMIZERS
from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.config.plans import Timeline
from core.machine.bits import digest
from core.machine.home import Home
from core.records.rate_curve import FEWEST_STEPS, HIGHEST, LOWEST, MOST_STEPS, USUAL_STEPS, RateCurve, has_grown, rates, suggest
from core.training.trainer import StepReport, Trainer
from core.worker.assembly import Assembly, Progress, assemble, trainer_of

BELOW, ABOVE = 1e4, 1e3
"""How far below and above the optimizer's usual rate the first and the last lie, as factors, unless somebody says otherwise."""

LOOK_EVERY = 5
"""Steps between two looks at the loss: each waits for the device."""


def span(config: RunConfig, low: float | None, high: float | None, steps: int) -> tuple[float, float]:
    """The first and the last rate.

    Raises:
        ConfigError: on `from`, `to` or `steps`, they cannot be had; on `optimizer`, it takes no learning rate after its first step.
    """
    entry = OPTIMIZERS.get(config.optimizer)
    usual = entry.learning_rate if entry else 1e-3
    if config.optimizer in FIRST_STEP_ONLY:
        raise ConfigError(
            "optimizer", f"{config.optimizer} takes the learning rate for its first step alone and sizes the others itself; choose another"
        )
    first, last = usual / BELOW if low is None else low, min(usual * ABOVE, HIGHEST) if high is None else high
    for field, value in (("from", first), ("to", last)):
        if not (math.isfinite(value) and LOWEST <= value <= HIGHEST):
            raise ConfigError(field, f"must be {LOWEST:g} to {HIGHEST:g}, got {value:g}; try {usual / BELOW if field == 'from' else usual * ABOVE:g}")
    if not last >= 10 * first:
        raise ConfigError("to", f"must be ten times as high as the first rate, {first:g}, or more, got {last:g}; try {min(first * 1e5, HIGHEST):g}")
    if not FEWEST_STEPS <= steps <= MOST_STEPS:
        raise ConfigError("steps", f"must be {FEWEST_STEPS} to {MOST_STEPS:,}, got {steps:,}; try {USUAL_STEPS}")
    return first, last


def find_rate(
    config: RunConfig,
    home: Home,
    low: float | None = None,
    high: float | None = None,
    steps: int = USUAL_STEPS,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda text, share: None,
) -> RateCurve:
    """Train a copy of what `config` begins with for `steps` steps, at rates from `low` to `high` (None: about the optimizer's usual one).

    Each group of the optimizer learns at its own multiple. Validation, early stopping, timeline and schedule are left out; what frozen layers
    compute is kept, as in a run. Ends early where the loss has grown far beyond its lowest.

    Args:
        cancelled: asked between two steps.
        progress: told what is being done, and which share of it is done (0 to 1).

    Raises:
        ConfigError: the config cannot be used, or what it names is not there; see `span`.
        Cancelled: as asked.
    """
    first, last = span(config, low, high, steps)

    def tell(text: str, share: float | None) -> None:
        if cancelled():
            raise Cancelled
        progress(text, share)

    began = time.monotonic()
    plain = config.replace(
        timeline=Timeline(), schedule="constant", schedule_options={}, early_stopping=None, epochs=steps, speed="exact", learning_rate=first,
        forgetting=False, old_task=None, watch_every=100_000,
    )  # fmt: skip
    assembly = assemble(plain, home, tell)
    original = assembly.trainer.model
    before = digest(original.state_dict().values())
    trainer = _of_a_copy(plain, home, assembly)
    tried, found = _ramp(trainer, [float(rate) for rate in rates(first, last, steps)], tell)
    trainer.partition.close()
    groups = tuple((float(group["multiplier"]), len(group["params"])) for group in trainer.optimizer.param_groups)
    said = suggest(tried, found)
    return RateCurve(
        tuple(tried), tuple(loss if math.isfinite(loss) else None for loss in found), said.smoothed, said.rate, said.reason, said.lowest, said.grows,
        groups, trainer.partition.tell().state in ("filling", "serving"), (before, digest(original.state_dict().values())), time.monotonic() - began,
    )  # fmt: skip


def _of_a_copy(config: RunConfig, home: Home, assembly: Assembly) -> Trainer:
    images = replace(assembly.images, validation=None)
    steering = assembly.trainer.steering
    weights = losses.class_weights(config, images.train.class_counts(len(images.classes)))
    model = copy.deepcopy(assembly.trainer.model)
    for each in model.parameters():  # a trainer begins with all of them learning
        each.requires_grad_(True)
    torch.manual_seed(config.seed)
    return trainer_of(config, home, model, steering.layers, images, assembly.trainer.device, weights)


def _ramp(trainer: Trainer, planned: list[float], tell: Progress) -> tuple[list[float], list[float]]:
    """The rates that were tried, and the loss of each step: float("nan") or infinite where it was not finite."""
    waiting: list[torch.Tensor] = []
    found: list[float] = []
    trainer.steering.learn_at(planned[0])
    for report in trainer.run():
        if not isinstance(report, StepReport):
            continue
        waiting.append(report.loss)
        done = len(found) + len(waiting)
        tell(f"step {done:,} of {len(planned):,}, learning rate {planned[done - 1]:.2g}", done / len(planned))
        if done < len(planned):
            trainer.steering.learn_at(planned[done])
        if len(waiting) >= LOOK_EVERY or done == len(planned):
            found += torch.stack(waiting).float().cpu().tolist()
            waiting = []
            broken = next((place for place, loss in enumerate(found) if not math.isfinite(loss)), None)
            if broken is not None:
                found = found[: broken + 1]
            if broken is not None or done == len(planned) or has_grown(found):
                break
    return planned[: len(found)], found
