"""What weight decay alone does to a weight in a run: each optimizer's own rule, worked out with a gradient of 0 at every step. No torch.

Decoupled decay takes its share of a weight at each step. Decay that is part of the gradient goes through what the optimizer makes of
gradients: momentum in SGD multiplies it by up to 1 / (1 - momentum), and what divides by the size of gradients divides it too, so that
there it is no share of the weight at all. A test steps a real tensor with each optimizer and compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.catalog import optimizers
from core.catalog.rates import Course
from core.config import RunConfig

WORKED_OUT = 200_000
"""Steps that are worked out one by one. In longer runs every n-th is, and each counts n times."""

LINEAR = ("SGD", "ASGD")
"""Decay is part of the gradient here, and the update is proportional to the gradient: the share that decay takes is the same whatever gradients
come beside it."""


def takes_a_share(config: RunConfig) -> bool:
    """Whether weight decay takes a share off every weight that does not depend on the gradients that come beside it."""
    return config.optimizer in (*LINEAR, "AdamW", "Adafactor") or bool(optimizers.settings(config).get("decoupled_weight_decay"))


def kept(config: RunConfig, course: Course, weight_decay: float | None = None) -> float:
    """What is left of a weight of 1 after the steps of `course` if its gradient is 0 all along: 1 nothing was taken, 0 all of it.

    Below 0 or above 1: decay alone throws it beyond 0 (the learning rate times the weight decay is above 1).

    Args:
        weight_decay: in place of that of `config`.
    """
    values = optimizers.settings(config)
    if weight_decay is not None:
        values["weight_decay"] = weight_decay
    if not values.get("weight_decay") and config.optimizer != "ASGD":
        return 1.0
    with np.errstate(all="ignore"):
        if config.optimizer in ("AdamW", "Adafactor") or values.get("decoupled_weight_decay"):
            return float(np.prod(1 - course.rates * values["weight_decay"]))
    stride = -(-len(course.rates) // WORKED_OUT)
    momenta = course.momenta[::stride].tolist() if course.momenta is not None else None
    try:
        left = _RULES[config.optimizer](values, course.rates[::stride].tolist(), momenta) if config.optimizer in _RULES else 1.0
    except OverflowError:
        return math.inf
    return math.copysign(abs(left) ** stride, left)


def _sgd(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    weight, velocity = 1.0, None
    for step, rate in enumerate(rates):
        gradient = values["weight_decay"] * weight
        momentum = momenta[step] if momenta else values["momentum"]
        if momentum:
            velocity = gradient if velocity is None else momentum * velocity + (1 - values["dampening"]) * gradient
            gradient = gradient + momentum * velocity if values["nesterov"] else velocity
        weight -= rate * gradient
    return weight


def _asgd(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    weight, falls = 1.0, values["lambd"]
    eta = rates[0] if rates else 0.0
    for step, rate in enumerate(rates, 1):
        gradient = values["weight_decay"] * weight
        weight = weight * (1 - falls * eta) - eta * gradient
        eta = rate / (1 + falls * rate * step) ** values["alpha"]
    return weight


def _adam(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    (usual, beta2), eps = values["betas"], values["eps"]
    weight, mean, square, largest = 1.0, 0.0, 0.0, 0.0
    for step, rate in enumerate(rates, 1):
        gradient, beta1 = values["weight_decay"] * weight, momenta[step - 1] if momenta else usual
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        largest = max(largest, square) if values["amsgrad"] else square
        weight -= rate * mean / (1 - beta1**step) / (math.sqrt(largest / (1 - beta2**step)) + eps)
    return weight


def _nadam(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    (usual, beta2), eps, psi = values["betas"], values["eps"], values["momentum_decay"]
    weight, mean, square, product = 1.0, 0.0, 0.0, 1.0
    for step, rate in enumerate(rates, 1):
        gradient, beta1 = values["weight_decay"] * weight, momenta[step - 1] if momenta else usual
        now, after = (beta1 * (1 - 0.5 * 0.96 ** (at * psi)) for at in (step, step + 1))
        product *= now
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        root = math.sqrt(square / (1 - beta2**step)) + eps
        weight -= rate * ((1 - now) / (1 - product) * gradient + after / (1 - product * after) * mean) / root
    return weight


def _radam(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    (usual, beta2), eps = values["betas"], values["eps"]
    weight, mean, square, limit = 1.0, 0.0, 0.0, 2 / (1 - beta2) - 1
    for step, rate in enumerate(rates, 1):
        gradient, beta1 = values["weight_decay"] * weight, momenta[step - 1] if momenta else usual
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        change = mean / (1 - beta1**step)
        length = limit - 2 * step * beta2**step / (1 - beta2**step)
        if length > 5:
            change *= math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
            change *= math.sqrt(1 - beta2**step) / (math.sqrt(square) + eps)
        weight -= rate * change
    return weight


def _adamax(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    (usual, beta2), eps = values["betas"], values["eps"]
    weight, mean, largest = 1.0, 0.0, 0.0
    for step, rate in enumerate(rates, 1):
        gradient, beta1 = values["weight_decay"] * weight, momenta[step - 1] if momenta else usual
        mean = beta1 * mean + (1 - beta1) * gradient
        largest = max(beta2 * largest, abs(gradient) + eps)
        weight -= rate / (1 - beta1**step) * mean / largest
    return weight


def _rmsprop(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    alpha, eps, momentum = values["alpha"], values["eps"], values["momentum"]
    weight, square, mean, velocity = 1.0, 0.0, 0.0, 0.0
    for step, rate in enumerate(rates):
        gradient = values["weight_decay"] * weight
        square = alpha * square + (1 - alpha) * gradient**2
        mean = alpha * mean + (1 - alpha) * gradient
        change = gradient / (math.sqrt(max(square - (mean**2 if values["centered"] else 0.0), 0.0)) + eps)
        share = momenta[step] if momenta else momentum
        velocity = share * velocity + change if share else change
        weight -= rate * velocity
    return weight


def _adagrad(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    weight, total = 1.0, values["initial_accumulator_value"]
    for step, rate in enumerate(rates):
        gradient = values["weight_decay"] * weight
        total += gradient**2
        weight -= rate / (1 + step * values["lr_decay"]) * gradient / (math.sqrt(total) + values["eps"])
    return weight


def _adadelta(values: Mapping[str, Any], rates: list[float], momenta: list[float] | None) -> float:
    rho, eps = values["rho"], values["eps"]
    weight, square, moved = 1.0, 0.0, 0.0
    for rate in rates:
        gradient = values["weight_decay"] * weight
        square = rho * square + (1 - rho) * gradient**2
        change = math.sqrt(moved + eps) / math.sqrt(square + eps) * gradient
        moved = rho * moved + (1 - rho) * change**2
        weight -= rate * change
    return weight


_RULES: Mapping[str, Callable[[Mapping[str, Any], list[float], list[float] | None], float]] = {
    "SGD": _sgd,
    "ASGD": _asgd,
    "Adam": _adam,
    "NAdam": _nadam,
    "RAdam": _radam,
    "Adamax": _adamax,
    "RMSprop": _rmsprop,
    "Adagrad": _adagrad,
    "Adadelta": _adadelta,
}
