"""`python -m core resume RUN`."""

from __future__ import annotations

import argparse
import sys

from core.commands import Parsers, slurm
from core.commands.progress import progress_bar
from core.commands.settings import whole_number
from core.commands.steering import refuse_waiting
from core.commands.train import tell_ended
from core.config import ConfigError
from core.config.cluster import SLURM
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.store.continued import ResumeRequest
from core.worker.supervisor import Supervisor, ask_to_go_on, this_process

NAMES = ("resume",)
MOST_EPOCHS = 100_000


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    about = (
        "Let a paused run go on. Continue one that was stopped, interrupted, lost or failed, in the foreground, to the same end to the bit. "
        "With --epochs, train a finished one on."
    )
    resume = commands.add_parser("resume", parents=[shared, as_json], description=about)
    resume.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    accept = "continue also where torch, the processor or the number of threads is another: its steps are marked as computed with other bits"
    more = "train on to N epochs in all: steps and weights are those of a run that was begun with N; refused where its schedule follows the number"
    resume.add_argument("--epochs", metavar="N", help=more)
    resume.add_argument("--accept-other-bits", action="store_true", help=accept)


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out."""
    epochs = None if arguments.epochs is None else whole_number("epochs", arguments.epochs, 1, MOST_EPOCHS, 10)
    store = RunStore(home.database)
    supervisor = Supervisor(home, store)
    supervisor.reconcile()
    found = store.run(arguments.run)
    if found.status is RunStatus.PAUSED and epochs is not None:
        raise ConfigError("epochs", f"{found.id} is paused; let it go on without --epochs, and train it on once it is finished")
    if found.status is RunStatus.PAUSED:
        supervisor.resume(found.id)
        return 0
    refuse_waiting(supervisor, found)

    request = ResumeRequest(arguments.accept_other_bits, epochs)
    if found.config.target == SLURM:
        ask_to_go_on(home, store, found.id, request)
        if not slurm.follow(supervisor, found.id):
            return 0
        print(*store.continued(found.id)[-1:], sep="\n", file=sys.stderr)
        return tell_ended(home, store.run(found.id), arguments.json)
    ask_to_go_on(home, store, found.id, request, this_process())
    from core.worker.process import work  # torch takes two seconds, which a misspelt name must not cost

    with progress_bar(home, found.id):
        work(home, found.id)
    print(*store.continued(found.id)[-1:], sep="\n", file=sys.stderr)
    return tell_ended(home, store.run(found.id), arguments.json)
