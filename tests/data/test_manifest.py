"""The list of a run's pictures: written and read to the byte, whatever files are called, and what follows from it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from core.config import ConfigError
from core.data.manifest import PICTURES, RECIPE, Picture, Recipe, read_pictures, read_recipe, write_pictures, write_recipe

DIGEST = "0123456789abcdef" * 4
HOSTILE = (
    *("a,b.png", 'a"b.png', '"a".png', "a\nb.png", "a\r\nb.png", "a\rb.png", "#17/1.png", "=1+1.png", " a .png", "\ufeffa.png", "a\\b.png"),
    *("caf\u00e9.png", "\u732b.png", os.fsdecode(b"\xff\xfe,\n.png"), "\u2028.png", "'.png", "a\tb.png"),
)
RECIPES = Recipe("folder:/p", os.fsdecode(b"/p\xff"), ("cat", "d,\nog"), 32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "pad", (0.0, 4095.0), "One folder.")


def test_any_file_name_comes_back_as_it_was(tmp_path: Path) -> None:
    pictures = tuple(Picture("test", "a,\nclass", f"x/{name}", DIGEST) for name in HOSTILE)
    write_pictures(tmp_path, pictures)
    assert read_pictures(tmp_path) == pictures
    # ... and as its description says, for those who have no Thaw.
    with (tmp_path / PICTURES).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [f"x/{name}" for name in HOSTILE]


def test_the_file_is_as_its_description_says(tmp_path: Path) -> None:
    write_pictures(tmp_path, [Picture("train", "cat", "cat/1.png", DIGEST), Picture("test", "dog", "dog/a,b.png", DIGEST)])
    assert (tmp_path / PICTURES).read_bytes() == (
        f'part,class,file,sha256\r\ntrain,cat,cat/1.png,{DIGEST}\r\ntest,dog,"dog/a,b.png",{DIGEST}\r\n'.encode()
    )


@pytest.mark.parametrize(("file", "number"), [("#17", 17), ("#0", 0), ("#17/1.png", None), ("a/#17", None), ("#", None), ("#\u0661", None)])
def test_a_number_is_no_file(file: str, number: int | None) -> None:
    assert Picture("test", "cat", file, DIGEST).number == number


def test_a_recipe_comes_back_as_it_was(tmp_path: Path) -> None:
    write_recipe(tmp_path, RECIPES)
    assert read_recipe(tmp_path) == RECIPES
    text = (tmp_path / RECIPE).read_text()
    (tmp_path / RECIPE).write_text(text.replace("{", '{"of a later Thaw": 1,', 1))
    assert read_recipe(tmp_path) == RECIPES


def test_a_run_of_before_has_neither(tmp_path: Path) -> None:
    assert read_pictures(tmp_path) is None
    assert read_recipe(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"part,class,file\r\n", b"part,class,file,sha256\r\ntrain,cat\r\n", b"part,class,file,sha256\r\nother,cat,1.png," + b"0" * 64,
        b"part,class,file,sha256\r\ntest,cat,1.png,12", b'part,class,file,sha256\r\ntest,"cat', b"\0",
    ],
)  # fmt: skip
def test_a_damaged_list_is_said_and_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PICTURES).write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read") as raised:
        read_pictures(tmp_path)
    assert raised.value.field == "run"
    assert str(tmp_path / PICTURES) in raised.value.message


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"dataset": 1}', b"[" * 1000])
def test_a_damaged_recipe_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECIPE).write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read itself"):
        read_recipe(tmp_path)
