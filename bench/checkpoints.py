"""What checkpoints cost a run, and how soon an interrupted run makes its first new step."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from bench.table import median, spread, table
from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.store.patience import PatientStore
from core.training.audit import Audit
from core.training.trainer import StepReport
from core.worker.assembly import assemble
from core.worker.checkpoints import RunCheckpoints
from core.worker.recorder import Recorder
from core.worker.supervisor import Supervisor

WORK = RunConfig(dataset="digits", model="resnet18", image_size=64, freeze="train everything", optimizer="AdamW", epochs=1)
EVERY = 3
"""Steps between two checkpoints that are measured. At the default setting one is made every `checkpoint_minutes`."""

SHORT = RunConfig(dataset="digits", model="resnet18", image_size=64, freeze="head only", epochs=200, checkpoint_minutes=0.02)


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """The stall of a checkpoint and its share of the time; then starts and resumes by turns."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    taken, computed, waits, steps = _stalls(home, store, rounds)
    share = (median(taken) + median(waits)) / (60 * WORK.checkpoint_minutes)
    cost = [
        ("taking it, between two steps, ms", spread([1000 * each for each in taken])),
        ("processor time of it, ms", spread([1000 * each for each in computed])),
        ("the next update waits for the copies, ms", spread([1000 * each for each in waits])),
        ("a step without a checkpoint, ms", spread([1000 * each for each in steps])),
        (f"share of the time, one every {WORK.checkpoint_minutes:g} min", f"{100 * share:.4f} %"),
    ]
    yield from table(["a checkpoint: resnet18, everything trains, AdamW, digits at 64 px", "median (range)"], cost)
    yield ""
    starts, resumes = _starts_and_resumes(home, store, rounds)
    soon = [
        ("start to first step, s", spread(starts)),
        ("resume to first new step, s", spread(resumes)),
        ("resume as a multiple of a start", f"{median(resumes) / median(starts):.2f}"),
    ]
    yield from table(["digits, resnet18, head only, no standby worker", "median (range)"], soon)


def _stalls(home: Home, store: RunStore, rounds: int) -> tuple[list[float], list[float], list[float], list[float]]:
    """Seconds: that each checkpoint keeps training from its next step, what of it is computing, that the update waits; and of other steps."""
    config = WORK
    run_id = store.create_run(config)
    assembly = assemble(config, home)
    trainer = assembly.trainer
    store.begin(run_id, assembly.plan)
    recorder, audit = Recorder(store, run_id, trainer, assembly.doctor()), Audit(trainer.freezing, trainer.optimizer)
    checkpoints = RunCheckpoints(PatientStore(store, run_id, home.run_folder(run_id)), run_id, home.run_folder(run_id), config.checkpoint_minutes)
    checkpoints.follow(trainer)
    taken: list[float] = []
    computed: list[float] = []
    waits: list[float] = []
    steps: list[float] = []
    copies, waited = trainer.before_update, [0.0]

    def wait() -> None:
        began = time.perf_counter()
        copies()
        waited[0] = time.perf_counter() - began

    trainer.before_update = wait
    before = time.perf_counter()
    for report in trainer.run():
        if not isinstance(report, StepReport) or len(taken) > 2 * rounds:
            break
        now = time.perf_counter()
        if report.step % EVERY == 1 and report.step > 1:
            waits.append(waited[0])
        elif report.step > EVERY:
            steps.append(now - before)
        recorder.add(report)
        if report.step % EVERY == 0:
            checkpoints.wait()  # the one before is on the disk, as it is minutes later
            began, computing = time.perf_counter(), time.thread_time()
            recorder.flush()
            known = {"recorder": recorder.memory(), "audit": audit.memory(), "doctor": recorder.doctor.memory()}
            checkpoints.take(trainer, known, audit.first_digests())
            taken.append(time.perf_counter() - began)
            computed.append(time.thread_time() - computing)
        before = time.perf_counter()
    checkpoints.wait()
    store.end(run_id, RunStatus.STOPPED)  # else it keeps the place of the runs that are started next
    return taken[1:], computed[1:], waits[1:], steps  # the first one takes the memory


def _starts_and_resumes(home: Home, store: RunStore, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds from `Supervisor.start` to a first step, and from `Supervisor.go_on` to a first new one, of the same runs."""
    supervisor = Supervisor(home, store)
    starts: list[float] = []
    resumes: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        run_id = supervisor.start(SHORT)
        _wait(lambda: store.last_step(run_id) > 0, "the first step")  # noqa: B023 (called at once)
        starts.append(time.perf_counter() - began)
        time.sleep(5)  # checkpoints are made meanwhile
        pid = store.run(run_id).pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        _wait(lambda: store.run(run_id).status is RunStatus.INTERRUPTED, "the interrupted run")  # noqa: B023
        _wait(lambda: _gone(supervisor, pid), "the end of its process")  # noqa: B023
        last = store.last_step(run_id)
        began = time.perf_counter()
        supervisor.go_on(run_id)
        _wait(lambda: store.last_step(run_id) > last, "the first new step")  # noqa: B023
        resumes.append(time.perf_counter() - began)
        supervisor.stop(run_id)
        _wait(lambda: not store.run(run_id).status.active, "the end of the run")  # noqa: B023
    supervisor.close()
    return starts, resumes


def _gone(supervisor: Supervisor, pid: int) -> bool:
    supervisor.reconcile()  # it buries children that have ended
    return not psutil.pid_exists(pid)


def _wait(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited {seconds:g} s for {what} in vain")
        time.sleep(0.01)
