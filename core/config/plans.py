"""The grammar of plans: what is frozen, how fast each layer learns, and what changes while a run trains.

Each is a short text that stands alike in JSON, in a URL, on the command line and in a run's timeline. Which parameters of a real
model a pattern matches is for `core.records.layers` to say. Nothing of the project is imported here but its error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer, model_validator

from core.config.errors import ConfigError
from core.config.limits import LONGEST_NAME, MOST_PARTS, TooMuch, check_size, quoted

PRESETS: Mapping[str, str] = {
    "train everything": "Every layer learns.",
    "head only": "Only the new classifier learns; everything before it is frozen.",
    "last stage": "The last stage (the layers after the last downsampling) and the head learn; everything before is frozen.",
    "all but stem": "Everything learns except the stem, the first layer and its normalisation.",
    "norms only": "Only normalisation layers (BatchNorm, LayerNorm, GroupNorm) and the head learn.",
}
"""Freeze presets: name to what it does, in words for a screen. A name says what *learns*."""

Role = Literal["stem", "body", "last stage", "head"]
ROLES: tuple[Role, ...] = get_args(Role)
"""The parts of every model, from its first layer to its last."""


class _Rules(BaseModel):
    """Rules in order, written as one string with commas between them, in JSON, in a URL and on the command line alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        check_size(value)
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, list | tuple):
            _check_parts(value)
            return {"rules": tuple(str(rule).strip() for rule in value if str(rule).strip())}
        return value

    @model_serializer
    def _as_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return ", ".join(self.rules)


