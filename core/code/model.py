"""The script's model: built as the run builds it, with its new head and its starting weights."""

from __future__ import annotations

import re

from core.catalog import find_model
from core.code.excerpts import Excerpt, joined
from core.code.networks import catalogue_source, class_name, network_source
from core.code.starting_weights import starting_weights
from core.config import RunConfig
from core.networks import parse
from core.networks.model_entries import SQUEEZENET, ModelEntry
from core.networks.models import builder_arguments
from core.records.layers import PLAIN_HEAD, head_options


def model_lines(config: RunConfig, classes: int) -> Excerpt:
    """From the model's source, where it is ours, to `model` on its device with its starting weights."""
    entry = find_model(config.model)
    made = [f"torch.manual_seed({config.seed})  # what is random in the model, and dropout while it trains", *bare_model(config, classes)]
    lines = [f"model = model.to(device{layout(config)})"]
    if config.compile_model:
        lines.append("model.compile()  # translated in its first steps, and again whenever other layers learn")
    source = _source(entry, config, classes) if entry.family.own else ""
    return joined(["# Model", source, "\n".join(made), starting_weights(entry, config), "\n".join(lines)])


def layout(config: RunConfig) -> str:
    """The argument of `.to` that says how images and weights lie in memory; none where they lie as PyTorch has them."""
    return "" if config.memory_format == "contiguous" else f", memory_format=torch.{config.memory_format}"


def bare_model(config: RunConfig, classes: int) -> list[str]:
    """The lines that build `model` with random weights and its new head."""
    entry = find_model(config.model)
    if ":" in entry.name:
        built = f"model = {class_name(entry.label)}({classes})"
    elif entry.family.own:
        built = f"model = MLP({classes}, {config.image_size})" if entry.name == "mlp" else f"model = SmallCNN({classes})"
    else:
        further = "".join(f", {name}={value!r}" for name, value in builder_arguments(entry, config.image_size).items())
        built = f'model = torchvision.models.get_model("{entry.name}", num_classes={classes}{further})'
    return [built, *(_head(entry, config, classes) if head_options(config) != PLAIN_HEAD else [])]


def model_source(config: RunConfig, classes: int) -> str:
    """The class of a model of ours; '' for one of torchvision."""
    entry = find_model(config.model)
    return _source(entry, config, classes) if entry.family.own else ""


def model_imports(config: RunConfig, classes: int) -> str:
    """What the lines of `bare_model` need, as a file of its own begins."""
    entry = find_model(config.model)
    return f"from torch import nn\n\n\n{_source(entry, config, classes)}\n\n" if entry.family.own else _torchvision(config)


def _torchvision(config: RunConfig) -> str:
    return "import torchvision" + ("\nfrom torch import nn" if head_options(config) != PLAIN_HEAD else "")


def _source(entry: ModelEntry, config: RunConfig, classes: int) -> str:
    return network_source(parse(entry.name), config.image_size, classes) if ":" in entry.name else catalogue_source(entry.name)


# The head


def _head(entry: ModelEntry, config: RunConfig, classes: int) -> list[str]:
    """The lines that put a head with options in the place of the one that the model has."""
    place = "model" + re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", f".{entry.family.head[0]}")
    squeezed = entry.family is SQUEEZENET
    options = head_options(config)

    def layer(inputs: str, outputs: int) -> str:
        return f"nn.Conv2d({inputs}, {outputs}, kernel_size=1)" if squeezed else f"nn.Linear({inputs}, {outputs})"

    width = f"{place}.{'in_channels' if squeezed else 'in_features'}"
    inside = []
    if options.hidden is not None:
        inside += [layer(width, options.hidden), "nn.ReLU()"]
        width = str(options.hidden)
    if options.dropout:
        inside.append(f"nn.Dropout({options.dropout!r})")
    return [f"{place} = nn.Sequential(", *(f"    {part}," for part in (*inside, layer(width, classes))), ")"]
