"""What pages and routes of one server share: store, supervisor and lab of one home, opened once a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from core.lab.lab import Lab
from core.machine import children
from core.machine.home import Home
from core.machine.jobs import Starter
from core.store import RunStore
from core.store.trouble import StoreError
from core.worker.supervisor import Supervisor


@dataclass(frozen=True)
class Services:
    """Everything that a screen may ask or tell. All of it is safe to use from any thread."""

    home: Home
    store: RunStore
    supervisor: Supervisor
    lab: Lab
    starter: Starter = field(default_factory=children.Interpreters)
    """How the processes of supervisor and lab are started."""


def services() -> Services:
    """The services of the home that `THAW_HOME` names at this moment. Raises StoreError where folder or store cannot be used."""
    try:
        return _open(Home.from_environment())
    except StoreError:
        raise
    except OSError as error:
        name = str(error.filename or "")
        raise StoreError(name, "denied", f"cannot be kept there ({error.strerror or error})", "make that folder writable, or name another") from None


@cache
def _open(home: Home) -> Services:
    store = RunStore(home.database)
    starter = children.starter(home.logs / "nursery.log")
    return Services(home, store, Supervisor(home, store, starter), Lab(home, starter), starter)
