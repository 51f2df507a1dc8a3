"""`python -m tests.nursery.small SOCKET`: the nursery, with a job that imports no torch, so that it is there in a moment."""

import errno
import os
import sys
from pathlib import Path

from core.nursery import process

vars(process).update(JOBS=("tests.nursery.job",), WANTED_LATER=())

# A file of this name stands for a machine that is short of memory: fork(2) gives ENOMEM.
SHORT = os.environ.get("THAW_TEST_SHORT", "")
_fork = os.fork


def fork() -> int:
    """`os.fork`, where there is memory enough."""
    if SHORT and Path(SHORT).exists():
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return _fork()


os.fork = fork

if __name__ == "__main__":
    sys.exit(process.main())
