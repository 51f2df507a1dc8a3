"""`python -m tests.nursery.exported SOCKET`: a nursery for the processes that run exported models. It has imported torch, and nothing of Thaw."""

import sys

from core.nursery import process

vars(process).update(JOBS=("core.export.runner",), WANTED_LATER=("torch", "torchvision"))

if __name__ == "__main__":
    sys.exit(process.main())
