"""What learns and how fast, changed while it trains: the same bits as a plan that had the change from the start."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

from core.catalog import OPTIMIZERS, SCHEDULES
from core.config import ConfigError, RunConfig
from core.config.plans import Change, Multipliers, Timeline
from core.machine.home import Home
from core.model.steering import Steering
from core.training.trainer import ChangeReport, StepReport, Trainer
from core.worker.assembly import assemble, check
from tests.training.trainer_cases import keep_few

QUICK: dict[str, Any] = {"dataset": "digits", "model": "small_cnn", "image_size": 8, "epochs": 2, "batch_size": 256, "freeze": "head only"}
FEW: dict[str, Any] = {"dataset": "digits_5_9", "validation_share": 0.5, "batch_size": 72}
"""As many steps, ten, with a third of the pictures: for what is shown of each optimizer or schedule."""


def trainer(home: Home, **changes: Any) -> Trainer:
    return assemble(RunConfig(**{**QUICK, **changes}), home).trainer


def trained(trainer: Trainer, live: dict[int, str] | None = None) -> dict[str, Tensor]:
    """The final weights; `live`: steps done to the change that is made then."""
    for report in trainer.run():
        if isinstance(report, StepReport) and report.step in (live or {}):
            trainer.change(Change.parse((live or {})[report.step]))
    return trainer.model.state_dict()


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_live_change_ends_with_the_very_weights_of_a_plan_that_had_it_from_the_start(home: Home, optimizer: str) -> None:
    live = trained(trainer(home, optimizer=optimizer, **FEW), {3: "!stage3", 6: "stage3, !stage2, learning_rate=0.003, head=0.5"})
    timeline = "step 4: !stage3; step 7: stage3, !stage2, learning_rate=0.003, head=0.5"
    planned = trained(trainer(home, optimizer=optimizer, timeline=timeline, **FEW))
    assert same(live, planned)
    assert not same(live, trained(trainer(home, optimizer=optimizer, **FEW)))


def test_live_unfreeze_in_the_middle_of_resnet18_changes_no_other_tensor(home: Home) -> None:
    settings = {"model": "resnet18", "image_size": 32, "epochs": 1, "batch_size": 10, "schedule": "CosineAnnealingLR"}
    live = trained(keep_few(trainer(home, **settings), 60), {2: "!layer4"})
    assert same(live, trained(keep_few(trainer(home, **settings, timeline="step 3: !layer4"), 60)))
    start = trainer(home, **settings).model.state_dict()
    untouched = [name for name in start if not name.startswith(("layer4", "fc"))]
    assert all(torch.equal(live[name], start[name]) for name in untouched)
    assert not torch.equal(live["layer4.0.bn1.running_mean"], start["layer4.0.bn1.running_mean"])


def test_timeline_is_what_a_person_would_write_by_hand(home: Home) -> None:
    ours = trained(trainer(home, optimizer="SGD", learning_rate=0.05, timeline="2: !stage3"))

    theirs = trainer(home, optimizer="SGD", learning_rate=0.05)
    model: Any = theirs.model
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.05, momentum=0.9)
    for epoch in (1, 2):
        model.eval()  # what is frozen keeps its statistics
        if epoch == 2:
            for parameter in model.stage3.parameters():
                parameter.requires_grad_(True)
            optimizer.add_param_group({"params": model.stage3.parameters()})
            model.stage3.train()
        for images, labels in theirs.train.batches(epoch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(theirs.partition.normalise(images)), labels).backward()
            optimizer.step()
    assert same(ours, model.state_dict())


def test_new_parameters_start_with_fresh_state_kept_ones_keep_theirs_and_frozen_ones_lose_it(home: Home) -> None:
    made = trainer(home, optimizer="Adam")
    model: Any = made.model
    reports = made.run()
    list(islice(reports, 3))
    head, stage = model.head.weight, model.stage3[0].weight
    kept = made.optimizer.state[head]["exp_avg"]
    made.change(Change.parse("!stage3"))
    assert made.optimizer.state[head]["exp_avg"] is kept
    assert stage not in made.optimizer.state
    next(reports)
    assert made.optimizer.state[head]["step"] == 4
    assert made.optimizer.state[stage]["step"] == 1
    made.change(Change.parse("stage3"))
    assert stage not in made.optimizer.state
    assert [parameter for group in made.optimizer.param_groups for parameter in group["params"]] == list(model.head.parameters())


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_every_group_follows_the_schedule_at_its_own_multiple(home: Home, schedule: str) -> None:
    factors = {"stage1": 0.1, "stage2": 0.5, "stage3": 1.0, "head": 10.0}
    rules = ", ".join(f"{name}={factor}" for name, factor in factors.items())
    made = trainer(home, freeze="train everything", schedule=schedule, learning_rate_multipliers=rules, **FEW)
    plain = trainer(home, freeze="train everything", schedule=schedule, **FEW)
    names = {id(parameter): name for name, parameter in made.model.named_parameters()}
    for ours, theirs in zip(made.run(), plain.run(), strict=True):
        if isinstance(ours, StepReport) and isinstance(theirs, StepReport):
            assert ours.learning_rate == theirs.learning_rate
            expected = plain.optimizer.param_groups[0]["lr"]
            for group in made.optimizer.param_groups:
                for parameter in group["params"]:
                    assert group["lr"] == pytest.approx(expected * factors[names[id(parameter)].partition(".")[0]])
    assert len(made.optimizer.param_groups) == 4


def test_learning_rate_set_by_hand_holds_and_the_schedule_goes_on_from_it(home: Home) -> None:
    made = trainer(home, schedule="CosineAnnealingLR", learning_rate=0.1, epochs=4)
    plain = {
        report.step: report.learning_rate
        for report in trainer(home, schedule="CosineAnnealingLR", learning_rate=0.1, epochs=4).run()
        if isinstance(report, StepReport)
    }
    seen: dict[int, float] = {}
    for report in made.run():
        if isinstance(report, StepReport):
            seen[report.step] = report.learning_rate
            if report.step == 5:
                assert made.change(Change.parse("learning_rate=0.02")).plan.learning_rate == pytest.approx(0.02)
    assert seen[5] == plain[5]
    assert seen[6] == pytest.approx(0.02)
    assert seen[20] / seen[6] == pytest.approx(plain[20] / plain[6])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("*", "freezes every layer"),
        ("stage9", "matches no layer.*head, stage1"),
        ("stage9=0.1", "matches no layer"),
        ("!stage3, body", "matches no layer"),
    ],
)
def test_change_that_cannot_be_made_is_refused_and_nothing_has_changed(home: Home, change: str, words: str) -> None:
    made = trainer(home)
    reports = made.run()
    list(islice(reports, 2))
    groups, frozen = [group["params"] for group in made.optimizer.param_groups], made.freezing.frozen
    with pytest.raises(ConfigError, match=words):
        made.change(Change.parse(change))
    assert [group["params"] for group in made.optimizer.param_groups] == groups
    assert made.freezing.frozen == frozen
    made.change(Change.parse("!stage3"))
    assert isinstance(next(reports), StepReport)


def test_learning_rate_cannot_be_set_once_the_schedule_is_at_zero(home: Home) -> None:
    made = trainer(home, schedule="CosineAnnealingLR", epochs=1)
    list(made.run())
    with pytest.raises(ConfigError, match="come down to 0"):
        made.change(Change.parse("learning_rate=0.1"))


def test_reports_say_what_holds_from_which_step(home: Home) -> None:
    made = trainer(home, timeline="2: !stage3, head=10; step 2: learning_rate=0.5", epochs=2)
    reports = [report for report in made.run() if isinstance(report, ChangeReport | StepReport)]
    steps = len([report for report in reports if isinstance(report, StepReport)])
    first, second = [report for report in reports if isinstance(report, ChangeReport)]
    assert (first.step, second.step) == (2, steps // 2 + 1)
    assert first.plan.learning_rate == 0.5
    assert second.plan.multipliers[-2:].tolist() == [10, 10]
    assert second.plan.frozen.sum() == first.plan.frozen.sum() - 3
    assert [report.frozen.sum() for report in reports if isinstance(report, StepReport)][steps // 2 :] == [second.plan.frozen.sum()] * (steps // 2)
    widths = [len(report.gradient_norms) for report in reports if isinstance(report, StepReport) and report.gradient_norms is not None]
    assert set(widths[: steps // 2]) == {2}
    assert set(widths[steps // 2 :]) == {5}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"timeline": "2: stage9"}, "timeline", "2: stage9.*matches no layer"),
        ({"timeline": "2: head"}, "timeline", "freezes every layer"),
        ({"timeline": "step 500: !stage3"}, "timeline", r"after the last step \(10\)"),
        ({"timeline": "2: stage9=3"}, "timeline", "matches no layer"),
        ({"learning_rate_multipliers": "layer4=0.1"}, "learning_rate_multipliers", "matches no layer.*stem, body, last stage, head"),
    ],
)
def test_plan_that_does_not_fit_the_model_is_refused_before_it_starts(home: Home, changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        trainer(home, **changes)
    assert caught.value.field == field
    if "step" not in str(changes):
        with pytest.raises(ConfigError, match=words):
            check(RunConfig(**{**QUICK, **changes}), home)


def test_roles_are_multipliers_too_and_the_last_rule_decides(home: Home) -> None:
    made = trainer(home, freeze="train everything", learning_rate_multipliers="body=0.1, stem=0.01, head=3, stage2.1=7")
    factors = dict(zip((name for name, _ in made.model.named_parameters()), made.steering.plan.multipliers.tolist(), strict=True))
    assert factors["stage1.0.weight"] == pytest.approx(0.01)
    assert factors["stage2.0.weight"] == pytest.approx(0.1)
    assert factors["stage2.1.bias"] == 7
    assert factors["head.weight"] == 3


def test_texts_of_changes_timelines_and_multipliers_come_back_as_they_were() -> None:
    timeline = Timeline.model_validate("3: !layer4.*,fc=10;  epoch 5: train everything, !fc, learning_rate=1e-4 ; step 9: norms only;")
    assert str(timeline) == "3: !layer4.*, fc=10; 5: train everything, !fc, learning_rate=1e-4; step 9: norms only"
    assert Timeline.model_validate(str(timeline)) == timeline
    assert [str(change) for change in timeline.due("epoch", 5)] == ["train everything, !fc, learning_rate=1e-4"]
    assert timeline.due("step", 5) == ()
    assert str(Multipliers.model_validate("last stage=.50 , fc=1e1")) == "last stage=0.5, fc=10"
    everything = Timeline.model_validate("2: all; 3: !all, learning_rate=0.1, !fc")
    assert str(everything) == "2: train everything; 3: train everything, learning_rate=0.1, !fc"


def test_steering_is_built_before_training_with_the_plan_of_the_config(home: Home) -> None:
    steering: Steering = trainer(home, learning_rate=0.3).steering
    assert steering.plan.learning_rate == 0.3
    assert steering.plan.frozen.sum() == 9
