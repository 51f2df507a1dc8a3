"""`python -m core pause`, `stop` and `change`: what is asked of a run that goes on."""

from __future__ import annotations

import argparse
import time
from typing import Any

from core.commands import Parsers, queue
from core.config import ConfigError
from core.config.plans import Change
from core.machine.home import Home
from core.store import Run, RunStore
from core.worker.supervisor import Supervisor

NAMES = ("pause", "stop", "change")


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    parsers = {name: commands.add_parser(name, parents=[shared]) for name in NAMES}
    for parser in parsers.values():
        parser.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    parsers["change"].add_argument("change", metavar="CHANGE", help="what holds from the next step on: '!layer4, learning_rate=0.0005, fc=10'")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out one of them."""
    if arguments.command == "change":
        return _change(home, arguments.run, arguments.change)
    return _command(home, arguments.command, arguments.run)


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
