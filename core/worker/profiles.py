"""When a run is profiled: a few steps near its beginning, again when steps become others, and whenever somebody asks."""

from __future__ import annotations

from core.records.events import Reuse
from core.signals.profiling import Profiler
from core.store import RunStore
from core.training.trainer import StepReport, Trainer

PROFILE_AFTER = 20
"""Steps after which a few are profiled without being asked, by when what is slow only once is over; again after as many with kept features."""


class Profiles:
    """Begins and ends the profiles of one run, one at a time. `next`: the step at which one is due."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self.next = PROFILE_AFTER
        self._store = store
        self._run_id = run_id
        self._profiler: Profiler | None = None
        self._asked = False

    def step(self, report: StepReport, trainer: Trainer, reuse: Reuse | None) -> None:
        """Begin a profile where one is due, and remember one that is complete. `reuse`: what is known of kept features."""
        if self._profiler is not None:
            if self._profiler.step():
                self.end(trainer, report.step, report.samples, reuse)
        elif report.step == self.next:
            self.begin(trainer)

    def begin(self, trainer: Trainer, asked: bool = False) -> None:
        """Profile the next steps, if that is not done already; `asked`: somebody waits for it."""
        self._asked = self._asked or asked
        if self._profiler is None:
            layers = not trainer.partition.compiled
            self._profiler = Profiler(trainer.model, trainer.optimizer, trainer.stages, trainer.device, layers=layers)
            self._profiler.start()

    def end(self, trainer: Trainer, step: int, samples: int, reuse: Reuse | None) -> None:
        """Remember what was seen until `step`, whose batches have `samples` pictures; nothing where none was begun."""
        profiler, self._profiler = self._profiler, None
        if profiler is None:
            return
        profiler.stop()
        if profiler.steps:
            self._store.set_profile(self._run_id, profiler.profile(step, samples, reuse or trainer.partition.tell(), self._asked))
        self._asked = False
