"""Where a process of its own writes what it says, and its end where it has imported much: as the interpreter's own, without taking every module
apart first.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from pathlib import Path
from typing import NoReturn


def leave(status: int | None) -> NoReturn:
    """End this process as `sys.exit(status)` at the end of a program would, and sooner.

    Threads are waited for, what was put off to the end is done, and the streams are written out, in the order in which the interpreter does
    that (`Py_FinalizeEx`). Then the system takes the memory back at once. The interpreter would free each object of torch and its compiler
    by itself, which takes half a second of a core, and in a forked process has the memory that it shared copied first.

    Args:
        status: exit status from 0 to 255; None: 0.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # whoever read them has gone
        os._exit(120)  # as the interpreter has it
    os._exit(status or 0)


def log_to(path: Path) -> None:
    """From here on this process writes standard output and errors at the end of this file. Its folder is made where it is missing.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
