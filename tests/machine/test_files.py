"""`core.machine.files`: what is written is there whole, or what was there before."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core.machine.files import LEFT_OVER, folder_written_whole, written_whole
from core.machine.home import Home
from core.worker.leftovers import remove_left_over


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "weights.pth"
    with written_whole(path) as file:
        file.write(b"old")
    with path.open("rb") as reader:
        with written_whole(path) as file:
            file.write(b"ne")
            file.flush()
            assert path.read_bytes() == b"old"
            file.write(b"w")
        assert path.read_bytes() == b"new"
        assert reader.read() == b"old", "another file has its name now: who reads the old one is not disturbed"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), written_whole(path) as file:  # noqa: PT012
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_writers_at_once_the_last_to_end_wins_and_they_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"

    def write_theirs() -> None:
        with written_whole(path) as file:
            file.write(b"theirs " * 1000)

    with written_whole(path) as file:
        file.write(b"mine " * 1000)
        other = threading.Thread(target=write_theirs)
        other.start()
        other.join()
        assert path.read_bytes() == b"theirs " * 1000
        file.write(b"mine " * 1000)
    assert path.read_bytes() == b"mine " * 2000
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    killed, writing, another = (tmp_path / name for name in (".weights.pth.partial-1-1", ".weights.pth.partial-2-1", ".other.pth.partial-1-1"))
    for file in (killed, writing, another):
        file.write_bytes(b"half")
    for file in (killed, another):
        os.utime(file, (time.time() - LEFT_OVER - 60,) * 2)
    with written_whole(path) as whole:
        whole.write(b"new")
    assert sorted(tmp_path.iterdir()) == sorted([path, writing, another])


@pytest.mark.skipif(os.name != "posix", reason="only there a folder can be synchronised")
def test_the_file_is_on_the_disk_before_it_gets_its_name_and_the_name_before_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    seen: list[tuple[bool, bool, int]] = []
    really = os.fsync

    def synchronise(number: int) -> None:
        status = os.fstat(number)
        seen.append((stat.S_ISDIR(status.st_mode), path.exists(), status.st_size if stat.S_ISREG(status.st_mode) else 0))
        really(number)

    monkeypatch.setattr(os, "fsync", synchronise)
    with written_whole(path) as file:
        file.write(b"new")
    assert seen == [(False, False, 3), (True, True, 0)]


def partial(folder: Path, writer: int | str, age: float = 0.0) -> Path:
    """An unfinished file of a process, last written `age` seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f".weights.pth.partial-{writer}-1"
    file.write_bytes(b"half")
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_partial_files_of_dead_processes_go_from_runs_caches_and_downloads_and_no_other(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run = home.run_folder("one")
    dead = [
        partial(run, ended.pid),
        partial(run / "checkpoints", ended.pid),
        partial(home.cache / "images", ended.pid),
        partial(home.features, ended.pid),
        partial(home.networks, ended.pid),
        partial(home.cache, os.getpid(), age=365 * 86_400),  # by another process of the same number: this one was not there then
        partial(home.cache, "nobody", age=LEFT_OVER + 60),
    ]
    features = home.features / f"abc.partial-{ended.pid}-7"
    features.write_bytes(b"half")
    torch_files = tmp_path / "torch" / "hub" / "checkpoints"
    torch_files.mkdir(parents=True)
    weights = torch_files / f"resnet18-f37072fd.pth.{'a' * 32}.partial"
    weights.write_bytes(b"half")
    os.utime(weights, (time.time() - LEFT_OVER - 60,) * 2)
    staging = home.data / ".downloading" / "MNIST"
    staging.mkdir(parents=True)
    (staging / "half.gz").write_bytes(b"half")
    (staging.parent / "MNIST.lock").touch()
    being_written = [
        partial(run, os.getpid()),
        partial(home.cache, "somebody"),
        torch_files / f"resnet18-f37072fd.pth.{'b' * 32}.partial",
        torch_files / "of-another-program.partial",
        run / "weights.pth",
    ]
    for file in being_written[2:]:
        file.write_bytes(b"whole or new")
    assert set(remove_left_over(home)) == {*dead, features, weights, staging}
    assert [file for file in (*dead, features, weights, staging) if file.exists()] == []
    assert all(file.exists() for file in being_written)
    assert not staging.parent.exists()


def test_logs_of_servers_that_are_gone_go_and_those_of_living_ones_stay(home: Home) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, alive, lab = (home.logs / name for name in (f"standby-{gone.pid}.log", f"standby-{os.getpid()}.log", "lab.log"))
    for log in (dead, alive, lab):
        log.write_text("ready")
    assert remove_left_over(home) == [dead]
    assert [log.exists() for log in (dead, alive, lab)] == [False, True, True]


def test_download_that_goes_on_is_not_disturbed(home: Home) -> None:
    staging = home.data / ".downloading" / "MNIST"
    staging.mkdir(parents=True)
    with (staging.parent / "MNIST.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_left_over(home) == []
        assert staging.exists()
    assert remove_left_over(home) == [staging]


def test_several_files_come_to_their_places_together_the_named_one_last(tmp_path: Path) -> None:
    with folder_written_whole(tmp_path / "new" / "run.py") as folder:
        assert folder.parent == tmp_path / "new"
        (folder / "run.py").write_text("new")
        (folder / "run.csv").write_text("list")
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == {"run.py": "new", "run.csv": "list"}


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_files_that_are_not_all_written_leave_what_was_there(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "run.py").write_text("old")
    with pytest.raises(type(error)), folder_written_whole(tmp_path / "run.py", over=True) as folder:  # noqa: PT012
        (folder / "run.py").write_text("half")
        raise error
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"run.py": "old"}


def test_what_came_to_be_there_meanwhile_is_not_written_over_unless_that_is_wanted(tmp_path: Path) -> None:
    def write(over: bool) -> None:
        with folder_written_whole(tmp_path / "run.py", over) as folder:
            (folder / "run.py").write_text("new")
            (folder / "run.csv").write_text("new")
            (tmp_path / "run.csv").write_text("somebody's")

    with pytest.raises(FileExistsError):
        write(over=False)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"run.csv": "somebody's"}
    write(over=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"run.csv": "new", "run.py": "new"}


def test_a_folder_is_replaced_whole_and_comes_back_where_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "old").write_text("old")

    def write() -> None:
        with folder_written_whole(tmp_path / "kept", over=True) as folder:
            (folder / "kept").mkdir()
            (folder / "kept" / "new").write_text("new")

    real = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError("disk full")
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", failing)
        with pytest.raises(OSError, match="disk full"):
            write()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["kept", "kept/old"]
    write()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["kept", "kept/new"]


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_takes_the_place_of_a_file_and_a_file_that_of_a_folder(tmp_path: Path, link: bool) -> None:
    place = tmp_path / "plain"
    if link:
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.write_text("old")
    with folder_written_whole(place, over=True) as folder:
        (folder / "plain").mkdir()
        (folder / "plain" / "steps.csv").write_text("new")
    assert (place / "steps.csv").read_text() == "new"
    with folder_written_whole(place, over=True) as folder:
        (folder / "plain").write_text("newer")
    assert place.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [place]


def test_what_can_be_brought_again_is_whole_and_not_forced_onto_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[int] = []
    monkeypatch.setattr(os, "fsync", forced.append)
    with written_whole(tmp_path / "upload.jpg", settled=False) as file:
        file.write(b"half")
        assert not (tmp_path / "upload.jpg").exists()
    assert (tmp_path / "upload.jpg").read_bytes() == b"half"
    assert forced == []
