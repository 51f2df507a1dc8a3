"""What runs are called on the screens: by their name, else by what they are about, and in a list by what tells them from their neighbours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.config import RunConfig
from core.config.limits import quoted
from core.store import Run, UnreadableRun
from pages._parts.shared import words

LONGEST_VALUE = 40
"""Characters of a setting in a list."""

LONGEST_FILE_NAME = 60
"""Characters of a downloaded file's name, before the run's id."""

_FIRST = ("freeze", "learning_rate", "epochs", "timeline", "starting_weights", "optimizer", "batch_size", "image_size", "augmentation")
"""The settings that tell runs apart best, best first; after them the others, as the config has them."""

_SHORT: Mapping[str, Callable[[Any], str]] = {
    "freeze": str,
    "learning_rate": lambda rate: f"lr {rate:g}",
    "epochs": lambda epochs: f"{epochs:,} epoch{'' if epochs == 1 else 's'}",
    "timeline": lambda timeline: f"timeline {timeline}" if timeline.changes else "no timeline",
    "starting_weights": lambda weights: f"{weights} weights" if weights in ("random", "pretrained") else f"weights of {weights}",
    "optimizer": str,
    "batch_size": lambda size: f"batches of {size:,}",
    "image_size": lambda side: f"{side:,} px",
    "augmentation": lambda name: f"augmentation {name}",
    "dataset": str,
    "model": str,
    "seed": lambda seed: f"seed {seed}",
    "compile_model": lambda on: "compiled" if on else "not compiled",
}


@dataclass(frozen=True)
class Told:
    """What a run is called in a list: `name`, and behind it what tells it from its neighbours, often nothing. Not made plain."""

    name: str
    apart: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " · ".join((self.name, *self.apart))


def called(run: Run) -> str:
    """A run's name, else what it is about: 'digits with resnet18'. Not made plain."""
    return run.labels.name or words.subject(run.config)


def in_list(runs: Iterable[Run | UnreadableRun]) -> dict[str, Told]:
    """What each run that can be read is called in this list, by its id: two read the same only where their settings are the same."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        if isinstance(run, Run):
            alike.setdefault(called(run), []).append(run)
    return {run_id: told for name, group in alike.items() for run_id, told in _apart(name, group).items()}


def file_name(run: Run, ending: str) -> str:
    """A name for a file of the run that every system takes: 'first-try-20261129-101500-a1b2.pth'."""
    safe = re.sub(r"[^\w.]+", "-", called(run)).strip("-._")[:LONGEST_FILE_NAME].rstrip("-._")
    return "-".join(filter(None, (safe, run.id))) + ending


def _apart(name: str, group: Sequence[Run]) -> dict[str, Told]:
    """The members of a group that is called the same, with the fewest settings that tell them apart."""
    settings = {run.id: tuple(str(value) for value in run.config.model_dump().values()) for run in group}
    wanted = len(set(settings.values()))
    parts: dict[str, tuple[str, ...]] = {run.id: () for run in group}
    apart = 1
    for field in (*_FIRST, *(field for field in RunConfig.model_fields if field not in _FIRST)):
        if apart == wanted:
            break
        more = {run.id: (*parts[run.id], _value(run.config, field)) for run in group}
        if len(set(more.values())) > apart:
            parts, apart = more, len(set(more.values()))
    if apart < wanted:  # what differs was cut away
        parts = {run_id: (*said, run_id) for run_id, said in parts.items()}
    return {run_id: Told(name, said) for run_id, said in parts.items()}


def _value(config: RunConfig, field: str) -> str:
    value = getattr(config, field)
    if field in _SHORT:
        text = _SHORT[field](value)
    else:
        text = f"{words.field(field).lower()} {quoted(value) if isinstance(value, dict) else 'none' if value is None else value}"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE // 2 - 2]} ... {text[-(LONGEST_VALUE // 2 - 3) :]}"
