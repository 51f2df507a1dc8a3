"""Fixtures of the tests of measuring."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from core.lab.cost_desk import CostDesk
from core.measuring import trials, tuning
from core.training.steps import THREADS
from tests.measuring.cost_cases import Answering


@pytest.fixture(autouse=True)
def with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried must not depend on the processor that the tests run on."""
    monkeypatch.setattr(trials, "bfloat16_is_native", lambda: True)


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def desk(answering: Answering) -> Iterator[CostDesk]:
    desk = CostDesk(answering.answer, answering.cancelled.add)
    yield desk
    desk.close()
    answering.go_on(1000)
    desk.join()


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is decided, and how long it takes, must not depend on the machine that the tests run on, nor on what else that does."""
    monkeypatch.setattr(tuning, "THREADS", 2)
    monkeypatch.setattr(trials, "STAGE_SECONDS", 0.0)
    monkeypatch.setattr(trials, "use_threads", lambda count: None)
    monkeypatch.setattr(tuning, "tidy", lambda: None)  # half a second in the process of the tests
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(THREADS)
