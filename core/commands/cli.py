"""`python -m core`: without a browser, all that the screens do with one.

Exit status: 0 done, 1 the run failed, 2 a value that cannot be used (one clear line on stderr).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from core import catalog, commands, networks
from core.catalog.rate_advice import outside
from core.code import network_code
from core.commands import queue, settings
from core.commands.missing import missing
from core.commands.progress import percent, progress_bar
from core.config import ConfigError, RunConfig
from core.config.limits import cut, quoted
from core.config.plans import Change
from core.machine.home import Home
from core.machine.paths import pasted
from core.networks.grammar import EXAMPLE
from core.records import telling
from core.records.events import Reuse, RunStatus
from core.records.speed import Tuning
from core.store import Run, RunStore, StoreError, UnreadableRun, recovery
from core.store.checkpoint import weights_of
from core.store.run_folder import read_notice
from core.worker.supervisor import Supervisor, this_process


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    rooms = commands.modules()
    arguments = _parser(rooms).parse_args(argv)
    try:
        home = _home(arguments.home)
        match arguments.command:
            case "train":
                act = queue.enqueue if arguments.queue else _train
                return act(home, settings.config(arguments, home), arguments.json)
            case "runs":
                return _runs(home, settings.whole_number("limit", arguments.limit, 1, 1_000_000, 50), arguments.json)
            case "show":
                return _show(home, arguments.run, arguments.json)
            case "catalog":
                return _catalog(arguments.json)
            case "networks":
                return _networks(home, arguments)
            case "audit":
                return _audit(home, arguments.run, arguments.json)
            case "change":
                return _change(home, arguments.run, arguments.change)
            case "pause" | "stop":
                return _command(home, arguments.command, arguments.run)
            case name:
                (room,) = [room for room in rooms if name in room.NAMES]
                return room.run(home, arguments)
    except ConfigError as error:
        print(f"thaw: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"thaw: {error}", file=sys.stderr)
        return 2 if isinstance(error, StoreError) else 1
    except KeyError as error:
        print(f"thaw: {cut(str(error.args[0]))}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    """One that does not write out everything that it was given, however long."""

    def error(self, message: str) -> NoReturn:
        """See `ArgumentParser`."""
        super().error(cut(message))


def _parser(rooms: Sequence[commands.CommandModule]) -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m core", description="Fine-tuning that you can see through, without the browser.")
    subparsers: Any = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", metavar="DIR", help="where everything is kept (default: $THAW_HOME or .thaw)")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON on stdout")

    train = subparsers.add_parser("train", parents=[shared, as_json, settings.flags()], help="train in the foreground; Ctrl-C stops and saves")
    train.add_argument("--queue", action="store_true", help="put the run at the end of the queue, and print its id")
    runs = subparsers.add_parser("runs", parents=[shared, as_json], help="list the newest runs")
    runs.add_argument("--limit", metavar="N", default="50", help="how many at most (default: 50)")
    for name, text in (
        ("show", "print one run"),
        ("audit", "print what is frozen, what learns, and the proof; exit status 1 if anything is not as it should be"),
        ("pause", "pause a run after its step"),
        ("stop", "stop a run and save its weights; one that waits in the queue is cancelled"),
    ):
        command = subparsers.add_parser(name, parents=[shared, as_json] if name in ("show", "audit") else [shared], help=text)
        command.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    change = subparsers.add_parser("change", parents=[shared], help="freeze, unfreeze or learn at another rate while a run trains")
    change.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    change.add_argument("change", metavar="CHANGE", help="what holds from the next step on: '!layer4, learning_rate=0.0005, fc=10'")
    own = subparsers.add_parser("networks", parents=[shared, as_json], help="list, save and delete networks of your own")
    what = own.add_mutually_exclusive_group()
    what.add_argument("--save", metavar="TEXT", help="save 'mynet: conv 32, norm, relu, pool, global pool'; train it with --model mynet")
    what.add_argument("--code", metavar="NAME", help="print a network as a plain PyTorch class for images of 64 px and 10 classes")
    what.add_argument("--delete", metavar="NAME", help="take a network off the list; --restore brings it back")
    what.add_argument("--restore", metavar="NAME", help="bring back a network that was deleted")
    own.add_argument("--overwrite", action="store_true", help="with --save: replace another network of the same name")
    subparsers.add_parser("catalog", parents=[shared, as_json], help="list the names that a config can use")
    for room in rooms:
        room.add(subparsers, shared, as_json)
    return parser


def _home(path: str | None) -> Home:
    try:
        return Home.from_environment(str(pasted(path, "home")) if path else None)
    except OSError as error:
        remedy = "give another folder with --home or THAW_HOME"
        raise ConfigError("home", f"{quoted(error.filename)} cannot be made ({error.strerror}); {remedy}") from None


def _train(home: Home, config: RunConfig, as_json: bool) -> int:
    config = catalog.check(config)
    # Not at the top: listing runs, or hearing of a misspelt name, must not take the two seconds that torch needs.
    from core.worker import assembly
    from core.worker.process import work

    config = assembly.check(config, home)
    layout = catalog.survey(config.dataset)
    store = RunStore(home.database)
    run_id = store.create_run(config, this_process())
    print(f"run {run_id}: {config.model} on {config.dataset}, freeze: {config.freeze}", *outside(config), sep="\n", file=sys.stderr)
    said = [layout.sentence, *(left.sentence for left in layout.left_out)] if layout else []
    print(*(f"data: {line}\n" for line in said), sep="", end="", file=sys.stderr)
    with progress_bar(home, run_id):
        work(home, run_id)
    return tell_ended(home, store.run(run_id), as_json, said)


def tell_ended(home: Home, run: Run, as_json: bool, said: Sequence[str] = ()) -> int:
    """Print how a run that was worked on here has ended, without what was `said` of its data before; returns the exit status."""
    for note in run.plan.notes if run.plan else ():
        if note not in said:
            print(f"data: {note}", file=sys.stderr)
    if run.error:
        print(f"thaw: {run.error}", file=sys.stderr)
    if run.status.active:
        why = read_notice(home.run_folder(run.id)) or "The store could not be written."
        print(f"thaw: {why} How the run ended is kept in {home.run_folder(run.id)}, and comes into the list by itself.", file=sys.stderr)
    if as_json:
        print(json.dumps({**_summary(home, run), **_data(run)}), flush=True)
    elif run.result is not None:
        print(_sentence(home, run))
    return 0 if run.status in (RunStatus.FINISHED, RunStatus.STOPPED) else 1


def _runs(home: Home, limit: int, as_json: bool) -> int:
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    runs = store.entries(limit)
    found = recovery.found(home, store)
    if found:
        remedy = "take in again those that can be with: python -m core recover"
        print(f"thaw: {len(found):,} {'run lies' if len(found) == 1 else 'runs lie'} on disk and not in this list; {remedy}", file=sys.stderr)
    if as_json:
        print(json.dumps([_summary(home, run) for run in runs]))
    elif not runs and found:
        print("The list is empty.")
    elif not runs:
        print("No runs yet. Start one: python -m core train --dataset digits --model resnet18 --freeze 'head only'")
    else:
        print(f"{'run':22} {'status':10} {'epochs':>9} {'steps':>8} {'validation':>10} {'test':>7}  what")
        for run in runs:
            if isinstance(run, UnreadableRun):
                print(f"{run.id:22} {'unreadable':10} {run.reason}; take it off this list with: python -m core forget {run.id}")
                continue
            result = run.result
            print(
                f"{run.id:22} {run.status:10} {f'{run.epoch}/{run.config.epochs}':>9} {run.step:>8} "
                f"{percent(result.validation_accuracy if result else None):>10} {percent(result.test_accuracy if result else None):>7}"
                f"  {run.config.model} on {run.config.dataset}, {run.config.freeze}"
            )
    return 0


def _show(home: Home, run_id: str, as_json: bool) -> int:
    store = RunStore(home.database)
    supervisor = Supervisor(home, store)
    supervisor.reconcile()
    run = store.run(run_id)
    if as_json:
        epochs = [{name: _json_number(value) for name, value in asdict(row).items()} for row in store.epochs_after(run_id)]
        found = {"history": epochs, "tuning": _tuning(store.tuning(run_id)), **_data(run), "notes": _notes(run, store.reuse(run_id))}
        print(
            json.dumps({**_summary(home, run), "config": run.config.model_dump(), "error": run.error, "continued": store.continued(run_id), **found})
        )
        return 0
    print(f"run {run.id}, {run.status}, created {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(run.created))}")
    for name, value in run.config.model_dump().items():
        print(f"  {name:20} {value}")
    if run.plan:
        print(
            f"data: {len(run.plan.classes):,} classes, {run.plan.train_samples:,} training, {run.plan.validation_samples:,} validation and "
            f"{run.plan.test_samples:,} test images"
        )
    for note in _notes(run, store.reuse(run_id)):
        print(note)
    for line in store.continued(run_id):
        print(line)
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
    if run.result is not None:
        print(_sentence(home, run))
    if run.error:
        print(run.error)
    return 0


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


def _command(home: Home, name: str, run_id: str, *arguments: Any) -> int:
    supervisor = Supervisor(home, RunStore(home.database))
    supervisor.reconcile()
    run = supervisor.store.run(run_id)
    if not run.status.active:
        raise ConfigError(
            "run", f"{run_id} has already ended ({run.status}); only one that is going on can {'be changed' if name == 'change' else name}"
        )
    if name != "stop":
        refuse_waiting(supervisor, run)
    getattr(supervisor, name)(run_id, *arguments)
    return 0


def refuse_waiting(supervisor: Supervisor, run: Run) -> None:
    """Raises ConfigError on `run` for one that waits in the queue, with what it waits for."""
    if run.waits:
        about = "cancel it with stop, or begin it with: python -m core queue --now"
        raise ConfigError("run", f"{run.id} has not begun, it {queue.why_waiting(supervisor, run.id)}; {about} {run.id}")


def _change(home: Home, run_id: str, text: str) -> int:
    """Ask for the change and wait for the answer."""
    change = Change.parse(text)
    _command(home, "change", run_id, change)
    store = RunStore(home.database)
    while True:
        command = store.commands(run_id)[-1]
        if command.error is not None:
            raise ConfigError("change", command.error)
        if command.applied_at_step is not None:
            print(f"'{change}' holds from step {command.applied_at_step + 1} on")
            return 0
        Supervisor(home, store).reconcile()
        time.sleep(0.1)


def _audit(home: Home, run_id: str, as_json: bool) -> int:
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    report = store.audit(run_id) or missing(store.run(run_id), "audit")
    if as_json:
        print(json.dumps({**asdict(report), "frozen_values": report.frozen_values, "values_changed": report.values_changed}))
    else:
        print(f"{'verdict':13} {'values':>12} {'gradient':>8} {'moved':>6} {'statistics':>10} {'mode':>6} {'since':>7}  tensor")
        for row in sorted(report.rows, key=lambda row: not row.verdict.fault):
            moved, statistics = ("-" if value is None else "yes" if value else "no" for value in (row.moved, row.statistics_moved))
            since = "-" if row.frozen_since is None else str(row.frozen_since)
            print(f"{row.verdict:13} {row.count:>12,} {row.gradient:>8} {moved:>6} {statistics:>10} {row.mode:>6} {since:>7}  {row.name}")
        looked = "every tensor compared" if report.complete else "compared so far"
        print(f"{report.values_changed:,} of {report.frozen_values:,} frozen values changed, after step {report.step:,} ({looked})")
    return 1 if any(row.verdict.fault for row in report.rows) else 0


def _networks(home: Home, arguments: argparse.Namespace) -> int:
    if arguments.save is not None:
        print(networks.save(home, arguments.save, arguments.overwrite))
    elif arguments.delete is not None:
        networks.delete(home, arguments.delete)
    elif arguments.restore is not None:
        print(networks.restore(home, arguments.restore))
    elif arguments.code is not None:
        text = networks.saved(home).get(arguments.code, arguments.code)
        print(network_code(text, max(64, catalog.find_model(text).smallest), 10))
    else:
        shelf = networks.look(home)
        for notice in shelf.notices:
            print(f"thaw: {notice}", file=sys.stderr)
        if arguments.json:
            print(json.dumps(shelf.networks))
        else:
            print("\n".join(shelf.networks.values()) or f"No networks yet. Save one: python -m core networks --save {EXAMPLE!r}")
    return 0


def _catalog(as_json: bool) -> int:
    if as_json:
        print(
            json.dumps(
                {
                    kind: {name: f"{entry.about} {entry.terms}".rstrip() for name, entry in entries.items()}
                    for kind, entries in catalog.CATALOGUES.items()
                }
            )
        )
        return 0
    for kind, entries in catalog.CATALOGUES.items():
        print(kind)
        for name, entry in entries.items():
            print(f"  {name:28} {entry.about} {entry.terms}".rstrip())
    return 0


def _summary(home: Home, run: Run | UnreadableRun) -> dict[str, Any]:
    if isinstance(run, UnreadableRun):
        return {"run_id": run.id, "status": "unreadable", "error": run.reason}
    result = run.result
    return {
        "run_id": run.id,
        "status": run.status,
        "epochs": result.epochs if result else run.epoch,
        "steps": result.steps if result else run.step,
        "train_loss": result.train_loss if result else None,
        "validation_accuracy": result.validation_accuracy if result else None,
        "test_accuracy": result.test_accuracy if result else None,
        "seconds": result.seconds if result else run.active_seconds,
        "samples_per_second": result.samples_per_second if result else None,
        "weights": str(weights) if (weights := weights_of(home, run)) else None,
    }


def _data(run: Run) -> dict[str, Any]:
    """How the dataset was read and what was left out, in sentences, and what the three sets hold. `data` is None before that is known."""
    plan = run.plan
    if plan is None:
        return {"notes": [], "data": None}
    images = {"train": plan.train_samples, "validation": plan.validation_samples, "test": plan.test_samples}
    return {"notes": plan.notes, "data": {"classes": plan.classes, "images": images}}


def _sentence(home: Home, run: Run) -> str:
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
