"""Freezing, eval(), no_grad() and inference_mode() on real models: what the panel says is what bare torch does."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.config.plans import FreezePlan
from core.explaining import explain
from core.explaining.modes import _awake, tried
from core.explaining.specimen import Specimen, specimen
from core.machine.home import Home
from core.networks.models import logits_and_auxiliary
from core.records.layers import frozen_parameters
from core.records.modes import CODE, COLUMNS, LABELS, USES, Effect, Modes, Setting, cells, told
from core.records.walkthrough import Example
from tests.explaining.explain_cases import FROZEN, OWN, own

SMALL = RunConfig(image_size=32, device="cpu", threads=1)
MODELS: dict[str, Example] = {
    "classic": Example("classic"),
    "resnet18": own(SMALL.replace(model="resnet18")),
    "head only": own(SMALL.replace(model="resnet18", freeze="head only")),
    "tricky": own(OWN),
    "tricky, frozen": own(FROZEN),
    "mobilenet_v3_small": own(SMALL.replace(model="mobilenet_v3_small")),
    "vit_b_16": own(SMALL.replace(model="vit_b_16"), samples=2),
    "mlp": own(SMALL.replace(model="mlp")),
    "googlenet": own(SMALL.replace(model="googlenet", image_size=64)),
}


@pytest.fixture(scope="module")
def touched() -> dict[str, list[str]]:
    """Name of a model to what looking at it has changed; `both` fills it."""
    return {}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, touched: dict[str, list[str]]) -> Any:
    """Name of a model to its specimen and to what was found with it."""
    home = Home(tmp_path_factory.mktemp("modes"))

    @cache
    def found(name: str) -> tuple[Specimen, Modes]:
        looked_at = specimen(MODELS[name], home)
        before = State(looked_at.model)
        modes = tried(looked_at)
        touched[name] = before.differences(looked_at.model)
        return looked_at, modes

    return found


class State:
    """What a model is made of, and chance, at one moment."""

    def __init__(self, model: nn.Module) -> None:
        self.values = {name: value.clone() for name, value in model.state_dict().items()}
        self.flags = [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
        self.modes = [module.training for module in model.modules()]
        self.chance = torch.get_rng_state()

    def differences(self, model: nn.Module) -> list[str]:
        """What is not as it was."""
        found = [name for name, value in model.state_dict().items() if not torch.equal(self.values[name], value)]
        found += ["flags"] if [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()] != self.flags else []
        found += ["modes"] if [module.training for module in model.modules()] != self.modes else []
        return found + ([] if torch.equal(self.chance, torch.get_rng_state()) else ["chance"])


def graph_nodes(output: Tensor) -> Iterator[Any]:
    seen, waiting = set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
            yield node


def kept_by(loss: Tensor, model: nn.Module) -> int:
    """Bytes of what the nodes of the graph hold, read from the nodes and not through hooks."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}
    for node in graph_nodes(loss):
        for name in dir(node):
            if name.startswith("_saved_"):
                value = getattr(node, name)
                for tensor in value if isinstance(value, tuple | list) else (value,):
                    if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in own:
                        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(found.values())


class Bare:
    """The same in plain torch, on a copy of the model."""

    def __init__(self, looked_at: Specimen, setting: Setting) -> None:
        model = copy.deepcopy(looked_at.model)
        with torch.no_grad():
            for weights in model.parameters():
                if not weights.any():
                    weights.add_(0.01 * torch.randn(weights.shape))  # a vision transformer's head begins with zeros: it would give 0 for everything
        frozen = looked_at.frozen or frozen_parameters(FreezePlan(rules=("head only",)), looked_at.description.parameters)
        for name, parameter in model.named_parameters():
            parameter.requires_grad = not (setting in ("frozen", "at rest") and name in frozen)
        model.train()
        if setting in ("eval", "validation"):
            model.eval()
        if setting == "at rest":
            for module in model.modules():
                if isinstance(module, _NormBase) and not any(parameter.requires_grad for parameter in module.parameters()):
                    module.eval()
        means = {path: module.running_mean.clone() for path, module in model.named_modules() if isinstance(module, _NormBase)}  # type: ignore[union-attr]
        context = {"no_grad": torch.no_grad(), "validation": torch.no_grad(), "inference_mode": torch.inference_mode()}.get(setting, nullcontext())
        torch.manual_seed(0)
        with context:
            loss, _ = looked_at.loss_of(model(looked_at.inputs))
        self.moved = sum(not torch.equal(means[path], model.get_submodule(path).running_mean) for path in means)  # type: ignore[arg-type]
        self.kept = kept_by(loss, model) if loss.grad_fn is not None else 0
        self.grad_fn = loss.grad_fn is not None
        if self.grad_fn:
            loss.backward()
        self.grads = sum(parameter.grad is not None for parameter in model.parameters())
        with torch.no_grad():
            first, second = (logits_and_auxiliary(model(looked_at.inputs))[0] for _ in range(2))
            self.equal = torch.equal(first, second)


