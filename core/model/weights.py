"""Starting weights: random, trained (torchvision's, or shipped with Thaw), or a file. The door: `weight_files` reads, `fitting` finds what fits.

What a file holds is compared with the model name by name and shape by shape, and only then loaded: a model never ends up with a part
of its body from a file and the rest random.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from core.catalog.check import weights_file
from core.config import ConfigError, RunConfig
from core.model.choosing import choose
from core.model.fitting import Match, Shape
from core.model.likeness import alike, in_words
from core.model.published import Progress, published
from core.model.weight_files import read
from core.networks.model_entries import ModelEntry
from core.networks.models import find_model

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)
"""What an ordinary state_dict may hold: no quantized, complex or 8-bit float numbers."""

MOST_POSITIONS = 40_000
"""Position embeddings of a vision transformer that are interpolated: those of an image with 200 patches a side."""

POSITIONS = "encoder.pos_embedding"


def load(model: nn.Module, config: RunConfig, progress: Progress = lambda text, share: None) -> tuple[str, ...]:
    """Give `model`, as `models.build` made it for `config`, its starting weights. Random ones are what it already has.

    The head (and the heads of auxiliary classifiers) keeps its fresh weights where the others are for another number of classes,
    have no head at all, or one built with other options (dropout, hidden layer). A vision transformer's position embeddings are
    interpolated to its image size.

    Args:
        progress: told what is being done, and the share of it that is done (0 to 1) where that is known.

    Returns:
        How a file was understood and what of it was left out, in sentences; of the weights that ship with Thaw,
            what they have seen; else nothing.

    Raises:
        ConfigError: on `starting_weights`, with the remedy: no network, no such file, a file that is broken, dangerous or of
            another model. The model is as it was before.
    """
    entry = find_model(config.model)
    match config.starting_weights:
        case "random":
            return ()
        case "pretrained":
            _fit(model, entry, published(entry, progress), f"the trained weights of {entry.name}")
            return _seen_before(entry, config)
        case path:
            file = weights_file(path)
            progress(f"reading {file.name}", None)
            found = read(file)
            return (f"Starting weights: {file.name[:80]} is {found.kind}. {_fit(model, entry, found.tensors, str(file))}",)


def _seen_before(entry: ModelEntry, config: RunConfig) -> tuple[str, ...]:
    """What is to be known of the pictures that the weights that ship with Thaw learned from, where a run has them too."""
    shipped = entry.shipped
    if shipped is None or config.dataset not in shipped.seen or not config.validation_share:
        return ()
    return (f"The starting weights were {shipped.origin}. Where these are validation pictures here, that accuracy looks better than it is.",)


@dataclass(frozen=True)
class Matched:
    """What of a file belongs where in a model. `loaded`: a tensor for each of the model's names, `own`: the model's; those of `fresh` heads stay."""

    fit: Match
    remark: str
    given: Mapping[str, Tensor]
    named: Mapping[str, Tensor]
    loaded: Mapping[str, Tensor]
    own: Mapping[str, Tensor]
    fresh: list[str]

    @property
    def taken(self) -> list[str]:
        """The model's names of what comes from the file."""
        return [key for key in self.own if key in self.named and self.loaded[key] is not self.own[key]]

    @property
    def left(self) -> list[str]:
        """The file's names of what the model has no place for."""
        used = {id(self.named[key]) for key in self.taken} | {id(tensor) for tensor in self.own.values()}
        return [key for key, tensor in self.given.items() if id(tensor) not in used]


class NoFit(ConfigError):
    """Weights are of another model; `likely` names those of the catalogue that they may be of."""

    def __init__(self, message: str, likely: tuple[str, ...]) -> None:
        super().__init__("starting_weights", message)
        self.likely = likely


