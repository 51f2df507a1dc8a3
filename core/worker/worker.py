"""One run: the trainer yields, the worker decides. It records reports, and between two of them obeys the commands that it finds in the store."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Literal

# Set before torch is imported. Threads that wait for each other sleep instead of spinning: others use this machine too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# cuBLAS is sure to be deterministic only with a workspace of fixed size (NVIDIA cuBLAS documentation, "Results Reproducibility").
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

from core.config import ConfigError
from core.config.plans import Change
from core.data.leakage import Search
from core.doctor import Doctor
from core.machine.home import Home
from core.records.events import AuditReport, ChangeRow, Command, CommandKind, EpochRow, Inspection, RunStatus
from core.records.forks import Fork
from core.records.layers import matches
from core.signals.watch import histogram
from core.store import RunStore
from core.store.continued import Cut, ResumeRequest, changes_of_a_person
from core.store.reporting import Limits, store_of_worker
from core.training.audit import Audit, left_over
from core.training.birth import birth
from core.training.trainer import ChangeReport, EpochReport, EvaluationReport, FinalReport, Score, StepReport, TrainedReport, Trainer
from core.worker.assembly import Assembly, GoesOn, assemble
from core.worker.branching import at_its_own_data, beginning, lines, refuse_impossible, with_note, with_steps
from core.worker.checkpoints import RunCheckpoints
from core.worker.forgetting import Forgetting
from core.worker.kept_weights import KeptWeights, unexpected
from core.worker.pictures import list_pictures, listing
from core.worker.profiles import Profiles
from core.worker.recorder import Recorder
from core.worker.results import epoch_row, result_of
from core.worker.resuming import Loaded, may_go_on, newest, put_into
from core.worker.told_reuse import ToldReuse
from core.worker.training_on import trained_on

COMMAND_SECONDS = 0.1
"""How often the store is asked for commands: quicker than a person notices, slower than the quickest steps."""

SAVE_SECONDS = 30.0
"""Weights are saved after an epoch if the last save is longer ago: what a crash can cost."""

AUDIT_SECONDS = 2.0
"""How often the audit in the store is renewed, at most."""

AUDIT_SHARE = 0.2
"""Part of the budget for watching that looks of the audit may take: where they cost much, there are fewer."""

LONGEST_AUDIT_SECONDS = 30.0
"""How often the audit is renewed at least."""


class Worker:
    """Carries out one run of the store."""

    def __init__(self, home: Home, store: RunStore, run_id: str, limits: Limits | None = None) -> None:
        self.home = home
        self.folder = home.run_folder(run_id)
        self.store = store_of_worker(store, run_id, self.folder, limits)
        self.run_id = run_id
        run = store.run(run_id)
        self.config, self._before = run.config, run.result  # the result of one that goes on: its weights are there until others are saved
        self._again = ""  # why its processes were begun again, if they were: nobody asked it to go on then
        self.weights = KeptWeights(self.store, run_id, self.folder)
        self.step = 0
        self.epochs = 0
        self._stopping = self._ended = False
        self._signals = 0
        self._last_look = self._last_activity = self._next_audit = 0.0
        self._reuse = ToldReuse(self.store, run_id)
        self._profiles = Profiles(self.store, run_id)
        self._interrupted = self._evaluation_shown = self._may_be_put_back = False
        self._changes_made = 0
        self._to_redo: deque[tuple[int, str]] = deque()
        self._rest: Callable[[float], object] = time.sleep
        self.forgetting = Forgetting(self.store, run_id, self.config, self.folder)
        self.gives_up: Callable[[EpochRow], bool] = lambda epoch: False
        """Asked after each epoch whether the run is to end early, since others of its sweep do better."""
        self.checkpoints = RunCheckpoints(self.store, run_id, self.folder, self.config.checkpoint_minutes)

    def interrupt_soon(self, signal_number: int = 0, frame: FrameType | None = None) -> None:
        """Make a checkpoint and end after the step at hand: the machine goes down, or wants its place back. Fit for a signal handler."""
        self._interrupted = True
        self.stop_soon()

    def stop_soon(self, signal_number: int = 0, frame: FrameType | None = None) -> None:
        """Stop and save after the step at hand. Fit for a signal handler."""
        self._stopping = True
        self._signals += 1

    def run(self) -> RunStatus:
        """Do the whole run and say how it ended. Whatever goes wrong ends up in the store, with its traceback.

        Raises:
            ConfigError: what the config asks for cannot be had; the store has it too.
        """
        try:
            return self._run()
        except Stopped:
            self.store.end(self.run_id, self._how_it_stopped, self._before)
            return self._how_it_stopped
        except ConfigError as error:
            if self._may_be_put_back:
                self.store.refuse_to_resume(self.run_id, str(error))
            elif not self._ended:
                self.store.end(self.run_id, RunStatus.FAILED, self._before, str(error))
            raise
        except Exception as error:
            self.store.end(self.run_id, RunStatus.FAILED, self._before, unexpected(error))
            return RunStatus.FAILED
        finally:
            asked = self._signals
            self.store.settle(give_up=lambda: self._signals > asked)

    def _run(self) -> RunStatus:
        assembly, audit, recorder = self._begin()
        trainer, doctor = assembly.trainer, recorder.doctor
        search = Search(assembly.images, self.home.cache, doctor.overlap)
        status, test, problems = RunStatus.FAILED, None, list[str]()
        refused: ConfigError | None = None
        try:
            status, test = self._train(trainer, recorder, audit)
        except ConfigError as error:
            refused = error
            problems.append(str(error))
        except Exception as error:  # told below, once the weights at hand are saved
            problems.append(unexpected(error))

        def diagnose() -> None:
            self.store.set_findings(self.run_id, doctor.finish())

        for close in (recorder.flush, search.wait, diagnose, trainer.partition.close, self.weights.epochs.close, self.checkpoints.wait):
            try:
                close()
            except Exception as error:  # one that fails keeps none of the others from being done
                problems.append(unexpected(error))
        asked = self._signals
        problems += self.weights.save_at_the_end(trainer, status, (self.epochs, self.step), give_up=lambda: self._signals > asked)
        status = RunStatus.FAILED if problems else status
        if status is RunStatus.FINISHED:
            self.checkpoints.keep_last()
        weights = self.weights.path.relative_to(self.home.path).as_posix() if self.weights.path.exists() else None
        result = result_of(trainer, recorder, test, (self.epochs, self.step), weights) if self.step or not problems else None
        self.store.end(self.run_id, status, result, "\n\n".join(problems) or None)
        self._ended = True
        if refused is not None:
            raise refused
        return status

    @property
    def _how_it_stopped(self) -> RunStatus:
        return RunStatus.INTERRUPTED if self._interrupted else RunStatus.STOPPED

    def _begin(self) -> tuple[Assembly, Audit, Recorder]:
        """Put together what trains, stand where an earlier process left off, and say so in the store: the first step can come."""
        self.store.set_status(self.run_id, RunStatus.PREPARING, "starting")
        request = self._request()
        self._may_be_put_back = request is not None and not self._again  # until it is changed, a run that cannot go on is left as it was
        loaded = newest(self.folder) if request else None
        run = self.store.run(self.run_id)
        assembly = with_steps(self._assemble(GoesOn(self.store.tuning(self.run_id)) if loaded else None), run.fork)
        trainer = assembly.trainer
        fork = beginning(run, loaded) if loaded else None
        if assembly.tuning is not None:
            self.store.set_tuning(self.run_id, assembly.tuning)
        if request is not None and loaded is not None:
            if fork is not None:
                refuse_impossible(run, fork, loaded, trainer)
            for line in may_go_on(request, loaded, assembly, self.folder):
                self.store.say_continued(self.run_id, line)
        assembly = with_note(assembly, self.forgetting.begin(trainer, self.home, assembly.facts.at_random, self._preparing))
        if request is not None and (loaded is None or (fork is not None and fork.data_anew)):
            list_pictures(self.folder, assembly.images)
        self._may_be_put_back = False
        if request is not None:
            dropped = changes_of_a_person(self.store.cut(self.run_id, loaded.cut if loaded else Cut(0, 0, 0)))
            self._to_redo = deque([] if fork else dropped)  # what people changed in the parent later is no matter of the branch
        with listing(self.folder, assembly.images, request is None):
            audit = Audit(trainer.freezing, trainer.optimizer)
        doctor = assembly.doctor()
        trainer.watch.on_bad_loss = lambda step, batch: doctor.born(birth(trainer, step, batch))
        recorder = Recorder(self.store, self.run_id, trainer, doctor)
        if request is not None and loaded is not None:
            self._go_on(request, loaded, assembly, audit, recorder, fork)
        else:
            self.store.begin(self.run_id, assembly.plan)
            self.weights.begin(trainer)
        self.forgetting.see(trainer)
        self.checkpoints.follow(trainer)
        self.store.set_findings(self.run_id, doctor.diagnosis())
        return assembly, audit, recorder

    def _request(self) -> ResumeRequest | None:
        return self.store.resume_request(self.run_id)

    def _assemble(self, goes_on: GoesOn | None) -> Assembly:
        return assemble(self.config, self.home, self._preparing, goes_on)

    def _go_on(self, request: ResumeRequest, loaded: Loaded, assembly: Assembly, audit: Audit, recorder: Recorder, fork: Fork | None) -> None:
        """Stand where the checkpoint was taken, and say how that was proved. `fork`: the run branches off there."""
        trainer, run = assembly.trainer, loaded.run
        line = put_into(trainer, loaded, self.folder, fork)
        self.forgetting.go_on(trainer)
        audit.remember(run["audit"])
        recorder.doctor.remember(run["doctor"])
        recorder.remember(run["recorder"])
        self.step, self.epochs, self._changes_made = trainer.step, run["epochs"], run["changes"]
        self.checkpoints.remember(loaded.content)
        if fork is not None and fork.data_anew:
            at_its_own_data(trainer, self.checkpoints)
        self.weights.epochs.go_on(self.epochs, finished=request.epochs is not None)
        self.store.begin(self.run_id, assembly.plan)
        self.store.say_continued(self.run_id, "; ".join([*lines(fork), line, *loaded.passed_over, *trained_on(request)]))

    def _checkpoint(self, trainer: Trainer, recorder: Recorder, audit: Audit) -> None:
        """Keep all that decides the rest of the run, and where its signals stand."""
        recorder.flush()
        run = {
            "epochs": self.epochs, "changes": self._changes_made, "audit": audit.memory(), "doctor": recorder.doctor.memory(),
            "recorder": recorder.memory(), "run": self.run_id,
        }  # fmt: skip
        self.checkpoints.take(trainer, run, audit.first_digests())
        recorder.not_a_step()  # nor is it what watching costs

    def _train(self, trainer: Trainer, recorder: Recorder, audit: Audit) -> tuple[RunStatus, Score | None]:
        doctor, last_save = recorder.doctor, time.monotonic()
        test: Score | None = None
        self._redo(trainer, recorder, audit)  # what was asked for in the very moment of the checkpoint
        for report in trainer.run():
            match report:
                case StepReport():
                    self.step = report.step
                    if report.sample is not None:  # before the row, at which the doctor may look at once
                        doctor.left_over(report.step, left_over(trainer.model))
                    recorder.add(report)
                    self._look(report, trainer, audit, doctor)
                    self._profiles.step(report, trainer, self._reuse.last)
                    if self.checkpoints.due:
                        self._checkpoint(trainer, recorder, audit)
                case ChangeReport():
                    self._changed(report, "timeline", trainer, recorder, audit)
                case EvaluationReport():
                    recorder.not_a_step()
                    self._evaluating(report)
                case EpochReport():
                    self.epochs += 1
                    recorder.add_epoch(row := epoch_row(report, recorder.clock.seconds))
                    self._stopping |= self.gives_up(row)
                    self.weights.epochs.epoch(trainer.model, self.epochs, self.step)
                    recorder.not_a_step()
                    if time.monotonic() - last_save > SAVE_SECONDS:
                        self.weights.save_meanwhile(trainer)
                        last_save = time.monotonic()
                    if self.checkpoints.worthwhile and trainer.place.epoch <= trainer.epochs:
                        self._checkpoint(trainer, recorder, audit)
                case TrainedReport():
                    self.weights.epochs.settle()  # early stopping may bring back all of an earlier epoch
                    self._checkpoint(trainer, recorder, audit)  # before the audit and the doctor end: it may be trained on
                    self._profiles.end(trainer, self.step, self.config.batch_size, self._reuse.last)
                    self.store.set_reuse(self.run_id, trainer.partition.tell())
                    self._audited(audit.finish(report.step), doctor)
                case FinalReport():
                    test = report.test
            if self.forgetting.see(trainer, report):
                recorder.not_a_step()
            self._reuse.tell(trainer, recorder, self._profiles)
            self._redo(trainer, recorder, audit)
            try:
                self._obey(trainer, recorder, audit)
            except Stopped:
                if not isinstance(report, TrainedReport | FinalReport):
                    self._checkpoint(trainer, recorder, audit)
                self._profiles.end(trainer, self.step, self.config.batch_size, self._reuse.last)
                if test is None:
                    self._audited(audit.finish(self.step), doctor)
                return self._how_it_stopped, test
        return RunStatus.FINISHED, test

    def _look(self, report: StepReport, trainer: Trainer, audit: Audit, doctor: Doctor) -> None:
        """What some steps bring besides their row: histograms that were asked for, and a look of the audit."""
        for values in report.values:
            gradient = None if values.gradient is None else histogram(values.gradient)
            self.store.append_inspection(self.run_id, Inspection(0, report.step, values.name, histogram(values.weight), gradient))
        if report.sample is not None and time.monotonic() >= self._next_audit:
            began = time.monotonic()
            self._audited(audit.look(report), doctor)
            wait = (time.monotonic() - began) / (AUDIT_SHARE * self.config.watch_budget)
            self._next_audit = time.monotonic() + min(max(AUDIT_SECONDS, wait), LONGEST_AUDIT_SECONDS)

    def _audited(self, report: AuditReport, doctor: Doctor) -> None:
        self.store.set_audit(self.run_id, report)
        doctor.audited(report)

    def _changed(self, report: ChangeReport, source: Literal["timeline", "live"], trainer: Trainer, recorder: Recorder, audit: Audit) -> None:
        """Another plan holds from the next step on: record it, and have the audit begin anew where that is called for."""
        recorder.flush()
        self.weights.epochs.settle()
        self.checkpoints.follow(trainer)
        self._changes_made += 1
        plan = report.plan
        row = ChangeRow(0, report.step, source, str(report.change), plan.learning_rate, plan.frozen, plan.multipliers)
        self.store.append_change(self.run_id, row)
        recorder.doctor.change(row)
        recorder.time_left.anew()
        patterns = [rule for rule in report.change.freezing if not rule.startswith("!")]
        audit.changed(report.step - 1, [name for name in audit.names if any(matches(pattern, name) for pattern in patterns)])
        recorder.not_a_step()

    def _obey(self, trainer: Trainer | None = None, recorder: Recorder | None = None, audit: Audit | None = None) -> None:
        """Carry out what was asked for since the last look, a pause included. Without a trainer, all that can be done is to stop.

        Raises:
            Stopped: the run is to end now.
        """
        if self._stopping:
            raise Stopped
        if time.monotonic() - self._last_look < COMMAND_SECONDS:
            return
        paused = False
        while True:
            self._last_look = time.monotonic()
            for command in self.store.commands(self.run_id, waiting=True):
                refused: str | None = None
                match command.kind:
                    case CommandKind.STOP:
                        self._stopping = True
                    case _ if trainer is None or recorder is None or audit is None:
                        refused = "the run is still being prepared; try again once it trains"
                    case CommandKind.PAUSE:
                        if not paused:
                            recorder.flush()
                            recorder.clock.pause()
                            self._checkpoint(trainer, recorder, audit)
                            self.store.set_status(self.run_id, RunStatus.PAUSED)
                        paused = True
                    case CommandKind.RESUME if paused:
                        recorder.clock.resume()
                        recorder.not_a_step()
                        self.store.set_status(self.run_id, RunStatus.RUNNING)
                        paused = False
                    case CommandKind.RESUME:
                        refused = "the run was not paused"
                    case CommandKind.CHANGE:
                        refused = self._change(command, trainer, recorder, audit)
                    case CommandKind.PROFILE:
                        self._profiles.begin(trainer, asked=True)
                    case CommandKind.INSPECT if command.payload in audit.names:
                        trainer.watch.inspect(command.payload)
                    case CommandKind.INSPECT:
                        refused = f"the model has no parameter {command.payload!r}; use a name that the layer table lists"
                self.store.acknowledge(command, self.step, refused)
            if self._stopping:
                raise Stopped
            if not paused:
                return
            self._rest(COMMAND_SECONDS)

    def _redo(self, trainer: Trainer, recorder: Recorder, audit: Audit) -> None:
        """Make the changes again that a person made after the checkpoint, each before the step at which it held."""
        while self._to_redo and self._to_redo[0][0] <= trainer.step + 1 and trainer.at_rest:
            _, text = self._to_redo.popleft()
            self._changed(trainer.change(Change.parse(text)), "live", trainer, recorder, audit)

    def _change(self, command: Command, trainer: Trainer, recorder: Recorder, audit: Audit) -> str | None:
        """Make a change that was asked for; why not, if it cannot be made."""
        try:
            report = trainer.change(Change.parse(command.payload))
        except ConfigError as error:
            return error.message
        self._changed(report, "live", trainer, recorder, audit)
        return None

    def _preparing(self, text: str, share: float | None) -> None:
        self._obey()
        # A download reports each block of it: a person reads a few a second.
        if share is None or time.monotonic() - self._last_activity > 0.2:
            self._last_activity = time.monotonic()
            self.store.set_status(self.run_id, RunStatus.PREPARING, text, share)

    def _evaluating(self, report: EvaluationReport) -> None:
        if report.batch == report.batches:
            if self._evaluation_shown:  # a short pass was never shown, and each write waits for the disk
                self._evaluation_shown = False
                self.store.set_status(self.run_id, RunStatus.RUNNING)
        elif time.monotonic() - self._last_activity > 0.5:
            self._last_activity = time.monotonic()
            self._evaluation_shown = True
            self.store.set_status(self.run_id, RunStatus.RUNNING, f"measuring on the {report.what} set", report.batch / report.batches)


class Stopped(Exception):
    """The run was asked to stop."""
