"""The script's model: built as the run builds it, with its new head and its starting weights."""

from __future__ import annotations

import re

from core.catalog import find_model
from core.code.names import tuple_of
from core.code.networks import catalogue_source, class_name, network_source
from core.config import RunConfig
from core.networks import parse
from core.networks.model_entries import SQUEEZENET, VIT, ModelEntry
from core.networks.models import builder_arguments
from core.records.layers import PLAIN_HEAD, head_options


def model_lines(config: RunConfig, classes: int) -> str:
    """From the model's source, where it is ours, to `model` on its device with its starting weights."""
    entry = find_model(config.model)
    lines = ["# Model"]
    if entry.family.own:
        lines.append(f"\n\n{_source(entry, config, classes)}\n\n")
    lines += [
        f"torch.manual_seed({config.seed})  # what is random in the model, and dropout while it trains",
        *bare_model(config, classes),
        *_weights(entry, config),
    ]
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


# Starting weights

_CHECKPOINT = '''

def tensors(content, name=""):
    """Every tensor in a checkpoint with its name, whatever it is wrapped in."""
    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from tensors(value, f"{{name}}.{{key}}" if name else str(key))


found = dict(tensors({read}))
# What stands before every name, such as "module.": that with which the most names of the model are found.
first = next(iter(own))
before = {{name.removesuffix(first) for name in found if name.endswith(first)}} or {{""}}
prefix = max(sorted(before), key=lambda text: sum(text + name in found for name in own))
weights = {{name: found[prefix + name] for name in own if prefix + name in found}}'''

_FIT = """for head in {heads}:  # it stays fresh where theirs is for other classes, or of other layers
    if any(name not in weights or weights[name].shape != tensor.shape for name, tensor in own.items() if name.startswith(head)):
        weights = {{name: tensor for name, tensor in weights.items() if not name.startswith(head)}}
lacking = [name for name in own if name not in weights and not name.startswith({spare}) and not name.endswith(".num_batches_tracked")]
assert not lacking, f"the weights lack {{lacking}}"
model.load_state_dict(weights, strict=False)"""


def _weights(entry: ModelEntry, config: RunConfig) -> list[str]:
    """The lines that give `model` its starting weights; none for random ones, which it has."""
    match config.starting_weights:
        case "random":
            return []
        case "pretrained":
            auxiliary = ", aux_logits=True" if entry.family.auxiliary else ""
            lines = [
                "with torch.random.fork_rng(devices=[]):  # the model that they come in is random at first: the chance that it uses up is given back",
                f'    weights = torchvision.models.{entry.name}(weights="DEFAULT"{auxiliary}).state_dict()',
            ]
        case path:
            read = f"load_file({path!r})" if path.lower().endswith(".safetensors") else f'torch.load({path!r}, map_location="cpu", weights_only=True)'
            lines = [_CHECKPOINT.format(read=read)]
    if entry.family is VIT:
        lines += [
            "# There is a position embedding for each patch; for another image size they are interpolated.",
            f"weights = torchvision.models.vision_transformer.interpolate_embeddings({config.image_size}, model.patch_size, weights)",
        ]
    heads = [f"{head}." for head in entry.family.head]
    spare = (*heads, *(f"{part}." for part in entry.family.auxiliary))
    return ["own = model.state_dict()", *lines, _FIT.format(heads=tuple_of(heads), spare=tuple_of(spare))]
