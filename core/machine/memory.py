"""Memory that a process does not need just now: given back to the machine, or kept for the next step. Linux; elsewhere nothing is done."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* +/")
"""The first line of a mapping in /proc/PID/smaps that is a file, read only (proc_pid_smaps(5))."""

LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
"""What has torch ask for pages of 2 MB for its large tensors. It looks at its first tensor, which may be made while it is imported."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What mallopt(3) calls them: `M_TRIM_THRESHOLD`, `M_MMAP_THRESHOLD`."""


def keep_for_next_step() -> None:
    """Have this process keep what it frees, and put large tensors into large pages: for one that trains on a processor.

    Each step of training frees what the next one asks for again: activations, gradients (9.4 MB for one layer of resnet18), the kernels' own
    room. The C library gives whatever is larger than a few MB back to the system at once, and the system hands it out again page by page, each
    filled with zeros: a quarter to a half of a step of resnet18's last stage. Kept, and in pages of 2 MB (torch asks for them from 2 MB on,
    where `THP_MEM_ALLOC_ENABLE` says so), the same operations give the same bits. The process takes some 5 % more at its worst moment, and keeps
    that until `give_back` or its end.

    Call it before torch makes its first tensor; what `core.machine.children` starts has the pages asked for in its environment. What
    a person has set (`MALLOC_...`, `THP_MEM_ALLOC_ENABLE`) stays.
    """
    for name, value in LARGE_PAGES.items():
        os.environ.setdefault(name, value)
    if any(name.startswith("MALLOC_") for name in os.environ) or "LD_PRELOAD" in os.environ:  # another allocator, or a person's own choice
        return
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def give_back() -> None:
    """Have what was freed leave the process: Python's cycles, and what the C library keeps for the next allocation (malloc_trim(3), glibc)."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def let_go_of_files() -> int:
    """Take the pages of libraries out of this process that were only read; whoever needs one again finds it in the system's cache.

    Importing torch reads 250 MB of its libraries once, tables for the most part that nothing looks at again. Mappings with a page of this
    process's own (relocated tables, variables) are left alone: madvise(2), MADV_DONTNEED, would lose what was written there.
    For a process with one thread: another one might load a library just then, and write to what was only read a moment ago.

    Returns:
        Bytes of address space that were let go of; 0 where the system does not tell of mappings.
    """
    gone = 0
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for begin, end in list(_only_read()):
            if library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED) == 0:
                gone += end - begin
    return gone


def _only_read() -> Iterator[tuple[int, int]]:
    """Begin and end of each mapping of a file that is read only and has no page but the file's, here or in the swap."""
    mapping: tuple[int, int] | None = None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if "-" in name:
            if mapping is not None:
                yield mapping
            found = _MAPPING.match(line)
            mapping = (int(found[1], 16), int(found[2], 16)) if found else None
        elif name in ("Anonymous", "Swap", "Locked") and value.split()[0] != "0":
            mapping = None
    # The last mapping is the kernel's own.
