"""What a waiting run waits for, and for about how long. Pure: runs in, sentences out. No SQL."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.records.events import RunStatus
from core.records.telling import duration
from core.store.reading import UnreadableRun
from core.store.run_store import Run, RunStore


@dataclass(frozen=True)
class Waiting:
    """A run that waits for a place on `device`.

    `holders` are the runs that have the places there, `ahead` how many wait before it there, `before` the id of the nearest of those.
    `seconds` is an estimate of how long it waits; None where nothing says it: one of those before it has never run, or is paused.
    """

    run: Run | UnreadableRun
    device: str
    holders: tuple[Run | UnreadableRun, ...]
    ahead: int
    before: str | None
    seconds: float | None


def queue_of(store: RunStore, slots: int, device_of: Callable[[str], str]) -> list[Waiting]:
    """The runs that wait, the next one first. Raises StoreError."""
    asked = {run_id: device_of(device) for run_id, device in store.devices_asked().items()}
    return told(store.holding_runs(), store.waiting_runs(), slots, asked)


def told(holding: Sequence[Run | UnreadableRun], waiting: Sequence[Run | UnreadableRun], slots: int, devices: Mapping[str, str]) -> list[Waiting]:
    """What each of `waiting`, the next one first, waits for; `devices` by run id."""
    holders: dict[str, list[Run | UnreadableRun]] = {}
    for run in holding:
        holders.setdefault(devices.get(run.id, "cpu"), []).append(run)
    ends: dict[str, list[float | None]] = {device: [_left(run) for run in runs] for device, runs in holders.items()}
    last: dict[str, str] = {}
    ahead: dict[str, int] = {}
    found = []
    for run in waiting:
        device = devices.get(run.id, "cpu")
        seconds = _next_free(ends.setdefault(device, []), slots)
        found.append(Waiting(run, device, tuple(holders.get(device, ())), ahead.get(device, 0), last.get(device), seconds))
        left = _left(run)
        ends[device].append(None if seconds is None or left is None else seconds + left)
        last[device] = run.id
        ahead[device] = ahead.get(device, 0) + 1
    return found


def in_words(waiting: Waiting, named: Callable[[Run], str]) -> str:
    """'waits for ResNet on cpu, about 4 min'. `named` names a run for whoever reads it."""
    about = "" if waiting.seconds is None else f", about {duration(waiting.seconds)}" if waiting.seconds >= 1 else ", a moment"
    if waiting.ahead:
        others = "another one" if waiting.ahead == 1 else f"{waiting.ahead:,} others"
        return f"waits on {waiting.device}, after {others}{about}"
    if not waiting.holders:
        return f"begins on {waiting.device} as soon as a server or “python -m core work” looks"
    if len(waiting.holders) > 1:
        return f"waits for one of {len(waiting.holders):,} runs on {waiting.device}{about}"
    (holder,) = waiting.holders
    name = holder.id if isinstance(holder, UnreadableRun) else named(holder)
    paused = isinstance(holder, Run) and holder.status == RunStatus.PAUSED
    return f"waits for {name} on {waiting.device}{', which is paused and keeps its place' if paused else about}"


def _left(run: Run | UnreadableRun) -> float | None:
    """Seconds until a run ends, if anything says it."""
    return None if isinstance(run, UnreadableRun) or run.status == RunStatus.PAUSED else run.seconds_left


def _next_free(ends: list[float | None], slots: int) -> float | None:
    """Seconds until one more run has a place, which then takes it. Of `ends` (seconds until each ends), those that made room are taken out."""
    if len(ends) < slots:
        return 0.0
    over = len(ends) - slots + 1
    if any(end is None for end in ends):
        return None
    first = heapq.nsmallest(over, [end for end in ends if end is not None])
    for end in first:
        ends.remove(end)
    return first[-1]
