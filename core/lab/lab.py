"""Short questions that need torch, answered by helper processes: the web process itself never imports torch.

A helper (`python -m core.lab.lab`) reads one JSON question a line from standard input and writes one JSON answer a line; it leaves
when its standard input ends, that is, with the server. There are three: what takes seconds (measuring steps, a step of a large model
in slow motion) must not keep waiting what takes milliseconds. What the Evaluate screen asks has two more for the same reason
(`core.evaluation.desk`).
"""

from __future__ import annotations

import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.evaluation.desk import EvaluationDesk
from core.helpers.desk import Desk
from core.helpers.helper import Helper, LabError, serve, step_back
from core.lab.cost_desk import CostDesk
from core.machine.hardware import Machine
from core.machine.home import Home
from core.machine.jobs import Starter
from core.records.cost import Cost, CostState, what_matters
from core.records.evaluation import CamView, EmbeddingMap, Evaluation, Prediction, Sample, Work
from core.records.how_much import Separation
from core.records.layers import PLAIN_HEAD, HeadOptions, ModelDescription
from core.records.modes import Modes
from core.records.normalising import Seen
from core.records.sources import ModelSource
from core.records.walkthrough import Check, Example, NodeStory, Walkthrough

if TYPE_CHECKING:
    from core.measuring.bench import Bench

_DESCRIPTION = TypeAdapter(ModelDescription)
_SOURCE = TypeAdapter(ModelSource)
_SEEN = TypeAdapter(Seen)
_SEPARATION = TypeAdapter(Separation)
_MACHINE = TypeAdapter(Machine)
_COST = TypeAdapter(Cost)
_EXAMPLE = TypeAdapter(Example)
_WALKTHROUGH = TypeAdapter(Walkthrough)
_MODES = TypeAdapter(Modes)
_NODE = TypeAdapter(NodeStory)
_CHECKS = TypeAdapter(tuple[Check, ...])
_TEXT = TypeAdapter(str)

Answer = TypeVar("Answer")

SEEN_BY = (
    "dataset", "model", "image_size", "fit", "starting_weights", "head_dropout", "head_hidden", "seed", "validation_share", "batch_size", "doubles",
)  # fmt: skip
"""The fields of a config that `Lab.seen` and `Lab.separation` depend on."""

REMEMBERED = 256
"""Answers about models that are kept."""

REMEMBERED_WALKTHROUGHS = 6
"""Walkthroughs that are kept: one of a large model takes some 20 MB."""


@dataclass(frozen=True)
class _Told:
    """A walkthrough, or what the modes do, or why there is neither."""

    answer: Any = None
    error: ConfigError | LabError | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None


