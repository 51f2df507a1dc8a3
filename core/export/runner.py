"""The process in which an exported model answers for its receipt: `python -m core.export.runner SCRIPT FILE PICTURES ANSWERS THREADS`.

It runs `predict.py` as somebody without Thaw would: its `load` and `logits`, whatever runtime they use. First it says "ready"; once it reads a line
it answers, telling how many pictures are done, and last come the figures, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 32
"""Pictures at once."""

BATCHES = (1, BATCH)
"""Sizes of the batches that are timed."""

SECONDS = 0.5
"""How long each size is timed, about."""

FEWEST, MOST_TIMED = 3, 50
"""Batches that are timed; of those that take `SLOW` seconds, one."""

SLOW = 3.0

LIBRARIES = ("torch", "torchvision", "onnxruntime", "onnx", "onnxscript", "safetensors", "numpy", "pillow")

Uint8 = NDArray[np.uint8]


def answers(logits: Callable[[Uint8], NDArray[np.float32]], pictures: Uint8, told: Callable[[int], object]) -> NDArray[np.float32]:
    """float32 [N, C] for pictures uint8 [N, 3, S, S], in batches of 32; `told` is given how many are done."""
    found = []
    for start in range(0, len(pictures), BATCH):
        told(start)
        found.append(np.asarray(logits(np.ascontiguousarray(pictures[start : start + BATCH])), dtype=np.float32))
    return np.concatenate(found)


def timed(logits: Callable[[Uint8], Any], pictures: Uint8) -> dict[str, float]:
    """Milliseconds a picture, by the size of the batch, as text: the median over some batches, after one that is not counted."""
    found = {}
    for size in BATCHES:
        batch = np.ascontiguousarray(pictures[np.arange(size) % len(pictures)])
        began = time.perf_counter()
        logits(batch)
        fewest = FEWEST if time.perf_counter() - began < SLOW else 1
        taken: list[float] = []
        while len(taken) < fewest or (sum(taken) < SECONDS and len(taken) < MOST_TIMED):
            began = time.perf_counter()
            logits(batch)
            taken.append(time.perf_counter() - began)
        found[str(size)] = 1000 * float(np.median(taken)) / size
    return found


def versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """The versions of those libraries that are installed, Python among them."""
    found = {"python": sys.version.split()[0]}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """See above."""
    script, file, pictures_file, answers_file, threads = sys.argv[1:]
    output, sys.stdout = sys.stdout, sys.stderr

    def say(**values: Any) -> None:
        print(json.dumps(values), file=output, flush=True)

    try:
        names = runpy.run_path(script)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(threads))
        model = names["load"](Path(file))
        say(ready=True)
        if not sys.stdin.readline():
            return
        pictures = np.load(pictures_file, mmap_mode="r")

        def logits(batch: Uint8) -> NDArray[np.float32]:
            found: NDArray[np.float32] = names["logits"](model, batch)
            return found

        found = answers(logits, pictures, lambda done: say(done=done))
        np.save(answers_file, found)
        used = tuple(name for name in LIBRARIES if ("PIL" if name == "pillow" else name) in sys.modules)
        say(milliseconds=timed(logits, pictures), versions=versions(used), process=os.getpid())
    except Exception as error:  # noqa: BLE001 whatever a runtime raises is told in a line
        say(error=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}")


if __name__ == "__main__":
    main()
