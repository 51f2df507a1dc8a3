"""Fixtures of the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import catalog
from core.config import RunConfig
from core.lab.lab import Lab
from core.machine.home import Home
from core.worker.supervisor import Supervisor
from pages._parts.setup import data_card, folder_view
from pages._parts.shared.services import Services, services
from tests.support import PATIENCE, nursery


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One real lab for all tests: it takes seconds to start and remembers nothing that matters."""
    lab = Lab(Home.from_environment(str(tmp_path_factory.mktemp("lab"))), nursery())
    yield lab
    lab.close()


@pytest.fixture
def shared_services(home: Home, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services that the pages use, of an empty home. Starting a run only queues it: no worker is launched."""
    monkeypatch.setenv("THAW_HOME", str(home.path))
    monkeypatch.setattr("pages._parts.shared.services.Lab", lambda home, starter: lab)

    def queue(supervisor: Supervisor, config: RunConfig) -> str:
        return supervisor.store.create_run(catalog.check(config))

    monkeypatch.setattr(Supervisor, "start", queue)
    for looks in (folder_view._looks, data_card._previews):  # a busy machine is no slow disk
        monkeypatch.setattr(looks, "at_most", PATIENCE)
    return services()
