"""What a job tells comes into the store in order and once, whoever looks; what no worker tells is refused, and takes nothing along."""

from __future__ import annotations

import json
import math
import os
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import RunConfig
from core.machine.home import SCRATCH, Home
from core.records.events import (
    AuditReport,
    AuditRow,
    ChangeRow,
    CommandKind,
    EpochRow,
    Histogram,
    Inspection,
    Reuse,
    RunStatus,
    Verdict,
)
from core.records.findings import Diagnosis
from core.records.forgetting import ForgettingRow
from core.records.profile import StepTimes
from core.records.summaries import Summarizer, block_of
from core.store import RunStore
from core.store.continued import Cut
from core.store.job_files import NUMBER, asked, pass_on, reports_of
from core.store.patience import PatientStore
from core.store.report_import import ReportStore
from core.store.report_lines import METHODS, BadReport, line, read, whole
from core.store.reporting import Replaced, ReportingStore, Reports, store_of_worker
from tests.store.test_store import PLAN, RESULT, row

TABLES = ("steps", "levels", "epochs", "changes", "inspections", "forgetting")
TIMES = StepTimes(3, {"forward": 0.5}, 3, {"forward": 0.5}, False, 1, 10, 0.02, 0.1, 0.2)
ROW = AuditRow("fc.weight", 2, True, True, "flows", True, None, "train", None, "a", "b", Verdict.LEARNING)
COMPARED = (
    "status", "step", "epoch", "activity", "activity_share", "active_seconds", "step_seconds", "watch_seconds", "stages", "plan", "result", "error",
    "audit", "reuse", "findings", "continued",
)  # fmt: skip


class Pair:
    """A run in a store, and the same run as its job has it."""

    def __init__(self, home: Home, store: RunStore, scratch: Path) -> None:
        self.home, self.store = home, store
        self.run_id = store.create_run(RunConfig(target="slurm"))
        self.folder = home.run_folder(self.run_id)
        store.claim_this(self.run_id, "me")
        self.number = store.add_job(self.run_id, "me", "fake") or 0
        store.job_taken(self.run_id, self.number, "17", "waits")
        own = RunStore(scratch / "own.db")
        own.take_in(store.columns(self.run_id) | {"status": "queued", "claimed_by": None}, (), (), (), ())
        self.job = ReportingStore(own, self.run_id, self.folder, number=self.number)
        self.reports = reports_of(self.folder, self.number)

    def bring_in(self) -> int:
        return ReportStore(self.home.database).bring_in(self.run_id, self.number, self.reports)

    def put(self, *lines: bytes) -> None:
        self.reports.parent.mkdir(parents=True, exist_ok=True)
        with self.reports.open("ab") as file:
            file.write(b"".join(lines))

    @property
    def trouble(self) -> str:
        return self.store.jobs_of(self.run_id)[-1].trouble

    def rows(self, store: RunStore) -> dict[str, list[tuple[Any, ...]]]:
        found = {}
        for table in TABLES:
            names = [str(each["name"]) for each in store._read(f"SELECT name FROM pragma_table_info('{table}')") if each["name"] != "id"]
            found[table] = [tuple(each) for each in store._read(f"SELECT {', '.join(names)} FROM {table} WHERE run = ?", (self.run_id,))]
        columns = store.columns(self.run_id)
        return {**found, "runs": [tuple(columns[name] for name in COMPARED)]}


@pytest.fixture
def pair(home: Home, store: RunStore, tmp_path: Path) -> Pair:
    return Pair(home, store, tmp_path)


def a_run(job: PatientStore) -> None:
    """Everything that a worker tells, with the values that are hard to carry."""
    run_id, summarizer = job.run_id, Summarizer()
    job.set_status(run_id, RunStatus.PREPARING, "reading <b>pictures</b>", 0.5)
    job.begin(run_id, PLAN)
    losses = (1.0, math.nan, math.inf, 0.5, 0.25)
    for step, loss in enumerate(losses, 1):
        block = block_of([row(step, loss, (-1.0, math.nan))])
        job.append(
            run_id, block, summarizer.add(block), float(step), 0.5, 0.01, TIMES, [EpochRow(1, step, 0.5, math.nan, 0.5, None, None)] * (step == 4)
        )
    job.append_change(run_id, ChangeRow(0, 4, "live", "!conv", 0.01, np.array([True, False]), np.array([1, 0.3], np.float32)))
    job.append_inspection(run_id, Inspection(0, 4, "fc.weight", Histogram(-1.0, 1.0, (1, 2)), None))
    job.append_forgetting(run_id, ForgettingRow(4, None, 0, 0.5, np.array([math.nan, 1], np.float32), np.array([math.nan, 2], np.float32)))
    job.set_audit(run_id, AuditReport(4, True, (ROW,), "2 tensors equal"))
    job.set_reuse(run_id, Reuse("serving", border=("conv",), saved_seconds=1.5))
    job.set_findings(run_id, Diagnosis(4, True, ("a",), ()))
    job.say_continued(run_id, "continued at step 4")
    job.cut(run_id, Cut(4, 1, 1))
    block = block_of([row(5, 0.125)])
    job.append(run_id, block, Summarizer().add(block))
    job.append_epoch(run_id, EpochRow(2, 5, 1.0, 0.1, 0.9, math.nan, 0.5))
    job.set_status(run_id, RunStatus.RUNNING)
    job.end(run_id, RunStatus.FINISHED, RESULT, "no\n'trouble'")
    job.settle(lambda: False)


