"""What stands below the settings that decide how far an update goes: numbers for the run at hand, not for runs in general."""

from __future__ import annotations

import math

from core.catalog import OPTIMIZERS, SCHEDULES, decay, optimizers
from core.catalog.optimizers import FIRST_STEP_ONLY
from core.catalog.rate_advice import course_in_words, rate_advice
from core.catalog.rates import course
from core.config import ConfigError, RunConfig
from core.records.cost import steps_per_epoch
from core.records.layers import frozen_parameters
from core.records.telling import digits
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import checks
from pages._parts.shared import draft

MOST_STEPS = 200_000
"""Runs of more steps are not worked out for a line of text."""


def usable() -> RunConfig | None:
    """The draft as a run, or None where something in it cannot be used."""
    try:
        return RunConfig(**draft.values())
    except ConfigError:
        return None


def learning_rate(config: RunConfig | None) -> str:
    """Which rates are usual for what this run sets out to do. That its own is far from them is said by `judging`."""
    optimizer = OPTIMIZERS[draft.values()["optimizer"]]
    if optimizer.name in FIRST_STEP_ONLY:
        return f"the first step of each weight; {optimizer.name} sizes the others itself"
    try:
        advice = rate_advice(config) if config else None
    except ConfigError:
        advice = None
    return advice.text if advice else f"usual for {optimizer.name}: {optimizer.learning_rate:g}"


def schedule(config: RunConfig | None) -> str:
    """What the chosen schedule does, with this run's numbers where its steps are known."""
    about = SCHEDULES[draft.values()["schedule"]].about
    total, a_epoch = _steps(config)
    if config is None or not 0 < total <= MOST_STEPS:
        return about
    try:
        numbers = course_in_words(config, total, a_epoch)
    except ConfigError:
        return about
    return f"{about} Here: {numbers}." if numbers else about


def weight_decay(config: RunConfig | None) -> str:
    """What weight decay alone does in this run."""
    total, a_epoch = _steps(config)
    try:
        strength = float(optimizers.settings(config).get("weight_decay", 0.0)) if config else 0.0
        if config is None or not strength or not 0 < total <= MOST_STEPS:
            return "pull of every weight towards 0"
        if not decay.takes_a_share(config):
            name = config.optimizer
            return f"pull of every weight towards 0; {name} divides it by the size of gradients, so it takes no fixed share"
        kept = abs(decay.kept(config, course(config, total, a_epoch)))
    except ConfigError:
        return "pull of every weight towards 0"
    if kept > 1:
        return f"pull of every weight towards 0, and too strong: by itself it throws weights ever further from 0 in these {total:,} steps"
    return f"pull of every weight towards 0: by itself it takes {_taken(kept)} off in these {total:,} steps"


def _taken(kept: float) -> str:
    """What is gone where the share `kept`, 0 to 1, is left: '0.65 %', '42 %', 'all but 0.003 %'."""
    return f"{digits(100 * (1 - kept), 2)} %" if kept >= 0.01 else f"all but {digits(100 * kept, 1)} %" if kept >= 1e-6 else "as good as all"


def optimizer(config: RunConfig | None, table: LayerTable) -> str:
    """What the optimizer does, and how many numbers it keeps for the layers that learn at first."""
    about = OPTIMIZERS[draft.values()["optimizer"]].about
    if config is None:
        return about
    try:
        frozen = frozen_parameters(config.freeze, table.description.parameters)
        shapes = [parameter.shape for parameter in table.description.parameters if parameter.name not in frozen]
        kept = optimizers.state_values(config.optimizer, shapes, optimizers.settings(config))
    except ConfigError:
        return about
    learning = sum(math.prod(shape) for shape in shapes)
    share = f"{kept / learning:.2g}" if learning else "0"
    return f"{about} Here it keeps {share} value{'' if share == '1' else 's'} for each one that learns." if kept else about


def _steps(config: RunConfig | None) -> tuple[int, int]:
    """(steps of the run, of an epoch); zeros where that is not known."""
    if config is None:
        return 0, 0
    images = checks.training_images(config.dataset, config.validation_share)
    a_epoch = steps_per_epoch(images, config.batch_size * config.accumulate) if images else 0
    return a_epoch * config.epochs, a_epoch
