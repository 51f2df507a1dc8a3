"""The catalogue's names and options: found, checked and refused in words."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog import (
    CATALOGUES,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    STARTING_WEIGHTS,
    Entry,
    Option,
)
from core.catalog.faults import PRESETS, Preset
from core.config import ConfigError, RunConfig
from core.config.entry import by_name, check_options, find, suggest, with_defaults
from core.config.limits import quoted
from tests.support import ROOT

KINDS: dict[str, Mapping[str, Entry]] = {**CATALOGUES, "starting_weights": STARTING_WEIGHTS}


# Names and options


@pytest.mark.parametrize("field", KINDS)
def test_every_entry_says_what_it_is(field: str) -> None:
    for name, entry in KINDS[field].items():
        assert entry.name == name
        assert entry.label.strip() == entry.label != ""
        assert entry.about.endswith((".", ")")), name
        assert len(entry.about) > 20
        for option in entry.options:
            assert option.about, f"{name}.{option.name}"
            assert option.default is None or option.parse(field, option.default) == option.default, f"{name}.{option.name}"


def test_every_name_and_option_is_its_own() -> None:
    with pytest.raises(ValueError, match="twice"):
        by_name((Entry("a", "A", ""), Entry("a", "B", "")))
    for entries in KINDS.values():
        for entry in entries.values():
            names = [option.name for option in entry.options]
            assert len(set(names)) == len(names)


@given(st.sampled_from([(field, name) for field, entries in KINDS.items() for name in entries]), st.data())
def test_a_name_is_found_with_any_case_and_any_separator(which: tuple[str, str], data: st.DataObject) -> None:
    field, name = which
    typed = "".join(
        data.draw(st.sampled_from(["_", "-", " ", " - "])) if letter in "_- " else data.draw(st.sampled_from([letter.lower(), letter.upper()]))
        for letter in name
    )
    assert find(KINDS[field], field, f" {typed} ").name == name


@given(st.sampled_from(sorted(KINDS)), st.text())
def test_any_other_name_is_refused_with_field_value_and_remedy(field: str, name: str) -> None:
    try:
        found = find(KINDS[field], field, name)
    except ConfigError as error:
        assert error.field == field
        assert quoted(name) in error.message or (not name.strip() and error.message.startswith("is empty; choose one of"))
        assert "choose one of" in error.message or "did you mean" in error.message or "could be" in error.message
    else:
        assert found.name in KINDS[field]


@pytest.mark.parametrize(
    ("field", "typed", "found"),
    [
        ("model", "ResNet 18", "resnet18"),
        ("model", "ResNet-18", "resnet18"),
        ("model", "mnasnet0.5", "mnasnet0_5"),
        ("model", "RegNet-X-16GF", "regnet_x_16gf"),
        ("model", "regnet_x_1.6gf", "regnet_x_1_6gf"),
        ("dataset", "cifar-10", "CIFAR10"),
        ("optimizer", "adamw", "AdamW"),
        ("loss", "cross entropy", "CrossEntropyLoss"),
        ("schedule", "cosine", "CosineAnnealingLR"),
    ],
)
def test_what_people_type_is_understood(field: str, typed: str, found: str) -> None:
    assert find(KINDS[field], field, typed).name == found


def test_a_name_that_could_be_two_models_is_not_guessed() -> None:
    with pytest.raises(ConfigError, match="could be regnet_x_1_6gf or regnet_x_16gf"):
        find(MODELS, "model", "regnetx16gf")


@pytest.mark.parametrize(
    ("field", "name", "close"),
    [("model", "resnet19", "resnet18"), ("model", "mobilenet", "mobilenet_v2"), ("optimizer", "Adan", "Adam"), ("loss", "MSE", "MSELoss")],
)
def test_a_wrong_name_is_answered_with_close_ones(field: str, name: str, close: str) -> None:
    assert close in suggest(KINDS[field], name)


ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.floats(), max_size=3))


@given(st.sampled_from([option for entries in KINDS.values() for entry in entries.values() for option in entry.options]), ANYTHING)
def test_an_option_takes_what_is_in_its_range_and_nothing_else(option: Option, value: Any) -> None:
    try:
        parsed = option.parse("loss_options", value)
    except ConfigError as error:
        assert error.field == "loss_options"
        assert option.name in error.message
        assert option.accepts in error.message
        assert quoted(value) in error.message or ((value is None or not str(value).strip()) and f"{option.name} is empty" in error.message)
        return
    if parsed is None:
        assert option.default is None
        return
    assert option.parse("loss_options", parsed) == parsed
    for number in parsed if isinstance(parsed, list) else [parsed]:
        if option.kind in ("int", "float", "floats"):
            assert isinstance(number, int | float)
            assert math.isfinite(number)
            assert option.low is None or number >= option.low
            assert option.high is None or number <= option.high


def test_options_are_found_without_their_underscores_and_read_from_text() -> None:
    assert check_options(OPTIMIZERS["AdamW"], "optimizer_options", {"Betas": "0.8, 0.9", "amsgrad": "true"}) == {"betas": [0.8, 0.9], "amsgrad": True}
    assert check_options(SCHEDULES["OneCycleLR"], "schedule_options", {"pct-start": "0.5"}) == {"pct_start": 0.5}
    assert check_options(LOSSES["MultiMarginLoss"], "loss_options", {"p": 2.0}) == {"p": 2}


def test_defaults_fill_in_what_was_not_given() -> None:
    assert with_defaults(OPTIMIZERS["SGD"], {"nesterov": True}) == {"nesterov": True, "dampening": 0.0}


# check


def test_check_writes_every_name_as_the_catalogue_does() -> None:
    config = RunConfig(
        dataset="Fashion-MNIST", model="ResNet-18", loss="cross-entropy loss", optimizer="sgd", schedule="one cycle lr", starting_weights="Pretrained"
    )
    checked = catalog.check(config)
    assert (checked.dataset, checked.model, checked.loss) == ("FashionMNIST", "resnet18", "CrossEntropyLoss")
    assert (checked.optimizer, checked.schedule, checked.starting_weights) == ("SGD", "OneCycleLR", "pretrained")
    assert catalog.check(checked) == checked


def test_check_leaves_the_default_run_as_it_is() -> None:
    assert catalog.check(RunConfig()) == RunConfig()


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"dataset": "minst"}, "dataset", ["'minst'", "MNIST"]),
        ({"dataset": "folder"}, "dataset", ["folder:PATH"]),
        ({"model": "resnet19"}, "model", ["'resnet19'", "resnet18"]),
        ({"loss": "BCELoss"}, "loss", ["'BCELoss'"]),
        ({"optimizer": "LBFGS"}, "optimizer", ["'LBFGS'", "AdamW"]),
        ({"schedule": "ReduceLROnPlateau"}, "schedule", ["'ReduceLROnPlateau'"]),
        ({"augmentation": "flop"}, "augmentation", ["'flop'", "flip"]),
        ({"image_size": 64, "model": "inception_v3"}, "image_size", ["inception_v3", "64", "299"]),
        ({"image_size": 62, "model": "alexnet"}, "image_size", ["62", "63", "224"]),
        ({"image_size": 100, "model": "vit_b_16"}, "image_size", ["100", "96", "112"]),
        ({"image_size": 300, "model": "maxvit_t"}, "image_size", ["300", "224"]),
        ({"momentum": 0.5}, "momentum", ["AdamW", "0.5", "betas", "SGD"]),
        ({"weight_decay": 0.1, "optimizer": "Rprop"}, "weight_decay", ["Rprop", "0.1", "AdamW"]),
        ({"optimizer_options": {"lr": 1.0}}, "optimizer_options", ["learning_rate", "1.0"]),
        ({"optimizer_options": {"momentum": 0.5}, "optimizer": "SGD"}, "optimizer_options", ["set momentum", "0.5"]),
        ({"optimizer_options": {"beta": 0.5}}, "optimizer_options", ["'beta'", "betas"]),
        ({"optimizer_options": {"betas": [0.5, 1.0]}}, "optimizer_options", ["betas", "[0.5, 1.0]", "below 1"]),
        ({"optimizer": "SGD", "momentum": 0, "optimizer_options": {"nesterov": True}}, "optimizer_options", ["nesterov", "momentum 0.0"]),
        ({"optimizer": "SGD", "optimizer_options": {"nesterov": True, "dampening": 0.5}}, "optimizer_options", ["dampening 0.5"]),
        ({"optimizer": "Rprop", "optimizer_options": {"etas": [1.5, 2]}}, "optimizer_options", ["etas", "[1.5, 2.0]"]),
        ({"optimizer": "Rprop", "optimizer_options": {"step_sizes": [2, 1]}}, "optimizer_options", ["step_sizes", "[2.0, 1.0]"]),
        ({"loss_options": {"label_smoothing": 1}}, "loss_options", ["label_smoothing", "below 1", "1"]),
        ({"loss": "NLLLoss", "loss_options": {"label_smoothing": 0.1}}, "loss_options", ["no option 'label_smoothing'", "leave it out"]),
        ({"schedule": "StepLR", "schedule_options": {"step_size": 0}}, "schedule_options", ["step_size", "above 0"]),
        ({"schedule": "CyclicLR", "schedule_options": {"mode": "round"}}, "schedule_options", ["'round'", "triangular"]),
        ({"schedule": "CyclicLR", "schedule_options": {"base_lr": 1.0}}, "schedule_options", ["base_lr", "0.001"]),
        ({"schedule": "OneCycleLR", "optimizer": "Rprop", "schedule_options": {"cycle_momentum": True}}, "schedule_options", ["Rprop", "SGD"]),
        ({"schedule": "OneCycleLR", "schedule_options": {"three_phase": True, "pct_start": 0.6}}, "schedule_options", ["three_phase", "0.6"]),
        ({"starting_weights": "pretraind"}, "starting_weights", ["'pretraind'", "pretrained", ".safetensors"]),
        ({"starting_weights": "pretrained", "model": "mlp"}, "starting_weights", ["mlp", "random"]),
        ({"starting_weights": "nowhere.pth"}, "starting_weights", ["nowhere.pth", "does not exist"]),
    ],
)
def test_check_names_field_value_and_remedy(values: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        catalog.check(RunConfig(**values))
    assert refused.value.field == field
    for word in words:
        assert word in refused.value.message


def test_check_makes_the_path_of_a_weights_file_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "mine.pth")
    monkeypatch.chdir(tmp_path)
    assert catalog.check(RunConfig(starting_weights="mine.pth")).starting_weights == str(tmp_path / "mine.pth")


def test_check_refuses_a_weights_path_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "mine.ckpt").write_bytes(b"")
    for value, words in ((tmp_path / "mine.ckpt", "it is empty"), (tmp_path, "is a folder"), (tmp_path / "none.pth.tar", "does not exist")):
        with pytest.raises(ConfigError, match=words):
            catalog.check(RunConfig(starting_weights=str(value)))


def test_reading_and_checking_the_catalogue_never_loads_torch(tmp_path: Path) -> None:
    program = """
