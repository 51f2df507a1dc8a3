"""What the process of a comparison answers, and that nobody waits for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.comparing import imported
from core.config import ConfigError
from core.helpers.helper import LabError
from core.lab.comparing import ComparingDesk, answer
from core.machine.home import Home
from core.records.weight_difference import WeightDifference
from core.store import RunStore
from core.store.checkpoint import checkpoint_path
from tests.comparing.compare_cases import MadeRun
from tests.support import wait_until


class Hand:
    """Stands for the process."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.asked: list[str] = []

    def ask(self, line: str, _number: int = 0) -> Any:
        self.asked.append(line)
        return answer(self.home, json.loads(line), lambda: False, lambda *_: None)

    def rest(self) -> bool:
        return False

    def close(self) -> None:
        """There is none."""


@pytest.fixture
def desk(home: Home) -> Iterator[ComparingDesk]:
    desk = ComparingDesk(home)
    desk._helper = Hand(home)  # type: ignore[assignment]
    yield desk
    desk.close()


def kept(home: Home, run: MadeRun, epoch: int, value: float) -> None:
    path = checkpoint_path(home.run_folder(run.id), epoch, 10 * epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"fc.weight": torch.full((2,), value)}, path)


def test_weights_are_compared_once_and_again_after_another_epoch(home: Home, store: RunStore, desk: ComparingDesk) -> None:
    runs = [MadeRun(store, seed=seed) for seed in range(2)]
    for run in runs:
        run.train(10)
        for epoch in range(2):
            kept(home, run, epoch, 1.0 + epoch)

    def found() -> WeightDifference:
        told = wait_until(lambda: desk.difference("tab", runs[0].id, runs[1].id))
        assert told is not None
        return told

    assert found().rows[0].same
    assert found().rows[0].same
    assert len(desk._helper.asked) == 1  # type: ignore[attr-defined]
    kept(home, runs[1], 2, 9.0)
    assert not found().rows[0].same


def test_what_cannot_be_compared_or_read_is_said(home: Home, store: RunStore, desk: ComparingDesk, tmp_path: Path) -> None:
    run = MadeRun(store)
    with pytest.raises(ConfigError, match="has kept no weights yet"):
        wait_until(lambda: desk.difference("tab", run.id, run.id))
    with pytest.raises(ConfigError, match="There is no run"):
        wait_until(lambda: desk.difference("tab", "gone", run.id))
    with pytest.raises(ConfigError, match="there is nothing at"):
        wait_until(lambda: desk.curves("tab", str(tmp_path / "nothing"), "", 1))
    (tmp_path / "a.csv").write_text("step,loss\n1,1\n")
    assert wait_until(lambda: desk.curves("tab", str(tmp_path / "a.csv"), "mine", 2)) == list(imported.listed(home))
    desk.close()
    with pytest.raises(LabError, match="closing"):
        desk.difference("tab", "other", run.id)
