"""`python -m core predict RUN PATH...`: what a run's weights make of pictures, of whole folders and of zip files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from core.commands import Parsers
from core.commands.evaluate import add_run, asked_epoch, check, numbers
from core.commands.progress import bar, percent
from core.config import ConfigError
from core.evaluation import answers
from core.evaluation.answers import Answers, CsvWriter
from core.evaluation.gathering import Picture, Refused, gather, is_many
from core.machine.files import written_whole
from core.machine.home import Home
from core.machine.paths import pasted
from core.records.evaluation import Prediction

if TYPE_CHECKING:
    from core.data.sources import Progress
    from core.evaluation.evaluate import Loaded
    from core.evaluation.many import Many

NAMES = ("predict",)

GUESSES = 5

NAMED = 20
"""Pictures that cannot be used that are named on the screen; the others are counted, and stand in the JSON."""


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    predict = commands.add_parser("predict", parents=[shared, as_json])
    add_run(predict)
    kinds = "a JPEG, PNG, WebP, GIF, BMP or TIFF file, a folder of such files with all folders below it, or a zip file of them"
    predict.add_argument("paths", metavar="PATH", nargs="+", help=kinds)
    predict.add_argument("--csv", metavar="FILE", help="write a table: file, predicted class, its probability, and one column a class")
    predict.add_argument("--sort-into", metavar="DIR", help="copy the pictures into a folder for each class below DIR, which must be new or empty")
    predict.add_argument("--force", action="store_true", help="write over the file of --csv if it is there")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out; returns the exit status.

    Files alone are predicted one by one, and one that cannot be used makes it 2. Of folders, zip files and tables those that cannot be used are
    named, and it is 2 only where none can.
    """
    paths = [(text, pasted(text, "pictures")) for text in arguments.paths]
    epoch = asked_epoch(home, arguments)
    if arguments.csv is None and arguments.sort_into is None and not any(is_many(path) for _, path in paths):
        return _each(home, arguments.run, epoch, [Path(text) for text in arguments.paths], arguments.json)
    check(home, arguments.run, epoch)
    table = Path(arguments.csv).expanduser() if arguments.csv is not None else None
    folder = Path(arguments.sort_into).expanduser() if arguments.sort_into is not None else None
    if table is not None:
        answers.check_new(table, "csv", arguments.force)
    if folder is not None:
        answers.check_sortable(folder, [path for _, path in paths])
    return _table(home, arguments.run, epoch, paths, _Wanted(table, folder, arguments.json))


@dataclass(frozen=True)
class _Wanted:
    """Where the answers go: a table, folders, one object of JSON. With neither of the first two they are printed."""

    csv: Path | None
    folder: Path | None
    json: bool

    @property
    def printed(self) -> bool:
        return self.csv is None and self.folder is None


@dataclass
class _Done:
    """What has been predicted so far: the pictures with their classes, and what is printed of each in the end."""

    pictures: list[Picture] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)


def _table(home: Home, run_id: str, epoch: int | None, paths: Sequence[tuple[str, Path]], wanted: _Wanted) -> int:
    with bar() as progress:
        progress("looking for pictures", None)
        found = gather(paths, progress)
        progress("starting", None)
        from core.evaluation import evaluate
        from core.evaluation.many import Many

        loaded = evaluate.load(home, run_id, epoch)
        many = Many(loaded, found.pictures)
        try:
            done = _written(loaded, many, wanted, progress)
        except OSError as error:
            if wanted.csv is None:
                raise
            raise answers.unwritable("csv", wanted.csv, error) from None
        refused = [*found.refused, *many.refused]
        if not done.pictures:
            _tell_refused(refused)
            if wanted.json:
                _tell_end(loaded, done, refused, (*found.passed_over, *many.notes), replace(wanted, csv=None, folder=None))
            raise ConfigError(
                "pictures", f"none of the {len(found.pictures):,} pictures can be used, and nothing was written; see what is said of each"
            )
        if wanted.folder is not None:
            refused += answers.sort_into(wanted.folder, done.pictures, done.labels, loaded.classes, progress)
    _tell_refused(refused)
    _tell_end(loaded, done, refused, (*found.passed_over, *many.notes), wanted)
    return 0


