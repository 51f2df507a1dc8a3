"""What learns and how fast: a plan applied to a model and its optimizer, and changed while they train.

One learning-rate schedule runs for all: it drives a stand-in, an optimizer of the same kind that holds one number, and each
group of the real optimizer learns at the stand-in's rate times its own multiplier. So groups can come and go in the middle
of any schedule, and a schedule's lowest rate is multiplied like every other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.catalog import optimizers, schedules
from core.config import ConfigError, RunConfig
from core.config.plans import Change
from core.model.freezing import Freezing, trainable
from core.records.layers import ParameterInfo, check_timeline, frozen_parameters, multipliers_by_parameter

_CYCLED = ("momentum", "betas")  # what some schedules move together with the learning rate


@dataclass(frozen=True)
class Plan:
    """What holds now: `frozen` bool[layers], `multipliers` float32[layers], and the learning rate of a layer whose multiplier is 1."""

    frozen: NDArray[np.bool_]
    multipliers: NDArray[np.float32]
    learning_rate: float


class Steering:
    """Freezing, optimizer and schedule of one training.

    Args:
        model: on its device already.
        layers: its parameter tensors, as `anatomy.describe` lists them.
        config: the freeze plan, multipliers, timeline, optimizer and schedule.
        steps_per_epoch: what the schedule's epochs are made of.

    Raises:
        ConfigError: the plan, a multiplier or the timeline does not fit the model, or the optimizer's settings do not go together.
    """

    def __init__(self, model: nn.Module, layers: Sequence[ParameterInfo], config: RunConfig, steps_per_epoch: int) -> None:
        total = steps_per_epoch * config.epochs
        late = [timed for timed in config.timeline.changes if timed.unit == "step" and timed.at > total]
        if late:
            raise ConfigError("timeline", f"'{late[0]}' comes after the last step ({total}); give an earlier step, or train for more epochs")
        check_timeline(config, layers)
        self.config = config
        self.layers = tuple(layers)
        self.freeze_plan = config.freeze
        self.multipliers = config.learning_rate_multipliers
        self.factors = multipliers_by_parameter(self.multipliers, self.layers)
        self.stepped = False
        self.correction = 1.0  # by what a person's own learning rate differs from the schedule's
        self.freezing = Freezing(model, frozen_parameters(self.freeze_plan, self.layers), config.frozen_randomness)
        # One number on the processor, where not every optimizer that can be fused elsewhere can be.
        self.stand_in = optimizers.build(config.replace(fused_optimizer=False), [torch.zeros(1)])
        self.schedule = schedules.build(config, self.stand_in, total, steps_per_epoch)
        self.optimizer = optimizers.build(config, trainable(model))
        self.regroup()

    @property
    def learning_rate(self) -> float:
        """That of a layer whose multiplier is 1, at the step to come."""
        return float(self.stand_in.param_groups[0]["lr"]) * self.correction

    @property
    def plan(self) -> Plan:
        """What holds now."""
        frozen = np.array([layer.name in self.freezing.frozen for layer in self.layers])
        return Plan(frozen, np.array([self.factors[layer.name] for layer in self.layers], np.float32), self.learning_rate)

    def advance(self) -> None:
        """A step is done: move every group to the learning rate of the next."""
        if not self.stepped:
            self.stepped = True
            self.stand_in.step()  # its number has no gradient, so nothing moves; the schedule wants to have seen a step before it is called
        self.schedule.step()
        self._set_rates()

    def change(self, change: Change) -> Plan:
        """Freeze, unfreeze or learn at another rate from the next step on; all of `change`, or nothing of it.

        A tensor that begins to learn gets fresh optimizer state, one that goes on keeps its own, one that is frozen loses it. Layers
        that are frozen already are frozen anew, which mends what somebody else did to them.

        Raises:
            ConfigError: a pattern matches nothing, nothing would be left to learn, or the schedule has come down to 0.
        """
        plan, multipliers = self.freeze_plan.then(change), self.multipliers.then(change)
        frozen, factors = frozen_parameters(plan, self.layers), multipliers_by_parameter(multipliers, self.layers)
        correction = self.correction
        if change.learning_rate is not None:
            correction = change.learning_rate / self._scheduled(change.learning_rate)
        self.freeze_plan, self.multipliers, self.factors, self.correction = plan, multipliers, factors, correction
        self.freezing.freeze(frozen)
        self.regroup()
        return self.plan

    def regroup(self) -> None:
        """Give the optimizer one group for each multiplier, holding what learns and nothing else."""
        optimizer = self.optimizer
        held = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.freezing.model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(self.factors[name], []).append(parameter)
        learning = {parameter for members in groups.values() for parameter in members}
        for parameter in held - learning:
            optimizer.state.pop(parameter, None)
        if learning - held:
            # Some optimizers (Adagrad) make their state when they are built, not in the first step.
            optimizer.state.update(
                optimizers.build(self.config, [parameter for parameter in trainable(self.freezing.model) if parameter not in held]).state
            )
        settings = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        optimizer.param_groups[:] = [{**settings, "params": members, "multiplier": factor} for factor, members in groups.items()]
        self._set_rates()

    def learn_at(self, rate: float) -> None:
        """Have a layer whose multiplier is 1 learn at `rate` from the next step on, and each other at its own multiple of it.

        Raises:
            ConfigError: on `learning_rate`, the schedule has come down to 0.
        """
        self.correction = rate / self._scheduled(rate)
        self._set_rates()

    def _scheduled(self, wanted: float) -> float:
        scheduled = float(self.stand_in.param_groups[0]["lr"])
        if scheduled == 0:
            raise ConfigError("learning_rate", f"the schedule has come down to 0, which no factor makes {wanted:g}; start a new run")
        return scheduled

    def _set_rates(self) -> None:
        scheduled = self.stand_in.param_groups[0]
        for group in self.optimizer.param_groups:
            group["lr"] = scheduled["lr"] * self.correction * group["multiplier"]
            group.update({key: scheduled[key] for key in _CYCLED if key in scheduled})
