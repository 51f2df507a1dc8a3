"""Several runs in figures: what each came to, what differs between their settings, and the mean and spread of those that differ in the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.comparing import imported
from core.comparing.rows import row_of
from core.comparing.settings import SEED, differing, repeats, spread
from core.config import ConfigError
from core.config.limits import quoted
from core.machine.home import Home
from core.store import RunStore

FIGURES = ("best_validation_accuracy", "validation_accuracy", "test_accuracy", "seconds")
"""What is averaged over repeats: shares from 0 to 1, and seconds."""


@dataclass(frozen=True)
class Compared:
    """`runs`: a row of `core.comparing.rows` for each run that is there, by id. `differs`: field to {run: value}. `repeats`: groups of ids.

    `imported`: curves from elsewhere, by id. `gone`: ids of which nothing is there any more, or that lie in the bin.
    """

    runs: dict[str, dict[str, Any]]
    differs: dict[str, dict[str, Any]]
    repeats: list[tuple[str, ...]]
    imported: dict[str, imported.Imported]
    gone: tuple[str, ...]

    def spreads(self) -> list[dict[str, Any]]:
        """Of each group of repeats its runs, their seeds, and mean, lowest and highest of each figure."""
        return [
            {
                "runs": list(group),
                "seeds": [self.runs[run][SEED] for run in group],
                **{name: spread([self.runs[run][name] for run in group]) for name in FIGURES},
            }
            for group in self.repeats
        ]


def compared(home: Home, store: RunStore, ids: Sequence[str]) -> Compared:
    """What there is to say of these runs, in this order. Of an id that is not there, that it is gone."""
    runs = {run.id: run for run in store.listed(ids)}
    there = {id: runs[id] for id in ids if id in runs}
    rows = {id: row_of(run) for id, run in there.items()}
    configs = {id: run.config for id, run in there.items()}
    brought: dict[str, imported.Imported] = {}
    for id in ids:
        if imported.is_imported(id) and imported.stamp(home, id) is not None:
            try:
                brought[id] = imported.load(home, id)
            except ConfigError:
                continue
    gone = tuple(id for id in ids if id not in rows and id not in brought)
    return Compared(rows, differing(configs) if len(configs) > 1 else {}, repeats(configs), brought, gone)


def as_json(home: Home, store: RunStore, ids: Sequence[str]) -> dict[str, Any]:
    """The same ready for JSON, with the epochs of each run and the curves that were imported.

    Raises:
        ConfigError: on `run`, for one that is not there.
    """
    found = compared(home, store, ids)
    if found.gone:
        raise ConfigError("run", f"there is no run {quoted(found.gone[0])}, or it lies in the bin; list the runs with: python -m core runs")
    runs = [{**row, "history": _history(store, id)} for id, row in found.runs.items()]
    return {
        "runs": runs,
        "imported": [{"run_id": id, **imported.plain_about(one)} for id, one in found.imported.items()],
        "differs": found.differs,
        "repeats": found.spreads(),
    }


def _history(store: RunStore, run_id: str) -> list[dict[str, Any]]:
    names = ("epoch", "step", "time", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    rows = [{name: getattr(row, name) for name in names} for row in store.epochs_after(run_id)]
    return [{name: value if value is None or value == value else None for name, value in row.items()} for row in rows]
