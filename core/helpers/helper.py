"""A helper process and the pipe between: one JSON question a line goes in, one JSON answer a line comes out.

`Helper` is the server's end, `serve` the other one. The process leaves when its standard input ends, that is, with the server.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.config import ConfigError
from core.machine.children import Interpreters
from core.machine.jobs import LAB, Child, Starter

Progress = Callable[[str, float | None], None]

PROGRESS_SECONDS = 0.1
"""How often a process tells how far it is, at most."""

IDLE_SECONDS = 300.0
"""A process that was asked nothing for so long gives its memory back."""

NICENESS = 10
"""How far measuring steps back behind trainings (5) and the server (0)."""


class LabError(RuntimeError):
    """The helper process died or failed; its log is named."""


class Helper:
    """One helper process: started by the first question, and again by the next one after it has died."""

    def __init__(self, log: Path, *options: str, module: str = LAB, starter: Starter | None = None) -> None:
        self._log = log
        self._module = module
        self._options = options
        self._starter = starter or Interpreters()
        self._lock = threading.Lock()  # around the process and what is written to it; `ask` waits for the answer without it
        self._process: Child | None = None
        self._closed = False
        self._asked = 0  # questions that wait for their answers
        self._last_used = time.monotonic()

    def ask(self, line: str, number: int = 0, progress: Progress = lambda text, share: None) -> Any:
        """The answer to a question in JSON. For one thread at a time.

        Args:
            progress: told what the process is doing, and the share of it that is done (0 to 1; None where that is not known).

        Raises:
            ConfigError: as the answer says.
            LabError: answering failed, or the process died.
        """
        with self._lock:
            if self._closed:
                raise LabError("The server is closing: no more questions are answered")
            process = self._living()
            self._asked += 1
        try:
            return self._answer(process, line, number, progress)
        finally:
            with self._lock:
                self._asked -= 1
                self._last_used = time.monotonic()

    def _answer(self, process: Child, line: str, number: int, progress: Progress) -> Any:
        self.tell(number=number, ask=line)
        assert process.stdout is not None
        while True:
            try:
                line = process.stdout.readline()
            except ValueError:  # closed meanwhile
                line = ""
            if not line:
                raise LabError(self._buried(process))
            reply = json.loads(line)
            if "progress" not in reply:
                return self._understood(reply)
            progress(*reply["progress"])

    def start(self) -> None:
        """Have the process start, if there is none and it takes seconds, without waiting for it: its first answer comes sooner then."""
        with self._lock:
            if not self._closed and not self._starter.quick:
                self._living()

    def rest(self, seconds: float = IDLE_SECONDS) -> bool:
        """End the process if nothing was asked of it for so long; the next question starts another. True: it was ended just now."""
        with self._lock:
            idle = self._process is not None and not self._asked and time.monotonic() - self._last_used >= seconds
            if idle:
                self._end()
            return idle

    def tell(self, **message: Any) -> None:
        """Write a line to the process, if there is one."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(BrokenPipeError):
                    self._process.stdin.write(json.dumps(message) + "\n")
                    self._process.stdin.flush()

    def close(self) -> None:
        """End the process, whatever it is doing, and start none again."""
        with self._lock:
            self._closed = True
            self._end()

    def _understood(self, reply: dict[str, Any]) -> Any:
        if "field" in reply:
            raise ConfigError(reply["field"], reply["message"])
        if "error" in reply:
            raise LabError(f"{reply['error']} (more in {self._log})")
        return reply["answer"]

    def _living(self) -> Child:
        if self._process is None or self._process.poll() is not None:
            self._end()
            try:
                self._process = self._starter.start(self._module, self._options, self._log, talk=True, patient=True)
            except OSError as error:
                raise LabError(f"The helper process that answers questions about models could not be started: {error}") from None
            self._last_used = time.monotonic()
        return self._process

    def _buried(self, process: Child) -> str:
        """What to say of a process that has ended before it answered."""
        process.wait()
        with self._lock:
            self._end()
        what = "The helper process that answers questions about models"
        if process.returncode == -signal.SIGKILL:
            remedy = "if it was for want of memory, try a smaller batch_size or image_size"
            return f"{what} was killed; {remedy}. The next question starts a new one. Its log: {self._log}"
        return f"{what} has ended; the next question starts a new one. Its log: {self._log}"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):  # closing writes what is left
                    pipe.close()


class Inbox:
    """A helper's questions, and which of them need no answer any more: standard input, read by a thread of its own."""

    def __init__(self) -> None:
        self._questions: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._ended = False
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        while (message := self._questions.get()) is not None:
            yield message[0], json.loads(message[1])

    def cancelled(self, number: int) -> bool:
        """True once nobody wants the answer to this question any more: its number was cancelled, or the server is gone."""
        return self._ended or number in self._cancelled

    def _read(self) -> None:
        for line in sys.stdin:
            match json.loads(line):
                case {"cancel": number}:
                    self._cancelled.add(number)
                case {"ask": question, "number": number}:
                    self._questions.put((number, question))
        self._ended = True
        self._questions.put(None)


def step_back() -> None:
    """Leave the machine to trainings and the server, and be the first to go when memory runs out."""
    os.nice(NICENESS)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("900")


def serve(answer: Callable[[dict[str, Any], Callable[[], bool], Progress], Any]) -> None:
    """The process's end: answer questions until standard input ends.

    Args:
        answer: (question, cancelled, progress) -> what goes back, ready for JSON. What it raises goes back as an error.
    """
    # What torch or a model prints must not get between the answers.
    output, sys.stdout = sys.stdout, sys.stderr
    inbox = Inbox()
    told = 0.0

    def progress(text: str, share: float | None) -> None:
        nonlocal told
        if share is None or time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            with suppress(BrokenPipeError):
                print(json.dumps({"progress": [text, share]}), file=output, flush=True)

    for number, question in inbox:
        try:
            reply = {"answer": answer(question, lambda number=number: inbox.cancelled(number), progress)}  # type: ignore[misc]
        except ConfigError as error:
            reply = {"field": error.field, "message": error.message}
        except Exception as error:  # noqa: BLE001 the server shows it; the helper goes on
            reply = {"error": f"{type(error).__name__}: {error}"}
        with suppress(BrokenPipeError):  # the server is gone, and so is the next question
            print(json.dumps(reply), file=output, flush=True)
