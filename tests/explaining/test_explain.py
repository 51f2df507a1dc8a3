"""Two training steps in slow motion: numbers against a bare PyTorch loop, the graph against a hand-written walk, the chain rule everywhere."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor, nn

from core.catalog import losses, optimizers
from core.commands import cli
from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.data import Normalise
from core.explaining import chain_rule, explain
from core.explaining.figures import figures
from core.explaining.followed_value import FollowedValue
from core.explaining.graph import kind_of, walk
from core.explaining.nodes import NODES, stem
from core.explaining.slow_step import two_steps
from core.explaining.specimen import Specimen, specimen
from core.explaining.update_rules import rule_of
from core.lab.lab import _Answers
from core.machine.bits import same
from core.machine.home import Home
from core.model import anatomy
from core.model.freezing import Freezing
from core.networks import models
from core.networks.model_entries import MODELS
from core.networks.models import logits_and_auxiliary, loss_and_logits
from core.records.layers import frozen_parameters, head_options
from core.records.walkthrough import Check, Example, NodeStory, Update, Walkthrough
from core.training.trainer import StepReport
from core.worker.assembly import assemble

pytestmark = pytest.mark.usefixtures("one_thread")

# In-place steps, a residual block, max pooling, dropout, both modes of BatchNorm: small, and all that makes watching difficult.
NETWORK = "tricky: conv 8 bias=no, norm, relu, pool, residual 12 stride=2, dropout 0.3, global pool, flatten, linear 12, tanh"
OWN = RunConfig(model=NETWORK, image_size=16, device="cpu", threads=1, optimizer="SGD", learning_rate=0.05, head_dropout=0.4)
FROZEN = OWN.replace(freeze="conv1, norm1, residual1.conv1")

WALKTHROUGH = TypeAdapter(Walkthrough)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that all examples of this module share."""
    return Home.from_environment(str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def classic(explained: Home) -> Walkthrough:
    return explain.walkthrough(Example("classic"), explained)


@pytest.fixture(scope="module")
def fine_tuning(explained: Home) -> Walkthrough:
    return explain.walkthrough(Example("fine-tuning"), explained)


def own(config: RunConfig = OWN, zero_grad: bool = True, samples: int = 4) -> Example:
    return Example("own", config, zero_grad, samples)


# The classics, as a person writes them


def bare_classic(zero_grad: bool = True) -> Iterator[tuple[nn.Module, float, dict[str, Tensor]]]:
    """The issue's own lines. Yields after each step: the model, the loss, and the gradients that `torch.autograd.grad` gives for it."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18()
    data, labels = torch.rand(1, 3, 64, 64), torch.rand(1, 1000)
    optim = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    for _ in range(2):
        if zero_grad:
            optim.zero_grad()
        loss = (model(data) - labels).sum()
        parameters = dict(model.named_parameters())
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()), retain_graph=True), strict=True))
        loss.backward()
        optim.step()
        yield model, loss.item(), gradients


def test_the_gradients_shown_are_those_of_autograd_grad_to_the_bit(classic: Walkthrough) -> None:
    for step, (_, loss, gradients) in zip(classic.steps, bare_classic(), strict=True):
        assert step.loss == loss
        assert {arrival.parameter: arrival.contribution for arrival in step.arrivals} == {
            name: figures(gradient) for name, gradient in gradients.items()
        }
        assert [grad.figures for grad in step.grads_at_end] == [figures(gradient) for gradient in gradients.values()]
        assert all(arrival.before is None and arrival.after == arrival.contribution for arrival in step.arrivals)


def test_without_zero_grad_the_second_gradients_are_added_to_the_first(explained: Home) -> None:
    story = explain.walkthrough(Example("classic", zero_grad=False), explained)
    steps = list(bare_classic(zero_grad=False))
    first, second = story.steps
    assert [step.loss for step in story.steps] == [loss for _, loss, _ in steps]
    assert (first.cleared, second.cleared) == (False, False)
    assert all(grad.figures is None for grad in first.grads_at_start)
    assert second.grads_at_start == first.grads_at_end
    parameters = dict(steps[1][0].named_parameters())
    for arrival in second.arrivals:
        gradient = parameters[arrival.parameter].grad
        assert gradient is not None
        assert arrival.after == figures(gradient)
        assert arrival.before == next(grad.figures for grad in first.grads_at_end if grad.parameter == arrival.parameter)
        assert arrival.contribution == figures(steps[1][2][arrival.parameter])


def test_gradients_arrive_in_the_true_order(classic: Walkthrough) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18()
    order: list[str] = []
    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: order.append(name))  # type: ignore[misc]
    model(torch.rand(1, 3, 64, 64)).sum().backward()
    assert [arrival.parameter for arrival in classic.steps[0].arrivals] == order
    # Ids follow the backward pass, so the leaves have ascending ones.
    assert [arrival.node for arrival in classic.steps[0].arrivals] == [node.id for node in classic.graph.nodes if node.kind == "AccumulateGrad"]


def test_layers_are_called_in_their_order_and_as_often_as_they_are(classic: Walkthrough) -> None:
    calls = classic.steps[0].calls
    assert [call.module for call in calls[:7]] == ["conv1", "bn1", "relu", "maxpool", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu"]
    assert sum(call.module == "layer1.0.relu" for call in calls) == 2
    assert [call.number for call in calls] == list(range(len(calls)))
    normalised, kept = calls[1].figures, calls[2].figures
    assert normalised.minimum < 0, "what bn1 gave is looked at before the in-place ReLU overwrites it"
    assert kept.minimum == 0
    assert calls[0].inputs == ((1, 3, 64, 64),)
    assert (calls[0].output, calls[0].state, calls[0].mode) == ((1, 64, 32, 32), "learns", "train")
    for call in calls:
        assert call.node is not None
        assert classic.graph.nodes[call.node].module == call.module
    assert all(call.about for call in calls)


def test_only_the_new_head_has_gradients_and_moves_in_fine_tuning(fine_tuning: Walkthrough) -> None:
    head = ["fc.weight", "fc.bias"]
    for step in fine_tuning.steps:
        assert sorted(arrival.parameter for arrival in step.arrivals) == sorted(head)
        assert [grad.parameter for grad in step.grads_at_end if grad.figures is not None] == head
        assert [update.parameter for update in step.updates if not update.still] == head
        still = next(update for update in step.updates if update.parameter == "conv1.weight")
        assert still.in_optimizer
        assert "None" in still.still
        assert (still.weight_after, still.update_norm) == (still.weight_before, 0)
        assert {call.state for call in step.calls if call.parameters} == {"frozen", "learns"}
    assert fine_tuning.steps[0].calls[0].node is None
    assert [look.name for look in fine_tuning.parameters if look.learns] == head
    assert all(look.in_optimizer for look in fine_tuning.parameters)
    assert "running_mean" in fine_tuning.notes[0], "frozen BatchNorm in train mode moves all the same, and that is said"
    assert [plan.name for plan in fine_tuning.graph.plans if plan.chosen] == ["head only"]


@pytest.mark.parametrize("kind", ["classic", "fine-tuning"])
def test_the_code_beside_a_classic_runs_as_it_stands_and_gives_its_losses(kind: Any, classic: Walkthrough, fine_tuning: Walkthrough) -> None:
    story = {"classic": classic, "fine-tuning": fine_tuning}[kind]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(story.code, "classic.py", "exec"), {})
    lines = shown.getvalue().splitlines()
    assert [float(line.split()[1]) for line in lines[:2]] == [step.loss for step in story.steps]
    if kind == "fine-tuning":
        assert lines[2] == "['fc.weight', 'fc.bias']"


def test_the_code_of_an_example_of_ones_own_runs_as_it_stands(explained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = FROZEN.replace(clip_norm=1.0, schedule="CosineAnnealingLR", learning_rate_multipliers="head=3", epochs=1)
    story = explain.walkthrough(own(config), explained)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(story.code, "own.py", "exec"), names)
    gradients = {name for name, parameter in names["model"].named_parameters() if parameter.grad is not None}
    assert gradients == {look.name for look in story.parameters if look.learns}
    assert len(names["images"]) == 4


# Watching changes nothing


@pytest.mark.parametrize(
    "config",
    [OWN, FROZEN.replace(optimizer="AdamW", clip_norm=0.5), FROZEN.replace(learning_rate_multipliers="head=3", frozen_randomness=False)],
    ids=["everything", "frozen", "resting"],
)
def test_weights_after_two_watched_steps_are_those_of_a_bare_loop(config: RunConfig, explained: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = specimen(own(config), explained)
    copies: list[nn.Module] = []
    working = looked_at.working

    def kept() -> nn.Module:
        copies.append(working())
        return copies[-1]

    monkeypatch.setattr(looked_at, "working", kept)
    seen = two_steps(looked_at, ())

    torch.manual_seed(config.seed)
    model = models.build(config.model, 10, 16, head_options(config))
    frozen = frozen_parameters(config.freeze, looked_at.description.parameters)
    freezing = Freezing(model, frozen, config.frozen_randomness)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": [parameter], "lr": config.learning_rate} for parameter in learning]
    if config.learning_rate_multipliers.rules:
        for name, parameter in model.named_parameters():
            for group in groups:
                if group["params"][0] is parameter and name.startswith("head"):
                    group["lr"] = config.learning_rate * 3
    optimizer = optimizers.build(config, learning)
    optimizer.param_groups[:] = [{**optimizer.param_groups[0], **group} for group in groups]
    criterion, lost = losses.build(config), []
    for _ in range(2):
        freezing.train()
        optimizer.zero_grad()
        loss, _ = loss_and_logits(criterion, model(looked_at.inputs), looked_at.labels)
        loss.backward()
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(learning, config.clip_norm)
        optimizer.step()
        lost.append(loss.item())
    assert [step.loss for step in seen.steps] == lost
    watched, bare = copies[0].state_dict(), model.state_dict()
    assert [name for name in bare if not same(watched[name], bare[name])] == []
    assert any(not same(watched[name], looked_at.model.state_dict()[name]) for name in bare), "two steps must have moved something"


def test_looking_leaves_chance_threads_and_the_specimen_as_they_were(explained: Home) -> None:
    chance, threads = torch.get_rng_state(), torch.get_num_threads()
    looked_at = specimen(own(), explained)
    before = {name: value.clone() for name, value in looked_at.model.state_dict().items()}
    subject = explain.Subject(looked_at)
    subject.node(3)
    assert subject.seen.steps
    assert torch.equal(chance, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert all(same(before[name], value) for name, value in looked_at.model.state_dict().items())


def test_a_walkthrough_that_is_given_up_leaves_everything_as_it_was(explained: Home) -> None:
    example = own(OWN.replace(learning_rate=0.02))
    chance, calls = torch.get_rng_state(), iter(range(30))
    with pytest.raises(Cancelled):
        explain.walkthrough(example, explained, lambda: next(calls, None) is None)
    assert next(calls, None) is None, "it went as far as it might"
    assert torch.equal(torch.get_rng_state(), chance)
    given_up_before = explain.walkthrough(example, explained)
    explain._known.clear()
    assert replace(given_up_before, seconds=0) == replace(explain.walkthrough(example, explained), seconds=0)


@pytest.mark.parametrize("changes", [{}, {"class_weights": "balanced", "doubles": "leave out"}], ids=str)
def test_the_first_step_is_that_of_a_run_with_these_settings(changes: dict[str, Any], explained: Home) -> None:
    config = FROZEN.replace(batch_size=4, augmentation="flip", optimizer="AdamW", **changes)
    step = explain.walkthrough(own(config), explained).steps[0]
    report = next(report for report in assemble(config, explained).trainer.run() if isinstance(report, StepReport))
    assert step.loss == report.loss.item()
    assert [", weight " in line for line in step.loss_lines[1:4]] == [bool(changes)] * 3
    assert step.loss_lines[-1].endswith(f"= {float(f'{step.loss:.6g}'):.7g}")
    assert report.gradient_norms is not None
    norms = {arrival.parameter: arrival.contribution.norm for arrival in step.arrivals}
    learning = [update.parameter for update in step.updates if update.in_optimizer]
    assert [norms[name] for name in learning] == pytest.approx(report.gradient_norms.tolist(), rel=1e-6)


def test_an_example_of_ones_own_steps_as_a_run_does(explained: Home) -> None:
    story = explain.walkthrough(own(FROZEN), explained)
    modes = {call.module: call.mode for call in story.steps[0].calls}
    assert modes["norm1"] == "eval", "a frozen BatchNorm rests"
    assert modes["residual1.norm1"] == "train"
    assert not [note for note in story.notes if "running" in note]
    first = next(look for look in story.parameters if look.name == "conv1.weight")
    assert (first.learns, first.in_optimizer) == (False, False)
    assert [f"({picture.label})" in line for picture, line in zip(story.pictures, story.steps[0].loss_lines[1:4], strict=False)] == [True] * 3
    assert len(story.pictures) == 4
    assert story.steps[0].loss_lines[-1].endswith(f"= {float(f'{story.steps[0].loss:.6g}'):.7g}")


# Update rules


def test_updates_show_the_optimizers_state_before_and_after(explained: Home) -> None:
    story = explain.walkthrough(own(OWN.replace(optimizer="AdamW")), explained)
    first, second = (next(update for update in step.updates if update.parameter == "head.1.weight") for step in story.steps)
    states = [{name: (before, after) for name, before, after in update.state} for update in (first, second)]
    assert states[0]["step"] == (None, 1.0)
    assert states[1]["step"] == (1.0, 2.0)
    assert states[0]["exp_avg"][0] is None
    assert states[0]["exp_avg"][1] == pytest.approx(0.1 * (first.gradient or 0), rel=1e-5)
    assert all(isinstance(update, Update) and update.norm_after > 0 for update in story.steps[1].updates if len(update.index) > 1)


# The graph


def hand_written(loss: Tensor) -> int:
    """Nodes behind the loss's own, as a person counts them."""
    seen: set[Any] = set()

    def visit(node: Any) -> None:
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                visit(following)

    visit(loss.grad_fn)
    return len(seen)


def test_the_counts_of_resnet18_are_those_of_a_hand_written_walk(classic: Walkthrough) -> None:
    counts = {plan.name: plan.count for plan in classic.graph.plans}
    assert counts == {"train everything": 133, "last stage": 38, "head only": 5, "conv1 and fc": 74}
    learning = {"train everything": ("",), "last stage": ("layer4", "fc"), "head only": ("fc",), "conv1 and fc": ("conv1", "fc")}
    model = torchvision.models.resnet18()
    for plan in classic.graph.plans:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(learning[plan.name]))
        loss = (model(torch.rand(1, 3, 64, 64)) - torch.rand(1, 1000)).sum()
        assert plan.count == hand_written(loss) == len(plan.kept) - 1
        assert str(plan.count) in plan.why
        left = [node for node in classic.graph.nodes if node.id in plan.kept]
        assert {node.parameter for node in left if node.parameter} == {
            name for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        assert sorted(node.kind for node in left) == sorted(
            "AccumulateGrad" if "Accumulate" in kind_of(node) else kind_of(node) for node in walk(loss).nodes
        )
    assert [plan.name for plan in classic.graph.plans if plan.chosen] == ["train everything"]


def test_nodes_know_their_module_and_what_they_saved(classic: Walkthrough) -> None:
    nodes = classic.graph.nodes
    assert [node.id for node in nodes] == list(range(134))
    assert (nodes[0].kind, nodes[0].module, nodes[1].kind, nodes[1].module) == ("SumBackward0", "", "SubBackward0", "")
    assert {node.module for node in nodes if node.kind == "ViewBackward0"} == {"ResNet"}
    modules = dict(torchvision.models.resnet18().named_modules())
    for node in nodes:
        if node.kind == "ConvolutionBackward0":
            assert isinstance(modules[node.module], nn.Conv2d)
        if node.kind == "NativeBatchNormBackward0":
            assert isinstance(modules[node.module], nn.BatchNorm2d)
        if node.kind == "AddBackward0":
            assert type(modules[node.module]).__name__ == "BasicBlock"
    first = next(node for node in nodes if node.module == "conv1" and node.kind == "ConvolutionBackward0")
    kept = {saved.name: saved for saved in first.saved}
    assert kept["input"].shape == (1, 3, 64, 64)
    assert first.saved_bytes == kept["input"].bytes == 3 * 64 * 64 * 4, "the weight belongs to the model, nothing is copied"
    assert "conv1.weight" in kept["weight"].what
    edges = {(edge.source, edge.slot): edge.target for edge in classic.graph.edges}
    assert nodes[edges[first.id, 1]].parameter == "conv1.weight"
    assert all(edge.source < edge.target for edge in classic.graph.edges)


def test_a_plan_of_ones_own_is_counted_and_says_why_nodes_are_gone(explained: Home) -> None:
    example = own(FROZEN)
    story = explain.walkthrough(example, explained)
    (chosen,) = [plan for plan in story.graph.plans if plan.chosen]
    assert chosen.name == str(FROZEN.freeze)
    gone = [node for node in story.graph.nodes if node.id not in chosen.kept]
    leaf = next(node for node in gone if node.parameter == "conv1.weight")
    removed = explain.node_story(example, leaf.id, explained)
    assert "conv1.weight is frozen" in removed.removed
    assert (removed.incoming, removed.outgoing, removed.checks) == ((), (), ())
    operation = next(node for node in gone if node.module == "conv1" and node.kind == "ConvolutionBackward0")
    assert "learns" in explain.node_story(example, operation.id, explained).removed


# Nodes


@pytest.mark.parametrize("config", [OWN, FROZEN.replace(loss="MultiLabelSoftMarginLoss")], ids=["everything", "frozen"])
def test_the_chain_rule_holds_at_every_node(config: RunConfig, explained: Home) -> None:
    example = own(config)
    graph = explain.walkthrough(example, explained).graph
    (chosen,) = [plan for plan in graph.plans if plan.chosen]
    targets = {(edge.source, edge.slot): edge.target for edge in graph.edges}
    tried = 0
    for number in chosen.kept:
        story = explain.node_story(example, number, explained)
        assert all((story.formula, story.derivative, story.about))
        assert story.incoming[0].figures is not None
        for slot, flow in enumerate(story.outgoing):
            assert (flow.figures is None) == (flow.node is None)
            if flow.node is not None:
                assert flow.node == targets[number, slot]
        for check in story.checks:
            tried += 1
            assert check.agrees, (story, check)
            assert check.predicted == pytest.approx(check.measured, rel=1e-4, abs=1e-7)
    assert tried > 1.5 * len(chosen.kept)


def test_gradients_at_a_node_are_those_of_the_step(classic: Walkthrough, explained: Home) -> None:
    leaf = next(node for node in classic.graph.nodes if node.parameter == "layer1.0.conv1.weight")
    arrival = next(arrival for arrival in classic.steps[0].arrivals if arrival.node == leaf.id)
    assert explain.node_story(Example("classic"), leaf.id, explained).incoming[0].figures == arrival.contribution
    pooled = next(node for node in classic.graph.nodes if node.module == "maxpool")
    story = explain.node_story(Example("classic"), pooled.id, explained)
    assert story.formula[-1] == "shapes: the input 1 x 64 x 32 x 32; y 1 x 64 x 16 x 16"
    whole, *parts = story.incoming
    assert len(parts) == 2, "the pooled maps go into a convolution and around it"
    assert whole.figures is not None
    total = sum(part.figures.first[0] for part in parts if part.figures is not None)
    assert whole.figures.first[0] == pytest.approx(total, rel=1e-5)
    assert all(check.agrees for check in story.checks)


class WrongSquare(torch.autograd.Function):
    """x squared, with a derivative that somebody got wrong by a factor of 2."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = context.saved_tensors
        return gradient * x


class Wrong(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(12, 8), nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.after(WrongSquare.apply(self.before(images.flatten(1)[:, :12])))
        return result


def test_a_wrong_derivative_is_found(explained: Home) -> None:
    torch.manual_seed(0)
    made = specimen(own(RunConfig(model="mlp", image_size=16, device="cpu", threads=1)), explained)
    bench = chain_rule.Bench(replace(made, model=Wrong()))
    names = ("the bias", "the input", "the weight")
    linear = [place for place, node in enumerate(walk(bench._loss).nodes) if kind_of(node) == "AddmmBackward0"]
    count = len(bench._nodes)
    behind, before = (bench.checks(place, count, "AddmmBackward0", names, 1) for place in linear)
    assert [check.agrees for check in behind] == [True, True, True, True]
    assert [check.agrees for check in before] == [False, False, False], "its input is the pictures, which need no gradient"
    leaves = {tuple(node.variable.shape): place for place, node in enumerate(walk(bench._loss).nodes) if "Accumulate" in node.name()}  # type: ignore[attr-defined]
    assert bench.checks(leaves[10, 8], count, "AccumulateGrad", names, 1)[0].agrees is True
    assert bench.checks(leaves[8, 12], count, "AccumulateGrad", names, 1)[0].agrees is False


def test_kinks_are_told_from_wrong_derivatives(explained: Home) -> None:
    # Digits have large even areas: many windows of the pooling have several equal maxima.
    example = own(RunConfig(model="small_cnn", image_size=16, device="cpu", threads=1))
    graph = explain.walkthrough(example, explained).graph
    checks = [check for node in graph.nodes for check in explain.node_story(example, node.id, explained).checks]
    assert all(check.agrees for check in checks)
    assert any("kink" in check.note for check in checks)


def test_a_forward_pass_done_again_from_the_middle_gives_the_same_loss(explained: Home) -> None:
    looked_at = specimen(own(), explained)
    bench = chain_rule.Bench(looked_at)
    with looked_at.seeded():
        for node, made in zip(bench._nodes, bench._made, strict=True):
            if "Accumulate" not in node.name():
                assert bench._value(chain_rule._Mover(chain_rule.Target(made, "nothing"))) == bench.value


def test_where_nothing_can_be_tried_it_is_said(explained: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_rule, "COPIES", 10**9)
    subject = explain.Subject(specimen(own(), explained))
    (check,) = subject.checks(2)
    assert (check.agrees, check.measured) == (None, None)
    assert "memory" in check.note
    monkeypatch.undo()
    (check,) = subject.bench.checks(2, len(subject.recorded.own_ids), "SomethingElseBackward0", (), 0)
    assert "another kernel" in check.note


def test_a_rule_that_divides_by_zero_says_so() -> None:
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.zeros(2)
    moving = torch.optim.RMSprop([weight], eps=0.0)
    value = FollowedValue("weight", weight, moving.param_groups[0], moving)
    moving.step()
    value.look_again()
    assert math.isnan(value.weight_after)
    rule = rule_of("RMSprop", value)
    assert math.isnan(rule.weight or 0.0)
    assert "not a number" in rule.filled[-1]


def test_there_is_no_node_beyond_the_last(explained: Home) -> None:
    for number in (-1, 134):
        with pytest.raises(ConfigError, match="0 to 133"):
            explain.node_story(Example("classic"), number, explained)


SOME_MODELS = ["mobilenet_v3_small", "shufflenet_v2_x0_5", "swin_v2_t", "maxvit_t", "vit_b_32"]


@pytest.mark.parametrize(
    "name", [*SOME_MODELS[:2], *(pytest.param(name, marks=pytest.mark.all_models) for name in MODELS if name not in SOME_MODELS[:2])]
)
def test_every_kind_of_node_has_words(name: str) -> None:
    entry = models.find_model(name)
    size = entry.usual if entry.family.fixed or entry.smallest > 64 else 64
    with anatomy.without_numbers():
        model = models.build(name, 10, size).to("meta").train()
    logits, auxiliary = logits_and_auxiliary(model(torch.empty(2, 3, size, size, device="meta")))
    loss = logits.sum() + sum(further.sum() for _, further in auxiliary)
    assert {stem(kind_of(node)) for node in walk(loss).nodes} - NODES.keys() == set()


# What can go wrong


def test_a_model_that_gives_nan_is_shown_and_not_a_crash(explained: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(example: Example, home: Home) -> Specimen:
        made = specimen(example, home)
        with torch.no_grad():
            made.model.get_parameter("head.1.weight")[0, 0] = math.nan
        return made

    monkeypatch.setattr(explain, "specimen", broken)
    monkeypatch.setattr(explain, "_known", type(explain._known)())
    answers = _Answers()
    question = {"example": TypeAdapter(Example).dump_python(own(OWN.replace(optimizer="AdamW")), mode="json"), "home": str(explained.path)}
    line = json.dumps(answers.to({"question": "walkthrough", **question}, lambda: False))
    story = WALKTHROUGH.validate_python(json.loads(line))
    step = story.steps[0]
    assert math.isnan(step.loss)
    assert not step.output.finite
    assert not any(arrival.contribution.finite for arrival in step.arrivals if arrival.parameter.startswith("conv"))
    assert "NaN" in step.loss_lines[-1]
    assert next(update for update in step.updates if update.parameter == "conv1.weight").filled[-1].endswith("NaN")
    told = json.dumps(answers.to({"question": "checks", "id": 2, **question}, lambda: False))
    checks = TypeAdapter(tuple[Check, ...]).validate_python(json.loads(told))
    assert {check.agrees for check in checks} == {None}
    strict = json.loads(WALKTHROUGH.dump_json(story), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert strict["steps"][0]["loss"] is None


def test_the_labs_answers_come_back_as_they_went(explained: Home, classic: Walkthrough) -> None:
    answers = _Answers()
    question = {"example": TypeAdapter(Example).dump_python(own(FROZEN), mode="json"), "home": str(explained.path)}
    assert TypeAdapter(Example).validate_python(json.loads(json.dumps(question["example"]))) == own(FROZEN)
    answer = json.loads(json.dumps(answers.to({"question": "walkthrough", **question}, lambda: False)))
    assert replace(WALKTHROUGH.validate_python(answer), seconds=0) == replace(explain.walkthrough(own(FROZEN), explained), seconds=0)
    assert answers.to({"question": "activation", "step": 1, "number": 0, **question}, lambda: False).startswith("data:image/png;base64,")
    node, checks = (answers.to({"question": name, "id": 1, **question}, lambda: False) for name in ("node", "checks"))
    whole = TypeAdapter(NodeStory).dump_python(explain.node_story(own(FROZEN), 1, explained), mode="json")
    assert checks
    assert {**node, "checks": checks} == {**node, "checks": whole["checks"]} == whole
    assert WALKTHROUGH.validate_json(WALKTHROUGH.dump_json(classic)) == classic


@pytest.mark.parametrize(
    ("example", "field"),
    [
        (own(samples=0), "samples"),
        (own(samples=65), "samples"),
        (own(RunConfig(model="resnet18", image_size=32, device="cpu"), samples=1), "samples"),
        (own(OWN.replace(dataset="CIFAR10")), "dataset"),
        (own(OWN.replace(model="resnet81")), "model"),
        (own(OWN.replace(freeze="layer9")), "freeze"),
        (own(OWN.replace(device="cuda:9")), "device"),
        (Example("own"), "config"),
    ],
    ids=["none", "many", "one for BatchNorm", "not here", "no model", "no layer", "no device", "no config"],
)
def test_what_cannot_be_shown_names_its_field(example: Example, field: str, explained: Home) -> None:
    with pytest.raises(ConfigError) as error:
        explain.walkthrough(example, explained)
    assert error.value.field == field


# Pictures


def opened(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def test_activation_pictures_are_small_tiles_of_the_first_channels(classic: Walkthrough, explained: Home) -> None:
    by_module = {call.module: call for call in classic.steps[0].calls}
    assert opened(by_module["conv1"].picture).size == (8 * 33 - 1, 32)
    assert opened(by_module["conv1"].picture).mode == "L"
    assert by_module["fc"].picture == "", "a vector has no picture"
    assert max(max(opened(call.picture).size) for call in classic.steps[0].calls if call.picture) < 8 * 49
    call = classic.steps[1].calls[4]
    assert explain.activation(Example("classic"), 2, 4, explained) == call.picture
    for step, number in ((0, 0), (3, 0), (1, 60), (1, -1)):
        with pytest.raises(ConfigError):
            explain.activation(Example("classic"), step, number, explained)


def test_a_model_of_many_layers_leaves_its_pictures_to_be_asked_for(explained: Home) -> None:
    example = own(RunConfig(model="densenet201", image_size=32, device="cpu", threads=1), samples=4)
    story = explain.walkthrough(example, explained)
    assert len(story.graph.nodes) > 700
    assert not any(call.picture for step in story.steps for call in step.calls)
    assert opened(explain.activation(example, 1, 0, explained)).size[1] == 16
    assert len(WALKTHROUGH.dump_json(story)) < 5_000_000
    assert all(check.agrees for check in explain.node_story(example, 700, explained).checks)


def test_pixels_and_pictures_are_those_of_the_run(explained: Home) -> None:
    looked_at = specimen(own(), explained)
    assert [picture.label for picture in looked_at.pictures] == [str(label) for label in looked_at.labels.tolist()]
    image = torch.from_numpy(np.array(opened(looked_at.pictures[0].source))).permute(2, 0, 1)
    normalised = Normalise(*models.find_model(NETWORK).normalise)(image[None])
    assert torch.allclose(normalised[0], looked_at.inputs[0], atol=1e-6)


# The command line


def test_explain_prints_a_step_a_node_and_json(explained: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(explained.path)]
    assert cli.main(["explain", "--fine-tuning", "--no-zero-grad", *home]) == 0
    shown = capsys.readouterr().out
    for words in ("2 of 62 parameter tensors learn", "added to norm", "fc.bias", "nothing is cleared", "133 nodes", "running statistics"):
        assert words in shown
    settings = ["--model", NETWORK, "--image-size", "16", "--device", "cpu", "--threads", "1", "--samples", "2"]
    assert cli.main(["explain", *settings, "--json", *home]) == 0
    story = WALKTHROUGH.validate_json(capsys.readouterr().out)
    assert len(story.pictures) == 2
    assert cli.main(["explain", *settings, "--node", "1", *home]) == 0
    assert "the gradient says" in capsys.readouterr().out
    assert cli.main(["explain", *settings, "--node", "1", "--json", *home]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "LogSoftmaxBackward0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--classic", "--model", "resnet18"], "leave out --model"),
        (["--node", "nine"], "node: must be a whole number"),
        (["--node", "999"], "0 to 133"),
        (["--samples", "-1"], "samples: must be 1 to 64"),
    ],
)
def test_what_explain_cannot_use_is_one_clear_line(arguments: list[str], words: str, explained: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", *arguments, "--home", str(explained.path)]) == 2
    assert words in capsys.readouterr().err
