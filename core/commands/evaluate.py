"""`python -m core evaluate RUN` and `predict RUN IMAGE...`: a run's weights put to the test; `moved RUN PATH`: where its pictures are now."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from core.commands import settings
from core.commands.progress import percent
from core.config import ConfigError
from core.evaluation import looks, predictions, telling
from core.evaluation.confidence import meaning_of
from core.evaluation.learned_from import learned_from
from core.evaluation.seeds import spread
from core.machine.home import Home
from core.records.evaluation import Evaluation, Interval, Prediction
from core.records.events import EpochRow
from core.store import Run, RunStore
from core.store.checkpoint import checkpoints

if TYPE_CHECKING:
    from core.evaluation.evaluate import Progress

MOST_RUNS = 200
"""Runs among which other seeds and looks are counted."""

NAMES = ("evaluate", "predict", "moved")


def add(commands: Any, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    evaluate = commands.add_parser(
        "evaluate", parents=[shared, as_json], help="put a run's weights through the whole test set and print how good they are, with 95 %% intervals"
    )
    predict = commands.add_parser("predict", parents=[shared, as_json], help="print the five likeliest classes of pictures")
    for command in (evaluate, predict):
        command.add_argument("run", metavar="RUN", help="a run's id, as listed by runs; it may still be training")
        about = "weights of this epoch, 0 being before training, or best: the kept epoch with the highest validation accuracy (default: the newest)"
        command.add_argument("--epoch", metavar="N", help=about)
    evaluate.add_argument("--folder", metavar="PATH", help="where the run's pictures are now, if their folder was moved; remembered, as by moved")
    moved = commands.add_parser("moved", parents=[shared], help="say where the folder of a run's pictures is now")
    moved.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    moved.add_argument("folder", metavar="PATH", help="the folder that it was trained on, or a copy: whether it holds the same pictures is checked")
    predict.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="a JPEG, PNG, WebP, GIF, BMP or TIFF file")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out `evaluate`, `predict` or `moved`; returns the exit status."""
    if arguments.command == "moved":
        return _moved(home, arguments.run, arguments.folder, sys.stdout)
    epoch = _best(home, arguments.run) if arguments.epoch == "best" else _epoch(arguments.epoch)
    if arguments.command == "evaluate":
        if arguments.folder is not None:
            _moved(home, arguments.run, arguments.folder, sys.stderr)
        return _evaluate(home, arguments.run, epoch, arguments.json)
    return _predict(home, arguments.run, epoch, arguments.images, arguments.json)


def _moved(home: Home, run_id: str, folder: str, stream: TextIO) -> int:
    from core.evaluation import predictions, relocation

    with _bar() as progress:
        said = relocation.moved(home, predictions.find_run(home, run_id), folder, progress)
    print(said, file=stream)
    return 0


def _epoch(text: str | None) -> int | None:
    if text is None:
        return None
    return settings.whole_number("epoch", text, 0, 100_000, 0)


def _best(home: Home, run_id: str) -> int:
    row = _by_validation(home, predictions.find_run(home, run_id))
    if row is None:
        raise ConfigError("epoch", f"nothing was measured on a validation set for kept weights of {run_id}; name an epoch, or leave --epoch out")
    return row.epoch


def _by_validation(home: Home, run: Run) -> EpochRow | None:
    """The epoch whose weights are kept that the validation set chooses."""
    steps = {checkpoint.step for checkpoint in checkpoints(home, run)}
    rows = RunStore(home.database).epochs_after(run.id)
    return looks.best_by_validation(rows, [row.epoch for row in rows if row.step in steps])


def _known(home: Home, run: Run, made: Evaluation) -> Iterator[str]:
    """What has to be known beside the figures: what was learned from, other seeds, whether its confidence can be believed, and who chooses."""
    yield learned_from(home, run).sentence
    yield telling.COVERS
    runs = RunStore(home.database).runs(limit=MOST_RUNS)
    others = spread(run, runs)
    if others is not None:
        yield telling.spread(others)
    yield telling.calibration(made, meaning_of(run.config, len(made.classes)))
    yield telling.best(_by_validation(home, run))
    yield f"{telling.SPOILS} {telling.looked_at(looks.looks(home, run, runs), made.samples, made.accuracy.value)}"


def _check(home: Home, run_id: str, epoch: int | None) -> None:
    """Hear of a run or weights that are not there before torch is imported, which takes two seconds."""
    predictions.find_checkpoint(home, predictions.find_run(home, run_id), epoch)


def _evaluate(home: Home, run_id: str, epoch: int | None, as_json: bool) -> int:
    _check(home, run_id, epoch)
    with _bar() as progress:
        progress("starting", None)
        from core.evaluation import evaluate

        made = evaluate.evaluate(home, run_id, epoch, progress).evaluation
    found = predictions.find_run(home, run_id)
    about_data = found.plan.notes if found.plan else ()
    known = tuple(line.replace("\u00a0", " ") for line in _known(home, found, made))
    judged = meaning_of(found.config, len(made.classes)).judged
    if as_json:
        print(json.dumps({**_numbers(asdict(made)), "calibration_judged": judged, "known": known, "data_notes": about_data}), flush=True)
    else:
        print("\n".join([*_lines(made, judged), "", *known, *(f"data: {note}" for note in about_data)]))
    return 0


def _predict(home: Home, run_id: str, epoch: int | None, images: list[Path], as_json: bool) -> int:
    """Pictures that cannot be used are named on stderr, and the others predicted all the same; exit status 2 then."""
    _check(home, run_id, epoch)
    found: list[dict[str, Any]] = []
    problems = 0
    with _bar() as progress:
        progress("starting", None)
        from core.evaluation import evaluate

        loaded = evaluate.load(home, run_id, epoch)
        for done, path in enumerate(images):
            progress(f"{done:,} of {len(images):,} pictures", done / len(images))
            try:
                prediction = evaluate.predict(loaded, *evaluate.picture(loaded, path))
            except ConfigError as error:
                problems += 1
                _say(f"thaw: {error}", sys.stderr)
                found.append({"image": str(path), "error": error.message})
                continue
            found.append({"image": str(path), **_without_picture(prediction)})
            if not as_json:
                for line in _told(path, prediction):
                    _say(line, sys.stdout)
    if as_json:
        print(json.dumps(_numbers(found)), flush=True)
    return 2 if problems else 0


def _without_picture(prediction: Prediction) -> dict[str, Any]:
    values = asdict(prediction)
    del values["picture"]
    return values


def _told(path: Path, prediction: Prediction) -> Iterator[str]:
    yield f"{path}: {', '.join(f'{guess.name} {percent(guess.probability)}' for guess in prediction.guesses) or 'no prediction'}"
    yield from (f"  {note}" for note in prediction.notes)


def _say(line: str, stream: TextIO) -> None:
    """Print a line above the bar, if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=stream)


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


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar on stderr, where somebody sees it; drawn anew ten times a second at most."""
    from tqdm import tqdm

    drawn = 0.0
    with tqdm(total=100, unit="%", file=sys.stderr, leave=False, disable=not sys.stderr.isatty(), bar_format="{desc} |{bar}|") as bar:

        def progress(text: str, share: float | None) -> None:
            nonlocal drawn
            bar.set_description(text, refresh=False)
            bar.n = round(100 * (share or 0))
            if not share or time.monotonic() - drawn > 0.1:
                drawn = time.monotonic()
                bar.refresh()

        yield progress


def _numbers(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null."""
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
