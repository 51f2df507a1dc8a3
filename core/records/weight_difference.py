"""How two sets of weights differ, tensor by tensor and layer by layer: plain data and its sentences. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""The last part of the names of BatchNorm's statistics, which move without an optimizer."""

SCARCELY = 1e-6
"""A relative distance below this is that of rounding, not of learning."""

Kind = Literal["parameter", "statistic"]


@dataclass(frozen=True)
class Moved:
    """How far one tensor, or all of a layer's, is from another place. All without a unit.

    `distance`: L2 norm of the difference. `relative`: the same over the norm of where it began, None where that is 0.
    """

    distance: float
    relative: float | None


@dataclass(frozen=True)
class TensorDifference:
    """One tensor that both have. `count`: its values. `same`: equal to the bit.

    `between`: from A to B. `a` and `b`: each from its start, None where the start is not known. `cosine`: of the two ways from one start, from -1
    (opposite) to 1 (the same direction), None where one of them did not move. `largest`: the largest difference of one value, of A and B.
    `frozen`: where no step was to change it.
    """

    name: str
    shape: tuple[int, ...]
    count: int
    kind: Kind
    same: bool
    between: Moved
    a: Moved | None = None
    b: Moved | None = None
    cosine: float | None = None
    largest: float = 0.0
    frozen: Literal["", "a", "b", "both"] = ""

    @property
    def layer(self) -> str:
        """The layer that it belongs to: its name without the last part."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def broken(self) -> tuple[str, ...]:
        """In which of "a" and "b" it was frozen, and is not what it was at the start all the same."""
        moved = {"a": self.a, "b": self.b}
        held = {"both": ("a", "b"), "a": ("a",), "b": ("b",), "": ()}[self.frozen]
        return tuple(which for which in held if (found := moved[which]) is not None and found.distance > 0)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """What is shown first: what was frozen and moved, then parameters, then what is farthest apart for its size."""
        far = self.between.relative if self.between.relative is not None else min(1.0, self.between.distance)
        return bool(self.broken), self.kind == "parameter", far if math.isfinite(far) else math.inf


@dataclass(frozen=True)
class LayerDifference:
    """All parameters of one layer together, or its statistics: as `TensorDifference`."""

    layer: str
    kind: Kind
    count: int
    same: bool
    between: Moved
    a: Moved | None
    b: Moved | None
    cosine: float | None


@dataclass(frozen=True)
class WeightDifference:
    """Two sets of weights. `a` and `b` say what they are; `start` what both, or each, began with; empty: not known.

    `rows` by `TensorDifference.rank`; `layers` in the order of the model. `only_a`, `only_b`: names that only one has; `other_shape`: (name, shape
    in A, shape in B). `notes`: sentences on what could not be compared.
    """

    a: str
    b: str
    start: str
    rows: tuple[TensorDifference, ...]
    layers: tuple[LayerDifference, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    other_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    notes: tuple[str, ...] = ()


def in_words(found: WeightDifference) -> list[str]:
    """What a person wants to hear first: what is the same, what a freeze should have held and did not, and whose statistics moved."""
    parameters = [row for row in found.rows if row.kind == "parameter"]
    if not found.rows:
        return ["They have no tensor of the same name and shape, so nothing can be compared."]
    same = [row for row in parameters if row.same]
    values = sum(row.count for row in same)
    all_values = sum(row.count for row in parameters)
    said = [f"{len(same):,} of {len(parameters):,} parameter tensors ({values:,} of {all_values:,} values) are the same to the bit."]
    if parameters and len(same) == len(parameters):
        said.append("No parameter differs: between these two, nothing was learned.")
    elif not same:
        said.append("Every parameter tensor differs: none was frozen between these two, or they began with other weights.")
    for which, name in (("a", found.a), ("b", found.b)):
        broken = [row.name for row in found.rows if which in row.broken and row.kind == "parameter"]
        if broken:
            said.append(f"{name}: frozen, and yet not what they were at the start: {_few(broken)}.")
    drifted = [row.layer for row in found.rows if row.kind == "statistic" and not row.same and _held(row.layer, parameters)]
    if drifted:
        layers = list(dict.fromkeys(drifted))
        what = f"{len(layers):,} {'layer' if len(layers) == 1 else 'layers'} whose own weights are the same ({_few(layers)})"
        said.append(f"BatchNorm's running statistics differ in {what}: it was frozen, but in train mode, or saw other pictures.")
    for what, names in ((f"only {found.a} has", found.only_a), (f"only {found.b} has", found.only_b)):
        if names:
            said.append(f"{len(names):,} {'tensor' if len(names) == 1 else 'tensors'} {what}: {_few(names)}.")
    if found.other_shape:
        shapes = [f"{name} ({_size(one)} and {_size(other)})" for name, one, other in found.other_shape]
        said.append(f"Of another shape, so not compared: {_few(shapes)}.")
    return [*said, *found.notes]


def _held(layer: str, parameters: Iterable[TensorDifference]) -> bool:
    """Whether a layer has parameters, and all of them are the same."""
    own = [row.same for row in parameters if row.layer == layer]
    return bool(own) and all(own)


def _few(names: Iterable[str], most: int = 5) -> str:
    each = list(names)
    return ", ".join(each[:most]) + (f" and {len(each) - most:,} more" if len(each) > most else "")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"
