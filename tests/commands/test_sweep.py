"""`python -m core sweep`: what it refuses before anything starts, what it tells, and one that is done for real."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from core.commands.cli import main
from core.config import RunConfig
from core.machine import children
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.sweeps import engine, moving
from core.sweeps.plan import make
from core.sweeps.vary import parse_all
from tests.support import ROOT, nursery, wait_until
from tests.sweeps.sweep_cases import finished

TINY = [
    "--dataset",
    "digits",
    "--model",
    "small_cnn",
    "--image-size",
    "8",
    "--epochs",
    "1",
    "--batch-size",
    "256",
    "--threads",
    "1",
    "--device",
    "cpu",
]


def sweep(home: Home, *words: str) -> int:
    return main(["sweep", "--home", str(home.path), *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "vary: nothing varies"),
        (["--vary", "lr=1|2"], "vary: 'lr' is no field of a run"),
        (["--vary", "learning_rate=5000|0"], "learning_rate: must be 1000 or less, got 5000.0; try 0.001 (none of the 2 settings"),
        (["--vary", "freeze=nothing like it|!"], "freeze: "),
        (["--vary", "seed=0..99", "--vary", "batch_size=1..100"], "vary: makes 10,000 runs; add --yes to begin them all, or --runs 24"),
        (["--vary", "seed=0|1", "--runs", "x"], "runs: must be a whole number"),
        (["--vary", "seed=0|1", "--at-once", "0"], "at_once: must be 1 to 64"),
        (["--vary", "seed=0|1", "--seeds", "2"], "seeds: belongs to --which-layers"),
        (["--which-layers", "--vary", "seed=0|1"], "vary: does not go with --which-layers"),
        (["--vary", "seed=0|1", "--method", "<b>"], "method: there is no '<b>'"),
        (["--show", "sweep-\"quoted' <b>"], "There is no sweep"),
        (["--more", "nothing", "--runs", "2"], "There is no sweep"),
        (["--vary", "model=resnet18|small_cnn", "--image-size", "4"], "image_size: must be 8 or more"),
        (["--vary", "starting_weights=random|20200101-000000-abcd"], "starting_weights: there is no run 20200101-000000-abcd"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line_and_nothing_starts(
    home: Home, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert sweep(home, *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith(f"thaw: {said}")
    assert RunStore(home.database).entries() == []


def test_optuna_that_is_missing_is_said_with_the_command_that_installs_it(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "missing", lambda: "needs the package optuna, which is not installed; install it with: ...")
    assert sweep(home, "--vary", "seed=0|1", "--method", "tpe") == 2
    assert "thaw: method: 'tpe' needs the package optuna" in capsys.readouterr().err


def test_a_sweep_is_queued_listed_shown_stopped_and_told_as_one_json_object(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = """it's "<b>" | $x"""
    assert sweep(home, *TINY, "--vary", "optimizer=SGD|AdamW|nothing", "--name", name, "--queue") == 0
    told = capsys.readouterr()
    sweep_id = told.out.strip()
    assert "optimizer=nothing was left out (1 run)" in told.err
    store = RunStore(home.database)
    first, second = store.members(sweep_id)
    finished(store, first.run_id, 0.75)
    assert sweep(home, "--list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["state"], row["done"], row["runs"]) == (name, "going on", 1, 2)
    assert sweep(home, "--stop", sweep_id) == 0
    assert store.run(second.run_id).status is RunStatus.STOPPED
    capsys.readouterr()
    assert sweep(home, "--show", sweep_id, "--json") == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["best"]["run_id"] == first.run_id
    assert shown["runs"][0] | {"error": None} == {
        "run_id": first.run_id, "values": {"optimizer": "SGD"}, "status": "finished", "test_accuracy": 0.74, "validation_accuracy": 0.75,
        "seconds": 2.0, "trainable_parameters": 80, "error": None,
    } | {"trainable_parameters": shown["runs"][0]["trainable_parameters"]}  # fmt: skip
    assert sweep(home, "--list") == 0
    assert name in capsys.readouterr().out
    assert sweep(home, "--more", sweep_id, "--seeds", "1", "--queue") == 0
    assert [member.given.get("seed") for member in store.members(sweep_id)] == [None, None, 1, 1]


def test_runs_of_a_sweep_start_from_the_weights_of_a_run_that_is_named_by_its_id(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(model="small_cnn", image_size=8))
    weights = home.run_folder(run_id) / "weights.pth"
    weights.parent.mkdir(parents=True)
    torch.save({"fc.weight": torch.zeros(1)}, weights)
    assert sweep(home, *TINY, "--vary", f"starting_weights=random|{run_id}", "--queue") == 0
    assert sweep(home, *TINY, "--starting-weights", run_id, "--vary", "seed=1", "--queue") == 0
    found = [store.run(member.run_id).config.starting_weights for row in reversed(store.sweeps()) for member in store.members(row.id)]
    assert found == ["random", str(weights), str(weights)]


def test_a_real_sweep_ends_with_one_json_object(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(children.SHARED, str(nursery().address))
    wait_until(lambda: nursery().ready, what="the nursery")
    assert sweep(home, *TINY, "--freeze", "head only", "--vary", "learning_rate=0.01|0.1", "--json") == 0
    told = capsys.readouterr()
    found: dict[str, Any] = json.loads(told.out.splitlines()[-1])
    assert [run["status"] for run in found["runs"]] == ["finished", "finished"]
    assert found["best"] in found["runs"]
    assert all(run["test_accuracy"] is not None and run["seconds"] > 0 for run in found["runs"])
    assert "2 of 2" in told.err


BEGINS = """
import sys, time
from core.worker.supervisor import this_process
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
store = RunStore(Home.from_environment(sys.argv[1]).database)
pid, started = this_process()
run_id = store.claim(f"{pid} {started!r} server", 1, lambda asked: "cpu")
assert store.take_up(run_id, pid, started)
store.set_status(run_id, RunStatus.RUNNING)
print(run_id, flush=True)
time.sleep(600)
"""


def test_a_sweep_whose_worker_and_server_are_killed_goes_on_with_the_next(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run at hand is lost, and goes on with the sweep; the others never knew."""
    from core.worker.supervisor import Supervisor

    plan = make(RunConfig(model="small_cnn", image_size=8), parse_all(["seed=0..2"]))
    sweep_id, _ = moving.begin(store, plan)
    ids = [member.run_id for member in store.members(sweep_id)]
    with subprocess.Popen([sys.executable, "-c", BEGINS, str(home.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == ids[0]
        process.kill()
    later = Supervisor(home, RunStore(home.database))
    begun: list[str] = []
    monkeypatch.setattr(later, "_begin", begun.append)
    later.look_after()
    assert store.run(ids[0]).status is RunStatus.LOST
    assert begun == [ids[1]]
    moving.stop(store, sweep_id)
    assert moving.resume(store, sweep_id) == 2, "the lost one and the one that waited; the one at hand is only asked to end"
