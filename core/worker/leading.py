"""The first of the ranks that share a run: `Worker` with the others in tow. It alone writes the store and obeys commands.

Between two steps it decides, and what it decided it tells the others before anybody goes on: changes, the end, a comparison of digests. So
that most steps need no words, each sum of a step carries along whether the first rank wants to meet after it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType

from core.doctor import Doctor
from core.machine.home import Home
from core.ranks.collectives import Parted
from core.ranks.digests import Compared, compare
from core.ranks.group import Group
from core.records.events import AuditReport, RunStatus
from core.store import RunStore
from core.store.continued import ResumeRequest
from core.store.resume_files import resume_points
from core.training.audit import Audit
from core.training.over_ranks import RankTrainer
from core.training.trainer import ChangeReport, Score, Trainer
from core.worker import across
from core.worker.assembly import Assembly, GoesOn, assemble
from core.worker.recorder import Recorder
from core.worker.worker import COMMAND_SECONDS, Stopped, Worker

READY, OVER = "ready", "over"
"""Marks: the first rank has put together what trains (the data are there, and read); the run is over for all."""

COMPARE_SECONDS = 10.0
"""How often the ranks compare their digests, at most."""

COMPARE_SHARE = 0.005
"""Part of the time that comparing them may take."""

STILL_SECONDS = 1.0
"""How often a paused run tells the others that it is one."""


class Drifted(Exception):
    """Ranks hold other values: what they compute together means nothing from here on."""


class LeadingWorker(Worker):
    """`Worker` of rank 0.

    Args:
        again: why the group was begun again after a failure, in a sentence; empty: it was not.
        names: of the machines, where there are several.
    """

    def __init__(self, home: Home, store: RunStore, run_id: str, group: Group, again: str = "", names: Sequence[str] = ()) -> None:
        super().__init__(home, store, run_id)
        self.group = group
        self._names = names
        self._again = again
        self._changes: list[str] = []
        self._compared: Compared | None = None
        self._next_comparison = 0.0
        self._last_audit: AuditReport | None = None
        self._rest = self._still
        self._last_still = 0.0
        self._trained = self._left_behind = False
        group.wants_to_meet = self._wants_to_meet

    def run(self) -> RunStatus:
        """See `Worker.run`. Raises `Parted` where the group broke: how the run goes on then is for whoever started it to say."""
        try:
            status = super().run()
        except Parted:
            raise
        except BaseException:
            self._say_over()
            raise
        self._say_over()
        return status

    def interrupt_soon(self, signal_number: int = 0, frame: FrameType | None = None) -> None:
        """See `Worker`. The agent sends SIGTERM too, to whoever is left of a group that broke: the run is not interrupted then, this rank parts."""
        if self.group.left_behind:
            self._left_behind = True
            self._signals += 1  # who saves, while the others have left in good order, may give up
        else:
            super().interrupt_soon(signal_number, frame)

    def _preparing(self, text: str, share: float | None) -> None:
        if self._left_behind:  # once it trains, the next collective says so
            raise Parted("another rank has ended")
        super()._preparing(text, share)

    def _say_over(self) -> None:
        with suppress(Parted):
            self.group.say(OVER)

    def _request(self) -> ResumeRequest | None:
        if self._again:
            self.store.say_continued(self.run_id, self._again)
            return super()._request() or ResumeRequest()
        return super()._request()

    def _assemble(self, goes_on: GoesOn | None) -> Assembly:
        assembly = assemble(self.config, self.home, self._preparing, goes_on, self.group)
        if self.group.machines > 1:
            across.same_pictures(self.group, assembly.images, self._names, self._meanwhile)
        return assembly

    def _meanwhile(self, text: str, share: float | None) -> None:
        self._preparing(text, share)
        time.sleep(COMMAND_SECONDS)

    def _train(self, trainer: Trainer, recorder: Recorder, audit: Audit) -> tuple[RunStatus, Score | None]:
        points = resume_points(self.folder)
        self.group.say(READY, str(points[0].step) if trainer.step and points else "")
        try:
            if self.group.machines > 1:
                if trainer.step and points:
                    across.hand_out(self.group, self.folder, points[0])
                across.refuse_other_weights(self.group, compared := compare(self.group, trainer.model, trainer.step), self._names)
                self._compared = compared
            else:
                self._compare(trainer)
            super()._redo(trainer, recorder, audit)
            self._tell(trainer)
            return super()._train(trainer, recorder, audit)
        except Parted:
            recorder.flush()
            self.checkpoints.wait()
            raise

    def _wants_to_meet(self) -> bool:
        now = time.monotonic()
        due = self._to_redo and self._to_redo[0][0] <= self.step + 2  # asked within the next step, obeyed after it
        return bool(self._stopping or due or now - self._last_look >= COMMAND_SECONDS)

    def _redo(self, trainer: Trainer, recorder: Recorder, audit: Audit) -> None:
        assert isinstance(trainer, RankTrainer)
        if trainer.meets:
            super()._redo(trainer, recorder, audit)

    def _obey(self, trainer: Trainer | None = None, recorder: Recorder | None = None, audit: Audit | None = None) -> None:
        if trainer is None:
            super()._obey()
            return
        assert isinstance(trainer, RankTrainer)
        if not trainer.meets:
            return
        try:
            super()._obey(trainer, recorder, audit)
        except Stopped:
            self._tell(trainer, over=True)
            raise
        self._tell(trainer)

    def _tell(self, trainer: Trainer, over: bool = False) -> None:
        """What was decided here, and do what all do together."""
        comparing = over or self._trained or time.monotonic() >= self._next_comparison
        self._trained = False
        changes, self._changes = self._changes, []
        self.group.tell({"changes": changes, "compare": comparing, "over": over})
        if comparing:
            self._compare(trainer)

    def _compare(self, trainer: Trainer) -> None:
        began = time.monotonic()
        self._compared = compare(self.group, trainer.model, trainer.step)
        self._next_comparison = time.monotonic() + max(COMPARE_SECONDS, (time.monotonic() - began) / COMPARE_SHARE)
        if self._last_audit is not None:
            self.store.set_audit(self.run_id, replace(self._last_audit, across=self._compared.sentence))
        if self._compared.differing:
            raise Drifted(f"The ranks have drifted apart: {self._compared.sentence}. Weights saved here are those of rank 0.")

    def _audited(self, report: AuditReport, doctor: Doctor) -> None:
        self._trained |= report.complete
        self._last_audit = replace(report, across=self._compared.sentence if self._compared else "")
        super()._audited(self._last_audit, doctor)

    def _changed(self, report: ChangeReport, source: str, trainer: Trainer, recorder: Recorder, audit: Audit) -> None:
        if source == "live":
            self._changes.append(str(report.change))
        super()._changed(report, source, trainer, recorder, audit)  # type: ignore[arg-type]

    def _still(self, seconds: float) -> None:
        """A pause goes on."""
        if time.monotonic() - self._last_still > STILL_SECONDS:
            self._last_still = time.monotonic()
            self.group.tell({"still": True})
        time.sleep(seconds)
