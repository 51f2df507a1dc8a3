"""Handles (open files and connections): as many as this machine allows, and what becomes of a server that has used them all."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

LOG = logging.getLogger(__name__)

FOR_A_SESSION, FOR_AN_ANSWER = 24, 8
"""Handles that have to be left for another browser session to begin, or a request to be answered: files and databases need some too."""

QUIET = 600.0
"""Seconds after a line in the log in which it is not said again."""

_OPEN = Path("/dev/fd")
_MANY = 10_240
"""What macOS allows where it says that there is no limit."""

_QUEUE = 2048
"""Connections that wait for the server at most (uvicorn's default)."""

_ALL_IN_USE = {errno.EMFILE, errno.ENFILE}


def take_all() -> None:
    """Raise this process's limit of handles to the highest that it may set itself."""
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, _MANY):
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return


def limit() -> int | None:
    """How many handles this process may have at once; None where nothing says so."""
    if resource is None:
        return None
    soft: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def in_use() -> int | None:
    """How many it has; None where the system does not list them."""
    try:
        return sum(1 for _ in _OPEN.iterdir())
    except FileNotFoundError:
        return None
    except OSError as error:
        return limit() if error.errno in _ALL_IN_USE else None  # listing them takes one


class Shortage:
    """What is done where handles run out: what can be spared is let go, what cannot be served is turned away, and the log hears of it once.

    `let_go` closes what can be spared and returns how many things that were.
    """

    def __init__(self, let_go: Callable[[], int]) -> None:
        self._let_go = let_go
        self._spare: int | None = None
        self._said = -QUIET
        self._keep_spare()

    def has_room(self, wanted: int) -> bool:
        """True if so many handles are left, or can be made free."""
        allowed = limit()
        if allowed is None or allowed - (in_use() or 0) >= wanted:
            return True
        self._say(self._let_go())
        return allowed - (in_use() or 0) >= wanted

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's exception handler.

        Where a connection cannot be accepted, asyncio tries the same connection up to 2,048 times (Python 3.11; the length of the queue), each
        with a call to this handler and a timer, and all over again a second later. So something has to change in here: handles become free, or
        else all that wait are accepted with a spare handle, one after the other, and closed.
        """
        error = context.get("exception")
        if isinstance(error, ValueError) and "_start_serving" in context.get("message", ""):
            return  # such a timer, after the server has closed its socket
        if not isinstance(error, OSError) or error.errno not in _ALL_IN_USE:
            loop.default_exception_handler(context)
            return
        gone = self._let_go()
        if not gone and "socket" in context:
            self._turn_away(context["socket"].fileno())
        self._say(gone)

    def _turn_away(self, listening: int) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        borrowed = socket.socket(fileno=listening)
        try:
            with suppress(OSError):  # BlockingIOError: nobody waits any more
                for _ in range(_QUEUE):
                    borrowed.accept()[0].close()
        finally:
            borrowed.detach()
            self._keep_spare()

    def _keep_spare(self) -> None:
        if self._spare is None:
            with suppress(OSError):  # another thread was quicker: next time
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def _say(self, gone: int) -> None:
        now = time.monotonic()
        if now - self._said < QUIET:
            return
        self._said = now
        LOG.warning(
            "Thaw has used up its %s handles (open files and connections). %s, and it turns browsers away until some are free. "
            "Allow more before you start it: ulimit -n 4096",
            limit(),
            f"It closed {gone:,} sessions of tabs that are gone" if gone else "It has no session of a closed tab left to close",
        )
