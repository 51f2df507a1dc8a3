"""What random changes make of a picture, and one batch as the model is given it, as data and in sentences. No torch."""

from __future__ import annotations

from dataclasses import dataclass

VARIANTS = 8
"""Pictures that are drawn of one."""


@dataclass(frozen=True)
class Variants:
    """One training picture, number `number` of `of`, before random changes and after them: `VARIANTS` draws (PNG data URIs).

    `side` is that of the square that parts are cut out of, in pixels; `image_size` that of what the model gets. `label`: its class.
    """

    before: str
    after: tuple[str, ...]
    label: str
    number: int
    of: int
    side: int
    image_size: int


@dataclass(frozen=True)
class Side:
    """A tensor: its shape, numbers and size. `channel_mean` and `channel_std` have a figure a channel."""

    shape: tuple[int, ...]
    dtype: str
    device: str
    low: float
    high: float
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    megabytes: float


@dataclass(frozen=True)
class BatchSeen:
    """The first batch of a run: `loaded` as the loader gives it, `given` as the model gets it, normalised.

    Of its first pictures: `pictures` denormalised again, `normalised` with the lowest number of the batch as black and the highest as white (PNG
    data URIs), and their class names `labels`. `back` is the largest difference between what was loaded and what is denormalised, of 255 levels.
    """

    loaded: Side
    given: Side
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pictures: tuple[str, ...]
    normalised: tuple[str, ...]
    labels: tuple[str, ...]
    label_numbers: tuple[int, ...]
    back: float


def about_reuse(changes: bool, two: bool, fixed_views: int | None) -> str:
    """What random changes mean for what frozen layers computed.

    Args:
        changes: whether there are any; two: whether they make two pictures of each at most.
        fixed_views: as in the config.
    """
    if not changes:
        return "Every epoch shows the same pictures: what frozen layers compute is kept after the first, all of it."
    if fixed_views is not None:
        return f"Of each picture {fixed_views:,} random ones come in turn: what frozen layers compute for them is kept, from the second turn on."
    if two:
        return "A picture can become only two: what frozen layers compute for both is kept."
    return (
        "Every picture is a new one each time: nothing that frozen layers compute can be kept, so each epoch goes through all of them. "
        "Fixed views (at Speed) bring that back."
    )


def about_detail(seen: Variants) -> str:
    """What random crops are cut out of."""
    if seen.side <= seen.image_size:
        return f"Parts are cut out of a picture of {seen.side:,} px a side, and made {seen.image_size:,} px."
    return f"Parts are cut out of a picture that is kept at {seen.side:,} px a side, and made {seen.image_size:,} px: they have detail of their own."


def about_back(seen: BatchSeen) -> str:
    """What denormalising does."""
    there = f"the pictures are there again, to within {seen.back:.1g} of 255 levels"
    return f"Times the spread, plus the mean, times 255: {there}. Nothing is lost by normalising."
