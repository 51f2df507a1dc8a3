#!/usr/bin/env bash
# torchvision 0.29.1: MNASNet does not take back its own weights from a plain dict, as safetensors' load_file gives it, or a dict that was put together
# from a state_dict: `ValueError: version should be set to 1 or 2 instead of None`, where every other model of torchvision takes them. It reads a version
# from what torch keeps beside the tensors of an OrderedDict (`_metadata`), which no file but torch's own holds.
# Valid input: mnasnet0_5 and mobilenet_v2 as torchvision builds them, and their own tensors. Seen: mobilenet_v2 takes them, mnasnet0_5 raises ValueError.
# Usage: bash torchvision-mnasnet-versions.sh   (FINDING_PYTHON=python with torchvision 0.29.1 saves the installation). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.1 safetensors==0.8.0 numpy; python=$folder/venv/bin/python
fi
"$python" - <<'P'
import sys
import torchvision
from safetensors.torch import load, save

if not torchvision.__version__.startswith("0.29.1"):
    sys.exit(f"this is about torchvision 0.29.1, and {torchvision.__version__} is installed")

def taken(name):
    model = torchvision.models.get_model(name, num_classes=3)
    try:
        model.load_state_dict(load(save(model.state_dict())))
    except ValueError as error:
        return str(error)
    return "taken"

found = taken("mobilenet_v2"), taken("mnasnet0_5")
print(found)
sys.exit(0 if found == ("taken", "version should be set to 1 or 2 instead of None") else "this has changed: read core/export/predict_code.py again")
P
