"""A run's id in place of a file of weights: it stands for the newest weights that the run kept. No torch."""

from __future__ import annotations

import re

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import ACTIVE
from core.store.run_store import RunStore

FIELD = "starting_weights"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")  # as `core.store.database.new_id` makes them


def file_of(home: Home, text: str) -> str:
    """The path of the newest weights of the run whose id `text` is, whole and absolute; any other text as it is.

    Raises:
        ConfigError: on `starting_weights`, there is no such run, it lies in the bin, or it has kept no weights (yet).
        StoreError: the store cannot be read.
    """
    run_id = text.strip()
    if not _ID.fullmatch(run_id):
        return text
    store = RunStore(home.database)
    if run_id not in store.ids():
        raise ConfigError(FIELD, f"there is no run {run_id}; list the runs with: python -m core runs, or give the path of a weights file")
    if run_id in store.binned():
        raise ConfigError(FIELD, f"run {run_id} lies in the bin; bring it back with: python -m core restore {run_id}")
    weights = (home.run_folder(run_id) / "weights.pth").absolute()
    if not weights.is_file():
        going = store.standing([run_id])[run_id].status in ACTIVE
        remedy = "wait until it has" if going else "choose another run, or give the path of a weights file"
        raise ConfigError(FIELD, f"run {run_id} has kept no weights{' yet' if going else ''}; {remedy}")
    return str(weights)


def resolved(home: Home, config: RunConfig) -> RunConfig:
    """The config with a path where it names a run to start from. Raises as `file_of`."""
    path = file_of(home, config.starting_weights)
    return config if path == config.starting_weights else config.replace(starting_weights=path)
