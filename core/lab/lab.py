"""Short questions that need torch, answered by helper processes: the web process itself never imports torch.

A helper (`python -m core.lab.lab`) reads one JSON question a line from standard input and writes one JSON answer a line; it leaves
when its standard input ends, that is, with the server. There are three: what takes seconds (measuring steps, a step of a large model
in slow motion) must not keep waiting what takes milliseconds. What the Evaluate screen asks has two more for the same reason
(`core.evaluation.desk`), and exporting one (`core.export.desk`).
"""

from __future__ import annotations

import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from core.catalog.check import weights_file
from core.config import ConfigError, RunConfig
from core.curating.desk import CuratingDesk
from core.evaluation.asked import Answered
from core.evaluation.desk import EvaluationDesk
from core.export.desk import ExportDesk
from core.helpers.desk import Desk
from core.helpers.helper import Helper, LabError, serve, step_back
from core.helpers.told import Told, answer_of
from core.lab import kinds
from core.lab.comparing import ComparingDesk
from core.lab.cost_desk import CostDesk
from core.lab.downloading import DownloadDesk
from core.lab.rates import RateDesk
from core.machine.hardware import Machine
from core.machine.home import Home
from core.machine.jobs import Starter
from core.records.batches import BatchSeen, Variants
from core.records.cost import Cost, CostState, what_matters
from core.records.evaluation import CamView, EmbeddingMap, Evaluation, Prediction, Sample, Work
from core.records.how_much import Separation
from core.records.layers import PLAIN_HEAD, HeadOptions, ModelDescription
from core.records.loading import Loading
from core.records.modes import Modes
from core.records.normalising import Seen
from core.records.sources import ModelSource
from core.records.starting_weights import WeightsFit
from core.records.walkthrough import Check, Example, NodeStory, Walkthrough

_TEXT = TypeAdapter(str)

Answer = TypeVar("Answer")

REMEMBERED = 256
"""Answers about models that are kept."""

