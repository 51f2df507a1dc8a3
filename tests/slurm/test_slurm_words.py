"""What Slurm answers, as its programs print it, and what is said of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from submitit.slurm.slurm import _make_sbatch_string

from core.config import ConfigError, RunConfig
from core.machine.children import NotAnswered, answer_of
from core.slurm import programs
from core.slurm.programs import Partition, SlurmError, minutes_of
from core.slurm.submitting import Job, SlurmCluster, _said, cluster, parameters, refuse_impossible
from core.slurm.words import GONE, Seen, ended, job_in_words, where

SHOWN = (
    "JobId=7 JobName=thaw UserId=root(0) JobState=TIMEOUT Reason=TimeLimit Dependency=(null) RunTime=00:01:24 TimeLimit=00:01:00 "
    "ExitCode=0:15 NodeList=vm BatchHost=vm Comment=JobState=FAKE"
)


def answers(monkeypatch: pytest.MonkeyPatch, **told: tuple[int, str, str]) -> list[tuple[str, ...]]:
    """Slurm's programs answer this; the ones that are not named are not there."""
    asked: list[tuple[str, ...]] = []

    def answer(command: Sequence[str], seconds: float) -> tuple[int, str, str]:
        asked.append(tuple(command))
        if command[0] not in told:
            raise NotAnswered("No such file or directory")
        return told[command[0]]

    monkeypatch.setattr(programs, "answer_of", answer)
    return asked


def test_jobs_are_asked_for_together_and_each_that_has_ended_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "5|RUNNING|None|vm\n6|PENDING|Resources|\n7|TIMEOUT|TimeLimit|vm\n"
    asked = answers(monkeypatch, squeue=(0, listed, ""), scontrol=(0, SHOWN, ""))
    seen = programs.seen(["5", "6", "7"])
    assert seen["5"] == Seen("RUNNING", "None", "vm")
    assert seen["6"] == Seen("PENDING", "Resources", "")
    assert seen["7"] == Seen("TIMEOUT", "TimeLimit", "vm", "0:15")
    assert [line[0] for line in asked] == ["squeue", "scontrol"]


def test_a_job_that_nobody_knows_is_gone_and_a_cluster_that_does_not_answer_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = (1, "", "slurm_load_jobs error: Invalid job id specified")
    answers(monkeypatch, squeue=unknown, scontrol=unknown)
    assert programs.seen(["9"]) == {"9": Seen(GONE)}
    answers(monkeypatch, squeue=(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"))
    with pytest.raises(SlurmError, match="Unable to contact"):
        programs.seen(["9"])


def test_partitions_are_read_with_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, sinfo=(0, "debug*|1:00:00|up\ngpu|2-12:00:00|up\nold|infinite|down\n\n", ""))
    assert programs.partitions() == (Partition("debug", 60, True, True), Partition("gpu", 3600, True, False), Partition("old", None, False, False))
    assert minutes_of("30:00") == 30
    assert minutes_of("nonsense") is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen("TIMEOUT", "", "vm", "0:15"), "Job 7 of Slurm on vm was ended by Slurm: its time limit was over (30 min)."),
        (Seen("CANCELLED", "", "", "0:15"), "Job 7 of Slurm was cancelled."),
        (Seen("OUT_OF_MEMORY", "", "vm", "0:125"), "took more memory than it had asked for"),
        (Seen("NODE_FAIL", "", "vm"), "was lost with its node, which failed"),
        (Seen("FAILED", "", "vm", "1:0"), "Job 7 of Slurm on vm failed (with status 1)."),
        (Seen("FAILED", "", "(null)", "0:9"), "Job 7 of Slurm failed (ended by signal 9)."),
        (Seen("FAILED", "", "vm", "137:0"), "failed (ended by signal 9)"),
        (Seen(GONE), "is not known to Slurm any more"),
        (Seen("WEIRD_NEW_STATE"), "ended as weird_new_state"),
    ],
)
def test_how_a_job_has_ended_is_a_sentence(seen: Seen, words: str) -> None:
    assert seen.over
    assert words in ended("7", seen, 30)