def test_the_store_ends_with_what_the_job_has(pair: Pair) -> None:
    a_run(pair.job)
    assert pair.bring_in() > 15
    assert pair.trouble == ""
    assert pair.rows(pair.store) == pair.rows(pair.job)
    assert len(pair.rows(pair.store)["steps"]) == 5
    assert pair.bring_in() == 0


def test_each_line_comes_in_once_however_the_file_grows_and_whoever_looks(pair: Pair) -> None:
    a_run(pair.job)
    content, wanted = pair.reports.read_bytes(), pair.rows(pair.job)
    pair.reports.write_bytes(b"")
    counts: list[int] = []
    step = max(1, len(content) // 40)
    for start in range(0, len(content), step):  # cut anywhere: a last line that is not whole waits for its rest
        pair.put(content[start : start + step])
        looks = [threading.Thread(target=lambda: counts.append(pair.bring_in())) for _ in range(2)]
        for look in looks:
            look.start()
        for look in looks:
            look.join()
    assert sum(counts) == content.count(b"\n")
    assert pair.rows(pair.store) == wanted


def test_a_line_that_a_full_disk_has_cut_comes_again_and_is_told(pair: Pair) -> None:
    good = line("set_status", (RunStatus.PREPARING, "reading", None))
    pair.put(good[:20] + b"\n", good)
    assert pair.bring_in() == 2
    (job,) = pair.store.jobs_of(pair.run_id)
    assert (job.skipped, job.trouble, pair.store.run(pair.run_id).activity) == (1, "", "reading")


def hostile(method: str, *arguments: Any) -> bytes:
    text = json.dumps([1.0, method, list(arguments)]).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


BLOCK = json.loads(line("append", (block_of([row(1)]), (), None, None, None, None, ()))[9:])[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (hostile("delete_run"), "'delete_run' is nothing"),
        (hostile("_write", "DROP TABLE runs"), "is nothing"),
        (hostile("__init__", "/etc"), "is nothing"),
        (hostile("set_status", "running", "x"), "not as this Thaw writes it"),
        (hostile("set_status", "finished", "x", None), "without an end"),
        (hostile("set_status", "sleeping", "x", None), "not as this Thaw writes it"),
        (hostile("end", "running", None, None), "it says that the run has ended"),
        (hostile("begin", {"layers": "x"}), "not as this Thaw writes it"),
        (hostile("say_continued", {"x": 1}), "a text was expected"),
        (hostile("append_change", {"step": 1}), "not as this Thaw writes it"),
        (hostile("append", {**BLOCK[0], "step": ["<i8", [1], "AAAA"]}, *BLOCK[1:]), "shorter or longer"),
        (hostile("append", {**BLOCK[0], "step": ["<i8", [10**12], ""]}, *BLOCK[1:]), "shorter or longer"),
        (hostile("append", {**BLOCK[0], "step": ["|O", [1], "AAAAAAAAAAA="]}, *BLOCK[1:]), "an array of <i8"),
        (hostile("append", {**BLOCK[0], "blank": ["<f4", [0], ""]}, *BLOCK[1:]), "norms are not those of one model"),
        (hostile("append", *BLOCK[:-1], 5), "not as this Thaw writes it"),
        (line("append", (block_of([row(1)]), (), None, None, None, None, ())), "steps that are there already"),
        (line("append", (block_of([row(9, norms=(1.0,) * 3)]), (), None, None, None, None, ())), "another model"),
        (b"%08x %s\n" % (zlib.crc32(b"[" * 5000), b"[" * 5000), "not as this Thaw writes it"),
    ],
)
def test_what_no_worker_tells_is_refused_and_nothing_behind_it_is_read(pair: Pair, text: bytes, words: str) -> None:
    pair.job.begin(pair.run_id, PLAN)
    pair.job.append(pair.run_id, [row(1)])
    pair.put(text, line("set_status", (RunStatus.PAUSED, "never", None)))
    pair.bring_in()
    assert words in pair.trouble
    run = pair.store.run(pair.run_id)
    assert (run.step, run.status, run.activity) == (1, RunStatus.RUNNING, "")
    assert pair.bring_in() == 0


