"""What is looked at: a real model with a real batch, its loss and its optimizer, ready to make a step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from core import catalog, data
from core.catalog import losses
from core.config import ConfigError, RunConfig
from core.data import datasets
from core.data.leakage import with_doubles_as_asked
from core.explaining.figures import picture
from core.machine import devices
from core.machine.home import Home
from core.model import anatomy, weights
from core.model.freezing import Freezing
from core.model.steering import Steering
from core.networks import models
from core.networks.models import logits_and_auxiliary
from core.records.layers import ModelDescription, frozen_parameters, head_options
from core.records.walkthrough import Example, Picture
from core.reuse.counts import use_threads

SEED = 0
"""Where the classics' random weights and numbers come from."""

MOST_SAMPLES = 64
"""Pictures that can be looked at in one step."""

CLASSIC_PIXELS = 64

_FOR_LOOKING = (
    "That is a loss for looking at gradients, not for learning: the labels have no influence on its gradients, and it has no minimum, since it falls "
    "for ever as the predictions fall."
)


@dataclass
class Specimen:
    """A model in the state in which its first step finds it, and all that a step needs. Whoever steps works on a `working` copy.

    `loss_of` gives (loss, logits) for what the model returned. `frozen` names the parameters that stay as they are. `resting`: frozen
    normalisation layers rest, as in a run; else the model is in train mode throughout, as the classics have it.
    """

    example: Example
    title: str
    about: str
    name: str
    description: ModelDescription
    model: nn.Module
    frozen: frozenset[str]
    resting: bool
    inputs: Tensor
    labels: Tensor
    pictures: tuple[Picture, ...]
    classes: tuple[str, ...]
    criterion: nn.Module | None
    optimizer_of: Callable[[nn.Module], Moving]
    optimizer_text: str
    chance: Tensor
    notes: tuple[str, ...] = ()
    clip_norm: float | None = None
    threads: int = 1

    def loss_of(self, output: Any) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and the logits, of what the model returned for the batch."""
        logits, auxiliary = logits_and_auxiliary(output)
        if self.criterion is None:
            return (logits - self.labels).sum(), logits
        loss: Tensor = self.criterion(logits, self.labels)
        for weight, further in auxiliary:
            loss = loss + weight * self.criterion(further, self.labels)
        return loss, logits

    def loss_of_some(self, model: nn.Module, most: int) -> Tensor:
        """The loss of `model` for the first pictures of the batch, `most` at most. Its graph is that of the whole batch, with other shapes."""
        few = replace(self, inputs=self.inputs[:most], labels=self.labels[:most])
        return few.loss_of(model(few.inputs))[0]

    def working(self) -> nn.Module:
        """A copy of the model, frozen and in its modes, to step with or to look into."""
        model = copy.deepcopy(self.model)
        self.prepare(model, self.frozen)
        return model

    @contextmanager
    def borrowed(self) -> Iterator[nn.Module]:
        """The model itself, to look into: what a forward pass does to its buffers is undone afterwards. Weights must stay."""
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        try:
            yield self.model
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)

    def prepare(self, model: nn.Module, frozen: frozenset[str]) -> None:
        """Have these parameters of `model` frozen, and put it into the mode in which it steps."""
        if self.resting:
            freezing = Freezing(model, frozen, self.example.config.frozen_randomness if self.example.config else True)
            freezing.train()
            return
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in frozen)
        model.train()

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Within it, dropout draws what it draws in the first step; afterwards torch's chance is as it was. On as many threads as it says."""
        threads = torch.get_num_threads()
        device = self.inputs.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.set_rng_state(self.chance)
            if device.type == "cuda":
                torch.cuda.manual_seed(SEED)
            use_threads(self.threads)
            try:
                yield
            finally:
                use_threads(threads)

    def moved_statistics(self, model: nn.Module) -> list[str]:
        """Paths of normalisation layers whose parameters are all frozen, but whose running statistics are others in `model` than at the start."""
        before = dict(self.model.named_buffers())
        moved = []
        for path, module in model.named_modules():
            if isinstance(module, _NormBase) and not any(parameter.requires_grad for parameter in module.parameters()):
                mine = [(name, buffer) for name, buffer in module.named_buffers() if name == "running_mean"]
                if any(not torch.equal(buffer, before[f"{path}.{name}"]) for name, buffer in mine):
                    moved.append(path)
        return moved


