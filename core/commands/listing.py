"""`python -m core runs` and `python -m core show RUN`, and how a run is told in a line or as JSON."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict
from typing import Any

from core.commands import Parsers, label, queue, settings
from core.commands.progress import percent
from core.comparing.rows import Row, Wanted, row_of
from core.machine.home import Home
from core.ranks import joining
from core.records import forks, telling
from core.records.events import Reuse, RunStatus
from core.records.labels import written
from core.records.speed import Tuning
from core.store import Run, RunStore, UnreadableRun, recovery
from core.store.checkpoint import weights_of
from core.worker.supervisor import Supervisor

NAMES = ("runs", "show")


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    runs = commands.add_parser("runs", parents=[shared, as_json])
    runs.add_argument("--limit", metavar="N", default="50", help="how many at most (default: 50)")
    runs.add_argument("--find", metavar="TEXT", default="", help="those of which id, name, note, tags, dataset or model hold every word")
    runs.add_argument("--starred", action="store_true", help="those with a star")
    runs.add_argument("--status", metavar="STATUS", action="append", default=[], help="finished, running ...; may be given several times")
    runs.add_argument("--dataset", metavar="NAME", default="", help="those on this dataset")
    runs.add_argument("--model", metavar="NAME", default="", help="those of this model")
    runs.add_argument("--tag", metavar="TEXT", action="append", default=[], help="those with this tag; may be given several times")
    runs.add_argument("--sweep", metavar="SWEEP", default="", help="those of this sweep, by its id or its name")
    about = "created, name, status, dataset, model, best, validation, test, time or epochs; --sort=-best turns it round (default: created)"
    runs.add_argument("--sort", metavar="FIELD", default="created", help=about)
    show = commands.add_parser("show", parents=[shared, as_json])
    show.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out one of them."""
    if arguments.command == "runs":
        return _runs(home, settings.whole_number("limit", arguments.limit, 1, 1_000_000, 50), arguments)
    return _show(home, arguments.run, arguments.json)


def _runs(home: Home, limit: int, arguments: argparse.Namespace) -> int:
    wanted = Wanted(tuple(arguments.status), arguments.dataset, arguments.model, tuple(arguments.tag), arguments.sort, arguments.sweep)
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    among = store.matching(arguments.find, arguments.starred) if arguments.find or arguments.starred else None
    all_rows = [row_of(run) for run in store.listed(among)]
    rows = wanted.of(all_rows)[:limit]
    by_id = {run.id: run for run in store.entries(len(rows), among={row["run_id"] for row in rows})}
    found = recovery.found(home, store)
    if found:
        remedy = "take in again those that can be with: python -m core recover"
        print(f"thaw: {len(found):,} {'run lies' if len(found) == 1 else 'runs lie'} on disk and not in this list; {remedy}", file=sys.stderr)
    there = [(row, by_id[row["run_id"]]) for row in rows if row["run_id"] in by_id]
    if arguments.json:
        print(json.dumps([told(home, row, run) for row, run in there]))
    elif not there and found:
        print("The list is empty.")
    elif not there and (among is not None or all_rows):
        print("No run is like that. Ask for less, or list all of them: python -m core runs")
    elif not there:
        print("No runs yet. Start one: python -m core train --dataset digits --model resnet18 --freeze 'head only'")
    else:
        print(f"{'run':22} {'status':10} {'epochs':>9} {'steps':>8} {'best at epoch':>16} {'last':>8} {'test':>7} {'time':>9}  what")
        for row, run in there:
            _print_line(row, run)
    return 0


def _print_line(row: Row, run: Run | UnreadableRun) -> None:
    if isinstance(run, UnreadableRun):
        print(f"{run.id:22} {'unreadable':10} {run.reason}; take it off this list with: python -m core forget {run.id}")
        return
    best = "" if row["best_epoch"] is None else f"{percent(row['best_validation_accuracy'])} at {row['best_epoch']:,}"
    print(
        f"{run.id:22} {run.status:10} {f'{run.epoch}/{run.config.epochs}':>9} {run.step:>8} {best or 'none':>16} "
        f"{percent(row['validation_accuracy']):>8} {percent(row['test_accuracy']):>7} {run.active_seconds:>7.1f} s"
        f"  {label.before(run.labels)}{run.config.model} on {run.config.dataset}, {run.config.freeze}{_branch(run)}"
    )


def told(home: Home, row: Row, run: Run | UnreadableRun) -> dict[str, Any]:
    """A row of the table and what `summary` says, ready for JSON. What both have is what the run ended with."""
    return {**(row if isinstance(run, Run) else {}), **summary(home, run)}


