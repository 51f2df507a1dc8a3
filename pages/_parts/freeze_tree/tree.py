"""A model's layers as the rows of a tree, each with how much of it is frozen. Pure: a description and a frozen set in, rows out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from core.layers import ModelDescription

Frozen = Literal["true", "false", "mixed"]


@dataclass(frozen=True)
class Row:
    """One module, or one parameter that a module with children owns itself. `path` is what `FreezePlan.with_module` takes.

    `level` counts from 1, `group` says that rows below belong to it, `kind` is the class name, `shape` what it returns for one
    image (empty if unknown), `count` its parameters, `frozen` whether all, some or none of them are frozen.
    """

    path: str
    name: str
    level: int
    group: bool
    kind: str
    shape: tuple[int, ...]
    count: int
    frozen: Frozen


def rows(description: ModelDescription, frozen: frozenset[str]) -> list[Row]:
    """Every row from the top down, each parent before what is below it, in the model's own order."""
    tensors: dict[str, list[tuple[int, bool]]] = {}  # path to (count, frozen) of all parameters at or below it
    for parameter in description.parameters:
        fact = (parameter.count, parameter.name in frozen)
        for path in _paths(description, parameter.name, parameter.module):
            tensors.setdefault(path, []).append(fact)
    groups = {path.rpartition(".")[0] for path in tensors}
    return [
        Row(
            path=path,
            name=path.rpartition(".")[2],
            level=path.count(".") + 1,
            group=path in groups,
            kind=description.kinds.get(path, "Parameter"),
            shape=description.output_shapes.get(path, ()),
            count=sum(count for count, _ in tensors[path]),
            frozen=_state([is_frozen for _, is_frozen in tensors[path]]),
        )
        for path in _top_down(tensors)
    ]


def _paths(description: ModelDescription, name: str, module: str) -> list[str]:
    """The rows that a parameter counts in: every module above it, and itself where its module has other layers inside."""
    parts = module.split(".") if module else []
    above = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
    has_layers = not module or any(path.startswith(module + ".") for path in description.kinds)
    return [*above, name] if has_layers else above


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


def _state(frozen: list[bool]) -> Frozen:
    return "true" if all(frozen) else "mixed" if any(frozen) else "false"
