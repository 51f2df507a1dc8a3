"""Which of a run's test pictures it has learned from, as far as that is known: by the lists of pictures that it and its ancestors keep. No torch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from core.config import ConfigError
from core.data.ancestry import TRAINED, Ancestry, ancestry
from core.data.manifest import PICTURES, Picture, read_pictures
from core.machine.home import Home
from core.networks.models import find_model
from core.store import Run

NOTHING_READ = "0" * 64
"""Stands for the digest of a file that went away while it was read: equal to nothing."""


@dataclass(frozen=True)
class LearnedFrom:
    """What is known. Counts are of test pictures, by what they hold (SHA-256 of the file, or of the pixels where a dataset has no files).

    Args:
        test, train: how many pictures the run was tested on, and learned from.
        shared: test pictures that are training pictures too; None for a run that keeps no list.
        weights: where its weights started: at random, from weights that torchvision publishes or that ship with Thaw, from a file, or
            from another run.
        before: the run that its weights come from, where they come from one.
        shared_before: test pictures that this run, or one that it came from, learned from.
        unlisted: runs among these that keep no list.
        shipped: what is known of the weights that ship with Thaw, where its weights are those.
    """

    test: int
    train: int
    shared: int | None
    weights: Literal["random", "pretrained", "shipped", "file", "run"]
    before: str = ""
    shared_before: int = 0
    unlisted: tuple[str, ...] = ()
    shipped: str = ""

    @property
    def leaks(self) -> bool:
        """Whether it is known that the run, or its starting weights, learned from some of its test pictures."""
        return bool(self.shared or self.shared_before)

    @property
    def sentence(self) -> str:
        """What is known, for a person: it claims nothing else."""
        if self.shared is None:
            told = "Which pictures this run learned from was not kept, so whether its test pictures are among them is not known."
        elif self.shared:
            told = (
                f"{self.shared:,} of the {self.test:,} test pictures are among the {self.train:,} that this run learned from: for those, the figures "
                "measure memory, and what is said of new pictures does not hold."
            )
        else:
            told = (
                f"None of them is among the {self.train:,} pictures that this run learned from, byte by byte; copies that were changed are not found."
            )
        return " ".join(filter(None, (told, self._of_weights())))

    def _of_weights(self) -> str:
        match self.weights:
            case "pretrained":
                return "Whether the pretrained weights had learned from some of them (ImageNet, as a rule) is not known."
            case "shipped":
                return self.shipped
            case "file":
                return "What the weights that it started from had learned from is not known."
            case "run" if self.shared_before:
                what = f"{self.shared_before:,} of them are among those that run {self.before}, whose weights this run started from, had learned from"
                return f"{what}: these figures are too good."
            case "run" if self.unlisted:
                return f"What run {self.unlisted[0]}, which its weights come from, had learned from was not kept."
            case "run":
                return f"Nor did run {self.before} learn from them, whose weights this run started from."
            case _:
                return ""


def learned_from(home: Home, run: Run) -> LearnedFrom:
    """What is known of a run's test pictures. A list that is damaged is as good as none."""
    listed = _listed(home.run_folder(run.id))
    plan = run.plan
    test = [each for each in listed or () if each.part == "test"]
    train = {each.sha256 for each in listed or () if each.part == "train"} - {NOTHING_READ}
    weights = run.config.starting_weights
    shipped = _shipped(run) if weights == "pretrained" else ""
    kind: Literal["random", "pretrained", "shipped", "file"] = (
        "random" if weights == "random" else "file" if weights != "pretrained" else "shipped" if shipped else "pretrained"
    )
    known = LearnedFrom(
        test=len(test) if listed is not None else plan.test_samples if plan else 0,
        train=sum(each.part == "train" for each in listed) if listed is not None else plan.train_samples if plan else 0,
        shared=sum(each.sha256 in train for each in test) if listed is not None else None,
        weights=kind,
        shipped=shipped,
    )
    before = ancestry(weights, home.runs) if kind == "file" else None
    return known if before is None else _with(known, before, test)


def _shipped(run: Run) -> str:
    """What is known of the weights that ship with the run's model; "" where none do, or the model is not known any more."""
    with suppress(ConfigError):
        shipped = find_model(run.config.model).shipped
        return shipped.learned_from if shipped else ""
    return ""


def _with(known: LearnedFrom, before: Ancestry, test: list[Picture]) -> LearnedFrom:
    states = before.states([each.file for each in test], [each.sha256 for each in test])
    return LearnedFrom(known.test, known.train, known.shared, "run", before.run_id, int((states == TRAINED).sum()), before.unlisted)


def _listed(folder: Path) -> tuple[Picture, ...] | None:
    try:
        status = (folder / PICTURES).stat()
        return _read(folder, status.st_mtime_ns, status.st_size)
    except (OSError, ConfigError):
        return None


@lru_cache(maxsize=4)
def _read(folder: Path, changed: int, size: int) -> tuple[Picture, ...] | None:
    """The list in `folder`, as it was when it was `changed`."""
    return read_pictures(folder)
