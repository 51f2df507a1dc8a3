"""Fixtures of the tests of measuring."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.lab.cost_desk import CostDesk
from tests.measuring.cost_cases import Answering


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
