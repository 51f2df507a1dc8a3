"""Tables beside pictures: columns found, rows that say nothing or too much refused one by one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.config import ConfigError
from core.importing.plan import Corrections, plan
from core.importing.tables import FLAGGED
from core.machine.home import Home
from tests.importing.importing_cases import PACKERS, folder, imported, picture, reasons, zipped

PICTURES = {f"images/{number}.png": picture(number) for number in range(4)}


def parquet(**columns: list[Any]) -> bytes:
    stream = io.BytesIO()
    pd.DataFrame(columns).to_parquet(stream)
    return stream.getvalue()


TABLES: dict[str, tuple[str, bytes]] = {
    "plain": ("labels.csv", b"file,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n"),
    "semicolons, quotes, a byte order mark": ("l.csv", '\ufeff"filename";"class"\n"0.png";"cat"\n"1.png";"dog"\n"2.png";"cat"\n3.png;dog\n'.encode()),
    "tabs": ("l.tsv", b"path\tspecies\nimages/0.png\tcat\nimages/1.png\tdog\nimages/2.png\tcat\nimages/3.png\tdog\n"),
    "without endings": ("train.csv", b"image_id,diagnosis\n0,cat\n1,dog\n2,cat\n3,dog\n"),
    "paths of another machine": ("l.csv", b"image,y\nC:\\data\\images\\0.png,cat\n/mnt/images/1.png,dog\n./images/2.png,cat\nimages/3.PNG,dog\n"),
    "odd names": ("l.csv", b"what,which\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n"),
    "UTF-16": ("l.csv", "file,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n".encode("utf-16")),
    "Parquet": ("labels.parquet", parquet(file_name=["0.png", "1.png", "2.png", "3.png"], label=["cat", "dog"] * 2, width=[1.5, 2.0, None, 3.0])),
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_all_kinds_are_read(tmp_path: Path, kind: str, name: str) -> None:
    file, content = TABLES[name]
    found = plan(PACKERS[kind](tmp_path / "data", {**PICTURES, file: content}))
    assert (found.becoming, found.images, found.refused_in_all) == (("cat", "dog"), 4, 0)
    assert file in found.sentence


def test_a_table_may_be_the_source_itself(tmp_path: Path, home: Home) -> None:
    folder(tmp_path / "data", {**PICTURES, "labels.csv": TABLES["plain"][1]})
    version, _ = imported(home, tmp_path / "data/labels.csv")
    assert [(item.name, item.label) for item in version.items][:2] == [("images/0.png", "cat"), ("images/1.png", "dog")]


def test_splits_and_groups_come_from_columns(tmp_path: Path, home: Home) -> None:
    rows = b"file,label,split,patient_id\n0.png,cat,Training,p1\n1.png,dog,train,p2\n2.png,cat,valid,p3\n3.png,dog,TEST,p4\n"
    version, _ = imported(home, zipped(tmp_path / "data", {**PICTURES, "labels.csv": rows}))
    assert [(item.split, item.group) for item in version.items] == [("train", "p1"), ("train", "p2"), ("validation", "p3"), ("test", "p4")]
    assert version.split_note == "the data's own: train 2, validation 1, test 1."


def test_rows_that_cannot_be_used_are_refused_one_by_one_and_what_no_row_names_is_counted(tmp_path: Path, home: Home) -> None:
    rows = b"file,label\n0.png,cat\n1.png,dog\n1.png,dog\nnot-there.png,cat\n2.png,cat\n2.png,dog\n,cat\n3.png,\n"
    extra = {"images/more/9.png": picture(9), "images/more/8.png": picture(10)}
    version, report = imported(home, zipped(tmp_path / "data", {**PICTURES, **extra, "images/labels.csv": rows}))
    assert [(item.name, item.label) for item in version.items] == [("images/0.png", "cat"), ("images/1.png", "dog")]
    assert reasons(report) == {
        "not-there.png": "the table names it, and it is not there", "images/2.png": "the table gives it 'cat', 'dog'",
        "(no name)": "the table names it, and it is not there", "3.png": "the table gives it no label",
    }  # fmt: skip
    assert all(one.remedy for one in report.skipped)
    assert "Rows of images/labels.csv that say what another row says already, counted once: 1." in report.notes
    assert any(line == "Pictures that images/labels.csv does not name were left out: 3." for line in report.left_out)


def test_a_table_without_names_of_columns_loses_no_row(tmp_path: Path) -> None:
    found = plan(zipped(tmp_path / "data", {**PICTURES, "labels.csv": b"0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n"}))
    assert (found.images, found.refused_in_all) == (4, 0)
    assert found.notes[0] == "labels.csv has no first row with the names of its columns: they are called column 1, column 2 here."


def test_labels_that_differ_only_where_they_are_cut_stay_two_classes(tmp_path: Path) -> None:
    rows = f"file,label\n0.png,{'x' * 300}a\n1.png,{'x' * 300}b\n2.png,{'x' * 300}a\n"
    found = plan(zipped(tmp_path / "data", {**PICTURES, "labels.csv": rows.encode()}))
    assert sorted(each.images for each in found.classes) == [1, 2]
    assert {len(name) for name in found.becoming} == {200}


def test_a_row_that_is_refused_is_called_as_the_folder_has_it(tmp_path: Path) -> None:
    rows = b"file,label\n0.png,cat\n0.png,dog\n1.png,cat\n2.png,dog\n"
    assert [each.file for each in plan(folder(tmp_path / "data", {**PICTURES, "labels.csv": rows})).refused] == ["images/0.png"]


def test_a_name_that_several_pictures_have_is_refused(tmp_path: Path) -> None:
    files = {**PICTURES, "images/other/0.png": picture(20), "labels.csv": TABLES["plain"][1]}
    found = plan(zipped(tmp_path / "data", files))
    assert [(one.file, one.reason) for one in found.refused] == [("0.png", "2 pictures are called so")]


def test_labels_that_are_numbers_are_classes_and_a_measure_is_none(tmp_path: Path, home: Home) -> None:
    files = {f"{number}.png": picture(number) for number in range(40)}
    numbers = "file,label\n" + "".join(f"{number}.png,{number % 12}\n" for number in range(40))
    version, report = imported(home, zipped(tmp_path / "numbers", {**files, "l.csv": numbers.encode()}))
    assert version.classes == tuple(map(str, range(12)))
    assert any("The labels are numbers" in note for note in report.notes)
    floats = "file,label\n" + "".join(f"{number}.png,{number % 12}.0\n" for number in range(40))
    assert plan(zipped(tmp_path / "floats", {**files, "l.csv": floats.encode()})).becoming == version.classes
    measure = "file,label\n" + "".join(f"{number}.png,{number * 0.37}\n" for number in range(40))
    with pytest.raises(ConfigError, match="40 different numbers in 40 rows: a measure, no classes; name the column of the classes"):
        plan(zipped(tmp_path / "measure", {**files, "l.csv": measure.encode()}))


def test_one_class_is_refused_and_two_thousand_are_read(tmp_path: Path, home: Home) -> None:
    with pytest.raises(ConfigError, match="a single class, 'cat'"):
        imported(home, zipped(tmp_path / "one", {**PICTURES, "l.csv": b"file,label\n0.png,cat\n1.png,cat\n"}))
    content = {number: picture(number, size=(8, 8)) for number in range(4)}
    files = {f"{number}.png": content[number % 4] for number in range(4_000)}
    rows = "file,label\n" + "".join(f"{number}.png,c{number % 2000}\n" for number in range(4_000))
    version, _ = imported(home, zipped(tmp_path / "many", {**files, "l.csv": rows.encode()}))
    assert len(version.classes) == 2_000
    assert version.classes[:3] == ("c0", "c1", "c2")
    assert len(version.items) == 4_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no rows of a file and a label"),
        (b"file,label\n", "holds no rows of a file and a label"),
        (b"file\n0.png\n", "holds no rows of a file and a label"),
        (b"a,b\nx,y\nz,w\n", "no column of labels.csv names pictures that are there"),
        (b"file,a,b\n0.png,x,y\n", "nothing says which column of labels.csv is the label: it may be 'a', 'b'"),
        (b"file,label\nq.png,x\n", "none of the 1 rows of labels.csv names a picture that is there"),
        (b"PAR1 and no more", "cannot be read as a table"),
        (b'file,label\n0.png,cat\n1.png,"dog\n2.png,cat\n', "a quotation mark in the row of the table that begins with '1.png' is never closed"),
        (b'file,label\n"' + b"x" * 200_000 + b'",cat\n', "cannot be read as a table"),
    ],
)
def test_tables_that_say_nothing_are_refused_with_a_remedy(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        plan(zipped(tmp_path / "data", {**PICTURES, "labels.csv": content}), Corrections(reading="table=labels.csv"))
    assert caught.value.field in ("source", "columns")


def test_a_column_for_each_class_is_read_and_a_row_of_none_or_two_refused(tmp_path: Path, home: Home) -> None:
    rows = b"image,Cat,Dog,is_train,age\n0.png,1.0,0.0,1,3\n1.png,0,1,1,5\n2.png,1,1,0,3\n3.png,0,,0,1\n"
    data = zipped(tmp_path / "data", {**PICTURES, "labels.csv": rows})
    version, report = imported(home, data)
    assert [(item.name, item.label) for item in version.items] == [("images/0.png", "Cat"), ("images/1.png", "Dog")]
    assert reasons(report) == {"images/2.png": "the table gives it 'Cat', 'Dog'", "3.png": "the table gives it no label"}
    assert report.left_out == ("Pictures that labels.csv does not name were left out: 1.",), "and not the table itself"
    assert any("has a column for each class ('Cat', 'Dog'): a picture is of the one that says 1" in note for note in report.notes)
    assert plan(data, Corrections(label_column="age")).becoming == ("1", "3", "5"), "another column can be named"
    assert plan(data, Corrections(label_column=FLAGGED)).becoming == ("Cat", "Dog")


def test_columns_can_be_named(tmp_path: Path) -> None:
    source = zipped(tmp_path / "data", {**PICTURES, "labels.csv": b"file,a,b\n0.png,x,p\n1.png,y,q\n2.png,x,q\n"})
    assert plan(source, Corrections(label_column="B")).becoming == ("p", "q")
    with pytest.raises(ConfigError, match="labels.csv has no column 'c'; it has 'file', 'a', 'b'"):
        plan(source, Corrections(label_column="c"))


def test_a_table_beside_class_folders_is_another_way_to_read_them(tmp_path: Path) -> None:
    files = {**{f"{name}/{number}.png": picture(number + ord(name)) for name in "ab" for number in range(2)}}
    rows = b"file,label\na/0.png,x\na/1.png,y\nb/0.png,x\nb/1.png,y\n"
    source = zipped(tmp_path / "data", {**files, "labels.csv": rows})
    assert plan(source).becoming == ("a", "b")
    reading = next(choice.spec for choice in plan(source).choices if choice.spec.startswith("table"))
    assert plan(source, Corrections(reading=reading)).becoming == ("x", "y")
