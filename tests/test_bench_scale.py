"""The model of a step: what it is fitted to it gives back, and what follows from it for many devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import scale
from bench.ranks import PLANS
from bench.scale import BATCH, Costs, Seen, fit, gpus, predicted
from tests.support import ROOT


def test_costs_that_steps_were_made_of_are_found_again() -> None:
    made = Costs({"everything": (0.01, 0.002), "head only": (0.001, 0.0005)}, 20e-6, 1e-9)
    alone = {plan: {size: start + size * each for size in (8, 16, 32)} for plan, (start, each) in made.work.items()}
    pairs = [
        Seen(plan, 2, made.step(plan, 2, numbers, meetings, 2), numbers, meetings)
        for plan, numbers, meetings in (("everything", 11_000_000, 42.0), ("head only", 5_130, 1.0))
    ]
    found = fit(alone, pairs, 2)
    assert found.meeting == pytest.approx(made.meeting)
    assert found.number == pytest.approx(made.number)
    for plan, costs in made.work.items():
        assert found.work[plan] == pytest.approx(costs)
    four = found.step("head only", 4, 0, 0, 2)
    assert four == pytest.approx(2 * (0.001 + 0.0005 * BATCH / 4))


def test_a_machine_that_is_as_the_model_says_is_told_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All lines that are printed, from steps that were made up."""
    numbers = dict(zip(PLANS, (11_181_645, 8_398_861, 5_133), strict=True))
    made = Costs(dict.fromkeys(PLANS, (0.01, 0.002)), 20e-6, 1e-9)

    def step(home: str, plan: str, ranks: int, pictures: int) -> Seen:
        if ranks == 1:
            return Seen(plan, 1, 0.01 + 0.002 * pictures, 0, 0.0)
        meetings = 1.0 if plan == "head only" else 42.0
        return Seen(plan, ranks, made.step(plan, ranks, numbers[plan], meetings, 2), numbers[plan], meetings)

    monkeypatch.setattr(scale, "_run_all", step)
    monkeypatch.setattr(scale, "cores", lambda: 2)
    lines = list(scale.measure(tmp_path, 1))
    assert lines[0] == "Fitted on 1 and 2 processes, 2 cores: a meeting 20 us, a number 1.00 ns."
    checked = [line for line in lines if line.startswith(tuple(f"| {plan} | 4 " for plan in PLANS))]
    assert len(checked) == 3
    assert all(line.endswith("0% |") for line in checked)
    assert lines[-3:] == predicted({plan: 4 * count for plan, count in numbers.items()})[-3:]


def test_more_bytes_and_more_devices_wait_longer() -> None:
    shares = [gpus(20_000, 0.005, 8), gpus(45_000_000, 0.005, 8), gpus(45_000_000, 0.005, 64)]
    assert shares == sorted(shares, reverse=True)
    assert gpus(45_000_000, 0.005, 1) == 1.0


def test_what_is_told_of_gpus_is_what_follows() -> None:
    """From the bytes of resnet18 with ten classes."""
    told = (ROOT / "docs" / "scale.md").read_text()
    assert "\n".join(predicted({"train everything": 44_726_580, "last stage": 33_595_444, "head only": 20_532})) in told
