"""A real test of what a run has learned, as data: what the Evaluate screen shows and `python -m core evaluate` prints. No torch.

`core.evaluation.evaluate` makes these from a run's checkpoints, in the lab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Interval:
    """A measure with its 95 % confidence interval. `value` None: it is not defined (no samples of that class, say), low and high are None too.

    About 19 of 20 such intervals hold the true figure, that of all pictures of this kind with these weights: chance in the choice of the test
    pictures is all that they cover. A second measurement, on other pictures, falls into the interval of the first only about 8 times of 10, since
    chance moves both. (Both are tried in `tests/evaluation/test_coverage.py`.)
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassScore:
    """One class of the test set: its images, and precision, recall and F1 as scikit-learn counts them."""

    name: str
    samples: int
    predicted: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True)
class Bin:
    """Predictions whose confidence lies in (low, high]: how confident they are on average, and how often they are right."""

    low: float
    high: float
    samples: int
    confidence: float | None
    accuracy: Interval


@dataclass(frozen=True)
class Sureness:
    """How confident predictions are on average, and which share of them is right, 0 to 1.

    `p_value`: how often a model whose confidence is what it says would be right so rarely, or so often, by chance alone (two-sided, exact).
    """

    confidence: float
    right: float
    p_value: float


@dataclass(frozen=True)
class Evaluation:
    """The whole test set through the weights of one checkpoint.

    `confusion[label][predicted]` counts images. Macro means are over the classes for which the measure is defined. `calibration_error` has what
    chance adds taken off (it is 0 where chance explains all of it), `plain_calibration_error` has not. `top5` is None with five classes or fewer.
    `not_finite`: images whose logits had NaN or infinite values, which count as wrong and as predicted "nothing" (they are in no column of
    `confusion`). `notes`: sentences for the person.
    """

    run_id: str
    epoch: int
    step: int
    classes: tuple[str, ...]
    samples: int
    loss: float | None
    accuracy: Interval
    top5: Interval | None
    macro_precision: float | None
    macro_recall: float | None
    macro_f1: Interval
    per_class: tuple[ClassScore, ...]
    calibration_error: Interval
    bins: tuple[Bin, ...]
    confusion: tuple[tuple[int, ...], ...]
    not_finite: int
    seconds: float
    notes: tuple[str, ...] = ()
    plain_calibration_error: float | None = None
    sureness: Sureness | None = None


@dataclass(frozen=True)
class Work:
    """Where something that takes seconds is: `share` from 0 to 1, None where that is not known; `message` says what goes on or went wrong."""

    state: Literal["working", "done", "failed"]
    share: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Sample:
    """An image of the test set, and what was made of it. `picture` is a PNG data URI; `confidence` None: the logits were not finite."""

    index: int
    picture: str
    label: int
    predicted: int | None
    confidence: float | None


@dataclass(frozen=True)
class Guess:
    """A class and its probability."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a checkpoint makes of one picture: the five likeliest classes, likeliest first; `picture` is what the model saw, as a PNG data URI."""

    picture: str
    guesses: tuple[Guess, ...]
    epoch: int
    step: int
    notes: tuple[str, ...] = ()
    """What had to be done to the picture: it was greyscale, had alpha, was scaled down from 50 megapixels ..."""


@dataclass(frozen=True)
class CamView:
    """Grad-CAM of one picture (Selvaraju et al. 2017): where, in the output of `layer`, evidence for class `target` lies.

    `overlay` is the heat over the picture as a PNG data URI, `heat` the map itself, rows of values from 0 to 1; `probability` of the target.
    """

    layer: str
    target: int
    target_name: str
    probability: float
    picture: str
    overlay: str
    heat: tuple[tuple[float, ...], ...]
    epoch: int
    note: str = ""


@dataclass(frozen=True)
class Point:
    """An image of the test set on the map: `index` in the test set, its label, and where it lies before and after training."""

    index: int
    label: int
    before: tuple[float, float]
    after: tuple[float, float]


@dataclass(frozen=True)
class Surroundings:
    """Who is near whom on a map, and for the layer that it shows; shares from 0 to 1, means over the points.

    Args:
        nearest: how many other points count as near to one, 10 where there are as many.
        kept: share of a point's nearest for the layer that are among its nearest on the map.
        by_chance: that share on a map whose points are dealt out at random.
        own: share of a point's nearest for the layer that are of its class.
        strangers: points on the map whose nearest there are most often of one other class.
        taken: strangers that the model takes for that class.
        right: strangers that the model takes for what they are.
    """

    nearest: int
    kept: float
    by_chance: float
    own: float
    strangers: int
    taken: int
    right: int


@dataclass(frozen=True)
class EmbeddingMap:
    """What the last layer is given for the test set, projected to two dimensions.

    `explained`: share of the variance, before and after (NaN where the method has none). `still`: what the layer gets is equal bit for bit, before
    and after, for every picture. `surroundings`: how well the map before and the one after tell who is near whom.
    """

    method: str
    layer: str
    points: tuple[Point, ...]
    explained: tuple[float, float]
    before_epoch: int
    after_epoch: int
    note: str = ""
    dimensions: int = 0
    still: bool = False
    surroundings: tuple[Surroundings, Surroundings] | None = None


@dataclass(frozen=True)
class Difference:
    """Two runs on the same test set: indices of the images that only the first, only the second, both or neither get right.

    `p_value` of McNemar's exact test: how often a split at least as uneven comes by chance where both are equally good. (Not how likely it is that
    they are.)
    """

    only_first: tuple[int, ...]
    only_second: tuple[int, ...]
    both: int
    neither: int
    p_value: float
