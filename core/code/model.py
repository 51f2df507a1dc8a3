"""The script's model: built as the run builds it, with its new head and its starting weights."""

from __future__ import annotations

import re

from core.catalog import find_model
from core.code.networks import catalogue_source, class_name, network_source
from core.config import RunConfig
from core.networks import parse
from core.networks.model_entries import ALEXNET, RESNET, RESNEXT, SHUFFLENET, SQUEEZENET, VIT, WIDE_RESNET, ModelEntry
from core.networks.models import builder_arguments
from core.records.layers import PLAIN_HEAD, head_options

IMAGENET_CLASSES = 1000

_FRESH_AS_LINEAR = (RESNET, WIDE_RESNET, RESNEXT, SHUFFLENET, ALEXNET)
"""Families whose builder leaves the head with the random weights that `nn.Linear` gives itself: a new `nn.Linear` is the same."""


def model_lines(config: RunConfig, classes: int) -> str:
    """From the model's source, where it is ours, to `model` on its device with its starting weights."""
    entry = find_model(config.model)
    lines = ["# Model"]
    if entry.family.own:
        lines.append(f"\n\n{_source(entry, config, classes)}\n\n")
    if config.starting_weights == "pretrained" and _takes_weights(entry, config, classes):
        lines += [f'model = torchvision.models.{entry.name}(weights="DEFAULT")', *_head(entry, config, classes)]
    else:
        lines += [*bare_model(config, classes), *_weights(entry, config)]
    lines.append(f"model = model.to(device{layout(config)})")
    if config.compile_model:
        lines.append("model.compile()  # translated in its first steps, and again whenever other layers learn")
    return "\n".join(lines)


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
    """The lines that put a new head in the place of the one that the model has; none where that one is for these classes."""
    place = "model" + re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", f".{entry.family.head[0]}")
    squeezed = entry.family is SQUEEZENET
    options = head_options(config)

    def layer(inputs: str, outputs: int) -> str:
        return f"nn.Conv2d({inputs}, {outputs}, kernel_size=1)" if squeezed else f"nn.Linear({inputs}, {outputs})"

    width = f"{place}.{'in_channels' if squeezed else 'in_features'}"
    if options == PLAIN_HEAD:
        return [] if classes == IMAGENET_CLASSES else [f"{place} = {layer(width, classes)}"]
    inside = []
    if options.hidden is not None:
        inside += [layer(width, options.hidden), "nn.ReLU()"]
        width = str(options.hidden)
    if options.dropout:
        inside.append(f"nn.Dropout({options.dropout!r})")
    return [f"{place} = nn.Sequential(", *(f"    {part}," for part in (*inside, layer(width, classes))), ")"]


# Starting weights


def _takes_weights(entry: ModelEntry, config: RunConfig, classes: int) -> bool:
    """True where torchvision's builder with `weights=` and a new head make the very model that the run starts from."""
    if entry.family.auxiliary or (entry.family.fixed and config.image_size != entry.usual):
        return False
    # A new layer of a head with options is fresh in the same way everywhere; a single one only where the builder does no more.
    return head_options(config) != PLAIN_HEAD or classes == IMAGENET_CLASSES or entry.family in _FRESH_AS_LINEAR


def _weights(entry: ModelEntry, config: RunConfig) -> list[str]:
    """The lines that give `model` its starting weights; none for random ones, which it has."""
    match config.starting_weights:
        case "random":
            return []
        case "pretrained":
            auxiliary = ", aux_logits=True" if entry.family.auxiliary else ""
            read = f'torchvision.models.{entry.name}(weights="DEFAULT"{auxiliary}).state_dict()'
        case path if path.lower().endswith(".safetensors"):
            read = f"load_file({path!r})"
        case path:
            read = f"torch.load({path!r}, weights_only=True)"
    lines = [f"weights = {read}"]
    if entry.family is VIT:
        lines += [
            "# There is a position embedding for each patch; for another image size they are interpolated.",
            f"weights = torchvision.models.vision_transformer.interpolate_embeddings({config.image_size}, model.patch_size, weights)",
        ]
    return [
        *lines,
        "own = model.state_dict()",
        "# The head keeps its fresh weights where the file's is for another number of classes.",
        "model.load_state_dict({name: value for name, value in weights.items() if name in own and value.shape == own[name].shape}, strict=False)",
    ]