class FreezePlan(_Rules):
    """Which parameters are frozen: rules read from left to right, the last one that matches a parameter decides.

    A rule is the name of a preset (first place only), a pattern that freezes (`layer1.*`, or `layer1` for all below that
    module), or a pattern behind `!` that keeps what it matches trainable. Patterns are those of `fnmatch`; the order and
    the `!` are those of a .gitignore file. Without a preset everything is trainable to begin with.

    In JSON and on the command line a plan is one string, rules separated by commas: `"head only, !layer4.1.*"`.
    """

    rules: tuple[str, ...] = ("train everything",)

    @field_validator("rules")
    @classmethod
    def _check(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        if not rules:
            raise ValueError(f"is empty; use one of {', '.join(PRESETS)} or a name pattern such as 'layer1.*'")
        _check_freeze_rules(rules)
        return rules

    @property
    def preset(self) -> str:
        """The preset that the plan starts from."""
        return self.rules[0] if self.rules[0] in PRESETS else "train everything"

    @property
    def patterns(self) -> tuple[tuple[str, bool], ...]:
        """The rules after the preset as (pattern, freezes), in order."""
        return tuple((rule.removeprefix("!"), not rule.startswith("!")) for rule in self.rules if rule not in PRESETS)

    def with_module(self, path: str, frozen: bool) -> FreezePlan:
        """This plan with everything below the module or parameter `path` frozen, or trainable. Earlier rules about it go."""
        kept = [rule for rule in self.rules if rule in PRESETS or not (rule.removeprefix("!") + ".").startswith(path + ".")]
        return FreezePlan(rules=(*kept, path if frozen else f"!{path}"))

    def then(self, change: Change) -> FreezePlan:
        """This plan after `change`: a preset begins anew, patterns are added behind what there is."""
        if not change.freezing:
            return self
        plan = FreezePlan(rules=change.freezing[:1]) if change.freezing[0] in PRESETS else self
        for rule in change.freezing:
            if rule not in PRESETS:
                plan = plan.with_module(rule.removeprefix("!"), not rule.startswith("!"))
        return plan


class Multipliers(_Rules):
    """What each layer's learning rate is multiplied by: `"stem=0.01, layer4=0.3, head=10"`, 1 for what no rule matches.

    Before the `=` stands a role (stem, body, last stage, head) or a pattern as in a freeze plan; the last rule that matches a
    parameter decides. Discriminative learning rates: Howard & Ruder, Universal Language Model Fine-tuning, 2018.
    """

    @field_validator("rules")
    @classmethod
    def _check(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_check_multiplier(rule) for rule in rules)

    @property
    def patterns(self) -> tuple[tuple[str, float], ...]:
        """The rules as (role or pattern, factor), in order."""
        pairs = (rule.rpartition("=") for rule in self.rules)
        return tuple((pattern, float(factor)) for pattern, _, factor in pairs)

    def with_module(self, path: str, factor: float) -> Multipliers:
        """These multipliers with `factor` for everything below `path`. Earlier rules about it go."""
        kept = [rule for rule, (pattern, _) in zip(self.rules, self.patterns, strict=True) if not (pattern + ".").startswith(path + ".")]
        return Multipliers(rules=(*kept, f"{path}={factor:g}"))

    def then(self, change: Change) -> Multipliers:
        """These multipliers after `change`."""
        multipliers = self
        for pattern, factor in change.multipliers:
            multipliers = multipliers.with_module(pattern, factor)
        return multipliers


class Change(_Rules):
    """What can be changed while a run trains, by a person or by its timeline: `"!layer4, learning_rate=0.0005, fc=10"`.

    A rule is one of a freeze plan (a preset first, if any), `learning_rate=VALUE` (from here on; a schedule goes on from that
    value), or a multiplier `PATTERN=FACTOR`. `all` and `!all` are read as `train everything`, the only thing that they can mean
    here: nothing that freezes every layer can be asked for.
    """

    @field_validator("rules")
    @classmethod
    def _check(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        if not rules:
            raise ValueError("is empty; write what changes, for example '!layer4' or 'learning_rate=0.0005'")
        rules = tuple("train everything" if rule in ("all", "!all") else rule for rule in rules)
        for rule in rules:
            if rule.startswith("learning_rate="):
                _check_number(rule, "learning_rate", 1000)
        checked = tuple(rule if "=" not in rule or rule.startswith("learning_rate=") else _check_multiplier(rule) for rule in rules)
        _check_freeze_rules(tuple(rule for rule in checked if "=" not in rule))
        return checked

    @classmethod
    def parse(cls, text: str) -> Change:
        """The change that `text` says.

        Raises:
            ConfigError: on `change`, for a text that says none.
        """
        try:
            return cls.model_validate(text)
        except ValidationError as error:
            raise ConfigError("change", str(error.errors(include_url=False)[0]["ctx"]["error"])) from None

    @property
    def freezing(self) -> tuple[str, ...]:
        """The rules that are a freeze plan's."""
        return tuple(rule for rule in self.rules if "=" not in rule)

    @property
    def learning_rate(self) -> float | None:
        """The learning rate from here on, before multipliers; None: as it was."""
        rates = [float(rule.partition("=")[2]) for rule in self.rules if rule.startswith("learning_rate=")]
        return rates[-1] if rates else None

    @property
    def multipliers(self) -> tuple[tuple[str, float], ...]:
        """The multipliers that change, as (role or pattern, factor)."""
        return Multipliers(rules=tuple(rule for rule in self.rules if "=" in rule and not rule.startswith("learning_rate="))).patterns


class TimedChange(BaseModel):
    """A change and when it comes: before the first step of epoch `at`, or before step `at`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Literal["epoch", "step"]
    at: Annotated[int, Field(ge=1)]
    change: Change

    def __str__(self) -> str:
        return f"{'step ' if self.unit == 'step' else ''}{self.at}: {self.change}"


class Timeline(BaseModel):
    """What changes by itself while a run trains: `"3: !layer4; 6: train everything; step 900: learning_rate=0.0001"`.

    Each part is an epoch (or `step` and a step), a colon and a `Change`; it holds from the first step of that epoch, or from
    that step, on. Parts at the same time are made in the order given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    changes: tuple[TimedChange, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        check_size(value)
        if not isinstance(value, str):
            return value
        parts = value.split(";")
        _check_parts(parts)
        return {"changes": tuple(_timed_change(part.strip()) for part in parts if part.strip())}

    @model_serializer
    def _as_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "; ".join(str(change) for change in self.changes)

    def due(self, unit: Literal["epoch", "step"], at: int) -> tuple[Change, ...]:
        """The changes that come before epoch or step `at`."""
        return tuple(timed.change for timed in self.changes if timed.unit == unit and timed.at == at)


def _timed_change(text: str) -> TimedChange:
    when, colon, change = text.partition(":")
    found = re.fullmatch(r"(?:(epoch|step)\s+)?(\d{1,9})", when.strip())
    if not colon or not found or int(found[2]) < 1:
        raise ValueError(f"{quoted(text)} does not begin with an epoch and a colon; write for example '3: !layer4' or 'step 900: learning_rate=1e-4'")
    try:
        return TimedChange(unit="step" if found[1] == "step" else "epoch", at=int(found[2]), change=Change.model_validate(change))
    except ValidationError as error:
        cause = error.errors(include_url=False)[0].get("ctx", {}).get("error")
        raise ValueError(f"at {when.strip()}: {cause}") from None


def _check_parts(parts: Sequence[object]) -> None:
    """See that there are not too many. TooMuch, a ValueError, if there are."""
    if len(parts) > MOST_PARTS:
        raise TooMuch(f"has {len(parts):,} parts, more than the {MOST_PARTS:,} that can be used")


def _check_freeze_rules(rules: tuple[str, ...]) -> None:
    for place, rule in enumerate(rules):
        _check_pattern(rule)
        if rule in PRESETS and place > 0:
            raise ValueError(f"the preset {quoted(rule)} must come first, before any pattern")
        if rule == "!" or ("=" in rule or " " in rule) and rule not in PRESETS:
            raise ValueError(f"{quoted(rule)} is neither a preset ({', '.join(PRESETS)}) nor a name pattern such as 'layer1.*'")


def _check_pattern(rule: str) -> None:
    if len(rule) > LONGEST_NAME:
        raise TooMuch(f"has a rule of {len(rule):,} characters, more than the {LONGEST_NAME} that a name pattern may have")


def _check_multiplier(rule: str) -> str:
    """`rule` in its canonical spelling. ValueError for one that is no multiplier."""
    _check_pattern(rule)
    pattern, equals, _ = rule.rpartition("=")
    pattern = pattern.strip()
    if not equals or not pattern or " " in pattern and pattern not in ROLES:
        raise ValueError(f"{quoted(rule)} is no multiplier; write a layer or one of {', '.join(ROLES)}, then = and a number: 'layer4=0.3'")
    return f"{pattern}={_check_number(rule, pattern, 1000):g}"


def _check_number(rule: str, name: str, high: float) -> float:
    try:
        number = float(rule.rpartition("=")[2])
    except ValueError:
        number = math.nan
    if not 0 < number <= high:
        example = f"{name[:LONGEST_NAME]}=0.1"
        raise ValueError(
            f"{quoted(rule)} needs a number above 0 and up to {high:g} behind the =, for example '{example}'; to stop a layer, freeze it"
        )
    return number