import sys
from core import catalog
from core.config import RunConfig
catalog.check(RunConfig(model="ResNet-18", schedule="OneCycleLR", optimizer="sgd"))
catalog.class_names("digits", None)
assert not {"torch", "torchvision"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize(
    ("optimizer", "option", "value"),
    [
        ("Rprop", "step_sizes", [-0.5, 50.0]), ("Rprop", "step_sizes", [0.0, 50.0]), ("Rprop", "etas", [0.5, 0.9]), ("ASGD", "lambd", -0.1),
        ("AdamW", "betas", [0.9, 1.0]), ("AdamW", "eps", -1e-8), ("SGD", "dampening", -0.1), ("RMSprop", "alpha", 1.5), ("Adadelta", "rho", -0.1),
    ],
)  # fmt: skip
def test_settings_that_no_optimizer_can_use_are_refused(optimizer: str, option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=option):
        catalog.check(RunConfig(optimizer=optimizer, optimizer_options={option: value}))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_the_numbers_in_the_words_of_a_preset_are_those_of_its_run(preset: Preset) -> None:
    for words, value in (("weight decay", preset.config.weight_decay), ("learning rate", preset.config.learning_rate)):
        for said in re.findall(rf"{words} of (\d+(?:\.\d+)?)", preset.what):
            assert float(said) == value, preset.what
