"""A helper process and the pipe between: one JSON question a line goes in, one JSON answer a line comes out.

`Helper` is the server's end, `serve` the other one. The process leaves when its standard input ends, that is, with the server.
"""

from __future__ import annotations

import argparse
import json
import math
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

import psutil

from core.config.errors import ConfigError
from core.machine.children import Interpreters
from core.machine.home import Home
from core.machine.jobs import LAB, Child, Starter
from core.machine.memory import give_back

Progress = Callable[[str, float | None], None]

PROGRESS_SECONDS = 0.1
"""How often a process tells how far it is, at most."""

IDLE_SECONDS = 300.0
"""A process that was asked nothing for so long gives its memory back, unless `THAW_IDLE_SECONDS` says another time."""

HUNG_SECONDS = 60.0
"""A process that was asked something and in so long has neither said a word nor used the processor for `SIGN_SECONDS` hangs, and is ended."""

SIGN_SECONDS = 0.05

SILENT_SECONDS = 1800.0
"""One that works and says nothing, neither answer nor progress, for so long goes round in circles, and is ended too."""

REST_SECONDS = 1.0
"""A process that was asked nothing for so long gives back what it has freed."""

NICENESS = 10
"""How far measuring steps back behind trainings (5) and the server (0)."""


def idle_seconds() -> float:
    """For how many seconds a helper process that nobody asks anything stays: `THAW_IDLE_SECONDS`, where that is a number above 0."""
    try:
        seconds = float(os.environ.get("THAW_IDLE_SECONDS", ""))
    except ValueError:
        return IDLE_SECONDS
    return seconds if 0 < seconds < math.inf else IDLE_SECONDS


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
        self._heard = 0.0  # when a question was told or something was answered (time.monotonic)
        self._worked = (0.0, 0.0)  # when it was last seen to have worked, and the seconds of processor that it had used by then
        self._hung = False

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
        self._heard = time.monotonic()
        self.tell(number=number, ask=line)
        assert process.stdout is not None
        while True:
            try:
                line = process.stdout.readline()
            except ValueError:  # closed meanwhile
                line = ""
            if not line:
                raise LabError(self._buried(process))
            self._heard = time.monotonic()
            reply = json.loads(line)
            if "progress" not in reply:
                return self._understood(reply)
            progress(*reply["progress"])

    def start(self) -> None:
        """Have the process start, if there is none and it takes seconds, without waiting for it: its first answer comes sooner then."""
        with self._lock:
            if not self._closed and not self._starter.quick:
                self._living()

    def rest(self, seconds: float | None = None) -> bool:
        """End the process if nothing was asked of it for so long, or if it hangs at a question; the next question starts another.

        Call it every few seconds.

        Args:
            seconds: of being asked nothing; None: `idle_seconds`.

        Returns:
            True: it was ended just now, for want of questions.
        """
        self._end_hanging()
        with self._lock:
            enough = idle_seconds() if seconds is None else seconds
            idle = self._process is not None and not self._asked and time.monotonic() - self._last_used >= enough
            if idle:
                self._end()
            return idle

    def _end_hanging(self) -> None:
        """Without the lock: whoever writes to a process that reads nothing any more holds it."""
        process, now = self._process, time.monotonic()
        spent = _processor_seconds(process.pid) if process is not None and self._asked else None
        if process is None or spent is None:
            return
        if self._heard > self._worked[0] or abs(spent - self._worked[1]) >= SIGN_SECONDS:
            self._worked = (now, spent)
        if now - self._worked[0] >= HUNG_SECONDS or now - self._heard >= SILENT_SECONDS:
            self._hung = True
            process.kill()  # whoever waits for its answer reads the end of the pipe

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
        if self._hung:
            self._hung = False
            return f"{what} did not answer and did nothing for a minute, so it was ended. The next question starts a new one. Its log: {self._log}"
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


def _processor_seconds(pid: int) -> float | None:
    """What a process has used of the processor, in all its threads; None: it has ended."""
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(used.user + used.system)


class Inbox:
    """A helper's questions, and which of them need no answer any more: standard input, read by a thread of its own."""

    def __init__(self) -> None:
        self._questions: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._ended = False
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        while (message := self._next()) is not None:
            yield message[0], json.loads(message[1])

    def _next(self) -> tuple[int, str] | None:
        """The next question; None: there is none any more. Where none comes soon, memory that the last one needed is given back meanwhile."""
        try:
            return self._questions.get(timeout=REST_SECONDS)
        except queue.Empty:
            give_back()
        return self._questions.get()

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


def serve_home(program: str, answers: Callable[[Home], Callable[[dict[str, Any], Callable[[], bool], Progress], Any]]) -> None:
    """The process's end of a helper that works in one home: `python -m program --home DIR [--niced]`. `answers` gives what `serve` calls."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--home", required=True)
    parser.add_argument("--niced", action="store_true", help="yield to everything else")
    arguments = parser.parse_args()
    if arguments.niced:
        step_back()
    serve(answers(Home.from_environment(arguments.home)))


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
