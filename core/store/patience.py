"""The store as one worker sees it: what cannot be written waits in memory, is tried again, and never ends the run.

Everything that is written is kept in the run's folder too (`core.store.run_folder`), so a store that was lost meanwhile gets the run back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.records.events import NOT_MEASURED, ChangeRow, Command, EpochRow, RunPlan, RunResult, RunStatus, Signal, StepBlock
from core.records.summaries import NOTHING, LevelRow
from core.store import RunStore, Statement
from core.store.continued import Cut
from core.store.labelling import keep_beside, read_beside
from core.store.recovery import levels_of
from core.store.run_folder import Notice, RunFolder, read_rows
from core.store.trouble import StoreError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Limits:
    """How patient a worker is. Times in seconds."""

    wait: float = 2.0
    """How long a write waits for a lock while all is well: training stands still meanwhile."""
    short_wait: float = 0.2
    """The same while the store is known not to be writable."""
    retry: float = 1.0
    """Time between two tries then."""
    last: float = 30.0
    """How long the end of a run waits for store and disk."""
    cut: float = 120.0
    """How long a run that goes on waits before its first step for a store that cannot be written just now."""
    most_bytes: int = 256_000_000
    """What may wait in memory; past it, rows are thinned."""


MOST_THINNING = 30
"""By then one step of half a billion is left."""

BESIDE = frozenset({"audit", "findings", "profile", "reuse"})
"""Columns of a run's row that tell of its steps: where steps are quick they are written with the next ones, since each commit waits for the disk."""

BESIDE_SECONDS = 1.0
"""How long they wait for that at most, and how quick steps have to be written."""


@dataclass
class _Waiting:
    """One transaction that waits. `step` is the last step that it tells of, where it is in the run's folder too; else 0."""

    statements: tuple[Statement, ...]
    step: int = 0
    size = 0  # there are few of them, and each takes the place of the one before

    @property
    def key(self) -> str:
        """What takes the place of an earlier one with the same key: the newest audit, the newest status."""
        sql, _ = self.statements[0]
        return sql if len(self.statements) == 1 and sql.startswith("UPDATE runs") else ""


@dataclass
class _Steps:
    """Steps that wait, with all that came with them. `count` is how many there were before any were dropped."""

    block: StepBlock
    levels: Sequence[LevelRow]
    epochs: Sequence[EpochRow]
    columns: Mapping[str, Any]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.block)

    @property
    def step(self) -> int:
        return int(self.columns["step"])

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        signals = (self.block.gradient_norms, self.block.update_norms, self.block.weight_norms)
        norms = sum(signal.rows.nbytes + signal.place.nbytes for signal in signals)
        levels = sum(300 + sum(part.nbytes for part in row[-3:] if part is not None) for row in self.levels)
        return 48 * len(self.block) + norms + levels + 300 * len(self.epochs) + 2000

    @property
    def empty(self) -> bool:
        """True where nothing of it is left but how far the run had come."""
        return not (len(self.block) or self.levels or self.epochs)

    def thin(self, times: int) -> None:
        """Drop the norms first; then all but every second step, every fourth, ... The summaries of what goes stay."""
        blank = np.full_like(self.block.blank, NOT_MEASURED)
        every = 2 ** (times - 1)
        stays = self.block.step % every == 0
        columns = {name: getattr(self.block, name)[stays] for name in ("step", "epoch", "time", "loss", "learning_rate", "samples_per_second")}
        nothing = Signal(np.full(int(stays.sum()), -1), NOTHING)
        self.block = replace(self.block, **columns, gradient_norms=nothing, update_norms=nothing, weight_norms=nothing, blank=blank)
        self.levels = [row._replace(gradient_norms=blank, update_norms=None, weight_norms=None) for row in self.levels if row.level >= times - 1]
        self.epochs = [row for row in self.epochs if row.epoch % every == 0]


