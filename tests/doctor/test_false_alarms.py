"""How often a rule of the doctor finds something in a run that goes well.

    rule                     share of 783 healthy runs in which it opened a finding (this test makes 240 of the same kind)
    overfitting              0.5 %
    no better than chance    0.4 % (before: 5.0 % of 179; it judged after three epochs whatever training accuracy and validation loss said)
    learning rate too high   0.1 %
    every other rule         0; with none in 783 a rate is below 0.4 % (95 % sure)

The runs are real trainings of small networks (`healthy_runs`): ten mixtures of optimizer, schedule, batch, depth, normalisation, clipping and
wrong labels, each run with its own pictures, learning rate (half to four times the usual, in two mixtures changed half-way) and chance. A run
counts as healthy by 1,000 pictures that the doctor does not see. Rules about settings, splits and files say what is so, and have nothing to be
wrong about by chance.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from core.doctor import RULES
from tests.doctor.healthy_runs import GROUPS, healthy

RUNS = 24
"""Runs of each mixture: 240 in all, of which 200 and more are healthy."""

MOST = 0.05


@pytest.fixture(scope="module")
def alarms() -> tuple[int, Counter[str]]:
    """How many healthy runs there were, and in how many of them each rule found something, also if it took it back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    count, found = 0, Counter[str]()
    for seed, group in enumerate(GROUPS):
        for diagnosis in healthy(group, RUNS, seed):
            assert len(diagnosis.rules) == len(RULES), "no rule failed"
            count += 1
            found.update({finding.rule for finding in diagnosis.findings})
    torch.set_num_threads(threads)
    return count, found


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_something_in_less_than_one_of_twenty_healthy_runs(rule: str, alarms: tuple[int, Counter[str]]) -> None:
    count, found = alarms
    assert count >= 200
    assert found[rule] / count < MOST


def test_most_healthy_runs_have_no_finding_at_all(alarms: tuple[int, Counter[str]]) -> None:
    count, found = alarms
    assert found.total() / count < MOST


def test_a_run_that_does_not_learn_is_no_healthy_one_and_is_found() -> None:
    """The same trainings at three hundred times the usual rate: this test could not tell healthy runs from others if all were quiet."""
    wild = replace(GROUPS[1], rates=(300.0, 400.0))
    assert not list(healthy(wild, 6, 1))
    ill = list(healthy(wild, 6, 1, every=True))
    assert len(ill) == 6
    assert all(diagnosis.open for diagnosis in ill)
