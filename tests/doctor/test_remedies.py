"""What the doctor's remedies do: in the direction that their words say, and what short runs show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.config import RunConfig
from core.config.plans import Change
from core.doctor import Doctor
from core.doctor.doctor import RENEWED_SECONDS
from core.doctor.medians import median
from core.doctor.remedies import scaled
from core.doctor.rule import apart
from core.records.events import AuditReport, AuditRow, EpochRow, RunPlan, StepRow, Verdict
from core.records.findings import Diagnosis
from core.records.profile import StepTimes
from core.records.summaries import block_of
from tests.doctor.doctor_truth_cases import (
    CONFIG,
    FACTS,
    INFOS,
    LAYERS,
    NAMES,
    ONES,
    PLAN,
    RISING,
    change,
    epochs,
    one,
    rules_of,
    steps,
    watch,
)

# Remedies: direction and size


def fed(config: RunConfig = CONFIG, first: float = 0.7, then: float = 0.7, **signals: float) -> Diagnosis:
    watched = watch(config)
    watched.steps(steps(1, [first] * 5, config.learning_rate, signals.get("ratio", 1e-3), 1.0))
    watched.steps(steps(6, [then] * 95, config.learning_rate, **signals))
    return watched.diagnosis()


@pytest.mark.parametrize(
    ("rule", "rate", "series", "wanted"),
    [
        ("learning rate too high", 0.05, {"then": 1.4}, 0.005),
        ("learning rate too high", 5.0, {"then": 1.4}, 0.0006),
        ("learning rate too high", 0.05, {"then": 0.7, "ratio": 0.08}, 0.005),
        ("exploding gradients", 0.05, {"norm": 5000.0, "then": 0.6}, 0.005),
        ("learning rate too low", 1e-6, {"ratio": 1e-6}, 1e-3),
        ("learning rate too low", 1.0, {"ratio": 1e-5}, 3.0),
        ("learning rate too low", 400.0, {"ratio": 1e-5}, 1000.0),
        ("learning rate too low", 1e-9, {"ratio": 1e-9}, 1e-5),
        ("update ratio", 0.05, {"ratio": 0.3, "then": 0.3}, 0.0005),
        ("update ratio", 0.05, {"ratio": 3.0, "then": 0.3}, 0.0005),
        ("update ratio", 1e-5, {"ratio": 1e-6, "then": 0.5}, 0.01),
        ("update ratio", 2.0, {"ratio": 1e-6, "then": 0.5}, 6.0),
    ],
)
def test_a_remedy_sets_the_rate_that_its_words_say_in_the_right_direction(rule: str, rate: float, series: dict[str, float], wanted: float) -> None:
    finding = one(fed(CONFIG.replace(learning_rate=rate), **series), rule)
    assert Change.parse(finding.remedy.change).learning_rate == pytest.approx(wanted)
    assert finding.remedy.settings["learning_rate"] == pytest.approx(wanted)
    assert f"{'Raise' if wanted > rate else 'Lower'} the learning rate to {wanted:g}" in finding.remedy.advice


def test_no_rate_is_proposed_where_none_is_left_to_propose() -> None:
    assert scaled(1000.0, 10) is None
    assert scaled(0.0, 10) is None
    assert scaled(0.003, 0.1) == 0.0003
    assert scaled(0.9, 10) == 3.0
    assert scaled(0.001, 100) == 0.1
    finding = one(fed(CONFIG.replace(learning_rate=1000.0), ratio=1e-5), "learning rate too low")
    assert (finding.remedy.change, finding.remedy.settings) == ("", {})


def test_the_next_run_gets_a_rate_for_its_beginning_not_a_share_of_what_a_schedule_had_come_down_to() -> None:
    watched = watch(CONFIG.replace(learning_rate=0.1, schedule="CosineAnnealingLR"))
    watched.steps(steps(1, [0.7] * 10, 0.1))
    watched.steps(steps(11, [1.4] * 80, 0.004))
    finding = one(watched.diagnosis(), "learning rate too high")
    assert (finding.remedy.change, finding.remedy.settings) == ("learning_rate=0.0004", {"learning_rate": 0.01})
    assert "to 0.0004 now, and in the next run to 0.01" in finding.remedy.advice


def test_a_rate_of_the_timeline_is_lowered_in_the_timeline() -> None:
    watched = watch(CONFIG.replace(timeline="1: learning_rate=0.1; 9: stem"))
    watched.change(change(1, "learning_rate=0.1", 0.1, "timeline"))
    watched.steps(steps(1, [0.7, 0.7, 0.7, *[9.0] * 80], 0.1))
    finding = one(watched.diagnosis(), "learning rate too high")
    assert finding.remedy.settings == {"timeline": "1: learning_rate=0.01; 9: stem"}
    assert finding.remedy.change == "learning_rate=0.01"


@pytest.mark.parametrize(("clip", "settings"), [(None, {"clip_norm": 1.0}), (5.0, {"clip_norm": 1.0}), (0.5, {}), (1.0, {})])
def test_a_limit_of_gradients_is_never_loosened(clip: float | None, settings: dict[str, float]) -> None:
    watched = watch(CONFIG.replace(clip_norm=clip))
    watched.steps(steps(1, [0.7] * 10))
    watched.steps(steps(11, [float("nan")] * 10))
    finding = one(watched.finish(), "not a number")
    assert finding.remedy.settings == {"learning_rate": 0.0001, **settings}
    assert ("clip_norm 1" in finding.remedy.advice) == bool(settings)


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({}, {"early_stopping": 3, "augmentation": "shift"}), ({"early_stopping": 2}, {"augmentation": "shift"}),
        ({"early_stopping": 9, "augmentation": "flip"}, {"early_stopping": 3}), ({"early_stopping": 3, "augmentation": "flip"}, {}),
    ],
)  # fmt: skip
def test_what_is_chosen_already_is_no_remedy(config: dict[str, Any], settings: dict[str, Any]) -> None:
    watched = watch(CONFIG.replace(**config))
    epochs(watched, RISING)
    finding = one(watched.finish(), "overfitting")
    assert finding.remedy.settings == settings
    assert [name for name in ("early_stopping 3", "augmentation shift") if name in finding.remedy.advice] == [f"{k} {v}" for k, v in settings.items()]


def test_other_remedies_go_where_their_words_say() -> None:
    facts = replace(FACTS, direct_decay=True, weight_decay=3.0)
    decay = one(watch(CONFIG.replace(optimizer="AdamW", learning_rate=0.01, weight_decay=3.0), facts=facts).diagnosis(), "weight decay")
    assert decay.remedy.settings == {"weight_decay": 0.05}
    assert "such as 0.05" in decay.remedy.advice
    assert "weight decay" not in rules_of(watch(CONFIG.replace(learning_rate=0.01), facts=replace(facts, direct_decay=False)).finish())
    norms = tuple(replace(info, kind="BatchNorm1d", module="norm") for info in INFOS)
    small = one(watch(CONFIG.replace(batch_size=2), facts=replace(FACTS, parameters=norms)).finish(), "small batch")
    assert small.remedy.settings == {"batch_size": 16}
    assert "batches of 16 or more" in small.remedy.advice
    few = one(watch(CONFIG, replace(PLAN, train_samples=6), replace(FACTS, parameters=norms)).finish(), "small batch")
    assert "from 6 pictures at a time" in few.cause
    assert few.remedy.settings == {}
    times = StepTimes(60, {"data": 3.0, "forward": 0.2}, 60, {"data": 3.0, "forward": 0.2}, False, 1, 10, 0.02)
    for augmentation, settings in (("trivial augment", {"augmentation": "flip"}), ("none", {"image_size": 112})):
        watched = watch(CONFIG.replace(augmentation=augmentation, image_size=224))
        watched.steps(steps(1, [0.7 - 0.005 * step for step in range(60)]), times=times)
        assert one(watched.finish(), "slow data").remedy.settings == settings


# Sentences and their numbers


def test_two_numbers_that_are_compared_are_never_written_alike() -> None:
    assert apart(0.69312, 0.69314) == ("0.69312", "0.69314")
    assert apart(0.5, 0.25) == ("0.5", "0.25")
    assert apart(2.0, 2.0) == ("2", "2")


def test_a_plateau_says_by_how_much_the_loss_fell_and_does_what_it_says() -> None:
    watched = watch()
    losses = [0.69318, 0.69317, 0.69316, 0.69315, 0.69314, 0.69313, 0.69312]
    epochs(watched, [(loss, 0.7, 0.69, 0.7) for loss in losses])
    finding = one(watched.finish(), "plateau")
    assert "last 4 epochs is 0.6931, 0.0058 % lower than the lowest of the 3 before (0.6932)" in finding.cause
    assert finding.remedy.settings == {"learning_rate": 0.0001}
    assert finding.remedy.advice.startswith("Lower the learning rate to 0.0001")
    watched = watch()
    epochs(watched, [(loss, 0.7, 0.69, 0.7) for loss in [0.6, 0.5, 0.5, 0.51, 0.52, 0.5, 0.51]])
    assert "is 0.5, no lower than the lowest of the 3 before (0.5)" in one(watched.finish(), "plateau").cause


def test_a_plateau_of_tiny_updates_is_not_answered_with_a_lower_rate() -> None:
    watched = watch()
    for epoch in range(1, 9):
        watched.steps(steps(10 * epoch - 9, [0.5] * 10, ratio=5e-5))
        watched.epoch(EpochRow(epoch, 10 * epoch, 0.0, 0.5, 0.7, 0.5, 0.7))
    finding = one(watched.finish(), "plateau")
    assert "by 5e-05 of their size already" in finding.remedy.advice
    assert (finding.remedy.change, finding.remedy.settings) == ("", {})


def test_frozen_tensors_are_said_to_be_in_the_optimizer_only_where_they_are() -> None:
    def row(name: str, held: bool, moved: bool) -> AuditRow:
        verdict = Verdict.LEAKING if moved else Verdict.VERIFIED
        return AuditRow(name, 16, False, held, "none", moved, None, "eval", 0, "0", "1", verdict)

    watched = watch()
    watched.audited(AuditReport(5, False, (row("stem.weight", False, True), row("body.weight", True, False))))
    cause = one(watched.finish(), "frozen in optimizer").cause
    assert "1 frozen tensors (body.weight) are in the optimizer; none of them was seen to move." in cause
    assert "1 frozen tensors that are in no optimizer have moved (stem.weight)." in cause


def test_few_pictures_that_are_nearly_all_right_are_not_called_chance() -> None:
    watched = watch(facts=replace(FACTS, validation_counts=(5, 5)))
    epochs(watched, [(0.6, 0.6, 0.6, 0.9)] * 8)
    assert "no better than chance" not in rules_of(watched.finish())


# Frozen random layers, known before the first step


def frozen_plan(*frozen: int) -> RunPlan:
    return replace(PLAN, layers=tuple(replace(layer, frozen=place in frozen) for place, layer in enumerate(LAYERS)))


def test_frozen_random_layers_are_found_before_the_first_step_and_let_go_at_one_click() -> None:
    facts = replace(FACTS, at_random=NAMES)
    watched = watch(CONFIG.replace(freeze="head only"), frozen_plan(0, 1, 2), facts)
    finding = one(watched.diagnosis(), "frozen at random")
    assert (finding.severity, finding.since_step, finding.layers) == ("warning", 0, ("stem.weight", "body.weight"))
    assert "2 of the 3 weight tensors (stem.weight and body.weight), 66.7 % of all weights, are frozen" in finding.cause
    assert "these layers will never learn anything" in finding.cause
    assert finding.remedy.change == "!stem, !body.weight"
    assert finding.remedy.settings == {"freeze": "train everything"}
    published = watch(CONFIG.replace(model="resnet18", freeze="head only"), frozen_plan(0, 1, 2), facts)
    assert one(published.diagnosis(), "frozen at random").remedy.settings == {"starting_weights": "pretrained"}
    watched.change(change(1, "train everything"))
    watched.steps(steps(1, [0.7] * 5))
    assert not one(watched.diagnosis(), "frozen at random").open


@pytest.mark.parametrize(
    ("timeline", "frozen", "random", "layers"),
    [
        ("3: train everything", (0, 1, 2), NAMES, None),
        ("3: !body", (0, 1, 2), NAMES, ("stem.weight",)),
        ("3: !stem; 4: stem", (0,), NAMES, None),
        ("", (2,), NAMES, None),  # a bias is no random feature
        ("", (0, 1, 2), (), None),  # weights from somewhere
        ("", (3,), ("head.weight",), ("head.weight",)),  # a fresh head on published weights
    ],
)
def test_only_what_never_learns_is_said_never_to_learn(
    timeline: str, frozen: tuple[int, ...], random: tuple[str, ...], layers: tuple[str, ...] | None
) -> None:
    config = CONFIG.replace(freeze=", ".join(NAMES[place] for place in frozen), timeline=timeline)
    found = [
        finding
        for finding in watch(config, frozen_plan(*frozen), replace(FACTS, at_random=random)).diagnosis().open
        if finding.rule == "frozen at random"
    ]
    assert [finding.layers for finding in found] == ([layers] if layers else [])


def test_layers_that_learned_before_they_were_frozen_are_not_random() -> None:
    watched = watch(facts=replace(FACTS, at_random=NAMES))
    watched.steps(steps(1, [0.7] * 20))
    watched.change(change(21, "stem, body", frozen=(0, 1, 2)))
    watched.steps(steps(21, [0.6] * 20))
    assert "frozen at random" not in rules_of(watched.finish())


# Short runs, small batches, looks that were left out


@pytest.mark.parametrize("total", [4, 8, 16, 35])
def test_a_loss_beyond_all_measure_is_found_in_the_shortest_runs(total: int) -> None:
    plan = replace(PLAN, steps_per_epoch=max(total // 4, 1), total_steps=total, train_samples=10 * max(total // 4, 1))
    watched = watch(CONFIG.replace(learning_rate=10.0, epochs=4), plan)
    watched.steps(steps(1, [0.7, 3e9, *[8e17] * (total - 2)], 10.0))
    finding = one(watched.finish(), "learning rate too high")
    assert "The loss is 8e+17" in finding.cause
    assert finding.remedy.settings == {"learning_rate": 0.0006}, "a tenth would still be far above what is usual"


def test_a_loss_that_was_huge_from_the_start_is_compared_with_that_of_guessing() -> None:
    cause = one(fed(first=8e17, then=8e17), "loss blown up").cause
    assert cause.startswith("Giving every class the same chance would have a loss of 0.693: the training loss is 8e+17 (median of the last 10 steps)")
    falling = watch()
    falling.steps(steps(1, [30 * 0.9**step for step in range(60)]))
    assert "loss blown up" not in rules_of(falling.finish())


def test_a_validation_loss_beyond_all_measure_is_found_though_the_training_loss_is_not() -> None:
    watched = watch()
    epochs(watched, [(0.6, 0.7, 8e17, 0.5), (0.5, 0.7, 8e17, 0.5), (0.4, 0.7, float("inf"), 0.5)])
    finding = one(watched.finish(), "loss blown up")
    assert "the validation loss is no finite number (epoch 3)" in finding.cause
    assert "training loss" not in finding.cause


def test_updates_of_nothing_are_found_in_35_steps_that_were_looked_at_four_times() -> None:
    plan = replace(PLAN, steps_per_epoch=7, total_steps=35, train_samples=70)
    watched = watch(CONFIG.replace(learning_rate=1e-6, epochs=5, watch_every=10), plan)
    rows = [StepRow(n, 1, 0.0, 0.7, 1e-6, 9.0, ONES, *((1e-7 * ONES, ONES) if n in (1, 10, 20, 30) else (None, None))) for n in range(1, 36)]
    watched.steps(block_of(rows))
    finding = one(watched.finish(), "learning rate too low")
    assert "median of the last 2 looks" in finding.cause
    assert finding.remedy.settings == {"learning_rate": 0.01}


def test_three_short_epochs_at_chance_are_enough_where_the_loss_does_not_fall() -> None:
    plan = replace(PLAN, steps_per_epoch=7, total_steps=35, train_samples=70)
    for losses, found in (([0.7, 0.7, 0.7, 0.7], True), ([0.7, 0.6, 0.5, 0.4], False)):
        watched = watch(CONFIG.replace(epochs=5), plan)
        for epoch, loss in enumerate(losses, 1):
            watched.steps(steps(7 * epoch - 6, [loss] * 7))
            watched.epoch(EpochRow(epoch, 7 * epoch, 0.0, loss, 0.5, loss, 0.5))
        assert ("no better than chance" in rules_of(watched.finish())) == found


def test_the_small_last_batch_of_an_epoch_does_not_look_like_divergence() -> None:
    plan = replace(PLAN, steps_per_epoch=2, total_steps=200, train_samples=11)  # ten pictures, then one
    watched = watch(CONFIG.replace(epochs=100), plan)
    watched.steps(steps(1, [loss for step in range(100) for loss in (0.7 * 0.98**step, 3.0)]))
    assert rules_of(watched.finish()) == []
    assert watched.signs.recent_loss == pytest.approx(0.7 * 0.98**97, rel=0.05)
    assert watched.signs.first_loss == pytest.approx(0.7 * 0.98)
    whole = watch(CONFIG.replace(epochs=100), replace(plan, train_samples=20))  # the same losses, of batches that are all whole
    whole.steps(steps(1, [loss for step in range(100) for loss in (0.7 * 0.98**step, 3.0)]))
    assert "learning rate too high" in rules_of(whole.finish())


def test_a_median_counts_by_weight() -> None:
    values = np.array([1.0, 2.0, 100.0])
    assert median(values, np.array([1.0, 1.0, 0.1])) == 2.0
    assert median(values, np.array([0.1, 0.1, 1.0])) == 100.0
    assert median(np.array([1.0, np.nan, 3.0]), np.array([1.0, 9.0, 1.0])) == 2.0
    assert np.isnan(median(np.array([np.nan]), np.array([1.0])))


def test_a_change_is_looked_at_even_where_looks_have_used_up_their_share() -> None:
    seconds = 0.0

    def clock() -> float:
        nonlocal seconds
        seconds += 1.0
        return seconds

    watched = Doctor(CONFIG.replace(watch_budget=1e-6), PLAN, FACTS, clock=clock)
    watched.steps(steps(1, [0.7] * 10))
    watched.steps(steps(11, [0.05] * 120))
    watched.change(change(131, "learning_rate=0.05", 0.05))
    watched.steps(steps(131, [0.8] * 40, 0.05))
    assert one(watched.diagnosis(), "worse since a change").since_step < 170


def test_the_last_look_closes_what_was_not_seen_for_long_though_looks_were_left_out() -> None:
    calls = 0

    def clock() -> float:
        nonlocal calls
        calls += 1
        return 0.0 if calls < 40 else 1e6 + calls

    watched = Doctor(CONFIG.replace(watch_budget=1e-6), replace(PLAN, total_steps=2000), FACTS, clock=clock)
    watched.steps(steps(1, [0.7] * 10))
    watched.steps(steps(11, [1.4] * 90))
    assert one(watched.diagnosis(), "learning rate too high").open
    calls = 100
    watched.steps(steps(101, [0.1] * 400))
    assert not one(watched.finish(), "learning rate too high").open


def test_all_as_before_is_told_now_and_then_so_that_nobody_reads_an_old_step() -> None:
    seconds = 0.0
    watched = Doctor(CONFIG, PLAN, FACTS, clock=lambda: seconds)
    watched.steps(steps(1, [0.7 * 0.99**step for step in range(20)]))
    assert watched.diagnosis().findings == ()
    watched.steps(steps(21, [0.5 * 0.99**step for step in range(20)]))
    assert not watched.news
    seconds = RENEWED_SECONDS + 1
    assert watched.news
    assert watched.diagnosis().step == 40
    assert not watched.news
