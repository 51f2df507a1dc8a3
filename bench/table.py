"""Figures as a Markdown table, and the median."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

__all__ = ["median", "spread", "table"]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table: the first column is text, the others are figures."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (lowest to highest)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
