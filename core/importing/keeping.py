"""Datasets that runs use: which runs, and deleting only what none of them needs."""

from __future__ import annotations

from dataclasses import dataclass

from core.data import own
from core.machine.home import Home
from core.store import Run, RunStore
from core.versions import bin, naming, shelf

MOST_RUNS = 100_000


@dataclass(frozen=True)
class Users:
    """The runs that use a dataset, newest first: those that train, wait or are paused, and those that have ended."""

    active: tuple[Run, ...]
    ended: tuple[Run, ...]

    @property
    def sentence(self) -> str:
        """What deleting it would mean for runs that have ended; empty where there are none."""
        if not self.ended:
            return ""
        number = len(self.ended)
        which = "1 run that has ended used it: it" if number == 1 else f"{number:,} runs that have ended used it: they"
        return f"{which} can be neither evaluated nor repeated without it. It can be brought back until the bin is emptied."


def users(store: RunStore, name: str) -> Users:
    """The runs that use any version of a dataset."""
    using = [run for run in store.runs(limit=MOST_RUNS) if _uses(run, name)]
    return Users(tuple(run for run in using if run.status.active), tuple(run for run in using if not run.status.active))


def delete(home: Home, store: RunStore, name: str) -> bin.Binned:
    """Put a dataset into the bin, from which `core.versions.bin.undelete` brings it back.

    Raises:
        ConfigError: on `dataset`, where there is none, or runs that are not over use it; on `name`, while it is being changed.
    """
    name = shelf.find(home, name)
    return bin.delete(home, name, [run.labels.name or run.id for run in users(store, name).active])


def _uses(run: Run, name: str) -> bool:
    choice = own.named(run.config.dataset)
    return choice is not None and naming.same(choice.name, name)
