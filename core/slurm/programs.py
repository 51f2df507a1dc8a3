"""What Slurm's own programs are asked: which partitions there are (`sinfo`), where jobs are (`squeue`, `scontrol`, `sacct`), to end one (`scancel`).

`sacct` needs a database of accounts, which small clusters do not have: what ended lately is known to `scontrol` as well. A cluster is asked for all
jobs at once, and seldom: its controller serves everybody.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.machine.children import NotAnswered, answer_of
from core.slurm.words import GONE, Seen

SECONDS = 20.0
"""How long an answer is waited for."""


class SlurmError(OSError):
    """Slurm does not answer, or refuses: the text says what it said."""


@dataclass(frozen=True)
class Partition:
    """A partition: the longest time of its jobs in minutes (None: any), whether it takes jobs now, and whether it is the usual one."""

    name: str
    minutes: int | None
    up: bool
    usual: bool


def missing() -> str:
    """Which of Slurm's programs this machine lacks; empty: none."""
    return ", ".join(name for name in ("sbatch", "squeue", "scontrol", "scancel", "sinfo", "srun") if shutil.which(name) is None)


def partitions() -> tuple[Partition, ...]:
    """The partitions that the cluster has, in its order. Raises SlurmError."""
    found: dict[str, Partition] = {}
    for text in _asked("sinfo", "--noheader", "--format=%P|%l|%a").splitlines():
        name, _, rest = text.strip().partition("|")
        limit, _, up = rest.partition("|")
        if name.strip("*"):
            found[name.strip("*")] = Partition(name.strip("*"), minutes_of(limit), up.strip() == "up", name.endswith("*"))
    return tuple(found.values())


def minutes_of(text: str) -> int | None:
    """Minutes of a time as Slurm writes it, `1-12:00:00`, `30:00`, `infinite` (None)."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, _ = (int(each or 0) for each in match.groups())
    return (days * 24 + hours) * 60 + minutes


def seen(jobs: Sequence[str]) -> dict[str, Seen]:
    """Where these jobs are, by number. Raises SlurmError where Slurm does not answer."""
    there: dict[str, Seen] = {}
    for text in _asked("squeue", "--noheader", "--states=all", f"--jobs={','.join(jobs)}", "--format=%i|%T|%r|%N", unknown=True).splitlines():
        number, state, reason, node = (*(part.strip() for part in text.split("|")), "", "", "")[:4]
        there[number] = Seen(state, reason, node)
    # How one has ended, with its status, is another program's to say.
    for number in jobs:
        if number not in there or there[number].over:
            there[number] = _of_one(number) or there.get(number) or _accounted(number) or Seen(GONE)
    return {number: there[number] for number in jobs}


def cancel(job: str) -> None:
    """Have a job end; one that has ended stays as it is. Raises SlurmError."""
    _asked("scancel", job, unknown=True)


def _of_one(number: str) -> Seen | None:
    found: Mapping[str, str] = dict(re.findall(r"(\w+)=(\S*)", _asked("scontrol", "--oneliner", "show", "job", number, unknown=True)))
    if found.get("JobId") != number or not found.get("JobState"):
        return None
    nodes = found.get("NodeList", "")
    return Seen(found["JobState"], found.get("Reason", ""), "" if nodes == "(null)" else nodes, found.get("ExitCode", ""))


def _accounted(number: str) -> Seen | None:
    if shutil.which("sacct") is None:
        return None
    try:
        text = _asked("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={number}", "--format=State,ExitCode,NodeList")
    except SlurmError:
        return None  # there are no accounts
    state, exit_status, node = (*text.strip().partition("\n")[0].split("|"), "", "", "")[:3]
    return Seen(state.split(" ")[0], "", node, exit_status) if state else None


def _asked(*command: str, unknown: bool = False) -> str:
    """What a program prints. `unknown`: it may not know the job that it is asked about. Raises SlurmError."""
    try:
        status, told, said = answer_of(command, SECONDS)
    except NotAnswered as error:
        raise SlurmError(f"{command[0]} cannot be asked: {error}") from None
    if status and not (unknown and re.search(r"invalid job id|not found|already completing|completed", said, re.IGNORECASE)):
        raise SlurmError(f"{command[0]} says: {' '.join(said.split())[:300] or f'nothing, and ended with status {status}'}")
    return told