class PatientStore(RunStore):
    """`store` for the worker of one run. Writing never fails; reading commands gives none while the store cannot be read.

    For the worker's main thread alone.
    """

    def __init__(self, store: RunStore, run_id: str, folder: Path, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        super().__init__(store.database, self.limits.wait)
        self.run_id = run_id
        self.folder = RunFolder(folder)
        self.folder.begin(keep=self.resume_request(run_id) is not None)
        keep_beside(self, folder, run_id)  # a run that waited had no folder
        self._row_now = self.columns(run_id)
        self._checked: object = self._connection
        self._queue: deque[_Waiting | _Steps] = deque()
        self._answered: set[int] = set()
        self._trouble: StoreError | None = None
        self._since = 0.0
        self._next_try = 0.0
        self._thinned = 0
        self._bytes = 0
        self._newest: _Steps | None = None
        self._beside: dict[str, Any] = {}
        self._beside_since = 0.0
        self._written = time.monotonic()  # steps, or that they begin
        self._pace = 0.0  # seconds between the last two of these

    @property
    def waiting(self) -> int:
        """Steps that wait in memory to be written."""
        return sum(each.count for each in self._queue if isinstance(each, _Steps))

    @property
    def trouble(self) -> StoreError | None:
        """Why the store cannot be written now; None while it can."""
        return self._trouble

    def look_again(self) -> None:
        """Another process has written the run's row meanwhile: what is kept of it in the run's folder is that."""
        with suppress(StoreError):
            self._row_now = self.columns(self.run_id)

    # What is written

    def cut(self, run_id: str, at: Cut) -> list[ChangeRow]:
        """As in `ContinuedRuns`; the run's folder is cut as well. No step may be made before: it waits for a store that cannot be written just now.

        Raises:
            StoreError: it could not within `limits.cut` seconds, or waiting does not help; nothing was cut.
        """
        dropped = _patiently(lambda: super(PatientStore, self).cut(run_id, at), self.limits.cut, self.limits.retry, self._begin_trouble)
        self.retry(now=True)
        self._row_now = self.columns(run_id)
        self.folder.go_on(self.blocks(run_id), self.epochs_after(run_id), self.changes_after(run_id))
        return dropped

    def begin(self, run_id: str, plan: RunPlan) -> None:
        """As in `RunStore`. It reaches the disk with the first steps: without them there is nothing to be lost."""
        with self._unforced():
            super().begin(run_id, plan)
        self._written = time.monotonic()
        self.folder.renew(self._now, now=True, settled=False)

    def end(self, run_id: str, status: RunStatus, result: RunResult | None = None, error: str | None = None) -> None:
        """As in `RunStore`; `settle` waits until it is written."""
        super().end(run_id, status, result, error)
        self.folder.renew(self._now, now=True)

    def _add(self, run_id: str, block: StepBlock, levels: Sequence[LevelRow], epochs: Sequence[EpochRow], columns: Mapping[str, Any]) -> None:
        """As in `RunStore`."""
        self.folder.add(block, epochs)
        self._row_now |= columns
        now = time.monotonic()
        self._pace, self._written = now - self._written, now
        self._offer(_Steps(block, levels, epochs, {**columns, **self._taken_along()}))

    def set_status(self, run_id: str, status: RunStatus, activity: str = "", share: float | None = None) -> None:
        """As in `RunStore`. What is being prepared is not waited for until it has reached the disk: who loses power has to begin anew."""
        if status is not RunStatus.PREPARING or self._trouble is not None:
            super().set_status(run_id, status, activity, share)
            return
        with self._unforced():
            super().set_status(run_id, status, activity, share)

    def append_epoch(self, run_id: str, row: EpochRow) -> None:
        """As in `RunStore`."""
        self.folder.add(epochs=[row])
        super().append_epoch(run_id, row)

    def append_change(self, run_id: str, row: ChangeRow) -> None:
        """As in `RunStore`."""
        self.folder.add(change=row)
        super().append_change(run_id, row)

    def acknowledge(self, command: Command, step: int, error: str | None = None) -> None:
        """As in `RunStore`."""
        self._answered.add(command.id)
        super().acknowledge(command, step, error)

    def _assign(self, run_id: str, **columns: Any) -> Statement:
        self._row_now |= columns
        return super()._assign(run_id, **columns)

    def _update(self, run_id: str, **columns: Any) -> None:
        now = time.monotonic()
        if not columns.keys() <= BESIDE or max(self._pace, now - self._written) > BESIDE_SECONDS:
            super()._update(run_id, **columns)
            return
        self._beside_since = self._beside_since if self._beside else now
        self._beside |= columns
        self._row_now |= columns

    def _taken_along(self) -> dict[str, Any]:
        """What waits to be written with something else, which is to do it now."""
        taken, self._beside = self._beside, {}
        return taken

    def _write(self, *statements: Statement) -> None:
        beside = self._taken_along()
        self._offer(_Waiting((self._assign(self.run_id, **beside), *statements) if beside else statements))

    # What is read

    def commands(self, run_id: str, waiting: bool = False) -> list[Command]:
        """As in `RunStore`, without those that were answered already; none while the store cannot be read."""
        if self._beside and time.monotonic() - self._beside_since > BESIDE_SECONDS:
            self._write()
        if self._trouble is not None and not self.retry():
            return []
        try:
            found = super().commands(run_id, waiting)
        except StoreError as error:
            self._begin_trouble(error)
            return []
        return [command for command in found if not (waiting and command.id in self._answered)]

    # Patience

    def retry(self, now: bool = False) -> bool:
        """Write what waits, if that is due or to be tried `now`. True if nothing waits any more."""
        if self._trouble is None:
            return True
        if not now and time.monotonic() < self._next_try:
            return False
        try:
            while self._queue:
                work = self._queue[0]
                self._carry_out(work)
                if self._queue and self._queue[0] is work:
                    self._bytes -= self._queue.popleft().size
            self.last_step(self.run_id)  # with nothing to write, that it can be read
        except StoreError as error:
            self._begin_trouble(error)
            return False
        self._trouble = None
        self._thinned = 0
        self._wait_for_locks(self.limits.wait)
        self.folder.all_well()
        return True

    def settle(self, give_up: Callable[[], bool]) -> bool:
        """Wait until everything is written, for `limits.last` seconds at most or until `give_up` says so. True if it is."""
        end = time.monotonic() + self.limits.last
        while not self.retry():
            if give_up() or time.monotonic() > end:
                self.folder.renew(self._now, now=True)
                return False
            time.sleep(min(0.1, self.limits.retry))
        return True

    def _now(self) -> dict[str, Any]:
        return self._row_now

    def _offer(self, work: _Waiting | _Steps) -> None:
        if self._trouble is None:
            try:
                self._carry_out(work)
            except StoreError as error:
                self._begin_trouble(error)
                self._keep(work)
        else:
            self._keep(work)
            self.retry()
        self.folder.renew(self._now)

    def _carry_out(self, work: _Waiting | _Steps) -> None:
        with self._told():
            connection = self._connection
        if connection is not self._checked:  # opened anew: perhaps it is another file
            known = self._see_to_the_row()
            self._checked = connection
            if 0 < work.step <= known:
                return
        statements = (
            work.statements if isinstance(work, _Waiting) else self._appending(self.run_id, work.block, work.levels, work.epochs, work.columns)
        )
        super()._write(*statements)

    def _see_to_the_row(self) -> int:
        """Take the run in again where the store has lost it. Up to which step what waits is in there by that; 0 where nothing had to be done."""
        if self.run_id in self.ids():
            return 0
        self.folder.renew(self._now, now=True)
        rows = read_rows(self.folder.path)
        self.take_in(
            self._row_now, rows.blocks, levels_of(rows.blocks, self._row_now), rows.epochs, rows.changes, labels=read_beside(self.folder.path)
        )
        known = int(rows.blocks[-1].step[-1]) if rows.blocks else 0
        self._queue = deque(each for each in self._queue if not 0 < each.step <= known)
        self._bytes = sum(each.size for each in self._queue)
        return known

    def _begin_trouble(self, error: StoreError) -> None:
        if self._trouble is None:
            self._since = time.time()
            self._wait_for_locks(self.limits.short_wait)
        self._trouble = error
        self._next_try = time.monotonic() + self.limits.retry
        thinned = ("", "gradient norms were dropped to save memory")[min(self._thinned, 1)]
        if self._thinned > 1:
            thinned = f"of which one of {2 ** (self._thinned - 1)} stays, without gradient norms, to save memory"
        self.folder.say(Notice(self._since, f"{error.reason}; {error.remedy}", self.waiting, thinned))

    def _keep(self, work: _Waiting | _Steps) -> None:
        if isinstance(work, _Waiting) and work.key:
            self._queue = deque(each for each in self._queue if not (isinstance(each, _Waiting) and each.key == work.key))
        self._queue.append(work)
        self._bytes += work.size
        if isinstance(work, _Steps):
            self._newest = work  # it says how far the run has come
        while self._bytes > self.limits.most_bytes and self._thinned < MOST_THINNING:
            self._thin()

    def _thin(self) -> None:
        """What waits takes too much memory: drop of all of it what was dropped before, then more."""
        self._thinned += 1
        kept: deque[_Waiting | _Steps] = deque()
        gone = 0
        for each in self._queue:
            if isinstance(each, _Steps):
                each.thin(self._thinned)
                if each.empty and each is not self._newest:
                    gone += each.count
                    continue
                each.count, gone = each.count + gone, 0
            kept.append(each)
        self._queue = kept
        self._bytes = sum(each.size for each in self._queue)


def open_patiently(database: Path, limits: Limits | None = None) -> RunStore:
    """The store, for a worker that has just started: one that is locked or broken just now may be well in a moment.

    Raises:
        StoreError: it was not within `limits.last` seconds.
    """
    limits = limits or Limits()
    return _patiently(lambda: RunStore(database, limits.wait), limits.last, min(limits.retry, 1.0))


def _patiently(act: Callable[[], Value], seconds: float, pause: float, trouble: Callable[[StoreError], object] = lambda error: None) -> Value:
    """What `act` returns, asked again every `pause` seconds while the store cannot be used just now; `trouble` is told each time.

    Raises:
        StoreError: it could not be used within `seconds`, or waiting does not help.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return act()
        except StoreError as error:
            if not error.passing or time.monotonic() > end:
                raise
            trouble(error)
        time.sleep(pause)
