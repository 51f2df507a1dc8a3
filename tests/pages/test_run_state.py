"""What a run's layers are doing now, and the change that takes another one back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.code import repeated
from core.config import RunConfig
from core.config.plans import Change
from core.model import anatomy
from core.records.audits import headline
from core.records.events import AuditReport, AuditRow, ChangeRow, Command, CommandKind, Layer, RunPlan, Verdict
from core.records.layers import ParameterInfo, frozen_parameters, multipliers_by_parameter
from pages._parts.run.run_state import frozen_after, goal_without, made, rate_before, state_now, towards
from pages._parts.shared import words

CONFIG = RunConfig(model="resnet18", image_size=32, freeze="head only", learning_rate=0.01)


@pytest.fixture(scope="module")
def parameters() -> tuple[ParameterInfo, ...]:
    return anatomy.describe("resnet18", 10, 32).parameters


class Course:
    """A run's changes, made one after the other as the trainer would make them."""

    def __init__(self, parameters: tuple[ParameterInfo, ...]) -> None:
        self.parameters = parameters
        self.freeze, self.multipliers, self.rate = CONFIG.freeze, CONFIG.learning_rate_multipliers, CONFIG.learning_rate
        frozen = frozen_parameters(self.freeze, parameters)
        layers = tuple(Layer(each.name, each.shape, each.count, each.name in frozen) for each in parameters)
        self.plan = RunPlan(layers, 10, 100, ("a", "b"), 320, 0, 0, "cpu")
        self.changes: list[ChangeRow] = []

    def change(self, text: str, source: str = "live", step: int | None = None) -> None:
        change = Change.parse(text)
        self.freeze, self.multipliers = self.freeze.then(change), self.multipliers.then(change)
        self.rate = change.learning_rate or self.rate
        frozen = frozen_parameters(self.freeze, self.parameters)
        factors = multipliers_by_parameter(self.multipliers, self.parameters)
        place = len(self.changes)
        self.changes.append(
            ChangeRow(
                place + 1,
                step or 10 * (place + 1),
                "live" if source == "live" else "timeline",
                str(change),
                self.rate,
                np.array([each.name in frozen for each in self.parameters]),
                np.array([factors[each.name] for each in self.parameters], np.float32),
            )
        )

    def take_back(self, place: int, rate: float = 0.01) -> str | None:
        goal = goal_without(self.plan, self.changes, place)
        return str(towards(self.plan, state_now(self.plan, self.changes), goal, rate)) if goal else None


def test_what_was_frozen_learns_again_and_the_other_way_round(parameters: tuple[ParameterInfo, ...]) -> None:
    course = Course(parameters)
    course.change("!layer4, !layer3.1, fc.bias")
    assert course.take_back(0) == "layer3.1, layer4, !fc.bias"
    course.change("layer3.1, layer4, !fc.bias")
    assert state_now(course.plan, course.changes).frozen == tuple(layer.frozen for layer in course.plan.layers)
    assert course.take_back(0) is None, "nothing of it holds any more"
    assert course.take_back(1) == "fc.bias, !layer3.1, !layer4"


def test_a_preset_is_taken_back_by_what_it_changed(parameters: tuple[ParameterInfo, ...]) -> None:
    course = Course(parameters)
    course.change("!layer4.1")
    course.change("train everything")
    # All that the preset thawed, and not the block that learned before it.
    assert course.take_back(1) == "conv1, bn1, layer1, layer2, layer3, layer4.0"
    course.change(course.take_back(1) or "")
    assert {
        name for name, frozen in zip((each.name for each in parameters), state_now(course.plan, course.changes).frozen, strict=True) if not frozen
    } == {each.name for each in parameters if each.name.startswith(("layer4.1", "fc"))}


def test_only_what_a_change_did_is_taken_back(parameters: tuple[ParameterInfo, ...]) -> None:
    course = Course(parameters)
    course.change("!layer4, learning_rate=0.02")
    course.change("!layer3, layer4=0.1")
    assert course.take_back(0) == "layer4, learning_rate=0.01"
    assert course.take_back(1) == "layer3, layer4=1"
    course.change("learning_rate=0.03")
    assert course.take_back(0) == "layer4", "a later learning rate stands"
    assert course.take_back(2, rate=0.02) == "learning_rate=0.02"


