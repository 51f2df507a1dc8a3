"""What may take long to find out (a folder on a slow disk, its first pictures) is found out beside a form, which waits a moment at most."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Result = TypeVar("Result")

AT_MOST = 0.8
"""Seconds that a form waits for one thing to be found out, all its asking together."""

AGAIN_AFTER = 5
"""An answer counts as new for so many times as long as it took to find."""

REMEMBERED = 64
THREADS = 16
"""At most so many at work: a disk that does not answer keeps its thread."""


@dataclass
class _Matter(Generic[Result]):
    """One thing that is found out."""

    result: Result | None = None
    known: bool = False
    since: float = 0.0
    took: float = 0.0
    began: float = 0.0
    done: threading.Event | None = None
    """Of the search that goes on; None where none does."""


@dataclass
class Looks(Generic[Result]):
    """Answers by key. Thread-safe."""

    at_most: float = AT_MOST
    _matters: OrderedDict[Hashable, _Matter[Result]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, key: Hashable, find: Callable[[Result | None], Result], steady: bool = False) -> Result | None:
        """What `find` gives, looked up anew unless that was just done; None while it is not known.

        It is called in a thread, with what it gave the last time, and waited for a moment; where that is over, what was known before is given.
        `steady`: what is known once stays so. `find` raises nothing.
        """
        with self._lock:
            matter = self._matters.setdefault(key, _Matter())
            self._matters.move_to_end(key)
            if matter.known and (steady or time.monotonic() < matter.since + AGAIN_AFTER * matter.took):
                return matter.result
            if matter.done is None and sum(each.done is not None for each in self._matters.values()) < THREADS:
                matter.began, matter.done = time.monotonic(), threading.Event()
                threading.Thread(target=self._find, args=(matter, find, matter.done), name="look", daemon=True).start()
            done, left = matter.done, matter.began + self.at_most - time.monotonic()
            at_rest = [name for name, each in self._matters.items() if each.done is None]
            for name in at_rest[: max(0, len(self._matters) - REMEMBERED)]:
                del self._matters[name]
        if done is not None and left > 0:
            done.wait(left)
        return matter.result

    def knows(self, key: Hashable) -> bool:
        """True once something is known."""
        with self._lock:
            return key in self._matters and self._matters[key].known

    def _find(self, matter: _Matter[Result], find: Callable[[Result | None], Result], done: threading.Event) -> None:
        try:
            result = find(matter.result)
            with self._lock:
                matter.result, matter.known = result, True
        finally:
            with self._lock:
                matter.since, matter.done = time.monotonic(), None
                matter.took = matter.since - matter.began
            done.set()
