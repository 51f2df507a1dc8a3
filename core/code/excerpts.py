"""The engine's own source, word for word, for scripts that run without it; and the lines with which such a script imports what it uses.

So there is one reading of a picture, a split or a random change: a script shows the very lines that a run goes through.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

Import = tuple[str, str, str]
"""Module, name in it ('' for the module itself), name in the script ('' for the same)."""

_USUAL = """
import contextlib
import copy
import csv
import hashlib
import math
import os
import sys
from pathlib import Path
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
import torchvision
from PIL import Image, ImageOps
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets
from torchvision.transforms import v2
"""
"""What a script may use without saying so: `importing` finds out what it does use."""


@dataclass(frozen=True)
class Excerpt:
    """Lines of a script, and what they import beyond what is usual."""

    text: str
    imports: tuple[Import, ...] = ()


@cache
def excerpt(module: str, *names: str, beside: frozenset[str] = frozenset()) -> Excerpt:
    """The functions, classes and constants of `module` called `names`, and those of the same module that they use, in the order of the module.

    No names: the whole module, but for its docstring and imports. The module is read, not imported: it may need torch.
    `beside`: names of other modules of the project that the script has from another excerpt.

    Raises:
        ValueError: what is wanted is not there, or uses something else of the project, so that it would not run by itself.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {module}")
    text = Path(spec.origin).read_text(encoding="utf-8")
    body = ast.parse(text).body
    named = {name: place for place, node in enumerate(body) for name in _names(node)}
    wanted = set(_reached(body, named, names or named))
    imports = {local(found): found for node in body for found in _imports(node)}
    used = set().union(*(_used(body[place]) for place in wanted)) & imports.keys() - named.keys() - beside
    missing = sorted({name for name in names if name not in named} | {name for name in used if imports[name][0].startswith("core")})
    if missing:
        raise ValueError(f"{', '.join(missing)} cannot be taken out of {module}")
    lines = text.splitlines()
    parts = [(_kind(body[place]), "\n".join(lines[_begin(body[place]) - 1 : _end(body, place)])) for place in sorted(wanted)]
    return Excerpt(_apart(parts), tuple(imports[name] for name in sorted(used)))


def joined(parts: Iterable[Excerpt | str]) -> Excerpt:
    """The parts one below the other, without those that are empty: two empty lines around functions and classes, else one."""
    text, imports = "", tuple[Import, ...]()
    for part in parts:
        piece = Excerpt(part) if isinstance(part, str) else part
        own = piece.text.strip("\n")
        if own:
            apart = text and (text.splitlines()[-1].startswith(" ") or own.startswith(("def ", "class ", "@")))
            text += ("\n\n\n" if apart else "\n\n" if text else "") + own
            imports += piece.imports
    return Excerpt(text, imports)


def importing(code: str, further: Iterable[Import] = ()) -> str:
    """The import lines that `code` needs: of `further`, and of what is usual, whatever it uses and does not make itself."""
    tree = ast.parse(code)
    own = {name for node in tree.body for name in _names(node)}
    offered = {local(found): found for node in ast.parse(_USUAL).body for found in _imports(node)} | {local(found): found for found in further}
    needed = [offered[name] for name in (_used(tree) & offered.keys()) - own]
    ours = [found for found in needed if found[0].partition(".")[0] in sys.stdlib_module_names]
    return "\n\n".join(filter(None, (_lines(ours), _lines([found for found in needed if found not in ours]))))


def local(found: Import) -> str:
    """The name that an import makes."""
    module, name, other = found
    return other or name or module.partition(".")[0]


def _reached(body: list[ast.stmt], named: dict[str, int], names: Iterable[str]) -> Iterator[int]:
    """The places of `names` and of all that they use, each once."""
    seen: set[int] = set()
    waiting = [named[name] for name in names if name in named]
    while waiting:
        place = waiting.pop()
        if place not in seen:
            seen.add(place)
            yield place
            waiting += [named[name] for name in _used(body[place]) if name in named]


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]
        case ast.AnnAssign(target=ast.Name()):
            return [node.target.id]  # type: ignore[union-attr]
        case _:
            return []


def _used(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)}


def _imports(node: ast.stmt) -> list[Import]:
    match node:
        case ast.Import():
            return [(alias.name, "", alias.asname or "") for alias in node.names]
        case ast.ImportFrom(module=str() as module) if module != "__future__":
            return [(module, alias.name, alias.asname or "") for alias in node.names]
        case _:
            return []


def _begin(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _end(body: list[ast.stmt], place: int) -> int:
    """The last line of a statement; of a constant, with the text below it that says what it is."""
    below = body[place + 1] if place + 1 < len(body) else None
    told = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and not isinstance(body[place], ast.FunctionDef | ast.ClassDef)
    return int((below if told and below is not None else body[place]).end_lineno or 0)


def _kind(node: ast.stmt) -> str:
    return "block" if isinstance(node, ast.FunctionDef | ast.ClassDef) else "line"


def _apart(parts: list[tuple[str, str]]) -> str:
    """Two empty lines around functions and classes, none between constants."""
    text, before = parts[0][1], parts[0][0]
    for kind, part in parts[1:]:
        text += ("\n\n\n" if "block" in (kind, before) else "\n") + part
        before = kind
    return text


def _lines(found: list[Import]) -> str:
    """Import lines, those of whole modules first, sorted."""
    whole = [f"import {module}{f' as {other}' if other else ''}" for module, name, other in sorted(found) if not name]
    names: dict[str, list[str]] = {}
    for module, name, other in sorted(found, key=lambda found: (found[0], not found[1].isupper(), not found[1][:1].isupper(), found[1].lower())):
        if name:
            names.setdefault(module, []).append(f"{name} as {other}" if other else name)
    return "\n".join(
        [*whole, *(f"from {module} import {', '.join(members)}" for module, members in sorted(names.items(), key=lambda item: item[0].lower()))]
    )
