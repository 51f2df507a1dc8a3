"""What a dataset holds, as HTML that stands still: its three sets, its classes with their numbers, some of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

FIRST = 12
"""Classes that are in sight at once; the others stand in a list that scrolls, behind a button."""

MOST = 1_000
"""Classes that are listed at most: more rows than that would slow a browser down."""

SIDE = 96
"""Side of a picture on screen, in pixels, at most (`data_card.css`)."""

STYLE = f"<style>{(Path(__file__).parent / 'data_card.css').read_text()}</style>"

_VERBS = {"train": "learn", "validation": "validate", "test": "test"}
"""What the pictures of a set are for; also the names of their colours in the style sheet."""


@dataclass(frozen=True)
class SetRow:
    """One of the three sets, by its name in `_VERBS`: how many pictures (None: not counted), and which, as the end of a sentence."""

    part: str
    count: int | None
    why: str


@dataclass(frozen=True)
class ClassRow:
    """One class, and how many of its pictures are in each set."""

    name: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Pictures in all three sets."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Tile:
    """A picture: the name of its class, what is said of it to who does not see it, its address (empty: none), and what is in the way."""

    label: str
    about: str
    address: str
    problem: str = ""


def sets(rows: Sequence[SetRow]) -> str:
    """The three sets, a row each, in the colours of the bars."""
    return _card("".join(f'<li class="{_VERBS[row.part]}"><b>{_set_name(row)}</b> <span>{escape(row.why)}</span></li>' for row in rows), "ul", "sets")


def _set_name(row: SetRow) -> str:
    return f"{row.count:,} {_VERBS[row.part]}" if row.count is not None else _VERBS[row.part].capitalize()


def bars(rows: Sequence[ClassRow]) -> str:
    """The classes by number, most first, with a bar each."""
    ordered = sorted(rows, key=lambda row: -row.total)
    most = max((row.total for row in ordered), default=0) or 1
    letters = min(max((len(row.name) for row in ordered), default=0), 20)
    return _list([_bar(row, most) for row in ordered], "bars", f' style="--letters:{letters}ch" aria-label="Pictures of each class"')


def names(classes: Sequence[str]) -> str:
    """The classes alone, where nobody has counted them yet."""
    return _list([f'<li><span class="name" title="{escape(name)}">{escape(name)}</span></li>' for name in classes], "names")


def tiles(shown: Sequence[Tile], pixelated: bool, alone: bool = False) -> str:
    """Pictures side by side. `pixelated`: each of their pixels is to be seen; `alone`: a single one, as large as there is room for."""
    return _card(
        "".join(map(_tile, shown)),
        "ul",
        f"tiles{' pixelated' if pixelated else ''}{' single' if alone else ''}",
        ' aria-label="Pictures as the model will see them"',
    )


def waiting(count: int) -> str:
    """The room that so many pictures will take."""
    empty = '<li aria-hidden="true"><div class="empty"></div><span class="name">&nbsp;</span></li>'
    return _card(empty * count, "ul", "tiles", ' aria-label="Pictures, which are being read"')


def _card(inner: str, tag: str, name: str, attributes: str = "") -> str:
    return f'{STYLE}<div class="thaw-data"><{tag} class="{name}"{attributes}>{inner}</{tag}></div>'


def _list(rows: Sequence[str], name: str, attributes: str = ' aria-label="Classes"') -> str:
    first, rest, beyond = rows[:FIRST], rows[FIRST:MOST], len(rows) - MOST
    found = f'<ul class="{name}"{attributes}>{"".join(first)}</ul>'
    if rest:
        left_out = f"<p>{beyond:,} more are not listed.</p>" if beyond > 0 else ""
        listed = f'<ul class="{name}"{attributes}>{"".join(rest)}</ul>{left_out}'
        scrolling = f'<div class="scroll" tabindex="0" role="group" aria-label="The other classes">{listed}</div>'
        found += f"<details><summary>Show all {len(rows):,} classes</summary>{scrolling}</details>"
    return f'{STYLE}<div class="thaw-data">{found}</div>'


def _bar(row: ClassRow, most: int) -> str:
    split = ", ".join(f"{row.counts[part]:,} {verb}" for part, verb in _VERBS.items() if row.counts.get(part))
    pieces = "".join(f'<i class="{verb}" style="width:{100 * row.counts.get(part, 0) / most:.3f}%"></i>' for part, verb in _VERBS.items())
    name = f'<span class="name" title="{escape(row.name)}">{escape(row.name)}</span>'
    number = f'<span class="count">{row.total:,}<span class="unseen"> pictures: {split}</span></span>'
    return f'<li title="{escape(f"{row.name}: {split or 0}")}">{name}<span class="bar" aria-hidden="true">{pieces}</span>{number}</li>'


def _tile(tile: Tile) -> str:
    name, about = f'<span class="name" title="{escape(tile.label)}">{escape(tile.label)}</span>', escape(tile.about)
    if tile.address:
        return f'<li><img src="{escape(tile.address)}" alt="{about}" title="{about}">{name}</li>'
    return f'<li><div class="empty broken" role="img" aria-label="{about}" title="{about}">{escape(tile.problem)}</div>{name}</li>'
