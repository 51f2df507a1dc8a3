"""`python -m core queue` and `python -m core work`: the runs that wait for a place, and serving them without a server."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from typing import Any

from core.commands import Parsers, label, settings, slurm
from core.config import ConfigError, RunConfig
from core.config.cluster import SLURM
from core.machine.hardware import device_of
from core.machine.home import Home
from core.machine.settings import MOST_SLOTS, read_settings, write_settings
from core.records.labels import LabelChange
from core.store import Run, RunStore, StoreError, UnreadableRun
from core.store.labelling import relabel
from core.store.waiting import Waiting, in_words, queue_of
from core.worker.supervisor import Supervisor

NAMES = ("queue", "work")
LOOK_SECONDS = 0.5
"""How often `work` looks for a free place."""


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    queue = commands.add_parser("queue", parents=[shared, as_json])
    what = queue.add_mutually_exclusive_group()
    what.add_argument("--move", metavar="RUN", help="move a waiting run in front of another one, named with --before")
    what.add_argument("--next", metavar="RUN", help="move a waiting run to the front")
    what.add_argument("--now", metavar="RUN", help="begin a waiting run now, beside those that go on")
    what.add_argument("--cancel", metavar="RUN", help="end a waiting run before it begins; --restore has it wait again")
    what.add_argument("--restore", metavar="RUN", help="have a run that was cancelled wait again, where it stood")
    what.add_argument("--slots", metavar="N", help="how many runs may go on at once on a device (kept in settings.json)")
    queue.add_argument("--before", metavar="RUN", help="with --move: the waiting run that it is to stand in front of")
    work = commands.add_parser("work", parents=[shared])
    work.add_argument("--once", action="store_true", help="end when no run waits and those that were begun have ended")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out one of them."""
    supervisor = Supervisor(home, RunStore(home.database))
    supervisor.reconcile()
    if arguments.command == "work":
        return _work(supervisor, arguments.once)
    if (arguments.before is None) != (arguments.move is None):
        raise ConfigError("before", "--move and --before belong together; write for example: queue --move RUN --before ANOTHER")
    _act(supervisor, arguments)
    _list(supervisor, arguments.json)
    return 0


def enqueue(home: Home, config: RunConfig, as_json: bool, wanted: LabelChange = LabelChange()) -> int:  # noqa: B008  it never changes
    """Put a run at the end of the queue, called as is `wanted`, and print its id."""
    from core.catalog.check import check

    config = check(config)
    if config.target == SLURM:
        slurm.refuse(config)
    run_id = made(home, RunStore(home.database), config, wanted)
    print(json.dumps({"run_id": run_id, "status": "queued"}) if as_json else run_id, flush=True)
    print("It begins once a place is free and a server, or: python -m core work, looks.", file=sys.stderr)
    return 0


def made(home: Home, store: RunStore, config: RunConfig, wanted: LabelChange, process: tuple[int, float] | None = None) -> str:
    """The id of a new run of a checked config, called as is `wanted`; see `RunStore.create_run`."""
    run_id = store.create_run(config, process)
    if wanted:
        relabel(store, home.run_folder(run_id), run_id, wanted)
    return run_id


def why_waiting(supervisor: Supervisor, run_id: str) -> str:
    """'waits for 20261123-102233-a1b2 (resnet18 on digits) on cpu, about 4 min'."""
    found = [each for each in queue_of(supervisor.store, supervisor.settings().slots, device_of) if each.run.id == run_id]
    return in_words(found[0], _named) if found else "is just being started"


