"""What pages and routes of one server share: store, supervisor and lab of one home, opened once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from core.lab.lab import Lab
from core.machine.home import Home
from core.store import RunStore
from core.worker.supervisor import Supervisor


@dataclass(frozen=True)
class Services:
    """Everything that a screen may ask or tell. All of it is safe to use from any thread."""

    home: Home
    store: RunStore
    supervisor: Supervisor
    lab: Lab


def services() -> Services:
    """The services of the home that `THAW_HOME` names at this moment. Raises OSError where that folder cannot be written."""
    return _open(Home.from_environment())


@cache
def _open(home: Home) -> Services:
    store = RunStore(home.database)
    return Services(home, store, Supervisor(home, store), Lab(home))
