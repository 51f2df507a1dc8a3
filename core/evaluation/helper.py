"""The process that answers what the Evaluate screen asks: `python -m core.evaluation.helper --home DIR [--niced]`. See `core.evaluation.desk`."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

# Set before torch is imported. Threads that wait for each other sleep instead of spinning: a training may use every core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from pydantic import TypeAdapter

from core.config.errors import Cancelled
from core.data import own_pictures
from core.evaluation import evaluate, grad_cam, many, predictions
from core.evaluation.embedding import Method, embedding_map
from core.evaluation.evaluate import Loaded, Progress
from core.evaluation.predictions import Predictions
from core.evaluation.test_set import TestSet, open_test_set
from core.helpers.helper import serve_home
from core.machine.home import Home
from core.records.evaluation import CamView, EmbeddingMap, Prediction, Sample
from core.store import Run

_EMBEDDING = TypeAdapter(EmbeddingMap)
_SAMPLES = TypeAdapter(tuple[Sample, ...])
_CAM = TypeAdapter(CamView)
_PREDICTION = TypeAdapter(Prediction)

MODELS = 2
"""Models that are kept in memory: enough for one beside another."""

TEST_SETS = 2

Thing = TypeVar("Thing")


class Answers:
    """What one helper process knows: the models and test sets that were asked about last."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._models: OrderedDict[Hashable, Loaded] = OrderedDict()
        self._test_sets: OrderedDict[Hashable, TestSet] = OrderedDict()

    def to(self, question: dict[str, Any], cancelled: Callable[[], bool], progress: Progress) -> Any:
        """The answer to one question, ready for JSON; None if it was cancelled."""
        try:
            return self._answer(question, cancelled, progress)
        except Cancelled:
            return None

    def _answer(self, question: dict[str, Any], cancelled: Callable[[], bool], progress: Progress) -> Any:
        match question:
            case {"question": "evaluation", "run": run, "epoch": epoch}:
                evaluate.evaluate(self._home, run, epoch, progress, cancelled)
                return True
            case {"question": "embedding", "run": run, "before": before, "after": after, "method": method}:
                first, second = (evaluate.evaluate(self._home, run, epoch, progress, cancelled) for epoch in (before, after))
                return _EMBEDDING.dump_python(_map(first, second, method, cancelled, progress), mode="json")
            case {"question": "samples", "run": run, "epoch": epoch, "indices": indices, "size": size}:
                made = predictions.open_predictions(self._home, run, epoch)
                test = self._test_set(predictions.find_run(self._home, run))
                if made is not None and made.test_set != test.key:
                    predictions.drop(self._home, run)
                    made = None
                found = evaluate.sample(lambda: self._loaded(run, epoch), test, made, indices, size)
                return _SAMPLES.dump_python(found, mode="json")
            case {"question": "test pictures", "run": run}:
                return len(self._test_set(predictions.find_run(self._home, run)).images)
            case {"question": "cam layers", "run": run}:
                return list(grad_cam.layers(self._loaded(run, None)))
            case {"question": "cam", "run": run, "epoch": epoch, "source": source, "layer": layer, "target": target}:
                loaded = self._loaded(run, epoch)
                images, _ = self._images(loaded, source)
                return _CAM.dump_python(grad_cam.explain(loaded, images, layer, target), mode="json")
            case {"question": "predict", "run": run, "epoch": epoch, "source": source}:
                loaded = self._loaded(run, epoch)
                return _PREDICTION.dump_python(evaluate.predict(loaded, *self._images(loaded, source)), mode="json")
            case {"question": "many", "key": key}:
                many.answer_all(self._home, key, progress, cancelled, self._loaded)
                return True
            case _:
                raise ValueError(f"Unknown question {question!r}")

    def _images(self, loaded: Loaded, source: int | str) -> tuple[torch.Tensor, tuple[str, ...]]:
        """uint8 [1, 3, S, S] of a test image or a file, and what had to be done to it."""
        if isinstance(source, str):
            return evaluate.picture(loaded, Path(source))
        return self._test_set(loaded.run).pixels([source]), ()

    def _loaded(self, run_id: str, epoch: int | None) -> Loaded:
        checkpoint = predictions.find_checkpoint(self._home, predictions.find_run(self._home, run_id), epoch)
        key = (run_id, predictions.fingerprint(checkpoint))
        return _remembered(self._models, MODELS, key, lambda: evaluate.load(self._home, run_id, checkpoint=checkpoint))

    def _test_set(self, run: Run) -> TestSet:
        config = run.config
        stamp = own_pictures.stamp(self._home, run.id, config.dataset)
        # Runs without a list that have the same settings have the same pictures.
        own = (run.id, stamp) if own_pictures.is_listed(self._home, run.id) else None
        key = (config.dataset, config.image_size, config.fit, config.batch_size, own)
        return _remembered(self._test_sets, TEST_SETS, key, lambda: open_test_set(self._home, run, lambda text, share: None))


def _map(first: Predictions, second: Predictions, method: Method, cancelled: Callable[[], bool], progress: Progress) -> EmbeddingMap:
    def told(share: float) -> None:
        if cancelled():
            raise Cancelled
        progress("drawing the map", share)

    progress("drawing the map", None)
    return embedding_map(first, second, method, told)


def _remembered(memory: OrderedDict[Hashable, Thing], most: int, key: Hashable, make: Callable[[], Thing]) -> Thing:
    if key not in memory:
        while len(memory) >= most:
            memory.popitem(last=False)  # before the next one is made: two large models are enough
        memory[key] = make()
    memory.move_to_end(key)
    return memory[key]


def main() -> None:
    """Answer until standard input ends."""
    serve_home("core.evaluation.helper", lambda home: Answers(home).to)


if __name__ == "__main__":
    main()
