"""What processes give back, and how they end. Each case has a process of its own: the memory of pytest's tells nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.machine import children
from tests.support import ROOT, nursery, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of mappings")

LETS_GO = """
import ctypes, mmap, sys
import numpy as np
from pathlib import Path
from core.machine.memory import _only_read, let_go_of_files

def file_pages():
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(rollup.split("Pss_File:")[1].split()[0])

# A file that is mapped read only with a page of its own, as relocated tables are: written, then protected.
path = Path(sys.argv[1])
path.write_bytes(b"as on disk" * 1000)
with path.open("rb") as file:
    written = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
written[:4] = b"mine"
begin = ctypes.addressof(ctypes.c_char.from_buffer(written))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(begin), ctypes.c_size_t(4096), mmap.PROT_READ) == 0
assert not [area for area in _only_read() if area[0] <= begin < area[1]], "it has a page of its own"

np.linalg.inv(np.eye(300))
before = file_pages()
assert let_go_of_files() > 10e6
assert file_pages() < before / 2, (before, file_pages())
assert bytes(written[:10]) == b"mine disk"[:4] + b"n disk"[:6]
assert np.allclose(np.linalg.inv(2 * np.eye(300)), np.eye(300) / 2)
print("well")
"""

ENDS = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from core.machine.leaving import leave

class Heavy:
    def __del__(self):
        print("taken apart")

heavy = Heavy()
atexit.register(lambda: print("put off"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread done"))).start()
ThreadPoolExecutor(1).submit(print, "executor done")
print("no newline at the end", end="")
leave({status})
"""


def program(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", text, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_pages_of_libraries_that_were_only_read_are_let_go_and_what_was_written_stays(tmp_path: Path) -> None:
    done = program(LETS_GO, str(tmp_path / "a file"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "well\n"


@pytest.mark.parametrize(("status", "seen"), [("0", 0), ("None", 0), ("7", 7)])
def test_a_process_that_leaves_waits_for_its_threads_does_what_was_put_off_and_writes_all_out(status: str, seen: int) -> None:
    done = program(ENDS.format(status=status))
    assert done.returncode == seen, done.stderr
    assert done.stderr == ""
    for said in ("no newline at the end", "thread done", "executor done", "put off"):
        assert said in done.stdout
    assert "taken apart" not in done.stdout


def test_a_process_whose_reader_has_gone_ends_as_the_interpreter_ends_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from core.machine.leaving import leave; sys.stdin.read(); print('a line'); leave(0)"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    process.communicate("", timeout=60)
    assert process.returncode == 120, "as Python has it (Py_FinalizeEx)"


@pytest.mark.skipif(not children.can_fork(), reason="only Linux has nurseries")
def test_the_nursery_holds_next_to_nothing_of_its_libraries_files() -> None:
    wait_until(lambda: nursery().ready, what="the nursery")
    pid = nursery().pid
    assert pid is not None
    rollup = {line.split(":")[0]: line.split()[1] for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]}
    read_only = int(rollup["Rss"]) - int(rollup["Anonymous"])
    assert read_only < 64_000, f"{read_only:,} kB of files: before they were let go, torch's libraries alone were 200,000"
