"""What a run would take from a file of weights, before it is started: names and shapes are looked at, numbers are not."""

from __future__ import annotations

from core.catalog.check import weights_file
from core.config import ConfigError, RunConfig
from core.model.anatomy import without_numbers
from core.model.weight_files import read
from core.model.weights import Matched, NoFit, matched
from core.networks.models import build, find_model
from core.records.layers import head_options
from core.records.starting_weights import WeightsFit


def weights_fit(config: RunConfig, classes: int) -> WeightsFit:
    """How the file that `config.starting_weights` names fits the model of `config` with a head for `classes` classes.

    What is wrong with it is in the answer. Numbers that are NaN or infinite only a run finds. Milliseconds for a file that fits, up to some
    seconds for one that does not: models are compared then.

    Raises:
        ConfigError: there is no such model, it takes no images of this size, or cannot have such a head.
    """
    entry = find_model(config.model)
    with without_numbers():
        model = build(entry.name, classes, config.image_size, head_options(config))
    try:
        file = weights_file(config.starting_weights)
        found = matched(model, entry, read(file).tensors, file.name[:80])
    except NoFit as error:
        return WeightsFit(error=error.message, likely=tuple(name for name in error.likely if name != entry.name))
    except ConfigError as error:
        if error.field != "starting_weights":
            raise
        return WeightsFit(error=error.message)
    head = entry.family.head[0]
    fresh = tuple(part for part in found.fresh if part == head) or tuple(found.fresh)
    old = {id(tensor) for name, tensor in found.named.items() if name.startswith(tuple(f"{part}." for part in found.fresh))}
    left = [name for name in found.left if id(found.given[name]) not in old]
    return WeightsFit(len(found.taken), len(found.own), fresh, len(left), _classes(found, head))


def _classes(found: Matched, head: str) -> int | None:
    """For how many classes the head in the file was made: the rows of its last weight."""
    weights = [tensor for name, tensor in found.named.items() if name.startswith(f"{head}.") and name.endswith("weight") and tensor.dim() > 1]
    return int(weights[-1].shape[0]) if weights else None
