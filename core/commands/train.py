"""`python -m core train`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from core import catalog
from core.catalog.rate_advice import outside
from core.commands import Parsers, queue, settings, slurm
from core.commands.listing import data, sentence, summary
from core.commands.progress import progress_bar
from core.config import RunConfig
from core.config.cluster import SLURM
from core.machine.home import Home
from core.machine.memory import keep_for_next_step
from core.records.events import RunStatus
from core.records.labels import LabelChange
from core.store import Run, RunStore
from core.store.run_folder import read_notice
from core.worker.supervisor import Supervisor, this_process

NAMES = ("train",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    train = commands.add_parser("train", parents=[shared, as_json, settings.flags()])
    train.add_argument("--queue", action="store_true", help="put the run at the end of the queue, and print its id")
    train.add_argument("--name", metavar="TEXT", help="what to call it; see label")
    train.add_argument("--note", metavar="TEXT", help="what is tried, and why")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Train, or have the run wait for a place."""
    wanted = LabelChange(arguments.name, arguments.note)
    act = queue.enqueue if arguments.queue else _train
    return act(home, settings.config(arguments, home), arguments.json, wanted)


def _train(home: Home, config: RunConfig, as_json: bool, wanted: LabelChange) -> int:
    config = catalog.check(config)
    if config.target == SLURM:
        return _submit(home, config, as_json, wanted)
    keep_for_next_step()
    # Not at the top: listing runs, or hearing of a misspelt name, must not take the two seconds that torch needs.
    from core.worker import assembly
    from core.worker.process import work

    config = assembly.check(config, home)
    layout = catalog.survey(config.dataset)
    store = RunStore(home.database)
    run_id = queue.made(home, store, config, wanted, this_process())
    print(f"run {run_id}: {config.model} on {config.dataset}, freeze: {config.freeze}", *outside(config), sep="\n", file=sys.stderr)
    said = [layout.sentence, *(left.sentence for left in layout.left_out)] if layout else []
    print(*(f"data: {line}\n" for line in said), sep="", end="", file=sys.stderr)
    with progress_bar(home, run_id):
        work(home, run_id)
    return tell_ended(home, store.run(run_id), as_json, said)


def _submit(home: Home, config: RunConfig, as_json: bool, wanted: LabelChange) -> int:
    """Have Slurm do it, and follow it."""
    slurm.refuse(config)
    store = RunStore(home.database)
    run_id = queue.made(home, store, config, wanted)
    print(
        f"run {run_id}: {config.model} on {config.dataset}, freeze: {config.freeze}, as a job of Slurm", *outside(config), sep="\n", file=sys.stderr
    )
    return tell_ended(home, store.run(run_id), as_json) if slurm.follow(Supervisor(home, store), run_id) else 0


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
        print(json.dumps({**summary(home, run), **data(run)}), flush=True)
    elif run.result is not None:
        print(sentence(home, run))
    return 0 if run.status in (RunStatus.FINISHED, RunStatus.STOPPED) else 1
