"""What a step costs: counted from real steps of real models, and the desk at which questions about it wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch
from torch import Tensor, nn

from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.data import loader
from core.lab.cost_desk import CostDesk
from core.measuring import bench as measuring
from core.measuring.bench import Bench, graph_nodes, saved_bytes
from core.networks import models
from core.records.cost import CostState, steps_per_epoch, what_matters
from core.training.steps import THREADS, Steps
from tests.measuring.cost_cases import COST, Answering, begun, desk_threads, settled
from tests.support import wait_until

SMALL = RunConfig(model="small_cnn", image_size=16, batch_size=8, device="cpu", threads=1)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    yield Bench()
    torch.set_num_threads(THREADS)


# What is counted


@pytest.mark.parametrize(
    ("learning", "nodes"),
    [(("",), 133), (("layer4", "fc"), 38), (("fc",), 5), (("conv1", "fc"), 74)],
    ids=["everything", "last stage", "head", "ends"],
)
def test_nodes_of_the_autograd_graph_are_counted_as_they_are_walked(learning: tuple[str, ...], nodes: int) -> None:
    model = models.build("resnet18", 10, 64)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(learning))
    assert graph_nodes(model(torch.rand(2, 3, 64, 64)).sum()) == nodes


def test_saved_bytes_are_what_autograd_keeps_and_each_storage_once() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = torch.rand(8, 4)
    _, size = saved_bytes(model, lambda: model(x).sum())
    # The input for the first layer's weights; the ReLU's output, for itself and the second layer's weights. No weights.
    assert size == 8 * 4 * 4 + 8 * 3 * 4
    model[0].requires_grad_(False)
    assert saved_bytes(model, lambda: model(x).sum())[1] == 8 * 3 * 4
    model.requires_grad_(False)
    assert saved_bytes(model, lambda: model(x).sum())[1] == 0


def test_saving_is_counted_without_changing_the_gradients() -> None:
    torch.manual_seed(0)
    model, x = models.build("small_cnn", 4, 16), torch.rand(4, 3, 16, 16)
    model(x).square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    saved_bytes(model, lambda: model(x).square().sum())[0].backward()
    assert all(a is not None and b.grad is not None and torch.equal(a, b.grad) for a, b in zip(gradients, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("choice", "figures_a_value"),
    [
        ({"optimizer": "AdamW"}, 2),
        ({"optimizer": "SGD", "momentum": 0.9}, 1),
        ({"optimizer": "SGD", "momentum": 0.0}, 0),
        ({"optimizer": "AdamW", "optimizer_options": {"amsgrad": True}}, 3),
    ],
)
def test_memory_of_weights_gradients_and_optimizer_is_that_of_their_tensors(bench: Bench, choice: dict[str, object], figures_a_value: int) -> None:
    cost = bench.measure(SMALL.replace(**choice), 10)
    assert cost.trainable == cost.total == 94_762
    assert cost.gradient_bytes == 4 * cost.trainable
    assert cost.weight_bytes == sum(tensor.nbytes for tensor in models.build("small_cnn", 10, 16).state_dict().values())
    counters = 4 * len(list(models.build("small_cnn", 10, 16).parameters())) if figures_a_value > 1 else 0  # Adam counts steps for each tensor
    assert cost.optimizer_bytes == figures_a_value * 4 * cost.trainable + counters


def test_what_is_frozen_costs_nothing_but_its_weights(bench: Bench) -> None:
    everything, head = bench.measure(SMALL, 10), bench.measure(SMALL.replace(freeze="head only"), 10)
    assert head.trainable == 1290
    assert head.total == everything.total
    assert head.weight_bytes == everything.weight_bytes
    assert head.gradient_bytes == 4 * 1290
    assert head.activation_bytes < everything.activation_bytes / 50
    assert head.backward_nodes < everything.backward_nodes == everything.all_nodes == head.all_nodes
    assert head.backward_share < 0.01
    assert everything.backward_share == 1.0


def test_a_new_head_and_more_classes_are_measured_too(bench: Bench) -> None:
    head_only = SMALL.replace(freeze="head only", head_hidden=24, head_dropout=0.1)
    assert bench.measure(head_only, 5).trainable == 128 * 24 + 24 + 24 * 5 + 5


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_other_number_formats_are_measured(bench: Bench, precision: str) -> None:
    cost = bench.measure(SMALL.replace(precision=precision), 10)
    assert cost.step_seconds > 0
    assert cost.activation_bytes < bench.measure(SMALL, 10).activation_bytes


def test_formats_and_fusing_and_threads_are_those_of_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Steps] = []
    update = Steps.update

    def watched(steps: Steps) -> None:
        made.append(steps)
        update(steps)

    monkeypatch.setattr(Steps, "update", watched)
    bench.measure(SMALL.replace(memory_format="channels_last", fused_optimizer=True), 10)
    assert torch.get_num_threads() == 1
    assert made[0].optimizer.defaults["fused"] is True
    assert made[0].model.get_parameter("stage2.0.weight").is_contiguous(memory_format=torch.channels_last)


def test_auxiliary_classifiers_are_part_of_the_step(bench: Bench) -> None:
    config = RunConfig(model="googlenet", image_size=32, batch_size=2, device="cpu", freeze="head only", optimizer="SGD", momentum=0.0)
    cost = bench.measure(config, 5)
    assert cost.gradient_bytes == 4 * cost.trainable, "a gradient has come to all three heads"


def test_a_batch_that_would_take_long_is_worked_out_from_fewer_images(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LONG_SECONDS", 1e9)
    whole = Bench().measure(SMALL.replace(batch_size=64), 10)
    monkeypatch.setattr(measuring, "LONG_SECONDS", 1e-9)
    part = Bench().measure(SMALL.replace(batch_size=64), 10)
    assert (whole.images_measured, part.images_measured) == (64, 4)
    assert part.activation_bytes == whole.activation_bytes
    assert part.steps_measured >= measuring.FEWEST_STEPS
    assert part.optimizer_bytes == whole.optimizer_bytes


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_smallest_batches_are_measured_whole(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LONG_SECONDS", 1e-9)
    assert Bench().measure(SMALL.replace(batch_size=batch_size), 10).images_measured == batch_size


def test_two_plans_that_freeze_the_same_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    first = bench.measure(SMALL.replace(freeze="head only"), 10)
    monkeypatch.setattr(measuring, "_measure", lambda *_: pytest.fail("measured again"))
    assert bench.measure(SMALL.replace(freeze="head only, !stage1, stage1"), 10) is first


def test_a_question_can_be_given_up_between_two_steps() -> None:
    bench, asked = Bench(), 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked == 5

    with pytest.raises(Cancelled):
        bench.measure(SMALL, 10, cancelled)
    assert asked == 5
    assert bench.measure(SMALL, 10).steps_measured == measuring.MOST_STEPS, "nothing half-done is remembered"


# What cannot be measured


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        ({"device": "cuda:7"}, "device"),
        ({"freeze": "layer9"}, "freeze"),
        ({"freeze": "*"}, "freeze"),
        ({"model": "small_cnm"}, "model"),
        ({"optimizer": "SGD", "optimizer_options": {"nesterov": True}, "momentum": 0.0}, "optimizer_options"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_by_field(bench: Bench, choice: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        bench.measure(SMALL.replace(**choice), 10)
    assert refused.value.field == field


def test_a_batch_too_small_for_batch_normalisation_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="use 2 or more, or freeze") as refused:
        bench.measure(RunConfig(model="resnet18", image_size=32, batch_size=1, device="cpu"), 10)
    assert refused.value.field == "batch_size"


def test_a_batch_for_which_there_is_no_memory_is_refused_before_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20_000_000, total=30_000_000))
    with pytest.raises(ConfigError, match=r"4096 images of 16 x 16 pixels do not fit .* try 64, ") as refused:
        Bench().measure(SMALL.replace(batch_size=4096), 10)
    assert refused.value.field == "batch_size"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.\nmore"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_running_out_of_memory_is_said_clearly(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Tensor:
        raise error

    monkeypatch.setattr(Steps, "forward", fails)
    with pytest.raises(ConfigError, match=r"8 images of 16 x 16 pixels do not fit into the memory of cpu .* try 2, smaller images") as refused:
        Bench().measure(SMALL, 10)
    assert refused.value.field == "batch_size"


def test_another_error_is_not_taken_for_want_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Tensor:
        raise RuntimeError("unsupported memory format option")

    monkeypatch.setattr(Steps, "forward", fails)
    with pytest.raises(RuntimeError, match="unsupported memory format"):
        Bench().measure(SMALL, 10)


# What follows for a run


def test_an_epoch_takes_as_many_steps_as_a_run_would() -> None:
    for samples in range(1, 70):
        for batch_size in (1, 2, 3, 32, 64):
            assert steps_per_epoch(samples, batch_size) == loader.steps_per_epoch(samples, batch_size, training=True)


def test_times_of_a_run_follow_from_the_step() -> None:
    config = RunConfig(batch_size=32, epochs=3)
    assert COST.of_run(config, 100) == replace(COST, steps_per_epoch=4, epoch_seconds=2.0, total_seconds=6.0)
    assert COST.of_run(config, 100).of_run(config, None) == COST


def test_what_does_not_change_a_step_does_not_change_the_question() -> None:
    same = SMALL.replace(epochs=90, learning_rate=0.5, seed=4, schedule="StepLR", starting_weights="pretrained", timeline="2: !head")
    assert what_matters(same, 100) == what_matters(SMALL, 100)
    assert what_matters(SMALL, None) != what_matters(SMALL.replace(freeze="head only"), None)
    assert what_matters(SMALL.replace(batch_size=64), 40)["batch_size"] == 40, "a batch is never larger than the training set"
    RunConfig(**what_matters(SMALL, 100))


def test_an_answer_is_remembered_and_no_thread_stays(desk: CostDesk, answering: Answering) -> None:
    assert desk.ask("a", "1").status == "measuring"
    answering.go_on()
    assert settled(desk, "a", "1") == CostState("done", COST)
    assert desk.ask("b", "1") == CostState("done", COST)
    assert answering.begun == ["1"]
    wait_until(lambda: desk_threads() == 0)
    answering.go_on()
    assert settled(desk, "a", "2").status == "done"


def test_a_new_question_of_the_same_client_gives_up_its_old_one(desk: CostDesk, answering: Answering) -> None:
    desk.ask("a", "1")
    begun(answering, ["1"])
    for question in ("2", "3", "4"):
        desk.ask("a", question)
    begun(answering, ["1", "4"])
    answering.go_on()
    assert settled(desk, "a", "4").status == "done"
    assert answering.begun == ["1", "4"], "2 and 3 were never begun"
