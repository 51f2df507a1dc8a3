"""What exported models answer and how fast, beside PyTorch: a receipt of each over 359 test pictures, and how long making it takes.

`python -m bench exports` has a dozen models; `python -m bench receipts` a score and more, of all of torchvision's families.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

from bench.photos import make
from bench.table import spread, table
from core.catalog import find_model
from core.config import ConfigError, RunConfig
from core.export.export import export
from core.machine.home import Home
from core.records.export import Exported
from core.store import RunStore
from core.worker.process import work

TEST = 359
"""Test pictures."""

SIZE = 64
"""Pixels a side, where the model takes so few."""

DOZEN = (
    "small_cnn", "mlp", "resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "squeezenet1_1", "shufflenet_v2_x1_0", "regnet_y_400mf",
    "densenet121", "vit_b_16", "swin_t",
)  # fmt: skip

FAMILIES = (
    "alexnet", "resnet18", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x1_0", "mnasnet0_5", "regnet_x_400mf",
    "regnet_y_400mf", "googlenet", "resnet50", "vgg11_bn", "efficientnet_b0", "densenet121", "resnext50_32x4d", "convnext_tiny", "vit_b_16",
    "swin_t", "mobilenet_v3_large", "efficientnet_v2_s", "wide_resnet50_2", "inception_v3", "swin_v2_t", "maxvit_t",
)  # fmt: skip

HEADS = (
    "model", "px", "same class", "largest difference", "ONNX, 1 at a time, ms", "eager", "ONNX, in 32s, ms a picture", "eager ", "MB", "export, s",
)  # fmt: skip


def measure(folder: Path, rounds: int, models: Sequence[str] = DOZEN) -> Iterator[str]:
    """A table with a line a model: its run trains for three short epochs, so that its answers are not all alike, and is exported to ONNX."""
    home = Home.from_environment(str(folder / "home"))
    make(folder / "photos", 40, TEST)
    rows = []
    for name in models:
        try:
            run_id = _trained(home, folder / "photos", name)
            began = time.perf_counter()
            made = export(home, run_id, "onnx")
            rows.append(_row(home, run_id, name, made, time.perf_counter() - began))
        except ConfigError as error:
            rows.append((name, "-", error.message, *["-"] * (len(HEADS) - 3)))
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    yield from table(HEADS, rows)
    if rounds and models is DOZEN:
        run_id = _trained(home, folder / "photos", "resnet18")
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            export(home, run_id, "onnx", force=True)
            taken.append(time.perf_counter() - began)
        yield ""
        yield from table(["resnet18 to ONNX with its receipt over 359 pictures", "median (range)"], [("seconds", spread(taken, 1))])


def _trained(home: Home, photos: Path, model: str) -> str:
    entry = find_model(model)
    size = entry.usual if entry.family.fixed or entry.smallest > SIZE or SIZE % entry.multiple else SIZE
    store = RunStore(home.database)
    values = {"image_size": size, "batch_size": 10, "epochs": 3, "device": "cpu", "validation_share": 0.0, "learning_rate": 1e-3}
    run_id = store.create_run(RunConfig(dataset=f"folder:{photos}", model=model, **values))  # type: ignore[arg-type]
    with (home.logs / "bench.log").open("a") as log, redirect_stderr(log):
        work(home, run_id)
    run = store.run(run_id)
    store.close()
    if run.error:
        raise ConfigError("run", run.error.splitlines()[0])
    return run_id


def _row(home: Home, run_id: str, name: str, made: Exported, seconds: float) -> tuple[str, ...]:
    receipt = made.receipt
    assert receipt is not None, made.told
    store = RunStore(home.database)
    size = store.run(run_id).config.image_size
    store.close()
    times = (receipt.milliseconds["1"], receipt.original_milliseconds["1"], receipt.milliseconds["32"], receipt.original_milliseconds["32"])
    return (
        name,
        str(size),
        f"{receipt.same_top1} of {receipt.pictures}",
        "-" if receipt.largest_difference is None else f"{receipt.largest_difference:.1e}",
        *(f"{value:.2f}" for value in times),
        f"{made.bytes / 1e6:.1f}",
        f"{seconds:.1f}",
    )


receipts = partial(measure, models=FAMILIES)
"""The same for one model at least of each family of torchvision."""
