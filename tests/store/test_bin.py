"""Deleting runs: refused where it must be, undone, and freed from the disk; and what lies there, by kind."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.staging import staging
from core.store import RunStore, bin, freeing, recovery
from core.store.freeing import can_be_freed, free
from core.store.resume_files import resume_path, resume_points
from core.store.sizes import folder_bytes, free_epochs, run_bytes, runs_bytes, shared_bytes
from core.worker.supervisor import Supervisor, this_process


def ended(home: Home, store: RunStore, size: int = 0, **settings: Any) -> str:
    run_id = store.create_run(RunConfig(**settings))
    store.end(run_id, RunStatus.FINISHED)
    if size:
        written(home.run_folder(run_id) / "weights.pth", size)
    return run_id


def written(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def test_a_deleted_run_is_offered_nowhere_and_comes_back_as_it_was(home: Home, store: RunStore) -> None:
    run_id, other = ended(home, store, 5000), ended(home, store)
    before = store.run(run_id)
    assert bin.delete(home, store, run_id)
    assert not bin.delete(home, store, run_id), "the second one to press it changes nothing"
    assert [run.id for run in store.runs()] == [other]
    assert [run.id for run in store.entries()] == [other]
    assert [run.id for run in store.runs(active=False)] == [other]
    assert [run.id for run in store.runs(binned=True)] == [run_id]
    assert list(store.binned()) == [run_id]
    assert recovery.found(home, store) == (), "it is not offered as one that the list has lost"
    assert bin.restore(store, run_id)
    assert not bin.restore(store, run_id)
    assert store.run(run_id) == before
    assert len(store.runs()) == 2


def test_what_goes_on_is_not_deleted(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(), this_process())
    for status in (RunStatus.QUEUED, RunStatus.PREPARING, RunStatus.RUNNING, RunStatus.PAUSED):
        store.set_status(run_id, status)
        with pytest.raises(ConfigError, match=f"stop it first.*stop {run_id}"):
            bin.delete(home, store, run_id)
    assert store.binned() == {}
    with pytest.raises(KeyError, match="nobody"):
        bin.delete(home, store, "nobody")
    with pytest.raises(KeyError, match="nobody"):
        bin.restore(store, "nobody")


def test_a_waiting_run_leaves_the_queue_with_the_bin_and_comes_back_to_its_place(home: Home, store: RunStore) -> None:
    ids = [store.create_run(RunConfig(seed=seed)) for seed in range(3)]
    bin.delete(home, store, ids[0])
    assert [run.id for run in store.waiting_runs()] == ids[1:]
    assert not store.claim_this(ids[0], "somebody")
    assert not store.run_next(ids[0])
    assert not store.restore_cancelled(ids[0])
    bin.restore(store, ids[0])
    assert [run.id for run in store.waiting_runs()] == ids


def test_a_run_whose_weights_others_start_from_is_deleted_only_on_purpose_and_stays_while_they_are_needed(home: Home, store: RunStore) -> None:
    first = ended(home, store, 5000)
    weights = str(home.run_folder(first) / "weights.pth")
    waiting, done = store.create_run(RunConfig(starting_weights=weights)), ended(home, store, starting_weights=weights)
    ended(home, store)
    with pytest.raises(ConfigError, match=f"{waiting}, {done} start from.*--anyway"):
        bin.delete(home, store, first)
    assert bin.delete(home, store, first, anyway=True)
    kept = bin.empty(home, store)
    assert kept.removed == ()
    assert kept.kept[0][0] == first
    assert waiting in kept.kept[0][1]
    assert Path(weights).is_file()
    store.cancel(waiting)
    assert bin.empty(home, store).removed == (first,)
    assert not Path(weights).exists()


def test_emptying_frees_what_it_says_and_leaves_nothing_of_the_run(home: Home, store: RunStore) -> None:
    gone, stays = ended(home, store, 2_000_000), ended(home, store, 1000)
    taken = folder_bytes(home.run_folder(gone))
    bin.delete(home, store, gone)
    done = bin.empty(home, store)
    assert (done.removed, done.kept) == ((gone,), ())
    assert done.freed == pytest.approx(taken, abs=20_000)
    assert done.freed >= 2_000_000
    assert not home.run_folder(gone).exists()
    assert store.ids() == {stays}
    assert bin.empty(home, store) == bin.Emptied((), 0, ())


def test_only_what_lies_there_for_long_is_emptied_by_itself(home: Home, store: RunStore) -> None:
    old, new = ended(home, store, 100), ended(home, store, 100)
    bin.delete(home, store, old)
    bin.delete(home, store, new)
    store._update(old, binned=time.time() - 86_400 * bin.KEPT_DAYS - 60)
    Supervisor(home, store).reconcile()
    assert list(store.binned()) == [new]
    assert (home.run_folder(old).exists(), home.run_folder(new).exists()) == (False, True)


def test_what_a_crash_left_of_an_emptied_run_is_not_offered_and_removed_later(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = ended(home, store, 100)
    bin.delete(home, store, run_id)
    with monkeypatch.context() as patched:
        patched.setattr("core.store.bin.shutil.rmtree", lambda *arguments, **options: None)
        bin.empty(home, store)
    assert home.run_folder(run_id).is_dir()
    assert recovery.found(home, store) == ()
    bin.clear_up(home, store)
    assert not home.run_folder(run_id).exists()


def test_a_run_brought_back_while_the_bin_is_emptied_is_there_whole_or_gone(home: Home, store: RunStore) -> None:
    ids = [ended(home, store, 100) for _ in range(20)]
    for run_id in ids:
        bin.delete(home, store, run_id)
    back: list[str] = []

    def bring_back() -> None:
        other = RunStore(home.database)
        for run_id in ids:
            try:
                back.extend([run_id] if bin.restore(other, run_id) else [])
            except KeyError:
                continue

    thread = threading.Thread(target=bring_back)
    thread.start()
    done = bin.empty(home, store)
    thread.join()
    assert sorted([*back, *done.removed]) == sorted(ids)
    assert {run.id for run in store.runs()} == set(back)
    for run_id in ids:
        assert sorted(path.name for path in home.run_folder(run_id).glob("*")) == (["weights.pth"] if run_id in back else [])


def test_sizes_by_kind_and_freeing_the_kept_epochs(home: Home, store: RunStore) -> None:
    folder = home.run_folder("a")
    files = {
        "weights.pth": "weights", "checkpoints/epoch-0000-step-00000000.pth": "epochs", "checkpoints/resume-0001.thaw": "resume",
        "worker.log": "logs", "run.json": "lists", "pictures.csv": "lists", "evaluations/x.npz": "rest",
    }  # fmt: skip
    sizes = dict.fromkeys(run_bytes(folder), 0)
    for number, (name, kind) in enumerate(files.items(), 1):
        written(folder / name, number * 4096)
        sizes[kind] += number * 4096  # type: ignore[index]
    assert run_bytes(folder) == sizes
    assert free_epochs(folder) == sizes["epochs"]
    assert run_bytes(folder) == {**sizes, "epochs": 0}
    written(home.features / "table", 8192)
    for number, path in enumerate(
        (
            "cache/decoded/a/0.uint8",
            "cache/thumbs/0.png",
            "data/x",
            "datasets/cats/0.jpg",
            "staging/a/b.jpg",
            "curves/a.npz",
            "datasets/.bin/1/0.jpg",
        ),
        3,
    ):
        written(home.path / path, 4096 * number)
    names = ("features", "pictures", "previews", "data", "own", "uploads", "curves", "bin")
    assert shared_bytes(home) == {name: 4096 * number for number, name in enumerate(names, 2)}
    assert folder_bytes(home.path / "nowhere") == 0


def test_uploads_that_are_left_alone_are_freed_and_those_at_work_stay(home: Home, store: RunStore) -> None:
    idle, busy, fresh = (staging.begin(home) for _ in range(3))
    for each in (idle, busy, fresh):
        staging.bring(home, each, None, "pictures.zip", bytes(4096))
    half = staging.root(home) / busy / "incoming" / "half"
    written(half, 4096)
    for each in (idle, busy):
        os.utime(staging.root(home) / each, (0, 0))
    assert shared_bytes(home)["uploads"] == can_be_freed(home, store, "uploads") == 4 * 4096
    assert free(home, store, "uploads").freed == 4096
    assert sorted(staging.all_of(home)) == sorted((busy, fresh))


def test_kept_epochs_of_a_run_without_other_weights_are_not_freed(home: Home) -> None:
    folder = home.run_folder("a")
    written(folder / "checkpoints/epoch-0000-step-00000000.pth", 4096)
    assert free_epochs(folder) == 0
    assert (folder / "checkpoints/epoch-0000-step-00000000.pth").is_file()


def test_what_a_checkpoint_needs_stays_when_epochs_are_freed(home: Home) -> None:
    folder = home.run_folder("a")
    written(folder / "weights.pth", 8192)
    first, later = (folder / f"checkpoints/epoch-000{number}-step-0000000{number}.pth" for number in range(2))
    written(first, 4096)
    written(later, 4096)
    written(resume_path(folder, 1), 4096)
    assert free_epochs(folder) == 4096
    assert first.is_file(), "what is frozen is on disk there alone"
    assert not later.is_file()


def test_a_second_name_for_the_weights_takes_no_room(home: Home) -> None:
    folder = home.run_folder("a")
    written(folder / "weights.pth", 8192)
    (folder / "checkpoints").mkdir()
    os.link(folder / "weights.pth", folder / "checkpoints/epoch-0005-step-00000100-final.pth")
    assert (run_bytes(folder)["weights"], run_bytes(folder)["epochs"]) == (8192, 0)
    assert free_epochs(folder) == 0
    assert (folder / "weights.pth").is_file()


def test_checkpoints_of_finished_runs_are_freed_and_of_others_only_by_name(home: Home, store: RunStore) -> None:
    finished, lost, going = ended(home, store), store.create_run(RunConfig()), store.create_run(RunConfig(), this_process())
    store.lose(lost, "gone")
    for run_id in (finished, lost, going):
        written(resume_path(home.run_folder(run_id), 8), 4096)
    assert runs_bytes(home, store.ids())["resume"] == 3 * 4096
    assert can_be_freed(home, store, "checkpoints") == 4096
    assert free(home, store, "checkpoints") == freeing.Freed(4096, (finished,))
    assert free(home, store, "checkpoints", lost).freed == 4096
    with pytest.raises(ConfigError, match="needs what it has kept"):
        free(home, store, "checkpoints", going)
    assert resume_points(home.run_folder(going))


def test_features_are_freed_only_while_no_run_goes_on(home: Home, store: RunStore) -> None:
    written(home.features / "table", 8192)
    going = store.create_run(RunConfig(), this_process())
    with pytest.raises(ConfigError, match="may be using the kept features"):
        free(home, store, "features")
    store.end(going, RunStatus.FINISHED)
    assert free(home, store, "features").freed == 8192
    assert shared_bytes(home)["features"] == 0


def test_what_runs_share_is_freed_kind_by_kind(home: Home, store: RunStore) -> None:
    kept = [home.cache / "decoded" / "digests.sha256", home.datasets / "cats" / "0.jpg", home.data / "x"]
    freed = {
        "pictures": home.cache / "decoded" / "a" / "0.uint8",
        "previews": home.cache / "thumbs" / "0.png",
        "bin": home.datasets / ".bin" / "1" / "0",
    }
    for path in (*kept, *freed.values()):
        written(path, 4096)
    going = store.create_run(RunConfig(), this_process())
    for what in ("pictures", "previews"):
        with pytest.raises(ConfigError, match="a run goes on"):
            free(home, store, what)  # type: ignore[arg-type]
    store.end(going, RunStatus.FINISHED)
    for what, path in freed.items():
        beside = 4096 * (what == "pictures")  # digests of files, which stay
        assert can_be_freed(home, store, what) == 4096 + beside  # type: ignore[arg-type]
        assert free(home, store, what).freed == 4096  # type: ignore[arg-type]
        assert not path.exists()
    assert all(path.is_file() for path in kept)
