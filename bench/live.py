"""What the live stream costs the server, for 0, 1 and 10 viewers of a run with a short and with a long history.

A real server, real WebSocket connections, a run that grows by 20 steps a second. Processor time is the server process's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from websockets.asyncio.client import connect

from bench.synthetic import SyntheticRun
from bench.table import median, table
from core.machine.home import Home
from core.store import RunStore
from tests.support import Server

HISTORIES = (1_050, 100_000)  # just past a power of two, so that no change of level falls into the short measurement
VIEWERS = (0, 1, 10)
SETTLE_SECONDS = 3.0
STEPS_A_SECOND = 20.0


@dataclass
class Viewer:
    """What one connection has received: the size of its first message, and of those after it was told to count."""

    first: int = 0
    counting: bool = False
    sizes: list[int] = field(default_factory=list)

    async def watch(self, address: str) -> None:
        """Receive until cancelled."""
        async with connect(address, max_size=None) as socket:
            async for message in socket:
                if not self.first:
                    self.first = len(message)
                elif self.counting:
                    self.sizes.append(len(message))


def measure(folder: Path, rounds: int) -> list[str]:
    """Each number of viewers is watched for 4 seconds a round."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    server = Server(home.path, folder / "server.log")
    server.start()
    rows = []
    try:
        for history in HISTORIES:
            run = SyntheticRun(store, history)
            done = threading.Event()
            writer = threading.Thread(target=run.grow, args=(STEPS_A_SECOND, done))
            writer.start()
            address = f"{server.address.replace('http', 'ws')}/live?run={run.id}"
            idle = 0.0
            for count in VIEWERS:
                processor, viewers = asyncio.run(_watch(address, count, server.pid, 4.0 * rounds))
                if not count:
                    idle = processor
                    continue
                ticks = [size for viewer in viewers for size in viewer.sizes]
                rows.append(
                    (
                        f"{history:,} steps, {count} viewer{'s' if count > 1 else ''}",
                        f"{median([viewer.first for viewer in viewers]) / 1000:.1f}",
                        f"{median(ticks):.0f}" if ticks else "none",
                        f"{sum(ticks) / count / (4.0 * rounds):.0f}",
                        f"{1000 * (processor - idle) / count:.1f}",
                    )
                )
            done.set()
            writer.join()
    finally:
        server.close()
    heads = ["history", "first message, kB", "bytes a tick", "bytes a second", "server CPU, ms a second and viewer"]
    return table(heads, rows)


async def _watch(address: str, count: int, pid: int, seconds: float) -> tuple[float, list[Viewer]]:
    """Let `count` viewers watch; returns the server's processor seconds a second while they do, and the viewers."""
    viewers = [Viewer() for _ in range(count)]
    tasks = [asyncio.create_task(viewer.watch(address)) for viewer in viewers]
    await asyncio.sleep(SETTLE_SECONDS)
    before = _processor_seconds(pid)
    for viewer in viewers:
        viewer.counting = True
    await asyncio.sleep(seconds)
    used = _processor_seconds(pid) - before
    for task in tasks:
        assert not task.done(), task.exception()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return used / seconds, viewers


def _processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
