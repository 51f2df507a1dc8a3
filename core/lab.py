"""Short questions that need torch, answered by helper processes: the web process itself never imports torch.

A helper (`python -m core.lab`) reads one JSON question a line from standard input and writes one JSON answer a line; it leaves
when its standard input ends, that is, with the server. There are two: what takes seconds (measuring steps) must not keep
waiting what takes milliseconds. What the Evaluate screen asks has two more for the same reason (`core.evaluation_desk`).
"""

from __future__ import annotations

import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from core.config import ConfigError, RunConfig
from core.cost import Cost, CostState, what_matters
from core.cost_desk import CostDesk
from core.evaluation import CamView, EmbeddingMap, Evaluation, Prediction, Sample, Work
from core.evaluation_desk import EvaluationDesk
from core.home import Home
from core.lab_helper import Helper, LabError, serve, step_back
from core.layers import PLAIN_HEAD, HeadOptions, ModelDescription
from core.machine import Machine
from core.walkthrough import Example, NodeStory, Walkthrough

if TYPE_CHECKING:
    from core.measuring import Bench

_DESCRIPTION = TypeAdapter(ModelDescription)
_MACHINE = TypeAdapter(Machine)
_COST = TypeAdapter(Cost)
_EXAMPLE = TypeAdapter(Example)
_WALKTHROUGH = TypeAdapter(Walkthrough)
_NODE = TypeAdapter(NodeStory)
_TEXT = TypeAdapter(str)

Answer = TypeVar("Answer")

REMEMBERED = 256
"""Answers about models that are kept."""

REMEMBERED_WALKTHROUGHS = 6
"""Walkthroughs among them: one of a large model takes some 20 MB."""


class Lab:
    """The server's end. Thread-safe; answers are remembered, the first question starts a process (about 3 s)."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._helper = Helper(home.logs / "lab.log")
        self._measuring = Helper(home.logs / "measuring.log", "--niced")
        self._answers: OrderedDict[str, Any] = OrderedDict()
        self._desk = CostDesk(self._measure, lambda number: self._measuring.tell(cancel=number))
        self._evaluating = EvaluationDesk(home)

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

    def walkthrough(self, example: Example) -> Walkthrough:
        """Two training steps of `example` in slow motion: see `core.explain`. Takes about a second for resnet18, longer for large models.

        Raises:
            ConfigError: the example cannot be used.
            LabError: the helper process failed.
        """
        return self._ask(_WALKTHROUGH, question="walkthrough", **self._of(example))

    def activation(self, example: Example, step: int, number: int) -> str:
        """What call `number` of step `step` gave, as a PNG in a data URI; "" where it has no picture. Raises like `walkthrough`."""
        return self._ask(_TEXT, question="activation", step=step, number=number, **self._of(example))

    def node(self, example: Example, id: int) -> NodeStory:
        """Node `id` of the example's graph, closely. Raises like `walkthrough`."""
        return self._ask(_NODE, question="node", id=id, **self._of(example))

    def evaluation(self, run_id: str, epoch: int | None = None, retry: bool = False) -> tuple[Work, Evaluation | None]:
        """The whole test set through a run's weights after `epoch`; 0: before training, None: the newest. Also while the run goes on.

        Returns at once: ask again, at least every few seconds, until it is no longer "working". What was worked out is kept in the run's folder
        (`core.predictions`) and is there at once the next time. A failure stands for half a minute, or until `retry`.

        Raises:
            ConfigError: there is no such run, or no such weights.
        """
        return self._evaluating.evaluation(run_id, epoch, retry)

    def embedding(
        self, run_id: str, before: int | None = 0, after: int | None = None, method: str = "pca", retry: bool = False
    ) -> tuple[Work, EmbeddingMap | None]:
        """The map of the test set by two of a run's weights; `method` pca or t-sne. Like `evaluation`, which it does first for both."""
        return self._evaluating.embedding(run_id, before, after, method, retry)

    def samples(self, run_id: str, epoch: int | None, indices: Sequence[int], size: int = 96) -> tuple[Sample, ...]:
        """Images of the test set, `size` pixels a side, and what the weights after `epoch` make of them.

        Raises:
            ConfigError: on `run`, `epoch`, `index`, `size`, or what names the dataset or model if they are gone.
            LabError: the helper process failed.
        """
        return self._evaluating.samples(run_id, epoch, indices, size)

    def cam_layers(self, run_id: str) -> tuple[str, ...]:
        """The layers that Grad-CAM can look at, in the order in which they are done; the last one is the usual choice. Raises as `samples`."""
        return self._evaluating.cam_layers(run_id)

    def cam(self, run_id: str, epoch: int | None, source: int | str, layer: str, target: int | None = None) -> CamView:
        """Grad-CAM of an image of the test set (its index) or of a picture (its path), for the class `target`; None: the likeliest.

        Raises:
            ConfigError: as `samples`, and on `layer`, `target` or `picture`.
            LabError: the helper process failed.
        """
        return self._evaluating.cam(run_id, epoch, source, layer, target)

    def predict(self, run_id: str, source: int | str, epoch: int | None = None) -> Prediction:
        """What the weights after `epoch` (None: the newest) make of an image of the test set or of a picture. Raises as `cam`."""
        return self._evaluating.predict(run_id, source, epoch)

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
        self._evaluating.close()
        self._desk.join()

    def _warm(self) -> None:
        try:
            self.machine()
            # What the Autograd screen needs takes a second to import: its first picture should not wait for that.
            self._ask(_TEXT, question="get ready to explain")
        except LabError:
            pass  # whoever asks next gets the error

    def _ask(self, kind: TypeAdapter[Answer], **question: Any) -> Answer:
        line = json.dumps(question)
        with self._lock:
            if line not in self._answers:
                self._answers[line] = kind.validate_python(self._helper.ask(line))
                if len(self._answers) > REMEMBERED:
                    self._answers.popitem(last=False)
                for old in [key for key, answer in self._answers.items() if isinstance(answer, Walkthrough)][:-REMEMBERED_WALKTHROUGHS]:
                    del self._answers[old]
            self._answers.move_to_end(line)
            answer: Answer = self._answers[line]
            return answer

    def _of(self, example: Example) -> dict[str, Any]:
        return {"example": _EXAMPLE.dump_python(example, mode="json"), "home": str(self._home.path)}

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
            case {"question": "get ready to explain"}:
                from core import explain

                return explain.__name__
            case {"question": "walkthrough" | "activation" | "node", "example": example, "home": home}:
                return _explained(question, _EXAMPLE.validate_python(example), Home(Path(home)))
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


def _explained(question: dict[str, Any], example: Example, home: Home) -> Any:
    from core import explain

    match question["question"]:
        case "walkthrough":
            return _WALKTHROUGH.dump_python(explain.walkthrough(example, home), mode="json")
        case "activation":
            return explain.activation(example, question["step"], question["number"], home)
        case _:
            return _NODE.dump_python(explain.node_story(example, question["id"], home), mode="json")


def main() -> None:
    """The helper's end: answer until standard input ends."""
    if "--niced" in sys.argv:
        step_back()
    answers = _Answers()
    serve(lambda question, cancelled, progress: answers.to(question, cancelled))


if __name__ == "__main__":
    main()
