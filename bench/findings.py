"""What the doctor finds and what it takes for a fault that is none: over the runs that are broken on purpose, and over healthy ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from bench.table import table
from core.catalog.faults import PRESETS
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.networks.templates import TEMPLATES
from core.records.findings import Diagnosis
from core.store import Run, RunStore
from core.store.checkpoint import weights_of


def _own(name: str) -> str:
    return f"{name}: {TEMPLATES[name].layers}"


HEALTHY: dict[str, dict[str, Any]] = {
    "mlp, everything, AdamW": {"model": "mlp", "image_size": 16},
    "mlp, SGD 0.05, cosine": {"model": "mlp", "image_size": 16, "optimizer": "SGD", "learning_rate": 0.05, "schedule": "CosineAnnealingLR"},
    "small_cnn, everything, shift": {"model": "small_cnn", "image_size": 16, "augmentation": "shift"},
    "small_cnn, head only, kept features": {
        "model": "small_cnn", "image_size": 16, "freeze": "head only", "learning_rate": 0.01, "epochs": 12,
        "starting_weights": "small_cnn, everything, shift",
    },
    "small_cnn, unfrozen later, multipliers": {
        "model": "small_cnn", "image_size": 16, "freeze": "head only", "timeline": "3: !stage3; 5: train everything",
        "learning_rate_multipliers": "stem=0.1, head=3", "epochs": 7,
    },
    "own CNN, one cycle": {"model": _own("my-cnn"), "image_size": 16, "schedule": "OneCycleLR", "learning_rate": 3e-3},
    "own residual network, warm-up, clipping": {
        "model": _own("my-resnet"), "image_size": 16, "schedule": "WarmupCosine", "clip_norm": 1.0, "batch_size": 64, "epochs": 3,
    },
    "own MLP, one layer, RMSprop": {"model": "tiny: flatten, linear 24, relu", "image_size": 8, "optimizer": "RMSprop", "epochs": 10},
    "resnet18, everything, early stopping": {"model": "resnet18", "image_size": 32, "early_stopping": 2, "epochs": 3},
    "resnet18, head only": {
        "model": "resnet18", "image_size": 32, "freeze": "head only", "learning_rate": 0.01, "epochs": 4,
        "starting_weights": "resnet18, everything, early stopping",
    },
    "resnet18, last stage, SGD": {
        "model": "resnet18", "image_size": 32, "freeze": "last stage", "optimizer": "SGD", "learning_rate": 0.01, "epochs": 2,
        "starting_weights": "resnet18, everything, early stopping",
    },
    "small_cnn, fine-tuned from the third run's weights": {
        "model": "small_cnn", "image_size": 16, "freeze": "last stage", "starting_weights": "small_cnn, everything, shift", "epochs": 3,
    },
    "mobilenet_v3_small, everything, Adam": {"model": "mobilenet_v3_small", "image_size": 32, "optimizer": "Adam", "epochs": 12},
}  # fmt: skip
"""Runs that are as they should be. Starting weights may be those of a run before, by its name here."""


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """The presets of `core.catalog.faults`, then the healthy runs, each once: they come out the same each time."""
    home = Home.from_environment(str(folder / "home"))
    rows, found_all = [], 0
    for preset in PRESETS.values():
        run, diagnosis = _carry_out(home, preset.config)
        found = [finding.rule for finding in diagnosis.findings]
        found_all += set(preset.findings) <= set(found)
        first = min((finding.since_step for finding in diagnosis.findings if finding.rule in preset.findings), default=None)
        others = [rule for rule in found if rule not in preset.findings]
        rows.append(
            (preset.label, ", ".join(preset.findings), "not found" if first is None else f"step {first:,} of {run.step:,}", ", ".join(others) or "-")
        )
    yield from table(["broken on purpose", "to be found", "found at", "found besides"], rows)
    yield ""
    yield f"{found_all} of {len(PRESETS)} found."
    yield ""
    healthy, alarms = [], 0
    weights: dict[str, str] = {}
    for label, changes in HEALTHY.items():
        start = changes.get("starting_weights", "random")
        config = RunConfig(**{"dataset": "digits", "threads": 1, **changes, "starting_weights": weights.get(start, start)})
        run, diagnosis = _carry_out(home, config)
        if (kept := weights_of(home, run)) is not None:
            weights[label] = str(kept)
        false = [finding.rule for finding in diagnosis.findings if finding.alarming]
        notes = [finding.rule for finding in diagnosis.findings if not finding.alarming]
        alarms += len(false)
        accuracy = run.result.test_accuracy if run.result else None
        healthy.append(
            (label, f"{run.step:,}", "-" if accuracy is None else f"{100 * accuracy:.1f} %", ", ".join(false) or "none", ", ".join(notes) or "-")
        )
    yield from table(["healthy run", "steps", "test accuracy", "false alarms", "notes"], healthy)
    yield ""
    yield f"{alarms} false alarms in {len(HEALTHY)} healthy runs."


def _carry_out(home: Home, config: RunConfig) -> tuple[Run, Diagnosis]:
    from core.worker.worker import Worker

    store = RunStore(home.database)
    run_id = store.create_run(config)
    print(f"{config.model} {config.fault}", file=sys.stderr)
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):  # one of them is meant to fail
        try:
            Worker(home, store, run_id).run()
        except ConfigError as error:
            raise RuntimeError(f"{config.model} could not begin: {error}") from error
    diagnosis = store.findings(run_id)
    assert diagnosis is not None
    return store.run(run_id), diagnosis
