"""What runs are called: kept in store and folder, found by it, and lost to nobody who writes at the same time."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import Layer, RunPlan, RunStatus
from core.records.labels import LabelChange, Labels
from core.store import RunStore, UnreadableRun, Working, recovery
from core.store.labelling import NAME, keep_beside, read_beside, relabel
from core.store.migrations import MIGRATIONS
from core.store.patience import PatientStore

PLAN = RunPlan((Layer("fc.weight", (10, 4), 40, False),), 8, 16, tuple("0123456789"), 64, 16, 16, "cpu")
NAMED = LabelChange("first try", "went well", ("base", "lr"), starred=True)
LABELS = Labels("first try", "went well", ("base", "lr"), starred=True)


def test_labels_are_part_of_a_run_wherever_it_is_listed(store: RunStore) -> None:
    run_id, other = store.create_run(RunConfig()), store.create_run(RunConfig())
    assert store.label(run_id, NAMED) == (Labels(), LABELS)
    assert store.run(run_id).labels == store.labels(run_id) == LABELS
    assert [run.labels for run in store.runs()] == [Labels(), LABELS]
    assert [run.id for run in store.waiting_runs()] == [run_id, other]
    assert store.tags() == ["base", "lr"]
    with pytest.raises(KeyError, match="nobody"):
        store.label("nobody", NAMED)
    with pytest.raises(KeyError, match="nobody"):
        store.labels("nobody")


def test_what_a_worker_writes_touches_no_label_and_its_folder_has_those_of_a_run_that_waited(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    folder = home.run_folder(run_id)
    relabel(store, folder, run_id, NAMED)
    assert not folder.exists(), "a run that waits has no folder, and gets none for its name"
    worker = PatientStore(store, run_id, folder)
    assert read_beside(folder) == LABELS
    worker.begin(run_id, PLAN)
    relabel(store, folder, run_id, LabelChange(name="renamed while it trains"))
    worker.end(run_id, RunStatus.FINISHED)
    assert store.run(run_id).labels.name == read_beside(folder).name == "renamed while it trains"
    assert store.run(run_id).status is RunStatus.FINISHED
    store._update(run_id, status=RunStatus.RUNNING)
    recovery.bury(home, store, Working(run_id, 0.0, None, None), "")
    assert store.run(run_id).status is RunStatus.FINISHED, "its folder has the last word on what became of it"
    assert store.run(run_id).labels.name == "renamed while it trains"


def test_a_run_that_is_taken_in_again_is_called_as_before(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    worker = PatientStore(store, run_id, home.run_folder(run_id))
    worker.end(run_id, RunStatus.FINISHED)
    relabel(store, home.run_folder(run_id), run_id, NAMED)
    store.delete_run(run_id)
    (found,) = recovery.found(home, store)
    recovery.take_in(store, found)
    assert store.run(run_id).labels == LABELS


def test_a_store_that_is_lost_while_a_run_trains_gets_its_name_back_with_it(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    worker = PatientStore(store, run_id, home.run_folder(run_id))
    worker.begin(run_id, PLAN)
    relabel(store, home.run_folder(run_id), run_id, NAMED)
    for ending in ("", "-wal", "-shm"):
        Path(f"{home.database}{ending}").unlink(missing_ok=True)
    worker.set_status(run_id, RunStatus.RUNNING, "going on")
    assert RunStore(home.database).run(run_id).labels == LABELS


def test_two_who_change_other_things_at_once_lose_nothing_and_the_folder_says_what_the_store_says(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    folder = home.run_folder(run_id)
    folder.mkdir(parents=True)

    def change(changes: list[LabelChange]) -> None:
        other = RunStore(home.database)
        for each in changes:
            relabel(other, folder, run_id, each)
        other.close()

    both = [[LabelChange(name=f"n{number}") for number in range(20)], [LabelChange(note=f"m{number}", add_tags=("x",)) for number in range(20)]]
    threads = [threading.Thread(target=change, args=(changes,)) for changes in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.labels(run_id) == Labels("n19", "m19", ("x",))
    assert read_beside(folder) == store.labels(run_id)


def test_a_name_that_was_written_over_a_newer_one_is_written_once_more(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.create_run(RunConfig())
    folder = home.run_folder(run_id)
    folder.mkdir(parents=True)
    real, late = RunStore.labels, [Labels("older")]
    store.label(run_id, LabelChange("newer"))
    monkeypatch.setattr(RunStore, "labels", lambda store, run_id: late.pop() if late else real(store, run_id))
    keep_beside(store, folder, run_id)
    assert read_beside(folder).name == "newer"


def test_where_the_folder_is_gone_or_cannot_be_written_the_store_has_the_name(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    folder = home.run_folder(run_id)
    (folder / NAME).mkdir(parents=True)  # nothing can be put there
    relabel(store, folder, run_id, LabelChange("one"))
    shutil.rmtree(folder)
    relabel(store, folder, run_id, LabelChange(note="two"))
    assert store.labels(run_id) == Labels("one", "two")
    assert not folder.exists()


def test_an_unreadable_run_can_be_named_and_one_in_the_bin_says_why_not(home: Home, store: RunStore) -> None:
    unreadable, binned = store.create_run(RunConfig()), store.create_run(RunConfig())
    store._update(unreadable, config="{")
    store.label(unreadable, NAMED)
    assert store.labels(unreadable) == LABELS
    with pytest.raises(UnreadableRun):
        store.run(unreadable)
    assert store.matching("first") == {unreadable}
    store.put_into_bin(binned)
    with pytest.raises(ConfigError, match=f"lies in the bin.*restore {binned}"):
        store.label(binned, NAMED)


def test_damaged_labels_cost_no_run_and_no_list(home: Home, store: RunStore) -> None:
    ids = [store.create_run(RunConfig()) for _ in range(4)]
    for run_id in ids:
        store.label(run_id, NAMED)
    raw = sqlite3.connect(home.database)
    for run_id, column, value in zip(ids, ("name", "tags", "tags", "starred"), (b"\xff\x00", "[[[", b"\x01", "yes"), strict=True):
        raw.execute(f"UPDATE labels SET {column} = ? WHERE run = ?", (value, run_id))
    raw.commit()
    raw.close()
    found = [store.run(run_id).labels for run_id in ids]
    assert [labels.note for labels in found] == ["went well"] * 4
    assert [labels.tags for labels in found] == [("base", "lr"), (), (), ("base", "lr")]
    assert len(store.runs()) == 4
    assert store.matching("went") == set(ids)


def test_runs_are_found_by_every_word_of_what_they_have(store: RunStore) -> None:
    one = store.create_run(RunConfig(dataset="digits", model="resnet18"))
    two = store.create_run(RunConfig(dataset="folder:/data/Cats", model="small_cnn"))
    store.label(one, NAMED)
    cases = {"": {one, two}, "FIRST": {one}, "went base": {one}, "cats": {two}, "small": {two}, "first cats": set(), "%": set()}
    for text, wanted in {**cases, f"{one[-4:]} digits": {one}}.items():
        assert store.matching(text) == wanted, text
    assert store.matching(starred=True) == {one}
    assert store.matching("cats", starred=True) == set()
    assert [run.id for run in store.entries(among=store.matching("cats"))] == [two]


def test_an_older_store_opens_unchanged_and_its_runs_can_be_named(tmp_path: Path) -> None:
    database = tmp_path / "thaw.sqlite"
    old = sqlite3.connect(database)
    for script in MIGRATIONS[:6]:
        old.executescript(script)
    old.execute("PRAGMA user_version = 6")
    old.execute("INSERT INTO runs (id, created, config, status) VALUES ('a', 1.0, ?, 'finished')", (RunConfig().to_json(),))
    old.commit()
    old.close()
    store = RunStore(database)
    assert store.run("a").labels == Labels()
    store.label("a", NAMED)
    assert store.run("a").labels == LABELS
    store.delete_run("a")
    assert store._read("SELECT * FROM labels") == [], "what a run was called goes with it"


def test_a_folder_without_labels_or_with_damaged_ones_names_nobody(tmp_path: Path) -> None:
    assert read_beside(tmp_path) == Labels()
    for text in ("{", "[" * 100_000, json.dumps({"name": np.pi})):
        (tmp_path / NAME).write_text(text)
        assert read_beside(tmp_path) == Labels()