def _act(supervisor: Supervisor, arguments: argparse.Namespace) -> None:
    for option, act in (
        ("next", supervisor.run_next), ("now", supervisor.start_now), ("cancel", supervisor.store.cancel),
        ("move", lambda run_id: supervisor.move(run_id, arguments.before)),
    ):  # fmt: skip
        run_id = getattr(arguments, option)
        if run_id is not None and not act(run_id):
            which = next((each for each in (run_id, arguments.before) if each and not _waits(supervisor, each)), run_id)
            status = supervisor.store.run(which).status
            remedy = f"stop it with: python -m core stop {which}" if status.active else "list those that wait with: python -m core queue"
            raise ConfigError(option, f"{which} does not wait in the queue ({status}); {remedy}")
    if arguments.restore is not None and not supervisor.restore_cancelled(arguments.restore) and not _waits(supervisor, arguments.restore):
        raise ConfigError(
            "restore", f"{arguments.restore} was not cancelled ({supervisor.store.run(arguments.restore).status}); only such a run can be put back"
        )
    if arguments.slots is not None:
        slots = settings.whole_number("slots", arguments.slots, 1, MOST_SLOTS, 1)
        write_settings(supervisor.home, replace(read_settings(supervisor.home), slots=slots))


def _waits(supervisor: Supervisor, run_id: str) -> bool:
    return supervisor.store.run(run_id).waits


def _list(supervisor: Supervisor, as_json: bool) -> None:
    slots = read_settings(supervisor.home).slots  # not the supervisor's: what is wrong with the file is said here
    waiting = queue_of(supervisor.store, slots, device_of)
    holding = supervisor.store.holding_runs()
    if as_json:
        running = [{"run_id": each.id, "status": str(each.status)} for each in holding]
        print(json.dumps({"slots": slots, "running": running, "waiting": [_as_json(each) for each in waiting]}))
        return
    print(f"{len(holding):,} {'run holds' if len(holding) == 1 else 'runs hold'} a place ({slots:,} on each device):")
    for each in holding:
        print(f"  {each.id}  {each.status:10} {_about(each)}")
    if not waiting:
        print("No run waits. Add one with: python -m core train --queue ...")
    for number, place in enumerate(waiting, 1):
        print(f"{number:>4}  {place.run.id}  {_about(place.run)}: {in_words(place, _named)}")


def _as_json(waiting: Waiting) -> dict[str, Any]:
    return {
        "run_id": waiting.run.id,
        "device": waiting.device,
        "ahead": waiting.ahead,
        "waits_for": [holder.id for holder in waiting.holders],
        "seconds": waiting.seconds,
        "why": in_words(waiting, _named),
    }


def _named(run: Run) -> str:
    return f"{run.id} ({run.config.model} on {run.config.dataset})"


def _about(run: Run | UnreadableRun) -> str:
    return (
        f"cannot be read: {run.reason}"
        if isinstance(run, UnreadableRun)
        else f"{label.before(run.labels)}{run.config.model} on {run.config.dataset}, {run.config.freeze}"
    )


def _work(supervisor: Supervisor, once: bool) -> int:
    """Begin waiting runs until interrupted, or until none is left. Exit status 1 where a run that was begun failed or was lost."""
    begun: set[str] = set()
    ended: dict[str, str] = {}
    said = ""
    try:
        while True:
            try:
                supervisor.reconcile()
                for run_id in supervisor.dispatch():
                    begun.add(run_id)
                    print(f"{run_id} begins", file=sys.stderr)
                _tell_ended(supervisor, begun, ended)
                said = _say(supervisor.settings_problem, said)
                if once and len(ended) == len(begun) and not supervisor.store.count_waiting():
                    return 0 if all(status in ("finished", "stopped") for status in ended.values()) else 1
            except StoreError as error:  # locked or full just now: it may be well at the next look
                if not error.passing:
                    raise
                said = _say(str(error), said)
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        going = len(begun) - len(ended)
        print(f"thaw: no more runs are begun; {going:,} that {'goes' if going == 1 else 'go'} on until they end", file=sys.stderr)
        return 0
    finally:
        supervisor.close()


def _tell_ended(supervisor: Supervisor, begun: set[str], ended: dict[str, str]) -> None:
    for run_id in sorted(begun - set(ended)):
        try:
            status = supervisor.store.run(run_id).status
        except UnreadableRun as error:
            ended[run_id] = error.status
            continue
        except KeyError:  # taken off the list meanwhile
            ended[run_id] = "stopped"
            continue
        if not status.active:
            ended[run_id] = status
            print(f"{run_id} {status}", file=sys.stderr)


def _say(text: str, said: str) -> str:
    if text and text != said:
        print(f"thaw: {text}", file=sys.stderr)
    return text
