"""The fastest way to train: the right one is chosen, the wrong ones are refused in words, and nothing that goes wrong ends a run."""

from __future__ import annotations

import re
from types import SimpleNamespace

import psutil
import pytest
import torch
from torch import Tensor

from core import data
from core.machine.home import Home
from core.measuring import rounding, sample, trials, tuning
from core.measuring.trial import Part
from core.model import anatomy
from core.networks import models
from core.records import speed
from core.records.layers import head_options
from core.records.speed import Way, applied
from core.training.steps import Steps
from tests.measuring.tuning_cases import EVEN, SMALL, Clock, chosen, cost, row

pytestmark = pytest.mark.usefixtures("two_cores")


# What is chosen


def test_the_fastest_way_is_found_with_what_can_be_added_to_it(home: Home) -> None:
    times = {**EVEN, ("channels_last", "float32"): 0.8, ("channels_last", "bfloat16"): 0.5}
    found = chosen(home, Clock(cost(times, fused=0.25)))
    way = found.way
    assert (way.memory_format, way.precision, way.fused_optimizer, way.threads) == ("channels_last", "bfloat16", True, 2)
    assert way.step_seconds == pytest.approx(0.55)
    assert found.times_faster(way) == pytest.approx(1.2 / 0.55)
    assert found.samples_per_second(way) == pytest.approx(16 / 0.55)
    assert found.reason == "2.18 times as fast as exact"
    assert found.ways[0] == Way(threads=2, step_seconds=found.ways[0].step_seconds, loss_error=0.0, gradient_error=0.0)
    assert found.ways[0].step_seconds == pytest.approx(1.2)
    assert (found.possible, found.images, found.prefix_share) == (16, 16, None)


@pytest.mark.parametrize(("fused", "update", "first"), [(0.25, 0.2, True), (2.0, 0.2, True), (0.25, 0.02, False)])
def test_where_updates_take_much_fusing_them_is_tried_before_formats_which_keep_it_if_it_is_faster(
    fused: float, update: float, first: bool, home: Home
) -> None:
    plain = cost(EVEN, fused=fused)
    ways = chosen(home, Clock(lambda way, part: plain(way, part) * (update / 0.2 if part == "update" else 1.0))).ways
    fusing = next(place for place, way in enumerate(ways) if way.fused_optimizer)
    formats = [place for place, way in enumerate(ways) if way.precision == "bfloat16"]
    assert all((fusing < place) is first for place in formats)
    assert {ways[place].fused_optimizer for place in formats} == {first and fused < 1}


def test_a_way_that_is_faster_only_together_with_another_is_found(home: Home) -> None:
    """As on this project's first machine: neither channels_last nor bfloat16 alone made resnet18 faster, both together did."""
    times = {("contiguous", "float32"): 1.0, ("channels_last", "float32"): 1.1, ("contiguous", "bfloat16"): 1.3, ("channels_last", "bfloat16"): 0.6}
    way = chosen(home, Clock(cost(times))).way
    assert (way.memory_format, way.precision) == ("channels_last", "bfloat16")


def test_bfloat16_is_not_tried_on_a_processor_without_instructions_for_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "bfloat16_is_native", lambda: False)
    clock = Clock(cost({**EVEN, ("channels_last", "bfloat16"): 0.1}))
    found = chosen(home, clock)
    assert {way.refused for way in found.ways if way.precision == "bfloat16"} == {"not tried: this processor has no instructions for bfloat16"}
    assert found.way.precision == "float32"


def test_of_ways_that_are_equally_fast_the_one_nearest_to_exact_is_taken(home: Home) -> None:
    assert chosen(home, Clock(cost({**EVEN, ("channels_last", "bfloat16"): 0.98}))).chosen == 0
    times = {**EVEN, ("channels_last", "float32"): 0.51, ("channels_last", "bfloat16"): 0.5}
    way = chosen(home, Clock(cost(times)), SMALL.replace(loss="MultiMarginLoss")).way
    assert (way.memory_format, way.precision) == ("channels_last", "float32")


