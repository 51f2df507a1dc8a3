#!/usr/bin/env bash
# One command for a machine with a GPU and nothing but a plain CUDA image: device tests, then speed beside other libraries, at most 8 minutes,
# no network. Needs Python 3.11 or newer, torch 2.10 or newer, torchvision, numpy, pandas, scikit-learn, safetensors and psutil.
#
#     bench/gpu.sh [FOLDER]          writes gpu.json and gpu.md into FOLDER (else $OUT, else ./gpu-results)
#     bench/gpu.sh --cpu [FOLDER]    the same on the processor, with smaller sizes
#     WHEELS=/some/folder bench/gpu.sh ...   takes packages that are missing (pydantic, tqdm, ...) from the wheels in that folder
#
# PYTHON names another interpreter. What is missing after that is said, and the rest goes on.
set -u
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-python3}"
command -v "$python" >/dev/null || { echo "There is no $python; name one: PYTHON=/path/to/python3 bench/gpu.sh" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$("$python" --version) is too old: Thaw needs 3.11 or newer" >&2; exit 2; }

paths="$root"
if [ -n "${WHEELS:-}" ]; then
    [ -d "$WHEELS" ] || { echo "WHEELS=$WHEELS is no folder; name one that holds .whl files, or leave it out" >&2; exit 2; }
    target="$(mktemp -d)"
    trap 'rm -rf "$target"' EXIT
    PYTHONPATH="$root" "$python" -m bench.gpu_packages "$WHEELS" "$target"
    # Behind the image's own packages in value, before nothing: only what was missing lies there.
    paths="$root:$target"
fi
cd "$root" || exit 2
PYTHONPATH="$paths${PYTHONPATH:+:$PYTHONPATH}" "$python" -m bench.gpu "$@"