@dataclass
class Moving:
    """An optimizer, and what is done once it has made a step: its schedule moves on."""

    optimizer: Optimizer
    advance: Callable[[], None] = lambda: None


def specimen(example: Example, home: Home) -> Specimen:
    """The model and the batch that `example` says, made anew: the same ones each time.

    Raises:
        ConfigError: on the field that cannot be used, with the remedy.
    """
    match example.kind:
        case "classic":
            return _classic(example)
        case "fine-tuning":
            return _fine_tuning(example)
        case "own":
            return _own(example, home)
        case other:
            raise ConfigError("kind", f"there is no example {other!r}; use classic, fine-tuning or own")


@contextmanager
def _fresh_chance() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def _classic(example: Example) -> Specimen:
    with _fresh_chance():
        # In the order of the script in core/explaining/scripts.py, so that the numbers are the same.
        model = torchvision.models.resnet18()
        inputs, labels = torch.rand(1, 3, CLASSIC_PIXELS, CLASSIC_PIXELS), torch.rand(1, 1000)
        return _resnet18(
            example,
            "The classic: one step of resnet18",
            "resnet18 with random weights, one random picture, 1,000 random numbers as labels, and the sum of all differences as loss. "
            f"{_FOR_LOOKING} "
            "The lines are those with which PyTorch's own tutorial introduces autograd, but for its trained weights.",
            model, inputs, labels, "over all parameters",
        )  # fmt: skip


def _fine_tuning(example: Example) -> Specimen:
    with _fresh_chance():
        model = torchvision.models.resnet18()
        for parameter in model.parameters():
            parameter.requires_grad = False
        model.fc = nn.Linear(512, 10)
        inputs, labels = torch.rand(1, 3, CLASSIC_PIXELS, CLASSIC_PIXELS), torch.rand(1, 10)
        return _resnet18(
            example,
            "Freeze for fine-tuning: only the new head of resnet18 learns",
            "Every parameter of resnet18 is frozen, then model.fc is replaced by a new nn.Linear(512, 10), which learns because nobody has "
            "frozen it. The optimizer is given all parameters; it moves those that have a gradient, and no others. "
            f"The loss is the sum of all differences. {_FOR_LOOKING}",
            model, inputs, labels, "over all parameters, frozen ones included",
        )  # fmt: skip


def _resnet18(example: Example, title: str, about: str, model: nn.Module, inputs: Tensor, labels: Tensor, held: str) -> Specimen:
    """What both classics share. The source of chance is taken as it is now."""
    chance = torch.get_rng_state()
    return Specimen(
        example=example,
        title=title,
        about=about,
        name="resnet18",
        description=anatomy.describe("resnet18", labels.shape[1], CLASSIC_PIXELS),
        model=model,
        frozen=frozenset(name for name, parameter in model.named_parameters() if not parameter.requires_grad),
        resting=False,
        inputs=inputs,
        labels=labels,
        pictures=(_random_picture(inputs),),
        classes=(),
        criterion=None,
        optimizer_of=_sgd,
        optimizer_text=f"SGD, learning rate 0.01, momentum 0.9, {held}",
        chance=chance,
    )


def _sgd(model: nn.Module) -> Moving:
    return Moving(torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9))


def _random_picture(inputs: Tensor) -> Picture:
    return Picture(picture((inputs[0] * 255).round().to(torch.uint8)), "random numbers")


def _unheard(text: str, share: float | None) -> None:
    """A walkthrough does not say what data it reads."""


