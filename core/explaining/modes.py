"""Freezing, eval(), no_grad() and inference_mode() tried one after the other on a specimen, with what each does to gradients, statistics, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from core.config import ConfigError
from core.config.plans import FreezePlan
from core.explaining.specimen import Specimen
from core.model.freezing import Freezing
from core.records.layers import frozen_parameters
from core.records.modes import LABELS, Effect, Modes, Setting
from core.records.telling import first_line

CLOSE = 1e-4
"""Share of the largest logit by which two answers may differ and still be the same: kernels round differently."""


def tried(specimen: Specimen) -> Modes:
    """Every setting on the specimen's model and batch. The model, its buffers and its flags are afterwards as they were.

    Raises:
        ValueError: the batch gives a BatchNorm too few values to learn from.
    """
    plan, frozen = _plan(specimen)
    effects, logits = [], {}
    norms = sum(1 for module in specimen.model.modules() if _keeps_statistics(module))
    random = _random(specimen.model)
    left_out = set() if frozen and norms else {"at rest"} if frozen else {"at rest", "frozen"}
    with specimen.borrowed() as model, _as_it_was(model), _awake(specimen, model):
        for setting in LABELS:
            if setting not in left_out:
                effect, answer = _effect(specimen, model, setting, frozen)
                effects.append(effect)
                logits[setting] = answer
    return Modes(
        model=specimen.name,
        pictures=len(specimen.inputs),
        tensors=len(specimen.description.parameters),
        frozen=len(frozen),
        plan=plan,
        norms=norms,
        random=random,
        eval_differs=not (torch.equal if norms or random else _close)(logits["train"], logits["eval"]),
        effects=tuple(effects),
    )


def _plan(specimen: Specimen) -> tuple[str, frozenset[str]]:
    """What the frozen rows freeze: the specimen's own plan, or all but the head where that freezes nothing. Nothing where there is only a head."""
    if specimen.frozen:
        config = specimen.example.config
        return (f"plan “{config.freeze}”" if config is not None else "this example's plan"), specimen.frozen
    try:
        return "all but the head", frozen_parameters(FreezePlan(rules=("head only",)), specimen.description.parameters)
    except ConfigError:
        return "", frozenset()


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Flags, modes and gradients are put back afterwards."""
    flags = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for parameter, requires, grad in flags:
            parameter.requires_grad_(requires)
            parameter.grad = grad
        for module, training in modes:
            module.training = training


@contextmanager
def _awake(specimen: Specimen, model: nn.Module) -> Iterator[None]:
    """Within it, a head that begins with zeros (a vision transformer's) has small numbers: else nothing before it would be seen in an answer."""
    named = dict(model.named_parameters())
    asleep = [named[each.name] for each in specimen.description.parameters if each.role == "head" and not named[each.name].any()]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for weights in asleep:
            weights.copy_(0.02 * torch.randn(weights.shape))
    try:
        yield
    finally:
        with torch.no_grad():
            for weights in asleep:
                weights.zero_()


def _put(model: nn.Module, setting: Setting, frozen: frozenset[str]) -> None:
    for name, parameter in model.named_parameters():
        parameter.grad = None
        parameter.requires_grad_(setting not in ("frozen", "at rest") or name not in frozen)
    model.train(setting not in ("eval", "validation"))
    if setting == "at rest":
        Freezing(model, frozen).train()


def _effect(specimen: Specimen, model: nn.Module, setting: Setting, frozen: frozenset[str]) -> tuple[Effect, Tensor]:
    _put(model, setting, frozen)
    without = {"no_grad": torch.no_grad, "validation": torch.no_grad, "inference_mode": torch.inference_mode}.get(setting, nullcontext)
    before = _statistics(model)
    kept = _Kept(model)
    with specimen.seeded(), without():
        with saved_tensors_hooks(kept.keep, lambda tensor: tensor):
            loss, logits = specimen.loss_of(model(specimen.inputs))
        moved = sum(1 for path, mean in _statistics(model).items() if not torch.equal(mean, before[path]))
        grad_fn = logits.grad_fn.name() if logits.grad_fn is not None else ""
        later = _later(logits)
    refused = ""
    try:
        loss.backward()
    except RuntimeError as error:
        refused = first_line(error)
    grads = sum(1 for parameter in model.parameters() if parameter.grad is not None)
    for parameter in model.parameters():
        parameter.grad = None
    same, alone = _again(specimen, model)
    return Effect(setting, grads, refused, grad_fn, kept.bytes, moved, same, alone, later), logits.detach().clone()


def _again(specimen: Specimen, model: nn.Module) -> tuple[bool, bool | None]:
    """Whether two passes in a row give the same, bit for bit, and whether the first picture's answer stays in other company."""
    with specimen.seeded(), torch.no_grad():
        first, second = (specimen.loss_of(model(specimen.inputs))[1] for _ in range(2))
    if len(specimen.inputs) < 2:
        return torch.equal(first, second), None
    others = specimen.inputs.clone()
    others[1:] = -2 * others[1:].flip(-1) + 1
    with specimen.seeded(), torch.no_grad():
        company = specimen.loss_of(model(others))[1]
    return torch.equal(first, second), _close(first[:1], company[:1])


def _later(logits: Tensor) -> str:
    """What a later loss raises that multiplies the logits with something that learns; "" if it takes them."""
    with torch.inference_mode(False), torch.enable_grad():
        factor = torch.ones(logits.shape, device=logits.device, requires_grad=True)
        try:
            (logits * factor).sum()
        except RuntimeError as error:
            return first_line(error).partition(". ")[0]
    return ""


class _Kept:
    """Counts what a graph keeps for the backward pass, each memory once, the model's own left out."""

    def __init__(self, model: nn.Module) -> None:
        self._own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        self._found: dict[int, Tensor] = {}  # held, so that no memory is used twice meanwhile

    def keep(self, tensor: Tensor) -> Tensor:
        """For `saved_tensors_hooks`."""
        address = tensor.untyped_storage().data_ptr()
        if address not in self._own:
            self._found.setdefault(address, tensor)
        return tensor

    @property
    def bytes(self) -> int:
        """All together."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self._found.values())


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module, _NormBase) and module.running_mean is not None


def _statistics(model: nn.Module) -> dict[str, Tensor]:
    """A copy of each running mean, by the path of its layer."""
    with torch.inference_mode(False), torch.no_grad():
        return {path: _mean(module).clone() for path, module in model.named_modules() if _keeps_statistics(module)}


def _mean(module: Any) -> Tensor:
    mean: Tensor = module.running_mean
    return mean


def _random(model: nn.Module) -> dict[str, int]:
    """Layers that drop something in train mode, class name to number."""
    found: dict[str, int] = {}
    for module in model.modules():
        share = module.p if isinstance(module, _DropoutNd | StochasticDepth) else getattr(module, "dropout", 0.0)
        if isinstance(share, float) and share > 0:
            name = type(module).__name__
            found[name] = found.get(name, 0) + 1
    return found


def _close(first: Tensor, second: Tensor) -> bool:
    return bool((first - second).abs().max() <= CLOSE * first.abs().max())
