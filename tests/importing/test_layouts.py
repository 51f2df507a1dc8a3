"""What a source is recognised as, the same for folders, zip and tar files; and how it is corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config import ConfigError
from core.data.own import divided
from core.importing.plan import Corrections, Plan, plan
from core.machine.home import Home
from core.versions import shelf
from tests.importing.importing_cases import PACKERS, classes, folder, imported, picture, tarred, zipped


def parts(*names: str) -> dict[str, bytes]:
    """Cats and dogs in each of some folders."""
    return {name: content for part in names for name, content in classes("cat", "dog", below=f"{part}/").items()}


SPLIT = {"train": 4, "validation": 4, "test": 4}

LAYOUTS: dict[str, tuple[dict[str, bytes], tuple[str, ...], dict[str, int]]] = {
    "class folders": (classes("cat", "dog"), ("cat", "dog"), {"": 4}),
    "in a folder": (classes("cat", "dog", below="pets/"), ("cat", "dog"), {"": 4}),
    "three folders down": (classes("cat", "dog", below="a/b/c/"), ("cat", "dog"), {"": 4}),
    "read as people do": (classes("10", "9", "2", "1a", "B"), ("1a", "2", "9", "10", "B"), {"": 10}),
    "folders in classes": ({f"{name}/{name}{at}/x.png": picture(at) for name in ("cat", "dog") for at in (1, 2)}, ("cat", "dog"), {"": 4}),
    "an empty class": ({**classes("cat", "dog"), "emu/readme.txt": b"none yet"}, ("cat", "dog"), {"": 4}),
    **{
        " ".join(names): (parts(*names), ("cat", "dog"), SPLIT)
        for names in (
            ("train", "val", "test"), ("Train", "Valid", "Test"), ("TRAINING", "VALIDATION", "TESTING"), ("training", "dev", "test"),
            ("my_data/train", "my_data/valid", "my_data/test"),
        )
    },
    "train and val": (parts("train", "val"), ("cat", "dog"), {"train": 4, "validation": 4}),
    "a class of the test set": ({**parts("train", "test"), **classes("emu", below="test/")}, ("cat", "dog", "emu"), {"train": 4, "test": 6}),
}  # fmt: skip

JUNK = {
    "__MACOSX/cat/._0.png": b"x", ".DS_Store": b"x", "cat/Thumbs.db": b"x", "cat/.ipynb_checkpoints/0-checkpoint.png": picture(1),
    "cat/desktop.ini": b"x", "readme.md": b"x", ".git/HEAD": b"x",
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognised_in_folders_and_archives_alike(tmp_path: Path, kind: str, name: str) -> None:
    files, names, splits = LAYOUTS[name]
    found = plan(PACKERS[kind](tmp_path / "data", files))
    assert (found.becoming, found.splits, found.problem, found.question) == (names, splits, "", "")
    assert found.sentence
    assert found.reading in [choice.spec for choice in found.choices]
    again = plan(PACKERS[kind](tmp_path / "data", files), Corrections(reading=found.reading))
    assert (again.becoming, again.splits) == (names, splits)
    json.dumps(found.to_json())


@pytest.mark.parametrize("kind", PACKERS)
def test_junk_is_left_out_by_name_and_counted(tmp_path: Path, home: Home, kind: str) -> None:
    source = PACKERS[kind](tmp_path / "data", {**classes("cat", "dog"), **JUNK})
    version, report = imported(home, source)
    assert [item.name for item in version.items] == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
    assert report.skipped == []
    assert any("systems keep for themselves" in line and ": 5 (" in line for line in report.left_out)
    assert any("Files without the name of an image" in line and ": 1 (" in line for line in report.left_out)
    assert any("Hidden files and folders" in line and ": 1 (" in line for line in report.left_out)


@pytest.mark.parametrize(
    ("corrections", "names", "images"),
    [
        ({"rename": {"cat": "feline"}}, ("dog", "emu", "feline"), 6),
        ({"rename": {"cat": "animal", "emu": "animal"}}, ("animal", "dog"), 6),
        ({"leave_out": ("emu",)}, ("cat", "dog"), 4),
        ({"reading": "none"}, ("test", "train"), 12),
        ({"reading": "train=test"}, ("cat", "dog", "emu"), 6),
        ({"own_splits": False}, ("cat", "dog", "emu"), 12),
    ],
)  # fmt: skip
def test_what_was_recognised_can_be_corrected(tmp_path: Path, corrections: dict[str, Any], names: tuple[str, ...], images: int) -> None:
    files = classes("cat", "dog", "emu")
    if "reading" in corrections or "own_splits" in corrections:
        files = {**classes("cat", "dog", "emu", below="train/"), **classes("cat", "dog", "emu", below="test/")}
    found = plan(zipped(tmp_path / "data", files), Corrections(**corrections))
    assert (found.becoming, found.images) == (names, images)
    assert set(found.splits) <= {"", "train"}
    assert Corrections.from_json(json.loads(json.dumps(Corrections(**corrections).to_json()))) == Corrections(**corrections)


@pytest.mark.parametrize(
    ("corrections", "field"),
    [({"rename": {"cow": "x"}}, "classes"), ({"leave_out": ("cow",)}, "classes"), ({"rename": {"cat": " "}}, "classes"),
     ({"rename": {"cat": "a\x1b[31m"}}, "classes"), ({"reading": "table=no.csv"}, "reading"), ({"reading": "table=../../etc/passwd"}, "reading"),
     ({"reading": "flat"}, "reading"), ({"reading": "train=../x"}, "source")],
)  # fmt: skip
def test_corrections_that_do_not_fit_are_refused(tmp_path: Path, corrections: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(zipped(tmp_path / "data", classes("cat", "dog")), Corrections(**corrections))
    assert caught.value.field == field


def test_what_stays_ambiguous_is_asked_about(tmp_path: Path, home: Home) -> None:
    files = {**classes("cat", "dog", below="train/"), **classes("x", below="others/")}
    source = tarred(tmp_path / "data", files)
    found = plan(source)
    assert found.question == "train/ could be the training images, or a class beside others/"
    assert "none" in [choice.spec for choice in found.choices]
    with pytest.raises(ConfigError, match=r"Say how to read it: --reading train=train if only train/ is used; or --reading none") as caught:
        imported(home, source)
    assert caught.value.field == "reading"
    assert imported(home, source, reading="train=train")[0].classes == ("cat", "dog")


def test_loose_pictures_need_a_class_and_get_one(tmp_path: Path, home: Home) -> None:
    source = folder(tmp_path / "loose", {"a.png": picture(1), "b.jpg": picture(2, "JPEG")})
    with pytest.raises(ConfigError, match="lie in no class folders, and no table beside them says what they show"):
        plan(source)
    found = plan(source, Corrections(label="cat"))
    assert (found.becoming, found.images) == (("cat",), 2)
    assert "a single class, 'cat'" in found.problem
    with pytest.raises(ConfigError, match="a single class, 'cat'"):
        imported(home, source, label="cat")
    imported(home, folder(tmp_path / "first", classes("cat", "dog")))
    version, _ = imported(home, source, add=True, label="emu")
    assert (version.number, version.classes, len(version.items)) == (2, ("cat", "dog", "emu"), 6)


@pytest.mark.parametrize("kind", PACKERS)
def test_of_a_single_folder_it_is_asked_whether_it_is_a_class(tmp_path: Path, home: Home, kind: str) -> None:
    source = PACKERS[kind](tmp_path / "more", {"wrap/big cat/1.png": picture(1)})
    with pytest.raises(
        ConfigError, match=r"lie all in one folder, 'big cat', which may be their class or not; if it is, say so \(--label 'big cat'\)"
    ):
        plan(source)
    imported(home, folder(tmp_path / "first", classes("cat", "dog")))
    version, report = imported(home, source, add=True, label="big cat")
    assert (version.classes, version.note) == (("cat", "dog", "big cat"), f"1 picture added from {source.name}.")
    assert report.notes[0] == "The picture is taken as of the class 'big cat'."


def test_groups_come_from_names_and_torn_ones_are_said(tmp_path: Path, home: Home) -> None:
    files = {f"{part}/{name}/p{patient}_{number}.png": picture(patient * 50 + number) for part in ("train", "test") for name in ("cat", "dog")
             for patient in (1, 2) for number in (1, 2)}  # fmt: skip
    found = plan(folder(tmp_path / "data", files), Corrections(groups="stem"))
    assert found.groups == 2
    assert any("2 groups are in more than one split (p1, p2)" in note for note in found.notes)
    version, _ = imported(home, tmp_path / "data", groups="stem", own_splits=False)
    assert {item.group for item in version.items} == {"p1", "p2"}


@pytest.mark.parametrize(("bursts", "together"), [(2, False), (4, True)])
def test_a_burst_of_the_webcam_is_kept_together_where_a_run_can_still_be_measured(tmp_path: Path, home: Home, bursts: int, together: bool) -> None:
    shots = {
        f"{label}/webcam-2026113002201{place}{burst:03}_{number:03}.jpg": picture(100 * burst + 10 * place + number, "JPEG", (8, 8))
        for burst in range(bursts) for place, label in enumerate(("ball", "clock")) for number in range(5)
    }  # fmt: skip
    version, report = imported(home, folder(tmp_path / "classes", shots))
    assert len({item.group for item in version.items}) == (2 * bursts if together else 1)
    said = "Pictures of 8 bursts of the webcam" if together else r"Too few bursts of the webcam to set whole ones aside (ball 2, clock 2)"
    assert any(said in note for note in report.notes)
    parts = divided(version)
    assert not together or not {item.group for item in parts["test"]} & {item.group for item in parts["train"]}
    assert not any(item.group for item in imported(home, tmp_path / "classes", "apart", groups="none")[0].items)


def test_bursts_that_are_added_count_together_with_those_that_are_there(tmp_path: Path, home: Home) -> None:
    def shots(first: int, last: int) -> dict[str, bytes]:
        return {
            f"{label}/webcam-2026113002201{place}{burst:03}_{number:03}.jpg": picture(100 * burst + 10 * place + number, "JPEG", (8, 8))
            for burst in range(first, last) for place, label in enumerate(("ball", "clock")) for number in range(2)
        }  # fmt: skip

    enough, one = folder(tmp_path / "enough", shots(0, 4)), folder(tmp_path / "one", shots(4, 5))
    imported(home, enough)
    assert any("Too few bursts" in note for note in plan(one).notes), "alone they would be too few"
    version, report = imported(home, one, add=True)
    assert len({item.group for item in version.items}) == 10
    assert any(note.endswith("so none of them is torn into two splits.") for note in report.notes)

    imported(home, folder(tmp_path / "few", shots(5, 7)), "grown")
    said = plan(enough, there=shelf.read(home, "grown").items).notes
    assert any("The pictures of 4 bursts that were there before are in no group: on the dataset's page, Splits can" in note for note in said)


def test_classes_that_differ_in_case_alone_are_said(tmp_path: Path) -> None:
    found: Plan = plan(zipped(tmp_path / "data", classes("Cat", "cat", "dog")))
    assert found.becoming == ("Cat", "cat", "dog")
    assert any("differ in case alone: 'Cat', 'cat'" in note for note in found.notes)