def matched(model: nn.Module, entry: ModelEntry, state: Mapping[str, Tensor], name: str) -> Matched:
    """What of `state` belongs where in `model`, which need have no numbers. `name` is for the errors.

    Raises:
        ConfigError: on `starting_weights`, where it does not fit: `NoFit`, where it is of another model.
    """
    own = model.state_dict()
    given = {_today(key): tensor for key, tensor in state.items()}
    children = [child for child, _ in model.named_children()]
    fit, remark = choose(given, own, children, heads_of(entry), _can_be_interpolated if isinstance(model, VisionTransformer) else None, name)
    named = {mine: given[theirs] for theirs, mine in fit.named(list(given)).items()} | {mine: given[theirs] for mine, theirs in fit.names.items()}
    if isinstance(model, VisionTransformer):
        named = _at_image_size(model, named, name)
    loaded = {key: tensor for key, tensor in named.items() if key in own}
    fresh = [part for part in (*entry.family.head, *entry.family.auxiliary) if _stays_fresh(part, entry, named, own)]
    loaded |= {key: own[key] for key in own if key.startswith(tuple(f"{part}." for part in fresh))}
    lacking = [key for key in own if key not in loaded]
    counters = [key for key in lacking if key.endswith(".num_batches_tracked")]
    loaded |= {key: own[key] for key in counters}
    _check(loaded, named, own, entry, name, given)
    return Matched(fit, remark, given, named, loaded, own, fresh)


def _fit(model: nn.Module, entry: ModelEntry, state: Mapping[str, Tensor], name: str) -> str:
    """Load what fits of `state` into `model`, or raise and leave the model as it is. `name` is for the errors.

    Returns:
        What was taken, what is new and what was left out, in sentences.
    """
    found = matched(model, entry, state, name)
    ready = OrderedDict((key, found.loaded[key].to(own.dtype)) for key, own in found.own.items())
    for key, tensor in ready.items():
        if not bool(torch.isfinite(tensor).all()):
            complaint = f"NaN or infinite numbers in {key}: it was saved after training had failed"
            raise ConfigError("starting_weights", f"{name} holds {complaint}; use another file")
    # The versions torch keeps beside a state_dict say how to convert old names, which `_today` has done.
    ready._metadata = found.own._metadata  # type: ignore[attr-defined]
    model.load_state_dict(ready, strict=True)
    return _in_words(found)


def heads_of(entry: ModelEntry) -> tuple[str, ...]:
    """How the names of what a file may lack begin: heads, and auxiliary classifiers."""
    return tuple(f"{part}." for part in (*entry.family.head, *entry.family.auxiliary))


def _today(key: str) -> str:
    """A parameter's name as torchvision calls it now: published DenseNets and vision transformers have older ones."""
    key = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)
    return re.sub(r"(encoder_layer_\d+\.mlp)\.linear_([12])\.", lambda found: f"{found[1]}.{'0' if found[2] == '1' else '3'}.", key)


def _can_be_interpolated(name: str, given: Shape, own: Shape) -> bool:
    return name == POSITIONS and len(given) == 3 and given[0] == own[0] and given[2] == own[2] and 1 < given[1] <= MOST_POSITIONS


