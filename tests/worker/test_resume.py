"""A run that is killed and goes on ends as one that was never interrupted: the same weights, steps, signals, findings and changes."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from PIL import Image

from core.catalog import optimizers, schedules
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.measuring.threads import Threads
from core.records.events import CommandKind, RunStatus
from core.store import RunStore, saving
from core.store.continued import ResumeRequest
from core.store.resume_files import resume_points
from core.training.trainer import EvaluationReport, StepReport, Trainer
from core.worker import assembly, checkpoints
from core.worker.checkpoints import RunCheckpoints
from core.worker.resuming import read
from core.worker.supervisor import Supervisor, refuse_living
from core.worker.worker import Worker
from tests.crash import RUN, crash, same
from tests.support import ready_nursery, wait_until

pytestmark = pytest.mark.usefixtures("one_thread", "checkpoint_often")

SMALL: dict[str, Any] = {
    "dataset": "digits_5_9", "validation_share": 0.5, "model": "small_cnn", "image_size": 8, "batch_size": 90,
    "epochs": 3, "threads": 1, "watch_budget": 1.0, "watch_every": 3,
}  # fmt: skip
STEPS = 4
"""Steps of an epoch of `SMALL`."""


class Killed(BaseException):
    """As if the process had been killed: nothing of the worker's own ending is carried out."""


def whole(home: Home, store: RunStore, **changes: Any) -> str:
    run_id = store.create_run(RunConfig(**{**SMALL, **changes}))
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED, store.run(run_id).error
    return run_id


def killed_at(monkeypatch: pytest.MonkeyPatch, when: Callable[[Trainer, Any], bool]) -> None:
    """Have the next trainer end its process behind the report for which `when` says so."""
    real = Trainer.run

    def run(self: Trainer) -> Any:
        for report in real(self):
            yield report
            if when(self, report):
                monkeypatch.setattr(Trainer, "run", real)
                raise Killed

    monkeypatch.setattr(Trainer, "run", run)


def interrupted(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, when: Callable[[Trainer, Any], bool], **changes: Any) -> str:
    run_id = store.create_run(RunConfig(**{**SMALL, **changes}))
    killed_at(monkeypatch, when)
    worker = Worker(home, store, run_id)
    with pytest.raises(Killed):
        worker.run()
    worker.checkpoints.wait()
    store.lose(run_id, "killed by the test")
    return run_id


def go_on(home: Home, store: RunStore, run_id: str, accept: bool = False) -> RunStatus:
    store.ask_to_resume(run_id, ResumeRequest(accept))
    return Worker(home, store, run_id).run()


def at_step(step: int) -> Callable[[Trainer, Any], bool]:
    return lambda trainer, report: isinstance(report, StepReport) and report.step == step