class Lab:
    """The server's end. Thread-safe; answers are remembered, the first question starts a process (about 3 s)."""

    def __init__(self, home: Home, starter: Starter | None = None) -> None:
        self._home = home
        self._quick = starter is not None and starter.quick
        self._helper = Helper(home.logs / "lab.log", starter=starter)
        self._explaining = Helper(home.logs / "explaining.log", starter=starter)
        self._measuring = Helper(home.logs / "measuring.log", "--niced", starter=starter)
        self._locks = {helper: threading.Lock() for helper in (self._helper, self._explaining)}  # one question at a time each
        self._answers_lock = threading.Lock()
        self._answers: OrderedDict[str, Any] = OrderedDict()
        self._desk = CostDesk(self._measure, lambda number: self._measuring.tell(cancel=number))
        self._walking = Desk(self._walk, lambda number: self._explaining.tell(cancel=number), REMEMBERED_WALKTHROUGHS)
        self._evaluating = EvaluationDesk(home, starter)

    def describe(self, model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelDescription:
        """The layers of a model with a head for `classes` classes.

        Raises:
            ConfigError: there is no such model, or it cannot take images of this size.
            LabError: the helper process failed.
        """
        return self._ask(_DESCRIPTION, self._helper, question="describe", model=model, classes=classes, image_size=image_size, head=asdict(head))

    def source(self, model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelSource:
        """The classes that a model is made of, as they are written, and where its layers are made and called. Raises like `describe`."""
        return self._ask(_SOURCE, self._helper, question="source", model=model, classes=classes, image_size=image_size, head=asdict(head))

    def seen(self, config: RunConfig) -> Seen:
        """What normalising does to the first pictures of a run with these settings, and to what its model makes of them. Takes seconds.

        Raises:
            ConfigError: the settings cannot be used, or the dataset is not on this machine yet.
            LabError: the helper process failed.
        """
        return self._of_pictures(_SEEN, "seen", config)

    def separation(self, config: RunConfig) -> Separation:
        """How well the features of a model with its starting weights tell the classes apart. Takes about ten seconds. Raises like `seen`."""
        return self._of_pictures(_SEPARATION, "separation", config)

    def machine(self) -> Machine:
        """What this machine has. Raises LabError."""
        return self._ask(_MACHINE, self._helper, question="machine")

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

    def walkthrough(self, client: str, example: Example) -> Walkthrough | None:
        """Two training steps of `example` in slow motion: see `core.explaining.explain`. None: they are being made; ask again.

        Returns at once: it takes about a second for resnet18, many for a large model. Of each client only the newest question counts: a
        walkthrough that nobody waits for any more is given up. What failed is tried again by the next question.

        Args:
            client: whoever asks: a browser tab, say.

        Raises:
            ConfigError: the example cannot be used.
            LabError: the helper process failed.
        """
        found: Walkthrough | None = self._looked(client, "walkthrough", example)
        return found

    def modes(self, client: str, example: Example) -> Modes | None:
        """What freezing, eval(), no_grad() and inference_mode() do to the example's model. None: they are being tried. As `walkthrough`."""
        found: Modes | None = self._looked(f"{client} modes", "modes", example)
        return found

    def activation(self, example: Example, step: int, number: int) -> str:
        """What call `number` of step `step` gave, as a PNG in a data URI; "" where it has no picture. Raises like `walkthrough`."""
        return self._ask(_TEXT, self._explaining, question="activation", step=step, number=number, **self._of(example))

    def node(self, example: Example, id: int) -> NodeStory:
        """Node `id` of the example's graph, closely, without its checks: milliseconds once there is a walkthrough. Raises like `walkthrough`."""
        return self._ask(_NODE, self._explaining, question="node", id=id, **self._of(example))

    def checks(self, example: Example, id: int) -> tuple[Check, ...]:
        """The chain rule tried out at node `id`: up to a second for a large model. Raises like `walkthrough`."""
        return self._ask(_CHECKS, self._explaining, question="checks", id=id, **self._of(example))

    def evaluation(self, run_id: str, epoch: int | None = None, retry: bool = False) -> tuple[Work, Evaluation | None]:
        """The whole test set through a run's weights after `epoch`; 0: before training, None: the newest. Also while the run goes on.

        Returns at once: ask again, at least every few seconds, until it is no longer "working". What was worked out is kept in the run's folder
        (`core.evaluation.predictions`) and is there at once the next time. A failure stands for half a minute, or until `retry`.

        Raises:
            ConfigError: there is no such run, or no such weights.
        """
        return self._evaluating.evaluation(run_id, epoch, retry)

    def embedding(
        self, run_id: str, before: int | None = 0, after: int | None = None, method: str = "pca", retry: bool = False
    ) -> tuple[Work, EmbeddingMap | None]:
        """The map of the test set by two of a run's weights; `method` pca or t-sne. Like `evaluation`, which it does first for both."""
        return self._evaluating.embedding(run_id, before, after, method, retry)

    def test_pictures(self, run_id: str) -> int:
        """How many of the run's test pictures are there today: what `samples` takes are their places, from 0.

        Raises:
            ConfigError: too few are, or the dataset cannot be read.
            LabError: the helper cannot answer.
        """
        return self._evaluating.test_pictures(run_id)

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
        """Start the helpers that answer what a person waits for, in the background, without waiting for them."""
        threading.Thread(target=self._warm, name="lab-warm-up", daemon=True).start()

    def rest(self) -> None:
        """End the helper processes that were asked nothing for minutes: the next question starts them again."""
        for helper in (self._helper, self._explaining, self._measuring):
            helper.rest()
        self._evaluating.rest()

    def close(self) -> None:
        """End the helper processes, for good."""
        desks = (self._desk, self._walking)
        for desk in desks:
            desk.close()
        for helper in (self._helper, self._explaining, self._measuring):
            helper.close()
        self._evaluating.close()
        for desk in desks:
            desk.join()

    def _warm(self) -> None:
        with suppress(LabError):  # whoever asks next gets the error
            self.machine()
            # What the Autograd screen begins with: where its process takes seconds to start, the first visitor should not wait for that.
            if not self._quick:
                self.walkthrough("warm-up", Example("classic"))

    def _looked(self, client: str, question: str, example: Example) -> Any:
        told, _ = self._walking.look(client, json.dumps({"question": question, **self._of(example)}))
        if told is None:
            if self._walking.closed:
                raise LabError("The server is closing: no more questions are answered")
            return None
        if told.error is not None:
            self._walking.forget_failure(client)
            raise told.error
        return told.answer

    def _of_pictures(self, kind: TypeAdapter[Answer], question: str, config: RunConfig) -> Answer:
        values = config.model_dump(include=set(SEEN_BY))
        return self._ask(kind, self._explaining, question=question, config=values, home=str(self._home.path))

    def _ask(self, kind: TypeAdapter[Answer], helper: Helper, **question: Any) -> Answer:
        line = json.dumps(question)
        if (known := self._remembered(line)) is None:  # what is known waits for nobody
            with self._locks[helper]:
                if (known := self._remembered(line)) is None:
                    known = kind.validate_python(helper.ask(line))
                    with self._answers_lock:
                        self._answers[line] = known
                        if len(self._answers) > REMEMBERED:
                            self._answers.popitem(last=False)
        answer: Answer = known
        return answer

    def _remembered(self, line: str) -> Any:
        with self._answers_lock:
            if line in self._answers:
                self._answers.move_to_end(line)
            return self._answers.get(line)

    def _of(self, example: Example) -> dict[str, Any]:
        return {"example": _EXAMPLE.dump_python(example, mode="json"), "home": str(self._home.path)}

    def _walk(self, number: int, question: str) -> _Told | None:
        try:
            with self._locks[self._explaining]:
                answer = self._explaining.ask(question, number)
        except (ConfigError, LabError) as error:
            return _Told(error=error)
        kind: TypeAdapter[Any] = _MODES if json.loads(question)["question"] == "modes" else _WALKTHROUGH
        return _Told(kind.validate_python(answer)) if answer is not None else None

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
        from core.machine import devices
        from core.model import anatomy

        match question:
            case {"question": "describe", "head": head, "model": model, "classes": classes, "image_size": image_size}:
                return _DESCRIPTION.dump_python(anatomy.describe(model, classes, image_size, HeadOptions(**head)), mode="json")
            case {"question": "source", "head": head, "model": model, "classes": classes, "image_size": image_size}:
                from core.explaining.source import model_source

                return _SOURCE.dump_python(model_source(model, classes, image_size, HeadOptions(**head)), mode="json")
            case {"question": "machine"}:
                return _MACHINE.dump_python(devices.machine(), mode="json")
            case {"question": "seen", "config": config, "home": home}:
                from core.explaining.normalising import seen

                return _SEEN.dump_python(seen(RunConfig(**config), Home(Path(home))), mode="json")
            case {"question": "separation", "config": config, "home": home}:
                from core.explaining.separation import separation

                return _SEPARATION.dump_python(separation(RunConfig(**config), Home(Path(home))), mode="json")
            case {"question": "walkthrough" | "modes" | "activation" | "node" | "checks", "example": example, "home": home}:
                return _explained(question, _EXAMPLE.validate_python(example), Home(Path(home)), cancelled)
            case {"question": "cost", "config": config, "classes": classes}:
                return self._cost(RunConfig(**config), classes, cancelled)
            case _:
                raise ValueError(f"Unknown question {question!r}")

    def _cost(self, config: RunConfig, classes: int, cancelled: Callable[[], bool]) -> Any:
        from core.measuring import bench as measuring

        self._bench = self._bench or measuring.Bench()
        try:
            return _COST.dump_python(self._bench.measure(config, classes, cancelled), mode="json")
        except Cancelled:
            return None


def _explained(question: dict[str, Any], example: Example, home: Home, cancelled: Callable[[], bool]) -> Any:
    from core.explaining import explain

    match question["question"]:
        case "walkthrough" | "modes":
            try:
                if question["question"] == "modes":
                    return _MODES.dump_python(explain.modes(example, home, cancelled), mode="json")
                return _WALKTHROUGH.dump_python(explain.walkthrough(example, home, cancelled), mode="json")
            except Cancelled:
                return None
        case "activation":
            return explain.activation(example, question["step"], question["number"], home)
        case "node":
            return _NODE.dump_python(explain.node_story(example, question["id"], home, checked=False), mode="json")
        case _:
            return _CHECKS.dump_python(explain.checks(example, question["id"], home), mode="json")


def main() -> None:
    """The helper's end: answer until standard input ends."""
    if "--niced" in sys.argv:
        step_back()
    answers = _Answers()
    serve(lambda question, cancelled, progress: answers.to(question, cancelled))


if __name__ == "__main__":
    main()