REMEMBERED_WALKTHROUGHS = 6
"""Walkthroughs that are kept: one of a large model takes some 20 MB."""


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
        self._weighing = Desk(self._weigh, lambda number: None, REMEMBERED)
        self._evaluating = EvaluationDesk(home, starter)
        self.exports = ExportDesk(home, starter)
        self.curating = CuratingDesk(home, starter)
        self.downloads = DownloadDesk(home, starter)
        self.comparing = ComparingDesk(home, starter)
        self.rates = RateDesk(home, starter)
        self._others = (self._evaluating, self.exports, self.curating, self.downloads, self.comparing, self.rates)
        self._placing: threading.Thread | None = None

    def describe(self, model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelDescription:
        """The layers of a model with a head for `classes` classes.

        Raises:
            ConfigError: there is no such model, or it cannot take images of this size.
            LabError: the helper process failed.
        """
        return self._ask(kinds.DESCRIPTION, self._helper, question="describe", model=model, classes=classes, image_size=image_size, head=asdict(head))

    def source(self, model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelSource:
        """The classes that a model is made of, as they are written, and where its layers are made and called. Raises like `describe`."""
        return self._ask(kinds.SOURCE, self._helper, question="source", model=model, classes=classes, image_size=image_size, head=asdict(head))

    def seen(self, config: RunConfig) -> Seen:
        """What normalising does to the first pictures of a run with these settings, and to what its model makes of them. Takes seconds.

        Raises:
            ConfigError: the settings cannot be used, or the dataset is not on this machine yet.
            LabError: the helper process failed.
        """
        return self._of_pictures(kinds.SEEN, "seen", config)

    def separation(self, config: RunConfig) -> Separation:
        """How well the features of a model with its starting weights tell the classes apart. Takes about ten seconds. Raises like `seen`."""
        return self._of_pictures(kinds.SEPARATION, "separation", config)

    def loading(self, dataset: str, number: int, split: str, index: int, image_size: int, batch_size: int, seed: int) -> Loading:
        """What a Dataset and a DataLoader give of a version's pictures: see `core.explaining.loading`. A fraction of a second. Raises like `seen`."""
        about = {"dataset": dataset, "number": number, "split": split, "index": index}
        about |= {"image_size": image_size, "batch_size": batch_size, "seed": seed}
        return self._ask(kinds.LOADING, self._helper, question="loading", home=str(self._home.path), about=about)

    def variants(self, config: RunConfig, number: int) -> Variants:
        """What random changes make of training picture number `number`. Raises like `seen`."""
        values = config.model_dump(include=set(kinds.CHANGED_BY))
        return self._ask(kinds.VARIANTS, self._explaining, question="variants", config=values, home=str(self._home.path), number=number)

    def batch_seen(self, config: RunConfig) -> BatchSeen:
        """The first batch of a run as its loader gives it, and as its model gets it. Raises like `seen`."""
        values = config.model_dump(include=set(kinds.LOADED_BY))
        return self._ask(kinds.BATCH, self._explaining, question="batch", config=values, home=str(self._home.path))

    def machine(self) -> Machine:
        """What this machine has. Raises LabError."""
        return self._ask(kinds.MACHINE, self._helper, question="machine")

    def cost(self, client: str, config: RunConfig, classes: int, train_samples: int | None) -> CostState:
        """What a step of `config` costs, as far as it is known. Returns at once: ask again until it is no longer "measuring".

        Costs are measured one after the other. Of each client only the newest question counts: one that is being measured and
        that nobody wants any more is given up. What fails (a config that cannot be used, too little memory, a process that
        died) is tried again when the client has asked something else meanwhile.

        Args:
            client: whoever asks: a browser tab, say.
            train_samples: number of training images; None: unknown, and the times of an epoch and of the run are None then.
        """
        state = self._desk.ask(client, _about_cost(config, classes, train_samples))
        return replace(state, cost=state.cost.of_run(config, train_samples)) if state.cost else state

    def known_cost(self, config: RunConfig, classes: int, train_samples: int | None) -> Cost | None:
        """What `cost` has been told already of such a run; None where nothing was measured yet, or without success. Measures nothing."""
        state = self._desk.known(_about_cost(config, classes, train_samples))
        return state.cost.of_run(config, train_samples) if state and state.cost else None

    def weights(self, client: str, config: RunConfig, classes: int) -> WeightsFit | None:
        """How the file that `config.starting_weights` names fits the model. None: it is being looked at; ask again. Returns at once.

        Args:
            client: whoever asks: of each only the newest question counts.

        Raises:
            ConfigError: the model cannot be had, or there is no such file.
            LabError: the helper process failed.
        """
        at = weights_file(config.starting_weights).stat()
        values = config.model_dump(include={"model", "image_size", "head_dropout", "head_hidden", "starting_weights"})
        question = {"question": "weights", "config": values, "classes": classes, "stamp": [at.st_mtime_ns, at.st_size]}
        found: WeightsFit | None = answer_of(self._weighing, client, json.dumps(question))
        return found

    def published(self, model: str) -> Path:
        """Where torchvision's weights of a model, which must have some, are kept once they are downloaded. Raises LabError."""
        return Path(self._ask(_TEXT, self._helper, question="published", model=model))

    def published_at(self, model: str) -> Path | None:
        """The same where it is known; None: it is being asked for. Returns at once."""
        known = self._remembered(json.dumps({"question": "published", "model": model}))
        if known is None and not (self._placing and self._placing.is_alive()):  # asked for at each drawing of a form
            self._placing = threading.Thread(target=self._ask_published, args=(model,), name="lab-published", daemon=True)
            self._placing.start()
        return Path(known) if known else None

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
        return self._ask(kinds.NODE, self._explaining, question="node", id=id, **self._of(example))

    def checks(self, example: Example, id: int) -> tuple[Check, ...]:
        """The chain rule tried out at node `id`: up to a second for a large model. Raises like `walkthrough`."""
        return self._ask(kinds.CHECKS, self._explaining, question="checks", id=id, **self._of(example))

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

    def many(self, key: str, retry: bool = False) -> tuple[Work, Answered | None]:
        """What a run's weights make of many pictures, asked with `core.evaluation.asked.ask_folder` or `ask_uploads`. As `evaluation`."""
        return self._evaluating.many(key, retry)

    def cancel_many(self, key: str) -> None:
        """Give up `many`, and forget the question with the pictures that were uploaded for it. Returns at once."""
        self._evaluating.cancel_many(key)

    @property
    def ready(self) -> bool:
        """True once it has answered: questions come back in milliseconds from then on."""
        return bool(self._answers)

    def warm(self) -> None:
        """Start the helpers that answer what a person waits for, in the background, without waiting for them."""
        threading.Thread(target=self._warm, name="lab-warm-up", daemon=True).start()

    def rest(self) -> bool:
        """End the helper processes that were asked nothing for minutes, or hang: the next question starts them again. True: some went home."""
        own = [helper.rest() for helper in (self._helper, self._explaining, self._measuring)]
        return any([*own, *(desk.rest() for desk in self._others)])

    def close(self) -> None:
        """End the helper processes, for good."""
        desks = (self._desk, self._walking, self._weighing)
        for each in (*desks, self._helper, self._explaining, self._measuring, *self._others):
            each.close()
        for desk in desks:
            desk.join()

    def _warm(self) -> None:
        with suppress(LabError):  # whoever asks next gets the error
            self.machine()
            # What the Autograd screen begins with: where its process takes seconds to start, the first visitor should not wait for that.
            if not self._quick:
                self.walkthrough("warm-up", Example("classic"))

    def _ask_published(self, model: str) -> None:
        with suppress(LabError):  # asked again
            self.published(model)

    def _looked(self, client: str, question: str, example: Example) -> Any:
        return answer_of(self._walking, client, json.dumps({"question": question, **self._of(example)}))

    def _of_pictures(self, kind: TypeAdapter[Answer], question: str, config: RunConfig) -> Answer:
        values = config.model_dump(include=set(kinds.SEEN_BY))
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
        return {"example": kinds.EXAMPLE.dump_python(example, mode="json"), "home": str(self._home.path)}

    def _walk(self, number: int, question: str) -> Told | None:
        try:
            with self._locks[self._explaining]:
                answer = self._explaining.ask(question, number)
        except (ConfigError, LabError) as error:
            return Told(error=error)
        kind: TypeAdapter[Any] = kinds.MODES if json.loads(question)["question"] == "modes" else kinds.WALKTHROUGH
        return Told(kind.validate_python(answer)) if answer is not None else None

    def _weigh(self, _number: int, question: str) -> Told:
        try:
            with self._locks[self._explaining]:
                return Told(kinds.WEIGHTS.validate_python(self._explaining.ask(question)))
        except (ConfigError, LabError) as error:
            return Told(error=error)

    def _measure(self, number: int, question: str) -> CostState | None:
        try:
            answer = self._measuring.ask(question, number)
        except (ConfigError, LabError) as error:
            return CostState("failed", message=str(error))
        return CostState("done", kinds.COST.validate_python(answer)) if answer is not None else None


def _about_cost(config: RunConfig, classes: int, train_samples: int | None) -> str:
    return json.dumps({"question": "cost", "config": what_matters(config, train_samples), "classes": classes})


def main() -> None:
    """The helper's end: answer until standard input ends."""
    if "--niced" in sys.argv:
        step_back()
    from core.lab.answers import Answers

    answers = Answers()
    serve(answers.to)


if __name__ == "__main__":
    main()
