"""Descriptions of models that lie on disk: the same as worked out, and never another one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import ConfigError
from core.machine import kept_files
from core.machine.home import Home
from core.model import anatomy, kept_descriptions
from core.records.layers import PLAIN_HEAD, HeadOptions, ModelDescription


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that this process works in, and nothing remembered."""
    monkeypatch.setattr(Home, "_in_use", None)
    anatomy.describe.cache_clear()
    yield Home.from_environment(str(tmp_path / "home"))
    anatomy.describe.cache_clear()


def again(*asked: Any) -> ModelDescription:
    """What another process would be told."""
    anatomy.describe.cache_clear()
    return anatomy.describe(*asked)


def files(home: Home) -> list[Path]:
    return sorted((home.cache / "descriptions").glob("*"))


def cannot_build(*_: object) -> None:
    raise AssertionError("it was built all the same")


@pytest.mark.parametrize("asked", [("resnet18", 10, 64), ("small_cnn", 3, 16, HeadOptions(0.5, 32)), ("googlenet", 5, 64), ("RESNET 18", 10, 64)])
def test_what_is_kept_is_what_is_worked_out(asked: Any, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out = anatomy.describe(*asked)
    monkeypatch.setattr(anatomy, "build", cannot_build)
    kept = again(*asked)
    assert kept == worked_out
    assert repr(kept) == repr(worked_out)  # types, and the order of layers, too
    assert len(files(home)) == 1


def test_each_is_found_for_what_was_asked_alone(home: Home) -> None:
    each = [("small_cnn", 3, 16), ("small_cnn", 4, 16), ("small_cnn", 3, 32), ("mlp", 3, 16), ("small_cnn", 3, 16, HeadOptions(hidden=7))]
    found: dict[tuple[Any, ...], ModelDescription] = {asked: anatomy.describe(*asked) for asked in each}
    assert len(files(home)) == len(found)
    assert all(again(*asked) == description for asked, description in found.items())


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace(b'"head"', b'"body"', 1),  # a role, with the digest as it was
        lambda whole: b"\xff\x00" * 100,
    ],
)
def test_a_damaged_file_is_written_anew(spoilt: Callable[[bytes], bytes], home: Home) -> None:
    worked_out = anatomy.describe("small_cnn", 3, 16)
    (file,) = files(home)
    whole = file.read_bytes()
    file.write_bytes(spoilt(whole))
    assert file.read_bytes() != whole
    assert again("small_cnn", 3, 16) == worked_out
    assert file.read_bytes() == whole


def test_whole_but_of_something_else(home: Home) -> None:
    worked_out = anatomy.describe("small_cnn", 3, 16)
    (file,) = files(home)
    anatomy.describe("small_cnn", 4, 16)
    (other,) = (each for each in files(home) if each != file)
    file.write_bytes(other.read_bytes())
    assert again("small_cnn", 3, 16) == worked_out


@pytest.mark.parametrize("what", ["_CODE", "torch", "torchvision"])
def test_other_code_and_another_torch_work_it_out_anew(what: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    anatomy.describe("small_cnn", 3, 16)
    if what == "_CODE":
        monkeypatch.setattr(kept_descriptions, what, "of a later Thaw")
    else:
        monkeypatch.setattr(getattr(kept_descriptions, what), "__version__", "99.0")
    assert kept_descriptions.kept("small_cnn", 3, 16, PLAIN_HEAD) is None


def test_a_process_without_a_home_keeps_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Home, "_in_use", None)
    anatomy.describe("small_cnn", 3, 16)
    assert Home.chosen() is None
    assert files(home) == []


def test_a_home_that_is_gone_is_not_made_again(home: Home) -> None:
    home.cache.rename(home.path / "elsewhere")
    anatomy.describe("small_cnn", 3, 16)
    assert not home.cache.exists()


def test_a_disk_that_takes_nothing_costs_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_files, "written_whole", full)
    assert anatomy.describe("small_cnn", 3, 16).classes == 3


def test_what_cannot_be_is_asked_anew_each_time(home: Home) -> None:
    for _ in range(2):
        with pytest.raises(ConfigError):
            again("vit_b_32", 10, 33)
    assert files(home) == []


def test_the_oldest_go_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_descriptions, "MOST", 2)
    for number in range(4):
        anatomy.describe("small_cnn", 3 + number, 16)
        for age, file in enumerate(sorted(files(home), key=lambda file: file.stat().st_mtime_ns, reverse=True)):
            os.utime(file, (1_000_000 - age, 1_000_000 - age))
    assert [kept_descriptions.kept("small_cnn", 3 + number, 16, PLAIN_HEAD) is not None for number in range(4)] == [False, False, True, True]
