"""What came out of a sweep so far: each run with what it was given and came to, which is best and how sure that is, and how long the rest takes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.records.events import RunStatus
from core.store import RunStore
from core.store.sweep_tables import SweepRow, SweepStanding
from core.sweeps import drawing
from core.sweeps.moving import finished
from core.sweeps.plan import Plan
from core.sweeps.vary import as_text


@dataclass(frozen=True)
class Entry:
    """One run of a sweep. Accuracies from 0 to 1 of the weights it ended with, `seconds` of training without pauses; of `learning` numbers."""

    run_id: str
    number: int
    given: dict[str, Any]
    status: RunStatus
    pruned: int | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    seconds: float | None = None
    learning: int | None = None
    validation_samples: int = 0
    epoch: int = 0
    error: str | None = None
    ended: float | None = None

    @property
    def said(self) -> str:
        """How far it is, in a few words."""
        if self.pruned is not None:
            return f"given up after epoch {self.pruned}"
        return str(self.status)

    @property
    def values(self) -> dict[str, str]:
        """What it was given, as it is written."""
        return {name: as_text(value) for name, value in self.given.items()}


@dataclass(frozen=True)
class Outcome:
    """A sweep and its runs, in the order in which they were drawn."""

    row: SweepRow
    plan: Plan
    entries: tuple[Entry, ...]

    @property
    def total(self) -> int:
        """How many runs it comes to, as far as that is known."""
        if self.plan.method in ("grid", "random"):
            return len(self.entries)
        return max(self.plan.total, len(self.entries))

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return sum(not entry.status.active for entry in self.entries)

    @property
    def going(self) -> bool:
        """Whether runs wait, go on or are still to be drawn."""
        return not finished(self.row, self.plan, len(self.entries), sum(entry.status.active for entry in self.entries))

    @property
    def state(self) -> str:
        """'going on', 'stopped' or 'done'."""
        if self.row.stopped is not None:
            return "stopped"
        return "going on" if self.going else "done"

    @property
    def best(self) -> Entry | None:
        """The run with the highest validation accuracy among those that came to their end; of equal ones the one that took the least time."""
        return next(iter(ranked(self.entries)), None)

    @property
    def seconds_left(self) -> float | None:
        """Estimate in seconds; None while no run has ended, or where nothing is left."""
        taken = [entry.seconds for entry in self.entries if entry.status is RunStatus.FINISHED and entry.seconds]
        left = self.total - self.done
        if not taken or not left or not self.going:
            return None
        return left * sum(taken) / len(taken) / max(1, min(self.row.at_once, left))

    @property
    def refused(self) -> list[str]:
        """What no run can use, a sentence each."""
        return drawing.in_words(self.row.refused)

    @property
    def sentence(self) -> str:
        """Which settings are best, and which others cannot be told from them."""
        best = self.best
        if best is None or best.validation_accuracy is None:
            return "No run has come to its end yet." if self.going else "No run came to its end."
        values = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in best.values.items())
        margin = margin_of(best.validation_accuracy, best.validation_samples)
        alike = [each for each in ranked(self.entries)[1:] if best.validation_accuracy - (each.validation_accuracy or 0) <= margin]
        said = f"Best so far: {values}" if self.going else f"Best: {values}"
        said += f", {100 * best.validation_accuracy:.1f} % of the validation pictures right"
        if alike and margin:
            runs = "another run is" if len(alike) == 1 else f"{len(alike):,} other runs are"
            said += f"; {runs} within {100 * margin:.1f} points of it, which is no more than {best.validation_samples:,} pictures can tell apart"
        return said + "."


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """The runs that came to their end and were measured, best first."""
    measured = [entry for entry in entries if entry.status is RunStatus.FINISHED and entry.validation_accuracy is not None]
    return sorted(measured, key=lambda entry: (-(entry.validation_accuracy or 0.0), entry.seconds or math.inf, entry.number))


def best_first(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The runs of `ranked`, and the others in the order in which they were drawn."""
    best = ranked(entries)
    among = {entry.run_id for entry in best}
    return best, [entry for entry in entries if entry.run_id not in among]


def margin_of(accuracy: float, samples: int) -> float:
    """By how much two accuracies near this one, each of so many pictures, may differ by chance: 95 % of differences are smaller (normal law).

    As if each were measured on pictures of its own: on the same pictures they differ less.
    """
    return 1.96 * math.sqrt(2 * accuracy * (1 - accuracy) / samples) if samples else 0.0


def outcome(store: RunStore, sweep_id: str) -> Outcome:
    """How far a sweep is. Raises KeyError where there is none, and ConfigError where it cannot be read."""
    row = store.sweep(sweep_id)
    plan = Plan.from_json(row.plan)
    same = {vary.field: getattr(plan.config, vary.field) for vary in plan.vary}  # what varies only since seeds were added
    return Outcome(row, plan, tuple(_entry(each, {**same, **each.member.given}) for each in store.standings(sweep_id)))


def _entry(run: SweepStanding, given: dict[str, Any]) -> Entry:
    known = run.status in set(RunStatus) and run.whole
    return Entry(
        run.member.run_id,
        run.member.number,
        given,
        RunStatus(run.status) if known else RunStatus.FAILED,
        run.member.pruned,
        run.validation_accuracy,
        run.test_accuracy,
        run.seconds,
        run.learning,
        run.validation_samples,
        run.epoch,
        run.error if known else "its settings or its status are damaged, or of a newer Thaw",
        run.ended,
    )


def as_json(found: Outcome) -> dict[str, Any]:
    """What `python -m core sweep --json` prints as its last line."""
    runs = [
        {
            "run_id": entry.run_id,
            "values": entry.given,
            "status": "pruned" if entry.pruned is not None else str(entry.status),
            "test_accuracy": entry.test_accuracy,
            "validation_accuracy": entry.validation_accuracy,
            "seconds": entry.seconds,
            "trainable_parameters": entry.learning,
            "error": entry.error,
        }
        for entry in found.entries
    ]
    best = found.best
    return {
        "sweep": found.row.id,
        "name": found.plan.name,
        "state": found.state,
        "method": found.plan.method,
        "vary": [str(vary) for vary in found.plan.vary],
        "runs": runs,
        "best": None if best is None else next(run for run in runs if run["run_id"] == best.run_id),
        "refused": [{"values": given, "reason": reason} for given, reason in found.row.refused],
        "seconds": elapsed(found),
    }


def elapsed(found: Outcome) -> float:
    """Seconds from the beginning of the sweep to the end of its last run, or to now."""
    ends = [entry.ended for entry in found.entries if entry.ended]
    return (time.time() if found.going or not ends else max(ends)) - found.row.created
