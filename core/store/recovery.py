"""Runs that lie on disk and that the store does not know, or not to their end: found, taken in again, or forgotten."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError
from core.machine.home import Home
from core.records.events import RunStatus, StepBlock
from core.records.summaries import LevelRow, Summarizer
from core.store import RunStore, Working, membership
from core.store.labelling import read_beside
from core.store.reading import UnreadableRun, read_run
from core.store.run_folder import FORGOTTEN, read_notice, read_row, read_rows
from core.store.trouble import StoreError

NOT_KEPT = "histograms that were asked for, what it forgot and the list of requests are not kept on disk"
_ENDED = [str(status) for status in RunStatus if not status.active]


@dataclass(frozen=True)
class OnDisk:
    """A run's folder that the store knows nothing of. `problem` says why it cannot be taken in; empty: it can."""

    id: str
    folder: Path
    problem: str


@dataclass(frozen=True)
class TakenIn:
    """A run that was taken in again, with as many steps, and what of it could not be recovered."""

    id: str
    steps: int
    missing: str


def found(home: Home, store: RunStore) -> tuple[OnDisk, ...]:
    """The runs that lie in the home, newest first, and that the list of runs does not have. Those that were forgotten on purpose are left out."""
    known = store.ids()
    try:
        folders = sorted((folder for folder in home.runs.iterdir() if folder.name not in known), reverse=True)
    except OSError:
        return ()
    return tuple(OnDisk(folder.name, folder, _problem(folder)) for folder in folders if _holds_a_run(folder))


def take_in(store: RunStore, on_disk: OnDisk) -> TakenIn:
    """Put a run into the list again, as its folder has it.

    Raises:
        ConfigError: on `run`, it cannot be taken in, see `OnDisk.problem`.
        StoreError: the store cannot be written.
    """
    if on_disk.problem:
        raise ConfigError("run", f"{on_disk.id} cannot be taken in: {on_disk.problem}")
    row = read_row(on_disk.folder)
    rows = read_rows(on_disk.folder)
    steps = int(rows.blocks[-1].step[-1]) if rows.blocks else 0
    store.take_in(row, rows.blocks, levels_of(rows.blocks, row), rows.epochs, rows.changes, labels=read_beside(on_disk.folder))
    if of_sweep := membership.read_beside(on_disk.folder):
        store.take_in_member(*of_sweep)
    missing = [f"steps {steps + 1:,} to {row['step']:,}"] if steps < row["step"] else []
    return TakenIn(on_disk.id, steps, "; ".join([*missing, NOT_KEPT]))


def bury(home: Home, store: RunStore, run: Working, tail: str) -> None:
    """The process of a run is gone: take from its folder what it could not write any more; where that has no end, the run is lost."""
    folder = home.run_folder(run.id)
    row: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        row = read_row(folder)
    rows = read_rows(folder)
    last = store.last_step(run.id)
    blocks = [block for block in rows.blocks if block.step[-1] > last]
    levels = [level for level in levels_of(rows.blocks, row) if level.step > last]
    if row.get("id") == run.id and (row.get("status") in _ENDED or blocks):
        columns = row if row.get("status") in _ENDED else _progress(row, blocks)
        store.take_in(columns, blocks, levels, rows.epochs, rows.changes, over=True)
    notice = read_notice(folder)
    reason = "The process of this run is gone (killed, out of memory, or the machine went down)."
    store.lose(run.id, "\n\n".join(filter(None, [reason + (f" {_before(str(notice))}" if notice else ""), tail])))


def forget(home: Home, store: RunStore, run_id: str) -> None:
    """Take a run off the list. Its folder, with its weights, stays; it is not offered to be taken in again.

    Raises:
        ConfigError: on `run`, its process still works.
        KeyError: there is no such run.
    """
    columns = store.columns(run_id)
    if run_id in [run.id for run in store.processes()]:
        raise ConfigError("run", f"{run_id} is still going on ({columns['status']}); stop it first")
    folder = home.run_folder(run_id)
    if folder.is_dir():
        (folder / FORGOTTEN).touch()
    store.delete_run(run_id)


def set_aside(home: Home) -> Path:
    """Move a store that cannot be used out of the way, with the files beside it; returns its new name.

    Raises:
        ConfigError: on `set_aside`, it can be used, or waiting or a right is what it needs.
    """
    try:
        problem = RunStore(home.database).damage()
    except StoreError as error:
        if error.kind not in ("damaged", "foreign", "folder"):
            raise ConfigError("set_aside", f"moving the store away would not help: {error}") from None
        problem = error.reason
    if not problem:
        raise ConfigError("set_aside", f"the store {home.database} is well; leave the option out")
    aside = home.database.with_name(f"{home.database.name}.set-aside-{time.strftime('%Y%m%d-%H%M%S')}")
    for ending in ("-wal", "-shm", ""):
        beside = home.database.with_name(home.database.name + ending)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + ending))
    return aside


def levels_of(blocks: Sequence[StepBlock], row: Mapping[str, Any]) -> list[LevelRow]:
    """The summaries of steps that came block by block, of the run whose `row` this is."""
    summarizer = Summarizer()
    return [level for block in blocks for level in summarizer.add(block, _pictures(row, block))]


def _pictures(row: Mapping[str, Any], block: StepBlock) -> NDArray[np.float64] | None:
    """float64[steps]: how many pictures each step had, the last of an epoch what was left; None where the row does not say."""
    try:
        run = read_run(row)
    except (UnreadableRun, KeyError, TypeError, ValueError):
        return None
    plan, config = run["plan"], run["config"]
    if plan is None:
        return None
    size = config.batch_size * config.accumulate
    last = min(size, plan.train_samples - (plan.steps_per_epoch - 1) * size)
    if last < 1:  # not the batches that this plan speaks of
        return None
    pictures: NDArray[np.float64] = np.where(np.asarray(block.step) % plan.steps_per_epoch == 0, last, size).astype(np.float64)
    return pictures


def _holds_a_run(folder: Path) -> bool:
    kept = ("run.json", "weights.pth", "checkpoints")
    return folder.is_dir() and not (folder / FORGOTTEN).exists() and any((folder / name).exists() for name in kept)


def _problem(folder: Path) -> str:
    """Why it cannot be taken in; empty if it can."""
    try:
        row = read_row(folder)
        if row.get("id") != folder.name:
            return f"its run.json is that of another run ({str(row.get('id'))[:40]})"
        read_run(row)
    except FileNotFoundError:
        return f"it was made by a Thaw that kept no settings on disk; its weights are in {folder}"
    except UnreadableRun as error:
        return error.reason
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its run.json cannot be read ({' '.join(str(error).split())[:200]})"
    return ""


def _progress(row: dict[str, Any], blocks: Sequence[StepBlock]) -> dict[str, Any]:
    """What a row says of how far the run came, up to the last of the steps that are there."""
    names = ("id", "active_seconds", "step_seconds", "watch_seconds", "stages")
    return {**{name: row[name] for name in names if name in row}, "step": int(blocks[-1].step[-1]), "epoch": int(blocks[-1].epoch[-1])}


def _before(text: str) -> str:
    return f"Before that: {text}"
