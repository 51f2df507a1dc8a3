"""The grid of the timeline editor: texts to cells, edits to texts, and what both say in words."""

from __future__ import annotations

import itertools
import random

import pytest

from core.config import ConfigError, RunConfig
from core.config.plans import FreezePlan, Multipliers, Timeline
from core.model import anatomy
from core.records.layers import ParameterInfo, blocks, check_timeline
from pages._parts.components.timeline_editor import grid, patterns

EVERYTHING = FreezePlan()


def plan(text: str) -> FreezePlan:
    return RunConfig(freeze=text).freeze


def timeline(text: str) -> Timeline:
    return Timeline.model_validate(text)


def parameters_of(model: str = "resnet18") -> tuple[ParameterInfo, ...]:
    return anatomy.describe(model, 10, 32).parameters


def blocks_of(parameters: tuple[ParameterInfo, ...]) -> dict[str, tuple[str, ...]]:
    return blocks(parameter.name for parameter in parameters)


def picture(freeze: FreezePlan, changes: Timeline, epochs: int, model: str = "resnet18", most: int = 40) -> dict[str, str]:
    """The whole grid: block to one character a column."""
    parameters = parameters_of(model)
    course = grid.stretches(freeze, changes, parameters)
    spans = grid.columns(epochs, most)
    return {path: grid.cells(course, names, spans) for path, names in blocks_of(parameters).items()}


def edit(freeze: str, changes: str, path: str, first: int, last: int | None, frozen: bool) -> tuple[str, str]:
    after = grid.with_block(plan(freeze), timeline(changes), parameters_of(), path, first, last, frozen)
    return str(after[0]), str(after[1])


def test_the_grid_shows_presets_patterns_and_several_changes_of_one_epoch() -> None:
    shown = picture(plan("head only"), timeline("3: !layer4; 3: !layer3.1; 6: train everything"), 7)
    assert shown == {
        "conv1": "1111100", "bn1": "1111100", "layer1": "1111100", "layer2": "1111100", "layer3": "1122200", "layer4": "1100000", "fc": "0000000",
    }  # fmt: skip


def test_a_column_of_several_epochs_is_mixed_where_they_differ() -> None:
    assert grid.columns(5) == ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5))
    assert grid.columns(41)[:2] == ((1, 2), (3, 4))
    assert grid.columns(41)[-1] == (41, 41)
    assert max(len(grid.columns(epochs)) for epochs in (39, 40, 41, 81, 1000, 100_000)) == 40
    shown = picture(plan("head only"), timeline("4: !layer4"), 10, most=5)
    assert shown["layer4"] == "12000", "epochs 3 and 4 share a column, and only in 4 does it learn"


def test_a_click_is_one_rule_from_that_epoch_on() -> None:
    assert edit("head only", "", "layer4", 3, None, frozen=False) == ("head only", "3: !layer4")
    assert edit("head only", "3: !layer4", "layer3", 4, None, frozen=False) == ("head only", "3: !layer4; 4: !layer3")


def test_a_click_in_the_first_epoch_is_a_switch_of_the_plan() -> None:
    assert edit("head only", "", "layer4", 1, None, frozen=False) == ("head only, !layer4", "")
    assert edit("head only, !layer4", "", "layer4", 1, None, frozen=True) == ("head only, layer4", "")


def test_a_drag_ends_where_it_ends_and_dragging_back_leaves_nothing_behind() -> None:
    there = edit("head only", "", "layer4", 3, 5, frozen=False)
    assert there == ("head only", "3: !layer4; 6: layer4")
    assert edit(*there, "layer4", 3, 5, frozen=True) == ("head only", "")


def test_a_drag_puts_back_what_was_frozen_in_part() -> None:
    freeze, changes = edit("head only, !layer4.1", "", "layer4", 3, 4, frozen=False)
    shown = picture(plan(freeze), timeline(changes), 6)
    assert shown["layer4"] == "220022"
    parameters = parameters_of()
    course = grid.stretches(plan(freeze), timeline(changes), parameters)
    assert course[0].frozen == course[-1].frozen


def test_a_preset_inside_the_timeline_stays_when_something_else_is_edited() -> None:
    there = edit("head only", "6: train everything", "layer1", 2, None, frozen=False)
    assert there == ("head only", "2: !layer1; 6: train everything")
    # It would undo this edit, so a rule is added behind it, and goes again with the edit.
    there = edit("train everything", "6: train everything", "layer1", 2, None, frozen=True)
    assert there == ("train everything", "2: layer1; 6: train everything, layer1")
    assert edit(*there, "layer1", 2, None, frozen=False) == ("train everything", "6: train everything")


