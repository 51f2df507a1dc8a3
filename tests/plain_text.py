"""Reads from the source where a screen shows a text as Markdown, and which of these texts may hold words from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHOWS = {
    "badge", "button", "caption", "checkbox", "download_button", "error", "expander", "form_submit_button", "header", "info", "link_button",
    "markdown", "menu_button", "metric", "number_input", "page_link", "progress", "say", "slider", "spinner", "status", "subheader", "success",
    "tabs", "text_area", "text_input", "title", "toast", "toggle", "warning", "write",
}  # fmt: skip
"""Methods whose texts Streamlit draws as Markdown; `say` is that of our own `Fields`, which passes its text on."""

NAMED = {"help", "title", "label", "text", "captions", "body", "about"}
"""Arguments that are drawn as Markdown wherever they are given by name."""

NUMBERS_AND_OWN_WORDS = {
    # words.py
    "plain", "code", "percent", "figure", "duration", "ago", "field",
    # of numbers, dates and our own words alone
    "counted_pictures",
    "amount", "difference", "in_other_words", "interval", "len", "milliseconds", "p_value", "size", "where_hot", "cores", "round", "min", "max",
    "sum",
    "int", "calibration", "python_version",
}  # fmt: skip
"""Functions whose result holds no word from outside, or has it made plain."""

SAME_WORDS = {"capitalize", "lower", "upper", "strip", "replace", "removeprefix", "join", "get", "values", "items"}
"""Methods that put no other words into a text."""

SAME_THINGS = {"zip", "enumerate", "list", "tuple", "sorted", "reversed", "dict.fromkeys"}

OURS = {
    # texts that stand in our source, in a catalogue or a table
    "LOSSES[name].about", "OPTIMIZERS[name].about", "RULES[rule].title",
    "given.about", "given.name", "given.unit", "preset.label", "preset.watch_for", "preset.what", "remedy.label",
    "rule.about", "rule.title", "template.about", "template.label", "words.STATUS[run.status]", "model_choice.facts(table)",
    "telling.peak_in_words(profile.memory)", "mend.about", "mend.label", "TITLES[kind][1]", "TITLES[each][0]",
    # options of optimizers, by their names in torch
    "entry.name", "other.name",
    # weights and epochs, and numbers
    "subject.here", "subject.named(before)", "subject.named(kept)", "subject.only_one", "other.here", "other.only_one", "whose.here",
    "subject.run.config.image_size",
    # what Thaw itself has numbered or named
    "run.id", "subject.run.id", "head.new", "head.path",
    # the texts of those who call: they are looked at there
    "about", "label", "doing",
    # made plain where they are put down
    "requests_view.in_a_line(changes[-1])", "desk().notes.pop(part, None)", "noted.said",
    "found.in_words()",
    # no text: `labels.title` takes the services
    "shared",
    # beside a text in a row of a table
    "supervisor.pause", "supervisor.resume", "supervisor.stop",
}  # fmt: skip
"""Parts of texts that were looked at, and hold no word from outside."""


@dataclass(frozen=True)
class Shown:
    """A text that is drawn as Markdown, and the part of it that nobody has made plain."""

    where: str
    part: str


def shown(path: Path, root: Path) -> Iterator[Shown]:
    """Every text in a file that may hold words from outside as Markdown."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef | ast.Module):
            reader = _Reader(_made_from(scope), functions)
            for node in _own(scope):
                if isinstance(node, ast.Call):
                    for text in _texts(node):
                        for part in reader.open(text):
                            yield Shown(f"{path.relative_to(root).as_posix()}:{node.lineno}", ast.unparse(part))


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """What is in a function or file itself, not in functions inside of it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef):
            yield node
            waiting.extend(ast.iter_child_nodes(node))


def _texts(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    if name in SHOWS and isinstance(call.func, ast.Attribute):
        yield from call.args[1:] if name == "say" else () if name == "progress" else call.args[:1]
        if name == "metric":
            yield from call.args[2:3]
    if isinstance(call.func, ast.Attribute):
        yield from (each.value for each in call.keywords if each.arg in NAMED)


def _made_from(scope: ast.AST) -> dict[str, list[ast.expr]]:
    """What each local name is ever made from; of what is gone through in a loop, that. Arguments of the function are not in it."""
    found: dict[str, list[ast.expr]] = {}
    for node in _own(scope):
        match node:
            case ast.Assign(targets=[target], value=value) | ast.AugAssign(target=target, value=value):
                pairs = [(target, value)]
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                pairs = [(target, value)]
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                pairs = [(target, value)]
            case ast.Call(func=ast.Attribute(attr="append" | "extend", value=target), args=[value]):
                pairs = [(target, value)]
            case _:
                continue
        for target, value in pairs:
            for name, source in _names(target, value):
                found.setdefault(name, []).append(source)
    return found


def _names(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The names in a target and what each is made from, place by place where both sides have as many."""
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ast.Tuple(elts=[_, each]), ast.Call(func=ast.Name(id="enumerate"), args=[several]):
            yield from _names(each, several)
        case ast.Tuple(elts=targets), (ast.Call(func=ast.Name(id="zip"), args=values) | ast.Tuple(elts=values)) if len(targets) == len(values):
            if isinstance(value, ast.Tuple) and all(isinstance(row, ast.Tuple) and len(row.elts) == len(targets) for row in values):
                for row in values:  # a loop over rows
                    yield from _names(target, row)
            else:
                for each, part in zip(targets, values, strict=True):
                    yield from _names(each, part)
        case ast.Tuple(), ast.Tuple(elts=rows) | ast.List(elts=rows) if rows:
            for row in rows:
                yield from _names(target, row)
        case ast.Tuple(elts=targets), _:
            for each in targets:
                yield from _names(each, value)


