"""A model's layers as the rows of a tree, and how much of each is frozen. Pure: a description and a frozen set in, rows and states out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal

from core.config import ConfigError
from core.config.plans import PRESETS, FreezePlan
from core.records.layers import ModelDescription, blocks, frozen_parameters

Frozen = Literal["true", "false", "mixed"]

_STATES: dict[Frozen, str] = {"false": "0", "true": "1", "mixed": "2"}


@dataclass(frozen=True)
class Row:
    """One module, or one parameter that a module with children owns itself. `path` is what `FreezePlan.with_module` takes.

    `level` counts from 1, `group` says that rows below belong to it, `kind` is the class name, `shape` what it returns for one
    image (empty if unknown), `count` its parameters, `flops` those of one image's forward pass, `tensors` the names of all
    parameter tensors in it.
    """

    path: str
    name: str
    level: int
    group: bool
    kind: str
    shape: tuple[int, ...]
    count: int
    flops: int
    tensors: tuple[str, ...]

    def state(self, frozen: frozenset[str]) -> Frozen:
        """Whether all, some or none of its tensors are in `frozen`."""
        found = [name in frozen for name in self.tensors]
        return "true" if all(found) else "mixed" if any(found) else "false"


class LayerTable:
    """A model's description and what is worked out of it once: its rows, its blocks, and the message that takes the rows to a browser."""

    def __init__(self, description: ModelDescription) -> None:
        self.description = description
        self.rows = tuple(rows(description))
        self.blocks = blocks(parameter.name for parameter in description.parameters)

    @cached_property
    def message(self) -> bytes:
        """The rows as the browser reads them, JSON."""
        table = [[row.path, row.name, row.level, row.group, row.kind, " x ".join(map(str, row.shape)), row.count, row.flops] for row in self.rows]
        return json.dumps({"key": self.key, "rows": table}, separators=(",", ":")).encode()

    @cached_property
    def key(self) -> str:
        """What tells these rows from those of any other model, size or head."""
        said = repr([(row.path, row.kind, row.shape, row.count) for row in self.rows])
        return sha256(said.encode()).hexdigest()[:16]

    @cached_property
    def presets(self) -> dict[str, frozenset[str]]:
        """What each preset freezes in this model; one that would leave nothing to learn is not there."""
        found = {}
        for preset in PRESETS:
            try:
                found[preset] = frozen_parameters(FreezePlan(rules=(preset,)), self.description.parameters)
            except ConfigError:
                continue
        return found

    def states(self, frozen: frozenset[str]) -> str:
        """One character for each row that is no group, in their order: 0 learns, 1 is frozen, 2 is frozen in part."""
        return "".join(_STATES[row.state(frozen)] for row in self.rows if not row.group)


def rows(description: ModelDescription) -> list[Row]:
    """Every row from the top down, each parent before what is below it, in the model's own order."""
    tensors: dict[str, list[tuple[str, int]]] = {}  # path to (name, count) of all parameters at or below it
    for parameter in description.parameters:
        for path in _paths(description, parameter.name, parameter.module):
            tensors.setdefault(path, []).append((parameter.name, parameter.count))
    flops: dict[str, int] = {}
    for leaf, count in description.flops.items():
        for path in _above(leaf):
            flops[path] = flops.get(path, 0) + count
    groups = {path.rpartition(".")[0] for path in tensors}
    return [
        Row(
            path=path,
            name=path.rpartition(".")[2],
            level=path.count(".") + 1,
            group=path in groups,
            kind=description.kinds.get(path, "Parameter"),
            shape=description.output_shapes.get(path, ()),
            count=sum(count for _, count in tensors[path]),
            flops=flops.get(path, 0),
            tensors=tuple(name for name, _ in tensors[path]),
        )
        for path in _top_down(tensors)
    ]


def _above(path: str) -> list[str]:
    """A module's path after those of all modules around it."""
    parts = path.split(".") if path else []
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def _paths(description: ModelDescription, name: str, module: str) -> list[str]:
    """The rows that a parameter counts in: every module above it, and itself where its module has other layers inside."""
    has_layers = not module or any(path.startswith(module + ".") for path in description.kinds)
    return [*_above(module), name] if has_layers else _above(module)


def _top_down(paths: Iterable[str]) -> list[str]:
    """Each path followed by all that lies below it; siblings stay in the order in which they first appear."""
    children: dict[str, list[str]] = {}
    for path in paths:
        children.setdefault(path.rpartition(".")[0], []).append(path)
    ordered: list[str] = []
    waiting = children.get("", [])[::-1]
    while waiting:
        path = waiting.pop()
        ordered.append(path)
        waiting += children.get(path, [])[::-1]
    return ordered
