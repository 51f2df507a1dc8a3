"""Questions that take seconds, waiting to be answered one by one: the newest of each client counts, and nobody waits for an answer here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Outcome(Protocol):
    """What became of a question."""

    @property
    def failed(self) -> bool:
        """True: asking again may help."""


Answer = TypeVar("Answer", bound=Outcome)


class Desk(Generic[Answer]):
    """Thread-safe. A thread of its own works while there are questions, and no longer.

    Args:
        answer: (number of the question, question) -> what is to be shown from then on, or None if `cancel` was obeyed. Called
            in the thread.
        cancel: tells whoever answers that nobody wants the answer to the question of this number any more. Returns at once.
        remembered: how many answers are kept.
    """

    def __init__(self, answer: Callable[[int, str], Answer | None], cancel: Callable[[int], None], remembered: int = 512) -> None:
        self._answer = answer
        self._cancel = cancel
        self._remembered = remembered
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._wanted: dict[str, str] = {}  # client to question, in the order in which they are answered
        self._running: str | None = None
        self._number = 0
        self._done: OrderedDict[str, Answer] = OrderedDict()
        # A failure is kept for the client that has seen it until it asks something else: asking again may help, but not twice a second.
        self._failed: OrderedDict[str, tuple[str, Answer]] = OrderedDict()

    def look(self, client: str, question: str) -> tuple[Answer | None, bool]:
        """What is known about `question`, and whether it waits for another one. Returns at once.

        If nothing is known, the question waits in line, in place of what `client` asked before.
        """
        with self._lock:
            state = self._known(client, question)
            if state is not None:
                self._wanted.pop(client, None)
            elif self._wanted.get(client) != question:
                self._wanted.pop(client, None)
                self._wanted[client] = question
            if self._running is not None and self._running not in self._wanted.values():
                self._cancel(self._number)
                self._running = None
            if self._wanted and self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
                self._thread.start()
            return state, self._running not in (None, question)

    def known(self, question: str) -> Answer | None:
        """What has been answered already; None where nobody knows. Asks nothing."""
        with self._lock:
            return self._done.get(question)

    @property
    def closed(self) -> bool:
        """True: what waits is never answered."""
        return self._closed

    def forget_failure(self, client: str) -> None:
        """Have what failed for `client` tried again when it asks for it the next time."""
        with self._lock:
            self._failed.pop(client, None)

    def close(self) -> None:
        """Begin nothing more. `join` waits for what is at work."""
        with self._lock:
            self._closed = True
            self._wanted.clear()

    def join(self) -> None:
        """Wait until the thread has ended."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _known(self, client: str, question: str) -> Answer | None:
        if question in self._done:
            self._done.move_to_end(question)
            return self._done[question]
        failed_question, failure = self._failed.get(client, (None, None))
        if failed_question != question:
            self._failed.pop(client, None)
            return None
        return failure

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            number, question = taken
            state = self._answer(number, question)
            with self._lock:
                self._running = None
                if state is not None:
                    self._put_down(question, state)

    def _take(self) -> tuple[int, str] | None:
        with self._lock:
            self._running = next(iter(self._wanted.values()), None)
            if self._running is None:
                self._thread = None
                return None
            self._number += 1
            return self._number, self._running

    def _put_down(self, question: str, state: Answer) -> None:
        clients = [client for client, wanted in self._wanted.items() if wanted == question]
        for client in clients:
            del self._wanted[client]
            if state.failed:
                self._failed[client] = (question, state)
        if not state.failed:
            self._done[question] = state
        while len(self._done) > self._remembered:
            self._done.popitem(last=False)
        while len(self._failed) > self._remembered:
            self._failed.popitem(last=False)
