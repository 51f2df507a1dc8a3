"""A run's weights put to the test: the whole test set, or one picture, through the model of a checkpoint.

The test set is the one that the run itself was tested on (`core.data.own_pictures`), in the same batches and the same number format, so the
figures of the last checkpoint are the run's own.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core import catalog
from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.data import Normalise, own_pictures
from core.data import torchvision_sets as sets
from core.data.datasets import find_dataset, folder_of
from core.data.decoding import ValueRange
from core.data.loader import resize
from core.evaluation import embedding, looks, metrics, predictions
from core.evaluation.confidence import about_loss, meaning_of
from core.evaluation.pictures import data_uri, open_picture
from core.evaluation.predictions import Predictions
from core.evaluation.test_set import TestSet, open_test_set, range_of
from core.machine import devices
from core.machine.hardware import cores
from core.machine.home import Home
from core.networks.model_entries import ModelEntry
from core.networks.models import build, find_model, logits_and_auxiliary
from core.records.evaluation import Guess, Prediction, Sample
from core.records.layers import head_options
from core.records.speed import applied
from core.reuse.counts import use_threads
from core.store import Run, RunStore
from core.store.checkpoint import Checkpoint, checkpoints, load_checkpoint
from core.training.steps import FORMATS, THREADS
from core.training.trainer import DTYPES

Progress = Callable[[str, float | None], None]

GUESSES = 5

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model with the weights of a checkpoint, in eval mode on its device. `config` says how it computes."""

    run: Run
    checkpoint: Checkpoint
    config: RunConfig
    entry: ModelEntry
    classes: tuple[str, ...]
    model: nn.Module
    normalise: Normalise
    device: torch.device
    value_range: ValueRange | None = None
    """The run's own, for pictures with more than 8 bits a channel."""

    @property
    def last_layer(self) -> str:
        """The path of the head's last Linear (or Conv2d) layer: its input is the embedding."""
        head = self.entry.family.head[0]
        inside = [(path, module) for path, module in self.model.get_submodule(head).named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        path = inside[-1][0]
        return f"{head}.{path}" if path else head

    def inputs(self, images: Tensor) -> Tensor:
        """What the model is given for images uint8 [N, 3, S, S]."""
        ready: Tensor = self.normalise(images.to(self.device))
        return ready

    def logits(self, images: Tensor) -> Tensor:
        """float32 [N, C] on the device, for images uint8 [N, 3, S, S]."""
        precision = self.config.precision
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=DTYPES[precision], enabled=precision != "float32"):
            return logits_and_auxiliary(self.model(self.inputs(images)))[0].float()

    @contextmanager
    def embeddings(self) -> Iterator[list[Tensor]]:
        """Within, each pass adds what went into the last layer: float32 [N, D], maps averaged over their places."""
        seen: list[Tensor] = []

        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].detach().float()
            seen.append(values.mean(dim=(2, 3)) if values.dim() == 4 else values.flatten(1))

        hook = self.model.get_submodule(self.last_layer).register_forward_pre_hook(note)
        try:
            yield seen
        finally:
            hook.remove()


def as_files(config: RunConfig) -> bool:
    """Whether the images of the dataset are files, so that a picture goes Pillow's way; else they come as arrays (`core.data.images`)."""
    if folder_of(config.dataset) is not None:
        return True  # be it there or not
    entry = find_dataset(config.dataset)
    return entry.pixels == 0 or entry.opener is sets.eurosat


def load(home: Home, run_id: str, epoch: int | None = None, checkpoint: Checkpoint | None = None) -> Loaded:
    """The model of a run with its weights after `epoch` (None: the newest), or of a `checkpoint` that was found already.

    Raises:
        ConfigError: there is no such run, it has no such weights, its settings cannot be used any more, or the weights do not fit.
    """
    run = predictions.find_run(home, run_id)
    checkpoint = checkpoint or predictions.find_checkpoint(home, run, epoch)
    config = _as_trained(home, run)
    with _settings_of(run):
        entry = find_model(config.model)
        classes = run.plan.classes if run.plan else catalog.class_names(config.dataset, home.data)
        with torch.random.fork_rng(devices=[]):
            model = build(config.model, len(classes), config.image_size, head_options(config))
    state = OrderedDict(load_checkpoint(checkpoint))
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]  # the versions of layers: they are this model's own
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:40])
        what = f"the weights of epoch {checkpoint.epoch} in {checkpoint.path} do not fit {config.model} with {len(classes):,} classes"
        raise ConfigError("epoch", f"{what} ({reason}); the file or the network was changed: choose another epoch, or train again") from None
    device = _device(run)
    use_threads(min(config.threads or THREADS, cores()))  # the run may be of a larger machine
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    model = model.to(device).to(memory_format=FORMATS[config.memory_format]).eval()
    normalise = Normalise(*entry.normalise, config.memory_format == "channels_last").to(device)
    return Loaded(run, checkpoint, config, entry, tuple(classes), model, normalise, device, range_of(home, run))


