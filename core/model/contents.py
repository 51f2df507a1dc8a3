"""All tensors in what a file of weights holds, whatever they lie in, each under its name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from core.model.allowed import Aside

LONGEST_NAME = 500
"""Characters of a tensor's name, with those of all that it lies in; what lies deeper is left aside."""


def tensors_in(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of all in `content`, in their order; the name begins with those of all that it lies in, joined by dots.

    Each dict or list is gone through once, wherever else it lies as well.
    """
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([("", content)])
    while waiting:
        name, value = waiting.popleft()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping | list | tuple | Aside) and id(value) not in seen and len(name) <= LONGEST_NAME:
            seen.add(id(value))
            inside = value.items() if isinstance(value, Mapping) else enumerate(value.held if isinstance(value, Aside) else value)
            waiting.extendleft(reversed([(_inside(name, key), each) for key, each in inside]))


def _inside(name: str, key: Any) -> str:
    text = key if isinstance(key, str) else str(key)[:40] if isinstance(key, int) else type(key).__name__
    return f"{name}.{text}" if name else text
