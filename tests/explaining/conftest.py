"""Fixtures of the tests of explaining."""

from __future__ import annotations

import pytest

from core.explaining import explain
from core.machine.home import Home
from core.records.walkthrough import Example, Walkthrough


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that all examples of this module share."""
    return Home.from_environment(str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def classic(explained: Home) -> Walkthrough:
    return explain.walkthrough(Example("classic"), explained)
