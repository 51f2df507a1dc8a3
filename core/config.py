"""What a run is asked to do: `RunConfig`, validated field by field, JSON in and out.

Nothing of the project is imported here. Whether a *name* exists (a dataset, a model, an optimizer's option) is for
`core.catalog.check` to say; this module knows types, ranges and the grammar of a freeze plan.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer, model_validator

PRESETS: Mapping[str, str] = {
    "train everything": "Every layer learns.",
    "head only": "Only the new classifier learns; everything before it is frozen.",
    "last stage": "The last stage (the layers after the last downsampling) and the head learn; everything before is frozen.",
    "all but stem": "Everything learns except the stem, the first layer and its normalisation.",
    "norms only": "Only normalisation layers (BatchNorm, LayerNorm, GroupNorm) and the head learn.",
}
"""Freeze presets: name to what it does, in words for a screen. A name says what *learns*."""

ROLES = ("stem", "body", "last stage", "head")
"""The parts of every model, from its first layer to its last."""

PRECISIONS = ("float32", "bfloat16", "float16")

EXAMPLES: Mapping[str, str] = {
    "dataset": "digits",
    "model": "resnet18",
    "starting_weights": "random",
    "image_size": "64",
    "freeze": "'head only'",
    "head_dropout": "0.2",
    "head_hidden": "256",
    "timeline": "'3: !layer4'",
    "learning_rate_multipliers": "'layer4=0.3, head=10'",
    "loss": "CrossEntropyLoss",
    "loss_options": '{"label_smoothing": 0.1}',
    "optimizer": "AdamW",
    "learning_rate": "0.001",
    "momentum": "0.9",
    "weight_decay": "0.01",
    "optimizer_options": '{"eps": 1e-8}',
    "schedule": "constant",
    "schedule_options": '{"gamma": 0.1}',
    "batch_size": "32",
    "epochs": "5",
    "device": "auto",
    "precision": "float32",
    "augmentation": "none",
    "seed": "0",
    "watch_every": "10",
    "validation_share": "0.2",
    "early_stopping": "3",
    "accumulate": "4",
    "clip_norm": "1.0",
    "speed": "exact",
    "memory_format": "contiguous",
    "fused_optimizer": "false",
    "compile_model": "false",
    "fold_norms": "false",
    "threads": "2",
    "frozen_randomness": "true",
    "feature_cache": "exact",
    "feature_cache_gigabytes": "8",
    "fixed_views": "4",
    "watch_budget": "0.02",
    "fault": "none",
}
"""A value for each field of a run that can be used: the remedy in an error."""

MEASURED = ("precision", "memory_format", "fused_optimizer", "compile_model", "fold_norms")
"""What a run with `speed` automatic measures and decides by itself. Each has its exact value as default."""

FAULTS: Mapping[str, str] = {
    "none": "Nothing is broken.",
    "no zero_grad": "optimizer.zero_grad() is never called, so each step adds its gradients to those of all steps before it.",
    "all frozen": "Every parameter is frozen after the optimizer was built, so the loss has nothing to send gradients to.",
    "drifting BatchNorm": "Frozen BatchNorm layers stay in train mode, so their running mean and variance move with every batch.",
    "frozen in optimizer": "Frozen parameters stay in the optimizer with gradients of zero, so weight decay and momentum go on moving them.",
    "shuffled labels": "The labels of the training pictures are shuffled, so they say nothing about the pictures any more.",
    "leaking split": "Pictures that measure are also trained on, so what is measured is memory.",
    "imbalanced classes": "Half of the classes lose all but a twentieth of their training pictures.",
}
"""What can be broken on purpose, to see what goes wrong then: name to what it does, in words for a screen."""

OptionValue = bool | int | float | str | list[float] | None


class ConfigError(ValueError):
    """A value that cannot be used. `field` is the name of the config field, `message` says what is wrong and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str]]:
        return type(self), (self.field, self.message)


