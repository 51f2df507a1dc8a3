#!/usr/bin/env bash
# torch 2.14.1 with MKL 2024.2 on an AVX2 processor: go.t() @ x, the weight's gradient of a linear layer with 5 to 7 or 9 to 11 outputs, has other bits
# on one thread than on two (6 % of the values or more). Two threads get 8 rows and 2 of 10, and a piece of 1 to 3 rows goes through another kernel.
# Cut at the same row, one thread gives the bits of two. No fault: floating-point sums may be in any order. Seen: 10 outputs differ, 12 do not, cut ones do not.
# Usage: bash mkl-rows-on-two-threads.sh   (FINDING_PYTHON=python with torch 2.14.1 saves the installation). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q torch==2.14.1 numpy; python=$folder/venv/bin/python
fi
"$python" - <<'P'
import sys
import torch

if not torch.__version__.startswith("2.14.1"):
    sys.exit(f"this is about torch 2.14.1, and {torch.__version__} is installed")

def same(outputs, cut):
    torch.manual_seed(0)
    x, go = torch.relu(torch.randn(32, 512)), torch.randn(32, outputs)
    torch.set_num_threads(2)
    two = go.t() @ x
    torch.set_num_threads(1)
    return torch.equal(two, torch.cat([piece.t() @ x for piece in go.split(cut or outputs, dim=1)]))

seen = {"10 outputs": same(10, 0), "10 outputs, cut at 8": same(10, 8), "5, cut at 4": same(5, 4), "12 outputs": same(12, 0)}
print(torch.backends.cpu.get_cpu_capability(), seen)
expected = {"10 outputs": False, "10 outputs, cut at 8": True, "5, cut at 4": True, "12 outputs": True}
sys.exit(0 if seen == expected else "this has changed, or another processor does otherwise: look at how rows are cut again")
P
