"""What is left out of a folder, with its reason: system files, links, unread formats."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import ConfigError
from core.data import stock
from core.data.decoding import FORMATS
from core.data.endings import EXTENSIONS, is_picture
from core.data.intake import decode
from core.data.layouts import read_layout
from tests.data.layouts_cases import PETS, each, fill, read

# What is left out


def test_what_systems_keep_for_themselves_is_no_class_and_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, each(["."], 3))
    kept = (
        *(
            "@eaDir",
            "#recycle",
            "$RECYCLE.BIN",
            "System Volume Information",
            "lost+found",
            "__MACOSX",
            "@Recycle",
            "cat/@eaDir",
            "RECYCLER",
            "#snapshot",
        ),
        *("cat/.ipynb_checkpoints", ".AppleDouble", ".Trash-1000/files", "dog/.thumbnails", "@Recently-Snapshot"),
    )
    fill(tmp_path, dict.fromkeys(kept, 2))
    for name in ("Thumbs.db", "cat/Thumbs.db", "cat/desktop.ini", "cat/._1.jpg", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    raw = read(tmp_path)
    assert (raw.classes, len(raw.train)) == (PETS, 6)
    (note,) = raw.notes
    assert note.startswith("Files and folders that systems keep for themselves (thumbnails, recycle bins, indexes) were left out: 20 (")


def test_a_system_folder_that_may_not_be_read_blocks_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "pets", {**each(["."], 3), "lost+found": 1})
    tmp_path.chmod(0o755)
    locked = tmp_path / "pets" / "lost+found"
    locked.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may read everything: be nobody for a moment
        for above in (tmp_path, *tmp_path.parents):
            if not os.access(above, os.X_OK, effective_ids=True):
                os.seteuid(0)
                above.chmod(above.stat().st_mode | 0o111)
                os.seteuid(65534)
        assert len(read(tmp_path / "pets").train) == 6
        with pytest.raises(ConfigError, match=r"lost\+found cannot be read \(Permission denied\); allow this user to read it, or copy"):
            read(locked)
    finally:
        os.seteuid(user)
        locked.chmod(0o700)


@pytest.mark.parametrize("path", ["/", "/proc", "/etc", "/dev"])
def test_a_folder_of_the_system_is_refused_or_read_and_never_raises_anything_else(path: str) -> None:
    try:
        found = stock.survey(read_layout(path), seconds=0.5)
    except ConfigError as error:
        assert path in error.message
    else:
        assert found.sentence


@pytest.mark.parametrize("ending", sorted(EXTENSIONS))
def test_every_ending_that_is_taken_is_of_a_format_that_is_decoded(ending: str, tmp_path: Path) -> None:
    Image.init()
    kind = Image.registered_extensions()[ending]
    assert kind in (*FORMATS, "MPO"), "an MPO file is a JPEG file with others behind it"
    mode = "F" if ending == ".pfm" else "L" if ending in (".pgm", ".pbm") else "RGB"
    Image.new(mode, (20, 16), 90 if mode != "RGB" else (90, 90, 90)).save(tmp_path / f"x{ending}", format=kind)
    assert decode(tmp_path / f"x{ending}", 8).shape == (3, 8, 8)
    missing = {extension for extension, format in Image.registered_extensions().items() if format in (*FORMATS, "MPO")} - EXTENSIONS
    assert not missing, "a format that is decoded has an ending that is not taken"


@pytest.mark.parametrize("name", ["a.JPG", "a.jfif", "a.jpg_large", "a.jpeg-medium", "a.PNG:large", "a.webp_orig", "no_ending"])
def test_pictures_with_the_endings_of_browsers_are_taken(name: str, tmp_path: Path) -> None:
    fill(tmp_path, each(["."], 2))
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / name, format="JPEG")
    raw = read(tmp_path)
    assert (len(raw.train), raw.notes) == (5, ())


def test_what_is_no_picture_or_cannot_be_read_is_counted_by_its_reason(tmp_path: Path) -> None:
    fill(tmp_path, {**each(["."], 2), "loose": 0})
    (tmp_path / "loose").rmdir()
    for name in ("cat/1.heic", "cat/2.HEIC", "dog/3.avif", "dog/4.svg", "dog/5.cr2"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("cat/notes.txt", "labels.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "cat" / "old.jpg.bak").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"x")
    fill(tmp_path, {".": 3})
    assert read(tmp_path).notes == (
        "Images without a class, since they lie in no class folder, were left out: 3 (" + tmp_path.name + "/ 3).",
        "Pictures of formats that are not read were left out: 5 (.heic 2, .avif 1, .svg 1 and 1 more); convert them to JPEG or PNG.",
        "Files that begin as an image but do not end as one were left out: 1 (.bak 1); "
        "rename them (.jpg, .png, .webp, .tif) if they are images of yours.",
        "Hidden files and folders, whose names begin with a dot, were left out: 1 (.hidden.png).",
        "Files without the name of an image (.jpg, .png, .webp, .tif ...) were left out: 2 (.csv, .txt).",
    )  # fmt: skip
    assert not is_picture("x.jpg.bak")


def test_a_class_of_unread_formats_is_refused_by_that_reason(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 2, "dog": 0})
    (tmp_path / "dog" / "1.heic").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"no images in .*dog that can be read \(1 \.heic cannot; convert them\)"):
        read(tmp_path)


# Links


def test_links_are_counted_and_named(tmp_path: Path) -> None:
    fill(tmp_path / "pets", each(["."], 3))
    fill(tmp_path / "elsewhere", {"wolf": 2})
    (tmp_path / "pets" / "wolf").symlink_to(tmp_path / "elsewhere" / "wolf")
    (tmp_path / "pets" / "cat" / "x.png").symlink_to(tmp_path / "elsewhere" / "wolf" / "0.png")
    (tmp_path / "pets" / "cat" / "y.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "pets" / "dog" / "own.png").symlink_to(tmp_path / "pets" / "dog" / "0.png")
    raw = read(tmp_path / "pets")
    assert (raw.classes, len(raw.train)) == (PETS, 7)
    (note,) = raw.notes
    assert "Links that lead out of the folder, or to folders, are not followed and were left out: 3 (" in note


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({"cat": "a/cat", "dog": "a/dog"}, r"no folders in it but 2 links \(cat, dog\), which are not followed"),
        ({"dog": "a/dog"}, r"single class, 'cat' but 1 link \(dog\), which are not followed"),
        ({"train": "a"}, "train is a link to a folder, and links are not followed"),
    ],
)
def test_a_refusal_for_want_of_folders_speaks_of_links(links: dict[str, str], said: str, tmp_path: Path) -> None:
    fill(tmp_path, each(["a"], 2))
    fill(tmp_path / "pets", {} if len(links) == 2 else each(["test"], 2) if "train" in links else {"cat": 2})
    (tmp_path / "pets").mkdir(exist_ok=True)
    for name, target in links.items():
        (tmp_path / "pets" / name).symlink_to(tmp_path / target)
    with pytest.raises(ConfigError, match=said):
        read(tmp_path / "pets")


def test_a_class_or_a_part_of_nothing_but_links_is_refused_by_that_word(tmp_path: Path) -> None:
    fill(tmp_path / "a", each(["."], 2))
    for name in PETS:
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "1.png").symlink_to(tmp_path / "a" / name / "1.png")
    with pytest.raises(ConfigError, match="no images in .*cat, .*dog but 2 links that lead out of the folder"):
        read(tmp_path / "pets")
    fill(tmp_path / "whole", {**each(["train"], 2), "test": 0})
    (tmp_path / "whole" / "test" / "cat").symlink_to(tmp_path / "a" / "cat")
    with pytest.raises(ConfigError, match=r"no images in .*test but 1 link \(cat\), which are not followed"):
        read(tmp_path / "whole")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="gone is a link to something that is not there"):
        read(tmp_path / "gone")


# Counting has an end


def test_counting_a_large_folder_is_given_up_and_says_so(tmp_path: Path) -> None:
    fill(tmp_path, each(["."], 201))
    found = stock.survey(read_layout(str(tmp_path)), seconds=-1)
    assert found.counts is None
    assert "cat, dog; more than 200 files, counted when a run starts" in found.sentence
    assert stock.survey(read_layout(str(tmp_path)), seconds=60).counts == {"train": (201, 201)}
    assert np.array_equal(read(tmp_path).train.labels, np.repeat([0, 1], 201))


def test_a_stamp_changes_with_the_files_of_a_class(tmp_path: Path) -> None:
    fill(tmp_path, each(["."], 2))
    before = read_layout(str(tmp_path)).stamp()
    assert read_layout(str(tmp_path)).stamp() == before
    (tmp_path / "dog" / "0.png").unlink()
    os.utime(tmp_path / "dog", ns=(1, 1))
    assert read_layout(str(tmp_path)).stamp() != before
