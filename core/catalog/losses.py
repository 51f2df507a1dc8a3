"""Losses of `torch.nn` that make sense for classification, under torch's names and with torch's options.

Left out: BCELoss (BCEWithLogitsLoss is the same and stays finite), LinearCrossEntropyLoss and AdaptiveLogSoftmaxWithLoss (they
contain the head), and those for sequences, pairs, several labels an image, counts or variances. `reduction` is always a mean.

Class weights mean the same for all of them: the loss of a picture is multiplied by the weight of its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.config import RunConfig
from core.config.entry import Entry, Option, by_name, check_options, find, with_defaults

if TYPE_CHECKING:
    from torch import nn

_SMOOTHING = Option(
    "label_smoothing", "float", 0.0, 0, 1, open_high=True, about="share of each label spread over all classes, so that the model grows less certain"
)  # fmt: skip

LOSSES = by_name(
    (
        Entry(
            "CrossEntropyLoss", "Cross entropy",
            "How surprised the model is by the right class. The usual choice for classification.", (_SMOOTHING,),
        ),
        Entry("NLLLoss", "Negative log-likelihood", "Cross entropy in two steps, log_softmax and then this; the numbers are the same."),
        Entry(
            "MultiMarginLoss", "Multi-class hinge", "Asks that the right class beats every other by a margin, and is content once it does.",
            (
                Option("p", "int", 1, 1, 2, about="power of what is missing from the margin"),
                Option("margin", "float", 1.0, 0, 1000, open_low=True, about="by how much the right class should win"),
            ),
        ),
        Entry("BCEWithLogitsLoss", "Binary cross entropy", "Asks of each class on its own: is it this one? Averaged over all classes."),
        Entry("MultiLabelSoftMarginLoss", "Soft margin, several classes", "Binary cross entropy, averaged over classes and then over images."),
        Entry("SoftMarginLoss", "Soft margin", "Logistic loss with the right class at +1 and the others at -1."),
        Entry(
            "KLDivLoss", "Kullback-Leibler divergence",
            "How far the model's probabilities are from the smoothed labels. Without smoothing and class weights it is cross entropy.",
            (Option("label_smoothing", "float", 0.1, 0, 1, open_high=True, about=_SMOOTHING.about),),
        ),
        Entry("MSELoss", "Mean squared error", "Pulls the right class's output to 1 and all others to 0, by the square of the distance."),
        Entry("L1Loss", "Mean absolute error", "Pulls the right class's output to 1 and all others to 0, each as hard however far it is."),
        Entry(
            "SmoothL1Loss", "Smooth absolute error", "Squared error near the target, absolute error far from it.",
            (Option("beta", "float", 1.0, 0, 1000, open_low=True, about="distance at which the square ends"),),
        ),
        Entry(
            "HuberLoss", "Huber", "Smooth absolute error times delta, for a beta of delta: what is far off pulls less than in the squared error.",
            (Option("delta", "float", 1.0, 0, 1000, open_low=True, about="distance at which the square ends"),),
        ),
    )
)  # fmt: skip


def balanced(counts: Sequence[int]) -> tuple[float, ...]:
    """The weight of each class by which all classes count the same, whatever number of pictures they have: N / (classes * N_c).

    This is scikit-learn's `class_weight="balanced"` (King and Zeng, Logistic Regression in Rare Events Data, 2001). Over the pictures
    the weights are 1 on average, so a learning rate that suited the run suits it still. Without pictures a class counts 1, like one of
    average size, and is not among the classes of the formula: no picture that is trained on has it, one that measures may.

    Args:
        counts: pictures of each class.
    """
    there = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (there * count) if count else 1.0 for count in counts)


def class_weights(config: RunConfig, counts: Sequence[int]) -> tuple[float, ...]:
    """What `config.class_weights` asks for, for so many training pictures of each class: for `build`. Nothing where all count the same."""
    return balanced(counts) if config.class_weights == "balanced" else ()


def build(config: RunConfig, class_weights: Sequence[float] = ()) -> nn.Module:
    """The loss: called with (logits [N, C], labels int64 [N]), it returns a scalar, the mean over the batch.

    Args:
        config: loss and loss_options are used.
        class_weights: how much a picture of each class counts; none: all the same. CrossEntropyLoss and NLLLoss divide by the sum of the
            weights in the batch, as they do in torch, the others by the number of pictures. With label_smoothing, CrossEntropyLoss weighs
            what is spread over the other classes by their weights.

    Raises:
        ConfigError: there is no such loss, or it has no such option.
    """
    import torch
    from torch import nn

    from core.catalog import own_losses

    entry = find(LOSSES, "loss", config.loss)
    options = with_defaults(entry, check_options(entry, "loss_options", config.loss_options))
    weight = torch.tensor(class_weights, dtype=torch.float32) if class_weights else None
    match entry.name:
        case "CrossEntropyLoss" | "MultiMarginLoss":
            whole: nn.Module = getattr(nn, entry.name)(weight=weight, **options)
            return whole
        case "NLLLoss":
            return own_losses.LogProbabilities(nn.NLLLoss(weight=weight))
        case "KLDivLoss":
            made: nn.Module = own_losses.SmoothedDivergence(**options, reduction="batchmean" if weight is None else "none")  # type: ignore[arg-type]
        case _:
            alone = getattr(nn, entry.name)(**options, reduction="mean" if weight is None else "none")
            made = own_losses.OneHot(alone, off=-1.0 if entry.name == "SoftMarginLoss" else 0.0)
    return made if weight is None else own_losses.WeightedPictures(made, weight, "sum" if entry.name == "KLDivLoss" else "mean")
