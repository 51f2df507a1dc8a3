"""A store that cannot be used, rows that cannot be read: one line that says which file, why and what to do, and nothing else is hidden."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.machine.home import Home, child_environment
from core.records.events import RunStatus
from core.store import RunStore, StoreError, UnreadableRun
from core.store.migrations import MIGRATIONS
from tests.commands.test_cli import thaw, thaw_as_typed
from tests.support import ROOT

Spoil = Callable[[Path], None]


def closed(home: Home) -> None:
    """All that was written is in the file itself: no log beside it holds a copy."""
    connection = sqlite3.connect(home.database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def truncated(database: Path) -> None:
    os.truncate(database, 20_000)


def text(database: Path) -> None:
    database.write_text("no database, really\n" * 100)


def noise(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (database.stat().st_size - 4096))


def newer(database: Path) -> None:
    _sql(database, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def of_another_program(database: Path) -> None:
    database.unlink()
    _sql(database, "CREATE TABLE bookmarks (address TEXT)")


def of_another_program_with_our_version(database: Path) -> None:
    of_another_program(database)
    _sql(database, f"PRAGMA user_version = {len(MIGRATIONS)}")


def folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


def without_a_table(database: Path) -> None:
    _sql(database, "DROP TABLE runs")


def _sql(database: Path, statement: str) -> None:
    connection = sqlite3.connect(database)
    connection.execute(statement)
    connection.commit()
    connection.close()


SPOILT = [
    (truncated, "damaged", "is damaged"),
    (text, "foreign", "is no database"),
    (noise, "damaged", "is damaged"),
    (newer, "newer", "update Thaw"),
    (of_another_program, "foreign", "another program"),
    (of_another_program_with_our_version, "foreign", "another program"),
    (folder, "folder", "is a folder"),
    (without_a_table, "foreign", "it has no runs"),
]


@pytest.fixture
def used(home: Home) -> Home:
    """A home with a finished run in its list."""
    store = RunStore(home.database)
    store.end(store.create_run(RunConfig()), RunStatus.STOPPED)
    store.close()
    closed(home)
    return home


@pytest.mark.parametrize(("spoil", "kind", "words"), SPOILT, ids=[spoil.__name__ for spoil, _, _ in SPOILT])
def test_store_that_cannot_be_used_is_one_line_with_file_reason_and_remedy_and_status_2(used: Home, spoil: Spoil, kind: str, words: str) -> None:
    spoil(used.database)
    for command in (["runs"], ["runs", "--json"], ["show", "one"], ["stop", "one"], ["audit", "one"], ["findings", "one"], ["profile", "one"]):
        done = thaw(used, *command)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert str(used.database) in done.stderr
        assert words in done.stderr
        assert any(remedy in done.stderr for remedy in ("python -m core recover", "THAW_HOME")), done.stderr
    with pytest.raises(StoreError) as caught:
        RunStore(used.database).runs()
    assert caught.value.kind == kind


def test_database_of_another_program_is_left_as_it_is(used: Home) -> None:
    of_another_program(used.database)
    before = used.database.read_bytes()
    with pytest.raises(StoreError):
        RunStore(used.database)
    assert used.database.read_bytes() == before


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("os.chmod(database, 0o444)", "read-only", "the file is read-only"),
        ("os.chmod(database, 0)", "denied", "permission denied"),
        ("os.chmod(database.parent, 0o555)", "read-only", "folder is read-only"),
        ("os.chmod(database.parent, 0)", "denied", "Permission denied"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_store_without_the_right_to_use_it_says_which_right_is_missing(tmp_path: Path, script: str, kind: str, words: str) -> None:
    # root may do all of it, so a child gives its rights away; in a folder of everybody's, since tmp_path is this user's alone.
    child = f"""
import os, pathlib, tempfile
from core.config import RunConfig
from core.store import RunStore, StoreError
with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    database = pathlib.Path(folder) / "home" / "thaw.db"
    database.parent.mkdir()
    RunStore(database).close()
    if os.getuid() == 0:
        os.chown(database, 65534, 65534)
        os.chown(database.parent, 65534, 65534)
        os.setegid(65534)
        os.seteuid(65534)
    {script}
    try:
        RunStore(database, patience=0.1).create_run(RunConfig())
    except StoreError as error:
        print(error.kind, "|", error)
    if os.getuid() == 0:
        os.seteuid(0)
    os.chmod(database.parent, 0o755)
