"""Short questions that need torch, answered by a helper process: the web process itself never imports torch.

The helper (`python -m core.lab`) reads one JSON question a line from standard input and writes one JSON answer a line; it
leaves when its standard input ends, that is, with the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from core.config import ConfigError
from core.home import Home, child_environment
from core.layers import PLAIN_HEAD, HeadOptions, ModelDescription
from core.machine import Machine

_DESCRIPTION = TypeAdapter(ModelDescription)
_MACHINE = TypeAdapter(Machine)


class LabError(RuntimeError):
    """The helper process died or failed; its log is named."""


class Lab:
    """The server's end. Thread-safe; answers are remembered, the first question starts the process (about 3 s)."""

    def __init__(self, home: Home) -> None:
        self._log = home.logs / "lab.log"
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: dict[str, Any] = {}

    def describe(self, model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelDescription:
        """The layers of a model with a head for `classes` classes.

        Raises:
            ConfigError: there is no such model, or it cannot take images of this size.
            LabError: the helper process failed.
        """
        return _DESCRIPTION.validate_python(self._ask("describe", model=model, classes=classes, image_size=image_size, head=asdict(head)))

    def machine(self) -> Machine:
        """What this machine has. Raises LabError."""
        return _MACHINE.validate_python(self._ask("machine"))

    @property
    def ready(self) -> bool:
        """True once it has answered: questions come back in milliseconds from then on."""
        return bool(self._answers)

    def warm(self) -> None:
        """Start the helper in the background, without waiting for it."""
        threading.Thread(target=self._warm, name="lab-warm-up", daemon=True).start()

    def close(self) -> None:
        """End the helper process."""
        with self._lock:
            self._end()

    def _warm(self) -> None:
        try:
            self.machine()
        except LabError:
            pass  # whoever asks next gets the error

    def _ask(self, question: str, **arguments: Any) -> Any:
        line = json.dumps({"question": question, **arguments})
        with self._lock:
            if line in self._answers:
                return self._answers[line]
            answer = self._exchange(line)
            if "field" in answer:
                raise ConfigError(answer["field"], answer["message"])
            if "error" in answer:
                raise LabError(f"{answer['error']} (more in {self._log})")
            self._answers[line] = answer["answer"]
            return answer["answer"]

    def _exchange(self, line: str) -> Any:
        if self._process is None or self._process.poll() is not None:
            self._begin()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._end()
            raise LabError(
                f"The helper process that answers questions about models has ended; the next question starts a new one. Its log: {self._log}"
            )
        return json.loads(answer)

    def _begin(self) -> None:
        self._end()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "core.lab"],
                env=child_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            process.stdout.close()
            process.terminate()
            process.wait()


def _answer(question: str, arguments: dict[str, Any]) -> Any:
    from core import anatomy, devices

    match question:
        case "describe":
            arguments["head"] = HeadOptions(**arguments["head"])
            return _DESCRIPTION.dump_python(anatomy.describe(**arguments), mode="json")
        case "machine":
            return _MACHINE.dump_python(devices.machine(), mode="json")
        case _:
            raise ValueError(f"Unknown question {question!r}")


def main() -> None:
    """The helper's end: answer until standard input ends."""
    # What torch or a model prints must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        values = json.loads(line)
        try:
            answer = {"answer": _answer(values.pop("question"), values)}
        except ConfigError as error:
            answer = {"field": error.field, "message": error.message}
        except Exception as error:  # noqa: BLE001 the server shows it; the helper goes on
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
