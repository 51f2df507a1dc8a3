"""`runs` with filters, `compare`, `curves` and `train --name` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.commands.cli import main
from core.machine.home import Home
from core.records.labels import LabelChange
from core.store import RunStore
from tests.comparing.compare_cases import MadeRun


@pytest.fixture
def made(store: RunStore) -> list[str]:
    """Three ended runs: two that differ in their seed, one of another model."""
    runs = [MadeRun(store, seed=0), MadeRun(store, seed=1), MadeRun(store, model="resnet18", freeze="head only")]
    for run, steps in zip(runs, (20, 50, 30), strict=True):
        run.train(steps)
        run.end()
    store.label(runs[0].id, LabelChange('"a" <b>', add_tags=("baseline",), starred=True))
    return [run.id for run in runs]


def told(home: Home, capsys: pytest.CaptureFixture[str], *line: str) -> list[dict[str, object]]:
    assert main([*line, "--json", "--home", str(home.path)]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_runs_are_filtered_and_sorted(home: Home, made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for line, places in (
        (["--sort", "best"], [1, 2, 0]),
        (["--sort=-best", "--limit", "1"], [0]),
        (["--tag", "BASELINE"], [0]),
        (["--starred"], [0]),
        (["--find", "resnet18"], [2]),
        (["--model", "small_cnn", "--status", "finished"], [1, 0]),
        (["--status", "failed"], []),
    ):
        assert [row["run_id"] for row in told(home, capsys, "runs", *line)] == [made[place] for place in places], line
    (row,) = told(home, capsys, "runs", "--tag", "baseline")
    assert row["name"] == '"a" <b>'
    assert (row["best_epoch"], row["last_epoch"]) == (2, 2)
    assert main(["runs", "--status", "failed", "--home", str(home.path)]) == 0
    assert "No run is like that" in capsys.readouterr().out
    assert main(["runs", "--sort", "luck", "--home", str(home.path)]) == 2
    assert "sort: runs cannot be sorted by 'luck'" in capsys.readouterr().err


def test_runs_are_compared_in_words_and_as_json(home: Home, made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *made, "--home", str(home.path)]) == 0
    said = capsys.readouterr().out
    assert "What differs:" in said
    assert "2 runs that differ in the seed alone (0, 1): best validation accuracy 75.0 %, 66.7 % to 83.3 %" in said
    assert main(["compare", *made, "--json", "--home", str(home.path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differs"]["freeze"][made[2]] == "head only"
    assert found["repeats"][0]["runs"] == made[:2]
    for line, error in ((made[:1], "give 2 to 40"), ([made[0], "nothing"], "there is no run 'nothing'"), ([made[0]] * 2, "1 run was given")):
        assert main(["compare", *line, "--home", str(home.path)]) == 2
        assert error in capsys.readouterr().err


def test_imported_curves_are_compared_with_runs(home: Home, made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("step,val_loss\n1,2\n2,1\n")
    (one,) = told(home, capsys, "curves", str(path))
    assert main(["compare", made[0], str(one["run_id"]), "--home", str(home.path)]) == 0
    assert f"imported   1 curves from {path}" in capsys.readouterr().out
    assert main(["curves", str(tmp_path / "nothing"), "--home", str(home.path)]) == 2
    assert "curves: there is nothing at" in capsys.readouterr().err


def test_a_run_is_named_where_it_is_queued(home: Home, store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "--queue", "--model", "small_cnn", "--name", "first", "--note", "why", "--home", str(home.path)]
    assert main(line) == 0
    run_id = capsys.readouterr().out.strip()
    assert (store.labels(run_id).name, store.labels(run_id).note) == ("first", "why")
    assert main([*line[:5], "x" * 200, "--home", str(home.path)]) == 2
    assert "name: " in capsys.readouterr().err
    assert len(store.ids()) == 1, "a name that cannot be had starts nothing"
