"""`check` and `doubts` on the command line: what they print, what they change, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core import versions
from core.commands.cli import main
from core.machine.home import Home
from tests.curating.planted import NAME, drawn, item, saved, version


@pytest.fixture
def planted(tmp_path: Path) -> Home:
    """30 pictures, one of which is there twice in two splits."""
    home = Home.from_environment(str(tmp_path))
    items = [
        item(home, saved(drawn(seed, 24)), f"{'ab'[seed % 2]}/{seed}.png", "ab"[seed % 2], "test" if seed < 6 else "train") for seed in range(30)
    ]
    version(home, [*items, items[0]._replace(name="a/again.png", split="train")])
    return home


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The last line as JSON."""
    found: dict[str, object] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


def test_a_leak_is_found_mended_and_gone(planted: Home, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--home", str(planted.path)]
    assert main(["check", f"own:{NAME}", "--json", *where]) == 1
    assert told(capsys)["duplicates"] == {"leak": 1, "conflict": 0, "loose": 0, "class": 0}
    assert main(["check", NAME, *where]) == 1
    assert "same file: a/0.png (a, test), a/again.png (a, train)" in capsys.readouterr().out
    assert main(["check", NAME, "--mend", "leave-out-of-train", "--json", *where]) == 0
    assert told(capsys) == {"name": NAME, "version": 2, "images": 30, "changed": 1}
    assert versions.read(planted, NAME).note == "1 double left out of train."
    assert main(["check", NAME, "--json", *where]) == 0
    assert main(["check", f"own:{NAME}@1", "--mend", "keep-one", *where]) == 2, "an older version stays as it is"
    assert "has changed meanwhile: version 2 is the newest now" in capsys.readouterr().err


def test_doubts_are_listed_with_what_they_are_worth(planted: Home, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--home", str(planted.path)]
    assert main(["doubts", NAME, "--model", "pixels", "--json", *where]) == 0
    found = told(capsys)
    assert (found["judged"], found["blind"]) == (31, True)
    assert main(["doubts", NAME, "--model", "pixels", *where]) == 0
    assert "take its doubts for guesses" in capsys.readouterr().out


@pytest.mark.parametrize("line", [["check", "own:nothing"], ["check", NAME, "--mend", "wish"], ["doubts", NAME, "--model", "resnet81"]])
def test_what_cannot_be_meant_ends_with_2_and_a_remedy(planted: Home, line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line, "--home", str(planted.path)]) == 2
    assert "Traceback" not in capsys.readouterr().err
