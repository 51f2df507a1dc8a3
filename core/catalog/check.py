"""One question: do the names and options of a `RunConfig` exist, and do they go together?"""

from __future__ import annotations

import shutil
from pathlib import Path

from core.catalog import optimizers, schedules
from core.catalog.losses import LOSSES
from core.catalog.optimizers import OPTIMIZERS, OptimizerEntry
from core.catalog.schedules import SCHEDULES
from core.catalog.weight_kinds import kind_of
from core.config import ConfigError, RunConfig
from core.config.devices import check_batch, places
from core.config.entry import Entry, by_name, check_options, find, suggest
from core.config.limits import quoted
from core.data.augmentations import AugmentationEntry, find_augmentation
from core.data.datasets import DATASETS, FOLDER, find_dataset
from core.machine.hardware import cores, cpp_compiler, device_of
from core.machine.paths import is_there, pasted
from core.networks.model_entries import ModelEntry
from core.networks.models import find_model

STARTING_WEIGHTS = by_name(
    (
        Entry("random", "Random", "Fresh random weights: the model knows nothing yet, and what is frozen stays random."),
        Entry(
            "pretrained",
            "Pretrained",
            "The weights that torchvision publishes for the model, downloaded once, or those that ship with Thaw for small_cnn; the head is fresh.",
        ),
    )
)
"""Where weights come from, besides the path of a file."""

WEIGHT_FILES = (".pth", ".pt", ".ckpt", ".bin", ".tar", ".pkl", ".model", ".weights", ".th", ".safetensors")
"""How files of weights are called. It only tells a path from a name: what a file is, is read off what it holds."""


def check(config: RunConfig) -> RunConfig:
    """`config` with every name and option in its canonical spelling, and the path of a weights file made absolute.

    Raises:
        ConfigError: for a name or option that does not exist (with the closest that do), a value out of its range, and
            choices that do not go together.
    """
    model = find_model(config.model)
    model.check_image_size(config.image_size)
    loss = find(LOSSES, "loss", config.loss)
    optimizer = find(OPTIMIZERS, "optimizer", config.optimizer)
    schedule = find(SCHEDULES, "schedule", config.schedule)
    augmentation = find_augmentation(config.augmentation)
    _check_together(config, optimizer, augmentation)
    _check_forgetting(config)
    _check_steps(config)
    if device_of(config.device) == "cpu" and config.target == "here":  # what GPUs there are is for `core.worker.assembly.check` to find out
        check_batch(config.nodes * len(places(config.devices, "cpu", cores(), 0)), config.batch_size)
    return config.replace(
        dataset=_dataset(config.dataset),
        model=model.name,
        starting_weights=_starting_weights(config.starting_weights, model),
        loss=loss.name,
        loss_options=check_options(loss, "loss_options", config.loss_options),
        optimizer=optimizer.name,
        optimizer_options=optimizers.check_values(optimizer, config),
        schedule=schedule.name,
        schedule_options=schedules.check_values(schedule, config),
        augmentation=augmentation.name,
    )


def _check_together(config: RunConfig, optimizer: OptimizerEntry, augmentation: AugmentationEntry) -> None:
    if config.fused_optimizer and not optimizer.fused:
        able = [other.name for other in OPTIMIZERS.values() if other.fused]
        remedy = f"set it to false, or use {', '.join(able[:-1])} or {able[-1]}"
        raise ConfigError("fused_optimizer", f"true cannot be had with {optimizer.name}, which PyTorch cannot update in one operation; {remedy}")
    if config.fixed_views is not None and not augmentation.changes:
        remedy = "leave it empty, or choose an augmentation such as shift"
        raise ConfigError("fixed_views", f"{config.fixed_views} needs random pictures, and augmentation {augmentation.name!r} makes none; {remedy}")
    if config.threads is not None and config.threads > cores():
        few = f"{cores()} or less" if cores() > 1 else "1"
        raise ConfigError("threads", f"{config.threads} are more than this machine's {cores()} processor cores; use {few}, or leave it empty")


def _check_forgetting(config: RunConfig) -> None:
    """See that there is something to forget."""
    if config.forgetting and config.starting_weights == "random":
        remedy = "set starting_weights to pretrained or to a file, or forgetting to false"
        raise ConfigError("forgetting", f"true has nothing to measure: random weights know nothing that could be forgotten; {remedy}")
    if config.old_task is not None and not config.forgetting:
        remedy = "set forgetting to true, or leave it empty"
        raise ConfigError("old_task", f"{quoted(config.old_task)} is of use only where what is forgotten is measured; {remedy}")
    if config.old_task is not None and not pasted(config.old_task, "old_task").is_dir():
        raise ConfigError("old_task", f"{quoted(config.old_task)} is no folder; give the path of one that holds a folder for each class")


def _check_steps(config: RunConfig) -> None:
    """See that the timeline's steps come, where it is known how many pictures there are to train on, at most."""
    entry = DATASETS.get(config.dataset)
    if entry is None or not entry.train_images:
        return
    images = entry.train_images - round(entry.train_images * config.validation_share)
    most = -(-images // (config.batch_size * config.accumulate)) * config.epochs
    late = [timed for timed in config.timeline.changes if timed.unit == "step" and timed.at > most]
    if late:
        raise ConfigError("timeline", f"'{late[0]}' comes after the last step ({most:,}); give an earlier step, or train for more epochs")


def check_compiling(config: RunConfig, device: str) -> None:
    """See that torch.compile finds what it needs on a device of this type.

    Raises:
        ConfigError: on `compile_model`, where the processor is to be used and there is no C++ compiler.
    """
    if config.compile_model and device == "cpu" and shutil.which(cpp_compiler()) is None:
        remedy = "install one, name another in the environment variable CXX, or set compile_model to false"
        raise ConfigError("compile_model", f"true needs a C++ compiler on the processor, and {quoted(cpp_compiler())} is not here; {remedy}")


def _dataset(value: str) -> str:
    name = find_dataset(value).name
    if name == FOLDER:
        raise ConfigError("dataset", f"{quoted(value)} needs a path: write folder:PATH, for example folder:photos")
    return name


def _starting_weights(value: str, model: ModelEntry) -> str:
    path = pasted(value, "starting_weights")
    if value not in STARTING_WEIGHTS and (path.suffix.lower() in WEIGHT_FILES or is_there(path) or "/" in value or "\\" in value):
        return str(weights_file(value))
    try:
        entry = find(STARTING_WEIGHTS, "starting_weights", value)
    except ConfigError:
        files = "a weights file (.pth, .ckpt, .safetensors or any other of PyTorch)"
        raise ConfigError(
            "starting_weights", f"{quoted(value)} is neither a name nor the path of {files}; {suggest(STARTING_WEIGHTS, value)}"
        ) from None
    if entry.name == "pretrained" and not model.pretrained:
        remedy = "use random, or a model such as resnet18 or small_cnn"
        raise ConfigError("starting_weights", f"{value!r}: {model.label} is a model of our own and has no trained weights; {remedy}")
    return entry.name


def weights_file(value: str) -> Path:
    """The absolute path of a weights file that exists and is of a kind that can be read, whatever it is called.

    Raises:
        ConfigError: on `starting_weights`, if it is not.
    """
    path = pasted(value, "starting_weights")
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError("starting_weights", f"{quoted(str(path))} {what}; give the path of a weights file, or use random or pretrained")
    kind_of(path)
    return path
