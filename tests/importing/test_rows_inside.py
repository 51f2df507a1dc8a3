"""Parquet files with the pictures in their rows, as Hugging Face writes them: read a few rows at a time, refused where they cannot be."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from core.config import ConfigError
from core.data.layouts import CLASSES
from core.importing import rows_inside, unpacking
from core.importing.plan import Corrections, plan
from core.machine.home import Home
from tests.importing.importing_cases import Files, folder, imported, picture, reasons, tarred, zipped

NAMES = json.dumps({"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}}})


def rows(pictures: Sequence[bytes | None], *, names: Sequence[str | None] | None = None, declared: str = NAMES, **columns: list[Any]) -> bytes:
    """A file as the library `datasets` writes it: `image` {bytes, path}, other columns, and what their numbers mean."""
    paths = names or [None] * len(pictures)
    images = [{"bytes": data, "path": path} for data, path in zip(pictures, paths, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), **columns}).replace_schema_metadata({"huggingface": declared})
    stream = io.BytesIO()
    parquet.write_table(table, stream, row_group_size=3)
    return stream.getvalue()


PICTURES = [picture(number) for number in range(6)]
LABELS = [0, 1] * 3


def test_pictures_in_rows_are_taken_in_with_the_names_of_their_classes(tmp_path: Path, home: Home) -> None:
    names = ["a.png", "b.png", None, "A.png", "deep/c.png", "../d.png"]
    place = folder(tmp_path, {"train-00000-of-00001.parquet": rows(PICTURES, names=names, label=LABELS, width=[40] * 6)})
    version, report = imported(home, place / "train-00000-of-00001.parquet")
    assert [(item.name, item.label) for item in version.items] == [
        ("a.png", "cat"), ("b.png", "dog"), ("000002", "cat"), ("000003-A.png", "dog"), ("c.png", "cat"), ("d.png", "dog"),
    ]  # fmt: skip
    assert (version.classes, report.skipped) == (("cat", "dog"), [])


def test_files_in_a_folder_are_read_as_one_and_their_names_say_the_split(tmp_path: Path) -> None:
    files = {"README.md": b"x", "data/train-00000-of-00001.parquet": rows(PICTURES[:4], label=LABELS[:4])}
    place = folder(tmp_path / "hub", {**files, "data/test-00000-of-00001.parquet": rows(PICTURES[4:], label=LABELS[4:])})
    found = plan(place)
    assert (found.images, found.becoming, found.splits) == (6, ("cat", "dog"), {"train": 4, "test": 2})
    assert found.sentence.startswith("Each row of hub holds a picture: 'image' holds the picture, 'label' its class")


def test_pictures_that_are_plain_bytes_are_found_by_what_they_hold(tmp_path: Path) -> None:
    stream = io.BytesIO()
    parquet.write_table(pa.table({"mask": [b"none"] * 6, "jpeg": PICTURES, "animal": ["cat", "dog"] * 3}), stream)
    found = plan(folder(tmp_path, {"all.parquet": stream.getvalue()}) / "all.parquet")
    assert (found.images, found.becoming, found.columns and found.columns.file) == (6, ("cat", "dog"), "jpeg")


def test_rows_that_hold_no_picture_or_no_label_are_refused_one_by_one(tmp_path: Path, home: Home) -> None:
    content = rows([*PICTURES[:4], None, b"no picture"], label=[0, 1, 0, -1, 1, 1], names=[f"{number}.png" for number in range(6)])
    version, report = imported(home, folder(tmp_path, {"all.parquet": content}) / "all.parquet")
    assert [item.name for item in version.items] == ["0.png", "1.png", "2.png"]
    assert reasons(report) == {"3.png": "the table gives it no label", "4.png": "the row holds no picture", "5.png": "not an image"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (rows(PICTURES), "nothing says which column of all.parquet is the label"),
        (rows(PICTURES, label=[-1] * 6), "none of the 6 pictures in all.parquet has a label"),
        (rows(PICTURES, label=LABELS, declared="no JSON")[:-9], "cannot be read as a table"),
    ],
)
def test_files_of_pictures_that_cannot_be_used_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(folder(tmp_path, {"all.parquet": content}) / "all.parquet")


@pytest.mark.parametrize("packed", [zipped, tarred])
def test_files_in_an_archive_are_read_and_nothing_is_left_of_them(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, packed: Callable[[Path, Files], Path]
) -> None:
    (tmp_path / "temporary/thaw-rows-99999999-left/0").mkdir(parents=True)  # of a process that was killed
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    inside = {
        f"set/data/{part}-00000.parquet": rows(PICTURES[first:last], label=LABELS[first:last])
        for part, first, last in (("train", 0, 4), ("test", 4, 6))
    }
    version, report = imported(home, packed(tmp_path / "packed", {**inside, "__MACOSX/data/._train.parquet": b"junk", "README.md": b"x"}))
    assert (version.classes, version.counts["train"], version.counts["test"]) == (("cat", "dog"), (2, 2), (1, 1))
    assert report.skipped == []
    assert list((tmp_path / "temporary").iterdir()) == []
    monkeypatch.setattr(unpacking, "SPARE", 10**18)
    with pytest.raises(ConfigError, match="unpacks to 0 MB, and 0 MB are free in .*; unpack the archive where there is room"):
        plan(packed(tmp_path / "again", inside))


def test_an_archive_that_is_looked_at_again_is_unpacked_once_and_makes_way_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = folder(tmp_path / "temporary", {})
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    inside = {"data/train.parquet": rows(PICTURES, label=LABELS, other=LABELS[::-1])}
    first, second = zipped(tmp_path / "first", inside), zipped(tmp_path / "second", inside)
    assert plan(first, keep=True).becoming == ("cat", "dog")
    (kept,) = temporary.iterdir()
    assert plan(first, Corrections(label_column="other", rename={"0": "zero"}), keep=True).becoming == ("1", "zero")
    assert list(temporary.iterdir()) == [kept]
    plan(second, keep=True)
    assert len(list(temporary.iterdir())) == 1
    assert not kept.exists(), "the one before makes way"
    monkeypatch.setattr(unpacking, "KEPT_SECONDS", 0.0)
    plan(second, keep=True)
    assert list(temporary.iterdir()) == []


def test_a_file_that_keeps_far_too_much_together_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"all.parquet": rows(PICTURES, label=LABELS)}
    monkeypatch.setattr(rows_inside, "MOST_GROUP", 1_000)
    with pytest.raises(ConfigError, match="in one row group, more than 0 GB; write it anew with smaller ones"):
        plan(folder(tmp_path / "data", files))


def test_class_folders_beside_such_a_file_can_be_read_in_its_place(tmp_path: Path) -> None:
    place = folder(tmp_path / "data", {"all.parquet": rows(PICTURES, label=LABELS), "x/1.png": PICTURES[0], "y/2.png": PICTURES[1]})
    assert plan(place, Corrections(reading=CLASSES)).becoming == ("x", "y")
