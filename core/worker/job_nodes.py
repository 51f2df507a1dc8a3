"""The other nodes of a job: each joins the run that the first one leads, as `core join` does, and nobody has to type anything.

The tokens with which a machine joins stand in the run's folder while the run waits (`core.ranks.joining`): all nodes see it. They come one after
the other, by number, so that no two take the same. What a node's frozen layers compute it keeps for itself (`core.machine.home.APART`).
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from core.machine.home import APART, Home
from core.ranks import joining
from core.ranks.joining import NODES_SECONDS, Machines
from core.ranks.talk import TalkError, ask_in
from core.store.job_files import asked
from core.store.saving import log

LOOK_SECONDS = 0.25
"""How often the run's folder is looked into: it lies on a network."""


def share_in(home: str, run_id: str, number: int, node: int, scratch: Path) -> str:
    """Share run `run_id` of `home`, whose job `number` this is, as its `node`, from 1. Returns how that has ended.

    Raises:
        ConfigError: this node was not let in.
        OSError: its ranks could not be begun.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # that its time is soon over is for the first node to hear
    os.environ[APART] = str(scratch)
    place = Home.from_environment(home)
    folder = place.run_folder(run_id)
    end = time.monotonic() + NODES_SECONDS
    while time.monotonic() < end and asked(folder, run_id)[0] in (0, number):  # 0: it could not be read just now
        if (machines := _turn(folder, number, node)) is None:
            time.sleep(LOOK_SECONDS)
            continue
        host, _, port = machines.address.rpartition(":")
        try:
            talk = ask_in(host, int(port), run_id, machines.tokens[0])
        except TalkError as error:
            log(f"node {node} of the job cannot reach the first one at {machines.address}: {error}; it tries again")
            time.sleep(4 * LOOK_SECONDS)
            continue
        from core.worker.joined import join  # torch, once there is somebody who leads

        return join(place, talk, run_id, host, {}, log, node) or f"node {node} of the job has shared the run to its end"
    return f"node {node} of the job has done nothing: the run did not wait for it"


def _turn(folder: Path, number: int, node: int) -> Machines | None:
    """Whom to join, if it is this node's turn: all before it are there."""
    machines = joining.read(folder)
    return machines if machines and machines.job == number and machines.tokens and len(machines.names) == node else None
