"""The house in figures: `python -m tests.house [FOLDER]` counts rooms, floors, arrows and what has grown too long. `test_layers.py` reads the same.

FOLDER is another checkout; one without rooms (before November 2026) is counted file by file.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from core import ROOMS

ROOT = Path(__file__).resolve().parent.parent
LONG_FILE = 400
LONG_FUNCTION = 60

Arrows = Mapping[tuple[str, str], Collection[tuple[str, str]]]
"""(from, to) to the imports that make it: (file, module) each."""


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def names_of(node: ast.AST) -> set[str]:
    """Full names of what a node imports: `from a import b` counts as `a` and as `a.b`."""
    match node:
        case ast.Import(names=names):
            return {alias.name for alias in names}
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return {module, *(f"{module}.{alias.name}" for alias in names)}
        case ast.ImportFrom():
            raise AssertionError(f"line {node.lineno}: a relative import; write the full name, so that the direction can be read")
        case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="__import__"), args=[ast.Constant(value=str(name)), *_]):
            return {name}
        case _:
            return set()


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of what a file imports anywhere, inside functions too."""
    return frozenset(name for node in ast.walk(tree(path)) for name in names_of(node))


def arrows(folder: Path, package: str) -> Arrows:
    """Who imports whom among the rooms (or, where there are none, the files) right below `folder`, which is the package `package`."""
    places = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} - {"__init__", "__main__"}
    depth = package.count(".") + 1
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for path in sorted(folder.rglob("*.py")):
        here = path.relative_to(folder).parts[0].removesuffix(".py")
        for name in imports(path) if here in places else ():
            parts = name.split(".")
            there = parts[depth] if name.startswith(f"{package}.") else ""
            if there in places and there != here:
                found.setdefault((here, there), set()).add((path.relative_to(folder).as_posix(), name))
    return found


def up(order: Collection[str], found: Arrows) -> list[str]:
    """The imports that run back up: from a room to one that stands after it."""
    places = list(order)
    return sorted(
        f"{file} imports {name}" for (here, there), made in found.items() if places.index(there) > places.index(here) for file, name in made
    )


def floors(found: Arrows) -> int:
    """How many rooms the longest way of arrows passes; 0 where arrows run in a circle."""
    below: dict[str, set[str]] = {}
    for here, there in found:
        below.setdefault(here, set()).add(there)
        below.setdefault(there, set())
    height: dict[str, int] = {}
    while len(height) < len(below):
        ready = [room for room, needs in below.items() if room not in height and needs <= height.keys()]
        if not ready:
            return 0
        height |= {room: 1 + max((height[need] for need in below[room]), default=0) for room in ready}
    return max(height.values(), default=0)


def python_files(root: Path) -> list[Path]:
    """The project's Python files."""
    return sorted([root / "dashboard.py", *(path for name in ("core", "pages", "tests", "bench", ".ci") for path in (root / name).rglob("*.py"))])


def lines(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def long_files(root: Path) -> list[str]:
    """Python files over `LONG_FILE` lines."""
    return [f"{path.relative_to(root).as_posix()} ({lines(path)})" for path in python_files(root) if lines(path) > LONG_FILE]


def long_functions(root: Path) -> list[str]:
    """Functions of `core` and `pages` over `LONG_FUNCTION` lines, docstring included."""
    return [
        f"{path.relative_to(root).as_posix()} {node.name} ({length})"
        for path in python_files(root)
        if path.relative_to(root).parts[0] in ("core", "pages", "dashboard.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := (node.end_lineno or 0) - node.lineno + 1) > LONG_FUNCTION
    ]


def figures(root: Path) -> Iterator[str]:
    """The house in lines of text."""
    found = arrows(root / "core", "core")
    rooms = {room for arrow in found for room in arrow} | {path.name for path in (root / "core").iterdir() if (path / "__init__.py").exists()}
    sorted_into_rooms = rooms <= set(ROOMS)
    what = "rooms" if sorted_into_rooms else "files and rooms"
    back = f"{len(up(ROOMS, found))} that run back up" if sorted_into_rooms else "no order"
    yield f"core: {len(rooms)} {what}, {floors(found) or 'no'} floors, {len(found)} arrows, {back}"
    for folder in ("core", "pages/_parts"):
        yield f"files right in {folder}: {len([path for path in (root / folder).iterdir() if path.is_file()])}"
    for what, long in (
        (f"files of Python over {LONG_FILE} lines", long_files(root)),
        (f"functions over {LONG_FUNCTION} lines", long_functions(root)),
    ):
        yield f"{what}: {len(long)}{': ' if long else ''}{', '.join(long)}"
    yield f"ARCHITECTURE.md: {lines(root / 'ARCHITECTURE.md')} lines"


if __name__ == "__main__":
    print("\n".join(figures(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)))
