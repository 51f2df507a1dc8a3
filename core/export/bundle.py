"""A folder or zip that is all that another machine needs: weights, `predict.py`, settings, class names, a model card."""

from __future__ import annotations

import html
import json
import zipfile
from pathlib import Path

import torch

from core.data.manifest import read_recipe
from core.evaluation import predictions
from core.evaluation.confidence import meaning_of
from core.evaluation.evaluate import Loaded
from core.export.formats import Cancelled, Progress
from core.export.predict_code import NEEDS, predict_code
from core.export.runner import versions
from core.export.subject import Subject
from core.export.weights import checkpoint_of, facts, loaded_of, made_of, state_of, told_of
from core.records.evaluation import Evaluation, Interval

WEIGHTS, SCRIPT, CONFIG, CLASSES, CARD = "weights.pth", "predict.py", "config.json", "classes.json", "README.md"


def write(subject: Subject, target: Path, progress: Progress, cancelled: Cancelled) -> tuple[str, ...]:
    """See `core.export.formats.Writer`."""
    progress("putting the bundle together", None)
    loaded = loaded_of(subject)
    zipped = target.suffix == ".zip"
    folder = target.with_name(".bundle") if zipped else target
    folder.mkdir()
    torch.save(state_of(subject), folder / WEIGHTS)
    for name, text in (
        (SCRIPT, predict_code(made_of(subject), "torch", WEIGHTS)),
        (CONFIG, json.dumps(settings(subject, loaded), indent=1, ensure_ascii=False) + "\n"),
        (CLASSES, json.dumps(list(loaded.classes), indent=1, ensure_ascii=False) + "\n"),
        (CARD, card(subject, loaded)),
    ):
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    if zipped:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, file.name)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    return told_of(loaded)


def settings(subject: Subject, loaded: Loaded) -> dict[str, object]:
    """What `config.json` has: the run's settings, how a picture becomes what the model takes, and with what it was made."""
    recipe = read_recipe(subject.folder)
    mean, std = loaded.entry.normalise
    return {
        "run": subject.run.id,
        "epoch": checkpoint_of(subject).epoch,
        "step": checkpoint_of(subject).step,
        "preprocessing": {
            "image_size": loaded.config.image_size,
            "fit": loaded.config.fit,
            "mean": mean,
            "std": std,
            "value_range": recipe.value_range if recipe else None,
        },
        "config": subject.run.config.model_dump(mode="json"),
        "versions": versions(),
    }


def card(subject: Subject, loaded: Loaded) -> str:
    """The model card, Markdown: what it is, what it was trained on, how good it is, how a picture has to come, and how to use it."""
    run, config, plan = subject.run, loaded.config, subject.run.plan
    assert plan is not None
    checkpoint = checkpoint_of(subject)
    labels = "\n".join(f"{label}. {shown(name)}" for label, name in enumerate(loaded.classes))
    meaning = meaning_of(config, len(loaded.classes)).text
    known = facts(subject, loaded)
    return f"""# {shown(config.model)}, trained on {shown(config.dataset)}

Run {run.id}, the weights after epoch {checkpoint.epoch} (step {checkpoint.step:,}). Made by Thaw; nothing of it is needed to use this.

## Use

    python {SCRIPT} PICTURE...

It needs {NEEDS["torch"]} ({", ".join(f"{name} {number}" for name, number in versions(("torch", "torchvision", "pillow", "numpy")).items())} were
used). `{WEIGHTS}` is a `state_dict`; `load` in `{SCRIPT}` says which model takes it.

## What the model takes

RGB pictures of {config.image_size} x {config.image_size} pixels, fitted by "{config.fit}", divided by 255, less {known["mean"]}, divided by
{known["std"]}. `{SCRIPT}` does all of this. The model is in eval mode: BatchNorm uses what it has learned, dropout rests.

## How good it is

{measured(subject)}

{" ".join(filter(None, ("It says nothing of pictures of another kind than those it was tested on.", meaning)))}

## What it was trained on

{plan.train_samples:,} training, {plan.validation_samples:,} validation and {plan.test_samples:,} test pictures of {shown(config.dataset)}.
Starting weights: {shown(config.starting_weights)}. Freeze plan: {shown(str(config.freeze))}. All settings stand in `{CONFIG}`.

## Classes

Counted from 0, as the model does:

{labels}
"""


def measured(subject: Subject) -> str:
    """Accuracy and macro F1 on the test set with their intervals where these weights were evaluated, else what the run itself came to know."""
    kept = predictions.kept(subject.home, subject.run.id, checkpoint_of(subject))
    if kept is not None:
        made: Evaluation = kept.evaluation
        return (
            f"On {made.samples:,} test pictures: accuracy {_share(made.accuracy)}, macro F1 {_share(made.macro_f1)} (95 % intervals: about 19 of 20 "
            "such intervals hold the true figure, that of all pictures of this kind)."
        )
    result = subject.run.result
    if result is not None and result.test_accuracy is not None and checkpoint_of(subject).final:
        return f"Test accuracy {100 * result.test_accuracy:.1f} %, without an interval: these weights were not evaluated."
    return "Not measured: these weights were not put through the test set."


def shown(text: str) -> str:
    """A name as Markdown shows it and nothing else: no line breaks, no HTML, no marks."""
    plain = html.escape(" ".join(text.split()) or repr(text), quote=False)
    return "".join(f"\\{letter}" if letter in "\\`*_[]#|" else letter for letter in plain)


def _share(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "not defined"
    return f"{100 * interval.value:.1f} % [{100 * interval.low:.1f} %, {100 * interval.high:.1f} %]"