"""
    done = subprocess.run([sys.executable, "-c", child], env=child_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{kind} | "), done.stdout
    assert words in done.stdout


def test_lock_that_does_not_end_is_named_and_reading_goes_on(used: Home) -> None:
    store = RunStore(used.database, patience=0.1)
    other = sqlite3.connect(used.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert len(store.runs()) == 1
    with pytest.raises(StoreError, match="locked by another process") as caught:
        store.create_run(RunConfig())
    assert (caught.value.kind, caught.value.passing) == ("locked", True)
    other.execute("ROLLBACK")
    other.close()
    assert store.create_run(RunConfig()) in store.ids()


def test_reason_is_taken_from_the_result_code_and_not_from_words(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="SQLITE_FULL") as caught:
        store.end(run_id, RunStatus.FAILED, error="database is locked " * 100_000)
    assert caught.value.kind == "full"
    assert store.run(run_id).status is RunStatus.QUEUED, "nothing of it was written"


def test_every_commit_waits_for_the_disk(store: RunStore) -> None:
    assert store._connection.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL: in WAL mode NORMAL may lose commits when the power goes"
    assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_store_that_is_mended_or_replaced_is_used_at_once(used: Home) -> None:
    store = RunStore(used.database)
    (run,) = store.runs()
    whole = used.path / "whole.db"
    store.close()
    closed(used)
    shutil.copy(used.database, whole)
    text(used.database)
    with pytest.raises(StoreError):
        store.runs()
    shutil.copy(whole, used.database)
    assert store.runs() == [run]

    other = RunStore(used.path / "other.db")
    other_id = other.create_run(RunConfig())
    other.close()
    (used.path / "other.db").replace(used.database)
    assert [run.id for run in store.runs()] == [other_id], "another file of the same name is another store"
    used.database.unlink()
    assert store.runs() == []


DAMAGE = [
    ("config", '{"dataset": "digits", "field_of_a_newer_thaw": 1}', "field_of_a_newer_thaw"),
    ("config", '{"dataset": "dig', "JSON"),
    ("config", "[" * 100_000, "config"),
    ("config", b"\xff\xfe{", "JSON"),
    ("status", "dreaming", "dreaming"),
    ("plan", "{}", "plan"),
    ("plan", "not json", "plan"),
    ("result", '{"epochs": "many"}', "result"),
    ("stages", "[]", "stages"),
    ("created", "yesterday", "yesterday"),
    ("step", "three", "three"),
    ("pid", "me", "pid"),
    ("active_seconds", float("inf"), "inf"),
]


@pytest.mark.parametrize(("column", "value", "words"), DAMAGE, ids=[f"{column}-{number}" for number, (column, _, _) in enumerate(DAMAGE)])
def test_row_that_cannot_be_read_hides_no_other_and_says_why(home: Home, store: RunStore, column: str, value: object, words: str) -> None:
    first, bad, last = (store.create_run(RunConfig()) for _ in range(3))
    for run_id in (first, bad, last):
        store.end(run_id, RunStatus.STOPPED)
    with store._transaction() as connection:
        connection.execute(f"UPDATE runs SET {column} = CAST(? AS TEXT) WHERE id = ?", (value, bad))
    assert {run.id for run in store.runs()} == {first, last}
    (unreadable,) = [run for run in store.entries() if isinstance(run, UnreadableRun)]
    assert unreadable.id == bad
    assert words in unreadable.reason
    assert len(unreadable.reason) < 400
    assert "https://" not in unreadable.reason, "the address of a page about another program's error"
    with pytest.raises(UnreadableRun):
        store.run(bad)
    listed = thaw(home, "runs")
    assert listed.returncode == 0, listed.stderr
    assert all(run_id in listed.stdout for run_id in (first, bad, last))
    as_json = {run["run_id"]: run for run in json.loads(thaw(home, "runs", "--json").stdout)}
    assert as_json.keys() == {first, bad, last}
    assert (as_json[bad]["status"], as_json[bad]["error"]) == ("unreadable", unreadable.reason)
    shown = thaw(home, "show", bad)
    assert (shown.returncode, len(shown.stderr.splitlines())) == (2, 1)
    assert thaw(home, "forget", bad).returncode == 0
    assert {run["run_id"] for run in json.loads(thaw(home, "runs", "--json").stdout)} == {first, last}


def test_limit_counts_readable_runs_where_only_those_are_asked_for(store: RunStore) -> None:
    good = store.create_run(RunConfig())
    for _ in range(3):
        bad = store.create_run(RunConfig())
        store._update(bad, config="{")
    assert [run.id for run in store.runs(limit=1)] == [good]
    assert len(store.entries(limit=2)) == 2


@pytest.mark.parametrize("column", ["audit", "findings", "reuse", "tuning", "profile"])
def test_long_column_that_is_damaged_is_said_and_not_raised_as_it_is(home: Home, store: RunStore, column: str) -> None:
    run_id = store.create_run(RunConfig())
    store._update(run_id, **{column: '{"half'})
    with pytest.raises(UnreadableRun, match=column):
        getattr(store, column)(run_id)


def test_command_that_only_a_newer_thaw_knows_keeps_no_other_from_being_seen(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    with store._transaction() as connection:
        connection.execute("INSERT INTO commands (run, kind, requested_at, requested_at_step) VALUES (?, 'dance', 1, 1)", (run_id,))
        connection.execute("INSERT INTO commands (run, kind, requested_at, requested_at_step) VALUES (?, 'stop', 1, 1)", (run_id,))
    assert [command.kind for command in store.commands(run_id, waiting=True)] == ["stop"]


def page(name: str) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / "_app.py", default_timeout=120).run()
    return app.switch_page(name).run()


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("name", ["home.py", "train.py", "evaluate.py"])
def test_page_shows_an_alert_and_no_traceback_and_recovers(used: Home, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("THAW_HOME", str(used.path))
    whole = used.path / "whole.db"
    shutil.copy(used.database, whole)
    drawn = page(name)
    assert not drawn.exception
    before = {error.value for error in drawn.error}
    closed(used)
    text(used.database)
    drawn.run()
    assert not drawn.exception
    assert any("is no database" in error.value and "recover" in error.value for error in drawn.error), [error.value for error in drawn.error]
    shutil.copy(whole, used.database)
    drawn.run()
    assert not drawn.exception
    assert {error.value for error in drawn.error} == before


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("name", ["home.py", "train.py", "evaluate.py"])
def test_page_lists_the_run_that_cannot_be_read_beside_the_others(used: Home, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("THAW_HOME", str(used.path))
    store = RunStore(used.database)
    bad = store.create_run(RunConfig())
    store._update(bad, config='{"of_a_newer_thaw": 1}', status="finished")
    drawn = page(name)
    assert not drawn.exception
    assert any("newer" in caption.value and bad.replace("-", "") in caption.value.replace("-", "") for caption in drawn.caption)
    if name == "home.py":
        drawn.button(f"history_forget_{bad}").click().run()
        assert not drawn.exception
        assert bad not in store.ids()


def test_server_does_not_start_on_a_store_that_it_cannot_use_and_says_so_in_a_line(used: Home) -> None:
    newer(used.database)
    command = [sys.executable, "-m", "streamlit", "run", "dashboard.py", "--server.address", "127.0.0.1", "--server.headless", "true"]
    done = subprocess.run(
        [*command, "--server.port", "0"],
        cwd=ROOT, env={**os.environ, "THAW_HOME": str(used.path)}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if line.startswith("thaw: The store")], said


def test_home_without_a_store_offers_the_runs_on_disk_and_takes_them_in_again(home: Home) -> None:
    done = thaw_as_typed(
        home, "train", "--dataset", "digits", "--model", "small_cnn", "--image-size", "8", "--epochs", "2", "--batch-size", "256", "--json"
    )
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout.splitlines()[-1])["run_id"]
    before = RunStore(home.database)
    told = (before.run(run_id), before.epochs_after(run_id), before.audit(run_id), before.findings(run_id))
    steps, levels = before.steps_after(run_id, 0, 0), before.steps_after(run_id, 2, 0)
    before.close()
    for file in home.path.glob("thaw.db*"):
        file.unlink()
    old = home.run_folder("20200101-000000-aaaa")
    old.mkdir()
    (old / "weights.pth").write_bytes(b"weights of an earlier Thaw")

    listed = thaw(home, "runs")
    assert "2 runs lie on disk" in listed.stderr
    assert "python -m core recover" in listed.stderr
    assert "No runs yet" not in listed.stdout, "there are some"
    recovered = thaw(home, "recover")
    assert recovered.returncode == 1, "one cannot be"
    assert f"{run_id} is in the list again, with {len(steps.step)} steps" in recovered.stdout
    assert "20200101-000000-aaaa cannot be taken in: it was made by a Thaw that kept no settings on disk" in recovered.stdout
    after = RunStore(home.database)
    assert (after.run(run_id), after.epochs_after(run_id), after.audit(run_id), after.findings(run_id)) == told
    again, summaries = after.steps_after(run_id, 0, 0), after.steps_after(run_id, 2, 0)
    for name in ("step", "loss", "learning_rate", "gradient_norms", "updated", "update_norms", "weight_norms"):
        assert getattr(again, name).tolist() == getattr(steps, name).tolist(), name
        assert getattr(summaries, name).tolist() == getattr(levels, name).tolist(), name
    assert "Every run" not in thaw(home, "recover").stdout
    assert thaw(home, "forget", run_id).returncode == 0
    assert run_id not in thaw(home, "recover").stdout, "forgotten on purpose"


def test_damaged_store_is_set_aside_and_kept_and_a_whole_one_is_not(used: Home) -> None:
    whole = thaw(used, "recover", "--set-aside")
    assert whole.returncode == 2
    assert "is well" in whole.stderr
    closed(used)
    noise(used.database)
    spoilt = used.database.read_bytes()
    done = thaw(used, "recover", "--set-aside")
    assert done.returncode == 0, done.stderr
    (aside,) = [file for file in used.path.glob("thaw.db.set-aside-*") if not file.name.endswith(("-wal", "-shm"))]
    assert aside.read_bytes() == spoilt
    assert str(aside) in done.stderr
    assert RunStore(used.database).runs() == []
    newer(used.database)
    refused = thaw(used, "recover", "--set-aside")
    assert refused.returncode == 2
    assert "update Thaw" in refused.stderr


def test_store_that_is_used_all_the_time_waits_for_short_locks(used: Home) -> None:
    store = RunStore(used.database)
    other = sqlite3.connect(used.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    import threading

    threading.Timer(0.5, lambda: other.execute("ROLLBACK")).start()
    began = time.monotonic()
    store.create_run(RunConfig())
    assert time.monotonic() - began >= 0.4