def test_a_way_that_is_much_slower_takes_one_step_and_no_more(home: Home) -> None:
    steps: list[Way] = []

    def of(way: Way, part: Part) -> float:
        if part == "pass":
            steps.append(way)
        return 9.0 if way.precision == "bfloat16" else 1.0

    found = chosen(home, Clock(of))
    assert sum(way.precision == "bfloat16" for way in steps) == 2  # one in each memory format
    assert row(found, precision="bfloat16", memory_format="channels_last").step_seconds == pytest.approx(18.0)


def test_another_load_between_two_stages_changes_no_comparison(home: Home) -> None:
    """The machine becomes three times as slow after the threads were measured: exact is measured again beside the others."""
    asked = 0

    def of(way: Way, part: Part) -> float:
        nonlocal asked
        asked += 1
        base = {"update": 0.0, "pass": 0.5 if way.memory_format == "channels_last" else 1.0}[part]
        return base * (3 if slow else 1) * way.threads

    slow = False

    def progress(text: str, share: float | None) -> None:
        nonlocal slow
        slow = slow or "2 of" in text

    found = chosen(home, Clock(of), progress=progress)
    assert asked > 20
    assert found.times_faster(row(found, memory_format="channels_last", precision="float32", fused_optimizer=False)) == pytest.approx(4.0)


# Threads


def test_beside_a_busy_neighbour_one_thread_is_taken_and_alone_two(home: Home) -> None:
    times = {1: 1.0, 2: 0.6}
    assert chosen(home, Clock(cost(EVEN, threads=times))).way.threads == 2
    busy = chosen(home, Clock(cost(EVEN, threads={1: 1.0, 2: 1.3})), load=0.5)
    assert busy.way.threads == 1
    assert busy.busy_share == 0.5
    assert busy.reason == "1.30 times as fast as exact on 2 threads"


def test_beside_a_busy_neighbour_more_threads_must_be_clearly_faster(home: Home) -> None:
    found = chosen(home, Clock(cost(EVEN, threads={1: 1.0, 2: 0.95})), load=0.5)
    assert found.way.threads == 1
    assert "others use the processor" in row(found, threads=2).refused
    assert chosen(home, Clock(cost(EVEN, threads={1: 1.0, 2: 0.7})), SMALL.replace(loss="MultiMarginLoss"), load=0.5).way.threads == 2


def test_a_number_of_threads_that_a_person_chose_stays(home: Home) -> None:
    found = chosen(home, Clock(cost(EVEN, threads={1: 5.0, 2: 0.1})), SMALL.replace(threads=1))
    assert {way.threads for way in found.ways} == {1}


@pytest.mark.parametrize(("cores", "free", "counts"), [(1, 1, (1,)), (2, 2, (2, 1)), (2, 1, (2, 1)), (8, 5, (8, 5, 4, 1)), (64, 63, (64, 63, 32))])
def test_thread_counts_to_try(cores: int, free: int, counts: tuple[int, ...]) -> None:
    assert tuning.thread_counts(cores, free) == counts


def test_the_share_that_others_use_is_between_nothing_and_all() -> None:
    assert 0 <= tuning.busy_share() <= 1


# The promised accuracy


def test_formats_differ_from_exact_by_as_much_as_they_round(home: Home) -> None:
    found = chosen(home, Clock(cost(EVEN)))
    layout = row(found, memory_format="channels_last", precision="float32")
    rounded = row(found, memory_format="contiguous", precision="bfloat16")
    assert layout.gradient_error is not None
    assert rounded.gradient_error is not None
    assert layout.gradient_error < 1e-4 < 1e-2 < rounded.gradient_error < found.tolerance
    assert not layout.refused
    assert not rounded.refused
    assert found.tolerance <= speed.NEVER_ACCEPTED


