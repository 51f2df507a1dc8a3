"""What is said of a loss's nodes, where it depends on the run's settings: class weights, label smoothing, and what becomes a mean where.

Symbols beside those of `core.explaining.nodes`: N pictures, C classes, w class weights, W = the sum of w[label] over the batch's pictures,
ε the label smoothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.catalog import LOSSES, find_model
from core.config import RunConfig
from core.config.entry import with_defaults
from core.explaining.node_words import NodeWords
from core.explaining.nodes import plain, words_of

_SHARES = "The logarithm of each class's share, in one operation so that it stays exact. Together with the loss behind it its gradient is "

_VALUE_BY_VALUE: Mapping[str, tuple[str, str]] = {
    "MseLoss": ("y = (x - target)²", "dL/dx = ḡ · 2 · (x - target)"),
    "SmoothL1Loss": ("y = d²/(2β) where |d| < β, else |d| - β/2, d = x - target", "dL/dx = ḡ · d/β where |d| < β, else ḡ · sign(d)"),
    "HuberLoss": ("y = d²/2 where |d| < δ, else δ·(|d| - δ/2), d = x - target", "dL/dx = ḡ · d where |d| < δ, else ḡ · δ · sign(d)"),
    "SoftMarginLoss": ("y = ln(1 + e^(-t·x))", "dL/dx = -ḡ · t / (1 + e^(t·x))"),
    "BinaryCrossEntropyWithLogits": ("y = -(t·ln s + (1 - t)·ln(1 - s)), s = sigmoid(x)", "dL/dx = ḡ · (s - t)"),
}
"""Losses as they are where each picture counts by the weight of its class: their mean is taken afterwards."""

_ABOUT_WEIGHTED = " Each value has its own here: class weights and the mean come afterwards, as operations of their own."


def words_in(kind: str, config: RunConfig | None) -> NodeWords:
    """The words for a kind of node in a run of `config`; without one those of `core.explaining.nodes`."""
    words = words_of(kind)
    if config is None:
        return words
    weighted = config.class_weights == "balanced"
    name = plain(kind)
    match name:
        case "LogSoftmax":
            return replace(words, about=_SHARES + _of_the_shares(config, weighted))
        case "NllLoss":
            return _likelihood(words, weighted, smoothing(config) > 0)
        case "MultiMarginLoss" if weighted:
            return replace(words, formula=("L = mean of w[label] · Σ over other classes of max(0, margin - xₗ + x_c)ᵖ / C",))
        case _ if weighted and name in _VALUE_BY_VALUE:
            formula, derivative = _VALUE_BY_VALUE[name]
            about = words.about.replace("The mean of the squared distances.", "The squared distances.") + _ABOUT_WEIGHTED
            return replace(words, about=about, formula=(formula,), derivative=(derivative,))
        case _:
            return words


def smoothing(config: RunConfig) -> float:
    """The share of each label that is spread over all classes; 0 for a loss without it."""
    return float(with_defaults(LOSSES[config.loss], config.loss_options).get("label_smoothing") or 0.0)  # type: ignore[arg-type]


def _likelihood(words: NodeWords, weighted: bool, smoothed: bool) -> NodeWords:
    part = " With label smoothing it is 1 - ε of the loss, and the gradient that arrives is 1 - ε." if smoothed else ""
    if not weighted:
        return replace(words, about=words.about + part)
    return replace(
        words,
        about="Picks the right class's log-probability of each picture and averages them with the other sign, each counted by the weight w of its "
        "class. No other value is looked at, so no other gets a gradient." + part,
        formula=("L = -(1/W) · Σₙ w[labelₙ] · x[n, labelₙ], W = Σₙ w[labelₙ]",),
        derivative=("dL/dx[n, c] = -ḡ · w[labelₙ] / W for the right class, 0 for all others",),
    )


def _of_the_shares(config: RunConfig, weighted: bool) -> str:
    """The gradient at the logits, in words: what is shown beside is this, number for number."""
    smoothed = smoothing(config) > 0
    divides = config.loss in ("CrossEntropyLoss", "NLLLoss")
    if weighted and smoothed and divides:
        said = (
            "(share · ((1 - ε) · w[label] + ε/C · Σ w) - (1 - ε) · w[label] - ε/C · w[class]) / W, without the middle part for all classes but the "
            "right one. ε is the label smoothing, w are the class weights, W is the sum of w[label] over the pictures."
        )
    elif smoothed:
        said = "(share - target), target 1 - ε + ε/C for the right class and ε/C for the others (label smoothing ε), over the number of pictures"
        said += ", times the weight of the picture's class." if weighted else "."
    elif weighted:
        over = "over the sum of these weights" if divides else "over the number of pictures"
        said = f"(share - 1) for the right class and (share) for the others, times the weight of the picture's class, {over}."
    else:
        said = "(share - 1) for the right class and (share) for the others, over the number of pictures."
    if find_model(config.model).family.auxiliary:
        said += " That of an auxiliary classifier counts as often as its loss does in the sum."
    return said
