#!/usr/bin/env bash
# torch 2.14.1: an optimizer that is given another one's state (`b.load_state_dict(a.state_dict())`) takes the very tensors: both then move the
# same moments. A copy of an optimizer that is made so, to try a step aside, changes the first one's next update. The documentation of
# Optimizer.load_state_dict does not say it; a state_dict that went through torch.save, or copy.deepcopy, is not concerned.
# Valid input: one AdamW step on a tensor of three numbers, its state handed to a second AdamW over a tensor of its own, one step of the second.
# Seen: exp_avg of the first has changed from 0.1 to 0.19, and is the second's own tensor. The parameters stay apart.
# Usage: bash torch-optimizer-shares-loaded-state.sh   (FINDING_PYTHON=python with torch 2.14.1 saves the installation). Exit status 0: as described.
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

def with_gradient():
    tensor = torch.zeros(3, requires_grad=True)
    tensor.grad = torch.ones(3)
    return tensor

one, other = with_gradient(), with_gradient()
first, second = torch.optim.AdamW([one]), torch.optim.AdamW([other])
first.step()
before, where = first.state[one]["exp_avg"].tolist(), one.tolist()
second.load_state_dict(first.state_dict())
second.step()
after = first.state[one]["exp_avg"]
print("the first one's exp_avg before:", before, "after a step of the second:", after.tolist(), "one tensor:", after is second.state[other]["exp_avg"])
as_described = after is second.state[other]["exp_avg"] and torch.allclose(after, torch.full((3,), 0.19)) and one.tolist() == where
sys.exit(0 if as_described else "this has changed: read core/model/quick_adam.py again")
P
