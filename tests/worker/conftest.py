"""Fixtures of tests of workers."""

from __future__ import annotations

import pytest

from core.worker.checkpoints import RunCheckpoints


@pytest.fixture
def checkpoint_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at every second step, and at the end of each epoch, whatever the clock says; each is on the disk before the next step."""
    calls = 0

    def every_second(self: RunCheckpoints) -> bool:
        nonlocal calls
        calls += 1
        self.wait()
        return calls % 2 == 0

    monkeypatch.setattr(RunCheckpoints, "due", property(every_second))
    monkeypatch.setattr(RunCheckpoints, "worthwhile", property(lambda self: True))
