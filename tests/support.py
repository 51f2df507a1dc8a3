"""What several test modules share: a real server that can be killed and started again, and waiting without sleeping too long."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from unittest.mock import patch

import psutil

from core.machine import children
from core.machine.children import SHARED, Nursery

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent

Value = TypeVar("Value")


PATIENCE = 60.0
"""Seconds that a test waits for what comes in one on a quiet machine: no test is about how fast the machine is."""


def wait_until(condition: Callable[[], Value], timeout: float = PATIENCE, what: str = "", pause: Callable[[float], object] = time.sleep) -> Value:
    """The first truthy value of `condition`, asked 20 times a second.

    `pause` waits for so many seconds.

    Raises:
        TimeoutError: after `timeout` seconds, with `what` was waited for and the last value.
    """
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what or condition} did not come true within {timeout:g} s; the last value was {value!r}")
        pause(0.05)


def waiting(page: Page, condition: Callable[[], Value], what: str, timeout: float = PATIENCE) -> Value:
    """`wait_until` that lets the browser's events through while it waits: without them a page's address never changes."""
    return wait_until(condition, timeout, f"{what} (at {page.url})", lambda seconds: page.wait_for_timeout(1000 * seconds))


def becomes(page: Page, read: Callable[[], object], wanted: object, timeout: float = PATIENCE) -> None:
    """Ask `read`, which reads something off the page, until it is `wanted`: what a page shows may arrive a moment later.

    Raises:
        AssertionError: after `timeout` seconds, with what was read last and what was wanted.
    """
    last: list[object] = []

    def arrived() -> bool:
        last[:] = [read()]
        return last[0] == wanted

    try:
        waiting(page, arrived, "what the page shows", timeout)
    except TimeoutError:
        assert last[0] == wanted, f"after {timeout:g} s at {page.url}"


def free_port() -> int:
    """A port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`streamlit run dashboard.py` on loopback, with its own home, below the path `base`. The port stays the same over a restart."""

    def __init__(self, home: Path, log: Path, handles: int | None = None, base: str = "", shares_nursery: bool = True) -> None:
        self.base = base
        self.shares_nursery = shares_nursery
        """Whether its processes are forked by the nursery of all tests: one of its own takes 4 s of a core to import torch once more."""
        self.home = home
        self.log = log
        self.handles = handles
        """How many open files and connections it may have; None: as many as the test itself."""
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where a browser finds it, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}{self.base}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self.process is not None, "the server has not been started"
        return self.process.pid

    def start(self) -> None:
        """Start the server and wait until it answers. Its runs do not wait for each other: what a test left going on is no other test's."""
        self.home.mkdir(parents=True, exist_ok=True)
        if not (self.home / "settings.json").exists():
            (self.home / "settings.json").write_text('{"slots": 64}')
        command = [sys.executable, "-m", "streamlit", "run", "dashboard.py", "--server.headless", "true", "--server.address", "127.0.0.1"]
        command += ["--server.port", str(self.port), "--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"]
        command += ["--server.baseUrlPath", self.base] if self.base else []
        with self.log.open("ab") as log:
            environment = {**os.environ, "THAW_HOME": str(self.home), SHARED: str(nursery().address) if self.shares_nursery else ""}
            if self.handles is not None:
                command = ["sh", "-c", f'ulimit -n {self.handles} && exec "$@"', "sh", *command]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        wait_until(self.answers, timeout=60, what="the server's first answer")

    def answers(self) -> bool:
        """True once Streamlit says that it is well. Fails at once if the process has ended."""
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended with status {self.process.returncode}:\n{self.log_tail()}"
        try:
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """End the server as a crash would, with SIGKILL. Workers are left alone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=20)
            self.process = None

    def stop(self) -> int:
        """End the server as Ctrl-C would. Returns the seconds' worth of patience it needed, rounded down, and raises after 20."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)
        self.process = None
        return int(time.monotonic() - began)

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of what the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def close(self) -> None:
        """Kill the server and every process that works in its home: workers, standby workers and labs are meant to outlive it."""
        self.kill()
        end_processes_of(self.home)


def end_processes_of(home: Path, pids: Collection[int | None] | None = None) -> None:
    """Kill what `processes_of` finds (of `pids` alone, where they are given), and wait for the end of it."""
    for process in processes_of(home):
        if pids is not None and process.pid not in pids:
            continue
        with suppress(psutil.NoSuchProcess):  # it has just left by itself
            process.kill()
            process.wait(timeout=20)


def processes_of(home: Path) -> list[psutil.Process]:
    """Living processes that were started to work in `home`, other than this one: they name it in `THAW_HOME` or on the command line, or,
    forked by a nursery, keep their log there."""
    found = []
    for pid in _perhaps_of(home) if Path("/proc/self/environ").exists() else psutil.pids():
        try:
            process = psutil.Process(pid)  # it may have ended by now
            if pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get("THAW_HOME") == str(home) or str(home) in process.cmdline() or home in log_of(process).parents:
                found.append(process)
        except psutil.Error:
            continue  # ended meanwhile, or another person's
    return found


def _perhaps_of(home: Path) -> Iterator[int]:
    """Processes that name `home` anywhere. Nearly every test asks, and most of the hundred processes of a machine are somebody else's."""
    name = os.fsencode(home)
    for pid in psutil.pids():
        with suppress(OSError):
            about = Path(f"/proc/{pid}")
            named = (about / "environ").read_bytes() + (about / "cmdline").read_bytes()
            if name in named or (named and str(home) in str((about / "fd" / "2").readlink())):
                yield pid


def log_of(process: psutil.Process) -> Path:
    """Where the process writes its errors; the root folder, where that is no file or not to be seen."""
    with suppress(OSError):
        return Path(f"/proc/{process.pid}/fd/2").readlink()
    return Path("/")


def ready_nursery() -> Nursery:
    """The same, once it can fork: whoever comes sooner is given an interpreter, which imports torch for itself."""
    wait_until(lambda: nursery().ready, what="a nursery that has imported torch")
    return nursery()


class _WithRest(Nursery):
    """A nursery that is `tests.nursery.resting`, also when it has to begin anew."""

    def _begin(self) -> None:
        with patch.object(children, "NURSERY", "tests.nursery.resting"):
            super()._begin()


@cache
def nursery() -> Nursery:
    """The nursery of all tests of this process: torch is imported once for their servers, labs and workers."""
    made = _WithRest(Path(os.environ["THAW_HOME"]) / "nursery.log")
    atexit.register(made.close)
    return made
