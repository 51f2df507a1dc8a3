"""One of several sets of weights in a file: the one that fits best, or, of two that fit alike, the one that is no running mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from core.config import ConfigError
from core.model.fitting import Match, Reading, Shape, as_good, fits, is_averaged, rivals

_NOTHING = Match(Reading({}, lambda name: name), "", {}, frozenset())
"""Names are taken as they are, and none of them is the model's."""


def choose(
    given: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    children: Sequence[str],
    heads: tuple[str, ...],
    alike: Callable[[str, Shape, Shape], bool] | None,
    name: str,
) -> tuple[Match, str]:
    """How the tensors of a file, `given`, are those of a model, `own`, and a remark where there was a choice. See `core.model.fitting.fits`.

    Args:
        heads: beginnings of the names that a file may lack.

    Raises:
        ConfigError: on `starting_weights`, where two different sets fit equally well, and neither is the running mean of the other.
    """
    ways = fits({key: tuple(each.shape) for key, each in given.items()}, {key: tuple(each.shape) for key, each in own.items()}, children, alike)
    found = rivals(ways)
    needed = sum(not key.startswith(heads) and not key.endswith(".num_batches_tracked") for key in own)
    if not found or len(found[0].fitting) < needed / 2:  # of another model, or of other widths
        most = max(ways, key=lambda fit: len(fit.names), default=_NOTHING)
        return (most if len(most.names) > needed / 2 else _NOTHING), ""
    plain = as_good(found)
    taken = plain[0]
    different = [fit for fit in found if fit is not taken and not _same(fit, taken, given)]
    undecided = [fit for fit in different if fit in plain]
    if undecided:
        sets = " and ".join(repr(fit.prefix[:60]) for fit in (taken, *undecided[:2]))
        remedy = "save the one that is meant alone with torch.save, and give that file"
        raise ConfigError("starting_weights", f"{name} holds {len(undecided) + 1} sets of weights that all fit, under {sets}; {remedy}")
    if not different:
        return taken, ""
    others = " and ".join(repr(fit.prefix[:60]) for fit in different[:3])
    what = "running means of these weights" if all(is_averaged(fit, [taken]) for fit in different) else "other weights that fit nearly as well"
    return taken, f"It also holds {what}, under {others}, which were not taken: to start from those, save them alone with torch.save."


def _same(one: Match, other: Match, given: Mapping[str, Tensor]) -> bool:
    """Whether two sets hold the same numbers, where both have any."""
    both = one.fitting & other.fitting
    pairs = [(given[one.names[name]], given[other.names[name]]) for name in both]
    return one.fitting == other.fitting and all(a is b or (_plain(a, b) and torch.equal(a, b)) for a, b in pairs)


def _plain(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and all(
        each.layout == torch.strided and each.device.type == "cpu" and not each.is_quantized for each in (one, other)
    )
