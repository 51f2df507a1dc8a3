"""What Slurm's states and reasons mean, in words for a person. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

WAITS = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "REQUEUE_FED", "SUSPENDED")
WORKS = ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING", "STOPPED")

SILENT = "Slurm does not answer"

WARNED = "WARNED"
"""No word of Slurm's: the job ended by itself, interrupted and not cancelled, as it does where it is told that its time is soon over."""

GONE = "GONE"
"""Slurm does not know the job any more: it forgets what ended some minutes ago, where it keeps no accounts."""

_REASONS: Mapping[str, str] = {
    "Resources": "until enough processors, memory or GPUs are free",
    "Priority": "behind jobs with a higher priority",
    "Dependency": "for another job",
    "BeginTime": "for the time at which it may begin",
    "None": "for Slurm to look at it",
    "PartitionDown": "for its partition, which is down",
    "PartitionInactive": "for its partition, which takes no jobs now",
    "PartitionTimeLimit": "for ever: its time limit is longer than its partition allows; stop it and set a shorter one",
    "PartitionNodeLimit": "for ever: its partition has not so many nodes; stop it and ask for less",
    "PartitionConfig": "for ever: its partition does not allow what it asks for; stop it and ask for less",
    "ReqNodeNotAvail": "for a node that is down or reserved",
    "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_partitions": "for nodes that are down, drained or reserved",
    "JobHeldUser": "for its person to release it (scontrol release)",
    "JobHeldAdmin": "for an administrator to release it",
    "QOSMaxJobsPerUserLimit": "for a job of yours to end: more are not allowed at once",
    "QOSMaxCpuPerUserLimit": "for processors of yours to be free: more are not allowed at once",
    "QOSMaxGRESPerUser": "for GPUs of yours to be free: more are not allowed at once",
    "AssocMaxJobsLimit": "for a job of your account to end: more are not allowed at once",
    "AssocGrpCpuLimit": "for processors of your account to be free: more are not allowed at once",
    "AssocGrpGRES": "for GPUs of your account to be free: more are not allowed at once",
    "Licenses": "for a license",
    "Reservation": "for its reservation to begin",
    "NodeDown": "for a node that is down",
    "FrontEndDown": "for a node that is down",
    "Cleaning": "for what is left of its last try",
}

_ENDS: Mapping[str, str] = {
    "COMPLETED": "ended",
    "FAILED": "failed",
    "TIMEOUT": "was ended by Slurm: its time limit was over",
    "DEADLINE": "was ended by Slurm: its deadline was over",
    "CANCELLED": "was cancelled",
    "REVOKED": "was cancelled",
    "NODE_FAIL": "was lost with its node, which failed",
    "BOOT_FAIL": "was lost: its node did not start",
    "OUT_OF_MEMORY": "was ended by Slurm: it took more memory than it had asked for (mem, among the options of sbatch)",
    "PREEMPTED": "was ended by Slurm: its place was wanted for another job",
    GONE: "is not known to Slurm any more",
}


@dataclass(frozen=True)
class Seen:
    """What Slurm says of a job: its `state` in Slurm's word, why it is there, on which node(s), and its exit status as Slurm writes it (0:9)."""

    state: str
    reason: str = ""
    node: str = ""
    exit: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in WAITS and self.state not in WORKS


def where(number: str, partition: str | None, seen: Seen) -> str:
    """Where a job is that has not ended: 'waits in Slurm's queue behind jobs with a higher priority (Priority), as job 12 in debug'."""
    called = f"as job {number}{f' in {partition}' if partition else ''}"
    if seen.state in WORKS:
        return f"starting on {seen.node or 'a node'} {called}"
    if seen.state == "SUSPENDED":
        return f"is suspended by Slurm {called}"
    return f"waits in Slurm's queue {because(seen.reason)}, {called}"


def because(reason: str) -> str:
    """A reason to wait, in words and as Slurm has it."""
    name = re.split(r"[\s(,]", reason.strip("() "), maxsplit=1)[0]
    if not name or name == "None":
        return _REASONS["None"]
    return f"{_REASONS.get(name, 'for a reason of its own')} ({reason.strip('() ')[:120]})"


def ended(number: str, seen: Seen, minutes: int | None) -> str:
    """How a job has ended, in a sentence: 'Job 12 of Slurm was ended by Slurm: its time limit was over (30 min).'"""
    if seen.state == WARNED:
        limit = f" ({minutes:,} min)" if minutes else ""
        return f"Job {number} of Slurm made a checkpoint and ended, since Slurm told it that its time limit{limit} was nearly over."
    how = _ENDS.get(seen.state, f"ended as {seen.state.lower()[:40]}")
    more = f"{minutes:,} min" if seen.state == "TIMEOUT" and minutes else ""
    status, _, number_of_signal = seen.exit.partition(":")
    if number_of_signal.isdigit() and int(number_of_signal) and seen.state not in ("TIMEOUT", "CANCELLED", "PREEMPTED"):
        more = f"ended by signal {number_of_signal}"
    elif status.isdigit() and 128 < int(status) < 193 and seen.state == "FAILED":  # as a shell tells it
        more = f"ended by signal {int(status) - 128}"
    elif status.isdigit() and int(status) and seen.state == "FAILED":
        more = f"with status {status}"
    on = f" on {seen.node}" if seen.node and seen.node not in ("(null)", "None assigned") else ""
    return f"Job {number} of Slurm{on} {how}{f' ({more})' if more else ''}."


def refused(said: str) -> str:
    """That Slurm did not take a job, with what it said."""
    return f"Slurm did not take the job: {said.rstrip('.')}. Nothing of the run is lost: mend that, and continue it, or use its settings again."


def job_in_words(number: str, state: str, reason: str, node: str, over: bool = False) -> str:
    """Where a job is, or how it ended, in a line: 'job 12: waits behind jobs with a higher priority (Priority)'."""
    called = f"job {number}" if number else "a job that was not taken"
    if state == "REFUSED":
        return f"{called}: {reason}"
    seen = Seen(state or "PENDING", reason, node)
    if seen.over or over:
        return f"{called}: {_ENDS.get(seen.state, 'ended')}{f', on {node}' if node else ''}"
    if reason.startswith(SILENT):
        return f"{called}: {reason}"
    return f"{called}: works on {node or 'a node'}" if seen.state in WORKS else f"{called}: waits {because(reason)}"
