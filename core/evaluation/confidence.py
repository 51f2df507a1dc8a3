"""What the confidence of a run's model is, by the loss that it was trained with: softmax makes shares of any outputs. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.config import RunConfig

Aim = Literal["softmax", "each class", "targets", "margin"]

AIMS: Mapping[str, Aim] = {
    "CrossEntropyLoss": "softmax",
    "NLLLoss": "softmax",
    "KLDivLoss": "softmax",
    "BCEWithLogitsLoss": "each class",
    "MultiLabelSoftMarginLoss": "each class",
    "SoftMarginLoss": "each class",
    "MSELoss": "targets",
    "L1Loss": "targets",
    "SmoothL1Loss": "targets",
    "HuberLoss": "targets",
    "MultiMarginLoss": "margin",
}
"""Each loss of `core.catalog.losses` to what it pulls outputs to: logits of which softmax makes the probabilities of the classes, or sigmoid that of
each class on its own; 1 for the right class and 0 for the others; or an output of the right class that is a margin above the others."""

_WHY: Mapping[Aim, str] = {
    "each class": "trains a probability for each class on its own, the sigmoid of its output: the softmax shown as confidence is another figure",
    "targets": "pulls outputs to 1 and 0: they are no logits, and the confidence that softmax makes of them is an artefact",
    "margin": "asks for a margin between outputs, and for no probability: the confidence that softmax makes of them is an artefact",
}


@dataclass(frozen=True)
class Meaning:
    """What a confidence is worth. `judged`: the loss aims at it, so whether it is right can be asked. `text`: what to know of it; may be empty."""

    judged: bool
    text: str = ""


def meaning_of(config: RunConfig, classes: int) -> Meaning:
    """What the softmax of a run's outputs is, for a run of so many classes."""
    aim = AIMS.get(config.loss, "margin")
    if aim != "softmax":
        return Meaning(False, f"This run trained with {config.loss}, which {_WHY[aim]}. Which class comes first is not touched by this.")
    notes = []
    smoothing = _smoothing(config)
    if smoothing:
        most = 100 * smoothed_most(smoothing, classes)
        notes.append(
            f"The run trained with label smoothing {smoothing:g}, whose loss is smallest at a confidence of {most:.1f}\u00a0% where the class is "
            "certain: less sure than right is what was asked for."
        )
    if config.class_weights == "balanced":
        notes.append("The run trained with balanced class weights: its confidence is that for pictures of which all classes are as common.")
    return Meaning(True, " ".join(notes))


def smoothed_most(smoothing: float, classes: int) -> float:
    """The probability (0 to 1) of the right class at which cross-entropy with this label smoothing is smallest, where labels leave no doubt."""
    return 1 - smoothing + smoothing / classes


def perfect_loss(config: RunConfig, classes: int) -> float | None:
    """The cross-entropy in nats of outputs that are just what a loss that pulls to 1 and 0 asks for; None for other losses."""
    return math.log(1 + (classes - 1) / math.e) if AIMS.get(config.loss) == "targets" else None


def about_loss(config: RunConfig, classes: int) -> str:
    """What the cross-entropy that an evaluation gives is for a run that trained with something else; empty where it trained with just that."""
    balanced = ["balanced class weights"] if config.class_weights == "balanced" else []
    if config.loss == "CrossEntropyLoss" and not config.loss_options and not balanced:
        return ""
    options = ", ".join([*(f"{name} {value}" for name, value in config.loss_options.items()), *balanced])
    trained = f"The loss here is plain cross-entropy; this run trained with {config.loss}{f' ({options})' if options else ''}"
    if AIMS.get(config.loss) == "softmax":
        return f"{trained}. So runs can be compared."
    perfect = perfect_loss(config, classes)
    if perfect is not None:
        rest = f"which asks for outputs of 1 and 0: those have {perfect:.2f} here. So it cannot be compared with that of other losses."
    else:
        rest = "whose outputs are not what this loss asks for, so it cannot be compared with that of other losses."
    return f"{trained}, {rest}"


def _smoothing(config: RunConfig) -> float:
    usual = 0.1 if config.loss == "KLDivLoss" else 0.0
    value = config.loss_options.get("label_smoothing", usual) if config.loss in ("CrossEntropyLoss", "KLDivLoss") else 0.0
    return float(value) if isinstance(value, int | float) else 0.0
