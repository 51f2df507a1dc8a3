#!/usr/bin/env bash
# torch 2.14.1: torch.save into a file that may not grow any more raises RuntimeError about an unexpected position, not OSError. The system's own
# error (here EFBIG, on a full disk ENOSPC) is only its __context__, so code that catches OSError to say "the disk is full" never sees it.
# Valid input: a tensor of 400 kB, and a limit of 100 kB for the size of files, which the system sets for this process alone (setrlimit).
# Seen: RuntimeError "... unexpected pos ...", its __context__ OSError with errno 27.
# Usage: bash torch-save-full-disk.sh   (FINDING_PYTHON=python with torch 2.14.1 saves the installation). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q torch==2.14.1 numpy; python=$folder/venv/bin/python
fi
"$python" - "$folder" <<'P'
import errno, resource, signal, sys
import torch

if not torch.__version__.startswith("2.14.1"):
    sys.exit(f"this is about torch 2.14.1, and {torch.__version__} is installed")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the system ends the process
tensor = torch.zeros(100_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    with open(f"{sys.argv[1]}/weights.pth", "wb") as file:
        torch.save({"a": tensor}, file)
except Exception as error:
    behind = error.__context__
    print(type(error).__name__, str(error).split("\n")[0][:100], "| context:", repr(behind))
    as_described = isinstance(error, RuntimeError) and not isinstance(error, OSError) and isinstance(behind, OSError) and behind.errno == errno.EFBIG
    sys.exit(0 if as_described else "this has changed: look at what is said of a full disk again")
sys.exit("nothing was raised")
P