@dataclass(frozen=True)
class _Reader:
    """Finds the parts of a text that are neither written in the file nor made plain."""

    known: dict[str, list[ast.expr]]
    functions: dict[str, ast.FunctionDef]
    seen: frozenset[str] = frozenset()

    def open(self, *texts: ast.expr) -> Iterator[ast.expr]:
        for text in texts:
            yield from self._one(text)

    def _one(self, text: ast.expr) -> Iterator[ast.expr]:
        match text:
            case ast.Constant() | ast.Compare() | ast.UnaryOp(op=ast.Not()) | ast.FormattedValue(format_spec=ast.JoinedStr()):
                pass  # a format is for numbers: a text with one is an error
            case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(values=parts):
                yield from self.open(*parts)
            case ast.FormattedValue(value=value) | ast.Starred(value=value) | ast.Subscript(value=value, slice=ast.Slice()):
                yield from self.open(value)
            case ast.Subscript(value=ast.Dict() | ast.Name() as value):
                yield from self.open(value)
            case ast.BinOp(left=left, right=right):
                yield from self.open(left, right)
            case ast.IfExp(body=one, orelse=other):
                yield from self.open(one, other)
            case ast.GeneratorExp(elt=each) | ast.ListComp(elt=each):
                yield from self.open(each)
            case ast.Call(func=func, args=given):
                yield from self._called(text, func, given)
            case ast.Name(id=name) | ast.Attribute(attr=name) if name.strip("_").isupper():
                pass  # a constant of ours
            case ast.Name(id=name) if name in self.known or name in self.seen:
                deeper = _Reader({**self.known, name: []}, self.functions, self.seen | {name})
                yield from deeper.open(*self.known.get(name, ()))
            case _ if ast.unparse(text) not in OURS:
                yield text

    def _called(self, text: ast.expr, func: ast.expr, given: list[ast.expr]) -> Iterator[ast.expr]:
        name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        if name in NUMBERS_AND_OWN_WORDS or ast.unparse(text) in OURS or name in self.seen:
            return
        if name in SAME_WORDS and isinstance(func, ast.Attribute):
            yield from self.open(func.value, *(given[1:] if name == "get" else given))
        elif name in SAME_THINGS:
            yield from self.open(*given)
        elif isinstance(func, ast.Name) and name in self.functions:
            function = self.functions[name]
            inside = _Reader(_made_from(function), self.functions, self.seen | {name})
            yield from inside.open(*(node.value for node in _own(function) if isinstance(node, ast.Return) and node.value is not None))
        else:
            yield text
