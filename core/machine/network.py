"""Whether an address on the network can be reached, found out in the background: nobody waits for a network that is not there."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request

AGAIN = 60.0
"""Seconds after which an answer is looked for anew."""

PATIENCE = 5.0
"""Seconds after which an address that says nothing counts as out of reach."""


class Reach:
    """One address, asked for its head alone. Goes through the proxy that the environment names, as downloads do. Thread-safe."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._found: bool | None = None
        self._when = float("-inf")

    def known(self) -> bool | None:
        """Whether it could be reached at the last look; None before the first has ended. Returns at once, and begins a look where one is due."""
        with self._lock:
            if self._thread is None and time.monotonic() - self._when > AGAIN:
                self._thread = threading.Thread(target=self._look, name="reach", daemon=True)
                self._thread.start()
            return self._found

    def _look(self) -> None:
        found = reached(self._address)
        with self._lock:
            self._found, self._when, self._thread = found, time.monotonic(), None


def reached(address: str) -> bool:
    """Whether anybody answers at an address, whatever the answer is. Takes up to `PATIENCE` seconds."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