def _show(home: Home, run_id: str, as_json: bool) -> int:
    store = RunStore(home.database)
    supervisor = Supervisor(home, store)
    supervisor.reconcile()
    run = store.run(run_id)
    if as_json:
        print(json.dumps(_shown(home, store, run)))
        return 0
    print(
        f"run {run.id}, {run.status}, created {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(run.created))}", *label.lines(run.labels), sep="\n"
    )
    for name, value in run.config.model_dump().items():
        print(f"  {name:20} {value}")
    for line in forks.told(run.fork) if run.fork else ():
        print(line)
    for branch, step in store.branches(run_id):
        print(f"branch {branch} begins behind step {step:,}")
    if run.plan:
        print(
            f"data: {len(run.plan.classes):,} classes, {run.plan.train_samples:,} training, {run.plan.validation_samples:,} validation and "
            f"{run.plan.test_samples:,} test images"
        )
    for note in _notes(run, store.reuse(run_id)):
        print(note)
    for line in store.continued(run_id):
        print(line)
    if run.status is RunStatus.PREPARING and (machines := joining.read(home.run_folder(run_id))):
        print(*machines.told, sep="\n")
    if run.waits:
        print(f"It {queue.why_waiting(supervisor, run_id)}.")
    for row in store.epochs_after(run_id):
        print(
            f"epoch {row.epoch:>4}  step {row.step:>7}  train loss {row.train_loss:.4f}  accuracy {percent(row.train_accuracy)}"
            + (f"  validation loss {row.validation_loss:.4f}  accuracy {percent(row.validation_accuracy)}" if row.validation_loss is not None else "")
        )
    tuning = store.tuning(run_id)
    if tuning is not None:
        print(f"fastest way: {tuning.way.label} ({tuning.reason}; {tuning.measured})")
    reuse = store.reuse(run_id)
    if reuse is not None:
        print(telling.reuse_in_words(reuse))
        if reuse.threads is not None:
            print(telling.threads_in_words(reuse.threads))
    if run.result is not None:
        print(sentence(home, run))
    if run.error:
        print(run.error)
    return 0


def _shown(home: Home, store: RunStore, run: Run) -> dict[str, Any]:
    """What `show --json` says of a run."""
    epochs = [{name: _json_number(value) for name, value in asdict(row).items()} for row in store.epochs_after(run.id)]
    return {
        **summary(home, run),
        "config": run.config.model_dump(),
        "error": run.error,
        "continued": store.continued(run.id),
        "join": _lines(home, run),
        "branches": [{"run_id": branch, "step": step} for branch, step in store.branches(run.id)],
        "history": epochs,
        "tuning": _tuning(store.tuning(run.id)),
        **data(run),
        "notes": _notes(run, store.reuse(run.id)),
    }


def _lines(home: Home, run: Run) -> list[str]:
    """What to type on the machines that the run waits for."""
    machines = joining.read(home.run_folder(run.id)) if run.status is RunStatus.PREPARING else None
    return list(machines.lines) if machines else []


def _branch(run: Run) -> str:
    """Where a run branched off, for a line of a list; nothing of one that began by itself."""
    return f"; branch of {run.fork.parent} from step {run.fork.step:,} on" if run.fork else ""


def _notes(run: Run, reuse: Reuse | None) -> tuple[str, ...]:
    """What there is to know of a run: from its beginning, and what became of torch.compile."""
    given_up = telling.given_up(reuse)
    return (*(run.plan.notes if run.plan else ()), *([given_up] if given_up else []))


def _tuning(tuning: Tuning | None) -> dict[str, Any] | None:
    """The measured ways with what follows for each of them."""
    if tuning is None:
        return None
    ways = [
        {
            **asdict(way),
            "seconds": tuning.seconds(way),
            "samples_per_second": tuning.samples_per_second(way),
            "times_faster": tuning.times_faster(way),
        }
        for way in tuning.ways
    ]
    return {**asdict(tuning), "ways": ways}


def summary(home: Home, run: Run | UnreadableRun) -> dict[str, Any]:
    """What there is to say of a run at its end, or so far, ready for JSON: losses, shares from 0 to 1, seconds."""
    if isinstance(run, UnreadableRun):
        return {"run_id": run.id, "status": "unreadable", "error": run.reason}
    result = run.result
    return {
        "run_id": run.id,
        **written(run.labels),
        "status": run.status,
        **({"fork": asdict(run.fork)} if run.fork else {}),
        "epochs": result.epochs if result else run.epoch,
        "steps": result.steps if result else run.step,
        "train_loss": result.train_loss if result else None,
        "validation_accuracy": result.validation_accuracy if result else None,
        "test_accuracy": result.test_accuracy if result else None,
        "seconds": result.seconds if result else run.active_seconds,
        "samples_per_second": result.samples_per_second if result else None,
        "weights": str(weights) if (weights := weights_of(home, run)) else None,
    }


def data(run: Run) -> dict[str, Any]:
    """How the dataset was read and what was left out, in sentences, and what the three sets hold. `data` is None before that is known."""
    plan = run.plan
    if plan is None:
        return {"notes": [], "data": None}
    images = {"train": plan.train_samples, "validation": plan.validation_samples, "test": plan.test_samples}
    return {"notes": plan.notes, "data": {"classes": plan.classes, "images": images}}


def sentence(home: Home, run: Run) -> str:
    """The same of a run that has ended with a result, as a person reads it."""
    result = run.result
    assert result is not None
    measured = [f"validation accuracy {percent(result.validation_accuracy)}", f"test accuracy {percent(result.test_accuracy)}"]
    weights = weights_of(home, run)
    if result.test_accuracy is None and weights is not None:
        measured.append(f"measure it with: python -m core evaluate {run.id}")
    ended = f"{run.status} after {result.epochs} epochs, {result.steps} steps, {result.seconds:.1f} s"
    return f"{ended}; {', '.join(measured)}; weights: {weights}"


def _json_number(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity: null."""
    return value if value is None or math.isfinite(value) else None
