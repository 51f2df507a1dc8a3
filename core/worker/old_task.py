"""The old task of a run's starting weights: a few pictures of it, and the head that told them apart, to be put on the run's layers now and then."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from core.config import ConfigError, RunConfig
from core.config.limits import quoted
from core.data import Normalise
from core.data.ancestry import run_of
from core.data.layouts import before
from core.evaluation.predictions import find_run
from core.evaluation.test_set import TestSet, draw_test_set, open_test_set
from core.machine.home import Home
from core.model import weights
from core.networks import models
from core.networks.head import IMAGENET_CLASSES
from core.networks.models import find_model
from core.records.layers import head_options

Progress = Callable[[str, float | None], None]

PICTURES = 256
"""Pictures of the old task at most, evenly from its test set: a forward pass over so many is what a measurement costs."""

AT_ONCE = 64


@dataclass(frozen=True)
class OldTask:
    """What can be asked again: `pictures` uint8 [N, 3, S, S] with `labels` int64 [N], and `model`, whose head is the old one.

    `body` are the names of what the model shares with the run's: all of it but heads.
    """

    model: nn.Module
    normalise: Normalise
    pictures: Tensor
    labels: Tensor
    body: tuple[str, ...]
    what: str

    @torch.no_grad()
    def accuracy(self, now: nn.Module, device: torch.device) -> float:
        """Share (0 to 1) of the pictures that the old head tells right on the layers of `now`, which is left as it is."""
        own, there = self.model.state_dict(), now.state_dict()
        for name in self.body:
            own[name].copy_(there[name])
        right = 0
        for start in range(0, len(self.labels), AT_ONCE):
            images = self.normalise(self.pictures[start : start + AT_ONCE].to(device))
            logits, _ = models.logits_and_auxiliary(self.model(images))
            right += int((logits.argmax(dim=1).cpu() == self.labels[start : start + AT_ONCE]).sum())
        return right / len(self.labels)


def find(config: RunConfig, home: Home, device: torch.device, progress: Progress) -> tuple[OldTask | None, str]:
    """The old task of the weights that `config` starts from, and a sentence on it; None where only the drift can be measured.

    Raises:
        ConfigError: on `old_task`, the folder cannot be read, or its classes are not those of the weights.
    """
    progress("looking for the old task", None)
    with torch.random.fork_rng(devices=[]):  # a model draws numbers when it is built: the run's own stay as they are without this
        if config.old_task is not None:
            return _of_folder(config, home, device, progress)
        run_id = run_of(config.starting_weights, home.runs)
        if run_id is not None:
            return _of_run(config, home, run_id, device, progress)
        shipped = find_model(config.model).shipped if config.starting_weights == "pretrained" else None
    if shipped is not None:
        return None, f"Forgetting: only the drift is measured. The weights that ship with Thaw ({shipped.what}) have no head to ask."
    remedy = "give a folder of the old task's pictures as old_task to measure how well it is still done"
    return None, f"Forgetting: only the drift of each layer is measured, since nothing is known of what the weights were trained on; {remedy}."


def _of_run(config: RunConfig, home: Home, run_id: str, device: torch.device, progress: Progress) -> tuple[OldTask | None, str]:
    """The test pictures of the run that the weights come from, and its head."""
    try:
        run = find_run(home, run_id)
        if run.config.model != config.model:
            return None, f"Forgetting: only the drift is measured. Run {run_id} has another model ({run.config.model}), whose head does not fit here."
        old = run.config.replace(starting_weights=config.starting_weights, forgetting=False, old_task=None)
        test = open_test_set(home, run, progress)
        task = _task(old, config, test, range(len(test.classes)), device, f"the test pictures of run {run_id}")
    except ConfigError as error:
        return None, f"Forgetting: only the drift is measured. The old task, that of run {run_id}, cannot be asked: {error.message}."
    return task, _said(task)


def _of_folder(config: RunConfig, home: Home, device: torch.device, progress: Progress) -> tuple[OldTask, str]:
    folder = str(config.old_task)
    drawn = config.replace(dataset=f"folder:{before(folder)}", forgetting=False, old_task=None, doubles="keep")
    try:
        test = draw_test_set(drawn, home, progress)
    except ConfigError as error:
        raise ConfigError("old_task", error.message) from None
    if config.starting_weights == "pretrained":
        places = _of_imagenet(config.model, test.classes, folder)
        drawn = drawn.replace(head_dropout=0.0, head_hidden=None)
        task = _task(drawn, config, test, places, device, f"pictures of {quoted(folder)}", IMAGENET_CLASSES)
    else:
        try:
            task = _task(drawn, config, test, range(len(test.classes)), device, f"pictures of {quoted(folder)}")
        except ConfigError:
            places = _of_imagenet(config.model, test.classes, folder)
            task = _task(drawn, config, test, places, device, f"pictures of {quoted(folder)}", IMAGENET_CLASSES)
    return task, _said(task)


def _said(task: OldTask) -> str:
    return (
        f"Forgetting: {len(task.labels):,} of {task.what} are asked with the old head, on the layers as they are, at most in a twentieth of the time."
    )


def _task(
    old: RunConfig, config: RunConfig, test: TestSet, places: Sequence[int], device: torch.device, what: str, classes: int | None = None
) -> OldTask:
    """The model of `old` with its trained head, and some of its pictures; class `i` of the pictures is output `places[i]`.

    Raises:
        ConfigError: on `old_task`, the weights have no head for so many classes.
    """
    count = classes or len(test.classes)
    heads = weights.heads_of(find_model(old.model))
    model = models.build(old.model, count, old.image_size, head_options(old))
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items() if name.startswith(heads) and tensor.numel()}
    weights.load(model, old)
    state = model.state_dict()
    main = [name for name in fresh if name.startswith(heads[:1])]
    if all(torch.equal(state[name], fresh[name]) for name in main):
        raise ConfigError("old_task", f"the starting weights have no head for {count:,} classes, which {what} have; give pictures of the old classes")
    shared = models.build(config.model, 2, config.image_size, head_options(config.replace(head_hidden=None, head_dropout=0.0))).state_dict()
    body = tuple(name for name, tensor in state.items() if not name.startswith(heads) and name in shared and shared[name].shape == tensor.shape)
    number = min(PICTURES, len(test.images))
    chosen = np.unique(np.linspace(0, len(test.images) - 1, number).round().astype(int)).tolist()
    batch = test.images.__getitems__(chosen)
    labels = torch.tensor([places[label] for label in batch.labels.tolist()])
    normalise = Normalise(*find_model(old.model).normalise).to(device)
    return OldTask(model.to(device).eval().requires_grad_(False), normalise, batch.images, labels, body, what)


def _of_imagenet(model: str, classes: Sequence[str], folder: str) -> list[int]:
    """The outputs of published weights that the classes of a folder are: by their names, or by their numbers.

    Raises:
        ConfigError: on `old_task`, one of them is no class of ImageNet.
    """
    try:
        names = torchvision.models.get_model_weights(model).DEFAULT.meta["categories"]
    except ValueError:
        names = []
    known = {_plain(name): place for place, name in enumerate(names)}
    found = []
    for name in classes:
        place = int(name) if re.fullmatch(r"\d{1,3}", name) else known.get(_plain(name))
        if place is None:
            remedy = "name the folders as torchvision names ImageNet's classes (golden retriever), or by their numbers, 0 to 999"
            raise ConfigError("old_task", f"{quoted(folder)} has the class {quoted(name)}, which the weights do not know; {remedy}")
        found.append(place)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().lower()
