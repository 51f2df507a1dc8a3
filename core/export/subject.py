"""What is exported: a run, and the weights that are meant. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.machine.home import Home
from core.store import Run, RunStore
from core.store.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Subject:
    """A run of a home. `checkpoint`: the weights that are meant; None where the run has kept none."""

    home: Home
    store: RunStore
    run: Run
    checkpoint: Checkpoint | None
    known: dict[str, Any] = field(default_factory=dict)
    """What was worked out of it once and is asked for again, as its model is: it lives no longer than the export."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.home.run_folder(self.run.id)