@pytest.mark.parametrize("setting", LABELS)
@pytest.mark.parametrize("name", MODELS)
def test_what_is_said_of_a_setting_is_what_bare_torch_does(name: str, setting: Setting, both: Any) -> None:
    looked_at, modes = both(name)
    if setting == "at rest" and not modes.norms:
        with pytest.raises(KeyError):
            modes.of(setting)
        return
    bare, effect = Bare(looked_at, setting), modes.of(setting)
    assert (effect.grads, effect.moved, effect.same) == (bare.grads, bare.moved, bare.equal)
    assert bool(effect.grad_fn) is bare.grad_fn
    assert effect.kept_bytes == pytest.approx(bare.kept, rel=0.001)
    assert bool(effect.refused) is not bare.grad_fn
    assert bool(effect.later) is (setting == "inference_mode")


@pytest.mark.parametrize(
    ("name", "norms", "random", "differs"),
    [
        ("resnet18", 20, {}, True),
        ("mobilenet_v3_small", 34, {"Dropout": 1}, True),
        ("tricky", 4, {"Dropout": 2}, True),
        ("vit_b_16", 0, {}, False),
        ("mlp", 0, {}, False),
    ],
)
def test_what_heeds_a_mode_is_counted(name: str, norms: int, random: dict[str, int], differs: bool, both: Any) -> None:
    _, modes = both(name)
    assert (modes.norms, modes.random, modes.eval_differs) == (norms, random, differs)
    said = " ".join(told(modes))
    assert ("nothing that heeds train() and eval()" in said) is not differs
    assert ("eval() changes no answer" in said) is not differs
    for kind, number in random.items():
        assert f"{number} {kind} layer" in said


def test_batch_norm_lets_a_pictures_answer_depend_on_its_company_in_train_mode_alone(both: Any) -> None:
    for name in ("resnet18", "tricky"):
        _, modes = both(name)
        assert {effect.setting: effect.alone for effect in modes.effects if effect.setting != "at rest"} == {
            "train": False, "frozen": False, "eval": True, "no_grad": False, "inference_mode": False, "validation": True,
        }  # fmt: skip
    for name in ("mlp", "vit_b_16"):
        _, modes = both(name)
        assert all(effect.alone for effect in modes.effects)
    _, modes = both("classic")
    assert all(effect.alone is None for effect in modes.effects), "there is one picture"


def test_a_network_with_batch_norm_and_dropout_at_work(both: Any) -> None:
    _, modes = both("tricky")
    assert [modes.of(setting).same for setting in ("train", "eval", "no_grad", "validation")] == [False, True, False, True]
    _, frozen = both("tricky, frozen")
    assert (frozen.frozen, frozen.of("frozen").grads) == (frozen.tensors - frozen.of("frozen").grads, frozen.tensors - frozen.frozen)
    assert 0 < frozen.of("at rest").moved < frozen.of("frozen").moved == frozen.norms
    assert "plan “conv1, norm1, residual1.conv1”" in " ".join(told(frozen))


def test_the_sentences_have_the_numbers_of_what_was_tried(both: Any) -> None:
    _, modes = both("head only")
    said = " ".join(told(modes))
    assert "60 of 62 tensors) leaves 2 tensors with a gradient" in said
    assert "Running statistics moved in 20 layers all the same; with frozen BatchNorm in eval() in 0." in said
    assert "the statistics of 20 BatchNorm layers moved: it is not eval()." in said
    assert "“Inference tensors cannot be saved for backward”." in said
    assert modes.of("at rest").kept_bytes == modes.of("frozen").kept_bytes
    in_head, in_loss = 4 * 512 * 4, 4 * 10 * 4 + 4 * 8 + 4  # features; logarithms of probabilities, labels, what the sum is divided by
    assert modes.of("frozen").kept_bytes == in_head + in_loss
    for effect in modes.effects:
        assert len(cells(modes, effect)) == len(COLUMNS)
    assert list(CODE) == list(LABELS) == list(USES)


