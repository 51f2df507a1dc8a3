"""All that decides the rest of a training, taken out of a `Trainer` between two steps and put into another one that was built alike.

What goes in is copied by name, never by place: parameters, buffers, gradients that were left over, the optimizer's state of each parameter,
its groups, the schedule, the scaler, what is frozen, random states, the place in the epoch, and what early stopping remembers.
Freezing is put back before the optimizer's groups, and both the optimizer of the schedule and the schedule after they were built: built
after its optimizer had been loaded, a LambdaLR or OneCycleLR takes one step at a wrong rate first.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.config.plans import FreezePlan, Multipliers
from core.records.layers import multipliers_by_parameter
from core.signals.watch import Pace
from core.training.trainer import Best, Place, Trainer

_GROUP_KEYS_OF_TORCH = ("params", "multiplier", "foreach", "fused", "capturable", "differentiable")
"""What of a group is as the optimizer was built for this machine, or is put back otherwise."""

_RATES = ("lr", "initial_lr")
"""What of a group is the schedule's."""


def small_state(trainer: Trainer) -> dict[str, Any]:
    """What is small, or what the next step's forward pass may change already: to be had at once.

    Returns:
        Plain values and copies of tensors: buffers, random states, left-over gradients, the place, and all that steers.
    """
    steering, best = trainer.steering, trainer.best
    return {
        "step": trainer.step,
        "place": (trainer.place.epoch, trainer.place.batches),
        "tally": (torch.tensor(trainer.tally.sums(), dtype=torch.float64), trainer.tally.samples),
        "epoch": trainer.epoch,
        "best": (best.loss, best.epochs_since, best.epoch),
        "buffers": {name: _copy(buffer) for name, buffer in trainer.model.named_buffers()},
        "gradients": {name: _copy(each.grad) for name, each in trainer.model.named_parameters() if each.grad is not None},
        "frozen": sorted(trainer.freezing.frozen),
        "plan": str(steering.freeze_plan),
        "multipliers": str(steering.multipliers),
        "correction": steering.correction,
        "stepped": steering.stepped,
        "stand_in": steering.stand_in.state_dict(),
        "schedule": steering.schedule.state_dict(),
        "groups": [
            {**{key: value for key, value in group.items() if key not in _GROUP_KEYS_OF_TORCH}, "names": names, "multiplier": group["multiplier"]}
            for group, names in zip(trainer.optimizer.param_groups, group_names(trainer), strict=True)
        ],
        "plain": {
            name: plain
            for name, values in optimizer_state(trainer).items()
            if (plain := {key: value for key, value in values.items() if not isinstance(value, Tensor)})
        },
        "next_rate": steering.learning_rate,
        "scaler": trainer.scaler.state_dict(),
        "watch": (trainer.watch.pace.norms, trainer.watch.pace.looks, trainer.watch.on_bad_loss is None),
        "random": _random_states(trainer.device),
    }


def large_tensors(trainer: Trainer, learned: frozenset[str]) -> dict[str, Tensor]:
    """What only an update changes, not copied: name -> tensor on its device.

    Args:
        learned: parameters that have learned, or may have; the others are where the run's first weights are.
    """
    named = dict(trainer.model.named_parameters())
    found = {f"parameter {name}": named[name].detach() for name in named if name in learned}
    for name, values in optimizer_state(trainer).items():
        found |= {f"optimizer {name} {key}": value for key, value in values.items() if isinstance(value, Tensor)}
    return found | {f"best {name}": tensor.detach() for name, tensor in trainer.best.state.items()}


def optimizer_state(trainer: Trainer) -> dict[str, dict[str, Any]]:
    """What the optimizer knows of each parameter, by the parameter's name."""
    return {
        name: dict(trainer.optimizer.state[parameter])
        for name, parameter in trainer.model.named_parameters()
        if trainer.optimizer.state.get(parameter)
    }


def group_names(trainer: Trainer) -> list[list[str]]:
    """Names of the parameters in each of the optimizer's groups."""
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    return [[names[id(parameter)] for parameter in group["params"]] for group in trainer.optimizer.param_groups]


def may_learn(trainer: Trainer) -> frozenset[str]:
    """Names of the parameters that the next update may move: those that learn, and whatever else the optimizer holds."""
    learning = {name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}
    return frozenset(learning.union(*group_names(trainer)))


