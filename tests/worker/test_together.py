"""Runs that several processes share, for real: started as a server starts them, forked, on the processor."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from core.code.of_run import script_of
from core.config import RunConfig
from core.machine.home import Home, child_environment
from core.machine.living import lives
from core.ranks import joining, signs
from core.ranks.joining import Machines
from core.ranks.talk import Refused, ask_in
from core.records.events import Command, CommandKind, EpochRow, RunStatus
from core.store import Run, RunStore, membership
from core.store.resume_files import resume_points
from core.store.run_folder import read_row
from core.sweeps import engine
from core.sweeps.plan import make
from core.sweeps.vary import parse_all
from core.worker import together
from core.worker.supervisor import Supervisor
from core.worker.worker import Worker
from tests.support import ROOT, end_processes_of, nursery, wait_until
from tests.sweeps.sweep_cases import finished

CONFIG = RunConfig(
    dataset="digits", model="small_cnn", image_size=16, batch_size=64, epochs=2, seed=3, threads=2, learning_rate=0.01, optimizer="SGD",
    timeline="step 12: stage1; 2: !stage1", clip_norm=5.0, watch_every=5,
)  # fmt: skip
"""BatchNorm that learns, a freeze change in the middle of an epoch and back, clipping, a last batch (62 pictures of 64) and 18 steps an epoch."""

PATIENT = 300.0
"""Seconds of silence in tests that stop a rank themselves."""


class Place:
    """A home with somebody who starts runs in it."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.store = RunStore(self.home.database)
        self.supervisor = Supervisor(self.home, self.store, nursery())

    def begin(self, **changes: object) -> str:
        """Start a run on two devices."""
        return self.supervisor.start(CONFIG.replace(**{"devices": 2, **changes}))

    def ended(self, run_id: str) -> Run:
        """The run, once it has ended."""

        def over() -> bool:
            self.supervisor.look_after()
            return not self.store.run(run_id).status.active

        wait_until(over, timeout=180, what=f"the end of {run_id}")
        return self.store.run(run_id)

    def trains(self, run_id: str) -> None:
        """Wait for a run's first step: before it, commands are refused."""
        wait_until(lambda: self.store.run(run_id).status is RunStatus.RUNNING, timeout=120, what="the first step")

    def pauses(self, run_id: str, folder: Path | None = None) -> None:
        """Have a run pause after its first steps, however few: until it is asked to, its second rank, whose signs are in `folder`, is stopped."""
        apart, folder = folder is not None, folder or self.home.run_folder(run_id)  # machines compare what they have before the first step

        def second() -> int | None:
            return next((row.pid for row in signs.read(folder) if row.rank == 1 and row.phase == "training" and (row.step or not apart)), None)

        pid = cast(int, wait_until(second, timeout=120, what="the second rank", pause=lambda _: time.sleep(0.002)))
        os.kill(pid, signal.SIGSTOP)
        self.trains(run_id)
        self.store.request(run_id, CommandKind.PAUSE)
        os.kill(pid, signal.SIGCONT)

    def paused(self, run_id: str, folder: Path | None = None) -> None:
        """Wait until it has."""
        self.pauses(run_id, folder)
        wait_until(lambda: self.store.run(run_id).status is RunStatus.PAUSED, timeout=120, what="the pause")

    def asked(self, run_id: str, kind: CommandKind, text: str = "") -> Command:
        """Ask a run for something, and wait for its answer."""
        number = self.store.request(run_id, kind, text)

        def answered() -> Command | None:
            found = next(each for each in self.store.commands(run_id) if each.id == number)
            return None if found.applied_at_step is None else found

        return cast(Command, wait_until(answered, timeout=120, what=f"the answer to {text or kind}"))

    def weights(self, run_id: str) -> dict[str, torch.Tensor]:
        """What a run ended with."""
        return torch.load(self.home.run_folder(run_id) / "weights.pth", weights_only=True)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A home of this module."""
    made = Place(tmp_path_factory.mktemp("ranks"))
    yield made
    end_processes_of(made.home.path)


@pytest.fixture(scope="module")
def shared(place: Place) -> Run:
    """A run on two devices that nothing happened to."""
    run = place.ended(place.begin())
    assert run.status is RunStatus.FINISHED, run.error
    return run


def test_two_devices_do_what_one_does(place: Place, shared: Run) -> None:
    """Losses and weights are equal but for rounding: sums of float32 are added in another order, which 36 steps of training carry on."""
    alone = place.store.create_run(CONFIG)
    assert Worker(place.home, place.store, alone).run() is RunStatus.FINISHED
    here, there = (place.store.blocks(run_id) for run_id in (alone, shared.id))
    one, two = (np.concatenate([block.loss for block in blocks]) for blocks in (here, there))
    assert len(one) == len(two) == 36
    np.testing.assert_allclose(two, one, rtol=1e-3)
    slow, fast = (np.concatenate([block.learning_rate for block in blocks]) for blocks in (here, there))
    np.testing.assert_array_equal(slow, fast)
    for name, expected in place.weights(alone).items():
        torch.testing.assert_close(place.weights(shared.id)[name], expected, rtol=1e-3, atol=2e-4)
    results = [place.store.run(run_id).result for run_id in (alone, shared.id)]
    assert results[0] is not None
    assert results[1] is not None
    assert results[1].train_loss == pytest.approx(results[0].train_loss, rel=1e-3)
    assert results[1].test_accuracy == pytest.approx(results[0].test_accuracy, abs=0.01)


def test_the_audit_is_over_all_ranks(place: Place, shared: Run) -> None:
    """At the end each tensor, running statistics too, was compared."""
    audit = place.store.audit(shared.id)
    assert audit is not None
    assert audit.across == f"{len(place.weights(shared.id))} tensors equal on 2 ranks at step 36"


def test_only_what_learns_is_sent(place: Place, shared: Run) -> None:
    """Four bytes a number that learns, and three numbers more: the loss, the right answers, and whether to meet."""
    assert shared.plan is not None
    learning = sum(layer.count for layer in shared.plan.layers)
    rows = signs.read(place.home.run_folder(shared.id))
    assert [row.phase for row in rows] == ["ended", "ended"]
    assert [row.bytes for row in rows] == [4 * (learning + 3)] * 2
    assert [row.step for row in rows] == [36, 36]


def test_a_killed_rank_is_begun_again_with_the_same_bits(place: Place, shared: Run) -> None:
    """The run goes on from its checkpoint, and ends as the one that nothing happened to: so the same ranks twice give the same bits.

    What was asked for in the pause holds on all ranks from the same step on; it is one that changes no number.
    """
    run_id = place.begin(restarts=1, silence_seconds=PATIENT)
    place.paused(run_id)
    asked = place.asked(run_id, CommandKind.CHANGE, f"learning_rate={CONFIG.learning_rate}")
    os.kill(signs.read(place.home.run_folder(run_id))[1].pid, signal.SIGKILL)
    run = place.ended(run_id)
    assert run.status is RunStatus.FINISHED, run.error
    again = place.store.continued(run_id)
    assert "begun again (1 of at most 1) by itself: Rank 1 of 2 on" in again[0]
    assert "is gone without a word" in again[0]
    assert signs.read(place.home.run_folder(run_id))[1].attempt == 1
    assert asked.applied_at_step is not None
    assert [row.step for row in place.store.changes_after(run_id) if row.source == "live"] == [asked.applied_at_step + 1]
    for name, expected in place.weights(shared.id).items():
        assert torch.equal(place.weights(run_id)[name], expected), name


def test_a_stopped_rank_is_named(place: Place) -> None:
    """SIGSTOP: it lives and does nothing. Without restarts the run ends, in words; a change that was asked for before reached both ranks."""
    run_id = place.begin(silence_seconds=2, epochs=500, timeline="")
    place.trains(run_id)
    assert place.asked(run_id, CommandKind.PAUSE).error is None
    os.kill(signs.read(place.home.run_folder(run_id))[1].pid, signal.SIGSTOP)
    run = place.ended(run_id)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.startswith("Rank 1 of 2 on ")
    assert "gave no sign of life for 2 s" in run.error
    beside = read_row(place.home.run_folder(run_id))
    assert (beside["step"], beside["error"], beside["plan"] is not None) == (run.step, run.error, True), "what the store could be made of again"


def test_commands_reach_all_ranks(place: Place) -> None:
    """Changes, a look inside, a pause with its checkpoint and a stop: the ranks agree on what learns, how fast, and on every tensor at the end."""
    run_id = place.begin(epochs=500, timeline="", feature_cache="off")
    place.trains(run_id)
    for change in ("stage1, stage2", "learning_rate=0.002, head=3"):
        assert place.asked(run_id, CommandKind.CHANGE, change).error is None
    plan = place.store.run(run_id).plan
    assert plan is not None
    assert place.asked(run_id, CommandKind.INSPECT, plan.layers[-1].name).error is None
    assert place.asked(run_id, CommandKind.PAUSE).error is None
    wait_until(lambda: resume_points(place.home.run_folder(run_id)), timeout=150, what="the checkpoint of the pause, which a thread writes")
    assert place.asked(run_id, CommandKind.RESUME).error is None
    wait_until(lambda: place.store.inspections_after(run_id), timeout=120, what="the look inside")
    place.store.request(run_id, CommandKind.STOP)
    run = place.ended(run_id)
    assert run.status is RunStatus.STOPPED, run.error
    audit = place.store.audit(run_id)
    assert audit is not None
    assert "tensors equal on 2 ranks" in audit.across
    assert run.plan is not None
    learning = sum(layer.count for layer in run.plan.layers if not layer.name.startswith(("stage1", "stage2")))
    assert {row.bytes for row in signs.read(place.home.run_folder(run_id))} == {4 * (learning + 3)}


def test_a_rank_that_dies_in_the_middle_of_a_sum(place: Place) -> None:
    """While the other waits for it, and a change was asked for in that very step: that is answered, and the run goes on with both."""
    run_id = place.begin(epochs=500, timeline="", restarts=1, silence_seconds=PATIENT)
    folder = place.home.run_folder(run_id)
    place.trains(run_id)
    os.kill(signs.read(folder)[1].pid, signal.SIGSTOP)
    seen: list[int] = []

    def stands() -> bool:
        seen.append(signs.read(folder)[0].step)
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_until(stands, timeout=60, what="the first rank in the middle of a sum")
    number = place.store.request(run_id, CommandKind.CHANGE, "stage1")
    os.kill(signs.read(folder)[1].pid, signal.SIGKILL)
    wait_until(lambda: next(each for each in place.store.commands(run_id) if each.id == number).applied_at_step is not None, timeout=120)
    place.trains(run_id)
    place.store.request(run_id, CommandKind.STOP)
    run = place.ended(run_id)
    assert run.status is RunStatus.STOPPED, run.error
    assert "by itself: Rank 1 of 2 on" in place.store.continued(run_id)[0]
    audit = place.store.audit(run_id)
    assert audit is not None
    assert "tensors equal on 2 ranks" in audit.across


def test_the_first_rank_is_killed_while_it_saves(place: Place, shared: Run) -> None:
    """Wherever it was: a checkpoint is there whole or not at all, and the run ends as if nothing had happened."""
    run_id = place.begin(restarts=1, silence_seconds=PATIENT)
    folder = place.home.run_folder(run_id)
    place.pauses(run_id)
    wait_until(lambda: any((folder / "checkpoints").glob("*resume-*")), timeout=120, what="a checkpoint, or a part of one", pause=lambda _: None)
    os.kill(signs.read(folder)[0].pid, signal.SIGKILL)
    place.store.request(run_id, CommandKind.RESUME)  # it may pause once more: whether it had said that it did, nobody knows
    run = place.ended(run_id)
    assert run.status is RunStatus.FINISHED, run.error
    assert "by itself: Rank 0 of 2 on" in place.store.continued(run_id)[0]
    for name, expected in place.weights(shared.id).items():
        assert torch.equal(place.weights(run_id)[name], expected), name


def test_who_ends_with_the_others_while_it_is_looked_at_is_not_the_first_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row is read before it says that it ends, and its process is looked for after that."""
    signs.make(tmp_path, 2)
    mine = signs.Signs(tmp_path, 0)
    mine.phase(signs.TRAINING)
    row = signs.read(tmp_path)[0]

    def gone(pid: int) -> bool:
        mine.close(signs.PARTED)
        return False

    monkeypatch.setattr(together, "lives", gone)
    assert together.Watcher(tmp_path, 2, CONFIG)._problem(row) == ""


