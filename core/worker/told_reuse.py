"""What the store knows of frozen work that is computed once and kept: renewed where there is news, and not at each step."""

from __future__ import annotations

import time

from core.records.events import Reuse
from core.store.patience import PatientStore
from core.training.trainer import Trainer
from core.worker.profiles import PROFILE_AFTER, Profiles
from core.worker.recorder import Recorder

SECONDS = 0.5
"""How often what the store knows about kept features is renewed, at most; at once where their state is another one."""


class ToldReuse:
    """Tells the store what became of kept features."""

    def __init__(self, store: PatientStore, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._when = 0.0
        self.last: Reuse | None = None
        """What was told last."""

    def tell(self, trainer: Trainer, recorder: Recorder, profiles: Profiles) -> None:
        """Remember it, if there is news; a pass can be over in milliseconds, so not every time."""
        if not trainer.partition.news:
            return
        reuse = trainer.partition.tell()
        if recorder.time_left.filling != (reuse.state == "filling"):
            recorder.time_left.filling = reuse.state == "filling"
            recorder.time_left.anew()
        if self.last is None or reuse.state != self.last.state or time.monotonic() - self._when > SECONDS:
            if reuse.state == "serving" and self.last is not None and self.last.state != "serving":
                profiles.next = trainer.step + PROFILE_AFTER  # steps are others from now on
            self._when, self.last = time.monotonic(), reuse
            self._store.set_reuse(self._run_id, reuse)