@torch.no_grad()
def put_back(
    trainer: Trainer, small: Mapping[str, Any], large: Mapping[str, Tensor], first: Mapping[str, Tensor], optimizer_anew: bool = False
) -> None:
    """Have `trainer`, built from the same config, go on where another one stood.

    Args:
        optimizer_anew: it has another optimizer than that one, which begins without a state; the schedule goes on all the same.
        small: what `small_state` gave.
        large: copies of what `large_tensors` gave.
        first: weights before training, by name, for the parameters that never learned.

    Raises:
        KeyError: a parameter is neither in `large` nor in `first`.
    """
    named = dict(trainer.model.named_parameters())
    for name, parameter in named.items():
        parameter.copy_(large[f"parameter {name}"] if f"parameter {name}" in large else first[name])
    for name, buffer in trainer.model.named_buffers():
        buffer.copy_(small["buffers"][name])
    _put_back_steering(trainer, small, named, optimizer_anew)
    for name, parameter in named.items():
        gradient = small["gradients"].get(name)
        parameter.grad = None if gradient is None else torch.empty_like(parameter).copy_(gradient)
    if not optimizer_anew:
        _put_back_optimizer(trainer, small, large, named)
    if small["scaler"]:
        trainer.scaler.load_state_dict(small["scaler"])
    trainer.step, trainer.place, trainer.epoch = small["step"], Place(*small["place"]), small["epoch"]
    sums, samples = small["tally"]
    trainer.tally.remember(tuple(sums.tolist()), samples)
    best = Best(trainer.early_stopping)
    best.loss, best.epochs_since, best.epoch = small["best"]
    state = trainer.model.state_dict()
    best.state = {name: torch.empty_like(state[name]).copy_(large[f"best {name}"]) for name in state} if best.epoch else {}
    trainer.best = best
    norms, looks, told = small["watch"]
    trainer.watch.pace = Pace(norms, looks)
    if told:
        trainer.watch.on_bad_loss = None
    trainer.follow(trainer.steering.plan)
    _put_back_random(trainer.device, small["random"])


def _put_back_steering(trainer: Trainer, small: Mapping[str, Any], named: Mapping[str, nn.Parameter], optimizer_anew: bool) -> None:
    steering = trainer.steering
    if sorted(trainer.freezing.frozen) != small["frozen"]:
        trainer.freezing.freeze(small["frozen"])
    steering.freeze_plan = FreezePlan.model_validate(small["plan"])
    steering.multipliers = Multipliers.model_validate(small["multipliers"])
    steering.factors = multipliers_by_parameter(steering.multipliers, steering.layers)
    steering.correction, steering.stepped = small["correction"], small["stepped"]
    if optimizer_anew:
        before = small["stand_in"]["param_groups"][0]
        steering.stand_in.param_groups[0].update({key: before[key] for key in _RATES if key in before})
        steering.schedule.load_state_dict(small["schedule"])
        steering.regroup()
        return
    steering.stand_in.load_state_dict(small["stand_in"])
    steering.schedule.load_state_dict(small["schedule"])
    built = {key: value for key, value in trainer.optimizer.param_groups[0].items() if key in _GROUP_KEYS_OF_TORCH}
    trainer.optimizer.param_groups[:] = [
        {**built, **{key: value for key, value in group.items() if key != "names"}, "params": [named[name] for name in group["names"]]}
        for group in small["groups"]
    ]


def _put_back_optimizer(trainer: Trainer, small: Mapping[str, Any], large: Mapping[str, Tensor], named: Mapping[str, nn.Parameter]) -> None:
    """Tensors of a parameter's shape get its layout in memory, so that sums over them are added in the same order."""
    state = trainer.optimizer.state
    state.clear()
    for key, value in large.items():
        kind, _, rest = key.partition(" ")
        if kind != "optimizer":
            continue
        name, _, entry = rest.rpartition(" ")
        parameter = named[name]
        if entry == "step" and not any(trainer.optimizer.param_groups[0].get(flag) for flag in ("fused", "capturable")):
            state.setdefault(parameter, {})[entry] = value.clone()  # a count on the CPU, whatever the device
        elif value.shape == parameter.shape:
            state.setdefault(parameter, {})[entry] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            state.setdefault(parameter, {})[entry] = value.to(parameter.device, copy=True)
    for name, values in small["plain"].items():
        state.setdefault(named[name], {}).update(values)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _random_states(device: torch.device) -> dict[str, Any]:
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (str(kind), [int(key) for key in keys], int(place), int(has_gauss), float(gauss)),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _put_back_random(device: torch.device, states: Mapping[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, place, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), place, has_gauss, gauss))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