def _written(loaded: Loaded, many: Many, wanted: _Wanted, progress: Progress) -> _Done:
    """Predict everything, and write the table meanwhile. It becomes a file once it is whole, and only if it has a row."""
    done = _Done()
    with ExitStack() as stack:
        writer = None
        for batch, _ in many.batches(progress):
            if wanted.csv is not None and writer is None:
                writer = CsvWriter(stack.enter_context(written_whole(wanted.csv)), loaded.classes)
            if writer is not None:
                writer.write(batch)
            done.pictures += batch.pictures
            done.labels += batch.labels.tolist()
            if wanted.printed:
                _tell(loaded, batch, wanted.json, done)
        if writer is not None:
            writer.end()
    return done


def _tell(loaded: Loaded, batch: Answers, as_json: bool, done: _Done) -> None:
    """Print what was made of a batch, or put it by for the JSON."""
    for picture, shares in zip(batch.pictures, batch.probabilities, strict=True):
        order = (-shares).argsort(kind="stable")[:GUESSES].tolist()
        guesses = [{"label": label, "name": loaded.classes[label], "probability": float(shares[label])} for label in order]
        if as_json:
            done.told.append({"file": picture.name, "guesses": guesses})
        else:
            _say(f"{_one_line(picture.name)}: {_guessed(guesses)}", sys.stdout)


def _tell_refused(refused: Sequence[Refused]) -> None:
    for each in refused[:NAMED]:
        _say(f"thaw: left out: {_one_line(each.name)}: {each.reason}", sys.stderr)
    if len(refused) > NAMED:
        _say(f"thaw: ... and {len(refused) - NAMED:,} more were left out; --json names them all", sys.stderr)


def _tell_end(loaded: Loaded, done: _Done, refused: Sequence[Refused], notes: Sequence[str], wanted: _Wanted) -> None:
    counts = dict.fromkeys(loaded.classes, 0)
    for label in done.labels:
        counts[loaded.classes[label]] += 1
    if wanted.json:
        values: dict[str, Any] = {
            "run": loaded.run.id,
            "epoch": loaded.checkpoint.epoch,
            "step": loaded.checkpoint.step,
            "pictures": len(done.pictures),
            "left_out": [{"file": each.name, "reason": each.reason} for each in refused],
            "notes": notes,
            "classes": counts,
            "csv": str(wanted.csv) if wanted.csv else None,
            "sorted_into": str(wanted.folder) if wanted.folder else None,
        }
        print(json.dumps({**values, "predictions": done.told} if wanted.printed else values), flush=True)
        return
    for note in notes:
        _say(f"thaw: {note}", sys.stderr)
    common = sorted(counts.items(), key=lambda item: -item[1])
    named = ", ".join(f"{_one_line(name)}: {count:,}" for name, count in common[:10] if count) + (
        ", ..." if len(common) > 10 and common[10][1] else ""
    )
    left = f", {len(refused):,} left out" if refused else ""
    when = f"epoch {loaded.checkpoint.epoch}, step {loaded.checkpoint.step:,}"
    print(f"{len(done.pictures):,} pictures predicted by run {loaded.run.id}, {when}{left}: {named}", file=sys.stderr)
    for what, path in (("table", wanted.csv), ("sorted into", wanted.folder)):
        if path is not None:
            print(f"{what}: {path}")


def _each(home: Home, run_id: str, epoch: int | None, images: list[Path], as_json: bool) -> int:
    """Pictures that cannot be used are named on stderr, and the others predicted all the same; exit status 2 then."""
    check(home, run_id, epoch)
    found: list[dict[str, Any]] = []
    problems = 0
    with bar() as progress:
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
        print(json.dumps(numbers(found)), flush=True)
    return 2 if problems else 0


def _without_picture(prediction: Prediction) -> dict[str, Any]:
    values = asdict(prediction)
    del values["picture"]
    return values


def _told(path: Path, prediction: Prediction) -> Iterator[str]:
    yield f"{path}: {_guessed([asdict(guess) for guess in prediction.guesses])}"
    yield from (f"  {note}" for note in prediction.notes)


def _guessed(guesses: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{guess['name']} {percent(guess['probability'])}" for guess in guesses) or "no prediction"


def _one_line(name: str) -> str:
    """A name that may hold anything, on one line of a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _say(line: str, stream: TextIO) -> None:
    """Print a line above the bar, if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=stream)
