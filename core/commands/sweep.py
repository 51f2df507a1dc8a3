"""`python -m core sweep`: many runs of one question, begun, followed, stopped, resumed and added to."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from core.commands import Parsers, settings
from core.config import ConfigError
from core.machine.home import Home
from core.records.telling import duration
from core.store import RunStore, StoreError

if TYPE_CHECKING:
    from core.sweeps.drawing import Check
    from core.sweeps.outcome import Outcome
    from core.sweeps.plan import Plan
    from core.sweeps.vary import Vary
    from core.worker.supervisor import Supervisor

NAMES = ("sweep",)
LOOK_SECONDS = 0.2
"""How often a free place is looked for, and what ended is told."""


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    sweep = commands.add_parser("sweep", parents=[shared, as_json, settings.flags()])
    own = sweep.add_argument_group("sweep")
    own.add_argument(
        "--vary", metavar="FIELD=VALUES", action="append", default=[],
        help="what differs between runs: 'optimizer=SGD|AdamW', 'learning_rate=1e-4..1e-1 log', 'seed=0..4'; several times for several fields",
    )  # fmt: skip
    own.add_argument("--which-layers", action="store_true", help="vary how deep the model learns, from the head alone to everything, with --seeds")
    own.add_argument(
        "--seeds",
        metavar="N",
        help="with --which-layers: runs of each depth that differ in their seed alone (default: 2); with --more: further seeds",
    )
    own.add_argument("--runs", metavar="N", help="how many runs (default: every combination, or 24 where a range has countless values)")
    own.add_argument("--method", help="grid, random, or tpe (Optuna); default: grid where all values are listed, else random")
    own.add_argument("--pruner", default="none", help="none, median or halving (Optuna): end runs early that do worse than others")
    own.add_argument("--at-once", metavar="N", help="runs that may go on side by side (default: by what a run takes)")
    own.add_argument("--name", default="", help="what the sweep is called")
    own.add_argument("--yes", action="store_true", help="begin a large sweep without asking")
    own.add_argument("--queue", action="store_true", help="put the runs into the queue and print the sweep's id; a server, or core work, does them")
    what = own.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list the newest sweeps")
    for name, text in (
        ("show", "print what came out of a sweep so far"),
        ("stop", "let no run of a sweep begin any more, and end those that go on"),
        ("go-on", "have the runs of a stopped sweep go on, and follow them"),
        ("more", "try --runs further settings in a sweep, or all of a grid with --seeds further seeds, and follow them"),
    ):
        what.add_argument(f"--{name}", metavar="SWEEP", help=text)


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out one of them. Exit status 1 where no run came to its end."""
    store = RunStore(home.database)
    if arguments.list:
        return _list(store, arguments.json)
    if arguments.show:
        return _tell(store, arguments.show, arguments.json)
    if arguments.stop:
        return _stop(store, arguments.stop, arguments.json)
    if arguments.go_on:
        from core.sweeps import moving

        store.sweep(arguments.go_on)
        print(f"{moving.resume(store, arguments.go_on):,} runs go on", file=sys.stderr)
        return _followed(home, store, arguments.go_on, arguments)
    if arguments.more:
        from core.sweeps import moving

        name, add = ("seeds", moving.add_seeds) if arguments.seeds is not None else ("runs", moving.add_more)
        count = settings.whole_number(name, getattr(arguments, name) or "", 1, 100_000, 8)
        add(store, arguments.more, count, _check(home))
        return _followed(home, store, arguments.more, arguments)
    return _begin(home, store, arguments)


def _begin(home: Home, store: RunStore, arguments: argparse.Namespace) -> int:
    from core.sweeps import drawing, moving

    plan = _asked(home, arguments)
    _ask_first(plan, arguments.yes)
    check = _check(home)
    sweep_id, drawn = moving.begin(store, plan, check, partial(_checking, plan.total))
    varied = ", ".join(str(vary) for vary in plan.vary)
    print(f"{sweep_id}: {plan.total:,} runs of {plan.config.model} on {plan.config.dataset}, {plan.method} over {varied}", file=sys.stderr)
    print(*(f"thaw: {line}\n" for line in drawing.in_words(drawn.refused)), sep="", end="", file=sys.stderr)
    return _followed(home, store, sweep_id, arguments)


