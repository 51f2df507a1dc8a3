"""What the Evaluate screen asks, and the two processes that answer: nobody waits here for what takes seconds. No torch.

Long work (the whole test set through a model, the map) is done one after the other in a process that yields to everything else; what a click
asks for (pictures, Grad-CAM, a prediction) is answered in a process of its own, so that it never waits for a batch of a long evaluation.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter

from core.config import ConfigError
from core.data import own_pictures
from core.evaluation import asked, predictions
from core.evaluation.asked import Answered
from core.helpers.helper import Helper, LabError
from core.machine.home import Home
from core.machine.jobs import EVALUATION, Starter
from core.records.evaluation import CamView, EmbeddingMap, Evaluation, Prediction, Sample, Work
from core.store.checkpoint import Checkpoint

WANTED_SECONDS = 15.0
"""Work that nobody has asked about for so long makes way for other work."""

FAILURE_SECONDS = 30.0
"""For so long a failure stands as it is; who asks later than that has it tried again."""

REMEMBERED = 64
"""Quick answers that are kept: some 10 MB."""

MAPS = 16

_EMBEDDING = TypeAdapter(EmbeddingMap)
_SAMPLES = TypeAdapter(tuple[Sample, ...])
_LAYERS = TypeAdapter(tuple[str, ...])
_CAM = TypeAdapter(CamView)
_PREDICTION = TypeAdapter(Prediction)
_NUMBER = TypeAdapter(int)

Answer = TypeVar("Answer")


@dataclass
class _Job:
    """Long work that was asked for."""

    question: str
    number: int
    asked: float
    work: Work = field(default_factory=lambda: Work("working", None, "waiting for its turn"))
    result: Any = None
    ended: float | None = None
    cancelled: bool = False


class EvaluationDesk:
    """Thread-safe. Both processes are started by the first question for them, and end with the server; a thread works while there is long work."""

    def __init__(self, home: Home, starter: Starter | None = None) -> None:
        self._home = home
        options = ("--home", str(home.path))
        self._long = Helper(home.logs / "evaluating.log", *options, "--niced", module=EVALUATION, starter=starter)
        self._quick = Helper(home.logs / "looking.log", *options, module=EVALUATION, starter=starter)
        self._asking = threading.Lock()  # one quick question at a time
        self._answers: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()  # around all below
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._maps: OrderedDict[str, EmbeddingMap] = OrderedDict()
        self._running: _Job | None = None
        self._number = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def evaluation(self, run_id: str, epoch: int | None, retry: bool = False) -> tuple[Work, Evaluation | None]:
        """The whole test set through the weights after `epoch` (None: the newest). See `Lab.evaluation`."""
        checkpoint = predictions.find_checkpoint(self._home, predictions.find_run(self._home, run_id), epoch)
        found = predictions.kept(self._home, run_id, checkpoint)
        stamp = self._stamp(run_id)
        self._quick.start()  # pictures are asked for next, and it imports torch meanwhile
        if found is not None and stamp in (None, found.stamp):
            return Work("done", 1.0), found.evaluation
        # The newest of a run that goes on is another one soon: these weights are meant.
        meant = None if checkpoint.final else checkpoint.epoch
        job = self._work({"question": "evaluation", "run": run_id, "epoch": meant}, f"{_weights(checkpoint)} {stamp}", retry)
        if job.work.state == "done":  # just now
            found = predictions.kept(self._home, run_id, checkpoint)
            return (job.work, found.evaluation) if found else (Work("working"), None)
        return job.work, None

    def embedding(
        self, run_id: str, before: int | None, after: int | None, method: str = "pca", retry: bool = False
    ) -> tuple[Work, EmbeddingMap | None]:
        """The map of the test set before and after. See `Lab.embedding`."""
        run = predictions.find_run(self._home, run_id)
        found = [predictions.find_checkpoint(self._home, run, epoch) for epoch in (before, after)]
        meant = [None if checkpoint.final else checkpoint.epoch for checkpoint in found]
        question = {"question": "embedding", "run": run_id, "before": meant[0], "after": meant[1], "method": method}
        weights = " ".join([*map(_weights, found), str(self._stamp(run_id))])
        key = json.dumps([question, weights])
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
                return Work("done", 1.0), self._maps[key]
        job = self._work(question, weights, retry)
        if job.work.state != "done":
            return job.work, None
        made = _EMBEDDING.validate_python(job.result)
        with self._lock:
            self._maps[key] = made
            while len(self._maps) > MAPS:
                self._maps.popitem(last=False)
        return job.work, made

    def test_pictures(self, run_id: str) -> int:
        """How many test pictures there are. See `Lab.test_pictures`."""
        run = predictions.find_run(self._home, run_id)
        stamp = self._stamp(run_id)
        kept = predictions.kept(self._home, run_id, predictions.find_checkpoint(self._home, run))
        if kept is not None and stamp in (None, kept.stamp):
            return kept.evaluation.samples
        if run.plan is not None and not (stamp or "").endswith(own_pictures.TOUCHED):
            return run.plan.test_samples
        return self._ask(_NUMBER, run_id, None, question="test pictures")

    def samples(self, run_id: str, epoch: int | None, indices: Sequence[int], size: int) -> tuple[Sample, ...]:
        """Images of the test set. See `Lab.samples`."""
        return self._ask(_SAMPLES, run_id, epoch, question="samples", indices=[int(index) for index in indices], size=size)

    def cam_layers(self, run_id: str) -> tuple[str, ...]:
        """Layers for Grad-CAM. See `Lab.cam_layers`."""
        return self._ask(_LAYERS, run_id, None, question="cam layers")

    def cam(self, run_id: str, epoch: int | None, source: int | str, layer: str, target: int | None) -> CamView:
        """Grad-CAM. See `Lab.cam`."""
        return self._ask(_CAM, run_id, epoch, question="cam", source=source, layer=layer, target=target)

    def predict(self, run_id: str, source: int | str, epoch: int | None) -> Prediction:
        """What the weights make of a picture. See `Lab.predict`."""
        return self._ask(_PREDICTION, run_id, epoch, question="predict", source=source)

    def many(self, key: str, retry: bool = False) -> tuple[Work, Answered | None]:
        """What the model makes of many pictures. See `Lab.many`."""
        found = asked.answer(self._home, key)
        if found is not None:
            return Work("done", 1.0), found
        if asked.asked(self._home, key) is None:
            raise ConfigError("pictures", "these pictures are not kept any more; bring them along again")
        job = self._work({"question": "many", "key": key}, "", retry)
        return job.work, asked.answer(self._home, key) if job.work.state == "done" else None

    def cancel_many(self, key: str) -> None:
        """Give up `many`, and forget the question."""
        question = json.dumps({"question": "many", "key": key})
        with self._lock:
            for place, job in list(self._jobs.items()):
                if job.question != question or job.ended is not None:
                    continue
                job.cancelled = True
                if job is self._running:
                    self._long.tell(cancel=job.number)
                else:
                    del self._jobs[place]
        asked.forget(self._home, key)

    def rest(self) -> bool:
        """End the processes that were asked nothing for minutes, or hang. True: one went home."""
        gone = [helper.rest() for helper in (self._long, self._quick)]
        return any(gone)

    def close(self) -> None:
        """End both processes, for good."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
        for helper in (self._long, self._quick):
            helper.close()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _ask(self, kind: TypeAdapter[Answer], run_id: str, epoch: int | None, **question: Any) -> Answer:
        """A quick answer, remembered for as long as the weights and the test pictures are the same."""
        checkpoint = predictions.find_checkpoint(self._home, predictions.find_run(self._home, run_id), epoch)
        line = json.dumps({**question, "run": run_id, "epoch": None if checkpoint.final else checkpoint.epoch})
        key = f"{line} {_weights(checkpoint)} {self._stamp(run_id)}"
        with self._asking:
            if key not in self._answers:
                self._answers[key] = kind.validate_python(self._quick.ask(line))
                while len(self._answers) > REMEMBERED:
                    self._answers.popitem(last=False)
            self._answers.move_to_end(key)
            answer: Answer = self._answers[key]
            return answer

    def _stamp(self, run_id: str) -> str | None:
        """Another text once the run's test pictures were touched: see `core.data.own_pictures`."""
        return own_pictures.stamp(self._home, run_id, predictions.find_run(self._home, run_id).config.dataset)

    def _work(self, question: dict[str, Any], weights: str, retry: bool) -> _Job:
        """How far long work is. It is begun if it was not, and again if it failed long ago."""
        line = json.dumps(question)
        key = f"{line} {weights}"
        now = time.monotonic()
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.ended is not None:
                stale = job.work.state == "done" or retry or now - job.ended > FAILURE_SECONDS
                if job.work.state == "done":
                    del self._jobs[key]  # whoever asks gets it, once: what it made is kept elsewhere
                    return job
                if stale:
                    job = None
            if job is None or job.cancelled:
                self._number += 1
                job = self._jobs[key] = _Job(line, self._number, now)
            job.asked = now
            self._make_way(now)
            if self._thread is None and not self._closed and any(other.ended is None for other in self._jobs.values()):
                self._thread = threading.Thread(target=self._run, name="evaluation-desk", daemon=True)
                self._thread.start()
            return job

    def _make_way(self, now: float) -> None:
        """Drop work that nobody has asked about for long where other work waits. Holds the lock."""
        waiting = [job for job in self._jobs.values() if job.ended is None and now - job.asked <= WANTED_SECONDS]
        for key, job in list(self._jobs.items()):
            if now - job.asked <= WANTED_SECONDS or not waiting:
                continue
            if job is self._running:
                job.cancelled = True
                self._long.tell(cancel=job.number)
            elif job.ended is None or now - job.ended > FAILURE_SECONDS:
                del self._jobs[key]

    def _run(self) -> None:
        while (job := self._take()) is not None:
            result, work = None, Work("done", 1.0)
            try:
                result = self._long.ask(job.question, job.number, lambda text, share, job=job: self._heard(job, text, share))  # type: ignore[misc]
            except (ConfigError, LabError, OSError) as error:  # OSError: no process could be started
                work = Work("failed", message=str(error))
            with self._lock:
                self._running = None
                if result is None and work.state == "done":  # it was given up
                    self._jobs = OrderedDict((key, other) for key, other in self._jobs.items() if other is not job)
                else:
                    job.result, job.work, job.ended = result, work, time.monotonic()

    def _take(self) -> _Job | None:
        """The work that was asked about last is done first: it is what somebody looks at."""
        with self._lock:
            open_jobs = [job for job in self._jobs.values() if job.ended is None and not job.cancelled]
            if not open_jobs or self._closed:
                self._thread = None
                return None
            self._running = max(open_jobs, key=lambda job: job.asked)
            self._running.work = Work("working", None, "starting")
            return self._running

    def _heard(self, job: _Job, text: str, share: float | None) -> None:
        with self._lock:
            if job.ended is None:
                job.work = Work("working", share, text)


def _weights(checkpoint: Checkpoint) -> str:
    try:
        return predictions.fingerprint(checkpoint)
    except OSError:
        remedy = "choose another epoch"
        raise ConfigError("epoch", f"the weights of epoch {checkpoint.epoch} are not there any more; {remedy}") from None
