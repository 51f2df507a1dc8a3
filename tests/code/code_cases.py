"""What the tests of code share."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim.optimizer import Optimizer

from core.code import phases, pytorch_code
from core.config import RunConfig
from core.model import anatomy
from core.model.steering import Steering
from core.networks import models
from core.records.layers import ParameterInfo, frozen_parameters, head_options, multipliers_by_parameter

CLASSES = 10


NETWORK = "my-net: conv 8 bias=no, norm, relu, pool, residual 16 stride=2, global pool, flatten, linear 12, norm, tanh, dropout 0.1"


SMALL = RunConfig(model="small_cnn", image_size=16, epochs=1, batch_size=256, device="cpu", threads=1)
"""Trains an epoch of five steps."""


def parameters_of(config: RunConfig) -> tuple[ParameterInfo, ...]:
    return anatomy.describe(config.model, CLASSES, config.image_size, head_options(config)).parameters


def script_of(config: RunConfig) -> str:
    """The script as a screen makes it: everything that the config says."""
    parameters = parameters_of(config)
    frozen = frozen_parameters(config.freeze, parameters)
    layers = [(parameter.name, parameter.name in frozen) for parameter in parameters]
    multipliers = multipliers_by_parameter(config.learning_rate_multipliers, parameters)
    return pytorch_code(config, CLASSES, layers, multipliers, phases(config, parameters))


def ready(config: RunConfig) -> dict[str, Any]:
    """What the script has made by the time at which training would begin."""
    names: dict[str, Any] = {}
    exec(compile(script_of(config).partition("# Training")[0], "script.py", "exec"), names)
    return names


def learning(model: nn.Module, optimizer: Optimizer, key: str = "lr") -> dict[str, float]:
    """The parameters that can learn and are in the optimizer, each with its learning rate, or another setting of its group."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: group[key] for group in optimizer.param_groups for parameter in group["params"] if parameter.requires_grad}


def steered(config: RunConfig, steps: int) -> Steering:
    """What a run of this config begins with."""
    model = models.build(config.model, CLASSES, config.image_size, head_options(config))
    return Steering(model, parameters_of(config), config, steps)
