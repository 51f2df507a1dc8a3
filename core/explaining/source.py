"""A model's own source: the text of each class that it is made of, and the lines that make and call each layer, found in the syntax tree.

The text is what Python has loaded (`inspect.getsource`), torchvision's and torch's own too. A network of the Build screen has no class of
its own in a file: it shows the class that Thaw writes for it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from torch import nn

from core.code import class_name, network_code
from core.model.anatomy import without_numbers
from core.networks import parse
from core.networks.models import build, find_model
from core.networks.own_networks import Network
from core.records.layers import PLAIN_HEAD, HeadOptions
from core.records.sources import ClassSource, LayerSource, Mention, ModelSource, Use

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

GENERATED = "written by Thaw"
"""The module of a class that stands in no file."""


@lru_cache(maxsize=16)
def model_source(model: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> ModelSource:
    """The source of a model with a head for `classes` classes, as it is built for images of `image_size` pixels.

    Raises:
        ConfigError: there is no such model, or it cannot be trained on images of this size, or cannot have such a head.
    """
    entry = find_model(model)
    with without_numbers():
        built = build(entry.name, classes, image_size, head)
    made = _Reader()
    if isinstance(built, Network):
        made.take_generated(network_code(entry.name, image_size, classes), class_name(parse(entry.name).label))
    layers = {}
    for path, module in built.named_modules():
        new = path == entry.family.head[0] and head != PLAIN_HEAD
        note = f"Thaw then puts a new head in its place: model.{path} = {type(module).__name__}(...)." if new else _note(built, path)
        layers[path] = LayerSource(made.place(type(module)), made.mentions(built, path), note)
    return ModelSource(entry.name, tuple(made.classes), layers)


def _note(model: nn.Module, path: str) -> str:
    """What the lines of the class around a layer do not say."""
    around = _around(model, path)
    if around is None or path == "":
        return ""
    name = path.rpartition(".")[0]
    if type(around).forward is nn.Sequential.forward:
        return f"{name} is an nn.Sequential: its forward calls what is in it one after the other, each with what the one before returned."
    if isinstance(around, nn.ModuleList | nn.ModuleDict) and type(around).forward is nn.Module.forward:
        return f"{name} is an nn.{type(around).__name__}, which has no forward: the class around it calls what is in it."
    return ""


def _around(model: nn.Module, path: str) -> nn.Module | None:
    return model.get_submodule(path.rpartition(".")[0]) if path else None


@dataclass
class _Text:
    """A class's text as a syntax tree whose line numbers are those of its file."""

    tree: ast.ClassDef
    found: dict[str, list[tuple[int, int, Use]]] = field(default_factory=dict)
    helpers: dict[tuple[int, int], tuple[tuple[int, int], ...]] = field(default_factory=dict)


class _Reader:
    """The classes met so far, each once, and the mentions in them."""

    def __init__(self) -> None:
        self.classes: list[ClassSource] = []
        self._places: dict[str, int] = {}
        self._texts: list[_Text] = []
        self._generated: dict[str, ClassSource] = {}
        self._root = ""

    def take_generated(self, code: str, root: str) -> None:
        """The classes in a text that Thaw has written; `root` is the network's own."""
        for node in ast.parse(code).body:
            if isinstance(node, ast.ClassDef):
                text = ast.get_source_segment(code, node) or ""
                self._generated[node.name] = ClassSource(node.name, GENERATED, node.lineno, text + "\n")
        self._root = root

    def place(self, kind: type[nn.Module]) -> int:
        """The number of a class, taken in if it is new."""
        key = f"{kind.__module__}.{kind.__qualname__}"
        if key not in self._places:
            source = self._source(kind)
            self._places[key] = len(self.classes)
            self.classes.append(source)
            self._texts.append(_Text(_tree(source)))
        return self._places[key]

    def _source(self, kind: type[nn.Module]) -> ClassSource:
        generated = self._generated.get(self._root if kind is Network else kind.__name__)
        if generated is not None and not kind.__module__.startswith("torch"):
            return generated
        lines, first = _lines(kind)  # type: ignore[arg-type]  # mypy: a metaclass may not be hashable
        return ClassSource(kind.__name__, kind.__module__, first, "".join(lines))

    def mentions(self, model: nn.Module, path: str) -> tuple[Mention, ...]:
        """Where the class around the layer at `path`, or one that it inherits from, makes and calls it.

        What lies in a plain container has no such lines there: it is made where the container is.
        """
        around, (above, _, name) = _around(model, path), path.rpartition(".")
        if around is None:
            return ()
        if type(around) in CONTAINERS:
            return self._with_helpers(self.mentions(model, above))
        own = isinstance(around, CONTAINERS)
        found = []
        for kind in type(around).__mro__:
            if kind not in (nn.Module, *CONTAINERS) and issubclass(kind, nn.Module):
                place = self.place(kind)
                found += [Mention(place, *lines) for lines in self._in(place, name) or (self._in(place, "") if own else ())]
        return tuple(found)

    def _in(self, place: int, name: str) -> list[tuple[int, int, Use]]:
        text = self._texts[place]
        if name not in text.found:
            text.found[name] = sorted(set(_uses(text.tree, name) if name else _unnamed(text.tree)))
        return text.found[name]

    def _with_helpers(self, mentions: tuple[Mention, ...]) -> tuple[Mention, ...]:
        """The mentions, and the methods that the lines which make something call for it, as ResNet's `_make_layer`."""
        found = list(mentions)
        for mention in mentions:
            if mention.use == "made":
                found += [Mention(mention.place, *lines, "made") for lines in self._helpers(mention)]
        return tuple(dict.fromkeys(found))

    def _helpers(self, mention: Mention) -> tuple[tuple[int, int], ...]:
        """First and last lines of the class's own methods that the lines of a mention call."""
        text, lines = self._texts[mention.place], (mention.first, mention.last)
        if lines not in text.helpers:
            methods = {node.name: node for node in text.tree.body if isinstance(node, ast.FunctionDef)}
            calls = [node.func for node in ast.walk(text.tree) if isinstance(node, ast.Call) and mention.first <= node.lineno <= mention.last]
            called = [methods[function.attr] for function in calls if isinstance(function, ast.Attribute) and function.attr in methods]
            text.helpers[lines] = tuple((helper.lineno, helper.end_lineno or helper.lineno) for helper in called)
        return text.helpers[lines]


