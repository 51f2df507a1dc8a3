"""From a `RunConfig` to a `Trainer` that is ready to run: data, model, freezing, loss, optimizer, schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from core import catalog, data
from core.catalog import decay, losses, optimizers
from core.catalog.batches import check_batches
from core.catalog.check import check_compiling
from core.config import RunConfig
from core.config.devices import check_batch
from core.data.leakage import with_doubles_as_asked
from core.doctor import Doctor, Facts
from core.machine import devices
from core.machine.home import Home
from core.measuring import tuning
from core.measuring.threads import Threads, may_be_chosen
from core.model import anatomy, weights
from core.model.steering import Steering
from core.networks import models
from core.ranks import telling
from core.ranks.group import Group
from core.records.events import Layer, RunPlan
from core.records.layers import ParameterInfo, blocks, check_timeline, frozen_parameters, head_options, multipliers_by_parameter
from core.records.speed import Tuning, applied
from core.records.telling import class_weights_in_words
from core.reuse.counts import use_threads
from core.reuse.partition import Partition
from core.reuse.way import Keeping
from core.signals.watch import Watch
from core.store.saving import log
from core.training import breaking
from core.training.over_ranks import RankTrainer
from core.training.steps import THREADS, laid_out
from core.training.trainer import Trainer

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Assembly:
    """A trainer and what it is about to do, and on what. `tuning`: how the fastest way was found, if that was asked for."""

    trainer: Trainer
    plan: RunPlan
    facts: Facts
    images: data.Data
    tuning: Tuning | None = None

    def doctor(self) -> Doctor:
        """Somebody to watch the run."""
        return Doctor(self.trainer.steering.config, self.plan, self.facts)


@dataclass(frozen=True)
class GoesOn:
    """A run that goes on. `tuning`: how it was found out at its beginning which way is the fastest, if that was asked for."""

    tuning: Tuning | None = None


def check(config: RunConfig, home: Home) -> RunConfig:
    """`config` in canonical spelling, if this machine could begin to carry it out; quick, and nothing is downloaded.

    Raises:
        ConfigError: a name, option, device, image size, freeze plan, timeline or multiplier cannot be used.
    """
    config = catalog.check(config)
    check_compiling(config, devices.resolve(config.device).type)
    if (ranks := config.nodes * len(devices.places(config))) > 1:
        check_batch(ranks, config.batch_size)
    classes = len(catalog.class_names(config.dataset, home.data))
    description = anatomy.describe(config.model, classes, config.image_size, head_options(config))
    frozen_parameters(config.freeze, description.parameters)
    multipliers_by_parameter(config.learning_rate_multipliers, description.parameters)
    check_timeline(config, description.parameters)
    check_batches(config, description)
    return config


def assemble(
    config: RunConfig, home: Home, progress: Progress = lambda text, share: None, goes_on: GoesOn | None = None, group: Group | None = None
) -> Assembly:
    """Everything that `config` names, made and put together; downloads what is missing.

    Seeds torch's global generator, so that two calls with equal configs give equal weights, batches and losses.

    Args:
        progress: told what is being done, and the share of it that is done (0 to 1) where that is known.
        goes_on: the run goes on from a checkpoint, which brings its weights: none are loaded, and nothing is measured again.
        group: this process is one of several that share the run; None: it has it alone.

    Raises:
        ConfigError: anything that the config asks for cannot be had.
    """
    config = check(config, home)
    device = group.device if group else devices.resolve(config.device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs a write of every new tensor, and only hides bugs.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    images, model = _images_and_model(config, home, progress)
    layers = anatomy.describe(config.model, len(images.classes), config.image_size, head_options(config)).parameters
    load: Callable[[], tuple[str, ...]] = (lambda: ()) if goes_on else lambda: weights.load(model, config, progress)
    at_random, read = _left_at_random(model, layers, load, config)
    model = model.to(device)
    found, asked = None, config
    if config.speed == "automatic":
        found = (goes_on and goes_on.tuning) or tuning.choose(config, home, model, layers, images.train, device, progress)
        config = applied(config, found.way)
    use_threads(max(1, (config.threads or THREADS) // (group.ranks_here if group else 1)))
    model = laid_out(model, config)

    class_weights = losses.class_weights(config, images.train.class_counts(len(images.classes)))
    trainer = trainer_of(config, home, model, layers, images, device, class_weights, group)
    breaking.break_training(trainer, config)
    weighed = [class_weights_in_words(images.classes, class_weights)] if class_weights else []
    shared = [telling.shared(trainer.model, config.batch_size, group.ranks, device.type, group.machines)] if group else []
    plan = _plan(config, trainer, layers, images, (*images.notes, *read, *weighed, *shared))
    if may_be_chosen(asked, device) and group is None:
        trainer.partition.threads = Threads(trainer, plan.total_steps, say=log)
    return Assembly(trainer, plan, _facts(config, trainer, images, layers, at_random), images, found)


def _images_and_model(config: RunConfig, home: Home, progress: Progress) -> tuple[data.Data, nn.Module]:
    """The pictures, and beside them the model, which is drawn by a thread: nothing that reads pictures draws from torch's generator.

    torch's generator is seeded before, and stands behind the model's weights then. Raises as `assemble`.
    """
    progress("reading the data", None)
    with ThreadPoolExecutor(1, "model") as beside:
        expected = len(catalog.class_names(config.dataset, home.data))
        drawn = beside.submit(_drawn, config, expected)
        images = images_of(config, home, progress)
        progress("building the model", None)
        model = drawn.result()
    return images, model if len(images.classes) == expected else _drawn(config, len(images.classes))  # a folder has changed meanwhile


def _drawn(config: RunConfig, classes: int) -> nn.Module:
    """The model with random weights: those of the run's seed."""
    torch.manual_seed(config.seed)
    return models.build(config.model, classes, config.image_size, head_options(config))


