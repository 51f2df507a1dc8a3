"""The table of all runs: one row a run, ready for JSON, and which of them somebody wants to see, in which order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core.config import ConfigError
from core.config.limits import quoted
from core.data import own
from core.data.datasets import short_name
from core.records.events import RunStatus
from core.store.compare_tables import ListedRun

Row = Mapping[str, Any]


def row_of(run: ListedRun) -> dict[str, Any]:
    """What there is to say of a run in a table: texts, shares from 0 to 1, seconds, Unix times; None where nothing is known."""
    config = run.config
    dataset, version = _dataset(str(config.get("dataset", "")))
    timeline = str(config.get("timeline") or "")
    return {
        "run_id": run.id,
        "name": run.labels.name,
        "tags": list(run.labels.tags),
        "note": run.labels.note,
        "starred": run.labels.starred,
        "status": run.status if run.status in set(RunStatus) and config else "unreadable",
        "dataset": dataset,
        "version": version,
        "model": str(config.get("model", "")),
        "freeze": str(config.get("freeze", "")) + (f"; {timeline}" if timeline else ""),
        "learning_rate": config.get("learning_rate"),
        "optimizer": config.get("optimizer"),
        "seed": config.get("seed"),
        "epochs": run.epoch,
        "epochs_planned": config.get("epochs"),
        "steps": run.step,
        "best_validation_accuracy": run.best.accuracy if run.best else None,
        "best_epoch": run.best.epoch if run.best else None,
        "validation_accuracy": run.last.accuracy if run.last else None,
        "last_epoch": run.last.epoch if run.last else None,
        "test_accuracy": run.test_accuracy,
        "seconds": run.active_seconds,
        "device": run.device or None,
        "created": run.created,
        "sweep": run.sweep or None,
        "sweep_name": run.sweep_name,
    }


def _dataset(text: str) -> tuple[str, int | None]:
    """A dataset as a person reads it, and the number of its version, where it has one."""
    with suppress(ConfigError):
        if (choice := own.parse(text)) is not None:
            return choice.name, choice.number
    return short_name(text), None


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "created": lambda row: row["created"],
    "name": lambda row: row["name"].casefold() or None,
    "status": lambda row: row["status"],
    "dataset": lambda row: row["dataset"].casefold(),
    "model": lambda row: row["model"].casefold(),
    "best": lambda row: row["best_validation_accuracy"],
    "validation": lambda row: row["validation_accuracy"],
    "test": lambda row: row["test_accuracy"],
    "time": lambda row: row["seconds"],
    "epochs": lambda row: row["epochs"],
}
"""What a table can be sorted by; what is not known comes last, whatever the order."""

_LARGEST_FIRST = ("created", "best", "validation", "test", "time", "epochs")


@dataclass(frozen=True)
class Wanted:
    """Which runs are wanted: those of which each field that is given here holds. Texts are compared whatever their case.

    Raises:
        ConfigError: on `status` or `sort`, for a name that there is not.
    """

    status: tuple[str, ...] = ()
    dataset: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    sort: str = "created"
    sweep: str = ""
    """Id or name of the sweep that they are of."""

    def __post_init__(self) -> None:
        known = (*RunStatus, "unreadable")
        for status in self.status:
            if status not in known:
                raise ConfigError("status", f"there is no status {quoted(status)}; there are {', '.join(known)}")
        if self.sort.removeprefix("-") not in SORTS:
            turned = "turned round as in --sort=-best"
            raise ConfigError("sort", f"runs cannot be sorted by {quoted(self.sort)}; they can by {', '.join(SORTS)}, {turned}")

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """Those of `rows` that are wanted, in the order that is."""
        return in_order([row for row in rows if self._holds(row)], self.sort)

    def _holds(self, row: Row) -> bool:
        have = {tag.casefold() for tag in row["tags"]}
        return (
            (not self.status or row["status"] in self.status)
            and (not self.dataset or _same(self.dataset, row["dataset"]))
            and (not self.model or _same(self.model, row["model"]))
            and (not self.sweep or self.sweep == row["sweep"] or _same(self.sweep, row["sweep_name"]))
            and all(tag.casefold() in have for tag in self.tags)
        )


def sweeps_called(rows: Collection[Row]) -> dict[str, str]:
    """What each sweep of these rows is called in a list: its name, with the id behind it where two have the same; of one without a name its id."""
    names = {row["sweep"]: row["sweep_name"] for row in rows if row["sweep"]}
    told = list(names.values())
    return {sweep: sweep if not name else f"{name} · {sweep}" if told.count(name) > 1 else name for sweep, name in names.items()}


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def in_order(rows: Collection[Row], sort: str) -> list[Row]:
    """`rows` by one of `SORTS`: numbers largest first, texts from A on; with `-` before the name the other way round."""
    name = sort.removeprefix("-")
    down = (name in _LARGEST_FIRST) != sort.startswith("-")
    value = SORTS[name]
    known = [row for row in rows if value(row) is not None]
    return [*sorted(known, key=value, reverse=down), *(row for row in rows if value(row) is None)]
