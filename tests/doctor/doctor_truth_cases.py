"""What the tests of doctor truth share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.config import RunConfig
from core.doctor import Doctor, Facts
from core.records.events import ChangeRow, EpochRow, Layer, RunPlan, StepBlock, StepRow
from core.records.findings import Diagnosis, Finding
from core.records.layers import ParameterInfo
from core.records.summaries import block_of

NAMES = ("stem.weight", "body.weight", "body.bias", "head.weight")


LAYERS = tuple(Layer(name, (4,) if name.endswith("bias") else (4, 4), 4 if name.endswith("bias") else 16, False) for name in NAMES)


ROLES = ("stem", "body", "body", "head")


INFOS = tuple(
    ParameterInfo(layer.name, layer.shape, layer.count, layer.name.rpartition(".")[0], "Linear", role, False)  # type: ignore[arg-type]
    for layer, role in zip(LAYERS, ROLES, strict=True)
)


CONFIG = RunConfig(watch_budget=1.0, batch_size=10, epochs=20, model="tiny: flatten, linear 32, relu", optimizer="Adam", learning_rate=0.001)


PLAN = RunPlan(LAYERS, 10, 200, ("cat", "dog"), 100, 400, 400, "cpu")


FACTS = Facts(INFOS, (50, 50), (200, 200), direct_decay=False, guess_loss=0.693)


ONES = np.ones(4, np.float32)


def steps(first: int, losses: Sequence[float], rate: float = 0.001, ratio: float = 1e-3, norm: float = 1.0) -> StepBlock:
    """Steps with these losses, each of which was looked at."""
    return block_of([StepRow(first + place, 1, 0.0, loss, rate, 10.0, norm * ONES, ratio * ONES, ONES) for place, loss in enumerate(losses)])


def change(
    step: int, text: str, rate: float = 0.001, source: str = "live", frozen: Sequence[int] = (), factors: Sequence[float] = (1,) * 4
) -> ChangeRow:
    still = np.array([place in frozen for place in range(4)])
    return ChangeRow(0, step, source, text, rate, still, np.array(factors, np.float32))  # type: ignore[arg-type]


def watch(config: RunConfig = CONFIG, plan: RunPlan = PLAN, facts: Facts = FACTS) -> Doctor:
    return Doctor(config, plan, facts, clock=lambda: 0.0)


def one(diagnosis: Diagnosis, rule: str) -> Finding:
    (finding,) = [finding for finding in diagnosis.findings if finding.rule == rule]
    return finding


def rules_of(diagnosis: Diagnosis) -> list[str]:
    return [finding.rule for finding in diagnosis.findings]


def epochs(watched: Doctor, rows: Sequence[tuple[float, float, float, float]], first: int = 1) -> None:
    """Epochs of ten steps: training loss and accuracy, validation loss and accuracy of each, with steps of the training loss."""
    for epoch, (loss, right, measured, held) in enumerate(rows, first):
        watched.steps(steps(10 * epoch - 9, [loss] * 10))
        watched.epoch(EpochRow(epoch, 10 * epoch, 0.0, loss, right, measured, held))


# Windows begin anew


RISING = [
    (0.5, 0.9, 0.40, 0.90),
    (0.1, 0.97, 0.38, 0.91),
    (0.02, 0.99, 0.50, 0.90),
    (0.02, 0.99, 0.6, 0.9),
    (0.01, 0.99, 0.7, 0.9),
    (0.005, 1.0, 0.8, 0.9),
]
