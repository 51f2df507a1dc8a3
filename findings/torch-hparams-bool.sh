#!/usr/bin/env bash
# torch 2.14.1 (torch.utils.tensorboard.summary.hparams, which SummaryWriter.add_hparams calls): a setting that is True or False is written as the
# number 1.0 or 0.0, of type DATA_TYPE_FLOAT64, since bool is an int in Python and the branch for bool comes after that for int; and one that is
# None is left out without a word. TensorBoard has a type of its own for such settings (bool_value, DATA_TYPE_BOOL), which is never used.
# Valid input: {"nesterov": True, "clip": None, "rate": 0.1}. Seen: nesterov number_value 1.0, no clip, rate 0.1.
# Usage: bash torch-hparams-bool.sh   (FINDING_PYTHON=python with torch 2.14.1 and tensorboard saves the installation). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q torch==2.14.1 tensorboard==2.21.0 numpy; python=$folder/venv/bin/python
fi
"$python" - <<'P'
import sys
import torch
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

if not torch.__version__.startswith("2.14.1"):
    sys.exit(f"this is about torch 2.14.1, and {torch.__version__} is installed")

_, start, _ = hparams({"nesterov": True, "clip": None, "rate": 0.1}, {"accuracy": 0.9})
found = HParamsPluginData.FromString(start.value[0].metadata.plugin_data.content).session_start_info.hparams
kinds = {name: value.WhichOneof("kind") for name, value in found.items()}
print(kinds)
as_said = kinds == {"nesterov": "number_value", "rate": "number_value"} and found["nesterov"].number_value == 1.0
sys.exit(0 if as_said else "this has changed: read _setting of core/export/tensorboard.py again")
P
