"""The head that is one linear layer: its gradients in nine operations are those of autograd, or are not used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.machine.home import Home
from core.reuse import linear_head
from core.reuse.linear_head import LinearHead
from tests.reuse.partition_cases import Outcome, small_partition, trainer


def quick_steps(outcome: Outcome) -> int:
    """Steps that were taken in nine operations."""
    return outcome.trainer.head.steps


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "fields",
    [{}, {"head_dropout": 0.5}, {"class_weights": "balanced", "fault": "imbalanced classes"}, {"clip_norm": 0.1, "watch_every": 2}],
    ids=str,
)
def test_run_with_a_linear_head_is_the_same_to_the_bit_as_by_autograd(
    fields: dict[str, Any], threads: int, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Outcome(home, **fields, threads=threads)
    assert quick_steps(quick) > quick.trainer.step / 2
    assert quick.trainer.head.checked < quick_steps(quick)
    monkeypatch.setattr(LinearHead, "gradients", lambda self, batch, stages: None)
    assert Outcome(home, **fields, threads=threads).equals(quick)
    assert Outcome(home, **fields, threads=threads, feature_cache="off").equals(quick)


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "MultiMarginLoss"},
        {"loss_options": {"label_smoothing": 0.1}},
        {"precision": "bfloat16"},
        {"accumulate": 2, "batch_size": 100, "few": 400},
        {"freeze": "last stage"},
        {"head_hidden": 8, "freeze": "*, !head"},
        {"fault": "no zero_grad"},
        {"feature_cache": "off"},
    ],
    ids=str,
)
def test_whatever_else_a_run_trains_goes_through_autograd(fields: dict[str, Any], home: Home) -> None:
    made = Outcome(home, **{"epochs": 1, "few": 450, **fields})
    assert quick_steps(made) <= (1 if fields.get("fault") else 0)  # the first step finds no gradients yet


def test_bits_that_are_not_those_of_autograd_are_not_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Outcome(home)
    before = LinearHead._quick

    def slightly_off(self: LinearHead, *given: Any) -> Any:
        loss, logits, (weight, *bias) = before(self, *given)
        weight[0, 0] = torch.nextafter(weight[0, 0], weight[0, 0] + 1)
        return loss, logits, (weight, *bias)

    monkeypatch.setattr(LinearHead, "_quick", slightly_off)
    made = Outcome(home)
    assert quick_steps(made) == 0
    assert made.equals(expected)


def test_bits_that_become_others_are_noticed_and_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_head, "EVERY", 1)  # every batch is computed both ways
    expected = Outcome(home)
    assert expected.trainer.head.checked == quick_steps(expected) > 3
    before, calls = LinearHead._quick, 0

    def off_later(self: LinearHead, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        loss, logits, gradients = before(self, *given)
        return loss + (calls > 4), logits, gradients

    monkeypatch.setattr(LinearHead, "_quick", off_later)
    made = Outcome(home)
    assert made.trainer.head.given_up
    assert made.equals(expected)


def test_number_of_threads_is_as_it_was_after_a_step(home: Home) -> None:
    before = torch.get_num_threads()
    try:
        made = trainer(home, threads=2, epochs=1)
        seen = {torch.get_num_threads() for _ in made.run()}
        assert seen == {2}
        assert made.head.steps > 0
    finally:
        torch.set_num_threads(before)


class Twice(nn.Module):
    """A head that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3).requires_grad_(False)
        self.head = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        given: Tensor = self.head(self.head(self.first(images).mean((2, 3))))
        return given


def test_layer_that_is_used_twice_or_has_a_hook_goes_through_autograd(home: Home) -> None:
    partition, loader = small_partition(home, Twice())
    partition.begin("train", loader)
    assert partition.suffix is not None
    assert linear_head._taken_apart(partition.suffix) is None

    made = trainer(home, epochs=1)
    model: Any = made.model
    model.head.weight.register_hook(lambda gradient: gradient * 2)
    for _ in made.run():
        pass
    assert made.head.steps == 0