@lru_cache(maxsize=1024)
def _lines(kind: Any) -> tuple[list[str], int]:
    """A class's lines and the number of the first: Python reads the whole file as a syntax tree to find them."""
    return inspect.getsourcelines(kind)


def _tree(source: ClassSource) -> ast.ClassDef:
    (node,) = ast.parse(textwrap.dedent(source.text)).body
    assert isinstance(node, ast.ClassDef)
    # A decorator stands before the class, and both count from the first line of the text.
    ast.increment_lineno(node, source.first - 1)
    return node


def _uses(tree: ast.ClassDef, name: str) -> Iterator[tuple[int, int, Use]]:
    """Where a class names its attribute: statements that give it, calls of it, and other uses outside of `__init__`."""
    for method in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        called: set[int] = set()
        for node in ast.walk(method):
            match node:
                case ast.Assign(targets=targets) if any(_is(target, name) for target in targets):
                    yield node.lineno, node.end_lineno or node.lineno, "made"
                case ast.AnnAssign(target=target) if _is(target, name):
                    yield node.lineno, node.end_lineno or node.lineno, "made"
                case ast.Call(func=ast.Attribute(attr="add_module" | "register_module"), args=[ast.Constant(value=given), *_]) if given == name:
                    yield node.lineno, node.end_lineno or node.lineno, "made"
                case ast.Call(func=ast.Attribute(value=value, attr="add_module" | "append")) if _is(value, name):
                    yield node.lineno, node.end_lineno or node.lineno, "made"
                case ast.Call(func=function) if _is(function, name):
                    called.add(id(function))
                    yield node.lineno, node.end_lineno or node.lineno, "called"
                case ast.Attribute() if _is(node, name) and id(node) not in called and method.name != "__init__" and isinstance(node.ctx, ast.Load):
                    yield node.lineno, node.end_lineno or node.lineno, "used"


def _unnamed(tree: ast.ClassDef) -> Iterator[tuple[int, int, Use]]:
    """Where a class that is itself a container makes and calls what is in it, under names that are put together or numbers."""
    for method in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for node in ast.walk(method):
            match node:
                case ast.Call(func=ast.Attribute(value=value, attr=attribute)) if method.name == "__init__":
                    if attribute in ("add_module", "append") or (isinstance(value, ast.Call) and ast.unparse(value.func) == "super"):
                        yield node.lineno, node.end_lineno or node.lineno, "made"
                case ast.For(iter=iterated) if method.name != "__init__" and "self" in {
                    part.id for part in ast.walk(iterated) if isinstance(part, ast.Name)
                }:
                    yield node.lineno, node.end_lineno or node.lineno, "called"


def _is(node: ast.AST, name: str) -> bool:
    """Whether a node is `self.NAME`."""
    return isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.value, ast.Name) and node.value.id == "self"
