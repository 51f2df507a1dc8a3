"""RunConfig: defaults, ranges, JSON, what goes together, and errors that say what to do."""

from __future__ import annotations

import inspect
import json
import pickle

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog import OPTIMIZERS
from core.config import EXAMPLES, MEASURED, ConfigError, RunConfig
from core.config.plans import PRESETS, FreezePlan


def test_default_config_survives_json() -> None:
    config = RunConfig()
    assert RunConfig.from_json(config.to_json()) == config


def test_what_nobody_set_is_what_it_always_was() -> None:
    """Commands and configs that leave a field out mean this value for ever: a new default makes another run of them."""
    given = RunConfig().model_dump(mode="json")
    assert {name: given[name] for name in DEFAULTS} == DEFAULTS
    others = given.keys() - DEFAULTS.keys()
    assert all(given[name] in (None, "", {}, [], False, "none", "auto", "exact", "off") for name in others), {name: given[name] for name in others}


DEFAULTS = {
    "dataset": "digits", "model": "resnet18", "image_size": 64, "fit": "crop", "starting_weights": "random", "freeze": "train everything",
    "loss": "CrossEntropyLoss", "optimizer": "AdamW", "learning_rate": 1e-3, "schedule": "constant", "batch_size": 32, "epochs": 5,
    "precision": "float32", "seed": 0, "watch_every": 10, "validation_share": 0.2, "doubles": "keep", "accumulate": 1,
    "memory_format": "contiguous", "frozen_randomness": True, "feature_cache_gigabytes": 8.0, "watch_budget": 0.02,
    "checkpoint_minutes": 5.0,
    "devices": "1",
    "nodes": 1,
    "restarts": 0,
    "silence_seconds": 25.0,
    "target": "here",
}  # fmt: skip


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
        ("accumulate", 0, "1 or more"),
        ("accumulate", True, "number"),
        ("clip_norm", 0, "above 0"),
        ("clip_norm", -1, "above 0"),
        ("clip_norm", float("nan"), "finite"),
        ("clip_norm", float("inf"), "finite"),
        ("class_weights", "heavy", "'none' or 'balanced'"),
        ("class_weights", True, "'none' or 'balanced'"),
        ("doubles", "drop", "'keep' or 'leave out'"),
        ("speed", "fast", "automatic"),
        ("memory_format", "channels_first", "channels_last"),
        ("fused_optimizer", "perhaps", "true or false"),
        ("compile_model", 3, "true or false"),
        ("fold_norms", None, "is empty, and must be true or false"),
        ("threads", 0, "1 or more"),
        ("feature_cache", "float32", "float16"),
        ("feature_cache_gigabytes", 0, "above 0"),
        ("fixed_views", 0, "1 or more"),
        ("watch_budget", 0, "above 0"),
        ("watch_budget", 2, "1 or less"),
    ],
)
def test_bad_value_is_refused_with_its_field_and_value(field: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**{field: value})
    assert caught.value.field == field
    assert words in str(caught.value)
    assert value is None or repr(value) in str(caught.value) or str(value) in str(caught.value).replace("NaN", "nan")


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


@pytest.mark.parametrize(("field", "value"), list(zip(MEASURED, ("bfloat16", "channels_last", True, True, True, True), strict=True)))
def test_what_automatic_decides_cannot_be_chosen_beside_it(field: str, value: object) -> None:
    assert getattr(RunConfig(**{field: value}), field) == value
    with pytest.raises(ConfigError, match="speed is automatic, which decides that itself; set speed to exact, or") as caught:
        RunConfig(**{field: value, "speed": "automatic"})
    assert caught.value.field == field
    assert ("true" if value is True else repr(value)) in caught.value.message


def test_threads_and_features_can_be_chosen_beside_automatic() -> None:
    config = RunConfig(speed="automatic", threads=1, feature_cache="float16", accumulate=2, clip_norm=1.0)
    assert RunConfig.from_json(config.to_json()) == config


def test_folding_needs_features_that_are_kept() -> None:
    with pytest.raises(ConfigError, match=r"fold_norms: true has nothing to fold into.*set feature_cache to exact"):
        RunConfig(fold_norms=True, feature_cache="off")


def test_fused_is_for_the_optimizers_that_torch_says_can_do_it() -> None:
    for name, entry in OPTIMIZERS.items():
        assert entry.fused == ("fused" in inspect.signature(getattr(torch.optim, name)).parameters), name
    with pytest.raises(ConfigError, match=r"fused_optimizer: true cannot be had with Rprop.*AdamW, SGD, Adam or Adagrad"):
        catalog.check(RunConfig(optimizer="rprop", fused_optimizer=True))
    assert catalog.check(RunConfig(optimizer="sgd", fused_optimizer=True)).fused_optimizer


def test_fixed_views_need_random_pictures() -> None:
    with pytest.raises(ConfigError, match=r"fixed_views: 4 needs random pictures, and augmentation 'none' makes none; leave it empty, or"):
        catalog.check(RunConfig(fixed_views=4, augmentation="None"))
    assert catalog.check(RunConfig(fixed_views=4, augmentation="shift")).fixed_views == 4


def test_more_threads_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: 6)
    assert catalog.check(RunConfig(threads=6)).threads == 6
    with pytest.raises(ConfigError, match=r"threads: 7 are more than this machine's 6 processor cores; use 6 or less, or leave it empty"):
        catalog.check(RunConfig(threads=7))


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
