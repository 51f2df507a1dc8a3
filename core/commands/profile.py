"""`python -m core profile RUN`."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

from core.commands import Parsers
from core.commands.missing import missing
from core.commands.progress import percent
from core.config import ConfigError
from core.machine.home import Home
from core.records import telling
from core.records.events import RunStatus
from core.store import RunStore
from core.worker.supervisor import Supervisor

NAMES = ("profile",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    profile = commands.add_parser("profile", parents=[shared, as_json])
    profile.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out."""
    return _profile(home, arguments.run, arguments.json)


def _profile(home: Home, run_id: str, as_json: bool) -> int:
    """Ask a run that goes on to look where its time goes, and print what was found out last."""
    store = RunStore(home.database)
    supervisor = Supervisor(home, store)
    supervisor.reconcile()
    if store.run(run_id).status == RunStatus.RUNNING:
        _wait_for_profile(supervisor, run_id, supervisor.profile(run_id))
    profile = store.profile(run_id) or missing(store.run(run_id), "profile")
    if as_json:
        print(json.dumps({**asdict(profile), "headline": telling.profile_headline(profile)}))
        return 0
    steps = f"steps {profile.first_step:,} to {profile.last_step:,}, {profile.samples:,} images each, on {profile.device}"
    print(f"{telling.profile_headline(profile)} ({steps}; medians)")
    print(f"\n{'stage':14} {'ms':>9} {'share':>7}")
    for stage in telling.STAGES:
        if stage in profile.stages:
            print(f"{stage:14} {1000 * profile.stages[stage]:>9.3f} {percent(profile.stages[stage] / (profile.seconds or 1)):>7}")
    if profile.blocks:
        print(f"\n{'block':40} {'forward ms':>10} {'backward ms':>11}")
    for block in profile.blocks:
        forward, backward = ("-" if seconds is None else f"{1000 * seconds:.3f}" for seconds in (block.forward, block.backward))
        print(f"{block.name:40} {forward:>10} {backward:>11}  {telling.block_note(block)}".rstrip())
    print("\nmemory: " + ", ".join(f"{name} {telling.size(size)}" for name, size, _ in telling.memory_rows(profile.memory)))
    print(telling.peak_in_words(profile.memory))
    return 0


def _wait_for_profile(supervisor: Supervisor, run_id: str, command_id: int) -> None:
    """Until the run has answered, or has ended or is paused, which is no answer."""
    store = supervisor.store
    while store.run(run_id).status == RunStatus.RUNNING:
        (command,) = [command for command in store.commands(run_id) if command.id == command_id]
        if command.error is not None:
            raise ConfigError("run", command.error)
        profile = store.profile(run_id)
        if command.applied_at_step is not None and profile is not None and profile.last_step > command.applied_at_step:
            return
        supervisor.reconcile()
        time.sleep(0.1)