def test_learning_rates_and_changes_at_a_step_are_never_lost() -> None:
    changes = "3: !layer4, learning_rate=0.0005, fc=2; step 900: !conv1; step 40: learning_rate=0.1"
    assert edit("head only", changes, "layer4", 3, None, frozen=True) == (
        "head only",
        "3: learning_rate=0.0005, fc=2; step 900: !conv1; step 40: learning_rate=0.1",
    )
    assert edit("head only", changes, "layer2", 3, None, frozen=False)[1].startswith("3: !layer4, learning_rate=0.0005, fc=2, !layer2; ")


def test_an_edit_that_leaves_nothing_to_train_is_refused_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match="in epoch 4.*nothing would learn; leave at least one trainable") as refusal:
        edit("head only", "", "fc", 4, None, frozen=True)
    assert refusal.value.field == "timeline"
    with pytest.raises(ConfigError, match="nothing would learn"):
        edit("head only", "", "fc", 1, None, frozen=True)


def test_a_timeline_that_names_no_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"in epoch 2: the pattern 'layer9' matches no layer"):
        grid.stretches(EVERYTHING, timeline("2: layer9"), parameters_of())


@pytest.mark.parametrize("model", ["resnet18", "small_cnn"])
def test_any_sequence_of_edits_shows_what_was_painted(model: str) -> None:
    """Against a picture painted by hand, cell by cell: only the edited cells change, whatever stood in the texts before."""
    chance = random.Random(model)
    parameters, epochs = parameters_of(model), 9
    names = list(blocks_of(parameters))
    for start in ("train everything", "head only", "last stage", "norms only", f"{names[0]}, {names[2]}"):
        freeze, changes = plan(start), timeline(f"4: {start if ',' not in start else names[1]}; 7: train everything; step 5: {names[0]}")
        painted = picture(freeze, changes, epochs, model)
        for _ in range(40):
            path, first = chance.choice(names), chance.randint(1, epochs)
            last, frozen = chance.choice([None, *range(first, epochs)]), chance.random() < 0.5
            try:
                freeze, changes = grid.with_block(freeze, changes, parameters, path, first, last, frozen)
            except ConfigError as error:
                assert "nothing would learn" in str(error)
                continue
            end = epochs if last is None else last
            painted[path] = painted[path][: first - 1] + ("1" if frozen else "0") * (end - first + 1) + painted[path][end:]
            again = plan(str(freeze)), timeline(str(changes))
            assert again == (freeze, changes), "what is written is read the same"
            assert picture(*again, epochs, model) == painted
            assert str(changes).endswith(f"step 5: {names[0]}")
        check_timeline(RunConfig(freeze=freeze, timeline=changes, epochs=epochs), parameters)


# Learning-rate multipliers


def test_a_factor_is_one_rule_and_a_factor_of_1_needs_none() -> None:
    parameters = parameters_of()
    given = grid.with_factor(Multipliers(), parameters, "layer4", 0.3)
    assert str(given) == "layer4=0.3"
    assert str(grid.with_factor(given, parameters, "layer4", 1)) == ""
    under_a_role = Multipliers.model_validate("last stage=0.1")
    assert str(grid.with_factor(under_a_role, parameters, "layer4", 1)) == "last stage=0.1, layer4=1", "else the role would decide"
    with pytest.raises(ConfigError, match="above 0"):
        grid.with_factor(given, parameters, "layer4", 0)


def test_a_block_whose_layers_differ_has_several_factors() -> None:
    parameters = parameters_of()
    found = grid.block_factors(Multipliers.model_validate("stem=0.01, layer4.1=2"), parameters, blocks_of(parameters))
    assert (found["conv1"], found["layer1"], found["layer4"]) == ((0.01,), (1.0,), (1.0, 2.0))


# Patterns and words


def course_of(freeze: FreezePlan, changes: Timeline, model: str = "resnet18") -> tuple[grid.Stretch, ...]:
    return grid.stretches(freeze, changes, parameters_of(model))


def in_words(freeze: str, changes: str, epochs: int = 8) -> str:
    parameters = parameters_of()
    return patterns.in_words(course_of(plan(freeze), timeline(changes)), parameters, blocks_of(parameters), epochs)


