"""What a run is asked to do: `RunConfig`, validated field by field, JSON in and out.

Nothing of the project is imported here but the grammar of plans and the error. Whether a *name* exists (a dataset, a model, an
optimizer's option) is for `core.catalog.check` to say; this module knows types and ranges.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.config.cluster import EXAMPLE, LONGEST_MINUTES, canonical_options, canonical_partition, check_target
from core.config.devices import MOST_MACHINES, canonical, check_shared, meeting
from core.config.errors import ConfigError as ConfigError  # what a config raises is imported from here
from core.config.examples import EXAMPLES as EXAMPLES
from core.config.limits import LONGEST_NAME, LONGEST_PATH, LONGEST_TEXT, MOST_PARTS, TooMuch, check_size, quoted, read_json
from core.config.plans import FreezePlan, Multipliers, Timeline

PRECISIONS = ("float32", "bfloat16", "float16")

MEASURED = ("precision", "memory_format", "fused_optimizer", "compile_model", "fold_norms", "im2col_gradients")
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

CLASS_WEIGHTS: Mapping[str, str] = {
    "none": "Every picture counts the same in the loss.",
    "balanced": "The rarer a class is among the training pictures, the more each of its pictures counts in the loss (training, validation, test).",
}
"""How much a picture of a class counts: name to what it does, in words for a screen."""

DOUBLES: Mapping[str, str] = {
    "keep": "Training pictures that are in the validation or the test set too, pixel for pixel, stay where they are.",
    "leave out": "Training pictures that are in the validation or the test set too, pixel for pixel, are not trained on.",
}
"""What becomes of pictures that are in two sets: name to what it does, in words for a screen."""

FITS: Mapping[str, str] = {
    "crop": "The middle square of each picture is used; what lies beyond it is never seen.",
    "squash": "All of each picture is used, its longer side pressed together until it is a square: shapes are distorted.",
    "pad": "All of each picture is used in its own shape, with black at two of its sides to make it a square: details get smaller.",
}
"""How pictures that are not square become squares: name to what it does, in words for a screen."""

OptionValue = bool | int | float | str | list[float] | None


class RunConfig(BaseModel):
    """Everything that decides what a run does: two runs with equal configs on one machine end with equal weights.

    Raises:
        ConfigError: naming the field, the value and the remedy, for any value that cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field("digits", min_length=1, description="A catalogue name, or folder:PATH for a folder of class folders")
    model: str = Field("resnet18", min_length=1, description="A torchvision classification model, small_cnn, mlp, or a network of your own")
    starting_weights: str = Field(
        "random", min_length=1, description="random, pretrained, the path of a weights file of PyTorch or safetensors, or the id of a run: its newest"
    )
    image_size: int = Field(64, ge=8, le=1024, description="Side of the square that every image becomes, in pixels")
    fit: Literal["crop", "squash", "pad"] = Field(
        "crop",
        description="How a picture that is not square becomes one: crop (its middle), squash (all of it, distorted) or pad (all of it, and black)",
    )
    freeze: FreezePlan = Field(FreezePlan(), description="A preset and/or name patterns, comma separated: 'head only', 'layer1.*, !layer1.0'")
    head_dropout: float = Field(
        0.0, ge=0, lt=1, allow_inf_nan=False, description="Chance of each number that goes into the last layer to be dropped while training, 0 to 1"
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
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="none: every picture counts the same in the loss; balanced: by N / (classes x pictures of its class), so that rare classes count",
    )
    optimizer: str = Field("AdamW", min_length=1, description="How weights move along their gradients: a torch.optim optimizer")
    learning_rate: float = Field(
        1e-3, gt=0, le=1000, allow_inf_nan=False, description="Step size, the highest one where a schedule moves it (Rprop: the first one only)"
    )
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
    devices: str = Field("1", description="Devices that share each step: how many, all, or GPUs such as 0, 2; on the processor, processes")
    nodes: int = Field(
        1, ge=1, le=MOST_MACHINES, description="Machines that share each step, each with as many devices; the run says how the others join it"
    )
    rendezvous: str | None = Field(
        None, description="Where other machines find this one: host:port; empty: an address of this machine, and a free port"
    )
    restarts: int = Field(
        0, ge=0, le=100, description="How often a run on several devices goes on by itself from its last checkpoint after a failure"
    )
    silence_seconds: float = Field(
        25.0, ge=2, le=3600, allow_inf_nan=False, description="Seconds without a sign of life after which one of several devices counts as lost"
    )
    target: Literal["here", "slurm"] = Field(
        "here", description="Where it is computed: here, or slurm: a job of the cluster that this machine submits to"
    )
    partition: str | None = Field(None, description="Partition of Slurm, as sinfo lists them; empty: the cluster's usual one")
    time_limit: Annotated[int, Field(ge=1, le=LONGEST_MINUTES)] | None = Field(
        None, description="Minutes after which Slurm ends the job, which makes a checkpoint before; empty: the partition's usual"
    )
    sbatch: str | None = Field(None, description=f"What else Slurm is told, as options of sbatch: {EXAMPLE}; empty: nothing")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the forward pass: float32 is exact, the others are faster on some hardware"
    )
    augmentation: str = Field(
        "none", min_length=1, description="Random changes to training images: a name, or steps of torchvision, RandomHorizontalFlip(p=0.5), ..."
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Where all chance starts from: same seed, same run")
    watch_every: int = Field(10, ge=1, le=100_000, description="Steps between two looks at weight changes and frozen layers")
    validation_share: float = Field(
        0.2, ge=0, le=0.9, allow_inf_nan=False, description="Share of the training images held back to measure progress, 0 to 0.9"
    )
    doubles: Literal["keep", "leave out"] = Field(
        "keep", description="Training pictures that are in the validation or the test set too, pixel for pixel: keep, or leave out of training"
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
    im2col_gradients: bool = Field(
        False, description="Weight gradients of convolutions on small maps as one matrix product: faster on a processor, and rounds differently"
    )
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
    checkpoint_minutes: float = Field(
        5.0, gt=0, le=10_000, allow_inf_nan=False, description="Minutes after which a checkpoint is made, from which the run could go on"
    )
    forgetting: bool = Field(
        False, description="Measure what is forgotten: how far each layer is from its start, and how well the old task is still done"
    )
    old_task: str | None = Field(
        None, description="Folder of class folders of the old task, for weights of no run of Thaw; empty: as the run that they come from has it"
    )
    fault: Literal[
        "none", "no zero_grad", "all frozen", "drifting BatchNorm", "frozen in optimizer", "shuffled labels", "leaking split", "imbalanced classes"
    ] = Field("none", description="Break the run on purpose, to see what goes wrong: " + ", ".join(FAULTS))  # fmt: skip

    def __init__(self, **values: Any) -> None:
        _check_sizes(values)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _config_error(error) from None

    @field_validator(
        "image_size", "learning_rate", "momentum", "weight_decay", "batch_size", "epochs", "seed", "validation_share", "early_stopping",
        "head_dropout", "head_hidden", "watch_every", "accumulate", "clip_norm", "threads", "feature_cache_gigabytes", "fixed_views", "watch_budget",
        "checkpoint_minutes", "nodes", "restarts", "silence_seconds", "time_limit",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _no_bool(cls, value: Any) -> Any:
        # Python counts True as 1; a person who writes true means something else.
        if isinstance(value, bool):
            raise ValueError("must be a number")
        return value

    _devices = field_validator("devices", mode="before")(canonical)
    _rendezvous = field_validator("rendezvous", mode="before")(meeting)
    _partition = field_validator("partition", mode="before")(canonical_partition)
    _sbatch = field_validator("sbatch", mode="before")(canonical_options)

    @field_validator("old_task", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

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
        check_shared(self)
        check_target(self)
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
            values = read_json(text)
        except TooMuch as error:
            raise ConfigError("config", f"the JSON text {error}; write an object of fields and values") from None
        except ValueError as error:
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


def _config_error(error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints, as field, value and remedy in words."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return cause
    field = str(first["loc"][0]) if first["loc"] else "config"
    if first["type"] == "extra_forbidden":
        return ConfigError(field, f"is not a field of a run (got {quoted(first['input'])}); the fields are {', '.join(RunConfig.model_fields)}")
    value = first["input"]
    if field in ("freeze", "learning_rate_multipliers"):
        value = value.get("rules", value) if isinstance(value, dict) else value
        value = ", ".join(value) if isinstance(value, tuple | list) else value
    elif isinstance(value, float) and math.isnan(value):
        value = "NaN"
    if value is None or (isinstance(value, str) and not value.strip()):
        wanted = str(cause or _in_words(first))
        return ConfigError(field, wanted if "empty" in wanted else f"is empty, and {wanted}; try {EXAMPLES[field]}")
    if cause is not None:
        got = "" if quoted(value) in str(cause) else f", got {quoted(value)}"
        return ConfigError(field, f"{cause}{got}")
    return ConfigError(field, f"{_in_words(first)}, got {quoted(value)}; try {EXAMPLES[field]}")


_LONGEST = {"dataset": LONGEST_PATH, "starting_weights": LONGEST_PATH, "augmentation": LONGEST_PATH, "old_task": LONGEST_PATH}
_IN_PARTS = ("model", "freeze", "timeline", "learning_rate_multipliers")


def _check_sizes(values: Mapping[str, Any]) -> None:
    """Look at lengths and depths first: what is far too much would be searched, compared and quoted for a minute before it is refused."""
    if len(values) > MOST_PARTS:
        raise ConfigError("config", f"has {len(values):,} fields; a run has {len(RunConfig.model_fields)}")
    for field, value in values.items():
        try:
            check_size(value, LONGEST_TEXT if field in _IN_PARTS else _LONGEST.get(field, LONGEST_NAME))
        except TooMuch as error:
            begins = f" (it begins with {quoted(value[:40])})" if isinstance(value, str) else ""
            example = f"; try {EXAMPLES[field]}" if field in EXAMPLES else ""
            raise ConfigError(field, f"{error}{begins}{example}") from None


def _figure(limit: float) -> str:
    """A limit with all of its digits."""
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _in_words(error: Any) -> str:
    if len(error["loc"]) > 1 and str(error["loc"][0]).endswith("_options"):
        return "an option must be a number, a text, true, false, null or a list of numbers"
    limits = error.get("ctx", {})
    match error["type"]:
        case "greater_than":
            return f"must be above {_figure(limits['gt'])}"
        case "greater_than_equal":
            return f"must be {_figure(limits['ge'])} or more"
        case "less_than":
            return f"must be below {_figure(limits['lt'])}"
        case "less_than_equal":
            return f"must be {_figure(limits['le'])} or less"
        case "literal_error":
            return f"must be one of {limits['expected']}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "int_parsing_size":
            return "must be a smaller number"
        case "float_parsing" | "float_type" | "finite_number":
            return "must be a finite number"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "string_too_short":
            return f"must not be empty; try {EXAMPLES[str(error['loc'][0])]}"
        case "string_type":
            return "must be text"
        case _:
            return f"cannot be used ({error['msg']})"
