"""The number of threads of what learns: chosen by what gives equal bits and is quickest, and nothing of a run changes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config import RunConfig
from core.machine.home import Home
from core.measuring import threads
from core.measuring.load import Load
from core.measuring.threads import Threads, may_be_chosen
from core.records.events import ThreadsUsed
from core.records.telling import threads_in_words
from core.reuse.counts import AllThreads
from core.reuse.rows import in_rows
from core.training.trainer import Trainer
from core.worker import assembly
from core.worker.assembly import assemble
from tests.reuse.partition_cases import Outcome

SMOOTHED = {"label_smoothing": 0.1}
"""With this loss a linear head goes through autograd, and not through `core.reuse.linear_head`."""

TWO: dict[str, Any] = {"threads": None, "batch_size": 64, "epochs": 12, "few": 128}
"""A head on kept features with steps enough that trying is worth while."""


@pytest.fixture
def on_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch works with two threads, whatever the machine has, and every run is long enough to try."""
    before = torch.get_num_threads()
    monkeypatch.setattr(assembly, "THREADS", 2)
    monkeypatch.setattr(threads, "SHARE", 1.0)
    yield
    torch.set_num_threads(before)


class Slow:
    """A clock by which a pass on `slow` threads takes ten times as long as another."""

    def __init__(self, slow: int) -> None:
        self.slow = slow
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0 if torch.get_num_threads() == self.slow else 0.1
        return self.now


def given(trainer: Trainer, slow: int = 2, load: Callable[[], float | None] = lambda: 0.0) -> Threads:
    """Put a chooser whose clock says that `slow` threads are slow into a trainer."""
    chooser = Threads(trainer, 10_000, load, Slow(slow))
    trainer.partition.threads = chooser
    return chooser


@pytest.fixture
def choosing(monkeypatch: pytest.MonkeyPatch) -> list[Threads]:
    """Every run that is assembled from here on finds two threads slow; the choosers, as they come."""
    made: list[Threads] = []

    def choose(trainer: Trainer, steps: int, say: Callable[[str], None]) -> Threads:
        made.append(Threads(trainer, 10_000, lambda: 0.5, Slow(2), say))
        return made[-1]

    monkeypatch.setattr(assembly, "Threads", choose)
    return made


@pytest.mark.usefixtures("on_two")
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"head_dropout": 0.3, "clip_norm": 0.1, "optimizer": "SGD", "loss_options": SMOOTHED},
        {"model": "mobilenet_v3_small", "image_size": 32, "head_hidden": 40},  # its dropout writes into what it is given
        {"freeze": "train everything", "epochs": 4},
        {"freeze": "all but stem", "batch_size": 50, "accumulate": 2, "epochs": 4},
        {"augmentation": "flip", "optimizer": "Adafactor"},
    ],
    ids=str,
)
def test_a_run_is_the_same_to_the_bit_whatever_is_tried_and_chosen(fields: dict[str, Any], home: Home, choosing: list[Threads]) -> None:
    config = {**TWO, **fields}
    chosen = Outcome(home, **config)
    assert choosing[0].used.looks > 0
    as_usual = Outcome(home, **{**config, "threads": 2})
    assert isinstance(as_usual.trainer.partition.threads, AllThreads)
    assert len(choosing) == 1
    assert chosen.equals(as_usual)
    assert torch.get_num_threads() == 2  # as it was, at the end


