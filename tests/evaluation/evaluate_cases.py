"""What the tests of evaluate share."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import RunConfig
from core.evaluation import evaluate
from core.evaluation.evaluate import Loaded
from core.evaluation.test_set import TestSet, draw_test_set
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore, saving
from core.worker.process import work

NETWORK = "tiny: conv 8, norm, relu, pool, conv 16, norm, relu, global pool"


TINY = RunConfig(dataset="digits", model=NETWORK, image_size=16, batch_size=64, epochs=2, threads=1, learning_rate=0.03)


OTHER = TINY.replace(
    model="small_cnn", freeze="head only", precision="bfloat16", memory_format="channels_last", augmentation="shift", loss="MultiMarginLoss", epochs=1
)


def made_run(home: Home, config: RunConfig, status: RunStatus = RunStatus.STOPPED, classes: int = 10, weights: bool = True) -> str:
    from core.networks.models import build

    store = RunStore(home.database)
    run_id = store.create_run(config)
    if weights:
        torch.manual_seed(0)
        saving.save_weights(build(config.model, classes, config.image_size), home.run_folder(run_id) / "weights.pth")
    if not status.active:
        store.end(run_id, status)
    return run_id


def edit_config(home: Home, run_id: str, **fields: Any) -> None:
    """What a run of an older or newer Thaw, or an own catalogue, would have left behind."""
    with sqlite3.connect(home.database) as connection:
        (text,) = connection.execute("SELECT config FROM runs WHERE id = ?", (run_id,)).fetchone()
        connection.execute("UPDATE runs SET config = ? WHERE id = ?", (json.dumps({**json.loads(text), **fields}), run_id))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, str]:
    """A home with two finished runs on digits: all epochs kept; and one in another number format, of which nothing but the head learned."""
    if not _TRAINED:
        _TRAINED.append(_trained(tmp_path_factory.mktemp("trained-once")))
    once, *runs = _TRAINED[0]
    copied = tmp_path_factory.mktemp("trained") / "home"
    shutil.copytree(once, copied)
    return Home.from_environment(str(copied)), runs[0], runs[1]


_TRAINED: list[tuple[Path, str, str]] = []
"""The same for all files of tests, trained once and used by none of them: what one leaves behind must not be found by the next."""


def _trained(folder: Path) -> tuple[Path, str, str]:
    home = Home.from_environment(str(folder))
    store = RunStore(home.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "SHARE", 1e9)  # every epoch is worth keeping, however quick it was
        runs = [store.create_run(config) for config in (TINY, OTHER)]
        assert [work(home, run) for run in runs] == [RunStatus.FINISHED] * 2
    store.close()
    return home.path, runs[0], runs[1]


@pytest.fixture
def run(home: Home) -> str:
    """A run in a home of its own that has ended with random weights, and has not been tested: made in milliseconds."""
    return made_run(home, TINY)


@pytest.fixture(scope="module")
def loaded(trained: tuple[Home, str, str]) -> Loaded:
    return evaluate.load(trained[0], trained[1])


@pytest.fixture(scope="module")
def tested(trained: tuple[Home, str, str]) -> TestSet:
    return draw_test_set(TINY, trained[0], lambda text, share: None)
