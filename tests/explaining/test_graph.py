"""The graph of a step: its nodes, the chain rule tried out at each, and the command line."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor, nn

from core.commands import cli
from core.config import ConfigError, RunConfig
from core.data import Normalise
from core.explaining import chain_rule, explain
from core.explaining.followed_value import FollowedValue
from core.explaining.graph import kind_of, walk
from core.explaining.nodes import NODES, stem
from core.explaining.specimen import Specimen, specimen
from core.explaining.update_rules import rule_of
from core.lab.answers import Answers
from core.machine.home import Home
from core.model import anatomy
from core.networks import models
from core.networks.model_entries import MODELS
from core.networks.models import logits_and_auxiliary
from core.records.walkthrough import Check, Example, NodeStory, Walkthrough
from tests.explaining.explain_cases import FROZEN, NETWORK, OWN, own

pytestmark = pytest.mark.usefixtures("one_thread")


WALKTHROUGH = TypeAdapter(Walkthrough)


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
    answers = Answers()
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
    answers = Answers()
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
    example = own(RunConfig(model="densenet121", image_size=32, device="cpu", threads=1), samples=4)
    story = explain.walkthrough(example, explained)
    assert len(story.graph.nodes) > 400
    assert not any(call.picture for step in story.steps for call in step.calls)
    assert opened(explain.activation(example, 1, 0, explained)).size[1] == 16
    assert len(WALKTHROUGH.dump_json(story)) < 5_000_000
    assert all(check.agrees for check in explain.node_story(example, 400, explained).checks)


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
