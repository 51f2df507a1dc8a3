#!/usr/bin/env bash
# torch 2.14.1 on a processor, one thread: BatchNorm's backward kernel takes several times as long where maps of 2 x 2 places lie one behind the other as
# it takes with channels side by side (channels_last), both copies included; and the forward statistics of large maps take several times what
# two passes by `sum` take. And where gradient and input are laid out differently (the one NCHW, the other channels_last), the gradient of the bias of
# bfloat16 inputs is rounded to bfloat16 on its way, though weight and bias are float32: off by a half per cent; laid out alike it is exact.
# Usage: bash torch-batch-norm-layouts.sh   (FINDING_PYTHON=python with torch 2.14.1 saves the installation). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q torch==2.14.1 numpy; python=$folder/venv/bin/python
fi
"$python" - <<'P'
import sys
import time

import torch

if not torch.__version__.startswith("2.14.1"):
    sys.exit(f"this is about torch 2.14.1, and {torch.__version__} is installed")
torch.set_num_threads(1)
last, backward = torch.channels_last, torch.ops.aten.native_batch_norm_backward

def least(work):
    taken = []
    for _ in range(60):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return 1e6 * min(taken)

def case(channels, side, kind=torch.float32):
    torch.manual_seed(0)
    x, g = (torch.randn(16, channels, side, side).to(kind) for _ in range(2))
    mean, variance = torch.batch_norm_update_stats(x.float(), None, None, 0.0)
    return x, g, mean, variance

def back(g, x, mean, variance):
    return backward(g, x, torch.ones_like(mean), mean, variance, None, None, False, 1e-5, [True, True, True])

x, g, mean, variance = case(512, 2)
first = least(lambda: back(g, x, mean, variance))
side = least(lambda: back(g.contiguous(memory_format=last), x.contiguous(memory_format=last), mean, variance)[0].contiguous())
print(f"backward, 16 x 512 x 2 x 2: {first:.0f} us, by way of channels_last {side:.0f} us")

x, _, _, _ = case(64, 32)
def by_sums():
    middle = x.sum((0, 2, 3)) / (16 * 32 * 32)
    return middle, (x - middle.view(1, -1, 1, 1)).square_().sum((0, 2, 3)) / (16 * 32 * 32)
kernel, sums = least(lambda: torch.batch_norm_update_stats(x, None, None, 0.0)), least(by_sums)
print(f"statistics, 16 x 64 x 32 x 32: {kernel:.0f} us, by sums {sums:.0f} us")

x, g, mean, variance = case(8, 2, torch.bfloat16)
exact = g.double().sum((0, 2, 3))
off = {name: float((back(each, x, mean, variance)[2].double() - exact).abs().max()) for name, each in (("alike", g), ("otherwise", g.contiguous(memory_format=last)))}
print(f"gradient of the bias, bfloat16, off by: {off}")
sys.exit(0 if first > 2 * side and kernel > 1.5 * sums and off["alike"] < 1e-5 < 1e-3 < off["otherwise"] else "this has changed: look at core/ranks/norms.py again")
P
