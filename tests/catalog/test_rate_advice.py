"""Which learning rate is usual, tried on small networks and real digits: the ranges learn, far more does not, and what is said about why is so."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from core.catalog import OPTIMIZERS, optimizers
from core.catalog.optimizers import FIRST_STEP_ONLY
from core.catalog.rate_advice import ABOUT_RATE, USUAL_BATCH, batch_scale, course_in_words, outside, rate_advice
from core.commands.cli import main
from core.config import RunConfig

RATED = [name for name in OPTIMIZERS if name not in FIRST_STEP_ONLY]
SURVIVE = ("RAdam", "Adafactor")
"""Their steps are limited otherwise: these networks learn at a hundred times the usual rate, too."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Pictures float32 [1797, 64] and labels, in an order of chance."""
    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    return ((torch.tensor(found.data, dtype=torch.float32) / 16 - 0.3) / 0.3)[order], torch.tensor(found.target)[order]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def trained(model: nn.Sequential, optimizer: str, rate: float, part: slice, epochs: int, batch: int = USUAL_BATCH, accumulate: int = 1) -> float:
    """Train what learns of `model` on a part of the digits; gives the mean loss of the last epoch."""
    images, labels = (each[part] for each in digits())
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    moving = optimizers.build(RunConfig(optimizer=optimizer, learning_rate=rate), learning)
    generator = torch.Generator().manual_seed(1)
    loss_sum = 0.0
    for _ in range(epochs):
        order, loss_sum = torch.randperm(len(labels), generator=generator), 0.0
        for start in range(0, len(labels), batch * accumulate):
            chosen = order[start : start + batch * accumulate]
            moving.zero_grad()
            for small in chosen.split(batch):
                loss = F.cross_entropy(model(images[small]), labels[small]) * (len(small) / len(chosen))
                loss.backward()
                loss_sum += float(loss.detach()) * len(chosen) / len(labels)
            moving.step()
    return loss_sum


def right(model: nn.Sequential) -> float:
    """Share of 647 digits that no training here has seen."""
    images, labels = (each[1150:] for each in digits())
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


@cache
def knows() -> nn.Sequential:
    """A network that has learned digits from 900 of them."""
    model = network()
    trained(model, "AdamW", 3e-3, slice(0, 900), 15)
    return model


@pytest.mark.parametrize("name", RATED)
def test_fresh_weights_learn_in_the_range_that_is_said_and_not_at_a_hundred_times_as_much(name: str) -> None:
    advice = rate_advice(RunConfig(optimizer=name))
    assert advice is not None
    learned = []
    for rate in (advice.low, OPTIMIZERS[name].learning_rate, advice.high, 100 * OPTIMIZERS[name].learning_rate):
        model = network()
        trained(model, name, rate, slice(0, 1150), 8)
        learned.append(right(model))
    *in_range, wild = learned
    assert min(in_range) > 0.5
    assert in_range[1] > 0.7, "the usual one"
    assert (wild < max(in_range) - 0.1) == (name not in SURVIVE)


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_long_steps_undo_what_weights_know_and_short_ones_do_not(name: str) -> None:
    """Trained further on 60 new pictures: the range for trained weights keeps what they know, ten and thirty times as much loses it."""
    advice = rate_advice(RunConfig(optimizer=name, model="resnet18", starting_weights="pretrained"))
    assert advice is not None
    before = right(knows())

    def after(rate: float, model: Callable[[], nn.Sequential] = lambda: copy.deepcopy(knows())) -> float:
        learning = model()
        trained(learning, name, rate, slice(900, 960), 20, 16)
        return right(learning)

    kept = [after(rate) for rate in (advice.low, advice.high)]
    assert min(kept) > before - 0.05
    assert kept[0] > after(10 * advice.high) + 0.02
    assert after(30 * advice.high) < before - 0.08
    assert after(advice.low, network) < 0.5, "fresh weights do not get anywhere with it"
    assert "long steps undo what they know" in ABOUT_RATE


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_a_head_alone_learns_in_a_range_that_is_higher(name: str) -> None:
    head = rate_advice(RunConfig(optimizer=name, model="resnet18", starting_weights="pretrained", freeze="head only"))
    whole = rate_advice(RunConfig(optimizer=name, model="resnet18", starting_weights="pretrained"))
    assert head is not None
    assert whole is not None
    assert head.low == whole.high
    for rate in (head.low, head.high):
        model = copy.deepcopy(knows()).requires_grad_(False)
        torch.manual_seed(3)
        model[4] = nn.Linear(64, 10)
        trained(model, name, rate, slice(900, 1150), 15)
        assert right(model) > 0.85


@pytest.mark.parametrize(("name", "times"), [("SGD", 8.0), ("AdamW", 8**0.5)])
def test_larger_batches_want_the_longer_steps_that_are_said(name: str, times: float) -> None:
    """Eight times the pictures an update: at the scaled rate the run gets as far as the small one, at the same rate it lags behind."""
    assert batch_scale(name, 8 * USUAL_BATCH) == pytest.approx(times)
    usual = OPTIMIZERS[name].learning_rate
    small, same, scaled = (
        trained(network(), name, rate, slice(0, 1150), 6, batch) for rate, batch in ((usual, 32), (usual, 256), (times * usual, 256))
    )
    assert abs(scaled - small) < 0.5 * abs(same - small)
    assert trained(network(), name, times * usual, slice(0, 1150), 6, 32, 8) == pytest.approx(scaled, rel=1e-3), (
        "accumulated batches are one large one"
    )


def test_what_is_said_goes_by_the_run() -> None:
    whole = RunConfig(model="resnet18", optimizer="SGD", starting_weights="pretrained", batch_size=64, accumulate=4)
    said = rate_advice(whole)
    assert said is not None
    assert said.text == "usual for SGD, weights that have learned already and learn on, 256 pictures an update: 0.008 to 0.08"
    assert outside(whole.replace(learning_rate=0.02)) == ()
    assert outside(whole.replace(learning_rate=5.0))[0].startswith("The learning rate 5 is far above what is usual for SGD")
    assert outside(whole.replace(learning_rate=1e-5))[0].startswith("The learning rate 1e-05 is far below")
    assert rate_advice(RunConfig(optimizer="Rprop")) is None
    assert batch_scale("SGD", 65536) == 8.0


def test_a_schedule_is_said_in_numbers() -> None:
    assert course_in_words(RunConfig(schedule="OneCycleLR"), 200, 40) == "4e-05 in step 1, 0.001 in step 60, 4e-09 in step 200, the last"
    again = RunConfig(schedule="CosineAnnealingLR", schedule_options={"T_max": 2})
    assert re.search(r"0.001 in step 1, .* in step 81, 0.00\d+ in step 200, the last", course_in_words(again, 200, 40))
    assert "changes nothing after it" in course_in_words(RunConfig(optimizer="Rprop", schedule="StepLR"), 200, 40)
    assert course_in_words(RunConfig(), 200, 40) == ""


def test_the_command_line_says_what_is_usual(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "long steps undo what they know" in said
    assert all(f"{entry.name} {entry.learning_rate:g}" in said for entry in OPTIMIZERS.values())
