"""Fixtures of the tests of doctor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from core.catalog.faults import PRESETS
from core.machine.home import Home
from core.records.findings import Diagnosis
from core.store import Run, RunStore
from tests.doctor.doctor_cases import carried_out


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One home for all runs here; small networks run on one thread."""
    before = torch.get_num_threads()
    yield Home.from_environment(str(tmp_path_factory.mktemp("doctor")))
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(home: Home) -> RunStore:
    return RunStore(home.database)


@pytest.fixture(scope="module")
def broken(home: Home, store: RunStore) -> dict[str, tuple[Run, Diagnosis]]:
    """Every preset, carried out once for all tests."""
    return {name: carried_out(home, store, preset.config) for name, preset in PRESETS.items()}