def test_an_inaccurate_way_is_refused_however_fast_and_takes_no_steps(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "NEVER_ACCEPTED", 0.01)
    times = {**EVEN, ("channels_last", "bfloat16"): 0.01, ("contiguous", "bfloat16"): 0.01, ("channels_last", "float32"): 0.9}
    found = chosen(home, Clock(cost(times)))
    assert (found.way.memory_format, found.way.precision) == ("channels_last", "float32")
    for refused in (way for way in found.ways if way.precision == "bfloat16"):
        assert "more than the 1 % that are accepted here" in refused.refused
        assert refused.step_seconds is None
        assert refused.gradient_error


def test_gradients_that_are_wrong_altogether_are_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real tolerance against a real fault: an autocast whose loss is another one."""
    forward = Steps.forward

    def wrong(steps: Steps, batch: tuple[Tensor, Tensor]) -> Tensor:
        return forward(steps, batch) * (1.6 if steps.config.precision == "bfloat16" else 1.0)

    monkeypatch.setattr(Steps, "forward", wrong)
    found = chosen(home, Clock(cost({**EVEN, ("contiguous", "bfloat16"): 0.1, ("channels_last", "bfloat16"): 0.1})))
    assert found.chosen == 0
    assert "changes gradients by 6" in row(found, memory_format="contiguous", precision="bfloat16").refused


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_losses_that_are_not_finite_are_refused(home: Home, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    forward = Steps.forward
    monkeypatch.setattr(Steps, "forward", lambda steps, batch: forward(steps, batch) * (value if steps.config.precision == "bfloat16" else 1.0))
    found = chosen(home, Clock(cost({**EVEN, ("channels_last", "bfloat16"): 0.1})))
    assert found.chosen == 0
    assert row(found, memory_format="channels_last", precision="bfloat16").refused == "losses or gradients are not finite"


def test_dropout_is_not_taken_for_rounding(home: Home) -> None:
    config = SMALL.replace(freeze="head only", head_dropout=0.5, feature_cache="off")
    found = chosen(home, Clock(cost(EVEN)), config)
    error = row(found, memory_format="contiguous", precision="bfloat16").gradient_error
    assert error is not None
    assert error < 0.05


def test_tolerance_follows_the_difference_between_batches() -> None:
    def of(*gradients: list[float]) -> float:
        return rounding.tolerance([rounding.Gradient(1.0, torch.tensor(gradient)) for gradient in gradients])

    assert of([1.0, 0.0], [0.0, 1.0]) == pytest.approx(1 / 3)
    assert of([1.0, 0.0], [1.0, 0.5]) == pytest.approx(0.5 / 2.25**0.5 / 3)
    assert of([1.0, 0.0], [-9.0, 0.0]) == pytest.approx(10 / 82**0.5 / 3)
    for alike in ([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0]], [[0.0], [0.0]]):
        assert of(*alike) == speed.ALWAYS_ACCEPTED


def test_differences_are_shares_of_what_is_exact() -> None:
    exact, other = rounding.Gradient(2.0, torch.tensor([3.0, 4.0])), rounding.Gradient(2.1, torch.tensor([3.0, 4.5]))
    assert rounding.difference([exact], [other]) == pytest.approx((0.05, 0.1))
    nothing = rounding.Gradient(0.0, torch.zeros(2))
    assert rounding.difference([nothing], [nothing]) == (0.0, 0.0)
    assert rounding.difference([nothing], [other])[1] == float("inf")


# What goes wrong


def test_a_way_that_fails_is_a_row_with_its_reason(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Steps.forward

    def fails(steps: Steps, batch: tuple[Tensor, Tensor]) -> Tensor:
        if steps.config.precision == "bfloat16":
            raise RuntimeError("unsupported operation: bfloat16\nand more")
        return forward(steps, batch)

    monkeypatch.setattr(Steps, "forward", fails)
    found = chosen(home, Clock(cost({**EVEN, ("channels_last", "float32"): 0.5})))
    assert found.way.memory_format == "channels_last"
    assert row(found, memory_format="contiguous", precision="bfloat16").refused == "does not work here: unsupported operation: bfloat16"


def test_a_way_that_fails_in_the_middle_of_being_timed_is_a_row_too(home: Home) -> None:
    def of(way: Way, part: Part) -> float:
        if way.fused_optimizer and part == "update":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")
        return 1.0

    found = chosen(home, Clock(of))
    assert found.chosen == 0
    assert row(found, fused_optimizer=True).refused == "does not work here: CUDA out of memory. Tried to allocate 3 GiB."


def test_where_not_even_an_exact_step_can_be_made_exact_is_kept_and_says_why(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Steps.forward

    def fails(steps: Steps, batch: tuple[Tensor, Tensor]) -> Tensor:
        raise ValueError("Expected more than 1 value per channel when training")

    monkeypatch.setattr(Steps, "forward", fails)
    found = chosen(home, Clock(cost(EVEN)))
    assert len(found.ways) == 1
    assert found.reason == "nothing could be measured: Expected more than 1 value per channel when training"
    assert applied(SMALL, found.way) == SMALL.replace(speed="exact", threads=2)
    monkeypatch.setattr(Steps, "forward", forward)
    assert len(chosen(home, Clock(cost(EVEN))).ways) > 1, "a failure is not remembered"


def test_too_little_memory_for_trying_is_said_before_it_is_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20, total=2**33))
    found = chosen(home, Clock(cost(EVEN)))
    assert re.search(r"trying other ways needs \d+\.\d MB of memory, 1\.0 MB are free", found.reason)
    assert len(found.ways) == 1


def test_what_the_person_who_waits_raises_ends_the_measuring(home: Home) -> None:
    class Stopped(Exception):
        pass

    shares: list[float] = []

    def progress(text: str, share: float | None) -> None:
        shares.append(share or 0.0)
        if share and share > 0.6:
            raise Stopped

    before = torch.get_num_threads()
    with pytest.raises(Stopped):
        chosen(home, Clock(cost(EVEN)), progress=progress)
    assert shares == sorted(shares)
    assert len(set(shares)) > 5, "it moves"
    assert torch.get_num_threads() == before


def test_where_a_batch_takes_long_fewer_images_are_timed_and_the_rest_is_worked_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: set[int] = set()
    gradient_of = rounding.gradient_of

    def watched(steps: Steps, batch: tuple[Tensor, Tensor]) -> rounding.Gradient:
        judged.add(len(batch[1]))
        return gradient_of(steps, batch)

    monkeypatch.setattr(rounding, "gradient_of", watched)
    monkeypatch.setattr(sample, "LONG_SECONDS", 1e-9)
    found = chosen(home, Clock(cost(EVEN)), SMALL.replace(batch_size=64))
    assert found.images == 4
    assert found.ways[0].step_seconds == pytest.approx(1.0 * 64 / 4 + 0.2)
    assert found.samples_per_second(found.ways[0]) == pytest.approx(64 / 16.2)
    assert judged == {sample.FEWEST_JUDGED}, "gradients of so few images as are timed say little"


def test_without_time_left_a_way_is_not_tried_and_nothing_half_done_is_remembered(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "MOST_SECONDS", -1.0)
    found = chosen(home, Clock(cost(EVEN)))
    assert {way.refused for way in found.ways if way.step_seconds is None} == {"not tried: no time left"}
    monkeypatch.setattr(trials, "MOST_SECONDS", 60.0)
    assert not chosen(home, Clock(cost(EVEN))).remembered


def test_model_and_chance_are_as_before(home: Home) -> None:
    config = SMALL.replace(head_dropout=0.5)
    loaders = data.prepare(config, home, lambda text, share: None)
    head = head_options(config)
    layers = anatomy.describe(config.model, 10, 16, head).parameters
    model = models.build(config.model, 10, 16, head)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    tuning.choose(config, home, model, layers, loaders.train, torch.device("cpu"), busy=lambda: 0.0)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