@pytest.mark.parametrize("model", ["resnet18", "small_cnn", "densenet121", "googlenet"])
@pytest.mark.parametrize(("epochs", "spread"), list(itertools.product((1, 2, 3, 10, 100), (False, True))))
def test_gradual_unfreezing_begins_with_the_head_and_ends_with_everything(model: str, epochs: int, spread: bool) -> None:
    parameters = parameters_of(model)
    freeze, changes = patterns.gradual(parameters, blocks_of(parameters), epochs, spread)
    check_timeline(RunConfig(freeze=freeze, timeline=changes, epochs=epochs), parameters)  # and none comes after the last epoch
    course = grid.stretches(freeze, changes, parameters)
    heads = {parameter.name for parameter in parameters if parameter.role == "head"}
    assert course[0].frozen == {parameter.name for parameter in parameters} - heads
    for before, after in itertools.pairwise(course):
        assert after.frozen < before.frozen
        frozen = [parameter.name in after.frozen for parameter in parameters if parameter.role != "head"]
        if model != "googlenet":  # whose auxiliary classifiers stand in the middle
            assert frozen == sorted(frozen, reverse=True), "from the head down: what is frozen comes before what learns"
    if epochs > 1:
        assert not course[-1].frozen


def test_gradual_unfreezing_takes_an_epoch_a_block_or_all_there_are() -> None:
    parameters = parameters_of()
    groups = blocks_of(parameters)
    assert str(patterns.gradual(parameters, groups, 20, spread=False)[1]) == "2: !layer4; 3: !layer3; 4: !layer2; 5: !layer1; 6: train everything"
    assert str(patterns.gradual(parameters, groups, 12, spread=True)[1]) == "3: !layer4; 5: !layer3; 7: !layer2; 9: !layer1; 11: train everything"
    assert str(patterns.gradual(parameters, groups, 3, spread=False)[1]) == "2: !layer4, !layer3; 3: train everything"


def test_discriminative_rates_fall_from_the_head_to_the_stem() -> None:
    parameters = parameters_of()
    multipliers = patterns.discriminative(parameters, blocks_of(parameters))
    found = grid.block_factors(multipliers, parameters, blocks_of(parameters))
    assert found["fc"] == (1.0,)
    assert found["layer4"] == (0.38,)
    assert found["conv1"] == found["bn1"] == (0.0084,), "the stem is one group"


@pytest.mark.parametrize(
    ("freeze", "changes", "said"),
    [
        ("train everything", "", "Everything learns, from the first epoch to the last."),
        ("head only", "", "The head learns for all 8 epochs; the rest stays frozen."),
        ("last stage", "", "layer4 and the head learn for all 8 epochs; the rest stays frozen."),
        ("head only", "3: !layer4; 6: train everything", "The head learns from epoch 1, layer4 from 3, everything from 6."),
        ("all but stem", "2: train everything", "layer1 to layer4 and the head learn from epoch 1, everything from 2."),
        ("head only", "3: !layer4.1", "The head learns from epoch 1, part of layer4 from 3."),
        ("train everything", "5: layer1", "Everything learns from epoch 1. layer1 is frozen from epoch 5."),
        ("head only", "2: !layer4; 4: layer4", "The head learns from epoch 1, layer4 from 2. layer4 is frozen from epoch 4."),
    ],
)
def test_a_course_is_said_in_words(freeze: str, changes: str, said: str) -> None:
    assert in_words(freeze, changes) == said


def test_a_long_course_is_shortened() -> None:
    parameters = anatomy.describe("vit_b_16", 10, 32).parameters
    groups = blocks_of(parameters)
    freeze, changes = patterns.gradual(parameters, groups, 50, spread=False)
    said = patterns.in_words(grid.stretches(freeze, changes, parameters), parameters, groups, 50)
    assert "and so on, everything from" in said
    assert len(said) < 300


def test_what_the_grid_cannot_show_is_said_below_it() -> None:
    said = patterns.in_other_words(timeline("3: !layer4; 4: learning_rate=0.1; step 900: head only, !layer4, layer3=0.5; step 7: fc"))
    assert said == (
        "Epoch 4: the learning rate becomes 0.1.",
        "Step 900: what learns begins anew with `head only`, `layer4` learns, the learning rate of `layer3` is multiplied by 0.5.",
        "Step 7: `fc` is frozen.",
    )
