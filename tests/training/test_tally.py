"""What an epoch's loss and accuracy are made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.training.trainer import Tally

CPU = torch.device("cpu")


def batches(number: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Losses, logits and labels; the last batch is smaller."""
    made = torch.Generator().manual_seed(0)
    sizes = [32] * (number - 1) + [7]
    return [(torch.rand((), generator=made), torch.rand(size, 10, generator=made), torch.randint(10, (size,), generator=made)) for size in sizes]


@pytest.mark.parametrize("weight", [None, torch.linspace(0.5, 2, 10)])
def test_a_tally_is_that_of_batches_one_after_the_other(weight: Tensor | None) -> None:
    tally = Tally(CPU, weight)
    loss, right, counts = 0.0, 0, 0.0
    for each, logits, labels in batches(20):
        tally.add(each, logits, labels)
        count = float(len(labels) if weight is None else weight[labels].sum())
        loss += float(each * count)
        counts += count
        right += int((logits.argmax(1) == labels).sum())
    assert tally.sums() == (loss, right, counts)
    assert tally.score() == tally.score()
    assert (tally.score().loss, tally.score().accuracy) == (loss / counts, right / tally.samples)


@pytest.mark.parametrize("stop", [1, 7, 19])
def test_a_pass_that_is_interrupted_ends_with_the_same_bits(stop: int) -> None:
    whole, first, second = Tally(CPU, None), Tally(CPU, None), Tally(CPU, None)
    for number, batch in enumerate(batches(20)):
        whole.add(*batch)
        (first if number < stop else second).add(*batch)
        if number + 1 == stop:
            second.remember(first.sums(), first.samples)
    assert second.sums() == whole.sums()
    assert second.score() == whole.score()


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "MOST_VALUES", 1000)
    small = Tally(CPU, None)
    for batch in batches(20):
        small.add(*batch)
        assert small._values <= 1000
    monkeypatch.setattr(Tally, "MOST_VALUES", 10**9)
    large = Tally(CPU, None)
    for batch in batches(20):
        large.add(*batch)
    assert small.sums() == large.sums()