def _asked(home: Home, arguments: argparse.Namespace) -> Plan:
    """The plan that the flags say. Raises ConfigError for a value that cannot be used."""
    from core.sweeps import depths
    from core.sweeps.plan import make
    from core.sweeps.vary import parse_all

    config = settings.config(arguments, home)
    runs, at_once = (
        settings.whole_number(name, text, 1, most, example) if (text := getattr(arguments, name)) is not None else None
        for name, most, example in (("runs", 100_000, 24), ("at_once", 64, 1))
    )
    if not arguments.which_layers:
        if arguments.seeds is not None:
            raise ConfigError("seeds", "belongs to --which-layers; write --vary 'seed=0..4' for five seeds of each run")
        vary = _with_files(home, parse_all(arguments.vary))
        return make(config, vary, arguments.method, arguments.pruner, runs, at_once, arguments.name, config.seed)
    if arguments.vary or arguments.runs or arguments.method:
        given = "vary" if arguments.vary else "runs" if arguments.runs else "method"
        raise ConfigError(given, "does not go with --which-layers, which decides that itself; leave one of the two out")
    from core import catalog
    from core.model import anatomy
    from core.records.layers import head_options

    config = catalog.check(config)
    classes = len(catalog.class_names(config.dataset, home.data))
    found = depths.depths(anatomy.describe(config.model, classes, config.image_size, head_options(config)))
    seeds = settings.whole_number("seeds", arguments.seeds, 1, depths.MOST_SEEDS, 2) if arguments.seeds is not None else depths.SEEDS
    return depths.question(config, found, seeds, config.epochs)


def _with_files(home: Home, vary: Sequence[Vary]) -> tuple[Vary, ...]:
    """The same with a path in place of each run to start from. Raises ConfigError on `starting_weights`."""
    from core.store import run_weights

    def put(each: Vary) -> Vary:
        return replace(each, values=tuple(run_weights.file_of(home, str(value)) for value in each.values))

    return tuple(put(each) if each.field == run_weights.FIELD else each for each in vary)


