"""Memory that a process keeps for its next step: asked of the system once, unless a person has said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.machine.home import child_environment

AGAIN = """
import ctypes, resource
from core.machine.memory import keep_for_next_step

keep_for_next_step()
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def pages_asked_for():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = library.malloc(ctypes.c_size_t(size))
    ctypes.memset(place, 1, size)
    library.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

size = 64 << 20
print(pages_asked_for(), pages_asked_for())
"""


def asked_for(**environment: str) -> tuple[int, int]:
    """Pages of memory that a process is given for 64 MB, and for as much again once it has freed the first."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_") and name != "LD_PRELOAD"}
    done = subprocess.run([sys.executable, "-c", AGAIN], env={**own, **environment}, capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    return first, second


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is done")
def test_what_a_step_has_freed_the_next_one_finds_without_asking_the_system() -> None:
    first, second = asked_for()
    assert first > 10_000
    assert second < 100
    assert asked_for(MALLOC_TRIM_THRESHOLD_="131072")[1] > 10_000, "a person's own choice stays"


def test_large_pages_are_asked_for_unless_a_person_has_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert child_environment()["THP_MEM_ALLOC_ENABLE"] == "1"
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    assert child_environment()["THP_MEM_ALLOC_ENABLE"] == "0"
