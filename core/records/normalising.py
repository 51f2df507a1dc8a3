"""What normalising does to a picture and to what a model makes of it, as data, and in a sentence. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """The same pictures normalised with one mean and spread (`mean`, `std`: a figure a channel, on the scale of 0 to 1).

    `channel_mean` and `channel_std` are those of the first picture's tensor, a figure a channel: what the model is given. `distance` is how far
    the features of a picture lie from those under the right figures, in their own length (0: the same), `cosine` of the angle between the two
    (1: the same direction): the median of all pictures. `answers` are the likeliest classes of the first picture, with their probabilities;
    `other` says how many pictures get another likeliest class. Both are None where the head has learned nothing yet.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    distance: float
    cosine: float
    answers: tuple[tuple[str, float], ...] | None = None
    other: int | None = None


@dataclass(frozen=True)
class Seen:
    """The first of `pictures` pictures (`picture`: a PNG in a data URI; `label`: its class) as a model gets it: `views`, the right one first.

    `weights` says what they are. `learned`: they were trained on normalised pictures, so that there is a right and a wrong.
    """

    picture: str
    label: str
    pictures: int
    weights: str
    learned: bool
    views: tuple[View, ...]


WHY = (
    "Weights fit the numbers that they were trained on. From each channel a mean was taken off then, and the rest divided by a spread: the "
    "same has to be done now. Other figures shift and stretch every number that the first layer gets."
)


def verdict(seen: Seen) -> str:
    """What leaving it out does, with its numbers."""
    left_out = seen.views[1]
    many = f"{seen.pictures:,} pictures" if seen.pictures > 1 else "one picture"
    moved = f"Left out (0 to 1), the features move by {left_out.distance:.2g} of their own length (median of {many})"
    if not seen.learned:
        return f"{moved}. These weights are random: no figures are wrong for them yet, and those that they are trained with will be right."
    if left_out.other is None:
        return f"{moved}. The head is new, so there are no answers to compare yet."
    return f"{moved}, and {left_out.other:,} of {seen.pictures:,} get another likeliest class."