def test_a_line_without_end_and_a_file_that_shrinks_are_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.store.report_import.LONGEST_LINE", 1000)
    monkeypatch.setattr("core.store.report_import.AT_ONCE", 600)
    pair.put(b"x" * 1500)
    pair.bring_in()
    assert "longer than 1,000 bytes" in pair.trouble


def test_a_file_that_has_become_shorter_is_refused(pair: Pair) -> None:
    pair.job.begin(pair.run_id, PLAN)
    pair.bring_in()
    pair.reports.write_bytes(b"")
    pair.bring_in()
    assert "become shorter" in pair.trouble


def test_a_job_answers_no_command_of_another_run(pair: Pair) -> None:
    other = pair.store.create_run(RunConfig())
    command = pair.store.request(other, CommandKind.PAUSE)
    pair.put(line("acknowledge", (command, 3, None)))
    pair.bring_in()
    assert [each.id for each in pair.store.commands(other, waiting=True)] == [command]


def test_commands_go_there_as_a_file_and_are_answered_as_ever(pair: Pair) -> None:
    asked_for = pair.store.request(pair.run_id, CommandKind.CHANGE, "!conv")
    assert pass_on(pair.folder, pair.number, pair.store.commands(pair.run_id, waiting=True))
    assert not pass_on(pair.folder, pair.number, pair.store.commands(pair.run_id, waiting=True)), "it stands there already"
    (command,) = pair.job.commands(pair.run_id, waiting=True)
    assert (command.id, command.kind, command.payload) == (asked_for, CommandKind.CHANGE, "!conv")
    pair.job.acknowledge(command, 7)
    pair.job._next_look = 0.0
    assert pair.job.commands(pair.run_id, waiting=True) == []
    pair.bring_in()
    (answered,) = pair.store.commands(pair.run_id)
    assert answered.applied_at_step == 7


@pytest.mark.parametrize("text", ["", "[", "{}", '{"job": 1, "commands": [[1, "explode", "", 0, 0]]}', '{"job": "x", "commands": []}', "[" * 9000])
def test_a_file_of_commands_that_cannot_be_read_asks_for_nothing(pair: Pair, text: str) -> None:
    (pair.folder / "jobs").mkdir(parents=True, exist_ok=True)
    (pair.folder / "jobs" / "commands.json").write_text(text)
    assert asked(pair.folder, pair.run_id)[1] == []
    assert pair.job.commands(pair.run_id) == []


def test_a_job_that_another_has_replaced_ends(pair: Pair) -> None:
    pass_on(pair.folder, pair.number + 1, [])
    with pytest.raises(Replaced, match="job 2 works on it"):
        pair.job.commands(pair.run_id)


def test_a_folder_that_cannot_be_written_costs_no_line(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.write

    def full(descriptor: int, content: bytes) -> int:
        return written(descriptor, content[: len(content) // 2])

    monkeypatch.setattr("core.store.reporting.os.write", full)
    pair.job.begin(pair.run_id, PLAN)
    monkeypatch.undo()
    pair.job._reports._retry = 0.0
    pair.job.append(pair.run_id, [row(1)])
    pair.bring_in()
    assert pair.trouble == ""
    assert pair.store.run(pair.run_id).step == 1


def test_too_much_that_waits_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.store.reporting.MOST_BYTES", 10)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Reports(tmp_path / "file" / "reports").add(b"x" * 20, now=True)


def test_only_in_a_job_is_anything_told(home: Home, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.create_run(RunConfig())
    assert type(store_of_worker(store, run_id, home.run_folder(run_id))) is PatientStore
    monkeypatch.setenv(SCRATCH, str(tmp_path))
    monkeypatch.setenv(NUMBER, "3")
    assert home.database == tmp_path / "thaw.db"
    told = store_of_worker(store, run_id, home.run_folder(run_id))
    assert isinstance(told, ReportingStore)
    assert told.number == 3


def test_every_method_that_is_told_is_one_of_the_store_and_carries_its_arguments() -> None:
    for name in METHODS:
        assert hasattr(RunStore, name)
        assert getattr(ReportingStore, name) is not getattr(PatientStore, name)
    text = line("set_status", (RunStatus.PAUSED, "é" * 10, 0.25), at=5.0).rstrip(b"\n")
    assert whole(text)
    assert not whole(text[:-1])
    call = read(text)
    assert (call.at, call.method, call.arguments) == (5.0, "set_status", (RunStatus.PAUSED, "é" * 10, 0.25))
    with pytest.raises(BadReport):
        read(b"00000000 {}")