def _ask_first(plan: Plan, yes: bool) -> None:
    """Raises ConfigError where a large sweep was not meant, or nobody can be asked."""
    from core.sweeps.plan import ASKED_FIRST

    if plan.total < ASKED_FIRST or yes:
        return
    every = f"{plan.total:,} runs"
    if plan.combinations and plan.combinations > plan.total:
        every += f" of {plan.combinations:,} combinations"
    if sys.stdin.isatty():
        print(f"This sweep has {every}. Begin them all? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
        raise ConfigError("vary", "nothing was started")
    raise ConfigError("vary", f"makes {every}; add --yes to begin them all, or --runs 24 to take that many of them by chance")


def _check(home: Home) -> Check:
    """What is asked of each run's settings before it is queued: all that can be known without beginning it."""
    from core.worker import assembly

    return partial(assembly.check, home=home)


def _checking(total: int, done: int) -> None:
    if total >= 500 and done % 500 == 0:
        print(f"thaw: {done:,} of {total:,} settings are checked", file=sys.stderr)


def _followed(home: Home, store: RunStore, sweep_id: str, arguments: argparse.Namespace) -> int:
    """Do the runs, or leave them to others; then tell what came out."""
    if arguments.queue:
        print(json.dumps({"sweep": sweep_id, "status": "queued"}) if arguments.json else sweep_id, flush=True)
        print("Its runs begin once places are free and a server, or: python -m core work, looks.", file=sys.stderr)
        return 0
    from core.machine.children import starter
    from core.worker.supervisor import Supervisor

    began = starter(home.logs / "nursery.log")
    supervisor = Supervisor(home, store, began)
    try:
        _follow(supervisor, store, sweep_id)
    except KeyboardInterrupt:
        print(
            f"thaw: no more runs are begun here; those that go on end by themselves. Go on with: python -m core sweep --go-on {sweep_id}; "
            f"end all of it with: python -m core sweep --stop {sweep_id}",
            file=sys.stderr,
        )
    finally:
        supervisor.close()
        began.close()
    return _tell(store, sweep_id, arguments.json)


def _follow(supervisor: Supervisor, store: RunStore, sweep_id: str) -> None:
    """Begin runs as places become free until all of the sweep's have ended."""
    from core.sweeps.outcome import outcome

    told: set[str] = set()
    said = ""
    while True:
        try:
            supervisor.reconcile()
            supervisor.dispatch()
            if len(told) < len(store.members(sweep_id)) - store.open_members(sweep_id):
                found = outcome(store, sweep_id)
                for entry in found.entries:
                    if not entry.status.active and entry.run_id not in told:
                        told.add(entry.run_id)
                        print(_line(found, entry.run_id, len(told)), file=sys.stderr)
            if not store.open_members(sweep_id) and not outcome(store, sweep_id).going:
                return
        except StoreError as error:  # locked or full just now: it may be well at the next look
            if not error.passing:
                raise
            if str(error) != said:
                said = str(error)
                print(f"thaw: {said}", file=sys.stderr)
        time.sleep(LOOK_SECONDS)


def _line(found: Outcome, run_id: str, number: int) -> str:
    entry = next(each for each in found.entries if each.run_id == run_id)
    values = " ".join(f"{name}={value}" for name, value in entry.values.items())
    accuracy = "" if entry.validation_accuracy is None else f", validation {100 * entry.validation_accuracy:.1f} %"
    left = "" if found.seconds_left is None else f" ({duration(found.seconds_left)} left)"
    why = f": {entry.error.splitlines()[0]}" if entry.error and entry.pruned is None else ""
    return f"{number:,} of {found.total:,}  {values}  {entry.said}{accuracy}{why}{left}"


def _tell(store: RunStore, sweep_id: str, as_json: bool) -> int:
    """Print what came out, the best first."""
    from core.sweeps import depths
    from core.sweeps.outcome import as_json as told
    from core.sweeps.outcome import best_first, outcome

    found = outcome(store, sweep_id)
    answer = depths.answer(found) if found.plan.about == "layers" else None
    if as_json:
        take = {} if answer is None or answer.take is None else {"take": answer.depths[answer.take].freeze}
        print(json.dumps({**told(found), "said": answer.sentence if answer else found.sentence, **take}), flush=True)
    else:
        for entry in chain(*best_first(found.entries)):
            print(_row(entry))
        print(answer.sentence if answer else found.sentence)
        print(*(f"{line}\n" for line in found.refused), sep="", end="")
    return 0 if found.best is not None or found.going else 1


def _row(entry: Any) -> str:
    accuracies = [entry.validation_accuracy, entry.test_accuracy]
    figures = "  ".join("     -" if accuracy is None else f"{100 * accuracy:5.1f}%" for accuracy in accuracies)
    seconds = "-" if entry.seconds is None else duration(entry.seconds)
    values = " ".join(f"{name}={value}" for name, value in entry.values.items())
    return f"{entry.run_id}  {entry.said:12}  {figures}  {seconds:>10}  {values}"


def _stop(store: RunStore, sweep_id: str, as_json: bool) -> int:
    from core.sweeps import moving

    store.sweep(sweep_id)
    count = moving.stop(store, sweep_id)
    print(json.dumps({"sweep": sweep_id, "stopped": count}) if as_json else f"{count:,} runs of {sweep_id} end or do not begin", flush=True)
    return 0


def _list(store: RunStore, as_json: bool) -> int:
    from core.sweeps.outcome import outcome

    rows: list[dict[str, Any]] = []
    for row in store.sweeps():
        found = outcome(store, row.id)
        best = found.best
        rows.append(
            {
                "sweep": row.id,
                "name": found.plan.name,
                "state": found.state,
                "done": found.done,
                "runs": found.total,
                "vary": [str(vary) for vary in found.plan.vary],
                "best": None if best is None else {"run_id": best.run_id, "validation_accuracy": best.validation_accuracy},
            }
        )
    if as_json:
        print(json.dumps(rows))
        return 0
    if not rows:
        print("There is no sweep yet. Begin one with: python -m core sweep --vary 'learning_rate=1e-4..1e-1 log' --runs 8")
    for each in rows:
        best_said = "" if each["best"] is None else f"  best {100 * each['best']['validation_accuracy']:.1f} %"
        print(f"{each['sweep']}  {each['state']:9}  {each['done']:,} of {each['runs']:,}{best_said}  {each['name'] or '; '.join(each['vary'])}")
    return 0