def evaluate(
    home: Home,
    run_id: str,
    epoch: int | None = None,
    progress: Progress = lambda text, share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Predictions:
    """The whole test set through the weights after `epoch` (None: the newest). Kept in the run's folder; what was kept is not computed again.

    Args:
        progress: told what is being done, and the share of it that is done (0 to 1) where that is known.
        cancelled: asked between two batches; True ends it.

    Raises:
        ConfigError: as `load`; the dataset cannot be read, or has other classes than the run.
        Cancelled: `cancelled` was.
    """
    run = predictions.find_run(home, run_id)
    checkpoint = predictions.find_checkpoint(home, run, epoch)
    began = time.perf_counter()

    def go_on(text: str, share: float | None) -> None:
        if cancelled():
            raise Cancelled
        progress(text, share)

    weights = predictions.fingerprint(checkpoint)
    found = predictions.kept(home, run_id, checkpoint)
    stamp: str | None = None
    try:
        stamp = own_pictures.stamp(home, run_id, run.config.dataset)
        if found is not None and stamp is not None and found.stamp == stamp:
            return found
        test = open_test_set(home, run, go_on)
    except ConfigError as error:
        if found is None:
            raise
        # What was measured while the pictures were there is true of them still.
        made = _with_notes(found, (f"Measured earlier: now, {error.message}",), stamp)
        if stamp is not None:
            predictions.keep(home, run_id, checkpoint, weights, made, checkpoints(home, run))
        return made
    if found is not None and found.test_set == test.key:
        made = _with_notes(found, test.notes, stamp)
    else:
        go_on("loading the model", None)
        loaded = load(home, run_id, checkpoint=checkpoint)
        _check_classes(loaded, test)
        logits, labels, points, embeddings = _through(loaded, test, go_on)
        notes = (*test.notes, *_notes(loaded, logits, labels))
        seconds = time.perf_counter() - began
        figures = metrics.evaluation(run_id, checkpoint.epoch, checkpoint.step, loaded.classes, logits, labels, seconds, notes)
        made = Predictions(logits, labels, points, embeddings, loaded.last_layer, test.key, figures, stamp, len(test.notes))
    predictions.keep(home, run_id, checkpoint, weights, made, checkpoints(home, run))
    looks.note(home, run_id, checkpoint)
    return made


def _with_notes(found: Predictions, notes: tuple[str, ...], stamp: str | None) -> Predictions:
    """The same figures with other notes on the test pictures, as these are now."""
    notes_after = (*notes, *found.evaluation.notes[found.about_pictures :])
    return replace(found, evaluation=replace(found.evaluation, notes=notes_after), stamp=stamp, about_pictures=len(notes))


def _through(
    loaded: Loaded, test: TestSet, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Logits [N, C], labels [N], which images' embeddings are kept [M], and these [M, D], of the whole test set."""
    count = len(test.images)
    labels: NDArray[np.int64] = test.images.labels[test.images.indices].numpy()
    points = embedding.choose_points(labels, predictions.POINTS)
    wanted = np.zeros(count, dtype=bool)
    wanted[points] = True
    logits: list[Tensor] = []
    kept: list[Tensor] = []
    done = 0
    with loaded.embeddings() as seen:
        for batch in test.loader.batches(0):
            progress(f"evaluating epoch {loaded.checkpoint.epoch}: {done:,} of {count:,} images", done / count)
            logits.append(loaded.logits(batch.images).cpu())
            chosen = torch.from_numpy(np.flatnonzero(wanted[done : done + len(batch)]))
            kept.append(seen.pop().cpu()[chosen])
            seen.clear()
            done += len(batch)
    progress("working out the figures", None)
    return torch.cat(logits).numpy(), labels, points, torch.cat(kept).numpy()


def sample(loaded: Callable[[], Loaded], test: TestSet, made: Predictions | None, indices: Sequence[int], size: int) -> tuple[Sample, ...]:
    """Images of the test set, at most `size` pixels a side, and what was made of them: read off `made`, or computed where that is None.

    Raises:
        ConfigError: on `index`, an image is not in the test set; on `size`, it is not from 8 to 1,024.
    """
    if not 8 <= size <= 1024:
        raise ConfigError("size", f"{size} is no size for a picture; use 8 to 1024 pixels")
    if not indices:
        return ()
    pixels = test.pixels(indices)
    if made is not None:
        logits = made.logits[list(indices)]
    else:
        logits = loaded().logits(pixels).cpu().numpy()
    predicted, shares = metrics.predictions(logits), metrics.probabilities(logits)
    labels = test.images.labels[test.images.indices[list(indices)]].tolist()
    return tuple(
        Sample(
            index, data_uri(image, min(size, image.shape[-1])), label, int(found) if found >= 0 else None, float(share.max()) if found >= 0 else None
        )
        for index, image, label, found, share in zip(indices, pixels.numpy(), labels, predicted, shares, strict=True)
    )


def picture(loaded: Loaded, path: Path) -> tuple[Tensor, tuple[str, ...]]:
    """A picture from outside as the model takes it, uint8 [1, 3, S, S], as the images of the test set are; and what had to be done to it.

    Raises:
        ConfigError: on `picture`, see `core.evaluation.pictures.open_picture`.
    """
    size, fit = loaded.config.image_size, loaded.config.fit
    opened = open_picture(path, size, as_files(loaded.config), fit, loaded.value_range)
    return resize(torch.from_numpy(opened.pixels)[None], size, fit), opened.notes


def predict(loaded: Loaded, images: Tensor, notes: Sequence[str] = ()) -> Prediction:
    """What the model makes of one image, uint8 [1, 3, S, S]."""
    logits = loaded.logits(images).cpu().numpy()
    shares = metrics.probabilities(logits)[0]
    notes = list(notes)
    guesses: tuple[Guess, ...] = ()
    if np.isfinite(shares).all():
        order = np.argsort(-logits[0], kind="stable")[:GUESSES]
        guesses = tuple(Guess(int(label), loaded.classes[label], float(shares[label])) for label in order)
        meaning = meaning_of(loaded.config, len(loaded.classes))
        notes += [] if meaning.judged else [meaning.text]
    else:
        notes.append("The model gives NaN or infinite numbers for this picture, so there is no prediction; choose weights of an earlier epoch.")
    return Prediction(data_uri(images[0].numpy()), guesses, loaded.checkpoint.epoch, loaded.checkpoint.step, tuple(notes))


def _as_trained(home: Home, run: Run) -> RunConfig:
    """The config with the way of computing that was chosen while the run trained, where it was to choose one."""
    if run.config.speed != "automatic":
        return run.config
    store = RunStore(home.database)
    try:
        tuning = store.tuning(run.id)
    finally:
        store.close()
    return applied(run.config, tuning.way) if tuning else run.config


def _device(run: Run) -> torch.device:
    """Where the run trained, if that is still there; else the processor."""
    try:
        return devices.resolve(run.plan.device if run.plan else run.config.device)
    except ConfigError:
        return torch.device("cpu")


@contextmanager
def _settings_of(run: Run) -> Iterator[None]:
    """Say of which run the settings are that cannot be used any more."""
    try:
        yield
    except ConfigError as error:
        remedy = "bring back what it names, or train again with other settings"
        raise ConfigError(error.field, f"run {run.id} was trained with settings that cannot be used any more: {error.message}; {remedy}") from None


def _check_classes(loaded: Loaded, test: TestSet) -> None:
    if test.classes != loaded.classes:
        gone = [name for name in loaded.classes if name not in test.classes]
        new = [name for name in test.classes if name not in loaded.classes]
        change = "; ".join(f"{what}: {', '.join(names[:3])}" for what, names in (("gone", gone), ("new", new)) if names) or "another order"
        remedy = "bring the dataset back to what it was, or train again"
        raise ConfigError("dataset", f"{loaded.config.dataset} has other classes now than when {loaded.run.id} was trained ({change}); {remedy}")


def _notes(loaded: Loaded, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> list[str]:
    """What a person has to know to read the figures."""
    notes = []
    bad = int((~np.isfinite(logits).all(axis=1)).sum())
    if bad:
        notes.append(f"{bad:,} of {len(labels):,} images give NaN or infinite outputs: they count as wrong, and are left out of loss and bins.")
    missing = [loaded.classes[label] for label in np.setdiff1d(np.arange(len(loaded.classes)), labels)]
    if missing:
        rest = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        notes.append(f"No test images of {', '.join(missing[:3])}{rest}: recall is not defined there, and its mean leaves it out.")
    notes += filter(None, [about_loss(loaded.config, len(loaded.classes))])
    if loaded.run.plan and str(loaded.device) != loaded.run.plan.device:
        notes.append(f"Evaluated on {loaded.device}: the run trained on {loaded.run.plan.device}, and rounding differs between devices.")
    return notes
