"""Sets of parameters as the beginnings of their names: what a person would write instead of sixty names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cover(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """The fewest name beginnings that match all of `names` and none of `others`, in the order of `names`.

    A beginning ends with a dot and matches what begins so, or is a whole name and matches nothing else.
    """
    others = tuple(others)
    found: list[str] = []
    for name in names:
        if any(name.startswith(start) for start in found if start.endswith(".")):
            continue
        parts = name.split(".")
        beginnings = [".".join(parts[:depth]) + "." for depth in range(1, len(parts))] + [name]
        found.append(next(start for start in beginnings if start == name or not any(other.startswith(start) for other in others)))
    return found


def tuple_of(names: Sequence[str]) -> str:
    """Names as Python writes a tuple of them."""
    return "(" + ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "") + ")"
