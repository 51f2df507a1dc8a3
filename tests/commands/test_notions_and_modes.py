"""`python -m core notions` and `python -m core modes`."""

from __future__ import annotations

import json

import pytest

from core.commands.cli import main
from core.machine.home import Home
from core.notions import NOTIONS, SETUP, THEMES
from core.records.modes import COLUMNS, LABELS

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ("--image-size", "16", "--device", "cpu", "--threads", "1")


def test_notions_lists_all_by_theme(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notions", "--home", str(home.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in THEMES] == list(THEMES)
    for name in NOTIONS:
        assert [line for line in lines if line.startswith(f"  {name}: ")], name


@pytest.mark.parametrize("name", ["leaf", "is_leaf", "LEAF  tensor"])
def test_one_notion_with_its_code_and_where_it_is_seen(name: str, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notions", name, "--home", str(home.path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Leaf\n  A leaf is a tensor")
    assert "    model.fc.weight.is_leaf  # True" in out
    assert "See: Autograd: The graph that the gradients flow through" in out


def test_a_notion_that_no_screen_shows_says_so(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notions", "collate_fn", "--home", str(home.path)]) == 0
    assert "Thaw does not show it." in capsys.readouterr().out


def test_notions_as_json(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notions", "--json", "--home", str(home.path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [notion["name"] for notion in told["notions"]] == list(NOTIONS)
    assert told["setup"] == SETUP
    assert main(["notions", "backprop", "--json", "--home", str(home.path)]) == 0
    one = json.loads(capsys.readouterr().out)
    assert (one["name"], one["theme"]) == ("backward", "Gradients and the graph")
    assert one["shown"]["address"] == "autograd?example=own&at=1-backward"


def test_an_unknown_notion_is_refused_with_suggestions(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notions", "bakprop", "--home", str(home.path)]) == 2
    assert "'bakprop' is not in the index; did you mean backprop" in capsys.readouterr().err


def test_modes_prints_a_row_for_each_setting_and_what_it_says(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modes", "small_cnn", *SMALL, "--home", str(home.path)]) == 0
    out = capsys.readouterr().out
    for label in LABELS.values():
        assert f"\n{label}\n" in out
    for name in COLUMNS[1:]:
        assert out.count(f"\n  {name.lower()} ") == len(LABELS)
    assert "small_cnn heeds train() and eval() in 3 BatchNorm layers." in out.replace("Small CNN", "small_cnn")


def test_modes_as_json(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modes", "--model", "mlp", *SMALL, "--samples", "2", "--json", "--home", str(home.path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["norms"], told["eval_differs"]) == (2, 0, False)
    assert {effect["setting"] for effect in told["effects"]} == set(LABELS) - {"at rest"}
    assert told["told"][0].endswith("no BatchNorm, and no dropout above 0.")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["resnet81"], "there is no model 'resnet81'; did you mean resnet18"),
        (["mlp", "--model", "mlp"], "model: is given twice"),
        (["mlp", "--samples", "0"], "samples: must be 1 to 64, got '0'"),
        (["resnet18", "--samples", "1", "--image-size", "32"], "samples: 1 gives batch normalisation too few values"),
    ],
)
def test_modes_refuses_what_cannot_be_used(given: list[str], says: str, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modes", *given, "--device", "cpu", "--home", str(home.path)]) == 2
    assert says in capsys.readouterr().err