def images_of(config: RunConfig, home: Home, progress: Progress = lambda text, share: None) -> data.Data:
    """The pictures of a run, as its config asks for them; raises as `assemble`."""
    images = breaking.break_data(data.prepare(config, home, progress, listed=True), config)
    return with_doubles_as_asked(images, config, home.cache, progress)


def trainer_of(
    config: RunConfig,
    home: Home,
    model: nn.Module,
    layers: Sequence[ParameterInfo],
    images: data.Data,
    device: torch.device,
    class_weights: Sequence[float],
    group: Group | None = None,
) -> Trainer:
    """The loop over a model that is on its device, with what watches it and what is computed once; with a `group`, that of one of its ranks."""
    normalise = data.Normalise(*catalog.find_model(config.model).normalise, config.memory_format == "channels_last")
    keeping = Keeping(
        None if config.feature_cache == "off" else home.features,
        int(config.feature_cache_gigabytes * 1e9),
        half=config.feature_cache == "float16",
        fold=config.fold_norms,
    )
    kind = partial(RankTrainer, group, config.seed) if group else Trainer
    return kind(
        steering=Steering(model, layers, config, len(images.train)),
        watch=Watch(config.watch_every, config.watch_budget),
        loss=losses.build(config, class_weights),
        timeline=config.timeline,
        partition=Partition(
            model,
            normalise,
            config.image_size,
            device,
            keeping=keeping,
            about=f"{config.precision} {config.memory_format}",
            most=config.batch_size // (group.ranks if group else 1),
            compiled=config.compile_model,
        ),
        train=images.train,
        validation=images.validation,
        test=images.test,
        epochs=config.epochs,
        device=device,
        precision=config.precision,
        clip_norm=config.clip_norm,
        early_stopping=config.early_stopping,
    )


def _plan(config: RunConfig, trainer: Trainer, layers: Sequence[ParameterInfo], images: data.Data, notes: tuple[str, ...]) -> RunPlan:
    """What the store and the pages know of a run that is ready."""
    factors = multipliers_by_parameter(config.learning_rate_multipliers, layers)
    block_of = {name: path for path, names in blocks(layer.name for layer in layers).items() for name in names}
    steps_per_epoch = len(images.train)
    return RunPlan(
        layers=tuple(
            Layer(name, tuple(parameter.shape), parameter.numel(), not parameter.requires_grad, block_of[name], factors[name])
            for name, parameter in trainer.model.named_parameters()
        ),
        steps_per_epoch=steps_per_epoch,
        total_steps=steps_per_epoch * config.epochs,
        classes=images.classes,
        train_samples=len(images.train.images),
        validation_samples=len(images.validation.images) if images.validation else 0,
        test_samples=len(images.test.images),
        device=str(trainer.device),
        notes=notes,
    )


def _left_at_random(
    model: nn.Module, layers: Sequence[ParameterInfo], load: Callable[[], tuple[str, ...]], config: RunConfig
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Have `load` give `model` its weights, and say which tensors are still random: all of them, or of a head those that it left as they were.

    Returns:
        Their names, and what `load` had to say.
    """
    heads = {layer.name for layer in layers if layer.role == "head"}
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters() if name in heads}
    said = load()
    if config.starting_weights == "random":
        return tuple(name for name, _ in model.named_parameters()), said
    return tuple(name for name, parameter in model.named_parameters() if name in heads and torch.equal(parameter, before[name])), said


def _facts(config: RunConfig, trainer: Trainer, images: data.Data, layers: Sequence[ParameterInfo], at_random: tuple[str, ...]) -> Facts:
    """What the doctor should know of a run that is ready."""
    held = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    return Facts(
        tuple(layers),
        images.train.class_counts(len(images.classes)),
        images.validation.class_counts(len(images.classes)) if images.validation else (),
        float(optimizers.settings(config).get("weight_decay", 0.0)),
        tuple(name for name, parameter in trainer.model.named_parameters() if not parameter.requires_grad and id(parameter) in held),
        _statistics_steps(trainer.model),
        images.appearance,
        at_random,
        decay.takes_a_share(config),
        _guess_loss(trainer, images),
    )


def _guess_loss(trainer: Trainer, images: data.Data) -> float:
    """The loss of giving every class the same logit, 0, as a mean over the training pictures."""
    counts = images.train.class_counts(len(images.classes))
    logits = torch.zeros(1, len(counts), device=trainer.device)
    each = [float(trainer.loss(logits, torch.tensor([label], device=trainer.device))) for label in range(len(counts))]
    return sum(loss * count for loss, count in zip(each, counts, strict=True)) / max(sum(counts), 1)


def _statistics_steps(model: nn.Module) -> int:
    """See `Facts`: a running mean keeps (1 - momentum) of itself in each step. torchvision's MobileNetV3 needs 300 steps, most others 30."""
    momenta = [module.momentum for module in model.modules() if isinstance(module, _NormBase) and module.momentum]
    return math.ceil(3 / min(momenta)) if momenta else 0
