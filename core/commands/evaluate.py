"""`python -m core evaluate RUN`: a run's weights put to the test; `moved RUN PATH`: where its pictures are now."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TextIO

from core.commands import Parsers, settings
from core.commands.progress import bar, percent
from core.config import ConfigError
from core.evaluation import predictions
from core.evaluation.confidence import meaning_of
from core.evaluation.known import by_validation, known
from core.machine.home import Home
from core.records.evaluation import Evaluation, Interval
from core.store import RunStore

NAMES = ("evaluate", "moved")


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    evaluate = commands.add_parser("evaluate", parents=[shared, as_json])
    add_run(evaluate)
    evaluate.add_argument("--folder", metavar="PATH", help="where the run's pictures are now, if their folder was moved; remembered, as by moved")
    moved = commands.add_parser("moved", parents=[shared])
    moved.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    moved.add_argument("folder", metavar="PATH", help="the folder that it was trained on, or a copy: whether it holds the same pictures is checked")


def add_run(command: argparse.ArgumentParser) -> None:
    """Add the arguments that say which run, and which of its weights."""
    command.add_argument("run", metavar="RUN", help="a run's id, as listed by runs; it may still be training")
    about = "weights of this epoch, 0 being before training, or best: the kept epoch with the highest validation accuracy (default: the newest)"
    command.add_argument("--epoch", metavar="N", help=about)


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out `evaluate` or `moved`; returns the exit status."""
    if arguments.command == "moved":
        return _moved(home, arguments.run, arguments.folder, sys.stdout)
    epoch = asked_epoch(home, arguments)
    if arguments.folder is not None:
        _moved(home, arguments.run, arguments.folder, sys.stderr)
    return _evaluate(home, arguments.run, epoch, arguments.json)


def asked_epoch(home: Home, arguments: argparse.Namespace) -> int | None:
    """The epoch that the command line asks for; None: the newest. Raises ConfigError on `epoch` for one that cannot be meant."""
    if arguments.epoch is None:
        return None
    if arguments.epoch == "best":
        return _best(home, arguments.run)
    return settings.whole_number("epoch", arguments.epoch, 0, 100_000, 0)


def _moved(home: Home, run_id: str, folder: str, stream: TextIO) -> int:
    from core.evaluation import predictions, relocation

    with bar() as progress:
        said = relocation.moved(home, predictions.find_run(home, run_id), folder, progress)
    print(said, file=stream)
    return 0


def _best(home: Home, run_id: str) -> int:
    row = by_validation(home, RunStore(home.database), predictions.find_run(home, run_id))
    if row is None:
        raise ConfigError("epoch", f"nothing was measured on a validation set for kept weights of {run_id}; name an epoch, or leave --epoch out")
    return row.epoch


def check(home: Home, run_id: str, epoch: int | None) -> None:
    """Hear of a run or weights that are not there before torch is imported, which takes two seconds."""
    predictions.find_checkpoint(home, predictions.find_run(home, run_id), epoch)


def _evaluate(home: Home, run_id: str, epoch: int | None, as_json: bool) -> int:
    check(home, run_id, epoch)
    with bar() as progress:
        progress("starting", None)
        from core.evaluation import evaluate

        made = evaluate.evaluate(home, run_id, epoch, progress).evaluation
    found = predictions.find_run(home, run_id)
    about_data = found.plan.notes if found.plan else ()
    told = tuple(line.replace("\u00a0", " ") for line in known(home, RunStore(home.database), found, made))
    judged = meaning_of(found.config, len(made.classes)).judged
    if as_json:
        print(json.dumps({**numbers(asdict(made)), "calibration_judged": judged, "known": told, "data_notes": about_data}), flush=True)
    else:
        print("\n".join([*_lines(made, judged), "", *told, *(f"data: {note}" for note in about_data)]))
    return 0


def _lines(made: Evaluation, judged: bool) -> Iterator[str]:
    yield f"run {made.run_id}, epoch {made.epoch}, step {made.step:,}: {made.samples:,} test images in {made.seconds:.1f} s"
    yield "[95 % interval]: about 19 of 20 such intervals hold the true figure, that of all pictures of this kind"
    yield f"accuracy           {_share(made.accuracy)}"
    if made.top5 is not None:
        yield f"top-5 accuracy     {_share(made.top5)}"
    yield f"macro precision    {percent(made.macro_precision)}"
    yield f"macro recall       {percent(made.macro_recall)}"
    yield f"macro F1           {_share(made.macro_f1)}"
    yield f"calibration error  {_share(made.calibration_error) if judged else 'not judged: see below'}"
    yield f"cross-entropy      {'-' if made.loss is None else f'{made.loss:.4f}'}"
    width = max(8, *(len(score.name) for score in made.per_class))
    yield f"\n{'class':{width}} {'images':>7} {'predicted':>9} {'precision':>24} {'recall':>24} {'F1':>24}"
    for score in made.per_class:
        figures = " ".join(f"{_share(interval):>24}" for interval in (score.precision, score.recall, score.f1))
        yield f"{score.name:{width}} {score.samples:>7,} {score.predicted:>9,} {figures}"
    yield from made.notes


def _share(interval: Interval) -> str:
    if interval.value is None:
        return "-"
    return f"{percent(interval.value)} [{percent(interval.low)}, {percent(interval.high)}]"


def numbers(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null."""
    if isinstance(value, dict):
        return {name: numbers(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [numbers(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
