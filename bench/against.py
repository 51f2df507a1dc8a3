"""Two commits side by side: `python -m bench against REV NAME ...` measures here and as of REV, in turn, and prints medians and their ratios.

REV is checked out into a temporary folder that git forgets again at the end. It runs in this environment where it asks for the same
packages, else in one of its own, made as `make` makes it. Each round runs every bench of both sides once, who begins changes from round to
round, and each side is a process of its own. What is compared are the figures in the tables that the benches print: a cell is set against
the cell of the same row and column.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.table import median, table

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
ROUNDS = 3
"""Unless another number is asked for."""

HERE = "here"

_FIGURE = re.compile(r"^\s*([+-]?\d[\d,]*(?:\.\d+)?)")


class Refused(Exception):
    """It cannot be compared; the text says why and what to do."""


@dataclass(frozen=True)
class Side:
    """One of two commits, with the Python that runs it. `label` is what the table calls it."""

    label: str
    root: Path
    python: Path


def measure(revision: str, names: Sequence[str], rounds: int, further: Sequence[str] = ()) -> Iterator[str]:
    """Lines of a table for each bench. `further`: arguments that each bench is given, those of `peers`.

    Raises:
        Refused: there is no such commit, no such bench in one of the two, or a bench fails.
    """
    if not names:
        raise Refused("name what is to be measured on both sides: make bench ARGS='against REV NAME ...'")
    commit = resolved(revision)
    with checked_out(commit) as folder:
        theirs = Side(f"{revision} ({commit[:7]})" if not commit.startswith(revision) else commit[:7], folder, python_for(folder))
        ours = Side(HERE, ROOT, Path(sys.executable))
        for name in names:
            for side in (theirs, ours):
                if name not in offered(side):
                    raise Refused(f"{side.label} has no bench {name}; it has {', '.join(offered(side))}")
        for name in names:
            yield f"\n### {name}: {theirs.label} and {HERE}, {rounds} {'round' if rounds == 1 else 'rounds'} in turn\n"
            found: dict[str, list[Cells]] = {theirs.label: [], ours.label: []}
            for number in range(rounds):
                for side in (theirs, ours) if number % 2 == 0 else (ours, theirs):
                    found[side.label].append(cells(run(side, name, further)))
            yield from compared(found[theirs.label], found[ours.label], theirs.label)


def resolved(revision: str) -> str:
    """The commit that `revision` names. Raises `Refused` where there is none."""
    if revision.startswith("-"):
        raise Refused(f"{revision} is no commit; name a commit, a branch or a tag")
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode != 0:
        raise Refused(f"git knows no commit {revision}; name one that `git log --all` shows, a branch or a tag")
    return done.stdout.strip()


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the files of `commit`; it and what git knows of it are gone afterwards. Raises `Refused` where that cannot be made."""
    with tempfile.TemporaryDirectory(prefix="thaw-against-") as scratch:
        folder = Path(scratch) / "checkout"
        done = _git("worktree", "add", "--detach", "--quiet", str(folder), commit)
        if done.returncode != 0:
            raise Refused(f"git could not check {commit[:7]} out: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def python_for(folder: Path) -> Path:
    """The Python for the checkout in `folder`: this one where both ask for the same packages. Raises `Refused` where its own cannot be made."""
    if all(_text(folder / name) == _text(ROOT / name) for name in REQUIREMENTS):
        return Path(sys.executable)
    maker = folder / ".ci" / "environment.py"
    if not maker.exists():
        raise Refused("it asks for other packages than this commit, and has no .ci/environment.py that could install them; choose a newer one")
    done = subprocess.run([sys.executable, str(maker), "test"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Refused("it asks for other packages than this commit, and they could not be installed; the lines above say why")
    return Path(done.stdout.strip().splitlines()[-1]) / "bin" / "python"


def offered(side: Side) -> list[str]:
    """Names of the benches that a side has. Raises `Refused` where it has none, or cannot say."""
    ask = "from bench.__main__ import BENCHES, PEERS; print(*BENCHES, PEERS)"
    done = subprocess.run([side.python, "-c", ask], cwd=side.root, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise Refused(f"{side.label} has no benches that could be asked for ({last}); choose a newer commit")
    return done.stdout.split()


def run(side: Side, name: str, further: Sequence[str] = ()) -> str:
    """What a bench of a side prints, measured once. Raises `Refused` where it fails."""
    command = [str(side.python), "-m", "bench", name, "--rounds", "1", *further]
    done = subprocess.run(command, cwd=side.root, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise Refused(f"the bench {name} of {side.label} ended with status {done.returncode}:\n{lines}")
    return done.stdout


# The figures


Cells = dict[tuple[str, str], tuple[float, str]]
"""Of tables: the row's and the column's words to the first number of the cell, and the cell as it stands."""


def cells(text: str) -> Cells:
    """The cells of all Markdown tables in `text` that begin with a number; a row that comes again is told apart by its number."""
    found: Cells = {}
    heads: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        parts = [part.strip() for part in line.strip().strip("|").split("|")]
        if not heads:
            heads = parts
        elif not set(line) <= set("|-: "):
            row = next(name for name in (parts[0], *(f"{parts[0]} ({n})" for n in range(2, 1000))) if (name, heads[-1]) not in found)
            for head, part in zip(heads[1:], parts[1:], strict=False):
                if figure := _FIGURE.match(part.replace("*", "").replace("\u2212", "-")):
                    found[row, head] = (float(figure[1].replace(",", "")), part)
                elif head == heads[-1]:
                    found.setdefault((row, head), (float("nan"), part))
    return {place: value for place, value in found.items() if value[0] == value[0]}


def compared(before: Sequence[Cells], now: Sequence[Cells], label: str) -> list[str]:
    """A table: median of each figure on both sides, and the ratio of the second to the first. A figure that only one side has is named below."""
    places = list(dict.fromkeys(place for one in (*before, *now) for place in one))
    rows, alone = [], []
    for row, column in places:
        left, right = ([one[row, column][0] for one in side if (row, column) in one] for side in (before, now))
        if left and right:
            first, second = median(left), median(right)
            rows.append((f"{row}: {column}", f"{first:.4g}", f"{second:.4g}", f"{second / first:.3f}" if first else ""))
        else:
            alone.append(f"{row}: {column} ({label if left else HERE})")
    lines = table(["figure, median", label, HERE, f"{HERE} / {label}"], rows) if rows else ["No figure is in the tables of both."]
    return [*lines, *(["", f"Only in one of the two: {'; '.join(alone)}."] if alone else [])]


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


def _environment() -> dict[str, str]:
    """What a bench inherits: nothing that would have it import from another checkout than that in which it is started."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
