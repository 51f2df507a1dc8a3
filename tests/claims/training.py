"""Claims about training."""

from __future__ import annotations

from tests.claims import Claim

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "each passes on at most a quarter of a gradient", "core/catalog/faults.py", "by hand: the derivative of a sigmoid is s(1 - s), at most 1/4"
    ),
)
