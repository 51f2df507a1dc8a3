"""Two training steps in slow motion: numbers against a bare PyTorch loop, the graph against a hand-written walk, the chain rule everywhere."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from core.catalog import losses, optimizers
from core.config import RunConfig
from core.config.errors import Cancelled
from core.explaining import explain
from core.explaining.figures import figures
from core.explaining.slow_step import two_steps
from core.explaining.specimen import specimen
from core.machine.bits import same
from core.machine.home import Home
from core.model.freezing import Freezing
from core.networks import models
from core.networks.models import loss_and_logits
from core.records.layers import frozen_parameters, head_options
from core.records.walkthrough import Example, Update, Walkthrough
from core.training.trainer import StepReport
from core.worker.assembly import assemble
from tests.explaining.explain_cases import FROZEN, OWN, own

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def fine_tuning(explained: Home) -> Walkthrough:
    return explain.walkthrough(Example("fine-tuning"), explained)


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