def test_what_is_taken_back_goes_to_what_an_earlier_change_made_of_it(parameters: tuple[ParameterInfo, ...]) -> None:
    course = Course(parameters)
    course.change("!layer4, layer4=0.5", source="timeline")
    course.change("layer4.1, layer4=0.1, fc=3")
    # The settings freeze layer4 and know no multiplier: both are the timeline's.
    assert course.take_back(1) == "!layer4.1, fc=1, layer4=0.5"
    course.change("fc=5")
    assert course.take_back(2) == "fc=3"
    assert course.take_back(1) == "!layer4.1, layer4=0.5", "what was changed again since stays"
    course.change("!layer4.1")
    assert course.take_back(1) == "layer4=0.5"
    course.change(course.take_back(1) or "")
    assert course.take_back(1) is None
    assert course.take_back(0) == "layer4, layer4=1"


def test_multipliers_that_float32_rounds_are_not_taken_for_changed(parameters: tuple[ParameterInfo, ...]) -> None:
    course = Course(parameters)
    course.multipliers = course.multipliers.then(Change.parse("conv1=0.123456789"))
    factors = multipliers_by_parameter(course.multipliers, parameters)
    course.plan = replace(course.plan, layers=tuple(replace(layer, multiplier=factors[layer.name]) for layer in course.plan.layers))
    course.change("!layer4")
    assert course.take_back(0) == "layer4"


@pytest.mark.parametrize(
    ("place", "last", "rate"),
    [
        (0, 0.007, 0.007),  # a schedule had brought it there
        (0, None, 0.01),  # before the first step
        (1, 0.02, 0.04),  # made before the same step as the one before it: no step learned at that rate
        (2, 0.035, 0.035),  # the schedule went on from the second change
        (2, None, 0.08),  # the step before was not kept
    ],
)
def test_a_learning_rate_is_taken_back_to_the_one_it_took_the_place_of(
    parameters: tuple[ParameterInfo, ...], place: int, last: float | None, rate: float
) -> None:
    course = Course(parameters)
    for text, step in (("learning_rate=0.04", 20), ("learning_rate=0.08", 20), ("learning_rate=0.5", 31)):
        course.change(text, step=step)
    assert rate_before(course.changes, place, last, CONFIG.learning_rate) == rate


def test_requests_are_matched_with_what_they_changed(parameters: tuple[ParameterInfo, ...]) -> None:
    course = Course(parameters)
    course.change("!layer4", source="timeline")
    course.change("!layer3")
    course.change("learning_rate=0.02")
    commands = [
        Command(1, "run", CommandKind.CHANGE, 0.0, 9, "conv1, bn1, layer1, layer2, layer3, layer4, fc", 9, "nothing would learn"),
        Command(2, "run", CommandKind.CHANGE, 0.0, 9, "!layer3", 19),
        Command(3, "run", CommandKind.INSPECT, 0.0, 9, "fc.weight", 19),
        Command(4, "run", CommandKind.CHANGE, 0.0, 9, "learning_rate=0.02", 29),
        Command(5, "run", CommandKind.CHANGE, 0.0, 9, "!layer2"),
    ]
    assert made(commands, course.changes) == {2: 1, 4: 2}


def test_what_waits_is_shown_as_if_it_were_made(parameters: tuple[ParameterInfo, ...]) -> None:
    frozen = frozen_parameters(CONFIG.freeze, parameters)
    after = frozen_after(Change.parse("last stage, layer4.0, !bn1"), frozen, parameters)
    assert {each.name.rpartition(".")[0] for each in parameters if each.name not in after and not each.name.startswith("layer4.1")} == {"bn1", "fc"}
    assert frozen_after(Change.parse("learning_rate=0.1, fc=3"), frozen, parameters) == frozen


