"""`make test-slurm`: runs on a real Slurm of one node, then of two, made for it and ended after it. About six minutes; not part of `make test`.

From the command line: a job is submitted, waits for a reason that is told, reports while it works, obeys a change, is cancelled before and after it
has begun, is ended by its time limit, goes on from its checkpoint, and is refused in Slurm's own words. Its database lies on the node alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.slurm.one_node import OneNode, lacking

ROOT = Path(__file__).resolve().parents[2]
LONG = ["--dataset", "digits", "--model", "resnet18", "--image-size", "32", "--freeze", "head only", "--feature-cache", "off", "--epochs", "500"]
SHORT = ["--dataset", "digits", "--model", "resnet18", "--image-size", "32", "--freeze", "head only", "--epochs", "2"]


class Failed(AssertionError):
    """Something is not as it should be."""


class Person:
    """Somebody at the command line of the machine that submits."""

    def __init__(self, node: OneNode, home: Path) -> None:
        self.node = node
        self.environment = {**node.environment, "THAW_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE"}
        self.home = home

    def types(self, *words: str, status: int = 0) -> str:
        """The output and the errors of a command, which must end with `status`."""
        line = [sys.executable, "-m", "core", *words]
        done = subprocess.run(line, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=280, check=False)
        if done.returncode != status:
            raise Failed(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def queues(self, *words: str) -> str:
        """Have a run wait; returns its id."""
        return str(json.loads(self.types("train", "--queue", "--json", "--target", "slurm", *words).splitlines()[0])["run_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """What is known of a run. Looking brings in what its job has told."""
        found: dict[str, Any] = json.loads(self.types("show", run_id, "--json"))
        return found

    def job(self, run_id: str) -> dict[str, Any]:
        """What is known of its last job."""
        found: dict[str, Any] = json.loads(self.types("slurm", run_id, "--json"))[-1]
        return found


def until(what: str, ready: Callable[[], Any], seconds: float = 120) -> Any:
    """What `ready` returns once that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.5)
    raise Failed(f"{what}: not within {seconds:g} s")