def test_a_figure_that_is_the_same_twice_is_said_once() -> None:
    def kept(setting: Setting, size: int) -> Effect:
        return Effect(setting, 2, "", "AddmmBackward0", size, 0, True, True, "")

    for sizes, said in (((7_310_000, 7_300_000, 7_300_000), 1), ((8_000_000, 7_300_000, 1_000), 0)):
        settings: tuple[Setting, ...] = ("train", "eval", "frozen", "no_grad", "inference_mode")
        effects = tuple(kept(setting, size) for setting, size in zip(settings, (*sizes, 0, 0), strict=True))
        text = " ".join(told(Modes("mynet", 4, 4, 2, "plan “norm”", 1, {}, True, effects)))
        assert ("(7.3 MB, in train mode too)" in text) == ("keeps 7.3 MB, as without it." in text) == bool(said)
        assert ("(7.3 MB, 8.0 MB in train mode)" in text) == ("keeps 1 kB instead of 8.0 MB." in text) == (not said)


def test_what_is_frozen_stays_as_it_is_at_rest_alone(both: Any) -> None:
    looked_at, _ = both("head only")
    gave: dict[Setting, list[Tensor]] = {}
    for setting in ("frozen", "at rest"):
        model = copy.deepcopy(looked_at.model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("fc."))
        model.train()
        if setting == "at rest":
            for module in model.modules():
                if isinstance(module, _NormBase):
                    module.eval()
        body = nn.Sequential(*list(model.children())[:-1])
        gave[setting] = [body(looked_at.inputs * scale).detach() for scale in (1, 3, 1)]
        model.eval()
        gave[setting].append(body(looked_at.inputs).detach())
    assert torch.equal(gave["at rest"][0], gave["at rest"][3])
    assert not torch.allclose(gave["frozen"][0], gave["frozen"][3], rtol=0.01)


def test_a_head_of_zeros_does_not_hide_what_the_rest_does(both: Any) -> None:
    looked_at, _ = both("vit_b_16")
    model = looked_at.model.eval()
    with torch.no_grad():
        assert not model(looked_at.inputs).any(), "a vision transformer's new head gives 0 for everything"
        with _awake(looked_at, model):
            assert model(looked_at.inputs).abs().min() > 0
        assert not model(looked_at.inputs).any()


@pytest.mark.parametrize("name", MODELS)
def test_looking_leaves_the_model_as_it_was(name: str, both: Any, touched: dict[str, list[str]]) -> None:
    both(name)
    assert touched[name] == []


def test_it_is_given_up_and_says_what_cannot_be_used(explained: Home) -> None:
    calls = iter(range(9))
    with pytest.raises(Cancelled):
        explain.modes(own(), explained, lambda: next(calls, None) is None)
    assert explain.modes(own(), explained).effects
    with pytest.raises(ConfigError, match="samples: 1 gives batch normalisation too few values"):
        explain.modes(own(SMALL.replace(model="resnet18"), samples=1), explained)


def test_the_backward_pass_goes_back_to_the_first_layer_that_learns_and_no_further(both: Any, explained: Home) -> None:
    for name, first in (("resnet18", "conv1"), ("head only", "fc")):
        looked_at, _ = both(name)
        model = looked_at.working()
        loss, _ = looked_at.loss_of(model(looked_at.inputs))
        names = {id(parameter): path for path, parameter in model.named_parameters()}
        reached = [names[id(node.variable)] for node in graph_nodes(loss) if node.name() == "torch::autograd::AccumulateGrad"]
        loss.backward()  # type: ignore[no-untyped-call]
        assert {path.partition(".")[0] for path in reached} == ({first} if first == "fc" else {path.partition(".")[0] for path in names.values()})
        assert looked_at.inputs.grad is None, "not to the pictures"


def test_an_inference_tensor_is_refused_where_it_would_be_kept() -> None:
    with torch.inference_mode():
        result = torch.ones(3) * 2
    weight = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        result * weight
    (result.clone() * weight).sum().backward()
    (result + weight).sum().backward()  # a sum keeps nothing
    assert weight.grad is not None
    assert weight.grad.tolist() == [3, 3, 3]
