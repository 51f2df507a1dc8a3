"""The index of notions: what a course on fine-tuning names, each with one true sentence, the line of code, and where it is seen. No torch.

The entries stand by theme in `data`, `layers`, `gradients`, `learning` and `results`; `notion` says what one is, `places` where it is seen.
`tests/notions` runs every line of code and tries every sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.config import ConfigError
from core.config.entry import suggest
from core.config.limits import quoted
from core.notions.data import BATCHES, PICTURES, TENSORS
from core.notions.gradients import GRADIENTS, SWITCHES
from core.notions.layers import KINDS, MODULES
from core.notions.learning import COURSE_OF_TRAINING, LOSSES, OPTIMIZERS, TUNING
from core.notions.notion import SETUP, Notion, Place
from core.notions.results import RESULTS, SAVING

__all__ = ["LONGEST_WORD", "NOTIONS", "SETUP", "THEMES", "Notion", "Place", "containing", "find", "searched"]

THEMES: Mapping[str, tuple[Notion, ...]] = {
    "Tensors": TENSORS,
    "Pictures and labels": PICTURES,
    "Batches and epochs": BATCHES,
    "A model and its parameters": MODULES,
    "Layers": KINDS,
    "Gradients and the graph": GRADIENTS,
    "What learns, what is recorded, which mode": SWITCHES,
    "Losses": LOSSES,
    "Optimizers": OPTIMIZERS,
    "The course of training": COURSE_OF_TRAINING,
    "Fine-tuning": TUNING,
    "How good it is": RESULTS,
    "Saving and loading": SAVING,
}
"""All notions, by theme."""

NOTIONS: Mapping[str, Notion] = {notion.name: notion for notions in THEMES.values() for notion in notions}
"""All notions by name, in the order of the themes."""

LONGEST_WORD = 60
"""Characters of the longest word that is looked for."""


def _squeezed(name: str) -> str:
    """Letters and digits alone: `loss.backward()` and “loss backward” are one."""
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


def _names() -> dict[str, Notion]:
    """Every name without its case and signs. A notion's own name wins over what another one is also called."""
    names: dict[str, Notion] = {}
    for notion in NOTIONS.values():
        names[_squeezed(notion.name)] = notion
    for notion in NOTIONS.values():
        for also in notion.also:
            names.setdefault(_squeezed(also), notion)
    return names


_NAMES: Mapping[str, Notion] = _names()


def find(name: str) -> Notion:
    """The notion that is called so, or also called so; case and signs do not count.

    Raises:
        ConfigError: on `notion`, with the closest names.
    """
    found = _NAMES.get(_squeezed(name[: LONGEST_WORD + 1]))
    if found is not None:
        return found
    spellings = [*NOTIONS, *(also for notion in NOTIONS.values() for also in notion.also)]
    shown = name if len(name) <= LONGEST_WORD else ""
    raise ConfigError("notion", f"{quoted(name)} is not in the index; {suggest(spellings, shown)}")


def containing(word: str) -> tuple[Notion, ...]:
    """The notions that have every part of `word` in a name, the sentence or the code; case does not count. What the browser's search does too."""
    parts = word.casefold().split()
    return tuple(notion for notion in NOTIONS.values() if all(part in searched(notion) for part in parts))


def searched(notion: Notion) -> str:
    """All that a search looks at, in lower case."""
    return "\n".join((notion.name, *notion.also, notion.says, notion.code)).casefold()
