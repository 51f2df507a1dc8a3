"""Short questions that need torch, answered by helper processes: the web process itself never imports torch.

A helper (`python -m core.lab`) reads one JSON question a line from standard input and writes one JSON answer a line; it leaves
when its standard input ends, that is, with the server. There are two: what takes seconds (measuring steps) must not keep
waiting what takes milliseconds.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from core.config import ConfigError, RunConfig
from core.cost import Cost, CostState, what_matters
from core.cost_desk import CostDesk
from core.home import Home
from core.lab_helper import Helper, LabError, serve, step_back
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


class Lab:
    """The server's end. Thread-safe; answers are remembered, the first question starts a process (about 3 s)."""

    def __init__(self, home: Home) -> None:
        self._lock = threading.Lock()
        self._helper = Helper(home.logs / "lab.log")
        self._measuring = Helper(home.logs / "measuring.log", "--niced")
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


def main() -> None:
    """The helper's end: answer until standard input ends."""
    if "--niced" in sys.argv:
        step_back()
    serve(_Answers().to)


if __name__ == "__main__":
    main()