def _at_image_size(model: VisionTransformer, named: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    positions = named.get(POSITIONS)
    if positions is None or not _can_be_interpolated(POSITIONS, tuple(positions.shape), (1, 0, model.hidden_dim)):
        return named
    try:
        state = interpolate_embeddings(model.image_size, model.patch_size, OrderedDict({POSITIONS: positions.float()}))
    except (ValueError, RuntimeError) as error:
        complaint = f"position embeddings that do not fit {model.image_size} pixels ({error})"
        raise ConfigError("starting_weights", f"{name} has {complaint}; use another file") from None
    return {**named, **state}


def _stays_fresh(part: str, entry: ModelEntry, named: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """Whether a head keeps its random weights, since the file's is of other names or shapes; an auxiliary classifier, if the file has none."""
    theirs, ours = (
        {key: (tensor.shape, tensor.is_floating_point()) for key, tensor in state.items() if key.startswith(f"{part}.")} for state in (named, own)
    )
    return not theirs if part in entry.family.auxiliary else theirs != ours


def _check(
    loaded: Mapping[str, Tensor], named: Mapping[str, Tensor], own: Mapping[str, Tensor], entry: ModelEntry, name: str, given: Mapping[str, Tensor]
) -> None:
    """See that `loaded` is all that the model needs, of its shapes, and that what else the file has is of no larger model."""
    missing = [key for key in own if key not in loaded]
    heads = heads_of(entry)
    outer = {key.partition(".")[0] for key in own if not key.startswith(heads)}
    unknown = [key for key in named if key not in own and not key.startswith(heads)]
    if not missing:  # what lies beside the model's parts is another head, or of the training; what lies in them is of a larger model
        unknown = [key for key in unknown if key.partition(".")[0] in outer and named[key].is_floating_point() and named[key].numel() > 1]
    complaint = " and ".join(_first(what, keys) for what, keys in (("it lacks", missing), ("it has the unknown", unknown)) if keys)
    for key, tensor in loaded.items():
        if complaint:
            break
        if tensor.shape != own[key].shape:
            complaint = f"its {key} is {_size(tensor)} where the model has {_size(own[key])}"
        elif tensor is not own[key] and (tensor.layout != torch.strided or tensor.dtype not in DTYPES or tensor.device.type != "cpu"):
            complaint = f"its tensor {key} is not an ordinary one ({tensor.dtype}, {tensor.layout}, {tensor.device.type})"
            raise ConfigError("starting_weights", f"{name} cannot be used: {complaint}; save model.state_dict() of a model in float32")
        elif tensor.is_floating_point() != own[key].is_floating_point():
            complaint = f"its {key} holds {tensor.dtype} where the model has {own[key].dtype}"
    if complaint:
        likely = alike({key: tuple(tensor.shape) for key, tensor in given.items()})
        remedy = "choose the model that it was saved from, or another file"
        raise NoFit(f"{name} does not fit {entry.label}: {complaint}{in_words(likely, entry.name)}; {remedy}", likely)


def _first(what: str, keys: list[str]) -> str:
    rest = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{what} {', '.join(key[:80] for key in keys[:3])}{rest}"


def _size(tensor: Tensor) -> str:
    return " x ".join(str(length) for length in tensor.shape) or "a single number"


# How it was understood


def _in_words(found: Matched) -> str:
    fit, taken = found.fit, found.taken
    said = [f"{len(taken):,} of the model's {len(found.own):,} tensors were taken from it"]
    if fit.prefix:
        said.append(f"under names that begin with {fit.prefix[:80]!r}")
    if fit.reading.words:
        said.append(fit.reading.words)
    if found.fresh:
        said.append(f"the head is new ({', '.join(found.fresh)})")
    dtypes = sorted({str(found.named[key].dtype).removeprefix("torch.") for key in taken if found.named[key].dtype != found.own[key].dtype})
    if dtypes:
        said.append(f"{' and '.join(dtypes)} became float32")
    left = Counter(_part(key, fit) for key in found.left)
    sentences = [", ".join(said) + "."]
    if left:
        most = ", ".join(f"{part[:60]} {count:,}" for part, count in left.most_common(4))
        count = sum(left.values())
        which = "1 tensor that the model has no place for was" if count == 1 else f"{count:,} tensors that the model has no place for were"
        sentences.append(f"{which} left out ({most}{', ...' if len(left) > 4 else ''}).")
    return " ".join([*sentences, *([found.remark] if found.remark else [])])


def _part(key: str, fit: Match) -> str:
    """What a tensor that was left out is counted under: the outermost part of its name, behind the prefix where it has that."""
    return key[len(fit.prefix) :].partition(".")[0] if key.startswith(fit.prefix) else key.partition(".")[0]