@pytest.mark.parametrize("step", [1, 2, 5, 8, 11])
def test_run_killed_at_any_step_ends_as_one_that_was_not(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    one = whole(home, store)
    other = interrupted(home, store, monkeypatch, at_step(step))
    assert go_on(home, store, other) is RunStatus.FINISHED, store.run(other).error
    same(home, store, one, other)
    (line,) = store.continued(other) or ("begun anew",)
    assert "all as they were" in line or step == 1
    assert resume_points(home.run_folder(other))[0].step == 12, "it can be trained on from there"


CASES: dict[str, dict[str, Any]] = {
    "dropout and flips": {"head_dropout": 0.5, "augmentation": "flip", "epochs": 2},
    "a timeline": {"timeline": "step 3: stage1; 2: !stage1, learning_rate=0.01; step 7: head only", "optimizer": "SGD"},
    "weights that ship": {"starting_weights": "pretrained", "dataset": "digits_5_9", "freeze": "head only", "timeline": "2: !stage3"},
    "kept features": {"freeze": "head only", "optimizer": "Adam"},
    "clipping and accumulation": {"clip_norm": 0.1, "accumulate": 2, "batch_size": 45},
    "early stopping": {"early_stopping": 1, "learning_rate": 0.5, "optimizer": "SGD", "epochs": 4},
    "multipliers": {"learning_rate_multipliers": "stem=0.1, head=3"},
    "no zero_grad": {"fault": "no zero_grad"},
    "frozen in optimizer": {"fault": "frozen in optimizer", "freeze": "head only", "weight_decay": 0.1},
    "a fused optimizer": {"fused_optimizer": True},
    "bfloat16": {"precision": "bfloat16", "model": "mlp"},  # convolutions of this type take seconds on most processors
    "channels last": {"memory_format": "channels_last"},
    **{f"optimizer {name}": {"optimizer": name, "epochs": 2} for name in optimizers.OPTIMIZERS},
    **{f"schedule {name}": {"schedule": name, "epochs": 2} for name in schedules.SCHEDULES},
}


@pytest.mark.parametrize("name", CASES)
def test_whatever_decides_the_rest_of_a_run_outlives_its_process(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    one = whole(home, store, **CASES[name])
    total = store.run(one).step
    other = interrupted(home, store, monkeypatch, at_step(total - 2), **CASES[name])
    assert go_on(home, store, other) is RunStatus.FINISHED, store.run(other).error
    same(home, store, one, other)


def test_a_run_that_chooses_its_number_of_threads_goes_on_with_the_same_bits(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the interruption one thread is the slow one, afterwards two are: the numbers differ, and nothing else."""
    slow, now, used = [1], [0.0], list[Threads]()

    def clock() -> float:
        now[0] += 10.0 if torch.get_num_threads() == slow[0] else 1.0
        return now[0]

    def choose(trainer: Trainer, steps: int, say: Callable[[str], None]) -> Threads:
        used.append(Threads(trainer, 10_000, lambda: 0.0, clock, say))
        return used[-1]

    monkeypatch.setattr(assembly, "THREADS", 2)
    monkeypatch.setattr(assembly, "Threads", choose)
    fields = {"threads": None, "freeze": "head only", "loss_options": {"label_smoothing": 0.1}}
    one = whole(home, store, **fields)
    other = interrupted(home, store, monkeypatch, at_step(8), **fields)
    slow[0] = 2
    assert go_on(home, store, other) is RunStatus.FINISHED, store.run(other).error
    assert all(each.used.looks > 0 for each in used)
    same(home, store, one, other)


@pytest.mark.parametrize(("what", "epoch"), [("validation", 2), ("test", 3)])
def test_run_killed_while_it_is_measured_goes_on(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, what: str, epoch: int) -> None:
    def measured(trainer: Trainer, report: Any) -> bool:
        return isinstance(report, EvaluationReport) and report.what == what and trainer.place.epoch >= epoch

    one = whole(home, store)
    other = interrupted(home, store, monkeypatch, measured)
    assert go_on(home, store, other) is RunStatus.FINISHED, store.run(other).error
    same(home, store, one, other)


@pytest.mark.parametrize("newest", [4, 5])
def test_changes_that_a_person_made_after_the_checkpoint_are_made_again(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, newest: int
) -> None:
    """Asked for behind step 5 of a run whose last checkpoint is of the step before, or of the pause in which it was asked for."""
    runs = []
    for killed in (False, True):
        run_id = store.create_run(RunConfig(**SMALL, optimizer="SGD"))
        real = Trainer.run

        worker = Worker(home, store, run_id)

        def run(self: Trainer, run_id: str = run_id, real: Any = real, worker: Worker = worker) -> Any:
            for report in real(self):
                if isinstance(report, StepReport) and report.step == 5:
                    worker._last_look = 0.0  # look for commands behind this step
                    if newest == 5:
                        store.request(run_id, CommandKind.PAUSE)
                    store.request(run_id, CommandKind.CHANGE, "head only, learning_rate=0.02")
                    if newest == 5:
                        store.request(run_id, CommandKind.RESUME)
                yield report

        monkeypatch.setattr(Trainer, "run", run)
        if killed:
            killed_at(monkeypatch, at_step(6))
            with pytest.raises(Killed):
                worker.run()
            worker.checkpoints.wait()
            store.lose(run_id, "killed")
            for point in resume_points(home.run_folder(run_id)):  # back to before the change
                if point.step > newest:
                    point.path.unlink()
            assert resume_points(home.run_folder(run_id))[0].step == newest
            monkeypatch.setattr(Trainer, "run", real)
            assert go_on(home, store, run_id) is RunStatus.FINISHED, store.run(run_id).error
        else:
            assert worker.run() is RunStatus.FINISHED
            monkeypatch.setattr(Trainer, "run", real)
        runs.append(run_id)
    assert [(row.step, row.source) for row in store.changes_after(runs[0])] == [(6, "live")]
    same(home, store, *runs)


def test_run_that_was_killed_twice_and_stopped_once_is_still_the_same(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one = whole(home, store, augmentation="flip")
    other = interrupted(home, store, monkeypatch, at_step(4), augmentation="flip")
    killed_at(monkeypatch, at_step(7))
    store.ask_to_resume(other, ResumeRequest())
    with pytest.raises(Killed):
        Worker(home, store, other).run()
    store.lose(other, "killed again")
    store.ask_to_resume(other, ResumeRequest())
    worker = Worker(home, store, other)
    worker.interrupt_soon()
    assert worker.run() is RunStatus.INTERRUPTED
    assert go_on(home, store, other) is RunStatus.FINISHED, store.run(other).error
    same(home, store, one, other)


def test_stopped_run_goes_on_from_where_it_was_stopped(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunCheckpoints, "due", property(lambda self: False))
    monkeypatch.setattr(RunCheckpoints, "worthwhile", property(lambda self: False))
    one = whole(home, store)
    other = store.create_run(RunConfig(**SMALL))
    worker = Worker(home, store, other)
    real = Trainer.run

    def run(self: Trainer) -> Any:
        for report in real(self):
            if isinstance(report, StepReport) and report.step == 6:
                worker.interrupt_soon()
            yield report

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "run", run)
        assert worker.run() is RunStatus.INTERRUPTED
    assert [point.step for point in resume_points(home.run_folder(other))] == [6]
    assert go_on(home, store, other) is RunStatus.FINISHED, store.run(other).error
    assert "continued at step 6:" in store.continued(other)[0]
    same(home, store, one, other)


def test_run_that_is_stopped_before_it_goes_on_keeps_what_it_had_come_to(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are there still, and are found by its result."""
    run_id = store.create_run(RunConfig(**SMALL))
    worker = Worker(home, store, run_id)
    worker.gives_up = lambda epoch: True
    assert worker.run() is RunStatus.STOPPED
    before = store.run(run_id).result
    assert before is not None
    assert before.weights is not None
    store.ask_to_resume(run_id, ResumeRequest())
    worker = Worker(home, store, run_id)
    worker.stop_soon()
    assert worker.run() is RunStatus.STOPPED
    assert store.run(run_id).result == before


# What cannot be continued is refused, and left as it was


@pytest.fixture
def lost(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> str:
    return interrupted(home, store, monkeypatch, at_step(7))


def refused(home: Home, store: RunStore, run_id: str, accept: bool = False) -> str:
    """Why it is not continued. It is as it was before, all its steps included."""
    steps = store.last_step(run_id)
    with pytest.raises(ConfigError) as error:
        go_on(home, store, run_id, accept)
    run = store.run(run_id)
    assert (run.status, store.last_step(run_id)) == (RunStatus.LOST, steps)
    assert run.error == str(error.value)
    return str(error.value)


def test_newest_checkpoint_that_is_cut_short_is_passed_over_for_the_one_before(home: Home, store: RunStore, lost: str) -> None:
    newest, before, *_ = resume_points(home.run_folder(lost))
    newest.path.write_bytes(newest.path.read_bytes()[:-500])
    assert go_on(home, store, lost) is RunStatus.FINISHED, store.run(lost).error
    (line,) = store.continued(lost)
    assert f"continued at step {before.step}:" in line
    assert f"{newest.path.name} is damaged or cut short" in line


def test_checkpoints_that_cannot_be_read_are_named(home: Home, store: RunStore, lost: str) -> None:
    newest, before, *earlier = resume_points(home.run_folder(lost))
    newest.path.write_bytes(b"")
    for point in (before, *earlier):
        point.path.write_bytes(b"not a checkpoint")
    reason = refused(home, store, lost)
    assert newest.path.name in reason
    assert before.path.name in reason


class Foreign:
    """Something else than values, arrays and records of ours. It does nothing."""


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("format", 99, "newer Thaw"),
        ("small", Foreign(), "holds what no checkpoint of Thaw holds"),
        ("shapes", {"conv.weight": (1, 2)}, "of another model"),
        ("next_pictures", [1, 2, 3], "the next batch has other pictures"),
        ("digests", {}, "has other values"),
    ],
)
def test_checkpoint_of_something_else_is_refused(home: Home, store: RunStore, lost: str, entry: str, value: Any, words: str) -> None:
    for point in resume_points(home.run_folder(lost)):
        content = dict(read(point.path))
        torch.save({**content, entry: value}, point.path)
    with pytest.raises(ConfigError, match=words):
        go_on(home, store, lost)


def test_machine_with_other_bits_is_refused_unless_that_is_accepted_and_then_marked(home: Home, store: RunStore, lost: str) -> None:
    for point in resume_points(home.run_folder(lost)):
        content = dict(read(point.path))
        torch.save({**content, "where": {**content["where"], "torch": "2.0.0", "threads": 64}}, point.path)
    reason = refused(home, store, lost)
    assert "torch was 2.0.0" in reason
    assert "threads was 64 and is 1" in reason
    assert "--accept-other-bits" in reason
    assert go_on(home, store, lost, accept=True) is RunStatus.FINISHED
    assert "with other bits: torch was 2.0.0" in store.continued(lost)[0]


def test_run_whose_pictures_changed_is_refused_with_what_changed(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    for label, shade in (("a", 40), ("b", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (shade, 3 * number, 0)).save(folder / label / f"{number}.png")
    config = {"dataset": f"folder:{folder}", "batch_size": 3, "epochs": 2}
    run_id = interrupted(home, store, monkeypatch, at_step(4), **config)
    Image.new("RGB", (8, 8), (0, 0, 255)).save(folder / "a" / "3.png")
    (folder / "b" / "7.png").unlink()
    reason = refused(home, store, run_id)
    assert "dataset" in reason
    assert "1 gone (b/7.png)" in reason
    assert "1 changed (a/3.png)" in reason


def test_only_one_of_two_who_ask_continues_a_run(store: RunStore, lost: str) -> None:
    store.ask_to_resume(lost, ResumeRequest())
    with pytest.raises(ConfigError, match="it is queued, its process works on it"):
        store.ask_to_resume(lost, ResumeRequest())


def test_finished_run_and_one_whose_process_lives_are_refused(home: Home, store: RunStore, lost: str) -> None:
    me = psutil.Process()
    store.set_process(lost, me.pid, me.create_time())
    with pytest.raises(ConfigError, match=f"pid {me.pid}"):
        Supervisor(home, store).go_on(lost)
    store.set_process(lost, me.pid, me.create_time() - 1000)  # the number is another process's by now
    refuse_living(store, lost, home.run_folder(lost))
    store.end(lost, RunStatus.FINISHED)
    with pytest.raises(ConfigError, match="all its steps are done; train it on with --epochs N"):
        store.ask_to_resume(lost, ResumeRequest())


def test_server_that_starts_continues_lost_runs_only_where_the_settings_ask_for_it(home: Home, store: RunStore, lost: str) -> None:
    store.end(store.create_run(RunConfig(**SMALL)), RunStatus.STOPPED)
    supervisor = Supervisor(home, store)
    assert supervisor.go_on_where_lost() == []
    (home.path / "settings.json").write_text('{"resume_lost": true}')
    assert supervisor.go_on_where_lost() == [lost]
    assert store.run(lost).status is RunStatus.QUEUED
    assert supervisor.go_on_where_lost() == []


def test_run_that_was_lost_before_its_first_checkpoint_begins_anew(home: Home, store: RunStore) -> None:
    one = whole(home, store)
    other = store.create_run(RunConfig(**SMALL))
    store.lose(other, "killed while it was prepared")
    assert go_on(home, store, other) is RunStatus.FINISHED
    same(home, store, one, other)


def test_full_disk_costs_a_checkpoint_and_not_the_run(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = saving.save

    def full(content: Any, path: Path) -> None:
        if content["small"]["step"] in (4, 5, 6):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(content, path)

    monkeypatch.setattr(checkpoints, "save", full)
    told: list[str] = []
    real_status = RunStore.set_status

    def set_status(self: RunStore, run_id: str, status: RunStatus, activity: str = "", share: float | None = None) -> None:
        told.append(activity)
        real_status(self, run_id, status, activity, share)

    monkeypatch.setattr(RunStore, "set_status", set_status)
    other = interrupted(home, store, monkeypatch, at_step(7))
    assert any("no checkpoint can be written (No space left on device)" in activity for activity in told)
    assert resume_points(home.run_folder(other))
    assert go_on(home, store, other) is RunStatus.FINISHED, store.run(other).error


def test_what_never_learned_is_not_in_a_checkpoint(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = interrupted(home, store, monkeypatch, at_step(7), freeze="head only")
    content = read(resume_points(home.run_folder(other))[0].path)
    parameters = {key for key in content["large"] if key.startswith("parameter ")}
    assert parameters == {"parameter head.weight", "parameter head.bias"}
    (home.run_folder(other) / "checkpoints" / "epoch-0000-step-00000000.pth").unlink()
    assert "epoch-0000-step-00000000.pth" in refused_later(home, store, other)


def refused_later(home: Home, store: RunStore, run_id: str) -> str:
    with pytest.raises(ConfigError) as error:
        go_on(home, store, run_id)
    return str(error.value)


def test_processes_that_are_killed_at_random_moments_go_on_to_the_same_end(tmp_path: Path) -> None:
    """A small sample of `make test-crash`."""
    assert crash(tmp_path / "home", kills=2, seed=3, starter=ready_nursery(), epochs=3).total() == 2


def test_process_that_is_asked_to_end_makes_a_checkpoint_and_is_interrupted(home: Home, store: RunStore) -> None:
    """SIGTERM: a reboot, the end of a container."""
    supervisor = Supervisor(home, store, ready_nursery())
    run_id = supervisor.start(RunConfig(**{**RUN, "epochs": 5000, "checkpoint_minutes": 1000}))
    wait_until(lambda: store.run(run_id).step > 0 or not store.run(run_id).status.active, what="the first step")
    pid = store.run(run_id).pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not store.run(run_id).status.active, what="the end of the run")
    run = store.run(run_id)
    assert run.status is RunStatus.INTERRUPTED
    assert resume_points(home.run_folder(run_id))[0].step == run.step == store.last_step(run_id)
