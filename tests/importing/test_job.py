"""An import is whole or not at all: killed, cancelled, on a full disk, beside another, from a folder that changes."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.importing import job, keeping
from core.importing.job import Progress, sweep_all, take_in
from core.importing.trees import FolderTree
from core.machine.home import Home
from core.machine.locks import locked
from core.records.events import RunStatus
from core.store import RunStore
from core.versions import bin, compare, names, path_of, read, shelf
from tests.importing.importing_cases import classes, folder, imported, picture, reasons, tarred, zipped


def files_of(home: Home) -> set[str]:
    """All files of the datasets, without locks."""
    return {path.relative_to(home.datasets).as_posix() for path in home.datasets.rglob("*") if path.is_file() and ".locks" not in path.parts}


def is_whole(home: Home, name: str, number: int) -> bool:
    """Whether a version is there with all its pictures, and nothing besides."""
    version = read(home, name, number)
    known = {path_of(home, name, item) for item in version.items}
    return all(path.is_file() for path in known) and set((home.datasets / name / "pictures").rglob("*.*")) == known


@contextmanager
def dying(owner: Any, attribute: str, call: int) -> Iterator[None]:
    """The process is ended by SIGKILL at this call of a function, before it does anything."""
    real, calls = getattr(owner, attribute), iter(range(1, 1_000_000))

    def die(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    with mock.patch.object(owner, attribute, die):
        yield


MOMENTS: tuple[tuple[Any, str, int], ...] = (
    (job, "recognised", 1), (job, "_look", 1), (job, "take", 7), (job, "_put", 3), (job, "_settle_disk", 1), (shelf, "write_into", 1),
    (shelf, "_put", 1), (shelf, "_put", 2), (shelf, "_put", 3), (Path, "rename", 1),
)  # fmt: skip
MOMENTS_OF_ADDING = (*MOMENTS[:-1], *((Path, "replace", call) for call in (1, 4, 9, 10, 11)))


def killed(moment: tuple[Any, str, int], act: Callable[[], object]) -> bool:
    """Do something in a process of its own that is killed at a moment; True if it was."""
    pid = os.fork()
    if pid == 0:
        try:
            with dying(*moment):
                act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[1]} {moment[2]}")
def test_an_import_that_is_killed_leaves_nothing_and_the_next_one_sweeps(tmp_path: Path, home: Home, moment: tuple[Any, str, int]) -> None:
    source = zipped(tmp_path / "data", classes("cat", "dog", each=4))
    assert killed(moment, lambda: imported(home, source))
    assert names(home) == []
    if moment == MOMENTS[0]:  # another import sweeps it, too
        imported(home, source, name="other")
        assert list((home.datasets / ".incoming").iterdir()) == []
    version, _ = imported(home, source)
    assert is_whole(home, "mine", version.number)
    assert list((home.datasets / ".incoming").iterdir()) == []


@pytest.mark.parametrize("moment", MOMENTS_OF_ADDING, ids=lambda moment: f"{moment[1]} {moment[2]}")
def test_adding_that_is_killed_leaves_the_version_before_and_the_next_one_sweeps(tmp_path: Path, home: Home, moment: tuple[Any, str, int]) -> None:
    first, _ = imported(home, folder(tmp_path / "first", classes("cat", "dog")))
    source = folder(tmp_path / "more", classes("cat", "dog", each=4, first=10))
    assert killed(moment, lambda: imported(home, source, add=True))
    assert [one.number for one in shelf.summaries(home, "mine")] == [1]
    shelf._read.cache_clear()
    assert read(home, "mine") == first
    assert sweep_all(home) in (["mine"], [])
    assert is_whole(home, "mine", 1)
    version, _ = imported(home, source, add=True)
    assert (version.number, len(version.items), is_whole(home, "mine", 2)) == (2, 12, True)


def test_adding_makes_a_version_with_what_is_new_alone(tmp_path: Path, home: Home) -> None:
    first, _ = imported(home, folder(tmp_path / "data", classes("cat", "dog")))
    folder(tmp_path / "data", {"cat/new.png": picture(99), "emu/1.png": picture(98), "dog/again.png": classes("dog")["dog/0.png"]})
    second, report = imported(home, tmp_path / "data", add=True, name="MINE")
    found = compare(first, second)
    assert [item.name for item in found.came] == ["cat/new.png", "dog/again.png", "emu/1.png"]
    assert (second.dataset, second.classes, found.went, found.relabelled) == ("mine", ("cat", "dog", "emu"), (), ())
    assert "Pictures that were there already, with the same name: 4." in report.notes
    assert "Pictures that are there more than once, byte for byte, under other names: 1." in report.notes
    assert is_whole(home, "mine", 2)
    with pytest.raises(ConfigError, match="are in mine, version 2 .* already; nothing was added"):
        imported(home, tmp_path / "data", add=True)


def test_a_name_that_is_taken_or_not_there_is_refused_with_a_remedy(tmp_path: Path, home: Home) -> None:
    source = folder(tmp_path / "data", classes("cat", "dog"))
    with pytest.raises(ConfigError, match="no dataset is called 'mine', so nothing can be added to it; leave --add out"):
        imported(home, source, add=True)
    imported(home, source)
    for name in ("mine", "MINE", " Mine "):
        with pytest.raises(ConfigError, match=r"a dataset is called 'mine' already; add to it as a new version \(--add\)"):
            imported(home, source, name=name)
    with pytest.raises(ConfigError) as caught:
        imported(home, source, name="../mine")
    assert caught.value.field == "name"


def test_of_two_imports_under_one_name_one_wins_and_the_other_is_told(tmp_path: Path, home: Home) -> None:
    source = tarred(tmp_path / "data", classes("cat", "dog"))
    with locked(shelf.lock_of(home, "MINE", "import")), pytest.raises(ConfigError, match="another import goes on under the name 'mine'"):
        imported(home, source)
    said: list[str] = []
    together = threading.Barrier(3)

    def one() -> None:
        together.wait()
        try:
            said.append(f"version {imported(home, source)[0].number}")
        except ConfigError as error:
            said.append(error.message)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said)[-1] == "version 1"
    assert all("another import goes on" in text or "is called 'mine' already" in text for text in sorted(said)[:-1])
    assert is_whole(home, "mine", 1)


@pytest.mark.parametrize(("owner", "attribute", "call"), [(job, "_put", 5), (shelf, "_put", 1), (shelf, "_put", 3), (Path, "rename", 1)])
def test_a_disk_that_fills_is_said_and_nothing_is_kept(tmp_path: Path, home: Home, owner: Any, attribute: str, call: int) -> None:
    source = zipped(tmp_path / "data", classes("cat", "dog", each=4))
    real, calls = getattr(owner, attribute), iter(range(1, 1_000))

    def full(*arguments: Any, **options: Any) -> Any:
        if next(calls) >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home.datasets))
        return real(*arguments, **options)

    with (
        mock.patch.object(owner, attribute, full),
        pytest.raises(ConfigError, match=r"\(the disk is full\); free some space .*: nothing was kept") as caught,
    ):
        imported(home, source)
    assert caught.value.field == "home"
    assert files_of(home) == set()
    imported(home, source)


def test_too_little_room_is_said_before_anything_is_read(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SPARE", 10**18)
    with pytest.raises(ConfigError, match=r"the pictures take 0 MB, [\d,]+ MB are left free always, and [\d,]+ MB are free at .*; free some space"):
        imported(home, folder(tmp_path / "data", classes("cat", "dog")))
    assert files_of(home) == set()


def test_an_import_that_is_cancelled_keeps_nothing(tmp_path: Path, home: Home) -> None:
    source = zipped(tmp_path / "data", classes("cat", "dog", each=20))
    asked = iter(range(10_000))
    with pytest.raises(Cancelled):
        take_in(home, source, "mine", cancelled=lambda: next(asked) > 1)
    assert files_of(home) == set()
    assert imported(home, source)[0].number == 1


def test_how_far_it_is_is_told(tmp_path: Path, home: Home) -> None:
    told: list[Progress] = []
    take_in(home, zipped(tmp_path / "data", classes("cat", "dog", each=20)), "mine", tell=told.append)
    assert [progress.text for progress in told if progress.text != "taking in pictures"] == ["looking through the source", "writing the version"]
    assert all(progress.of == 40 for progress in told[1:])
    assert [progress.done for progress in told[1:]] == sorted(progress.done for progress in told[1:])


def test_a_folder_that_changes_while_it_is_read_is_said(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(tmp_path / "data", classes("cat", "dog", each=4))
    real = FolderTree.read
    changed = iter(["gone", "came"])

    def meddling(tree: FolderTree, path: Path) -> bytes:
        if path.name == "2.png" and path.parent.name == "cat":
            path.unlink()
            (path.parent / "later.png").write_bytes(picture(77))
            next(changed)
        return real(tree, path)

    monkeypatch.setattr(FolderTree, "read", meddling)
    version, report = imported(home, source)
    assert reasons(report) == {"cat/2.png": "it went away while the folder was read"}
    assert len(version.items) == 7
    assert any("The folder was changed while it was read" in note for note in report.notes)
    assert is_whole(home, "mine", 1)


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(picture(1))
    real = os.fstat

    def later(handle: int) -> os.stat_result:
        found = real(handle)
        with path.open("ab") as file:
            file.write(b"more")
        return found

    with mock.patch.object(os, "fstat", later), pytest.raises(ValueError, match="it was changed while it was read"):
        FolderTree(tmp_path).read(path)


def test_where_no_picture_can_be_used_the_first_reason_is_said(tmp_path: Path, home: Home) -> None:
    source = folder(tmp_path / "data", {"cat/a.png": b"text", "dog/b.png": b""})
    with pytest.raises(
        ConfigError, match=r"no picture of .* can be used \(2 were skipped; the first, cat/a.png: not an image\); nothing was imported"
    ):
        imported(home, source)
    source = folder(tmp_path / "half", {**classes("cat"), "dog/b.png": b""})
    with pytest.raises(
        ConfigError, match=r"pictures of 'cat' alone could be read, and it takes two classes \(1 were skipped; the first, dog/b.png: empty"
    ):
        imported(home, source)
    assert names(home) == []


def test_a_dataset_that_runs_use_is_not_deleted(tmp_path: Path, home: Home, store: RunStore) -> None:
    imported(home, folder(tmp_path / "data", classes("cat", "dog", each=5)))
    waiting = store.create_run(RunConfig(dataset="own:mine@1", model="small_cnn"))
    store.create_run(RunConfig(dataset="digits", model="small_cnn"))
    with pytest.raises(ConfigError, match=f"'mine' is used by {waiting}; wait until they are done or stop them"):
        keeping.delete(home, store, "MINE")
    store.end(waiting, RunStatus.STOPPED)
    assert [run.id for run in keeping.users(store, "mine").ended] == [waiting]
    assert keeping.users(store, "mine").sentence.startswith("1 run that has ended used it: it can be neither evaluated nor repeated without it.")
    keeping.delete(home, store, "mine")
    assert [one.name for one in bin.binned(home)] == ["mine"]
    assert bin.undelete(home, "mine") == "mine"
    assert is_whole(home, "mine", 1)
