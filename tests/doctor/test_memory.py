"""What the doctor keeps of a long run: the newest of what is bounded, and the first of what it compares it with."""

from __future__ import annotations

import numpy as np

from core.config import RunConfig
from core.doctor import Doctor, Facts, Rule, Sign, Signs
from core.doctor.doctor import MOST_RESOLVED
from core.doctor.signs import KEPT_LOOKS, KEPT_NORMS, KEPT_STEPS
from core.records.events import Layer, RunPlan, StepBlock, StepRow
from core.records.findings import Remedy
from core.records.layers import ParameterInfo
from core.records.summaries import block_of

LAYERS = tuple(Layer(f"layer{number}.weight", (4, 4), 16, False) for number in range(4))
FACTS = Facts(tuple(ParameterInfo(layer.name, layer.shape, 16, layer.name[:-7], "Linear", "body", False) for layer in LAYERS), (50, 50), (25, 25))


def doctor(steps: int, *rules: Rule) -> Doctor:
    plan = RunPlan(LAYERS, 50, steps, ("cat", "dog"), 100, 50, 50, "cpu")
    return Doctor(RunConfig(watch_budget=1.0), plan, FACTS, {rule.name: rule for rule in rules}, clock=lambda: 0.0)


def rows(first: int, count: int, loss: float | None = None) -> StepBlock:
    """Steps whose loss, rate and norms tell their number; weights are looked at at every fifth."""
    ones = np.ones(4, np.float32)
    numbers = range(first, first + count)
    looks = [(1e-6 * number * ones, ones) if number % 5 == 0 else (None, None) for number in numbers]
    return block_of(
        [
            StepRow(number, 1, float(number), float(number) if loss is None else loss, 1e-3 * number, 10.0, number * ones, *look)
            for number, look in zip(numbers, looks, strict=True)
        ]
    )


def test_of_a_long_run_the_newest_signs_are_kept_and_the_first_to_compare_them_with() -> None:
    watched = doctor(3000)
    for first in range(1, 3001, 100):
        watched.steps(rows(first, 100))
    signs = watched.signs
    newest = np.arange(3001 - KEPT_STEPS, 3001)
    for kept, expected in ((signs.steps, newest), (signs.loss, newest), (signs.rates, 1e-3 * newest)):
        assert np.allclose(kept, expected)
    assert signs.norm_steps.tolist() == list(range(3001 - KEPT_NORMS, 3001))
    assert np.array_equal(signs.norms, signs.norm_steps[:, None].repeat(4, 1))
    assert np.allclose(signs.totals, 2 * signs.norm_steps), "four layers of the same norm: the square root of 4 times as long"
    looks = np.arange(3005 - 5 * KEPT_LOOKS, 3001, 5)
    assert signs.look_steps.tolist() == looks.tolist()
    assert np.allclose(signs.ratios, 1e-6 * looks[:, None])
    assert signs.first_losses == (1.0, 2.0, 3.0)
    assert signs.first_totals == (2.0, 4.0, 6.0)
    assert signs.highest_rate == np.float64(1e-3 * 3000)


def test_of_many_findings_that_are_over_the_newest_are_told_first() -> None:
    def look(signs: Signs) -> Sign | None:
        return Sign("warning", "the loss is high", Remedy("Do something.")) if signs.step and signs.loss[-1] > 5 else None

    watched = doctor(10_000, Rule(name="seen", title="Seen", about="a loss", false_alarm="Never.", look=look, hold=1, clear=1))
    for turn in range(MOST_RESOLVED + 5):
        watched.steps(rows(1 + 200 * turn, 100, loss=7.0))
        watched.steps(rows(101 + 200 * turn, 100, loss=1.0))
    resolved = [finding.resolved_step or 0 for finding in watched.diagnosis().resolved]
    assert len(resolved) == MOST_RESOLVED
    assert resolved == sorted(resolved, reverse=True)
    assert [(step - 1) // 200 for step in resolved] == list(range(MOST_RESOLVED + 4, 4, -1)), "of the five oldest nothing is said any more"