def test_a_clock_that_is_set_and_a_machine_that_sleeps_end_no_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is how long this machine looked on without a new sign of life, and no difference of two times of day."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid) if number else None)
    signs.make(tmp_path, 2)
    mine = signs.Signs(tmp_path, 0)
    mine.phase(signs.TRAINING)
    row, watcher = signs.read(tmp_path)[0], together.Watcher(tmp_path, 2, CONFIG)
    assert watcher._problem(replace(row, alive=row.alive - 10_000)) == ""
    assert watcher._problem(row) == ""
    now, since = time.monotonic, CONFIG.silence_seconds
    monkeypatch.setattr(time, "monotonic", lambda: now() + since - 1)
    assert watcher._problem(row) == ""
    monkeypatch.setattr(time, "monotonic", lambda: now() + since + 1)
    assert watcher._problem(row).startswith(f"gave no sign of life for {since:g} s")
    assert killed == [row.pid]


def test_a_rank_that_is_killed_at_once_is_named(place: Place) -> None:
    """As soon as it has given its first sign of life, so before or soon after the first step."""
    run_id = place.begin(epochs=500, timeline="")
    folder = place.home.run_folder(run_id)
    rows = wait_until(lambda: [row for row in signs.read(folder) if row.rank == 1 and row.pid], timeout=120, what="the first sign of life")
    os.kill(rows[0].pid, signal.SIGKILL)
    run = place.ended(run_id)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.startswith("Rank 1 of 2 on ")
    assert "is gone without a word" in run.error


