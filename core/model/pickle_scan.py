"""What a pickle says, read without carrying it out: which classes it names, and which names and shapes its tensors have."""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from typing import IO

from core.model import allowed

MOST_STEPS = 3_000_000
"""Instructions of a pickle; that of 2,000 tensors and the state of their optimizer has 200,000. So many take some seconds."""

LARGEST = 300_000_000
"""Bytes of a pickle, without the numbers of its tensors."""

PICKLES = 5
"""Of a file of torch.save from before 1.6: a number, a version, a machine, the weights, and the list of their storages."""

_NO_NAME = re.compile(r"storage|\d+|cpu|meta|mps(:\d+)?|(cuda|xpu|xla|hpu)(:\d+)?", re.ASCII)


class TooLong(ValueError):
    """A pickle has more parts than any file of weights."""


@dataclass
class Scan:
    """`classes`: full names, in the order of the file. `shapes`: of what look like tensors, by the last text before each.

    `protocol`: of the pickle. `numbers`: how many the largest storage is said to have.
    """

    classes: dict[str, None] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    protocol: int = 2
    numbers: int = 0
    steps: int = 0

    @property
    def refused(self) -> list[str]:
        """The classes that no file of weights may name."""
        return [name for name in self.classes if not allowed.is_allowed(name)]


def scan(file: IO[bytes], pickles: int = 1) -> Scan:
    """What the next `pickles` pickles in `file` say. Nothing in them is carried out.

    From protocol 4 on, classes are named in a way that is not followed here: torch's safe loader does not know it either.

    Raises:
        TooLong: they have more than `MOST_STEPS` instructions.
        ValueError: they are damaged or incomplete.
    """
    found = Scan()
    for _ in range(pickles):
        _scan_one(file, found)
    return found


def _scan_one(file: IO[bytes], found: Scan) -> None:
    name = ""
    numbers: list[int] = []
    sizing = False  # between a storage and the end of the shape of the tensor that it belongs to
    for opcode, argument, _ in pickletools.genops(file):
        found.steps += 1
        if found.steps > MOST_STEPS:
            raise TooLong
        kind = opcode.name
        if kind == "PROTO":
            found.protocol = max(found.protocol, argument or 0)
        elif kind in ("GLOBAL", "INST"):
            module, _, which = str(argument).partition(" ")
            found.classes[allowed.today(module, which)] = None
        elif isinstance(argument, str) and "UNICODE" in kind:
            if len(argument) <= 300 and not _NO_NAME.fullmatch(argument):
                name = argument
        elif kind == "BINPERSID":
            found.numbers = max(found.numbers, numbers[-1] if numbers else 0)
            numbers, sizing = [], True
        elif kind.startswith(("BININT", "LONG")) and isinstance(argument, int) and not kind.endswith(("GET", "PUT")):
            numbers = [*numbers[-16:], argument]
        elif sizing and kind in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"):
            found.shapes.setdefault(name, tuple(numbers[1:]))
            sizing = False