@pytest.mark.usefixtures("on_two")
def test_a_head_of_ten_classes_goes_to_one_thread_with_the_bits_of_two(
    home: Home, choosing: list[Threads], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = Outcome(home, **TWO, loss_options=SMOOTHED)
    used = outcome.reuse.threads
    assert used is not None
    if not used.seconds:
        pytest.skip("this machine's BLAS gives one thread other bits than two, cut or not")
    assert (used.count, used.usual, used.busy, used.failed) == (1, 2, 0.5, False)
    assert [count for count, _ in used.seconds] == [1, 2]
    assert capsys.readouterr().err.count("What learns runs on 1 thread instead of 2, with the same bits: ") == 1  # in the log, once


def rows_case(classes: int) -> tuple[nn.Linear, Tensor, Tensor]:
    torch.manual_seed(0)
    return nn.Linear(512, classes), torch.relu(torch.randn(32, 512)), torch.randn(32, classes)


def gradients(live: Callable[[Tensor], Tensor], linear: nn.Linear, x: Tensor, direction: Tensor) -> Sequence[Tensor]:
    x = x.clone().requires_grad_()
    return torch.autograd.grad((live(x) * direction).sum(), [x, linear.weight, linear.bias])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("classes", [5, 7, 9, 10, 11])
def test_a_gradient_in_rows_is_that_of_its_pieces_and_the_layer_is_as_it_was(classes: int) -> None:
    linear, x, direction = rows_case(classes)
    live = in_rows(linear, threads=2)
    assert live is not None
    seen: list[int] = []
    linear.register_forward_hook(lambda *_: seen.append(1))
    by_x, by_weight, by_bias = gradients(live, linear, x, direction)
    assert seen == [1]  # whoever watches the layer sees it
    assert "forward" not in vars(linear)
    plain = gradients(linear, linear, x, direction)
    assert torch.equal(by_x, plain[0])
    assert torch.equal(by_bias, plain[2])
    assert torch.allclose(by_weight, plain[1], atol=1e-4)
    cut = 4 if classes < 8 else 8
    assert torch.equal(by_weight, torch.cat([direction[:, :cut].t() @ x, direction[:, cut:].t() @ x]))


def test_layers_that_threads_cut_evenly_or_that_are_frozen_or_of_another_kind_are_left_as_they_are() -> None:
    assert in_rows(nn.Linear(8, 12), 2) is None
    assert in_rows(nn.Linear(8, 2), 2) is None
    assert in_rows(nn.Linear(8, 10).requires_grad_(False), 2) is None
    assert in_rows(nn.Conv2d(3, 10, 1), 2) is None
    assert in_rows(lambda x: x, 2) is None


@pytest.mark.usefixtures("one_thread")
def test_pictures_with_more_dimensions_go_through_the_layer_itself() -> None:
    linear = nn.Linear(8, 10)
    live = in_rows(linear, 2)
    x = torch.randn(4, 3, 8)
    assert live is not None
    assert torch.equal(live(x), linear(x))


@pytest.fixture
def chooser(home: Home, on_two: None) -> tuple[Threads, Callable[..., None]]:
    """A chooser for a small head, and what lets so many batches of training go by."""
    trainer = assemble(
        RunConfig(model="small_cnn", image_size=16, freeze="head only", batch_size=64, device="cpu", feature_cache="off"), home
    ).trainer
    found = given(trainer)
    head = nn.Linear(16, 10)
    trainer.model.zero_grad()
    for parameter in trainer.model.parameters():
        parameter.requires_grad_(False)
    trainer.model.head_of_test = head  # what learns, and nothing else
    trainer.steering.optimizer = trainer.optimizer = torch.optim.AdamW(head.parameters())

    def batches(number: int, what: Any = "train", size: int = 8) -> None:
        for _ in range(number):
            x = torch.ones(size, 16)
            found.live(what, (x,), head)(x)

    return found, batches


def test_it_looks_again_when_the_load_changes_or_steps_take_another_time(chooser: tuple[Threads, Callable[..., None]]) -> None:
    found, batches = chooser
    batches(200)
    assert found.used.count == 1
    assert found.used.looks == 1
    batches(200)
    assert found.used.looks == 1  # nothing has changed
    found.load = lambda: 0.9
    batches(200)
    assert found.used.looks == 2
    assert found.used.busy == 0.9
    assert isinstance(found.clock, Slow)
    found.clock.slow = 1  # from now on one thread is the slow one, and each step takes ten times as long
    batches(200)
    assert found.used.count == 2
    assert found.used.looks == 3


def test_a_number_that_gives_other_bits_after_all_ends_it_and_says_so(
    chooser: tuple[Threads, Callable[..., None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, batches = chooser
    said: list[str] = []
    found.say = said.append
    batches(10)
    assert found.used.count == 1
    monkeypatch.setattr(threads, "_equal", lambda left, right: False)
    found.load = lambda: 0.9
    batches(200)
    assert (found.used.count, found.used.failed) == (2, True)
    assert "gave other bits when it was compared again" in said[-1]
    looks = found.used.looks
    batches(60, size=9)
    found.load = lambda: 0.1
    batches(200)
    assert found.used.looks == looks


def test_nothing_is_tried_in_a_run_that_is_nearly_over(chooser: tuple[Threads, Callable[..., None]], monkeypatch: pytest.MonkeyPatch) -> None:
    found, batches = chooser
    monkeypatch.setattr(threads, "SHARE", 0.02)
    found.total_steps = 199
    batches(50)
    assert found.tell() is None
    assert torch.get_num_threads() == 2
    found.total_steps = 200
    batches(1)
    assert found.tell() is not None


def test_a_pass_that_measures_has_a_number_of_its_own_and_frozen_layers_have_the_usual(chooser: tuple[Threads, Callable[..., None]]) -> None:
    found, batches = chooser
    with torch.inference_mode():
        batches(2, "validation")
        assert torch.get_num_threads() == 2
        batches(1, "validation")
    assert torch.get_num_threads() == 1
    found.frozen()
    assert torch.get_num_threads() == 2
    assert found.tell() is None  # what is told is about training


def test_where_a_step_is_not_even_the_same_twice_the_usual_number_stays(
    chooser: tuple[Threads, Callable[..., None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, batches = chooser
    monkeypatch.setattr(threads, "_equal", lambda left, right: False)
    batches(10)
    assert (found.used.count, found.used.failed, found.used.seconds) == (2, False, ())
    assert "no other number gives the same bits" in threads_in_words(found.used)


@pytest.mark.parametrize(
    ("fields", "open_"),
    [
        ({}, True),
        ({"threads": 2}, False),
        ({"threads": 2, "speed": "automatic"}, True),
        ({"compile_model": True}, False),
        ({"precision": "float16"}, False),
    ],
    ids=str,
)
def test_a_number_that_somebody_named_is_kept(fields: dict[str, Any], open_: bool) -> None:
    config = RunConfig(**fields)
    assert may_be_chosen(config, torch.device("cpu")) is open_
    assert not may_be_chosen(config, torch.device("cuda"))


def test_the_sentences_say_what_is_used_and_why() -> None:
    assert threads_in_words(ThreadsUsed(1, 2, ((1, 0.0003), (2, 0.0091)), 0.63, 3)) == (
        "What learns runs on 1 thread instead of 2, with the same bits: 0.3 ms a batch instead of 9.1 ms; others used 63 % of the processor, "
        "tried 3 times."
    )
    assert threads_in_words(ThreadsUsed(2, 2, ((1, 0.012), (2, 0.0071)), 0.0, 1)) == (
        "What learns runs on 2 threads, as usual: 7.1 ms a batch against 12 ms on 1, with the same bits."
    )


def test_the_load_is_about_others_alone_and_too_short_a_look_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.measuring import load as module

    looks = iter([module._Look(0, 100, 50, 5), module._Look(10, 120, 65, 10), module._Look(20, 140, 66, 20), module._Look(30, 140, 66, 20)])
    monkeypatch.setattr(module, "_look", lambda: next(looks))
    times = iter([0.1, 10.0, 20.0, 30.0])
    monkeypatch.setattr("core.measuring.load.time.monotonic", lambda: next(times))
    load = Load()
    assert load() is None
    assert load() == 0.5  # of 20 s 15 were worked, 5 of them by this process
    assert load() == 0.0  # never below
    assert load() is None  # no time has passed
