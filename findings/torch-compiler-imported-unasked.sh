#!/usr/bin/env bash
# torch 2.14.1: calls that compile nothing import the compiler, which takes longer than `import torch` itself: `torch.use_deterministic_algorithms(True)`
# imports all of torch._inductor and torch._dynamo to set one flag there, building any optimizer imports torch._dynamo to mark a method, one
# convolution on the device "meta" imports SymPy to compare two plain integers. None of the three says so in its documentation. torchvision 0.29
# brings torch._dynamo by its own import (torchvision.ops.roi_align), so that this cannot be seen beside it.
# Valid input: each call alone in a fresh interpreter after `import torch`; modules of sys.modules are counted before and after; seconds are printed and not judged.
# Seen: some 890 modules more for the flag and for an optimizer (3 s of a processor), 490 for a convolution of shapes (1 s).
# Usage: bash torch-compiler-imported-unasked.sh   (FINDING_PYTHON=python with torch 2.14.1 saves the installation). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q torch==2.14.1 numpy; python=$folder/venv/bin/python
fi
try() { # the call, and a module that it should bring
  "$python" - "$1" "$2" <<'P'
import sys
import time
import torch

if not torch.__version__.startswith("2.14.1"):
    sys.exit(f"this is about torch 2.14.1, and {torch.__version__} is installed")
call, brought = sys.argv[1:]
before, there, began = len(sys.modules), brought in sys.modules, time.process_time()
exec(call, {"torch": torch})
more, seconds = len(sys.modules) - before, time.process_time() - began
print(f"{call}: {more} modules more, {seconds:.1f} s of a processor; {brought} before: {there}, after: {brought in sys.modules}")
sys.exit(0 if not there and brought in sys.modules and more > 300 else "this has changed: read core/machine/light_torch.py again")
P
}
try 'torch.use_deterministic_algorithms(True)' torch._inductor.config
try 'torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])' torch._dynamo.eval_frame
try 'torch.nn.Conv2d(1, 1, 1, device="meta")(torch.empty(1, 1, 2, 2, device="meta"))' sympy