def _own(example: Example, home: Home) -> Specimen:
    config = example.config
    if config is None:
        raise ConfigError("config", "an example of your own needs a config that says model and dataset; give one, or look at the classic")
    if not 1 <= example.samples <= MOST_SAMPLES:
        raise ConfigError("samples", f"must be 1 to {MOST_SAMPLES} pictures, got {example.samples}; try 4")
    config = catalog.check(config)
    device = devices.resolve(config.device)
    check_dataset_is_here(config, home)
    images = data.prepare(config, home, _unheard)
    images = with_doubles_as_asked(images, config, home.cache, _unheard)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = head_options(config)
        description = anatomy.describe(config.model, len(images.classes), config.image_size, head)
        model = models.build(config.model, len(images.classes), config.image_size, head)
        weights.load(model, config)
        model = model.to(device)
        chance = torch.get_rng_state()
    frozen = frozen_parameters(config.freeze, description.parameters)
    pixels, labels = first_pictures(images, example.samples)
    normalise = data.Normalise(*catalog.find_model(config.model).normalise).to(device)
    steps = len(images.train)
    class_weights = losses.class_weights(config, images.train.class_counts(len(images.classes)))

    def moving(of: nn.Module) -> Moving:
        steering = Steering(of, description.parameters, config.replace(timeline="", fused_optimizer=False), steps)
        return Moving(steering.optimizer, steering.advance)

    return Specimen(
        example=replace(example, config=config),
        title=f"Your own: one step of {catalog.find_model(config.model).label} on {config.dataset}",
        about=f"{len(labels):,} pictures of {config.dataset} at {config.image_size} x {config.image_size} pixels, through {config.model} as a run "
        f"with these settings begins: freeze plan '{config.freeze}', {config.loss}, {config.optimizer}.",
        name=catalog.find_model(config.model).label,
        description=description,
        model=model,
        frozen=frozen,
        resting=True,
        inputs=normalise(pixels.to(device)),
        labels=labels.to(device),
        pictures=tuple(Picture(picture(image), images.classes[label]) for image, label in zip(pixels, labels.tolist(), strict=True)),
        classes=images.classes,
        criterion=losses.build(config, class_weights).to(device),
        optimizer_of=moving,
        optimizer_text=_optimizer_text(config, len(description.parameters) - len(frozen), len(description.parameters)),
        chance=chance,
        notes=_left_out(config),
        clip_norm=config.clip_norm,
        threads=config.threads or 1,
    )


def first_pictures(images: data.Data, samples: int) -> tuple[Tensor, Tensor]:
    """The first `samples` training pictures of the run's first epoch, uint8 [N, 3, S, S], and their labels int64 [N]."""
    found: list[tuple[Tensor, Tensor]] = []
    left = samples
    for batch in images.train.batches(1):
        found.append((batch.images[:left], batch.labels[:left]))
        left -= len(batch)
        if left <= 0:
            break
    return torch.cat([pixels for pixels, _ in found]), torch.cat([labels for _, labels in found])


def check_dataset_is_here(config: RunConfig, home: Home) -> None:
    """See that the dataset is on this machine: a question must not turn into a download of minutes that nobody sees. Raises ConfigError."""
    entry = datasets.find_dataset(config.dataset)
    if entry.megabytes and not all((home.data / file).exists() for file in entry.files):
        remedy = "start a run with it, which downloads it and shows how far it is, or choose digits or shapes"
        raise ConfigError("dataset", f"{entry.label} is not on this machine yet ({entry.megabytes:,} MB); {remedy}")


def _optimizer_text(config: RunConfig, learning: int, tensors: int) -> str:
    given = f"over the {learning:,} tensors that learn" if learning < tensors else "over all parameters"
    return f"{config.optimizer}, learning rate {config.learning_rate:g}, {given}"


def _left_out(config: RunConfig) -> tuple[str, ...]:
    notes = []
    if config.precision != "float32":
        notes.append(f"A run with these settings computes in {config.precision}; here everything is float32, so that each number can be followed.")
    if config.speed == "automatic":
        notes.append("A run with these settings measures the fastest way first; here the exact one is shown.")
    if config.timeline.changes:
        notes.append("The timeline is left out: what is shown is what holds at the start.")
    if config.accumulate > 1:
        notes.append(f"A run with these settings adds up the gradients of {config.accumulate} batches for one update; here each batch has its own.")
    return tuple(notes)
