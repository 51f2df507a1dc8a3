"""Runs that are jobs of a cluster: taken, refused, lost, cancelled, brought in by whoever looks; and one real job by submitit's local executor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from core.config import ConfigError, RunConfig
from core.config.plans import Change
from core.machine.home import Home
from core.ranks import joining
from core.records.events import CommandKind, RunStatus
from core.slurm.programs import Partition, SlurmError
from core.slurm.submitting import EXECUTOR, Job, Refused
from core.slurm.words import Seen
from core.store import RunStore
from core.store.job_files import asked, folder_of, reports_of
from core.store.report_lines import line
from core.store.run_folder import read_row
from core.worker import on_slurm
from core.worker.job import take_along
from core.worker.supervisor import Supervisor
from tests.store.test_store import PLAN
from tests.support import wait_until

SLURM = RunConfig(dataset="digits", model="small_cnn", image_size=16, target="slurm", partition="debug", time_limit=30)

LONG = 150.0
"""Seconds that nodes may take to import torch and to meet on a busy machine."""


class Fake:
    """A cluster that says what it is told to say."""

    name = "fake"

    def __init__(self) -> None:
        self.jobs: dict[str, Seen] = {}
        self.submitted: list[tuple[Job, Path]] = []
        self.cancelled: list[str] = []
        self.refuses: Exception | None = None
        self.silent = False

    def missing(self) -> str:
        return ""

    def partitions(self) -> Sequence[Partition]:
        return (Partition("debug", 60, True, True),)

    def submit(self, job: Job, config: RunConfig, folder: Path) -> str:
        if self.refuses is not None:
            raise self.refuses
        self.submitted.append((job, folder))
        number = str(10 + len(self.submitted))
        self.jobs[number] = Seen("PENDING", "Resources")
        return number

    def seen(self, jobs: Sequence[str]) -> Mapping[str, Seen]:
        if self.silent:
            raise SlurmError("squeue says: no route to host")
        return {job: self.jobs[job] for job in jobs}

    def cancel(self, job: str) -> None:
        if self.silent:
            raise SlurmError("scancel says: no route to host")
        self.cancelled.append(job)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    for pause in ("SOON_SECONDS", "WAITING_SECONDS", "WORKING_SECONDS", "LAST_SECONDS", "GONE_SECONDS"):
        monkeypatch.setattr(on_slurm, pause, 0.0)
    return Fake()


@pytest.fixture
def supervisor(home: Home, store: RunStore, fake: Fake) -> Supervisor:
    return Supervisor(home, store, cluster=fake)


def tells(supervisor: Supervisor, run_id: str, *lines: bytes) -> None:
    reports = reports_of(supervisor.home.run_folder(run_id), supervisor.store.jobs_of(run_id)[-1].number)
    reports.parent.mkdir(parents=True, exist_ok=True)
    with reports.open("ab") as file:
        file.write(b"".join(lines))


def test_a_run_is_submitted_once_with_what_it_needs_beside_it_and_takes_no_place_here(supervisor: Supervisor, fake: Fake, tmp_path: Path) -> None:
    first, second = supervisor.start(SLURM), supervisor.start(SLURM.replace(seed=1))
    assert [job.run_id for job, _ in fake.submitted] == [first, second], "any number of jobs may go on"
    run = supervisor.store.run(first)
    assert (run.status, run.pid) == (RunStatus.PREPARING, None)
    assert supervisor.store.run(second).activity == "waits in Slurm's queue for Slurm to look at it, as job 12 in debug"
    assert asked(supervisor.home.run_folder(first), first) == (1, [])
    own = RunStore(tmp_path / "own.db")
    take_along(own, supervisor.home.run_folder(first))
    assert own.run(first).status is RunStatus.QUEUED
    supervisor.look_after()
    assert len(fake.submitted) == 2
    assert "until enough processors, memory or GPUs are free (Resources)" in supervisor.store.run(first).activity
    assert supervisor.store.columns(first)["status"] == "preparing", "a run without a process here is not lost"


def test_what_slurm_refuses_has_failed_in_its_words_and_can_be_submitted_again(supervisor: Supervisor, fake: Fake) -> None:
    fake.refuses = Refused("Batch job submission failed: Invalid account")
    run_id = supervisor.start(SLURM)
    run = supervisor.store.run(run_id)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert "Slurm did not take the job: Batch job submission failed: Invalid account." in run.error
    fake.refuses = None
    supervisor.go_on(run_id)
    assert [(job.number, job.state, job.job) for job in supervisor.store.jobs_of(run_id)] == [(1, "REFUSED", ""), (2, "", "11")]
    assert supervisor.store.run(run_id).status is RunStatus.PREPARING


def test_a_cluster_that_does_not_answer_and_a_folder_that_cannot_be_written_have_the_run_wait(supervisor: Supervisor, fake: Fake) -> None:
    fake.refuses = SlurmError("sbatch says: Unable to contact slurm controller")
    with pytest.raises(OSError, match="waits in the queue and is tried again"):
        supervisor.start(SLURM)
    (run,) = supervisor.store.runs()
    assert run.waits
    fake.refuses = None
    folder = supervisor.home.run_folder(run.id)
    for each in sorted(folder.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
    folder.rmdir()
    folder.touch()
    with pytest.raises(OSError, match="cannot be written"):
        supervisor.look_after()
    folder.unlink()
    supervisor.look_after()
    assert supervisor.store.run(run.id).status is RunStatus.PREPARING
    assert read_row(folder)["id"] == run.id


def test_nothing_is_made_where_the_cluster_cannot_do_it(supervisor: Supervisor) -> None:
    with pytest.raises(ConfigError, match="no partition of this cluster; choose one of debug"):
        supervisor.start(SLURM.replace(partition="gpu"))
    assert supervisor.store.runs() == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen("TIMEOUT", "", "vm", "0:15"), "Job 11 of Slurm on vm was ended by Slurm: its time limit was over (30 min)."),
        (Seen("OUT_OF_MEMORY", "", "vm", "0:125"), "more memory than it had asked for"),
        (Seen("FAILED", "", "vm", "1:0"), "failed (with status 1)"),
    ],
)
def test_a_job_that_ends_without_a_word_is_lost_in_words_with_the_end_of_its_log(supervisor: Supervisor, fake: Fake, seen: Seen, words: str) -> None:
    run_id = supervisor.start(SLURM)
    tells(supervisor, run_id, line("begin", (PLAN,)))
    supervisor.reconcile()
    assert supervisor.store.run(run_id).status is RunStatus.RUNNING
    (folder_of(supervisor.home.run_folder(run_id), 1) / "11_0_log.out").write_text("slurmstepd: error: something\n")
    fake.jobs["11"] = seen
    supervisor.reconcile()
    assert supervisor.store.run(run_id).status is RunStatus.RUNNING, "what it told last may still arrive"
    supervisor.reconcile()
    run = supervisor.store.run(run_id)
    assert run.status is RunStatus.LOST
    assert run.error is not None
    assert words in run.error
    assert "slurmstepd: error: something" in run.error
    assert supervisor.store.open_jobs() == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("TIMEOUT", "Job 11 of Slurm on vm was ended by Slurm: its time limit was over (30 min)."),
        ("COMPLETED", "Job 11 of Slurm made a checkpoint and ended, since Slurm told it that its time limit (30 min) was nearly over."),
    ],
)
def test_one_that_made_a_checkpoint_before_its_time_was_over_says_so_too(supervisor: Supervisor, fake: Fake, state: str, words: str) -> None:
    run_id = supervisor.start(SLURM)
    tells(supervisor, run_id, line("begin", (PLAN,)), line("end", (RunStatus.INTERRUPTED, None, None), at=5.0))
    fake.jobs["11"] = Seen(state, "", "vm")
    for _ in range(3):
        supervisor.reconcile()
    run = supervisor.store.run(run_id)
    assert run.status is RunStatus.INTERRUPTED
    assert run.ended == 5.0, "by the clock of the node"
    assert run.error == words


def test_what_is_asked_goes_there_at_once_and_one_that_waits_is_cancelled_there(supervisor: Supervisor, fake: Fake) -> None:
    run_id = supervisor.start(SLURM)
    supervisor.pause(run_id)
    assert [each.kind for each in asked(supervisor.home.run_folder(run_id), run_id)[1]] == [CommandKind.PAUSE]
    supervisor.reconcile()
    fake.silent = True
    supervisor.stop(run_id)
    fake.silent = False
    supervisor.reconcile()
    assert fake.cancelled == ["11"], "asked again once the cluster answers"
    fake.jobs["11"] = Seen("CANCELLED")
    for _ in range(2):
        supervisor.reconcile()
    run = supervisor.store.run(run_id)
    assert (run.status, run.error) == (RunStatus.STOPPED, "cancelled before it began")
    assert supervisor.restore_cancelled(run_id)
    supervisor.dispatch()
    assert supervisor.store.jobs_of(run_id)[-1].job == "12"


def test_one_that_works_is_asked_to_stop_and_a_job_that_tells_nonsense_is_cancelled(supervisor: Supervisor, fake: Fake) -> None:
    run_id = supervisor.start(SLURM)
    fake.jobs["11"] = Seen("RUNNING", "None", "vm")
    tells(supervisor, run_id, line("begin", (PLAN,)))
    supervisor.reconcile()
    supervisor.stop(run_id)
    assert fake.cancelled == []
    assert [each.kind for each in asked(supervisor.home.run_folder(run_id), run_id)[1]] == [CommandKind.STOP]
    tells(supervisor, run_id, line("begin", (PLAN,)).replace(b"begin", b"bogus"), line("end", (RunStatus.QUEUED, None, None)))
    supervisor.reconcile()
    supervisor.reconcile()
    assert fake.cancelled
    fake.jobs["11"] = Seen("CANCELLED")
    for _ in range(2):
        supervisor.reconcile()
    run = supervisor.store.run(run_id)
    assert run.status is RunStatus.LOST
    assert run.error is not None
    assert run.error.startswith("What its job told cannot be read: it says that the run has ended")


def test_a_silent_cluster_loses_nothing_and_is_told_of(supervisor: Supervisor, fake: Fake) -> None:
    run_id = supervisor.start(SLURM)
    fake.silent = True
    supervisor.reconcile()
    (job,) = supervisor.store.open_jobs()
    assert job.reason == "Slurm does not answer: squeue says: no route to host"
    assert supervisor.store.run(run_id).status.active


def test_whoever_dies_over_a_submission_leaves_a_number_that_is_not_given_again(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    store = supervisor.store
    run_id = store.create_run(SLURM)
    assert store.claim_this(run_id, "1 0.0 died")
    assert store.add_job(run_id, "1 0.0 died", "fake") == 1
    assert store.add_job(run_id, "1 0.0 died", "fake") is None
    monkeypatch.setattr(on_slurm, "SUBMIT_SECONDS", -1.0)
    for _ in range(2):
        supervisor.look_after()
    assert [(job.number, job.state, job.job) for job in store.jobs_of(run_id)] == [(1, "REFUSED", ""), (2, "", "11")]


def test_a_job_of_submitits_local_executor_is_a_run_like_any_other(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two nodes: told, steered and stopped while another server takes over; from its checkpoint another job goes on, on two devices of one."""
    monkeypatch.setenv(EXECUTOR, "local")
    monkeypatch.setattr(on_slurm, "SOON_SECONDS", 0.2)
    monkeypatch.setattr(on_slurm, "LAST_SECONDS", 0.2)
    config = RunConfig(
        dataset="digits", model="small_cnn", image_size=16, freeze="head only", feature_cache="off", epochs=400, nodes=2, batch_size=512,
        threads=1, target="slurm",
    )  # fmt: skip
    run_id = Supervisor(home, store).start(config)
    other = Supervisor(home, store)  # a server that was restarted knows no more than what is kept

    def now() -> RunStatus:
        time.sleep(0.2)
        other.reconcile()
        return store.run(run_id).status

    wait_until(lambda: now() is RunStatus.RUNNING and store.run(run_id).step > 5, timeout=LONG, what="steps of the job")
    assert store.run(run_id).pid is None
    machines = joining.read(home.run_folder(run_id))
    assert machines is not None
    assert (len(machines.names), machines.missing, machines.tokens, machines.lines, machines.job) == (2, 0, (), (), 1)
    command = other.change(run_id, Change.parse("learning_rate=0.0001"))
    wait_until(lambda: now() and all(each.applied_at_step is not None for each in store.commands(run_id)), what="the change")
    (row,) = store.changes_after(run_id)
    assert (row.source, row.text, command) == ("live", "learning_rate=0.0001", store.commands(run_id)[0].id)
    assert other.cancel_job(run_id)
    wait_until(lambda: now() is RunStatus.INTERRUPTED and not store.open_jobs(), what="the end of the job")
    behind = store.run(run_id).step
    with store._transaction() as connection:  # nearly at its end already, and then on one node
        connection.execute(
            "UPDATE runs SET config = json_set(config, '$.epochs', ?, '$.nodes', 1, '$.devices', '2') WHERE id = ?", (behind // 3 + 3, run_id)
        )
    other.go_on(run_id)
    wait_until(lambda: now() is RunStatus.FINISHED, timeout=LONG, what="the end of the run")
    run = store.run(run_id)
    assert run.step > behind
    assert f"continued at step {behind}" in store.continued(run_id)[0]
    assert run.result is not None
    assert (home.path / str(run.result.weights)).is_file()
    assert [job.number for job in store.jobs_of(run_id)] == [1, 2]
    assert store.steps_after(run_id, 0, 0).step.tolist() == list(range(1, run.step + 1)), "each step once"
    assert not list(home.run_folder(run_id).rglob("*.db"))
