"""What a model is made of: its parameter tensors, which role each plays, the shapes that flow through it and what they cost.

Nothing is computed: the model is built and run on torch's `meta` device, where tensors have shapes and no numbers. That takes
20 to 600 ms and a few MB for any of the models, of however many parameters, and what came out is kept (`kept_descriptions`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from core.config import ConfigError
from core.config.plans import ROLES, Role
from core.machine.light_torch import without_symbols
from core.model import kept_descriptions
from core.networks.head import head_info, replace_head
from core.networks.model_entries import ModelEntry
from core.networks.models import build, find_model
from core.records.layers import PLAIN_HEAD, HeadOptions, ModelDescription, ParameterInfo

with without_symbols():
    from torch.utils.flop_counter import flop_registry

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""BatchNorm and InstanceNorm of any dimension, LayerNorm, GroupNorm and RMSNorm."""

IMAGES = 2
"""How many images a model is run on: two, because a first dimension of 1 is not always the batch."""

STRUCTURE_SIZE = 224
"""Image side at which roles are read off, in pixels: on small images the last stages all shrink to one pixel and look alike."""


@lru_cache(maxsize=64)
def describe(model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelDescription:
    """The model with a head for `classes` classes. Remembered, so that asking again costs nothing. Uses no random numbers.

    Roles: the head is what gives one number a class (and the last layers of auxiliary classifiers); the stem is the first layer
    and the norm right behind it; the last stage is everything else from the block that makes the feature maps as small as they
    get, or, where they are one size all the way, from the last block of the longest chain; the body is the rest.

    Raises:
        ConfigError: there is no such model, or it cannot be trained on images of this size.
    """
    entry = find_model(model)
    if (known := kept_descriptions.kept(entry.name, classes, image_size, head)) is not None:
        return known
    with without_numbers():
        built = build(entry.name, classes, image_size)
    found = describe_module(built, entry, classes, image_size, head)
    kept_descriptions.keep(found, head)
    return found


def describe_module(model: nn.Module, entry: ModelEntry, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelDescription:
    """Like `describe`, for any module that takes and returns what `entry` says. It gets the head that `head` asks for, and loses its numbers.

    A tensor that several modules share (tied weights) is one entry, with the last of the roles that it plays: a preset under
    which the head learns has the whole head learn.

    Raises:
        ConfigError: it cannot be trained on images of this size, or cannot have such a head.
    """
    originals = {path: model.get_submodule(path) for path in entry.family.head}
    with without_numbers():
        replace_head(model, entry.family.head[0], head)
    names = _names(model)  # the meta device makes two tensors of a shared one
    return _described(model.to("meta"), entry, classes, image_size, originals, names)


def is_norm(module: nn.Module) -> bool:
    """True for a normalisation layer: BatchNorm, LayerNorm, GroupNorm and their kin."""
    return isinstance(module, NORMS)


class _MetaParameters(TorchFunctionMode):
    """Has `torch.empty`, where layers get their memory from, make tensors without memory, and leaves them as they are where they are filled.

    `torch.device("meta")` would do that for every tensor, those too that RegNet computes its widths from while it is built. Filling what has
    no memory changes nothing, and torch works it out in Python: half of the time that building a model takes.
    """

    filling = frozenset((Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_, Tensor.erfinv_, Tensor.clamp_))

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func in self.filling and args[0].is_meta:
            return args[0]
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class _ShapesOnly(TorchFunctionMode):
    """Skips what keeps the shape: on the meta device torch works these out in Python, which is most of the time of a pass."""

    same_shape = frozenset((F.batch_norm, F.layer_norm, F.relu, F.relu6, F.silu, F.gelu, F.hardswish, F.hardsigmoid, F.dropout))

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        return args[0] if func in self.same_shape else func(*args, **(kwargs or {}))


@contextmanager
def without_numbers() -> Iterator[None]:
    """Within it, models are built with shapes and without numbers, in some 0.3 s whatever their size."""
    # Some models still draw a few numbers on the CPU; a description must not move the random state of a run.
    with torch.random.fork_rng(devices=[]), without_symbols(), _MetaParameters():
        yield


class _Trace(TorchDispatchMode):
    """What one forward pass shows, by module path: when each was first done, the shape of what leaf modules returned, and FLOPs.

    Within it, operations are counted for the innermost module at work. torch's FlopCounterMode does the same in twice the time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[str, None] = {}
        self.leaves: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.flops: dict[str, int] = {}
        self._inside: list[str] = []

    def hooks(self, path: str, module: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
        """Have `module`, which lies at `path`, tell when it begins and ends."""

        def begin(module: nn.Module, inputs: Any) -> None:
            self._inside.append(path)

        def end(module: nn.Module, inputs: Any, output: Any) -> None:
            self._inside.pop()
            self.calls.setdefault(path)
            if not _is_leaf(module):
                return
            self.leaves.setdefault(path, len(self.leaves))
            tensor = output[0] if isinstance(output, tuple) else output
            # Attention in windows folds them into the batch: that is no shape for one image.
            if isinstance(tensor, Tensor) and tensor.dim() > 1 and len(tensor) == IMAGES:
                self.shapes.setdefault(path, tuple(tensor.shape[1:]))

        return module.register_forward_pre_hook(begin), module.register_forward_hook(end)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula:
            path = self._inside[-1]
            self.flops[path] = self.flops.get(path, 0) + formula(*args, **kwargs, out_val=result)
        return result


def _described(
    model: nn.Module, entry: ModelEntry, classes: int, image_size: int, originals: dict[str, nn.Module], names: list[tuple[str, ...]]
) -> ModelDescription:  # fmt: skip
    trace = _run(model, entry, image_size)
    # A fixed model takes no other size, and does not change its shape with it either.
    structure = trace if entry.family.fixed or image_size >= STRUCTURE_SIZE else _run(model, entry, STRUCTURE_SIZE)
    role = _Roles(model, entry, structure)
    parameters = []
    for name, *aliases in names:
        module, parameter = model.get_submodule(_owner(name)), model.get_parameter(name)
        parameters.append(
            ParameterInfo(
                name=name,
                shape=tuple(parameter.shape),
                count=parameter.numel(),
                module=_owner(name),
                kind=type(module).__name__,
                role=max((role.of(_owner(other)) for other in (name, *aliases)), key=ROLES.index),
                is_norm=is_norm(module),
                aliases=tuple(aliases),
            )
        )
    heads = entry.family.head
    return ModelDescription(
        entry.name,
        classes,
        image_size,
        tuple(parameters),
        kinds={path: type(module).__name__ for path, module in model.named_modules() if any(True for _ in module.parameters())},
        output_shapes=trace.shapes,
        flops={path: operations // IMAGES for path, operations in trace.flops.items()},
        order=_order(trace, entry),
        head=tuple(
            head_info(path, originals[path], model.get_submodule(path), entry.published is not None, options=path == heads[0]) for path in heads
        ),
    )


def _names(model: nn.Module) -> list[tuple[str, ...]]:
    """The names of each parameter tensor, in `named_parameters` order and with the name that is used there first."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [tuple(found) for found in names.values()]


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _run(model: nn.Module, entry: ModelEntry, image_size: int) -> _Trace:
    """Run the model on a few images, auxiliary classifiers included."""
    trace = _Trace()
    hooks = [hook for path, module in model.named_modules() for hook in trace.hooks(path, module)]
    # Chance (dropout, stochastic depth) rests in eval mode. Auxiliary classifiers ask only for the flag of the whole model.
    model.eval()
    model.training = bool(entry.family.auxiliary)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), without_symbols(), trace, _ShapesOnly():
            model(torch.empty(IMAGES, 3, image_size, image_size, device="meta"))
    except (RuntimeError, ValueError, AssertionError) as error:
        # The catalogue knows the smallest size of every model, so this is for models to come.
        raise ConfigError("image_size", f"{entry.label} cannot take images of {image_size} pixels a side ({error}); try {entry.usual}") from None
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def _order(trace: _Trace, entry: ModelEntry) -> tuple[str, ...]:
    """Modules that compute, in the order in which they are first done. What only training uses comes last: nothing builds on it."""
    units = [path for path in trace.calls if path in trace.flops or path in trace.leaves]
    return tuple(sorted(units, key=lambda path: _below(path, entry.family.auxiliary)))


def _is_leaf(module: nn.Module) -> bool:
    # Attention has a layer inside that it never calls, only reads.
    return isinstance(module, nn.MultiheadAttention) or not any(True for _ in module.children())


class _Roles:
    """Which role a module plays, by its path."""

    def __init__(self, model: nn.Module, entry: ModelEntry, trace: _Trace) -> None:
        self._modules = dict(model.named_modules())
        self._head = entry.family.head
        self._auxiliary = entry.family.auxiliary
        self._first_call = _first_calls(trace.leaves)
        self._main = [path for path in trace.leaves if not _below(path, (*self._head, *self._auxiliary))]
        self._with_parameters = [path for path in self._main if any(True for _ in self._modules[path].parameters())]
        self._chain = ""
        self._stem = self._find_stem()
        self._last = self._find_smallest_maps(trace) or self._find_last_of_chain()

    def of(self, path: str) -> Role:
        """The role of the parameters that the module at `path` itself owns."""
        if _below(path, self._head):
            return "head"
        if path in self._stem or self._is_embedding(path):
            return "stem"
        if _below(path, self._auxiliary):
            return "body"
        in_last = self._last and (_below(path, (self._last,)) or self._when(self._unit(path)) >= self._when(self._last))
        return "last stage" if in_last else "body"

    def _find_stem(self) -> tuple[str, ...]:
        first = self._with_parameters[:1]
        second = [path for path in self._with_parameters[1:2] if is_norm(self._modules[path]) and _owner(path) == _owner(first[0])]
        return (*first, *second)

    def _find_smallest_maps(self, trace: _Trace) -> str:
        """The block in which feature maps get as small as they ever are; '' where they never do."""
        areas = {path: area for path in self._main if (area := self._area(path, trace.shapes.get(path, ()))) > 1}
        if not areas:
            return ""
        smallest = min(areas.values())
        first = next(path for path in areas if areas[path] == smallest)
        return self._unit(first) if first != next(iter(areas)) else ""

    def _area(self, path: str, shape: tuple[int, ...]) -> int:
        """How many places a layer's output has: its pixels, or patches. 1 for a plain vector, and what squeezes maps to one."""
        match self._modules[path]:
            case nn.Conv2d():
                return math.prod(shape[1:])
            case nn.Linear():
                return math.prod(shape[:-1])
            case _:
                return 1

    def _find_last_of_chain(self) -> str:
        """The last member of the chain of equal blocks: the last outermost sequence of several members of one class that have parameters.

        Without such a sequence, the last block of all, if it is more than the stem; '' if there is none.
        """
        chains: list[str] = []
        for path, module in self._modules.items():
            if not path or not isinstance(module, nn.Sequential | nn.ModuleList) or _below(path, tuple(chains)):
                continue
            members = self._members(path)
            if len(members) > 1 and len({type(self._modules[member]) for member in members}) == 1:
                chains.append(path)
        if not chains:
            return next((self._unit(path) for path in reversed(self._with_parameters) if path not in self._stem), "")
        self._chain = chains[-1]
        return self._members(self._chain)[-1]

    def _members(self, path: str) -> list[str]:
        """The modules right below `path` that have parameters of the main path in them."""
        start = len(path) + 1
        return list(dict.fromkeys(path + "." + called[start:].split(".")[0] for called in self._with_parameters if called.startswith(path + ".")))

    def _unit(self, path: str) -> str:
        """The outermost block that `path` lies in: a residual block, say, which is frozen whole or not at all."""
        if self._chain:
            return path
        parts = path.split(".")
        for end in range(1, len(parts)):
            block = ".".join(parts[:end])
            if not isinstance(self._modules[block], nn.Sequential | nn.ModuleList):
                return block
        return path

    def _when(self, unit: str) -> int:
        """When anything in `unit` was first called; -1 for never."""
        return self._first_call.get(unit, -1)

    def _is_embedding(self, path: str) -> bool:
        """True for what the whole chain of blocks lies in: what it owns itself (class token, positions) is added before the first."""
        return bool(self._chain) and (not path or self._chain.startswith(path + "."))


def _first_calls(leaves: dict[str, int]) -> dict[str, int]:
    """When each module, or the first one inside it, was called."""
    first: dict[str, int] = {}
    for path, time in leaves.items():
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            first.setdefault(".".join(parts[:end]), time)
    return first


def _below(path: str, modules: tuple[str, ...]) -> bool:
    return any(path == module or path.startswith(module + ".") for module in modules)
