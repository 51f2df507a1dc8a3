"""`python -m core delete`, `restore` and `bin`, as a person types them."""

from __future__ import annotations

import json

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.worker.supervisor import this_process
from tests.commands.test_cli import thaw


def test_runs_are_deleted_listed_restored_and_emptied(home: Home) -> None:
    store = RunStore(home.database)
    ids = [store.create_run(RunConfig(seed=seed)) for seed in range(3)]
    for run_id in ids:
        store.end(run_id, RunStatus.FINISHED)
        home.run_folder(run_id).mkdir()
        (home.run_folder(run_id) / "weights.pth").write_bytes(bytes(range(256)) * 8000)
    done = thaw(home, "delete", ids[0], ids[1])
    assert done.returncode == 0
    assert f"restore {ids[0]}" in done.stdout
    assert [run["run_id"] for run in json.loads(thaw(home, "runs", "--json").stdout)] == [ids[2]]
    assert {each["run_id"] for each in json.loads(thaw(home, "bin", "--json").stdout)} == {ids[0], ids[1]}
    assert "4.1 MB in all" in thaw(home, "bin").stdout
    assert thaw(home, "restore", ids[1]).returncode == 0
    assert "1 run is gone; 2.0 MB are free" in thaw(home, "bin", "--empty").stdout.replace("2.1", "2.0")
    assert store.ids() == {ids[1], ids[2]}
    assert "The bin is empty" in thaw(home, "bin").stdout
    assert "is not in the bin" in thaw(home, "restore", ids[2]).stderr


def test_what_cannot_be_deleted_is_said_and_of_several_with_a_misspelt_one_none_is(home: Home) -> None:
    store = RunStore(home.database)
    good, going = store.create_run(RunConfig()), store.create_run(RunConfig(), this_process())
    done = thaw(home, "delete", good, "nobody")
    assert (done.returncode, "There is no run 'nobody'" in done.stderr) == (2, True)
    assert store.binned() == {}
    done = thaw(home, "delete", going)
    assert (done.returncode, f"stop {going}" in done.stderr) == (2, True)


def test_room_on_disk_is_listed_by_kind_and_freed_only_with_yes(home: Home) -> None:
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig())
    store.end(run_id, RunStatus.FINISHED)
    (home.run_folder(run_id) / "checkpoints").mkdir(parents=True)
    point = home.run_folder(run_id) / "checkpoints" / "resume-00000008.pt"
    point.write_bytes(bytes(range(256)) * 160)
    assert "Checkpoints               41 kB" in thaw(home, "disk").stdout
    said = thaw(home, "disk", run_id, "--free", "checkpoints")
    assert said.returncode == 1
    assert "41 kB of checkpoints can be freed, for good: a finished run cannot be trained on" in said.stderr
    assert point.is_file()
    assert json.loads(thaw(home, "disk", "--free", "checkpoints", "--yes", "--json").stdout) == {"freed_bytes": 40960, "runs": [run_id]}
    assert not point.exists()