def test_a_run_is_repeated_with_its_live_changes_as_a_timeline(parameters: tuple[ParameterInfo, ...]) -> None:
    course = Course(parameters)
    course.change("!layer4", source="timeline")
    course.change("learning_rate=0.02, fc=3")
    config = CONFIG.replace(timeline="2: !layer4")
    assert str(repeated(config, course.changes).timeline) == "2: !layer4; step 20: learning_rate=0.02, fc=3"
    assert repeated(config, course.changes[:1]) == config


def test_what_was_changed_live_before_the_timelines_own_change_of_a_moment_comes_before_it_again(parameters: tuple[ParameterInfo, ...]) -> None:
    config = CONFIG.replace(timeline="3: !layer4; 5: !layer4; step 60: fc=2")
    course = Course(parameters)
    course.change("!layer4", source="timeline")
    course.change("layer4")
    course.change("!layer4", source="timeline")
    course.change("fc=3")
    course.change("fc=2", source="timeline")
    rows = [replace(row, step=step) for row, step in zip(course.changes, (20, 40, 40, 60, 60), strict=True)]
    assert str(repeated(config, rows).timeline) == "3: !layer4; 5: layer4; 5: !layer4; step 60: fc=3; step 60: fc=2"


def test_of_several_own_changes_of_a_moment_a_live_one_stays_before_the_first(parameters: tuple[ParameterInfo, ...]) -> None:
    config = CONFIG.replace(timeline="step 60: fc=2; step 60: learning_rate=0.02")
    course = Course(parameters)
    course.change("fc=3")
    course.change("fc=2", source="timeline")
    course.change("learning_rate=0.02", source="timeline")
    rows = [replace(row, step=60) for row in course.changes]
    assert str(repeated(config, rows).timeline) == "step 60: fc=3; step 60: fc=2; step 60: learning_rate=0.02"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!layer4, learning_rate=0.0005, fc=10", "layer4 learns, learning rate 0.0005, fc learns at x 10"),
        ("head only, !layer4.*", "preset “head only”, layer4.* learns"),
        ("a, b, c, d, e, f, g, h", "a frozen, b frozen, c frozen, d frozen, e frozen, f frozen and 2 more"),
    ],
)
def test_a_change_is_said_in_plain_words(text: str, said: str) -> None:
    assert words.change(text) == said


def test_markdown_does_nothing_to_a_name() -> None:
    assert words.plain("layer1.*_x no_such [a](b) :red[d] `c`: e") == r"layer1.\*\_x no_such \[a\](b) \:red\[d\] \`c\`: e"


def test_an_unknown_model_keeps_its_name() -> None:
    assert words.subject(CONFIG) == "digits with resnet18"
    assert words.subject(RunConfig(model="gone_for_good")) == "digits with gone_for_good"


def test_the_headline_of_an_audit_counts_only_what_was_compared_as_verified() -> None:
    row = AuditRow("a", 100, False, False, "none", False, None, "eval", 0, "0", "0", Verdict.VERIFIED)
    waiting = AuditRow("b", 20, False, False, "none", None, None, "eval", 0, "0", "", Verdict.VERIFIED)
    learns = AuditRow("c", 3, True, True, "flows", True, None, "train", None, "0", "1", Verdict.LEARNING)
    leaks = AuditRow("d", 7, False, False, "none", True, None, "train", 0, "0", "1", Verdict.LEAKING)
    assert headline(AuditReport(12, False, (row, waiting, learns))) == (
        "0 of 120 frozen values changed, so far, after step 12 · 1 frozen and verified, 1 frozen, waiting for a first comparison, 1 learning"
    )
    assert headline(AuditReport(40, True, (row, leaks, learns))) == (
        "7 of 107 frozen values changed, complete, after step 40 · 1 leaking, 1 frozen and verified, 1 learning"
    )
    assert headline(AuditReport(40, True, (learns,))) == "nothing is frozen (complete, after step 40) · 1 learning"
    # A look that is older than the run says so.
    assert "so far, after step 12 of 568 (the next look follows) ·" in headline(AuditReport(12, False, (row, learns)), 568)
    assert "so far, after step 12 ·" in headline(AuditReport(12, False, (row, learns)), 12)
    assert headline(AuditReport(40, True, (learns,)), 41) == "nothing is frozen (complete, after step 40) · 1 learning"
