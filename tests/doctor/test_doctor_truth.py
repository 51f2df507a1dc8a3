"""The doctor says nothing that is not so: windows begin anew at a change, numbers are those of the rule, and a remedy does what its words say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.config import RunConfig
from core.doctor import Doctor
from core.records.events import EpochRow
from tests.doctor.doctor_truth_cases import (
    CONFIG,
    LAYERS,
    PLAN,
    RISING,
    change,
    epochs,
    one,
    rules_of,
    steps,
    watch,
)


def test_learning_by_heart_says_from_what_to_what_both_losses_went() -> None:
    watched = watch()
    epochs(watched, RISING)
    said = one(watched.finish(), "overfitting").cause
    assert "risen from 0.38 (epoch 2) to 0.75 (mean of epochs 5 and 6), while the training loss fell from 0.1 to 0.005" in said


def test_nothing_is_learned_by_heart_while_the_training_loss_rises() -> None:
    watched = watch()
    epochs(watched, [*RISING[:2], *((0.11 * 1.5**n, 0.96, 0.6 + 0.2 * n, 0.9) for n in range(4))])  # below the validation loss, but risen
    assert "overfitting" not in rules_of(watched.finish())


def test_epochs_from_before_a_thaw_are_no_evidence_of_learning_by_heart() -> None:
    watched = watch()
    epochs(watched, RISING[:2])
    watched.change(change(21, "train everything", source="timeline"))
    epochs(watched, [(0.055, 0.98, 0.5, 0.9), (0.05, 0.98, 0.6, 0.9), (0.04, 0.98, 0.7, 0.9)], first=3)
    assert "overfitting" not in rules_of(watched.finish())


def test_a_finding_of_before_a_change_stays_open_until_there_is_enough_to_say_that_it_is_gone() -> None:
    watched = watch()
    epochs(watched, RISING)
    watched.steps(steps(61, [0.005] * 5))
    assert one(watched.diagnosis(), "overfitting").open
    watched.change(change(66, "learning_rate=0.0005", 0.0005))
    watched.steps(steps(66, [0.005] * 15, 0.0005))
    assert one(watched.diagnosis(), "overfitting").open
    epochs(watched, [(0.005, 1.0, 0.4, 0.9)] * 6, first=9)
    assert not one(watched.finish(), "overfitting").open


# Worse since a change


def changed(
    before: float = 0.05, after: float = 0.8, text: str = "learning_rate=0.05", rate: float = 0.05, config: RunConfig = CONFIG, **row: Any
) -> Doctor:
    watched = watch(config)
    watched.steps(steps(1, [0.7] * 10))
    watched.steps(steps(11, [before] * 30))
    watched.change(change(41, text, rate, **row))
    watched.steps(steps(41, [after] * 30, rate))
    return watched


def test_a_rate_that_is_raised_live_and_ruins_the_run_is_named_with_its_step_and_put_back() -> None:
    finding = one(changed().diagnosis(), "worse since a change")
    assert finding.severity == "serious"
    assert "Since the change at step 41 (learning_rate=0.05, made while it went on) the training loss has gone up from 0.05" in finding.cause
    assert "to 0.8 (median of the last 10)" in finding.cause
    assert "the learning rate was 0.001 before and is 0.05 now" in finding.cause
    assert (finding.remedy.change, finding.remedy.settings) == ("learning_rate=0.001", {})
    assert finding.remedy.advice.startswith("Put the learning rate back to 0.001, as it was before")
    assert 41 < finding.since_step <= 60


@pytest.mark.parametrize(
    ("timeline", "text", "row", "live", "then"),
    [
        ("5: learning_rate=0.05", "learning_rate=0.05", {}, "learning_rate=0.001", ""),
        ("step 41: learning_rate=0.05, head=2; 8: stem", "learning_rate=0.05, head=2", {}, "learning_rate=0.001", "step 41: head=2; 8: stem"),
        ("5: head=50", "head=50", {"rate": 0.001, "factors": (1, 1, 1, 50)}, "head=1", ""),
        ("5: body=9, stem=0.5", "body=9, stem=0.5", {"rate": 0.001, "factors": (0.5, 9, 9, 1)}, "body=1", ""),
        ("5: stem", "stem", {"rate": 0.001, "frozen": (0,)}, "!stem", ""),
    ],
)
def test_what_takes_a_change_back_is_what_its_words_say(timeline: str, text: str, row: dict[str, Any], live: str, then: str) -> None:
    config = CONFIG.replace(timeline=timeline)
    finding = one(changed(config=config, text=text, source="timeline", **row).diagnosis(), "worse since a change")
    assert "made by the timeline" in finding.cause
    assert finding.remedy.change == live
    assert finding.remedy.settings == {"timeline": then}
    assert f"({then or 'without that change'})" in finding.remedy.advice
    assert str(config.replace(**finding.remedy.settings).timeline) == then
    ended = one(changed(config=config, text=text, source="timeline", **row).finish(), "worse since a change")
    assert ended.remedy.change == ""


def test_what_was_thawed_learns_at_a_tenth_of_the_rate() -> None:
    config = CONFIG.replace(freeze="stem, body", timeline="5: train everything")
    plan = replace(PLAN, layers=tuple(replace(layer, frozen=place < 3) for place, layer in enumerate(LAYERS)))
    watched = watch(config, plan)
    watched.steps(steps(1, [0.7] * 10))
    watched.steps(steps(11, [0.05] * 30))
    watched.change(change(41, "train everything", source="timeline"))
    watched.steps(steps(41, [0.55] * 30))
    finding = one(watched.diagnosis(), "worse since a change")
    assert finding.layers == ("stem.weight", "body.weight", "body.bias")
    assert finding.remedy.change == "learning_rate=0.0001"
    assert finding.remedy.settings == {"timeline": "5: train everything, learning_rate=0.0001"}
    assert "at 0.0001 from that change on, a tenth of" in finding.remedy.advice


def test_an_accuracy_that_drops_after_a_change_is_found_whatever_the_loss_does() -> None:
    watched = watch()
    epochs(watched, [(0.5, 0.8, 0.5, 0.8), (0.3, 0.99, 0.4, 0.98)])
    watched.change(change(21, "head=3", source="live", factors=(1, 1, 1, 3)))
    epochs(watched, [(0.29, 0.75, 0.5, 0.7), (0.28, 0.74, 0.5, 0.71), (0.27, 0.76, 0.5, 0.69)], first=3)
    cause = one(watched.finish(), "worse since a change").cause
    assert "the training loss has gone down from 0.3" in cause
    assert "Right were 99.0 % of the training pictures in epoch 2 and 76.0 % in epoch 5, of the validation pictures 98.0 and 69.0 %." in cause


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.05), (0.05, 0.07), (0.01, 0.04), (0.6, 0.7), (0.5, 0.1)])
def test_a_change_after_which_all_goes_on_is_no_finding(before: float, after: float) -> None:
    assert "worse since a change" not in rules_of(changed(before, after).finish())


def test_a_change_just_before_the_end_is_judged_by_what_was_measured_after_it() -> None:
    """Five steps are too few for the loss to say much; the validation that ends the epoch is behind the change all the same."""
    watched = watch(plan=replace(PLAN, total_steps=30))
    epochs(watched, [(0.5, 0.8, 0.5, 0.8), (0.05, 0.99, 0.1, 0.98)])
    watched.steps(steps(21, [0.05] * 7))
    watched.change(change(28, "learning_rate=0.3", 0.3))
    watched.steps(steps(28, [0.05, 9.0, 12.0], 0.3))
    assert "worse since a change" not in rules_of(watched.diagnosis())
    watched.epoch(EpochRow(3, 30, 0.0, 2.1, 0.8, 14.0, 0.1))
    finding = one(watched.finish(), "worse since a change")
    assert (finding.severity, finding.open) == ("serious", True)
    assert "gone up from 0.05 (median of the 6 steps before it) to 9 (median of the last 3)" in finding.cause
    assert "in epoch 2 and 80.0 % in epoch 3, of the validation pictures 98.0 and 10.0 %." in finding.cause


def test_a_validation_just_after_a_thaw_is_no_finding_while_the_run_goes_on() -> None:
    """Running statistics have yet to catch up there."""
    watched = watch()
    epochs(watched, [(0.5, 0.8, 0.5, 0.8), (0.05, 0.99, 0.1, 0.98)])
    watched.steps(steps(21, [0.05] * 7))
    watched.change(change(28, "train everything", source="timeline"))
    watched.steps(steps(28, [0.05] * 3))
    watched.epoch(EpochRow(3, 30, 0.0, 0.05, 0.99, 0.9, 0.5))
    watched.steps(steps(31, [0.05] * 9))
    assert "worse since a change" not in rules_of(watched.diagnosis())
    epochs(watched, [(0.04, 0.99, 0.1, 0.98)], first=4)
    assert "worse since a change" not in rules_of(watched.finish())


def test_what_the_last_epoch_disproves_is_gone_at_the_end() -> None:
    watched = watch()
    epochs(watched, [(0.5, 0.8, 0.5, 0.8), (0.05, 0.99, 0.1, 0.98)])
    watched.change(change(21, "learning_rate=0.05", 0.05))
    epochs(watched, [(0.4, 0.75, 0.5, 0.7)] * 2, first=3)
    watched.steps(steps(41, [0.04] * 10, 0.05))
    assert one(watched.diagnosis(), "worse since a change").open
    watched.epoch(EpochRow(5, 50, 0.0, 0.04, 0.98, 0.1, 0.97))
    assert not one(watched.finish(), "worse since a change").open


def test_of_several_changes_the_one_is_named_after_which_the_loss_rose() -> None:
    watched = watch()
    watched.steps(steps(1, [0.7] * 10))
    watched.steps(steps(11, [0.05] * 20))
    watched.change(change(31, "learning_rate=0.0009", 0.0009))
    watched.steps(steps(31, [0.055] * 20, 0.0009))
    watched.change(change(51, "learning_rate=0.1", 0.1))
    watched.steps(steps(51, [0.9] * 20, 0.1))
    watched.change(change(71, "learning_rate=0.09", 0.09))
    watched.steps(steps(71, [0.9] * 30, 0.09))
    finding = one(watched.diagnosis(), "worse since a change")
    assert "the change at step 51 (learning_rate=0.1" in finding.cause
    assert finding.remedy.change == "learning_rate=0.0009"
    watched.change(change(101, "learning_rate=0.0009", 0.0009))
    watched.steps(steps(101, [0.9] * 30, 0.0009))
    again = one(watched.diagnosis(), "worse since a change")
    assert again.remedy.change == ""
    assert "The learning rate is 0.0009 again" in again.remedy.advice
    watched.steps(steps(131, [0.05] * 60, 0.0009))
    assert not one(watched.finish(), "worse since a change").open


def test_a_loss_that_rises_far_above_its_lowest_is_found_without_a_change() -> None:
    watched = watch(CONFIG.replace(schedule="CyclicLR"))
    watched.steps(steps(1, [0.7] * 10))
    watched.steps(steps(11, [0.05] * 50))
    watched.steps(steps(61, [0.4] * 60, 0.01))
    finding = one(watched.diagnosis(), "learning rate too high")
    assert "The loss is 0.4 (median of the last 10 steps), after it had been down to 0.05" in finding.cause
    assert "the learning rate was 0.001 then and is 0.01 now" in finding.cause
    assert finding.remedy.change == "learning_rate=0.001"
    assert finding.remedy.settings == {"learning_rate": 0.0001}


# The first steps


def test_one_lucky_small_batch_at_first_is_not_what_later_ones_are_compared_with() -> None:
    """A real healthy run of batches of 7 pictures, of which the second one happened to be easy; it was said to have a rate that is too high."""
    real = [0.825, 0.086, 1.018, 0.742, 0.506, 0.919, 1.634, 0.247, 0.488, 0.299, 0.393, 0.808, 0.425, 0.129, 0.388, 0.309, 0.404, 0.394, 0.457,
        0.271, 0.3, 0.243, 0.375, 0.848, 0.126, 0.457, 0.247, 0.72, 0.715, 0.971]  # fmt: skip
    watched = watch(plan=replace(PLAN, total_steps=30))
    watched.steps(steps(1, real))
    assert watched.signs.first_loss == 0.825
    assert "learning rate too high" not in rules_of(watched.finish())


def test_two_batches_that_differ_are_no_risen_loss() -> None:
    watched = watch(plan=replace(PLAN, total_steps=6, steps_per_epoch=3))
    watched.steps(steps(1, [1.289, 0.138, 0.784, 1.449, 2.275, 0.983]))
    assert "learning rate too high" not in rules_of(watched.finish())
    worse = watch(plan=replace(PLAN, total_steps=6, steps_per_epoch=3))
    worse.steps(steps(1, [1.289, 0.138, 0.784, 5.449, 12.275, 20.983]))
    assert "learning rate too high" in rules_of(worse.finish())


def test_a_loss_that_falls_a_little_in_a_few_steps_is_not_stuck() -> None:
    """Ten steps of a new head on random features, with updates as long as a fresh head has them."""
    falling = [2.304, 2.318, 2.305, 2.301, 2.285, 2.275, 2.284, 2.264, 2.261, 2.262]
    for losses, found in ((falling, False), ([2.304, 2.318, 2.305, 2.31, 2.33, 2.30, 2.32, 2.31, 2.30, 2.33], True)):
        watched = watch(plan=replace(PLAN, total_steps=10, steps_per_epoch=5))
        watched.steps(steps(1, losses, ratio=0.06))
        assert ("learning rate too high" in rules_of(watched.finish())) == found
