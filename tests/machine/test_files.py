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

from core.machine.files import LEFT_OVER, written_whole
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
