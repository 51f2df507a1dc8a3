"""Fixtures of the tests of evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread_each() -> Iterator[None]:
    """As `one_thread`, for all tests of a file."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