class _Rules(BaseModel):
    """Rules in order, written as one string with commas between them, in JSON, in a URL and on the command line alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, list | tuple):
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
            raise ValueError(f"is empty; use one of {_listed(PRESETS)} or a name pattern such as 'layer1.*'")
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
    value), or a multiplier `PATTERN=FACTOR`.
    """

    @field_validator("rules")
    @classmethod
    def _check(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        if not rules:
            raise ValueError("is empty; write what changes, for example '!layer4' or 'learning_rate=0.0005'")
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
        if not isinstance(value, str):
            return value
        return {"changes": tuple(_timed_change(part.strip()) for part in value.split(";") if part.strip())}

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
        raise ValueError(f"{text!r} does not begin with an epoch and a colon; write for example '3: !layer4' or 'step 900: learning_rate=0.0001'")
    try:
        return TimedChange(unit="step" if found[1] == "step" else "epoch", at=int(found[2]), change=Change.model_validate(change))
    except ValidationError as error:
        cause = error.errors(include_url=False)[0].get("ctx", {}).get("error")
        raise ValueError(f"at {when.strip()}: {cause}") from None


def _check_freeze_rules(rules: tuple[str, ...]) -> None:
    for place, rule in enumerate(rules):
        if rule in PRESETS and place > 0:
            raise ValueError(f"the preset {rule!r} must come first, before any pattern")
        if rule == "!" or ("=" in rule or " " in rule) and rule not in PRESETS:
            raise ValueError(f"{rule!r} is neither a preset ({_listed(PRESETS)}) nor a name pattern such as 'layer1.*'")


def _check_multiplier(rule: str) -> str:
    """`rule` in its canonical spelling. ValueError for one that is no multiplier."""
    pattern, equals, _ = rule.rpartition("=")
    pattern = pattern.strip()
    if not equals or not pattern or " " in pattern and pattern not in ROLES:
        raise ValueError(f"{rule!r} is no multiplier; write a layer or one of {', '.join(ROLES)}, then = and a number: 'layer4=0.3'")
    return f"{pattern}={_check_number(rule, pattern, 1000):g}"


def _check_number(rule: str, name: str, high: float) -> float:
    try:
        number = float(rule.rpartition("=")[2])
    except ValueError:
        number = math.nan
    if not 0 < number <= high:
        raise ValueError(f"{rule!r} needs a number above 0 and up to {high:g} behind the =, for example '{name}=0.1'; to stop a layer, freeze it")
    return number


class RunConfig(BaseModel):
    """Everything that decides what a run does: two runs with equal configs on one machine end with equal weights.

    Raises:
        ConfigError: naming the field, the value and the remedy, for any value that cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field("digits", min_length=1, description="A catalogue name, or folder:PATH for a folder of class folders")
    model: str = Field("resnet18", min_length=1, description="A torchvision classification model, small_cnn, mlp, or a network of your own")
    starting_weights: str = Field("random", min_length=1, description="random, pretrained, or the path of a .pth or .safetensors file")
    image_size: int = Field(64, ge=8, le=1024, description="Side of the square that every image is resized to, in pixels")
    freeze: FreezePlan = Field(FreezePlan(), description="A preset and/or name patterns, comma separated: 'head only', 'layer1.*, !layer1.0'")
    head_dropout: float = Field(
        0.0, ge=0, lt=1, allow_inf_nan=False, description="Share of what goes into the new head that is dropped at random while training, 0 to 1"
    )
    head_hidden: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        None, description="Width of a hidden layer in the new head; empty: a single layer, as in the original"
    )
    timeline: Timeline = Field(Timeline(), description="What changes by itself, epoch: change: '3: !layer4; 6: train everything'")
    learning_rate_multipliers: Multipliers = Field(
        Multipliers(), description="Factor of the learning rate by layer or role: 'stem=0.01, body=0.1, head=1'; 1 for the rest"
    )
    loss: str = Field("CrossEntropyLoss", min_length=1, description="What training makes small: a torch.nn loss")
    loss_options: dict[str, OptionValue] = Field({}, description="Further options of the loss, as in torch.nn")
    optimizer: str = Field("AdamW", min_length=1, description="How weights move along their gradients: a torch.optim optimizer")
    learning_rate: float = Field(1e-3, gt=0, le=1000, allow_inf_nan=False, description="Step size at the start of training")
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="Share of the last update kept, 0 to 1; empty: the optimizer's usual"
    )
    weight_decay: Annotated[float, Field(ge=0, le=10)] | None = Field(None, description="Pull of each weight towards 0; empty: the optimizer's usual")
    optimizer_options: dict[str, OptionValue] = Field({}, description="Further options of the optimizer, as in torch.optim")
    schedule: str = Field("constant", min_length=1, description="How the learning rate changes: a torch.optim.lr_scheduler schedule, or constant")
    schedule_options: dict[str, OptionValue] = Field({}, description="Further options of the schedule, as in torch.optim.lr_scheduler")
    batch_size: int = Field(32, ge=1, le=65536, description="Images in one training step")
    epochs: int = Field(5, ge=1, le=100_000, description="Times that the whole training set is seen")
    device: str = Field("auto", min_length=1, description="auto, cpu, cuda:0, cuda:1, ..., mps")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the forward pass: float32 is exact, the others are faster on some hardware"
    )
    augmentation: str = Field("none", min_length=1, description="Random changes to training images")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Where all chance starts from: same seed, same run")
    watch_every: int = Field(10, ge=1, le=100_000, description="Steps between two looks at weight changes and frozen layers")
    validation_share: float = Field(
        0.2, ge=0, le=0.9, allow_inf_nan=False, description="Share of the training images held back to measure progress, 0 to 0.9"
    )
    early_stopping: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="Stop after this many epochs without a better validation loss; empty: never"
    )
    accumulate: int = Field(1, ge=1, le=65536, description="Batches whose gradients are added up for one update: a large batch in little memory")
    clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Longest gradient, all parameters taken together (L2 norm), that an update may use; empty: any"
    )
    speed: Literal["exact", "automatic"] = Field(
        "exact", description="exact: precision and layout as set here; automatic: measure a few steps of each way and take the fastest"
    )
    memory_format: Literal["contiguous", "channels_last"] = Field(
        "contiguous", description="How images lie in memory: channels_last is faster for some models, and rounds differently"
    )
    fused_optimizer: bool = Field(False, description="Update all weights in one operation: faster, and rounds differently")
    compile_model: bool = Field(False, description="Translate the model with torch.compile: faster steps after a long start, and rounds differently")
    fold_norms: bool = Field(False, description="Fold frozen BatchNorm into the convolution before it: a faster first epoch, and rounds differently")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="Processor threads that training uses; empty: all, or as automatic finds best"
    )
    frozen_randomness: bool = Field(
        True, description="Dropout and stochastic depth inside frozen blocks: on, as in any training loop, or resting, so that more can be kept"
    )
    feature_cache: Literal["exact", "float16", "off"] = Field(
        "exact",
        description="Keep what frozen layers compute for each image instead of computing it again: exact, rounded to float16 (half the room), or off",
    )
    feature_cache_gigabytes: float = Field(
        8.0, gt=0, le=100_000, allow_inf_nan=False, description="Most that kept features may take on disk (or in memory, if it is full), in gigabytes"
    )
    fixed_views: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Random pictures of each image, shown in turn so that their features can be kept; empty: new ones in every epoch"
    )
    watch_budget: float = Field(
        0.02, gt=0, le=1, allow_inf_nan=False, description="Share of the time that watching may cost, 0 to 1, before it measures less often"
    )
    fault: Literal[
        "none", "no zero_grad", "all frozen", "drifting BatchNorm", "frozen in optimizer", "shuffled labels", "leaking split", "imbalanced classes"
    ] = Field("none", description="Break the run on purpose, to see what goes wrong: " + ", ".join(FAULTS))  # fmt: skip

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _config_error(error) from None

    @field_validator(
        "image_size", "learning_rate", "momentum", "weight_decay", "batch_size", "epochs", "seed", "validation_share", "early_stopping",
        "head_dropout", "head_hidden", "watch_every", "accumulate", "clip_norm", "threads", "feature_cache_gigabytes", "fixed_views", "watch_budget",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _no_bool(cls, value: Any) -> Any:
        # Python counts True as 1; a person who writes true means something else.
        if isinstance(value, bool):
            raise ValueError("must be a number")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.early_stopping is not None and self.validation_share == 0:
            raise ConfigError("early_stopping", f"{self.early_stopping} needs a validation set; set validation_share above 0, for example 0.2")
        late = [timed for timed in self.timeline.changes if timed.unit == "epoch" and timed.at > self.epochs]
        if late:
            raise ConfigError("timeline", f"'{late[0]}' comes after the last epoch ({self.epochs}); give an earlier epoch, or train for more epochs")
        if self.speed == "automatic":
            for field in MEASURED:
                value, exact = getattr(self, field), type(self).model_fields[field].default
                if value != exact:
                    shown = json.dumps(value) if isinstance(value, bool) else repr(value)
                    remedy = f"set speed to exact, or {field} to {EXAMPLES[field]}"
                    raise ConfigError(field, f"{shown} cannot be chosen where speed is automatic, which decides that itself; {remedy}")
        if self.fold_norms and self.feature_cache == "off":
            remedy = "set feature_cache to exact, or fold_norms to false"
            raise ConfigError("fold_norms", f"true has nothing to fold into: only layers that are computed once and kept are folded; {remedy}")
        self._check_fault()
        return self

    def _check_fault(self) -> None:
        """See that what is to be broken is there."""
        if self.fault in ("drifting BatchNorm", "frozen in optimizer") and str(self.freeze) == "train everything":
            raise ConfigError("fault", f"{self.fault!r} is about frozen layers, and freeze is 'train everything'; set freeze to {EXAMPLES['freeze']}")
        if self.fault == "all frozen" and self.timeline.changes:
            raise ConfigError("fault", f"{self.fault!r} ends at the first step, before the timeline {str(self.timeline)!r}; leave the timeline out")
        if self.fault != "none" and self.speed == "automatic":
            raise ConfigError("fault", f"{self.fault!r} would be in the way of measuring how fast steps are; set speed to exact, or fault to none")

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """The config that `to_json` wrote. Fields left out take their defaults, unknown ones are refused.

        Raises:
            ConfigError: for text that is not a JSON object, and for any field that cannot be used.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError("config", f'is not JSON ({error}); write an object such as {{"dataset": "digits"}}') from None
        if not isinstance(values, dict):
            raise ConfigError("config", f"must be a JSON object of field names and values, got {type(values).__name__}")
        return cls(**values)

    def to_json(self) -> str:
        """One line of JSON with every field, defaults included."""
        return self.model_dump_json()

    def replace(self, **changes: Any) -> RunConfig:
        """A validated copy with some fields changed."""
        return RunConfig(**{**self.model_dump(), **changes})

    def changes(self) -> dict[str, Any]:
        """The fields that differ from their defaults: what a person chose."""
        default = RunConfig().model_dump()
        return {name: value for name, value in self.model_dump().items() if value != default[name]}


def _listed(names: Mapping[str, str]) -> str:
    return ", ".join(names)


def _config_error(error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints, as field, value and remedy in words."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return cause
    field = str(first["loc"][0]) if first["loc"] else "config"
    if first["type"] == "extra_forbidden":
        return ConfigError(field, f"is not a field of a run (got {first['input']!r}); the fields are {', '.join(RunConfig.model_fields)}")
    value = first["input"]
    if field in ("freeze", "learning_rate_multipliers"):
        value = value.get("rules", value) if isinstance(value, dict) else value
        value = ", ".join(value) if isinstance(value, tuple | list) else value
    elif isinstance(value, float) and math.isnan(value):
        value = "NaN"
    if cause is not None:
        return ConfigError(field, f"{cause}, got {value!r}")
    return ConfigError(field, f"{_in_words(first)}, got {value!r}; try {EXAMPLES[field]}")


def _in_words(error: Any) -> str:
    limits = error.get("ctx", {})
    match error["type"]:
        case "greater_than":
            return f"must be above {limits['gt']:g}"
        case "greater_than_equal":
            return f"must be {limits['ge']:g} or more"
        case "less_than":
            return f"must be below {limits['lt']:g}"
        case "less_than_equal":
            return f"must be {limits['le']:g} or less"
        case "literal_error":
            return f"must be one of {limits['expected']}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "must be a finite number"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "string_too_short":
            return "must not be empty"
        case "string_type":
            return "must be text"
        case _:
            return f"cannot be used ({error['msg']})"
