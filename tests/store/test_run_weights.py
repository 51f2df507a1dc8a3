"""A run's id in place of a file of weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.store.run_weights import file_of, resolved


def test_a_runs_id_stands_for_its_newest_weights_and_every_other_text_for_itself(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    weights = home.run_folder(run_id) / "weights.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    assert Path(file_of(home, f" {run_id} ")) == weights.absolute()
    assert resolved(home, RunConfig(starting_weights=run_id)).starting_weights == str(weights.absolute())
    for text in ("random", "pretrained", "some/file.pth", f"{run_id}.pth", '<b>"x"'):
        assert file_of(home, text) == text


def test_what_has_no_weights_is_said_with_what_to_do(home: Home, store: RunStore) -> None:
    def refused(run_id: str) -> str:
        with pytest.raises(ConfigError) as error:
            file_of(home, run_id)
        assert error.value.field == "starting_weights"
        return error.value.message

    run_id = store.create_run(RunConfig())
    assert "has kept no weights yet; wait until it has" in refused(run_id)
    store.end(run_id, RunStatus.FAILED)
    assert "has kept no weights; choose another run" in refused(run_id)
    store.put_into_bin(run_id)
    assert f"bring it back with: python -m core restore {run_id}" in refused(run_id)
    assert "there is no run 20200101-000000-abcd; list the runs" in refused("20200101-000000-abcd")
