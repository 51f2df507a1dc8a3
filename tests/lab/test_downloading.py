"""Downloads ahead of a run: one after the other, with progress, cancelled at any moment, and never half there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.config import ConfigError
from core.data import datasets
from core.lab.downloading import DownloadDesk, answer
from core.machine.home import Home
from tests.support import wait_until


class Hand:
    """In place of the process: each question is answered once the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.told: list[int] = []
        self.go = threading.Event()
        self.answer: dict[str, Exception] = {}

    def ask(self, line: str, number: int, progress: Callable[[str, float | None], None]) -> Any:
        name = json.loads(line)["dataset"]
        self.asked.append((name, number))
        progress("downloading", 0.25)
        assert self.go.wait(30)
        outcome = self.answer.get(name, True)
        if isinstance(outcome, Exception):
            raise outcome
        return None if number in self.told else outcome

    def tell(self, cancel: int) -> None:
        self.told.append(cancel)
        self.go.set()

    def close(self) -> None:
        self.go.set()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def desk(home: Home, hand: Hand) -> Iterator[DownloadDesk]:
    desk = DownloadDesk(home)
    desk._helper = hand  # type: ignore[assignment]
    yield desk
    desk.close()


def state(desk: DownloadDesk, name: str) -> str:
    found = desk.state(name)
    return found.state if found else ""


def test_they_go_one_after_the_other_and_say_how_far_they_are(desk: DownloadDesk, hand: Hand) -> None:
    hand.answer["CIFAR10"] = ConfigError("dataset", "no network; connect")
    for name in ("MNIST", "CIFAR10", "MNIST"):
        desk.begin(name)
    wait_until(lambda: (found := desk.state("MNIST")) and found.share == 0.25)
    assert hand.asked == [("MNIST", 1)]
    assert state(desk, "CIFAR10") == "working"
    hand.go.set()
    wait_until(lambda: state(desk, "CIFAR10") == "failed")
    assert state(desk, "MNIST") == "done"
    assert [name for name, _ in hand.asked] == ["MNIST", "CIFAR10"]
    found = desk.state("CIFAR10")
    assert found
    assert found.message == "no network; connect"


def test_one_that_is_cancelled_is_forgotten_and_can_be_begun_again(desk: DownloadDesk, hand: Hand) -> None:
    desk.begin("MNIST")
    wait_until(lambda: hand.asked)
    desk.cancel("MNIST")
    assert desk.state("MNIST") is None
    assert hand.told == [1]
    desk.begin("MNIST")
    wait_until(lambda: state(desk, "MNIST") == "done")
    assert [number for _, number in hand.asked] == [1, 2]


@pytest.mark.parametrize("name", ["digits", "nothing", "folder"])
def test_only_what_is_downloaded_can_be(desk: DownloadDesk, name: str) -> None:
    with pytest.raises(ConfigError, match="none that is downloaded"):
        desk.begin(name)


def test_the_process_gives_up_at_the_next_word_and_removes_what_others_left(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def read(folder: Path, progress: Callable[[str, float | None], None]) -> Any:
        for number in range(5):
            progress(f"part {number}", number / 5)

    entry = replace(datasets.DATASETS["MNIST"], opener=None, reader=read)
    monkeypatch.setattr("core.lab.downloading.DATASETS", {"MNIST": entry})
    left = home.data / ".downloading" / "MNIST"
    left.mkdir(parents=True)
    question = {"question": "download", "dataset": "MNIST"}
    assert answer(home, question, lambda: len(said) == 2, lambda text, share: said.append(text)) is None
    assert said == ["part 0", "part 1"]
    assert not left.exists()
    assert answer(home, question, lambda: False, lambda text, share: None) is True
