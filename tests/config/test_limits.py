"""What is far too much is refused before it is looked into, and never written out whole; what is empty or half a number is said to be so."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from core import catalog, networks
from core.catalog import optimizers
from core.commands.cli import main
from core.config import EXAMPLES, ConfigError, RunConfig, limits
from core.config.entry import Option
from core.config.plans import Change, FreezePlan
from core.machine.home import Home
from core.records.layers import ParameterInfo, check_timeline, frozen_parameters

LONG = "a" * 150_000


def nested(depth: int) -> Any:
    inside: Any = 1
    for _ in range(depth):
        inside = [inside]
    return inside


def refusal(field: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        catalog.check(RunConfig(**{field: value}))
    assert caught.value.field == field
    return caught.value.message


@pytest.mark.parametrize("field", RunConfig.model_fields)
@pytest.mark.parametrize(
    "value", [LONG, {"a": LONG}, nested(5000), {LONG: 1}, list(range(50_000)), 10**5000], ids=["text", "in", "deep", "key", "many", "int"]
)
def test_no_field_takes_or_writes_out_what_is_far_too_much(field: str, value: Any) -> None:
    assert len(refusal(field, value)) < 1000


def test_the_refusal_says_how_much_and_how_much_may_be() -> None:
    assert refusal("dataset", LONG).startswith("has 150,000 characters, more than the 4,096 that can be used (it begins with 'aaaa")
    assert refusal("optimizer_options", {"eps": nested(500)}).startswith("has more than 8 lists or objects inside each other; try")
    assert refusal("freeze", "b" * 300).startswith("has a rule of 300 characters, more than the 200 that a name pattern may have, got 'bbb")
    assert refusal("freeze", "a," * 1500).startswith("has 1,501 parts, more than the 1,000 that can be used")
    assert refusal("timeline", "2: a;" * 1500).startswith("has 1,501 parts, more than the 1,000 that can be used")
    assert refusal("model", "r" * 5000).startswith("'rrr")
    assert "has 5,000 characters, more than any name; choose one of small_cnn" in refusal("model", "r" * 5000)


def test_a_change_and_a_network_are_cut_too() -> None:
    for text in ("!" + LONG, f"{LONG}=3", "learning_rate=" + LONG):
        with pytest.raises(ConfigError) as caught:
            Change.parse(text)
        assert len(caught.value.message) < 600
    with pytest.raises(ConfigError) as caught:
        networks.entry("mine: " + "x" * 15_000)
    assert len(caught.value.message) < 700  # 240 of them what was typed, 300 what can be written


def test_a_message_that_nobody_cut_is_cut_in_the_middle() -> None:
    error = ConfigError("x" * 500, f"{LONG} is wrong; leave it out")
    assert len(str(error)) < 1500
    assert error.message.endswith(" is wrong; leave it out")


def test_quotes_keep_both_ends() -> None:
    assert limits.quoted("short") == "'short'"
    assert limits.quoted("a" * 500 + "z").endswith("az'")
    assert len(limits.quoted("a" * 500)) == 240
    assert limits.quoted(10**5000) == "a number of about 5,000 digits"
    assert limits.quoted(nested(1000)) == "[[[[...]]]]"


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (codecs.BOM_UTF8 + b'{"epochs": 2.5}', 2, "epochs: must be a whole number, got 2.5; try 5"),
        ('{"epochs": 2.5}'.encode("utf-16"), 2, "epochs: must be a whole number, got 2.5; try 5"),
        (b'{"epochs": 2.5}', 2, "epochs: must be a whole number, got 2.5; try 5"),
        (b"[" * 100_000 + b"]" * 100_000, 2, "config: the JSON text has more than 8 lists or objects inside each other"),
        (b'{"seed": ' + b"9" * 5000 + b"}", 2, "config: the JSON text has a number of more digits than Python reads"),
        (b'{"seed": ' + b"9" * 4000 + b"}", 2, "seed: must be 4294967295 or less, got a number of about 4,000 digits"),
        (b" " * 1_500_000, 2, "config: the JSON text has 1,000,001 characters, more than the 1,000,000 that can be read"),
        (json.dumps({f"k{number}": 1 for number in range(5000)}).encode(), 2, "config: has 5,000 fields; a run has"),
        (b"\xff\xfe\x00\xd8", 2, "is not text; give the path of a JSON file"),
        (b"", 2, "config: is not JSON"),
    ],
)
def test_a_config_file_of_any_kind_is_read_or_refused_in_one_line(
    content: bytes, status: int, words: str, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    assert main(["train", "--config", str(file), "--home", str(home.path)]) == status
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert len(said) < 1000


@pytest.mark.parametrize("field", RunConfig.model_fields)
def test_a_flag_that_is_empty_is_said_to_be_empty(field: str, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    may_be_empty = field == "timeline" or field == "learning_rate_multipliers" or RunConfig.model_fields[field].default is None
    status = main(["train", f"--{field.replace('_', '-')}", "", "--dataset", "nothing" if field != "dataset" else "", "--home", str(home.path)])
    said = capsys.readouterr().err
    assert status == 2
    if may_be_empty:
        assert said.startswith("thaw: dataset: there is no dataset 'nothing'")
        return
    assert said.startswith(f"thaw: {field}: ")
    assert "empty" in said or "''" in said and field.endswith("_options")
    assert "None" not in said
    assert ", got ''" not in said
    assert EXAMPLES[field] in said or field == "freeze"


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--epochs", "2.5", "epochs: must be a whole number, got '2.5'; try 5"),
        ("--epochs", "1e3", "epochs: must be a whole number, got '1e3'; try 5"),
        ("--seed", "9" * 29, f"seed: must be 4294967295 or less, got '{'9' * 29}'; try 0"),
        ("--seed", "9" * 150, "seed: must be 4294967295 or less, got '9999"),
        ("--learning-rate", "0,001", "learning_rate: must be a finite number, got '0,001'; try 0.001"),
        ("--optimizer-options", '{"eps": ""}', "optimizer_options: eps is empty, and must be a finite number 0 or more"),
        (
            "--optimizer-options",
            '{"eps": {"a": 1}}',
            "optimizer_options: an option must be a number, a text, true",
        ),
    ],
)
def test_a_number_is_never_rounded_and_its_message_is_about_it(
    flag: str, value: str, said: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", flag, value, "--home", str(home.path)]) == 2
    assert capsys.readouterr().err.startswith(f"thaw: {said}")


@pytest.mark.parametrize(("arguments", "said"), [
    (["runs", "--limit", "2.5"], "limit: must be a whole number, got '2.5'; try 50"),
    (["runs", "--limit", "-1"], "limit: must be 1 to 1,000,000, got '-1'; try 50"),
    (["evaluate", "x", "--epoch", "1.5"], "epoch: must be a whole number, got '1.5'; try 0"),
    (["evaluate", "x", "--epoch", "9" * 5000], "epoch: must be 0 to 100,000, got '9999"),
    (["explain", "--dataset", "digits", "--samples", "2.5"], "samples: must be a whole number, got '2.5'; try 4"),
    (["show", "9" * 5000], "There is no run '9999"),
    (["change", "9" * 5000, "x"], "There is no run '9999"),
])  # fmt: skip
def test_numbers_and_names_of_other_commands(arguments: list[str], said: str, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--home", str(home.path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"thaw: {said}")
    assert len(err) < 600


def test_what_argparse_refuses_is_cut_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["x" * 100_000])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err) < 3000


def test_a_whole_number_of_an_option_keeps_every_digit() -> None:
    option = Option("steps", "int", 1, low=0)
    assert option.parse("schedule_options", "9007199254740993") == 2**53 + 1
    assert option.parse("schedule_options", 32.0) == option.parse("schedule_options", "32.0") == 32
    with pytest.raises(ConfigError, match=r"steps must be a whole number 0 or more, got '2.5'"):
        option.parse("schedule_options", "2.5")


def test_weights_that_are_no_path_are_refused_in_words(tmp_path: Path) -> None:
    assert "this machine has no such user" in refusal("starting_weights", "~nobody-of-this-name/model.pth")
    assert "zero byte" in refusal("starting_weights", "a\0b.pth")
    assert "is no path that can be used" in refusal("starting_weights", "x" * 3000 + ".pth")


LAYERS = tuple(
    ParameterInfo(f"layer{number}.weight", (1,), 1, f"layer{number}", "Linear", "head" if number == 3 else "body", False) for number in range(4)
)


def test_a_timeline_is_checked_change_by_change_as_it_is_made() -> None:
    check_timeline(RunConfig(freeze="head only", timeline="2: !layer1; 3: layer3; 4: head only, !layer0"), LAYERS)
    with pytest.raises(ConfigError, match=r"'3: layer1': .*freezes every layer"):
        check_timeline(RunConfig(freeze="head only", timeline="2: !layer1, layer3; 3: layer1"), LAYERS)
    with pytest.raises(ConfigError, match=r"'2: layer9=3': the pattern 'layer9' matches no layer.*its roles are"):
        check_timeline(RunConfig(timeline="2: layer9=3"), LAYERS)
    assert frozen_parameters(FreezePlan(rules=("head only", "!layer1", "layer*.weight", "!layer2")), LAYERS) == {
        "layer0.weight", "layer1.weight", "layer3.weight"
    }  # fmt: skip


def test_the_checks_of_optimizers_still_hear_of_options_in_any_spelling() -> None:
    config = catalog.check(RunConfig(optimizer_options={"EPS": "1e-6"}))
    assert optimizers.settings(config)["eps"] == 1e-6
