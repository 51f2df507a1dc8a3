"""`python -m tests.nursery.resting SOCKET`: the nursery, whose workers rest after each step of a run that is there to go on while others look.

At full speed such a run takes a core from the browser, the server and the test that watch it, and they need no more than some steps a second.
"""

from __future__ import annotations

import sys
import time
from typing import Any
from unittest.mock import patch

from core.nursery import process

RESTS = {444: 0.05, 44_444: 0.01}
"""Epochs by which such a run is known, and seconds that it rests after a step."""

_look_up = process._look_up


def look_up() -> None:
    """Once all is imported: have workers rest."""
    _look_up()
    from core.worker.worker import Worker

    look = Worker._look

    def look_and_rest(self: Worker, *arguments: Any) -> None:
        look(self, *arguments)
        time.sleep(RESTS.get(self.config.epochs, 0.0))

    patch.object(Worker, "_look", look_and_rest).start()


if __name__ == "__main__":
    process._look_up = look_up
    sys.exit(process.main())
