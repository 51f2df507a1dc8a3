"""Sets of parameters as the beginnings of their names: what a person would write instead of sixty names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache


def cover(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """The fewest name beginnings that match all of `names` and none of `others`, in the order of `names`.

    A beginning ends with a dot and matches what begins so, or is a whole name and matches nothing else.
    """
    return list(_cover(tuple(names), tuple(others)))


@lru_cache(maxsize=64)  # the doctor asks the same at each look
def _cover(names: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        if any(name.startswith(start) for start in found if start.endswith(".")):
            continue
        parts = name.split(".")
        beginnings = [".".join(parts[:depth]) + "." for depth in range(1, len(parts))] + [name]
        found.append(next(start for start in beginnings if start == name or not any(other.startswith(start) for other in others)))
    return tuple(found)


def tuple_of(names: Sequence[str]) -> str:
    """Names as Python writes a tuple of them."""
    return "(" + ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "") + ")"