def test_where_a_job_is_has_slurms_own_word_too() -> None:
    assert (
        where("7", "debug", Seen("PENDING", "Priority")) == "waits in Slurm's queue behind jobs with a higher priority (Priority), as job 7 in debug"
    )
    assert where("7", None, Seen("RUNNING", "None", "vm")) == "starting on vm as job 7"
    assert job_in_words("7", "PENDING", "QOSNew(x)", "") == "job 7: waits for a reason of its own (QOSNew(x)"
    assert job_in_words("7", "RUNNING", "Slurm does not answer: no", "vm") == "job 7: Slurm does not answer: no"
    assert job_in_words("", "REFUSED", "no", "") == "a job that was not taken: no"
    assert not Seen("REQUEUED").over


def test_sbatch_is_told_what_the_config_says_and_no_more() -> None:
    job = Job("core.worker.job", "/home", "20260101-000000-abcd", 1)
    told = parameters(job, RunConfig(target="slurm", partition="gpu", time_limit=30, device="cuda:0", sbatch="mem=4G, exclusive"))
    assert (told["partition"], told["time"], told["signal_delay_s"], told["nodes"]) == ("gpu", 30, 120, 1)
    assert told["additional_parameters"] == {"no-requeue": True, "mem": "4G", "exclusive": True, "gpus-per-node": 1}
    told = parameters(job, RunConfig(target="slurm", devices="2", threads=3, batch_size=32))
    assert told["additional_parameters"] == {"no-requeue": True, "cpus-per-task": 6}
    assert "partition" not in told
    assert told["time"] is None
    assert "--time" not in _make_sbatch_string(command="x", folder="/", **told), "the partition's usual"
    told = parameters(job, RunConfig(target="slurm", nodes=3, devices="2", threads=1, batch_size=36))
    assert (told["nodes"], told["ntasks_per_node"], told["additional_parameters"]["cpus-per-task"]) == (3, 1, 2)
    assert told["srun_args"] == ["--wait=60"], "who waits for a node that has ended does not wait for ever"
    assert parameters(job, RunConfig(target="slurm", time_limit=1))["signal_delay_s"] == 10


def test_what_sbatch_said_is_told_without_what_is_around_it() -> None:
    text = "\x1b[91msbatch: error: Batch job submission failed: Requested node configuration is not available\x1b[0m"
    assert _said(f"bypassed command\n{text}") == "Batch job submission failed: Requested node configuration is not available"


class There(SlurmCluster):
    def missing(self) -> str:
        return ""

    def partitions(self) -> Sequence[Partition]:
        return (Partition("debug", 60, True, True), Partition("gpu", None, True, False))


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        (RunConfig(target="slurm", partition="nowhere"), "partition", "debug, gpu"),
        (RunConfig(target="slurm", time_limit=61), "time_limit", "use 60 or less"),
        (RunConfig(target="slurm", partition="debug", time_limit=61), "time_limit", "use 60 or less"),
    ],
)
def test_what_the_cluster_has_not_is_refused_before_anything_is_made(config: RunConfig, field: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_impossible(There(), config)
    assert caught.value.field == field
    assert words in caught.value.message
    refuse_impossible(There(), RunConfig(target="slurm", partition="gpu", time_limit=10_000))


def test_without_slurm_or_submitit_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="this machine has no sbatch.*set target to here"):
        refuse_impossible(cluster({}), RunConfig(target="slurm"))
    monkeypatch.setattr("core.slurm.submitting.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install -r .*requirements-slurm\.txt"):
        refuse_impossible(cluster({"THAW_SLURM_EXECUTOR": "local"}), RunConfig(target="slurm"))


def test_a_program_that_is_not_there_or_does_not_end_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NotAnswered, match="No such file"):
        answer_of([str(tmp_path / "nothing")], 5)
    with pytest.raises(NotAnswered, match=r"within 0\.05 s"):
        answer_of(["sleep", "60"], 0.05)
    assert answer_of(["sh", "-c", "echo a; echo b >&2; exit 3"], 30) == (3, "a\n", "b\n")
