"""What a run is asked to do: `RunConfig`, validated field by field, JSON in and out.

Nothing of the project is imported here. Whether a *name* exists (a dataset, a model, an optimizer's option) is for
`core.catalog.check` to say; this module knows types, ranges and the grammar of a freeze plan.
"""

from __future__ import annotations

import json
import math
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

PRECISIONS = ("float32", "bfloat16", "float16")

EXAMPLES: Mapping[str, str] = {
    "dataset": "digits",
    "model": "resnet18",
    "starting_weights": "random",
    "image_size": "64",
    "freeze": "'head only'",
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
    "validation_share": "0.2",
    "early_stopping": "3",
}
"""A value for each field of a run that can be used: the remedy in an error."""

OptionValue = bool | int | float | str | list[float] | None


class ConfigError(ValueError):
    """A value that cannot be used. `field` is the name of the config field, `message` says what is wrong and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str]]:
        return type(self), (self.field, self.message)


class FreezePlan(BaseModel):
    """Which parameters are frozen: rules read from left to right, the last one that matches a parameter decides.

    A rule is the name of a preset (first place only), a pattern that freezes (`layer1.*`, or `layer1` for all below that
    module), or a pattern behind `!` that keeps what it matches trainable. Patterns are those of `fnmatch`; the order and
    the `!` are those of a .gitignore file. Without a preset everything is trainable to begin with.

    In JSON and on the command line a plan is one string, rules separated by commas: `"head only, !layer4.1.*"`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[str, ...] = ("train everything",)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, list | tuple):
            return {"rules": tuple(str(rule).strip() for rule in value if str(rule).strip())}
        return value

    @field_validator("rules")
    @classmethod
    def _check(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        if not rules:
            raise ValueError(f"is empty; use one of {_listed(PRESETS)} or a name pattern such as 'layer1.*'")
        for place, rule in enumerate(rules):
            if rule in PRESETS and place > 0:
                raise ValueError(f"the preset {rule!r} must come first, before any pattern")
            if rule == "!" or " " in rule and rule not in PRESETS:
                raise ValueError(f"{rule!r} is neither a preset ({_listed(PRESETS)}) nor a name pattern such as 'layer1.*'")
        return rules

    @model_serializer
    def _as_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return ", ".join(self.rules)

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


class RunConfig(BaseModel):
    """Everything that decides what a run does: two runs with equal configs on one machine end with equal weights.

    Raises:
        ConfigError: naming the field, the value and the remedy, for any value that cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field("digits", min_length=1, description="A catalogue name, or folder:PATH for a folder of class folders")
    model: str = Field("resnet18", min_length=1, description="A torchvision classification model, or small_cnn or mlp")
    starting_weights: str = Field("random", min_length=1, description="random, pretrained, or the path of a .pth or .safetensors file")
    image_size: int = Field(64, ge=8, le=1024, description="Side of the square that every image is resized to, in pixels")
    freeze: FreezePlan = Field(FreezePlan(), description="A preset and/or name patterns, comma separated: 'head only', 'layer1.*, !layer1.0'")
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
    validation_share: float = Field(
        0.2, ge=0, le=0.9, allow_inf_nan=False, description="Share of the training images held back to measure progress, 0 to 0.9"
    )
    early_stopping: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="Stop after this many epochs without a better validation loss; empty: never"
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _config_error(error) from None

    @field_validator(
        "image_size", "learning_rate", "momentum", "weight_decay", "batch_size", "epochs", "seed", "validation_share", "early_stopping", mode="before"
    )
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
        return self

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
    if field == "freeze":
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
        case "string_too_short":
            return "must not be empty"
        case "string_type":
            return "must be text"
        case _:
            return f"cannot be used ({error['msg']})"
