"""Which model of the catalogue a file of weights looks like, for the message that refuses it."""

from __future__ import annotations

import math
import time
from functools import lru_cache

from core.model.anatomy import without_numbers
from core.model.fitting import Shapes, fits
from core.networks.model_entries import MODELS, Family, ModelEntry
from core.networks.models import build

SECONDS = 6.0
"""How long is looked for it. Building a model without numbers takes some 0.3 s."""

MOST = 24
"""Models that are compared: those whose numbers of parameters are nearest."""

ENOUGH = 0.9
"""Share of a model's tensors, without its head, that must be there."""


def looks_like(shapes: Shapes, chosen: str = "") -> str:
    """Ends a sentence with the model that tensors of these names and shapes are of; nothing where there is none. `chosen` as `in_words`."""
    return in_words(alike(shapes), chosen)


def in_words(likely: tuple[str, ...], chosen: str = "") -> str:
    """Ends a sentence with what `alike` found; nothing where that is nothing.

    Args:
        chosen: the name of the model that they do not quite fit, which may be the one that they are most like.
    """
    if chosen in likely:
        return f"; otherwise it looks like {chosen}: one that somebody changed"
    return f"; by its names and shapes it is {' or '.join(likely)}" if likely else ""


def alike(shapes: Shapes) -> tuple[str, ...]:
    """The models that tensors of these names and shapes are of. Takes some seconds at most."""
    until = time.monotonic() + SECONDS
    size = _parameters(shapes)
    by_distance = sorted(MODELS.values(), key=lambda entry: abs(math.log((size + 1) / entry.parameters)))
    found: list[tuple[int, str]] = []
    other: set[Family] = set()  # designs whose names are others
    for entry in by_distance[:MOST]:
        if time.monotonic() > until:
            break
        if entry.family in other:
            continue
        own, children = _structure(entry)
        ways = fits(shapes, own, children)
        if not ways or max(len(way.names) for way in ways) < 0.3 * len(own):
            other.add(entry.family)
        elif len(ways[0].fitting) >= ENOUGH * len(own):
            found.append((len(ways[0].fitting), entry.name))
    return tuple(name for count, name in found if count == max(count for count, _ in found))


def _parameters(shapes: Shapes) -> int:
    """About how many parameters the largest part of a file has, of those that are called as parameters are."""
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        if name.endswith(("weight", "bias")):
            part = name.partition(".")[0] if name.count(".") > 1 else ""
            sizes[part] = sizes.get(part, 0) + math.prod(shape)
    whole = sum(sizes.values())
    return max([size for size in sizes.values() if size > 0.4 * whole], default=whole) if len(sizes) < 4 else whole


@lru_cache(maxsize=128)
def _structure(entry: ModelEntry) -> tuple[Shapes, tuple[str, ...]]:
    """Names and shapes of all that a model keeps but its heads and auxiliary classifiers, and its parts in their order. Draws no random numbers."""
    with without_numbers():
        model = build(entry.name, 1000, entry.usual)
    left = tuple(f"{part}." for part in (*entry.family.head, *entry.family.auxiliary))
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if not name.startswith(left)}
    children = tuple(name for name, _ in model.named_children())
    return {name: shape for name, shape in own.items() if not name.endswith(".num_batches_tracked")}, children