def test_kept_features_are_shared(place: Place) -> None:
    """Each rank computes a share of the pictures, and serves from then on what all have computed; the last batch has one picture for each."""
    run = place.ended(place.begin(epochs=3, timeline="", freeze="head only", batch_size=1148 // 2, clip_norm=None))
    assert run.status is RunStatus.FINISHED, run.error
    reuse = place.store.reuse(run.id)
    assert reuse is not None
    assert (reuse.state, reuse.kept) == ("serving", reuse.pictures)
    audit = place.store.audit(run.id)
    assert audit is not None
    assert audit.across.endswith("tensors equal on 2 ranks at step 9")


LONGER = {
    "batch_size": 300, "accumulate": 2, "class_weights": "balanced", "augmentation": "shift", "head_dropout": 0.3, "schedule": "WarmupCosine",
    "learning_rate_multipliers": "head=3", "timeline": "", "clip_norm": None, "epochs": 1, "optimizer": "AdamW", "learning_rate": 0.001,
}  # fmt: skip
"""Two steps of four and of two parts, with all that is told apart by place: chance, class weights, groups of layers."""

SCRIPTS = """
import importlib.util, os, runpy, sys, traceback
import sklearn.datasets, torch, torchvision
from torch._C._distributed_c10d import TCPStore

def process(folder, rank):
    try:
        os.chdir(folder)
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
        runpy.run_path("script.py")
        return 0
    except BaseException:
        traceback.print_exc()
        return 1

assert importlib.util.find_spec("core") is None, "Thaw can be imported here"
for ranks, folder in zip(map(int, sys.argv[1::2]), sys.argv[2::2]):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # as torchrun has it
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(store.port), WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks))
    os.environ.update(TORCHELASTIC_USE_AGENT_STORE="True", TORCHELASTIC_RESTART_COUNT="0")
    children = []
    for rank in range(ranks):
        children.append(os.fork())
        if not children[-1]:
            status = process(folder, rank)
            sys.stdout.flush()
            os._exit(status)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * ranks, folder
"""
"""What `torchrun` does with each script, in turn, with torch imported once."""


def test_the_scripts_of_shared_runs_end_with_their_weights_without_thaw(place: Place, shared: Run, tmp_path: Path) -> None:
    """Over gloo with `DistributedDataParallel`; with two processes to the bit, since a sum of two numbers has one order.

    On three, over which no batch of it divides, the first one ends close by: sums are added in another order, which 36 steps carry on. With parts
    that count as much as each other, whatever their pictures, running statistics would be 0.04 apart.
    """
    other = place.ended(place.begin(**LONGER))
    assert other.status is RunStatus.FINISHED, other.error
    folders = []
    for run in (shared, other):
        folders.append(tmp_path / run.id)
        folders[-1].mkdir()
        about, text = script_of(place.home, place.store, run)
        assert any("sums of its own" in sentence for sentence in about)
        (folders[-1] / "script.py").write_text(text)
    assert "# 600 pictures a step = 2 devices x 150 pictures x 2 parts." in text
    shutil.copytree(folders[0], of_three := tmp_path / "three")
    given: list[str | Path] = ["2", folders[0], "2", folders[1], "3", of_three]
    done = subprocess.run([sys.executable, "-I", "-c", SCRIPTS, *given], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("test loss") == 3, "one process speaks"
    for run, folder in zip((shared, other), folders, strict=True):
        for name, expected in place.weights(run.id).items():
            assert torch.equal(torch.load(folder / "weights.pth")[name], expected), name
    for name, expected in place.weights(shared.id).items():
        torch.testing.assert_close(torch.load(of_three / "weights.pth")[name], expected, rtol=1e-3, atol=3e-3)


@pytest.mark.skipif(bool(engine.missing()), reason="optuna is an optional extra: requirements-sweep.txt")
def test_a_shared_run_of_a_sweep_ends_early_where_others_did_better_and_says_beside_it_whose_it_is(place: Place) -> None:
    config = CONFIG.replace(devices=2, epochs=50, timeline="", freeze="head only")
    plan = make(config, parse_all(["learning_rate=1e-9..1 log"]), runs=5, pruner="median")
    rates = enumerate((0.1, 0.2, 0.3, 0.4, 1e-9))
    draws = [(number, {"learning_rate": rate}, config.replace(learning_rate=rate).to_json()) for number, rate in rates]
    sweep_id = place.store.create_sweep(plan.to_json(), 1, draws, len(draws))
    *others, last = [member.run_id for member in place.store.members(sweep_id)]
    for run_id in others:
        place.store.append_epoch(run_id, EpochRow(1, 1, 1.0, 0.1, 0.99, 0.1, 0.99))
        finished(place.store, run_id, 0.99)
    run = place.ended(last)
    assert (run.status, run.epoch) == (RunStatus.STOPPED, 1), run.error
    kept = membership.read_beside(place.home.run_folder(last))
    assert kept is not None
    assert (kept[0].id, kept[1].number, kept[1].pruned) == (sweep_id, 4, 1)
    assert place.store.members(sweep_id)[4].pruned == 1


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of few pictures, for models that compute long."""
    folder = tmp_path_factory.mktemp("few")
    for place, name in enumerate("ab"):
        (folder / name).mkdir()
        for number in range(8):
            Image.fromarray(np.random.default_rng([place, number]).integers(0, 255, (32, 32, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize(("model", "image_size"), [("googlenet", 32), ("inception_v3", 299)])
def test_auxiliary_heads_of_which_nobody_has_a_gradient(place: Place, few: Path, model: str, image_size: int) -> None:
    """A frozen body whose head learns: what has no gradient on any rank is nobody's, and moves on none."""
    changes = {"dataset": f"folder:{few}", "model": model, "image_size": image_size, "starting_weights": "random", "feature_cache": "off"}
    run = place.ended(place.begin(epochs=1, timeline="", batch_size=6, freeze="head only", validation_share=0.0, **changes))
    assert run.status is RunStatus.FINISHED, run.error
    assert run.result is not None
    audit = place.store.audit(run.id)
    assert audit is not None
    assert audit.across == f"{len(place.weights(run.id))} tensors equal on 2 ranks at step {run.result.steps}"
    assert run.result.steps >= 2


def test_ranks_end_with_the_process_that_watches_over_them(place: Place) -> None:
    """Killed, it leaves nobody behind who would go on with a run that is lost."""
    run_id = place.begin(epochs=500, timeline="")
    place.trains(run_id)
    pids = [row.pid for row in signs.read(place.home.run_folder(run_id))]
    os.kill(place.store.columns(run_id)["pid"], signal.SIGKILL)
    wait_until(lambda: not any(lives(pid) for pid in pids), timeout=20, what="the end of the ranks")
    assert place.ended(run_id).status is RunStatus.LOST


# On several machines: two homes of one machine, over 127.0.0.1

TWO = CONFIG.replace(nodes=2, rendezvous="127.0.0.1", threads=1, silence_seconds=PATIENT)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of the other machine."""
    path = tmp_path_factory.mktemp("joins")
    yield path
    end_processes_of(path)


def waits(place: Place, run_id: str) -> Machines:
    """What a run says that waits for another machine."""
    folder = place.home.run_folder(run_id)

    def asked() -> Machines | None:
        place.supervisor.look_after()
        found = joining.read(folder)
        return found if found and found.tokens else None

    return cast(Machines, wait_until(asked, timeout=120, what="the line that joins"))


def joins(there: Path, machines: Machines, log: Path) -> subprocess.Popen[bytes]:
    """Type the line on the other machine."""
    line = machines.lines[0].split()
    assert line[0] == "python"
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, *line[1:], "--home", str(there)], cwd=ROOT, env=child_environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )


def begun(place: Place, there: Path, log: Path, **changes: object) -> tuple[str, subprocess.Popen[bytes]]:
    """A run on two machines that trains, and the process that joined it."""
    run_id = place.supervisor.start(TWO.replace(**{"epochs": 500, "timeline": "", **changes}))
    process = joins(there, waits(place, run_id), log)
    place.trains(run_id)
    return run_id, process


def test_two_machines_do_to_the_bit_what_two_devices_of_one_do(place: Place, shared: Run, there: Path, tmp_path: Path) -> None:
    """The sum of two numbers has one order. That two devices do what one does, within a tolerance, stands above."""
    run_id = place.supervisor.start(TWO)
    machines = waits(place, run_id)
    token = machines.tokens[0]
    wait_until(lambda: place.store.run(run_id).activity == "waiting for 1 more machine", what="what the run says it does")
    with pytest.raises(Refused, match="is not one of this run"):
        ask_in("127.0.0.1", int(machines.address.split(":")[1]), run_id, "0" * 32)
    wait_until(lambda: "wrong token" in cast(Machines, joining.read(place.home.run_folder(run_id))).refused, what="who was refused")
    process = joins(there, machines, tmp_path / "log")
    run = place.ended(run_id)
    assert run.status is RunStatus.FINISHED, run.error
    assert process.wait(timeout=120) == 0
    said = (tmp_path / "log").read_text()
    assert "machine 2 of 2, with rank 1 of 2" in said
    assert said.endswith(f"thaw: {run_id} is over\n")
    for name, expected in place.weights(shared.id).items():
        assert torch.equal(place.weights(run_id)[name], expected), name
    audit = place.store.audit(run_id)
    assert audit is not None
    assert audit.across == f"{len(place.weights(run_id))} tensors equal on 2 ranks at step 36"
    rows = signs.read(place.home.run_folder(run_id))
    assert [(row.phase, row.step, row.bytes == rows[0].bytes) for row in rows] == [("ended", 36, True)] * 2
    kept = joining.read(place.home.run_folder(run_id))
    assert kept is not None
    assert (kept.tokens, len(kept.names)) == ((), 2)
    files = [path for path in place.home.path.rglob("*") if path.is_file() and not path.name.startswith("thaw.db")]  # SQLite's own: read by it alone
    assert [path for path in files if token.encode() in path.read_bytes()] == []
    with closing(sqlite3.connect(place.home.database)) as database:
        assert not any(token in line for line in database.iterdump())
    assert sorted(path.name for path in (there / "runs").iterdir()) == []


def test_a_rank_that_dies_on_another_machine_is_named(place: Place, there: Path, tmp_path: Path) -> None:
    """The run ends in words, with its log, and so does whoever joined."""
    run_id, process = begun(place, there, tmp_path / "log")
    folder = there / "logs" / f"joined-{run_id}-2"
    os.kill(signs.read(folder)[1].pid, signal.SIGKILL)
    run = place.ended(run_id)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.startswith("Rank 1 of 2 on ")
    assert "is gone without a word" in run.error
    assert process.wait(timeout=120) == 1
    assert "Rank 1 of 2 on " in (tmp_path / "log").read_text()


def test_machines_begin_again_together_with_the_same_bits(place: Place, shared: Run, there: Path, tmp_path: Path) -> None:
    """A rank of the machine that joined is killed: both go on from the checkpoint, which it is handed, and nobody types a line again."""
    run_id = place.supervisor.start(TWO.replace(restarts=1))
    process, folder = joins(there, waits(place, run_id), tmp_path / "log"), there / "logs" / f"joined-{run_id}-2"
    place.paused(run_id, folder)
    os.kill(signs.read(folder)[1].pid, signal.SIGKILL)
    run = place.ended(run_id)
    assert run.status is RunStatus.FINISHED, run.error
    assert process.wait(timeout=120) == 0
    assert "begun again (1 of at most 1) by itself: Rank 1 of 2 on" in place.store.continued(run_id)[0]
    assert "thaw: begins again (1 of at most 1): Rank 1 of 2 on" in (tmp_path / "log").read_text()
    assert [row.attempt for row in signs.read(place.home.run_folder(run_id))] == [1, 1]
    for name, expected in place.weights(shared.id).items():
        assert torch.equal(place.weights(run_id)[name], expected), name


def test_who_joined_ends_with_the_machine_that_leads(place: Place, there: Path, tmp_path: Path) -> None:
    run_id, process = begun(place, there, tmp_path / "log")
    ranks = [row.pid for row in signs.read(there / "logs" / f"joined-{run_id}-2") if row.pid]
    os.kill(place.store.columns(run_id)["pid"], signal.SIGKILL)
    assert process.wait(timeout=120) == 1
    assert "The machine that leads the run" in (tmp_path / "log").read_text()
    wait_until(lambda: not any(lives(pid) for pid in ranks), what="the end of its ranks")
    assert place.ended(run_id).status is RunStatus.LOST


def test_who_joined_a_machine_that_is_stopped_is_told(place: Place, there: Path, tmp_path: Path) -> None:
    """SIGSTOP of the process that watches over the first machine's ranks: its connections stay open. Gone on, it says who has left it."""
    run_id, process = begun(place, there, tmp_path / "log", silence_seconds=10.0)
    assert place.asked(run_id, CommandKind.PAUSE).error is None  # ranks that rest
    ranks = [row.pid for row in signs.read(there / "logs" / f"joined-{run_id}-2") if row.pid]
    leader = place.store.columns(run_id)["pid"]
    os.kill(leader, signal.SIGSTOP)
    try:
        assert process.wait(timeout=120) == 1
        said = (tmp_path / "log").read_text()
        assert "The machine that leads the run" in said
        assert "is gone: the other machine says nothing." in said
        wait_until(lambda: not any(lives(pid) for pid in ranks), what="the end of its ranks")
    finally:
        os.kill(leader, signal.SIGCONT)
    run = place.ended(run_id)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.startswith("Machine 2 of 2 (")
