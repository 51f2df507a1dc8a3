"""What trying out a model's cut has shown, on disk: a later run that would find out the same by trying need not.

Where a model is cut follows from what its steps do (`split.Facts`). To find that out, and that both halves give what the whole gives, is most of
what it costs to begin on kept features. A file holds it for one `name`, in which stands all that it follows from: code, torch, the machine,
number formats and threads, each module with its mode and its numbers, what learns, and the digest of every frozen tensor and every buffer. A
model of which something cannot be told in words (a hook, a module of somebody else's) has no name, and is tried out each time.

The facts name steps of a trace, and the trace must be the same. A file counts if it is whole (`machine.kept_files`). That
features are what the frozen layers give now is no matter of a proof: they are computed again and compared in every run (`checks`).
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, fx, nn

from core import networks
from core.machine import bits, kept_files
from core.reuse.split import Facts, NotSplit, Split, cut_by

MOST = 200
"""Files that are kept at most, 2 to 60 kB each: those that were used longest ago go first."""

_ROOMS = ("torch.", "torchvision.", "core.")
"""Whose modules have a name: their code is part of it, by digest or by version."""

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)
_OWN = frozenset(nn.Module().__dict__) - {"training"}
"""What every module has: its parts, which are told by themselves, and hooks, of which there may be none."""

_PARTS = frozenset({"_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"})


class Untold(Exception):
    """Something of a model that decides what it does, and that no text can tell."""


def _code() -> str:
    """SHA-256 of the files that decide what a proof says."""
    files = [*Path(__file__).parent.glob("*.py"), *Path(networks.__file__).parent.glob("*.py"), Path(bits.__file__)]
    return kept_files.code_of(sorted(files))


_CODE = _code()  # when it is imported: a file that is edited later is not what this process works with


def told(model: nn.Module) -> str:
    """What decides what a model does, but for the modes of its modules: their classes, settings and tensors, the digests of those that do not learn.

    Raises:
        Untold: a hook, a module of another room, a setting that is no plain value.
    """
    if nn.modules.module._has_any_global_hook():
        raise Untold("a hook of all modules")
    return "\n".join(line for name, module in model.named_modules(remove_duplicate=False) for line in _lines(name, module))


def modes(model: nn.Module) -> str:
    """Of each module 1 in train mode, 0 in eval mode."""
    return "".join(str(int(module.training)) for module in model.modules())


def _lines(name: str, module: nn.Module) -> Iterator[str]:
    kind = type(module)
    if not kind.__module__.startswith(_ROOMS):
        raise Untold(f"{name} is of {kind.__module__}")
    own = module.__dict__
    if "forward" in own or any(own[each] for each in _OWN - _PARTS if each in own and not isinstance(own[each], bool)):
        raise Untold(f"{name} has a hook")
    settings = ", ".join(f"{key}={_plain(value)}" for key, value in sorted(own.items()) if key not in _OWN and key != "training")
    yield f"{name} {kind.__module__}.{kind.__qualname__} {settings}"
    for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
        yield f" {key} {None if tensor is None else _tensor(tensor)}"


def _tensor(tensor: Tensor) -> str:
    bits_of = "learns" if tensor.requires_grad else bits.unchanged(tensor) or bits.seen(tensor)  # the audit has read most of them just before
    return f"{tensor.dtype} {tuple(tensor.shape)} {tensor.stride()} {bits_of}"


def _plain(value: Any) -> str:
    if type(value) in _PLAIN:
        return repr(value)
    if type(value) in (tuple, list, torch.Size):
        return f"{type(value).__name__}({', '.join(map(_plain, value))})"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, functools.partial):
        return f"partial({_plain(value.func)}, {_plain(value.args)}, {_plain(tuple(sorted(value.keywords.items())))})"
    raise Untold(f"a {type(value).__name__}")


@dataclass(frozen=True)
class _Layout:
    """Of one tensor of the border of two pictures."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class _Kept:
    """What a file holds: the facts, the digest of the trace that they are about, and what the border is like."""

    by_chance: tuple[str, ...]
    by_picture: tuple[str, ...]
    steps: str
    border: tuple[_Layout, ...]


_KEPT = TypeAdapter(_Kept)


def _steps(graph: fx.Graph) -> str:
    """SHA-256 of what a model does step by step. Functions go by their name: their code is torch's or torchvision's."""
    lines = []
    for node in graph.nodes:
        target = node.target if isinstance(node.target, str) else f"{node.target.__module__}.{node.target.__qualname__}"
        lines.append(f"{node.op} {node.name} {target} {node.args} {node.kwargs}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Proofs:
    """Those in `folder`; None: none are kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def name(self, *parts: str) -> str:
        """One for all that these say, this code and these libraries."""
        return hashlib.sha256("\0".join([_CODE, torch.__version__, torchvision.__version__, *parts]).encode()).hexdigest()[:32]

    def cut(self, name: str, model: nn.Module, graph: fx.Graph) -> Split | None:
        """`model`, traced as `graph`, cut as an earlier run has proved it under this name; None: no file that counts does."""
        kept = self._read(name)
        if kept is None or kept.steps != _steps(graph) or not {*kept.by_chance, *kept.by_picture} <= {node.name for node in graph.nodes}:
            return None
        with suppress(NotSplit, RuntimeError, AttributeError, TypeError):
            found = cut_by(model, graph, Facts(frozenset(kept.by_chance), frozenset(kept.by_picture)))
            example = [torch.empty_strided(each.shape, each.strides, dtype=getattr(torch, each.dtype), device="meta") for each in kept.border]
            if len(example) == len(found.border):
                return replace(found, example=tuple(example), proved=True)
        return None

    def holds(self, name: str) -> bool:
        """Whether a whole file of this name is there."""
        return self._read(name) is not None

    def keep(self, name: str, found: Split, graph: fx.Graph) -> None:
        """Have later runs find this, cut out of `graph`. A disk that does not take it costs nothing but that."""
        if self.folder is None or found.facts is None:
            return
        border = tuple(_Layout(tuple(each.shape), each.stride(), str(each.dtype).removeprefix("torch.")) for each in found.example)
        kept = _Kept(tuple(sorted(found.facts.by_chance)), tuple(sorted(found.facts.by_picture)), _steps(graph), border)
        kept_files.keep(self._path(self.folder, name), _KEPT.dump_json(kept), MOST)

    def forget(self) -> None:
        """Remove all of them: something that follows from one was not so."""
        for file in self.folder.glob("*.json") if self.folder else ():
            file.unlink(missing_ok=True)

    def _read(self, name: str) -> _Kept | None:
        if self.folder is None:
            return None
        path = self._path(self.folder, name)
        if (body := kept_files.read(path)) is None:
            return None
        try:
            found = _KEPT.validate_json(body)
            os.utime(path)  # used just now: the last to go
        except (OSError, ValidationError):
            return None
        return found

    @staticmethod
    def _path(folder: Path, name: str) -> Path:
        return folder / f"{name}.json"
