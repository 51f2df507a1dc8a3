"""`python -m tests.nursery.small SOCKET`: the nursery, with a job that imports no torch, so that it is there in a moment."""

import sys

from core.nursery import process

vars(process).update(JOBS=("tests.nursery.job",), WANTED_LATER=())

if __name__ == "__main__":
    sys.exit(process.main())
