# ruff: noqa: RUF001  formulas are written in the letters in which papers have them
"""How a loss comes about, line by line, with its real numbers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.catalog.own_losses import dividing_weight
from core.explaining.specimen import Specimen
from core.explaining.update_rules import braced, number
from core.networks.models import logits_and_auxiliary

SHOWN = 3
"""Samples, or differences, that get a line of their own."""


def loss_lines(specimen: Specimen, output: Any, loss: Tensor, logits: Tensor) -> tuple[str, ...]:
    """The lines for the loss of what the model returned for the specimen's batch."""
    with torch.no_grad():
        lines = _sum_of_differences(specimen, logits, loss) if specimen.criterion is None else _by_sample(specimen, output, loss)
    return tuple(lines)


def _sum_of_differences(specimen: Specimen, logits: Tensor, loss: Tensor) -> list[str]:
    predicted, wanted = logits[0].tolist(), specimen.labels[0].tolist()
    lines = ["loss = (prediction - labels).sum()"]
    for place in range(min(SHOWN, len(predicted))):
        difference = predicted[place] - wanted[place]
        lines.append(f"prediction[0, {place}] - labels[0, {place}] = {_short(predicted[place])} - {_short(wanted[place])} = {_short(difference)}")
    lines.append(f"... {len(predicted):,} differences in all")
    sums = _short(float(logits.sum())), _short(float(specimen.labels.sum()))
    lines.append(f"their sum: {sums[0]} - {sums[1]} = {_short(float(loss))}")
    return lines


def _by_sample(specimen: Specimen, output: Any, loss: Tensor) -> list[str]:
    """Each sample's own loss, and their mean: every loss of the catalogue is the mean over the batch, weighted by class where that is set."""
    config, criterion = specimen.example.config, specimen.criterion
    assert config is not None
    assert criterion is not None
    logits, auxiliary = logits_and_auxiliary(output)
    plain = config.loss in ("CrossEntropyLoss", "NLLLoss") and not config.loss_options.get("label_smoothing")
    probabilities = F.softmax(logits.float(), dim=1)
    counted = ", each counted by the weight of its class" if config.class_weights == "balanced" else ""
    lines = [f"loss = mean of {config.loss} over {len(logits)} {'picture' if len(logits) == 1 else 'pictures'}{counted}"]
    of_class = dividing_weight(criterion)
    weights = [] if of_class is None else of_class[specimen.labels].tolist()
    each = [float(criterion(logits[place : place + 1], specimen.labels[place : place + 1])) for place in range(len(logits))]
    for place, label in enumerate(specimen.labels.tolist()[:SHOWN]):
        start = f"picture {place + 1} ({specimen.classes[label]}{f', weight {_short(weights[place])}' if weights else ''})"
        if plain:
            chance = float(probabilities[place, label])
            lines.append(f"{start}: softmax gives its class {_short(chance)}, and -ln({_short(chance)}) = {_short(each[place])}")
        else:
            lines.append(f"{start}: {_short(each[place])} for the logit {_short(float(logits[place, label]))} of its class")
    if len(each) > SHOWN:
        lines.append(f"... {len(each):,} pictures in all")
    rest = " + ..." if len(each) > SHOWN else ""
    main = float(criterion(logits, specimen.labels))
    if weights:
        shown = " + ".join(f"{_short(counts)} × {_braced(value)}" for counts, value in zip(weights[:SHOWN], each, strict=False)) + rest
        divided_by = "(" + " + ".join(_short(counts) for counts in weights[:SHOWN]) + rest + ")"
    else:
        shown, divided_by = " + ".join(_braced(value) for value in each[:SHOWN]) + rest, str(len(each))
    lines.append(f"mean: ({shown}) / {divided_by} = {_short(main)}")
    for number_, (weight, further) in enumerate(auxiliary, start=1):
        lines.append(f"auxiliary classifier {number_}: + {weight:g} × {_short(float(criterion(further, specimen.labels)))}")
    if auxiliary:
        lines.append(f"together: {_short(float(loss))}")
    return lines


def _short(value: float) -> str:
    return number(float(f"{value:.6g}"))


def _braced(value: float) -> str:
    return braced(float(f"{value:.6g}"))
