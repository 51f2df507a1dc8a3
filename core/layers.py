"""A model's layers as data, and which of them a `FreezePlan` freezes. No torch: the web process can ask, a worker can apply."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from core.config import PRESETS, ConfigError, FreezePlan

Role = Literal["stem", "body", "last stage", "head"]


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter tensor. `module` is the path of the module that owns it ('' for the root), `kind` that module's class name."""

    name: str
    shape: tuple[int, ...]
    count: int
    module: str
    kind: str
    role: Role
    is_norm: bool


@dataclass(frozen=True)
class ModelDescription:
    """A model as the freeze editor and the plan resolver see it: every parameter tensor, in `named_parameters` order.

    `kinds` maps every module path that holds parameters (groups too) to its class name; `output_shapes` maps leaf modules to
    the shape of what they return for one image, batch dimension left out.
    """

    model: str
    classes: int
    image_size: int
    parameters: tuple[ParameterInfo, ...]
    kinds: dict[str, str]
    output_shapes: dict[str, tuple[int, ...]]

    @property
    def count(self) -> int:
        """Number of parameters (elements, not tensors)."""
        return sum(parameter.count for parameter in self.parameters)


def frozen_parameters(plan: FreezePlan, parameters: Iterable[ParameterInfo]) -> frozenset[str]:
    """Names of the parameter tensors that `plan` freezes.

    Raises:
        ConfigError: for a pattern that matches no parameter, and for a plan that leaves nothing to train.
    """
    parameters = tuple(parameters)
    frozen = {parameter.name for parameter in parameters if _preset_freezes(plan.preset, parameter)}
    for pattern, freezes in plan.patterns:
        matched = {parameter.name for parameter in parameters if matches(pattern, parameter.name)}
        if not matched:
            known = sorted({parameter.name.split(".")[0] for parameter in parameters})
            raise ConfigError("freeze", f"the pattern {pattern!r} matches no layer of this model; its layers start with {', '.join(known)}")
        frozen = frozen | matched if freezes else frozen - matched
    if len(frozen) == len(parameters):
        raise ConfigError(
            "freeze", f"{str(plan)!r} freezes every layer, so nothing would learn; leave at least one trainable, for example with 'head only'"
        )
    return frozenset(frozen)


def matches(pattern: str, name: str) -> bool:
    """True if `pattern` names the parameter itself, a module above it, or matches its whole name as `fnmatch` does."""
    return name == pattern or name.startswith(pattern + ".") or fnmatchcase(name, pattern)


def _preset_freezes(preset: str, parameter: ParameterInfo) -> bool:
    match preset:
        case "train everything":
            return False
        case "head only":
            return parameter.role != "head"
        case "last stage":
            return parameter.role not in ("head", "last stage")
        case "all but stem":
            return parameter.role == "stem"
        case "norms only":
            return not (parameter.is_norm or parameter.role == "head")
        case _:
            raise ConfigError("freeze", f"{preset!r} is not a preset; use one of {', '.join(PRESETS)}")
