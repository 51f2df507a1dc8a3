"""Weights against weights, layer by layer: how far each moved from where it began, and in which direction. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from core.comparing.lanes import always_frozen
from core.config import ConfigError
from core.config.limits import quoted
from core.machine.home import Home
from core.model import weight_files
from core.records.weight_difference import STATISTICS, Kind, LayerDifference, Moved, TensorDifference, WeightDifference
from core.store import Run, RunStore
from core.store.checkpoint import checkpoints, load_checkpoint, newest

State = Mapping[str, Tensor]


@dataclass
class _Sums:
    """Sums over the values of tensors, from which distances and angles follow: of a layer those of its tensors add up. float64."""

    start: float = 0.0
    between: float = 0.0
    origin: float = 0.0
    a: float = 0.0
    b: float = 0.0
    dot: float = 0.0
    count: int = 0
    same: bool = True
    known: bool = field(default=True)
    """Whether `a`, `b`, `dot` and `start` are: False where one of its tensors has no start."""

    def add(self, other: _Sums) -> None:
        """Take the tensors of `other` in."""
        for name in ("start", "between", "origin", "a", "b", "dot", "count"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.same = self.same and other.same
        self.known = self.known and other.known

    def moved(self, which: str) -> Moved | None:
        """From the start to A or B."""
        return _moved(getattr(self, which), self.start) if self.known else None

    def apart(self) -> Moved:
        """From A to B."""
        return _moved(self.between, self.origin)

    def cosine(self, common: bool) -> float | None:
        """Of both ways from a common start."""
        if not (self.known and common and self.a > 0 and self.b > 0):
            return None
        found = self.dot / math.sqrt(self.a * self.b)
        return max(-1.0, min(1.0, found)) if math.isfinite(found) else None


def _moved(square: float, origin: float) -> Moved:
    return Moved(math.sqrt(square), math.sqrt(square / origin) if origin > 0 else None)


def compare(
    a: State, b: State, names: tuple[str, str], starts: tuple[State, State] | None = None, start: str = "",
    frozen: tuple[Collection[str], Collection[str]] = ((), ()), notes: tuple[str, ...] = (),
) -> WeightDifference:  # fmt: skip
    """What of `a` is another in `b`. `starts`: what each began with, the same object where that was one; `frozen`: what was to stay in each."""
    common = starts is not None and starts[0] is starts[1]
    rows: list[TensorDifference] = []
    layers: dict[tuple[str, Kind], _Sums] = {}
    shapes = []
    for name, one in a.items():
        other = b.get(name)
        if other is None:
            continue
        if one.shape != other.shape:
            shapes.append((name, tuple(one.shape), tuple(other.shape)))
            continue
        begun = _starts(name, one, starts)
        sums, largest = _sums(one, other, begun)
        kind: Kind = "statistic" if name.rpartition(".")[2] in STATISTICS else "parameter"
        held = (name in frozen[0], name in frozen[1])
        rows.append(
            TensorDifference(
                name, tuple(one.shape), one.numel(), kind, sums.same, sums.apart(), sums.moved("a"), sums.moved("b"), sums.cosine(common), largest,
                "both" if all(held) else "a" if held[0] else "b" if held[1] else "",
            )
        )  # fmt: skip
        layers.setdefault((rows[-1].layer, kind), _Sums()).add(sums)
    by_layer = tuple(
        LayerDifference(layer, kind, sums.count, sums.same, sums.apart(), sums.moved("a"), sums.moved("b"), sums.cosine(common))
        for (layer, kind), sums in layers.items()
    )
    ranked = tuple(sorted(rows, key=lambda row: row.rank, reverse=True))
    only = (tuple(name for name in a if name not in b), tuple(name for name in b if name not in a))
    return WeightDifference(*names, start, ranked, by_layer, *only, tuple(shapes), notes)


def _starts(name: str, one: Tensor, starts: tuple[State, State] | None) -> tuple[Tensor, Tensor] | None:
    found = [begun.get(name) for begun in starts or ()]
    if len(found) != 2 or any(each is None or each.shape != one.shape for each in found):
        return None
    return found[0], found[1]  # type: ignore[return-value]  # looked at above


def _sums(one: Tensor, other: Tensor, begun: tuple[Tensor, Tensor] | None) -> tuple[_Sums, float]:
    """The sums of one tensor, and the largest difference of a value."""
    a, b = one.to(torch.float64), other.to(torch.float64)
    apart = a - b
    same = one.dtype == other.dtype and bool(torch.equal(one, other) or torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) and _same_holes(a, b))
    sums = _Sums(between=0.0 if same else _square(apart), origin=_square(a), count=one.numel(), same=same, known=begun is not None)
    if begun is not None:
        from_a, from_b = a - begun[0].to(torch.float64), b - begun[1].to(torch.float64)
        sums.start, sums.a, sums.b = _square(begun[0].to(torch.float64)), _square(from_a), _square(from_b)
        sums.dot = float(torch.dot(from_a.reshape(-1), from_b.reshape(-1)))
    return sums, 0.0 if same or not apart.numel() else float(apart.abs().max())


def _same_holes(a: Tensor, b: Tensor) -> bool:
    return bool(torch.equal(torch.isnan(a), torch.isnan(b)))


def _square(tensor: Tensor) -> float:
    return float(torch.dot(tensor.reshape(-1), tensor.reshape(-1)))


def of_files(a: Path, b: Path, start: Path | None = None) -> WeightDifference:
    """Two files of weights from anywhere. Nothing in them is run.

    Raises:
        ConfigError: on `a`, `b` or `start`: a file that cannot be read, or has no weights.
    """
    states = [_read(field, path) for field, path in (("a", a), ("b", b), *([("start", start)] if start else []))]
    first, second = _aligned(states[0], states[1])
    starts = None
    if start:
        begun = _aligned(first, states[2])[1]
        starts = (begun, begun)
    return compare(first, second, _named(a, b), starts, start.name if start else "")


def _named(a: Path, b: Path) -> tuple[str, str]:
    return (a.name, b.name) if a.name != b.name else (str(a), str(b))


def _read(field: str, path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigError(field, f"there is no file {quoted(str(path))}; give the path of a file of weights, or the id of a run")
    try:
        return dict(weight_files.read(path).tensors)
    except ConfigError as error:
        raise ConfigError(field, error.message) from None


def _aligned(a: State, b: State) -> tuple[State, State]:
    """Both with the words before their names taken away that one has and the other does not: `module.`, `state_dict.`, `model.`."""
    best, most = (a, b), -1
    for one in _stripped(a):
        for other in _stripped(b):
            there = sum(1 for name, tensor in one.items() if name in other and other[name].shape == tensor.shape)
            if there > most:
                best, most = (one, other), there
    return best


def _stripped(state: State) -> list[State]:
    """The tensors as they are called, and those below each word that their names begin with, two words deep."""
    found: list[State] = [state]
    for words in (1, 2):
        starts = dict.fromkeys(".".join(parts[:words]) + "." for name in state if len(parts := name.split(".")) > words)
        found += [{name.removeprefix(start): state[name] for name in state if name.startswith(start)} for start in list(starts)[:40]]
    return found


def of_runs(home: Home, store: RunStore, a: str, b: str) -> WeightDifference:
    """The newest weights of two runs, each from what it began with.

    Raises:
        ConfigError: on `run`, one has kept no weights; on `epoch`, they cannot be read.
        KeyError: there is no such run.
    """
    runs = [store.run(run_id) for run_id in (a, b)]
    states = [_newest(home, run) for run in runs]
    begun = [_begun(home, run) for run in runs]
    notes: list[str] = []
    starts: tuple[State, State] | None = None
    said = ""
    if begun[0] is not None and begun[1] is not None:
        if _all_same(begun[0], begun[1]):
            starts, said = (begun[0], begun[0]), "the weights that both began with"
        else:
            starts, said = (begun[0], begun[1]), "the weights that each began with"
            notes.append("They began with other weights, so directions cannot be compared: distances are each from its own start.")
    else:
        gone = " and ".join(run_id for run_id, state in zip((a, b), begun, strict=True) if state is None)
        notes.append(f"The weights before training are not kept any more of {gone}: distances from the start are not known.")
    held = [always_frozen(run.plan, store.changes_after(run.id)) if run.plan else () for run in runs]
    notes += [f"{run.id} still trains: these are the weights that it kept last." for run in runs if run.status.active]
    return compare(states[0], states[1], (a, b), starts, said, (held[0], held[1]), tuple(notes))


def _newest(home: Home, run: Run) -> State:
    found = newest(home, run)
    if found is None:
        raise ConfigError("run", f"{run.id} has kept no weights yet; wait for the end of its first epoch")
    return load_checkpoint(found)


def _begun(home: Home, run: Run) -> State | None:
    first = [each for each in checkpoints(home, run) if each.epoch == 0 and each.step == 0 and not each.final]
    try:
        return load_checkpoint(first[0]) if first else None
    except ConfigError:
        return None


def _all_same(a: State, b: State) -> bool:
    """Whether both have tensors, and all of these are the same; other heads begin in another way."""
    both = [name for name, tensor in a.items() if name in b and b[name].shape == tensor.shape]
    return bool(both) and all(torch.equal(a[name], b[name]) for name in both)


def of(home: Home, store: RunStore, a: str, b: str, progress: Callable[[str], object] = lambda said: None) -> WeightDifference:
    """Of two runs, where both are ids of runs; else of two files. Raises like both."""
    ids = store.ids()
    if a in ids and b in ids:
        progress("reading the weights of both runs")
        return of_runs(home, store, a, b)
    paths = []
    for field_name, text in (("a", a), ("b", b)):
        if text in ids:
            found = newest(home, store.run(text))
            if found is None or found.base is not None:
                raise ConfigError(field_name, f"{quoted(text)} has no whole file of weights to compare with a file; give two runs, or two files")
            paths.append(found.path)
        else:
            paths.append(Path(text).expanduser())
    return of_files(paths[0], paths[1])
