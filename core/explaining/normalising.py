"""Pictures normalised rightly and with other figures, and what a model makes of each: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from core import catalog, data
from core.config import RunConfig
from core.evaluation.pictures import data_uri
from core.explaining.specimen import check_dataset_is_here, first_pictures
from core.machine.home import Home
from core.model import weights
from core.model.published import place
from core.networks.head import IMAGENET_CLASSES
from core.networks.model_entries import HALVES, IMAGENET, Figures, ModelEntry
from core.networks.models import build
from core.records.layers import head_options
from core.records.normalising import Seen, View
from core.reuse.counts import use_threads

PICTURES = 32
ANSWERS = 3
"""Likeliest classes that are named."""


def seen(config: RunConfig, home: Home) -> Seen:
    """The first training pictures of a run with these settings, as its model gets them at the start and as it would with other figures.

    Trained weights are used if they are on this machine; nothing is downloaded. In eval mode, on the CPU.

    Raises:
        ConfigError: the settings cannot be used, or the dataset is not on this machine yet.
    """
    config = catalog.check(config)
    check_dataset_is_here(config, home)
    entry = catalog.find_model(config.model)
    images = data.prepare(config, home, lambda text, share: None)
    pixels, labels = first_pictures(images, min(PICTURES, len(images.train.images)))
    model, classes, said, learned = starting_model(config, entry, images.classes)
    outputs = {name: features_and_logits(model, entry, data.Normalise(*figures)(pixels)) for name, figures in _ways(entry).items()}
    right = next(iter(outputs))
    views = []
    for name, figures in _ways(entry).items():
        first = data.Normalise(*figures)(pixels[:1])[0]
        features, logits = outputs[name]
        true, truth = outputs[right]
        distance = (features - true).norm(dim=1) / true.norm(dim=1).clamp_min(1e-12)
        cosine = torch.cosine_similarity(features, true)
        likeliest = logits.argmax(dim=1)
        views.append(
            View(
                name, figures.mean, figures.std, _figures(first.mean(dim=(1, 2))), _figures(first.std(dim=(1, 2))),
                float(distance.median()), float(cosine.median()),
                _answers(logits[0], classes) if classes else None,
                int((likeliest != truth.argmax(dim=1)).sum()) if classes else None,
            )
        )  # fmt: skip
    picture = data_uri(pixels[0].numpy())
    return Seen(picture, images.classes[int(labels[0])], len(pixels), said, learned, tuple(views))


def _ways(entry: ModelEntry) -> dict[str, Figures]:
    """Mean and spread of each view, by its name, the right one first."""
    other = HALVES if entry.normalise == IMAGENET else IMAGENET
    named = "0.5 and 0.5" if other is HALVES else "those of ImageNet"
    return {
        "as its weights expect": entry.normalise,
        "not normalised, 0 to 1": Figures((0.0,) * 3, (1.0,) * 3),
        f"other figures, {named}": other,
        "not even divided, 0 to 255": Figures((0.0,) * 3, (1 / 255,) * 3),
    }


def starting_model(config: RunConfig, entry: ModelEntry, classes: tuple[str, ...]) -> tuple[nn.Module, tuple[str, ...] | None, str, bool]:
    """The model with its starting weights, the classes of its trained head (None: it is new), what its weights are, and if they are trained."""
    if config.starting_weights == "pretrained" and not is_here(entry):
        config, said = config.replace(starting_weights="random"), "random, since the published ones are not on this machine yet"
    else:
        trained_ones = f"the published ones ({entry.published.name})" if entry.published else "the trained ones that ship with Thaw"
        known = {"random": "random", "pretrained": trained_ones}
        said = known.get(config.starting_weights, Path(config.starting_weights).name)
    trained = config.starting_weights != "random"
    # A head that was saved with the weights has answers: for the dataset's classes, or for ImageNet's.
    for count, names in ((len(classes), classes), (IMAGENET_CLASSES, _imagenet(entry))) if trained else ():
        model, learned = _built(config, entry, count)
        if learned and names:
            return model, names, said, True
    return _built(config, entry, len(classes))[0], None, said, trained


def _built(config: RunConfig, entry: ModelEntry, classes: int) -> tuple[nn.Module, bool]:
    """The model with a head for so many classes, and whether that head came with the weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build(entry.name, classes, config.image_size, head_options(config))
    head = model.get_submodule(entry.family.head[0])
    before = [parameter.detach().clone() for parameter in head.parameters()]
    weights.load(model, config)
    return model.eval(), any(not torch.equal(old, new) for old, new in zip(before, head.parameters(), strict=True))


def is_here(entry: ModelEntry) -> bool:
    """Whether the trained weights of a model lie in torch's own cache, or ship with Thaw."""
    if entry.published is None:
        return entry.shipped is not None
    return place(entry).exists()


def _imagenet(entry: ModelEntry) -> tuple[str, ...]:
    """ImageNet's classes as torchvision names them; nothing for a model that it does not have."""
    return tuple(torchvision.models.get_model_weights(entry.name).DEFAULT.meta["categories"]) if entry.published else ()


@torch.no_grad()
def features_and_logits(model: nn.Module, entry: ModelEntry, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features [N, F], what goes into the head, and logits [N, classes], for images float32 [N, 3, S, S]."""
    caught: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any) -> None:
        caught.append(inputs[0].flatten(1))

    hook = model.get_submodule(entry.family.head[0]).register_forward_pre_hook(keep)
    threads = torch.get_num_threads()
    use_threads(1)  # beside a training, threads of two sides wait for each other: ten times as long as one alone
    try:
        parts = [model(part) for part in images.split(32)]
    finally:
        use_threads(threads)
        hook.remove()
    return torch.cat(caught), torch.cat(parts)


def _answers(logits: Tensor, classes: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    found = logits.softmax(dim=0).topk(min(ANSWERS, len(classes)))
    return tuple((classes[place], probability) for probability, place in zip(found.values.tolist(), found.indices.tolist(), strict=True))


def _figures(values: Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())
