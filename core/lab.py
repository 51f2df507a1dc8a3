"""Short questions that need torch, answered by helper processes: the web process itself never imports torch.

A helper (`python -m core.lab`) reads one JSON question a line from standard input and writes one JSON answer a line; it leaves
when its standard input ends, that is, with the server. There are two: what takes seconds (measuring steps) must not keep
waiting what takes milliseconds.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from core.config import ConfigError, RunConfig
from core.cost import Cost, CostState, what_matters
from core.cost_desk import CostDesk
from core.home import Home, child_environment
from core.layers import PLAIN_HEAD, HeadOptions, ModelDescription
from core.machine import Machine

if TYPE_CHECKING:
    from core.measuring import Bench

_DESCRIPTION = TypeAdapter(ModelDescription)
_MACHINE = TypeAdapter(Machine)
_COST = TypeAdapter(Cost)

Answer = TypeVar("Answer")

REMEMBERED = 256
"""Answers about models that are kept."""

NICENESS = 10
"""How far measuring steps back behind trainings (5) and the server (0)."""


class LabError(RuntimeError):
    """The helper process died or failed; its log is named."""


class Lab:
    """The server's end. Thread-safe; answers are remembered, the first question starts a process (about 3 s)."""

    def __init__(self, home: Home) -> None:
        self._lock = threading.Lock()
        self._helper = _Helper(home.logs / "lab.log")
        self._measuring = _Helper(home.logs / "measuring.log", "--niced")
        self._answers: OrderedDict[str, Any] = OrderedDict()
        self._desk = CostDesk(self._measure, lambda number: self._measuring.tell(cancel=number))

    def describe(self, model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelDescription:
        """The layers of a model with a head for `classes` classes.

        Raises:
            ConfigError: there is no such model, or it cannot take images of this size.
            LabError: the helper process failed.
        """
        return self._ask(_DESCRIPTION, question="describe", model=model, classes=classes, image_size=image_size, head=asdict(head))

    def machine(self) -> Machine:
        """What this machine has. Raises LabError."""
        return self._ask(_MACHINE, question="machine")

    def cost(self, client: str, config: RunConfig, classes: int, train_samples: int | None) -> CostState:
        """What a step of `config` costs, as far as it is known. Returns at once: ask again until it is no longer "measuring".

        Costs are measured one after the other. Of each client only the newest question counts: one that is being measured and
        that nobody wants any more is given up. What fails (a config that cannot be used, too little memory, a process that
        died) is tried again when the client has asked something else meanwhile.

        Args:
            client: whoever asks: a browser tab, say.
            train_samples: number of training images; None: unknown, and the times of an epoch and of the run are None then.
        """
        question = json.dumps({"question": "cost", "config": what_matters(config, train_samples), "classes": classes})
        state = self._desk.ask(client, question)
        return replace(state, cost=state.cost.of_run(config, train_samples)) if state.cost else state

    @property
    def ready(self) -> bool:
        """True once it has answered: questions come back in milliseconds from then on."""
        return bool(self._answers)

    def warm(self) -> None:
        """Start the helper in the background, without waiting for it."""
        threading.Thread(target=self._warm, name="lab-warm-up", daemon=True).start()

    def close(self) -> None:
        """End the helper processes, for good."""
        self._desk.close()
        for helper in (self._helper, self._measuring):
            helper.close()
        self._desk.join()

    def _warm(self) -> None:
        try:
            self.machine()
        except LabError:
            pass  # whoever asks next gets the error

    def _ask(self, kind: TypeAdapter[Answer], **question: Any) -> Answer:
        line = json.dumps(question)
        with self._lock:
            if line not in self._answers:
                self._answers[line] = kind.validate_python(self._helper.ask(line))
                if len(self._answers) > REMEMBERED:
                    self._answers.popitem(last=False)
            self._answers.move_to_end(line)
            answer: Answer = self._answers[line]
            return answer

    def _measure(self, number: int, question: str) -> CostState | None:
        try:
            answer = self._measuring.ask(question, number)
        except (ConfigError, LabError) as error:
            return CostState("failed", message=str(error))
        return CostState("done", _COST.validate_python(answer)) if answer is not None else None


class _Helper:
    """One helper process: started by the first question, and again by the next one after it has died."""

    def __init__(self, log: Path, *options: str) -> None:
        self._log = log
        self._options = options
        self._lock = threading.Lock()  # around the process and what is written to it; `ask` waits for the answer without it
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def ask(self, line: str, number: int = 0) -> Any:
        """The answer to a question in JSON. For one thread at a time.

        Raises:
            ConfigError: as the answer says.
            LabError: answering failed, or the process died.
        """
        with self._lock:
            if self._closed:
                raise LabError("The server is closing: no more questions are answered")
            process = self._living()
        self.tell(number=number, ask=line)
        assert process.stdout is not None
        try:
            reply = process.stdout.readline()
        except ValueError:  # closed meanwhile
            reply = ""
        if not reply:
            raise LabError(self._buried(process))
        return self._understood(json.loads(reply))

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

    def _living(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "core.lab", *self._options],
                    env=child_environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
        return self._process

    def _buried(self, process: subprocess.Popen[str]) -> str:
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


class _Inbox:
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


class _Answers:
    """What a helper knows."""

    def __init__(self) -> None:
        self._bench: Bench | None = None

    def to(self, question: dict[str, Any], cancelled: Callable[[], bool]) -> Any:
        """The answer to one question, ready for JSON; None if it was cancelled."""
        from core import anatomy, devices

        match question:
            case {"question": "describe", "head": head, "model": model, "classes": classes, "image_size": image_size}:
                return _DESCRIPTION.dump_python(anatomy.describe(model, classes, image_size, HeadOptions(**head)), mode="json")
            case {"question": "machine"}:
                return _MACHINE.dump_python(devices.machine(), mode="json")
            case {"question": "cost", "config": config, "classes": classes}:
                return self._cost(RunConfig(**config), classes, cancelled)
            case _:
                raise ValueError(f"Unknown question {question!r}")

    def _cost(self, config: RunConfig, classes: int, cancelled: Callable[[], bool]) -> Any:
        from core import measuring

        self._bench = self._bench or measuring.Bench()
        try:
            return _COST.dump_python(self._bench.measure(config, classes, cancelled), mode="json")
        except measuring.Cancelled:
            return None


def _step_back() -> None:
    """Leave the machine to trainings and the server, and be the first to go when memory runs out."""
    os.nice(NICENESS)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("900")


def main() -> None:
    """The helper's end: answer until standard input ends."""
    if "--niced" in sys.argv:
        _step_back()
    # What torch or a model prints must not get between the answers.
    output, sys.stdout = sys.stdout, sys.stderr
    inbox, answers = _Inbox(), _Answers()
    for number, question in inbox:
        try:
            reply = {"answer": answers.to(question, lambda number=number: inbox.cancelled(number))}  # type: ignore[misc]
        except ConfigError as error:
            reply = {"field": error.field, "message": error.message}
        except Exception as error:  # noqa: BLE001 the server shows it; the helper goes on
            reply = {"error": f"{type(error).__name__}: {error}"}
        with suppress(BrokenPipeError):  # the server is gone, and so is the next question
            print(json.dumps(reply), file=output, flush=True)


if __name__ == "__main__":
    main()