def tell(text: str) -> None:
    """A line of the report."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def serving(person: Person) -> subprocess.Popen[bytes]:
    """`core work`: whatever waits is submitted, and whatever jobs tell is brought in."""
    return subprocess.Popen([sys.executable, "-m", "core", "work"], cwd=ROOT, env=person.environment, stderr=subprocess.DEVNULL)


def check(fact: object, what: str) -> None:
    """One claim."""
    if not fact:
        raise Failed(what)
    tell(f"  ok: {what}")


def foreground(person: Person) -> None:
    """A whole run in one command."""
    said = person.types("train", "--target", "slurm", "--partition", "debug", "--time-limit", "30", "--json", *SHORT)
    told = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    check(told["status"] == "finished" and told["steps"] == 72, "a run that is followed ends as finished, with all its steps")
    check(Path(told["weights"]).is_file(), "its weights lie where the server looks for them")
    files = [path.name for path in (person.home / "runs" / told["run_id"]).rglob("*.db*")]
    check(not files, "no database lies in the shared folder of the run")


def refused(person: Person) -> None:
    """What cannot be."""
    said = person.types("train", "--target", "slurm", "--partition", "nowhere", *SHORT, status=2)
    check("debug, small" in said, "a partition that is not there is refused, with those that are")
    said = person.types("train", "--target", "slurm", "--partition", "small", "--time-limit", "60", *SHORT, status=2)
    check("2 or less" in said, "a time that the partition does not give is refused before")
    said = person.types("train", "--target", "slurm", "--sbatch", "mem=900G", *SHORT, status=1)
    check("did not take the job" in said and "memory" in said.lower(), "what only Slurm can refuse is told in its own words")


def steered(person: Person) -> None:
    """A job that works, and one that waits behind it."""
    first = person.queues("--sbatch", "exclusive", "--name", "works", *LONG)
    until("the first job trains", lambda: person.run(first)["steps"] > 0)
    second = person.queues("--sbatch", "exclusive", *LONG)
    waits = until("the second waits", lambda: (told := person.types("show", second)) and person.job(second)["state"] == "PENDING" and told, 60)
    check("preparing" in waits, "the second is being prepared")
    reason = until("its reason is known", lambda: person.job(second)["reason"] not in ("", "None") and person.types("slurm", second), 60)
    check("waits" in reason and "(Resources)" in reason or "(Priority)" in reason, f"it says why it waits: {reason.strip()}")
    steps = person.run(first)["steps"]
    check(until("more steps", lambda: person.run(first)["steps"] > steps), "steps are brought in while the first works")
    said = person.types("change", first, "!layer4")
    check("holds from step" in said, f"a change is obeyed and answered: {said.strip()}")
    person.types("pause", first)
    until("it pauses", lambda: person.run(first)["status"] == "paused")
    person.types("resume", first)
    until("it goes on", lambda: person.run(first)["status"] == "running")
    check(True, "it pauses and goes on")
    person.types("stop", second)
    until("the second is stopped", lambda: person.run(second)["status"] == "stopped")
    check(person.run(second)["error"] == "cancelled before it began", "one that waits in Slurm's queue is cancelled there")
    person.types("slurm", first, "--cancel")
    until("the first is interrupted", lambda: person.run(first)["status"] == "interrupted")
    until("its end is told", lambda: "was cancelled" in (person.run(first)["error"] or ""), 40)
    check(True, "one that works is cancelled with a checkpoint, and says so")
    before = person.run(first)["steps"]
    resumed = subprocess.Popen([sys.executable, "-m", "core", "resume", first], cwd=ROOT, env=person.environment, stderr=subprocess.DEVNULL)
    until("it goes on", lambda: person.run(first)["status"] == "running" and person.run(first)["steps"] > before)
    check(
        any("step" in line for line in person.run(first)["continued"]),
        f"it goes on behind step {before} as another job: {person.run(first)['continued'][-1]}",
    )
    person.types("stop", first)
    until("it stops", lambda: person.run(first)["status"] == "stopped")
    resumed.wait(30)
    check(True, "it stops and saves")


def killed(person: Person) -> None:
    """What Slurm, or a node, does to a job."""
    run_id = person.queues(*LONG)
    until("it trains", lambda: person.run(run_id)["steps"] > 20)
    folder = str(person.home / "runs" / run_id)
    found = [each for each in psutil.process_iter(["cmdline"]) if folder in " ".join(each.info["cmdline"] or ())]
    (victim,) = [each for each in found if each.info["cmdline"][3:4] == ["submitit.core._submit"]]
    victim.kill()
    until("it is lost", lambda: person.run(run_id)["status"] == "lost", 60)
    error = person.run(run_id)["error"]
    check("signal 9" in error, f"a job that is killed is lost, in words: {error.splitlines()[0]}")


def out_of_time(person: Person) -> None:
    """The time limit: Slurm looks each half minute or so."""
    run_id = person.queues("--time-limit", "2", *LONG)
    until("it trains", lambda: person.run(run_id)["steps"] > 0)
    until("it is ended", lambda: person.run(run_id)["status"] == "interrupted", 240)
    until("why is told", lambda: person.run(run_id)["error"], 40)
    tell(f"  its end: {person.run(run_id)['error']}")
    points = list((person.home / "runs" / run_id / "checkpoints").glob("resume-*.pt"))
    check(points, "a job whose time is over has made a checkpoint")
    check("time limit" in person.run(run_id)["error"], "and says that its time limit was over")


def shared(person: Person) -> None:
    """A run on both nodes of a cluster, which nobody has to bring together; steered, cancelled and continued."""
    run_id = person.queues("--nodes", "2", "--time-limit", "30", *LONG)
    until("it trains", lambda: person.run(run_id)["steps"] > 5, 180)
    nodes = person.node.ask("squeue", "--noheader", "--states=running", "--format=%D").strip()
    check(nodes == "2", "its job has two nodes")
    machines = json.loads((person.home / "runs" / run_id / "machines.json").read_text())
    check(len(machines["names"]) == 2 and not machines["tokens"], f"both have met at {machines['address']}, and no token is left")
    said = person.types("change", run_id, "!layer4")
    check("holds from step" in said, f"a change reaches both: {said.strip()}")
    person.types("slurm", run_id, "--cancel")
    until("it is interrupted", lambda: person.run(run_id)["status"] == "interrupted")
    until("the job has ended", lambda: not person.node.ask("squeue", "--noheader"), 60)
    before = person.run(run_id)["steps"]
    check(before, "cancelled, it has made a checkpoint, and both nodes are free again")
    resumed = subprocess.Popen([sys.executable, "-m", "core", "resume", run_id], cwd=ROOT, env=person.environment, stderr=subprocess.DEVNULL)
    until("it goes on", lambda: person.run(run_id)["steps"] > before, 180)
    check(person.run(run_id)["continued"], f"it goes on behind step {before} on both: {person.run(run_id)['continued'][-1]}")
    person.types("stop", run_id)
    until("it stops", lambda: person.run(run_id)["status"] == "stopped")
    resumed.wait(30)
    check(True, "it stops and saves")


def lost_node(person: Person) -> None:
    """One of the two is killed in the middle of the run."""
    run_id = person.queues("--nodes", "2", *LONG)
    until("it trains", lambda: person.run(run_id)["steps"] > 5, 180)
    folder = str(person.home / "runs" / run_id)
    found = [each for each in psutil.process_iter(["cmdline", "environ"]) if folder in " ".join(each.info["cmdline"] or ())]
    (victim,) = [
        each
        for each in found
        if each.info["cmdline"][3:4] == ["submitit.core._submit"] and each.info["environ"].get("SLURM_PROCID") == "1" and lives_alone(each, found)
    ]
    victim.kill()
    until("its run has ended", lambda: person.run(run_id)["status"] in ("failed", "lost"), 90)
    error = person.run(run_id)["error"]
    check("achine 2 of 2" in error or "ank 1 of 2" in error, f"the node that is gone is named: {error.splitlines()[0]}")


def lives_alone(process: psutil.Process, others: list[psutil.Process]) -> bool:
    """Whether it is the process that Slurm began, not one that this has forked."""
    return process.ppid() not in {other.pid for other in others}


PARTS = {1: (foreground, refused, steered, killed, out_of_time), 2: (shared, lost_node)}
"""What is tried, by how many nodes the cluster has."""


def main() -> int:
    """Do all parts, or those that are named; exit status 1 where one fails."""
    if why := lacking():
        print(f"Slurm is not here ({why}); install it with: apt-get install slurm-wlm munge", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="thaw-slurm-"))
    server = None
    try:
        for nodes, parts in PARTS.items():
            wanted = [part for part in parts if not sys.argv[1:] or part.__name__ in sys.argv[1:]]
            if not wanted:
                continue
            with OneNode(folder / f"slurm-{nodes}", nodes) as node:
                person = Person(node, folder / f"home-{nodes}")
                tell(f"{node.ask('sinfo', '--version').strip()}, {len(node.nodes)} node(s)")
                person.types("runs")
                server = serving(person)
                for part in wanted:
                    tell(part.__doc__ or "")
                    part(person)
                server.terminate()
                server.wait(20)
        tell("all is as it should be")
        return 0
    except Failed as failed:
        tell(f"FAILED: {failed}")
        for log in sorted((folder / "home" / "runs").glob("*/worker.log")):
            tell(f"{log}:\n{log.read_text(errors='replace')[-1500:]}")
        return 1
    finally:
        if server is not None:
            server.terminate()
            server.wait(20)
        if not os.environ.get("KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
