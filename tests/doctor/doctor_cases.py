"""What the tests of doctor share."""

from __future__ import annotations

from typing import Any

from core import catalog
from core.config import RunConfig
from core.doctor import RULES, Doctor, Facts, Rule
from core.machine.home import Home
from core.records.events import Layer, RunPlan
from core.records.findings import Diagnosis
from core.records.layers import ParameterInfo
from core.store import Run, RunStore
from core.worker.worker import Worker

TINY: dict[str, Any] = {"image_size": 8, "model": "tiny: flatten, linear 32, relu", "epochs": 3, "threads": 1}


def carried_out(home: Home, store: RunStore, config: RunConfig) -> tuple[Run, Diagnosis]:
    run_id = store.create_run(catalog.check(config))
    Worker(home, store, run_id).run()
    diagnosis = store.findings(run_id)
    assert diagnosis is not None
    return store.run(run_id), diagnosis


# Signals made by hand


LAYERS = tuple(Layer(f"layer{number}.weight", (4, 4), 16, False) for number in range(4))


PLAN = RunPlan(LAYERS, 50, 1000, ("cat", "dog"), 100, 50, 50, "cpu")


FACTS = Facts(tuple(ParameterInfo(layer.name, layer.shape, 16, layer.name[:-7], "Linear", "body", False) for layer in LAYERS), (50, 50), (25, 25))


def doctor(**rules: Rule) -> Doctor:
    return Doctor(RunConfig(watch_budget=1.0), PLAN, FACTS, rules or RULES, clock=lambda: 0.0)
