"""Real worker processes: started, steered, killed, lost and found."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torchvision

from core.config import ConfigError, RunConfig
from core.config.plans import Change
from core.machine.home import Home
from core.records.events import CommandKind, RunStatus, Verdict
from core.store import Run, RunStore
from core.store.checkpoint import weights_of
from core.worker.process import work
from core.worker.supervisor import Supervisor
from core.worker.worker import Worker
from tests.support import ROOT, nursery, wait_until

LONG: dict[str, Any] = {"dataset": "digits", "model": "small_cnn", "image_size": 16, "epochs": 5000}


@pytest.fixture
def supervisor(home: Home, store: RunStore) -> Iterator[Supervisor]:
    supervisor = Supervisor(home, store, nursery())
    yield supervisor
    supervisor.close()


def started(supervisor: Supervisor, **changes: Any) -> Run:
    run_id = supervisor.start(RunConfig(**{**LONG, **changes}))
    wait_until(lambda: supervisor.store.run(run_id).step > 0 or not supervisor.store.run(run_id).status.active, what="the first step")
    run = supervisor.store.run(run_id)
    assert run.status is RunStatus.RUNNING, run.error
    return run


def ended(supervisor: Supervisor, run_id: str) -> Run:
    wait_until(lambda: not supervisor.store.run(run_id).status.active, what="the end of the run")
    return supervisor.store.run(run_id)


def test_run_is_paused_resumed_and_stopped_with_the_steps_acknowledged(supervisor: Supervisor) -> None:
    run = started(supervisor)
    supervisor.pause(run.id)
    wait_until(lambda: supervisor.store.run(run.id).status is RunStatus.PAUSED, what="pause")
    paused = supervisor.store.run(run.id)
    time.sleep(0.5)
    assert supervisor.store.run(run.id).step == paused.step
    supervisor.resume(run.id)
    wait_until(lambda: supervisor.store.run(run.id).step > paused.step, what="going on")
    supervisor.stop(run.id)
    stopped = ended(supervisor, run.id)
    assert stopped.status is RunStatus.STOPPED
    commands = supervisor.store.commands(run.id)
    assert [command.kind for command in commands] == [CommandKind.PAUSE, CommandKind.RESUME, CommandKind.STOP]
    assert [command.error for command in commands] == [None] * 3
    assert commands[0].applied_at_step == commands[1].applied_at_step == paused.step
    assert commands[2].applied_at_step == stopped.step
    assert stopped.result is not None
    assert stopped.result.weights == f"runs/{stopped.id}/weights.pth"
    assert torch.load(str(weights_of(supervisor.home, stopped)), weights_only=True)
    # The pause is not counted as training.
    assert stopped.result.seconds < time.time() - stopped.created - 0.5


def test_worker_outlives_the_supervisor_and_another_one_steers_it(supervisor: Supervisor, home: Home) -> None:
    run = started(supervisor)
    supervisor.close()
    other = Supervisor(home, RunStore(home.database))
    other.reconcile()
    assert other.store.run(run.id).status is RunStatus.RUNNING
    other.stop(run.id)
    assert ended(other, run.id).status is RunStatus.STOPPED


def test_killed_worker_is_found_lost_with_its_steps_kept(supervisor: Supervisor) -> None:
    run = started(supervisor)
    assert run.pid is not None
    process = psutil.Process(run.pid)
    process.kill()
    process.wait(20)
    supervisor.reconcile()
    lost = supervisor.store.run(run.id)
    assert lost.status is RunStatus.LOST
    assert "gone" in str(lost.error)
    assert supervisor.store.last_step(run.id) >= run.step > 0


def test_process_of_another_time_with_the_same_pid_is_not_the_worker(supervisor: Supervisor) -> None:
    run_id = supervisor.store.create_run(RunConfig())
    me = psutil.Process()
    supervisor.store.set_process(run_id, me.pid, me.create_time() - 1000)
    supervisor.reconcile()
    assert supervisor.store.run(run_id).status is RunStatus.LOST


def test_sigterm_interrupts_and_saves(supervisor: Supervisor) -> None:
    run = started(supervisor)
    assert run.pid is not None
    psutil.Process(run.pid).send_signal(signal.SIGTERM)
    stopped = ended(supervisor, run.id)
    assert stopped.status is RunStatus.INTERRUPTED
    assert stopped.result is not None
    weights = weights_of(supervisor.home, stopped)
    assert weights is not None
    assert weights.is_file()


def test_live_change_is_applied_at_a_step_recorded_and_audited(supervisor: Supervisor) -> None:
    run = started(supervisor, freeze="head only", watch_budget=1.0)  # so that every norm is measured, however busy the machine
    supervisor.change(run.id, Change.parse("!stage3, learning_rate=0.005"))
    wait_until(lambda: supervisor.store.commands(run.id)[0].applied_at_step, what="the change")
    command = supervisor.store.commands(run.id)[0]
    wait_until(lambda: supervisor.store.run(run.id).step > (command.applied_at_step or 0) + 30, what="steps after it")
    supervisor.inspect(run.id, "stage3.0.weight")
    wait_until(lambda: supervisor.store.inspections_after(run.id), what="histograms")
    supervisor.stop(run.id)
    ended(supervisor, run.id)

    (change,) = supervisor.store.changes_after(run.id)
    assert command.applied_at_step is not None
    assert change.step == command.applied_at_step + 1
    assert (change.source, change.text, change.learning_rate) == ("live", "!stage3, learning_rate=0.005", 0.005)
    assert run.plan is not None
    assert run.plan.layers[6].name == "stage3.0.weight"
    steps = supervisor.store.steps_after(run.id, 0, 0)
    at = int((steps.step < change.step).sum())
    assert (steps.gradient_norms[:at, 6] == -1).all()
    assert (steps.gradient_norms[at:, 6] > 0).all()
    assert (steps.learning_rate[at:] == 0.005).all()
    assert (steps.gradient_norms[:, 0] == -1).all()
    (inspection,) = supervisor.store.inspections_after(run.id)
    assert inspection.gradient is not None
    assert sum(inspection.weight.counts) == sum(inspection.gradient.counts) == 64 * 128 * 9
    audit = supervisor.store.audit(run.id)
    assert audit is not None
    assert audit.complete
    assert audit.values_changed == 0
    assert {row.verdict for row in audit.rows} == {Verdict.VERIFIED, Verdict.LEARNING}


def test_ten_commands_in_a_second_are_all_answered_in_order(supervisor: Supervisor) -> None:
    run = started(supervisor, freeze="head only")
    wishes = [
        "!stage3",
        "stage3",
        "learning_rate=0.01",
        "stage9",
        "head",
        "!stage2, stage2=0.1",
        "head=2",
        "stage2",
        "learning_rate=0.02",
        "train everything",
    ]
    for wish in wishes:
        supervisor.change(run.id, Change.parse(wish))
    wait_until(lambda: not supervisor.store.commands(run.id, waiting=True), what="the answers")
    commands = supervisor.store.commands(run.id)
    assert [command.payload for command in commands] == wishes
    refused = {command.payload: command.error for command in commands if command.error}
    assert refused.keys() == {"stage9", "head"}
    assert "matches no layer" in str(refused["stage9"])
    assert "leave at least one trainable" in str(refused["head"])
    steps = [command.applied_at_step or 0 for command in commands]
    assert steps == sorted(steps)
    changes = supervisor.store.changes_after(run.id)
    assert [change.text for change in changes] == [wish for wish in wishes if wish not in refused]
    assert not changes[-1].frozen.any()
    assert changes[-1].learning_rate == 0.02
    supervisor.stop(run.id)
    assert ended(supervisor, run.id).status is RunStatus.STOPPED


def test_command_to_a_run_that_has_just_ended_is_refused_with_the_reason(supervisor: Supervisor) -> None:
    run = started(supervisor)
    supervisor.stop(run.id)
    ended(supervisor, run.id)
    supervisor.change(run.id, Change.parse("!stage3"))
    command = supervisor.store.commands(run.id)[-1]
    assert command.error == "the run had already ended (stopped)"
    assert command.applied_at_step is None
    assert supervisor.store.commands(run.id, waiting=True) == []


def test_timeline_is_obeyed_and_early_stopping_does_not_look_like_a_leak(home: Home, store: RunStore) -> None:
    run_id = store.create_run(
        RunConfig(
            dataset="digits", model="small_cnn", image_size=8, batch_size=256, epochs=30, optimizer="SGD", learning_rate=0.5, momentum=0.95,
            timeline="2: stage1, stage2, stage3", early_stopping=2, watch_every=1,
        )
    )  # fmt: skip
    assert work(home, run_id) is RunStatus.FINISHED
    run = store.run(run_id)
    assert run.result is not None
    (change,) = store.changes_after(run_id)
    assert (change.step, change.source) == (6, "timeline")
    audit = store.audit(run_id)
    assert audit is not None
    assert audit.complete
    assert {row.verdict for row in audit.rows if not row.requires_grad} == {Verdict.VERIFIED}
    assert {row.frozen_since for row in audit.rows if not row.requires_grad} == {5}
    assert 0 < (run.watching or 0) < 1


def test_without_a_nursery_a_standby_worker_takes_the_run_and_leaves_with_its_server(home: Home, store: RunStore) -> None:
    supervisor = Supervisor(home, store)
    supervisor.keep_standby()
    wait_until(lambda: supervisor.standby_ready, what="standby")
    standby = supervisor._standby
    assert standby is not None
    run = started(supervisor)
    assert run.pid == standby.process.pid
    supervisor.stop(run.id)
    ended(supervisor, run.id)

    second = Supervisor(supervisor.home, supervisor.store)
    second.keep_standby()
    assert second._standby is not None
    process = second._standby.process
    second.close()
    assert process.wait(60) == 0


def test_bad_name_is_refused_before_anything_is_started(supervisor: Supervisor) -> None:
    with pytest.raises(ConfigError, match="resnet18"):
        supervisor.start(RunConfig(model="resnet81"))
    assert supervisor.store.runs() == []


def test_failed_run_keeps_its_reason(supervisor: Supervisor, tmp_path: Path) -> None:
    weights = tmp_path / "broken.pth"
    torch.save({"of another model": torch.zeros(1)}, weights)
    run_id = supervisor.start(RunConfig(**{**LONG, "starting_weights": str(weights)}))
    failed = ended(supervisor, run_id)
    assert failed.status is RunStatus.FAILED
    assert "starting_weights" in str(failed.error)
    assert "broken.pth" in str(failed.error)


def test_unexpected_error_is_kept_with_its_traceback(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("core.worker.worker.assemble", explode)
    run_id = store.create_run(RunConfig())
    assert Worker(home, store, run_id).run() is RunStatus.FAILED
    assert "Traceback" in str(store.run(run_id).error)
    assert "boom" in str(store.run(run_id).error)


def test_full_run_records_every_step_and_its_weights_load_into_torchvision(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(dataset="digits_5_9", model="resnet18", image_size=32, freeze="head only", epochs=2, batch_size=64))
    assert work(home, run_id) is RunStatus.FINISHED
    run = store.run(run_id)
    assert run.plan is not None
    assert run.result is not None
    steps = store.steps_after(run_id, 0, 0)
    assert steps.step.tolist() == list(range(1, run.plan.total_steps + 1))
    assert steps.gradient_norms.shape == (run.plan.total_steps, len(run.plan.layers))
    frozen = [layer.frozen for layer in run.plan.layers]
    assert sum(not is_frozen for is_frozen in frozen) == 2
    assert (steps.gradient_norms[:, frozen] == -1).all()
    assert (steps.gradient_norms[:, [not is_frozen for is_frozen in frozen]] > 0).all()
    assert len(store.epochs_after(run_id)) == 2
    by_hand = torchvision.models.resnet18(num_classes=5)
    by_hand.load_state_dict(torch.load(str(weights_of(home, run)), weights_only=True), strict=True)
    assert 0 <= float(run.result.test_accuracy or -1) <= 1


def test_a_server_of_the_old_layout_gets_no_worker_and_its_log_says_what_to_do(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**LONG))
    command = [sys.executable, "-m", "core.worker", "--home", str(home.path), "--run", run_id]  # as it was called before November 2026
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "start it again with make run" in done.stderr
    assert store.run(run_id).status is RunStatus.QUEUED, "nothing began"
