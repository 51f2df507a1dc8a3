"""What a `Dataset` and a `DataLoader` give of a person's own pictures, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loading:
    """The first batch of two epochs, and one sample of it.

    Args:
        length: `len(dataset)`.
        index: of the sample that is shown; `label` its class as a number, `picture` it as a PNG in a data URI.
        sample_shape, sample_dtype: of its image; `lowest` and `highest` of its values.
        batch_shape, batch_labels: of the first batch of epoch 1; `batch_bytes` of its images as uint8, `float_bytes` as float32.
        batches: in an epoch; `last` samples in the last one.
        orders: for epochs 1 and 2, and for epoch 1 with the next seed, the indices of the first batch.
    """

    length: int
    index: int
    label: int
    picture: str
    sample_shape: tuple[int, ...]
    sample_dtype: str
    lowest: int
    highest: int
    batch_shape: tuple[int, ...]
    batch_labels: tuple[int, ...]
    batch_bytes: int
    float_bytes: int
    batches: int
    last: int
    orders: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
