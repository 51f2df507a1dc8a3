"""Real worker processes: started, steered, killed, lost and found."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torchvision

from core.config import ConfigError, RunConfig
from core.events import CommandKind, RunStatus
from core.home import Home
from core.store import Run, RunStore
from core.supervisor import Supervisor
from core.worker import Worker, work
from tests.support import wait_until

LONG: dict[str, Any] = {"dataset": "digits", "model": "small_cnn", "image_size": 16, "epochs": 5000}


@pytest.fixture
def supervisor(home: Home, store: RunStore) -> Iterator[Supervisor]:
    supervisor = Supervisor(home, store)
    yield supervisor
    supervisor.close()


def started(supervisor: Supervisor, **changes: Any) -> Run:
    run_id = supervisor.start(RunConfig(**{**LONG, **changes}))
    wait_until(lambda: supervisor.store.run(run_id).step > 0 or not supervisor.store.run(run_id).status.active, 60, "the first step")
    run = supervisor.store.run(run_id)
    assert run.status is RunStatus.RUNNING, run.error
    return run


def ended(supervisor: Supervisor, run_id: str) -> Run:
    wait_until(lambda: not supervisor.store.run(run_id).status.active, 60, "the end of the run")
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
    assert stopped.result.weights is not None
    assert torch.load(stopped.result.weights, weights_only=True)
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


def test_sigterm_stops_and_saves(supervisor: Supervisor) -> None:
    run = started(supervisor)
    assert run.pid is not None
    psutil.Process(run.pid).send_signal(signal.SIGTERM)
    stopped = ended(supervisor, run.id)
    assert stopped.status is RunStatus.STOPPED
    assert stopped.result is not None
    assert Path(str(stopped.result.weights)).exists()


def test_standby_worker_takes_the_run_and_leaves_with_its_server(supervisor: Supervisor) -> None:
    supervisor.keep_standby()
    wait_until(lambda: supervisor.standby_ready, 60, "standby")
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
    weights.write_bytes(b"not weights")
    run_id = supervisor.start(RunConfig(**{**LONG, "starting_weights": str(weights)}))
    failed = ended(supervisor, run_id)
    assert failed.status is RunStatus.FAILED
    assert "starting_weights" in str(failed.error)
    assert "broken.pth" in str(failed.error)


def test_unexpected_error_is_kept_with_its_traceback(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("core.worker.assemble", explode)
    run_id = store.create_run(RunConfig())
    assert Worker(home, store, run_id).run() is RunStatus.FAILED
    assert "Traceback" in str(store.run(run_id).error)
    assert "boom" in str(store.run(run_id).error)


def test_full_run_records_every_step_and_its_weights_load_into_torchvision(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(dataset="digits", model="resnet18", image_size=32, freeze="head only", epochs=2, batch_size=128))
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
    by_hand = torchvision.models.resnet18(num_classes=10)
    by_hand.load_state_dict(torch.load(str(run.result.weights), weights_only=True), strict=True)
    assert 0 <= float(run.result.test_accuracy or -1) <= 1
