"""RunConfig: defaults, ranges, JSON, and errors that say what to do."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import EXAMPLES, PRESETS, ConfigError, FreezePlan, RunConfig


def test_default_config_survives_json() -> None:
    config = RunConfig()
    assert RunConfig.from_json(config.to_json()) == config


@given(
    learning_rate=st.floats(1e-12, 1000),
    epochs=st.integers(1, 100_000),
    seed=st.integers(0, 2**32 - 1),
    preset=st.sampled_from(list(PRESETS)),
    patterns=st.lists(st.from_regex(r"!?[a-z][a-z0-9_.*]{0,12}", fullmatch=True), max_size=4),
    options=st.dictionaries(st.text(min_size=1, max_size=8), st.floats(-5, 5) | st.booleans() | st.none(), max_size=3),
)
def test_any_valid_config_survives_json(
    learning_rate: float, epochs: int, seed: int, preset: str, patterns: list[str], options: dict[str, float | bool | None]
) -> None:
    config = RunConfig(
        learning_rate=learning_rate, epochs=epochs, seed=seed, freeze=", ".join([preset, *patterns]), optimizer_options=options, momentum=None
    )
    assert RunConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("learning_rate", 0, "above 0"),
        ("learning_rate", float("nan"), "finite"),
        ("learning_rate", float("inf"), "finite"),
        ("learning_rate", True, "number"),
        ("learning_rate", "quick", "number"),
        ("momentum", 1, "below 1"),
        ("weight_decay", -0.1, "0 or more"),
        ("batch_size", 0, "1 or more"),
        ("batch_size", 2.5, "whole number"),
        ("epochs", True, "number"),
        ("image_size", 5000, "1024 or less"),
        ("precision", "float8", "float32"),
        ("dataset", "", "not be empty"),
        ("freeze", "", "empty"),
        ("freeze", "half of it", "neither a preset"),
        ("freeze", "layer1.*, head only", "must come first"),
        ("seed", -1, "0 or more"),
        ("validation_share", 0.95, "0.9 or less"),
        ("optimizer_options", 3, "optimizer_options"),
        ("early_stopping", 0, "1 or more"),
    ],
)
def test_bad_value_is_refused_with_its_field_and_value(field: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**{field: value})
    assert caught.value.field == field
    assert words in str(caught.value)
    assert repr(value) in str(caught.value) or str(value) in str(caught.value).replace("NaN", "nan")


def test_every_field_has_an_example_that_can_be_used() -> None:
    assert set(EXAMPLES) == set(RunConfig.model_fields)
    values = {name: json.loads(text) if text[0] in "{" else text.strip("'") for name, text in EXAMPLES.items()}
    assert RunConfig(**values).early_stopping == 3


def test_unknown_field_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(ConfigError, match=r"lerning_rate.*learning_rate"):
        RunConfig(lerning_rate=0.1)


def test_early_stopping_needs_a_validation_set() -> None:
    with pytest.raises(ConfigError, match=r"early_stopping.*validation_share"):
        RunConfig(early_stopping=3, validation_share=0)


@pytest.mark.parametrize("text", ["", "[1]", "{", "3"])
def test_text_that_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="config"):
        RunConfig.from_json(text)


def test_changes_are_what_differs_from_the_defaults() -> None:
    assert RunConfig(epochs=7, freeze="head only").changes() == {"epochs": 7, "freeze": "head only"}


def test_replace_validates_again() -> None:
    with pytest.raises(ConfigError, match="epochs"):
        RunConfig().replace(epochs=0)


def test_config_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ConfigError("seed", "is odd")))
    assert (error.field, error.message) == ("seed", "is odd")


def test_toggling_a_module_replaces_the_earlier_rules_about_it() -> None:
    plan = FreezePlan.model_validate("head only, !layer4.1.conv1, layer4")
    assert str(plan.with_module("layer4", frozen=False)) == "head only, !layer4"
    assert str(plan.with_module("layer4.0", frozen=False)) == "head only, !layer4.1.conv1, layer4, !layer4.0"
