"""Which tensors of a file are which of a model, found by names and shapes: what stands before the names, and what they lie in.

Names are compared from their ends. For each tensor of the file and each beginning that leaves a name of the model, there is a vote
for that beginning; the one with which the most tensors fit, by name and shape, is how the file is read. So `state_dict.module.conv1.weight`
says that everything before `conv1.weight` is a container and a prefix, whatever these are called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

MOST_PARTS = 24
"""Beginnings of one name that are tried."""

_BREAK = re.compile(r"[._/:|-]")

_AVERAGED = re.compile(r"(?<![a-z])(ema|avg|averaged?|swa|shadow|momentum)(?![a-z])", re.IGNORECASE)
"""How weights that are running means of others are called."""


@dataclass(frozen=True)
class Reading:
    """One way in which a file may name what the model has. `own`: the model's name of each name that is so read.

    `translate` does the same for names that the model does not have, as far as it can. `words`: what is particular about it, for a note.
    """

    own: Mapping[str, str]
    translate: Callable[[str], str]
    words: str = ""


@dataclass(frozen=True)
class Match:
    """A reading with what stands before the names. `names`: the file's name of each of the model's; `fitting`: those whose shapes fit."""

    reading: Reading
    prefix: str
    names: Mapping[str, str]
    fitting: frozenset[str]

    def named(self, names: Sequence[str]) -> dict[str, str]:
        """The names of a file that begin with the prefix, as the model would have them: its name by theirs."""
        beginning = len(self.prefix)
        return {name: self.reading.translate(name[beginning:]) for name in names if name.startswith(self.prefix) and len(name) > beginning}


def readings(own: Sequence[str], children: Sequence[str]) -> list[Reading]:
    """How a file may call what a model has: as the model does; by the numbers that its parts have in an `nn.Sequential` of them
    (SimCLR, fastai); or, where one part was saved alone, without the name of that part.
    """
    number = {child: str(place) for place, child in enumerate(children)}

    def by_number(name: str) -> str:
        first, dot, rest = name.partition(".")
        known = first.isascii() and first.isdigit() and len(first) < 5 and int(first) < len(children)
        return f"{children[int(first)]}{dot}{rest}" if known else name

    found = [Reading({name: name for name in own}, lambda name: name)]
    numbered = {f"{number[name.partition('.')[0]]}.{name.partition('.')[2]}": name for name in own if name.partition(".")[0] in number}
    found.append(Reading(numbered, by_number, "its parts are numbered instead of named"))
    for child in children:
        inside = {name.removeprefix(f"{child}."): name for name in own if name.startswith(f"{child}.")}
        if inside:
            found.append(Reading(inside, partial("{}.{}".format, child), f"it is what the model calls {child}"))
    return found


def fits(shapes: Shapes, own: Shapes, children: Sequence[str], alike: Callable[[str, Shape, Shape], bool] | None = None) -> list[Match]:
    """All ways to read `shapes`, those of a file, as a model's `own`, that with the most fitting tensors first.

    Args:
        children: the model's parts, in their order.
        alike: says of a name, its shape in the file and in the model whether the one can be made into the other. Equal ones can.
    """
    ways = readings(list(own), children)
    votes: dict[tuple[int, str], dict[str, str]] = {}
    for name in shapes:
        starts = [0, *(match.end() for match in _BREAK.finditer(name))][-MOST_PARTS:]
        for start in starts:
            for place, way in enumerate(ways):
                if (mine := way.own.get(name[start:])) is not None:
                    votes.setdefault((place, name[:start]), {})[mine] = name
    found = []
    for (place, prefix), names in votes.items():
        fitting = [mine for mine, name in names.items() if shapes[name] == own[mine] or (alike is not None and alike(mine, shapes[name], own[mine]))]
        found.append(Match(ways[place], prefix, names, frozenset(fitting)))
    found.sort(key=lambda fit: (-len(fit.fitting), -len(fit.names), len(fit.reading.words)))
    return found


def rivals(ways: Sequence[Match]) -> list[Match]:
    """Of the ways to read a file, the first, and those nearly as good that read other tensors of it."""
    kept: list[Match] = []
    for fit in ways[:100]:
        theirs = {fit.names[mine] for mine in fit.fitting}
        if kept and (len(fit.fitting) < 0.9 * len(kept[0].fitting) or any(theirs <= {each.names[mine] for mine in each.fitting} for each in kept)):
            continue
        if fit.fitting:
            kept.append(fit)
    return kept


def as_good(found: Sequence[Match]) -> list[Match]:
    """Of rivals, those that fit as well as the first, that which is read at the head. The running means of others give way to these."""
    equal = [each for each in found if len(each.fitting) == len(found[0].fitting)]
    return [each for each in equal if not is_averaged(each, equal)] or equal


def is_averaged(fit: Match, beside: Sequence[Match]) -> bool:
    """Whether a set of weights is, by what it is called, the running mean of another that lies beside it."""
    return bool(_AVERAGED.search(fit.prefix.replace("_", " "))) and any(not _AVERAGED.search(each.prefix.replace("_", " ")) for each in beside)
