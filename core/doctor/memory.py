"""What of a doctor's signs outlives its process: all that was collected. What is known of a run anyway is left out."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from core.doctor.signs import Signs

_KNOWN_ANYWAY = frozenset({"config", "plan", "facts", "names", "infos", "is_weight", "counts"})


def memory_of(signs: Signs) -> dict[str, Any]:
    """All that was collected, and which tensors were random at first: plain values, arrays and records."""
    kept = {name: copy(value) for name, value in vars(signs).items() if name not in _KNOWN_ANYWAY}
    return {**kept, "at_random": signs.facts.at_random}


def remember(signs: Signs, memory: Mapping[str, Any]) -> None:
    """Have `signs` know what others of the same run knew, of which `memory_of` gave it."""
    signs.facts = replace(signs.facts, at_random=tuple(memory["at_random"]))
    for name in vars(signs).keys() - _KNOWN_ANYWAY:
        setattr(signs, name, copy(memory[name]))
