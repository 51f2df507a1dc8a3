"""What the tests of own pictures share."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.config import RunConfig
from core.data.manifest import Picture, read_pictures
from core.evaluation import evaluate
from core.evaluation.predictions import Predictions, find_run
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import Run, RunStore
from core.worker.process import work

EACH = 30
"""Pictures of each class; a fifth of them are test pictures."""


def silent(text: str, share: float | None) -> None:
    """Progress that nobody hears."""


def draw(path: Path, number: int) -> None:
    """A picture of noise, another one for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)


@dataclass(frozen=True)
class World:
    """A home with a finished run on a folder of noise, both for this test alone."""

    home: Home
    run_id: str
    folder: Path

    @property
    def run(self) -> Run:
        return find_run(self.home, self.run_id)

    @property
    def tested(self) -> list[Picture]:
        return [each for each in read_pictures(self.home.run_folder(self.run_id)) or () if each.part == "test"]

    def evaluate(self) -> Predictions:
        return evaluate.evaluate(self.home, self.run_id)


def config_of(folder: Path, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "dataset": f"folder:{folder}",
        "model": "mlp",
        "image_size": 16,
        "batch_size": 8,
        "epochs": 12,
        "threads": 1,
        "learning_rate": 0.01,
    }
    return RunConfig(**{**values, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where a home, a folder and a copy of it lie, and the run's id."""
    base = tmp_path_factory.mktemp("own")
    for label, name in enumerate("ab"):
        for number in range(EACH):
            draw(base / "photos" / name / f"{number:02}.png", 1000 * label + number)
    shutil.copytree(base / "photos", base / "pristine")
    home = Home.from_environment(str(base / "home"))
    store = RunStore(home.database)
    run_id = store.create_run(config_of(base / "photos"))
    assert work(home, run_id) is RunStatus.FINISHED
    store.close()
    return base, run_id


@pytest.fixture
def world(trained: tuple[Path, str], tmp_path: Path) -> World:
    base, run_id = trained
    shutil.copytree(base / "home", tmp_path / "home")
    shutil.rmtree(base / "photos", ignore_errors=True)
    shutil.copytree(base / "pristine", base / "photos")
    return World(Home.from_environment(str(tmp_path / "home")), run_id, base / "photos")
