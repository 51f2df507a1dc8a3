#!/usr/bin/env bash
# torch 2.14.1: the gradient of clamp for a value that lies exactly on a bound depends on how the bound was written: 0 where it is a number,
# 0.5 where it is a tensor of the same value. The forward pass gives the same for both, and the documentation of torch.clamp says neither.
# Valid input: the values -1, 0 and 1, between the bounds -1 and 1. Seen: [0, 1, 0] with numbers, [0.5, 1, 0.5] with tensors.
# Usage: bash torch-clamp-slope-at-a-bound.sh   (FINDING_PYTHON=python with torch 2.14.1 saves the installation). Exit status 0: as described.
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

def slope(low, high):
    x = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    y = x.clamp(low, high)
    y.sum().backward()
    return y.tolist(), x.grad.tolist()

numbers, tensors = slope(-1.0, 1.0), slope(torch.tensor(-1.0), torch.tensor(1.0))
print("numbers:", numbers, "tensors:", tensors)
sys.exit(0 if numbers[0] == tensors[0] and (numbers[1], tensors[1]) == ([0, 1, 0], [0.5, 1, 0.5]) else "this has changed: read core/explaining/nodes.py again")
P
