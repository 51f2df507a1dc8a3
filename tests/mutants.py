"""Mutants of `core`: one small change each, drawn by chance from all that cosmic-ray's operators can make, so many from each room."""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from core import ROOMS
from tests.house import ROOT

LEFT_OUT = ("NoOp", "Variable", "RemoveDecorator")
"""Operators that change nothing, that need arguments, and that mostly turn a property into a method, which every test would see."""

FEWEST = 4
"""Mutants of each room, where it has as many: a small room counts too."""


@dataclass(frozen=True)
class Mutant:
    """A change to `file` (from the root): cosmic-ray's `operator` at its `occurrence`, on `line` (from 1), whose text `was` that `is_now` this."""

    file: str
    operator: str
    occurrence: int
    line: int
    was: str
    is_now: str

    @property
    def room(self) -> str:
        return self.file.split("/")[1]

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.operator.removeprefix('core/')} {self.occurrence}"

    def source(self, root: Path) -> str:
        """The whole file with the change in it."""
        changed = mutate_code((root / self.file).read_text(encoding="utf-8"), get_operator(self.operator)(), self.occurrence)
        assert changed is not None, f"{self.name} cannot be made any more"
        return str(changed)


def sample(count: int, seed: int, root: Path = ROOT) -> list[Mutant]:
    """`count` mutants of `core`, the same for the same seed and source: `FEWEST` of each room, the rest where most can be changed.

    A change that parses to the same program, annotations and docstrings aside, is not drawn.
    """
    chance = random.Random(seed)
    places = {room: [place for path in sorted((root / "core" / room).glob("*.py")) for place in _places(path, root)] for room in ROOMS}
    total = sum(map(len, places.values()))
    left = count - sum(min(FEWEST, len(found)) for found in places.values())
    drawn: list[Mutant] = []
    for found in places.values():
        chance.shuffle(found)
        wanted = min(FEWEST, len(found)) + round(left * len(found) / total)
        drawn += _first(found, wanted, root, chance)
    return drawn


def _places(path: Path, root: Path) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """Every place in a file that can be changed: the file, and the changes that can be made there as (operator, occurrence, line)."""
    tree = get_ast(path.read_text(encoding="utf-8"))
    found: dict[tuple[int, int], list[tuple[str, int, int]]] = {}
    for name in operator_names():
        if any(part in name for part in LEFT_OUT):
            continue
        operator, occurrence = get_operator(name)(), 0
        for node in ast_nodes(tree):
            for start, _ in operator.mutation_positions(node):
                found.setdefault(start, []).append((name, occurrence, start[0]))
                occurrence += 1
    for start in sorted(found):
        yield path.relative_to(root).as_posix(), found[start]


def _first(places: list[tuple[str, list[tuple[str, int, int]]]], wanted: int, root: Path, chance: random.Random) -> list[Mutant]:
    """A mutant for each of the first `wanted` places at which one can be made that is another program."""
    made: list[Mutant] = []
    for file, changes in places:
        if len(made) == wanted:
            break
        operator, occurrence, line = chance.choice(changes)
        source = (root / file).read_text(encoding="utf-8")
        try:
            changed = mutate_code(source, get_operator(operator)(), occurrence)
        except AttributeError:  # cosmic-ray 8.7 counts `except a.B` among what it can replace, and cannot
            continue
        if changed is None or not _another_program(source, changed):
            continue
        was, is_now = _changed_line(source, changed)
        made.append(Mutant(file, operator, occurrence, line, was, is_now))
    return made


def _another_program(before: str, after: str) -> bool:
    try:
        return _program(before) != _program(after)
    except SyntaxError:
        return False


def _program(source: str) -> str:
    """A file's syntax tree without annotations, which `from __future__ import annotations` never runs, and without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.arg():
                node.annotation = None
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                node.returns = None
            case ast.AnnAssign():
                node.annotation = ast.Constant(None)
            case ast.Expr(value=ast.Constant(value=str())):
                node.value = ast.Constant("")
    return ast.dump(tree)


def _changed_line(before: str, after: str) -> tuple[str, str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[3:]
    was = next((line[1:].strip() for line in lines if line.startswith("-")), "")
    return was, next((line[1:].strip() for line in lines if line.startswith("+")), "(gone)")
