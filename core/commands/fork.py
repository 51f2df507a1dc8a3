"""`python -m core fork RUN --step N`: a branch of a run."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from core.commands import Parsers, settings, slurm
from core.commands.progress import progress_bar
from core.commands.train import tell_ended
from core.config import ConfigError, RunConfig
from core.config.cluster import SLURM
from core.config.limits import quoted
from core.machine.home import Home
from core.records.forks import told
from core.records.labels import LabelChange
from core.store import RunStore
from core.store.labelling import relabel
from core.worker import forking
from core.worker.supervisor import Supervisor, this_process

NAMES = ("fork",)
MOST_STEPS = 10**12


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    about = (
        "Branch off from a run: begin at the nearest checkpoint at or before a step, change something, and go on with the same batches in the same "
        "order. Without a change the branch does the same as its parent, to the bit. The parent stays as it is, also while it goes on."
    )
    fork = commands.add_parser("fork", parents=[shared, as_json], description=about)
    fork.add_argument("run", metavar="RUN", help="the parent's id, as listed by runs")
    fork.add_argument("--step", metavar="N", required=True, help="the step behind which to branch off")
    fork.add_argument(
        "--set", dest="values", metavar="FIELD=VALUE", action="append", default=[],
        help=f"what is another from there on; may be given several times. Fields: {', '.join(forking.CHANGEABLE)}",
    )  # fmt: skip
    for name in forking.CHANGEABLE:
        fork.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=f"the same as --set {name}=VALUE")
    fork.add_argument("--name", metavar="TEXT", help="what the branch is called")
    accept = (
        "go on also where torch, the processor or the number of threads is another than the parent's; a branch that changes something does anyway"
    )
    fork.add_argument("--accept-other-bits", action="store_true", help=accept)
    fork.add_argument("--queue", action="store_true", help="put the branch at the end of the queue, and print its id")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out."""
    step = settings.whole_number("step", arguments.step, 0, MOST_STEPS, 100)
    name = None if arguments.name is None else LabelChange(name=arguments.name)
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    planned = forking.plan(home, store, arguments.run, step, _values(arguments))
    elsewhere = planned.config.target == SLURM
    if elsewhere:
        slurm.refuse(planned.config)
    run_id = forking.make(home, store, planned, None if arguments.queue or elsewhere else this_process(), arguments.accept_other_bits)
    if name is not None:
        relabel(store, home.run_folder(run_id), run_id, name)
    print(f"run {run_id}: " + "; ".join(told(planned.fork)), file=sys.stderr)
    if arguments.queue:
        print(json.dumps({"run_id": run_id, "status": "queued", "step": planned.fork.step}) if arguments.json else run_id, flush=True)
        print("It begins once a place is free and a server, or: python -m core work, looks.", file=sys.stderr)
        return 0
    if elsewhere:
        return tell_ended(home, store.run(run_id), arguments.json) if slurm.follow(Supervisor(home, store), run_id) else 0
    from core.worker.process import work  # torch takes two seconds, which a misspelt name must not cost

    with progress_bar(home, run_id):
        work(home, run_id)
    return tell_ended(home, store.run(run_id), arguments.json)


def _values(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is to be another, by field."""
    texts = {name: text for name in forking.CHANGEABLE if (text := getattr(arguments, name)) is not None}
    for each in arguments.values:
        name, equals, text = each.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ConfigError("set", f"{quoted(each)} is not a field, an equals sign and a value; write for example learning_rate=0.0003")
        texts[name] = text
    return {name: settings.value(name, text) if name in RunConfig.model_fields else text for name, text in texts.items()}
