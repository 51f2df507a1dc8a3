"""What is brought along lies in a staging: named safely, kept through everything, taken out and brought back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from core.config import ConfigError
from core.machine.home import Home
from core.staging import staging
from core.staging.file_names import LONGEST, class_name, file_name, inner_path

HOSTILE = (
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x\\y.jpg",
    "a\0b.jpg",
    "..",
    ".",
    "",
    "con",
    "NUL.jpg",
    "x" * 400 + ".jpeg",
    "\u00fc" * 300,
    ". .",
    "a/../..",
)


def put(home: Home, here: str, class_: str | None, name: str, data: bytes = b"x") -> None:
    with staging.arriving(home, here, class_, name) as file:
        file.write(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_a_staging(home: Home, name: str) -> None:
    here = staging.begin(home)
    staging.add_class(home, here, "cat")
    put(home, here, "cat", name)
    place = staging.folder(home, here)
    assert [path.parent for path in place.rglob("*") if path.is_file() and path.parent.name == "cat"] == [place / "classes" / "cat"]
    assert not [path for path in home.path.rglob("*") if path.is_file() and not path.is_relative_to(place)]
    kept = file_name(name)
    assert 0 < len(kept) <= LONGEST + 1
    assert len(kept.encode()) <= 255
    assert not set(kept) & set('/\\\0:*?"<>|')
    assert kept not in (".", "..")


def test_a_long_name_keeps_its_ending_and_a_dragged_folder_its_folders() -> None:
    assert file_name("x" * 400 + ".jpeg").endswith("x.jpeg")
    assert inner_path("photos/../cats/./a.jpg").as_posix() == "photos/cats/a.jpg"
    with pytest.raises(ConfigError, match="folders down"):
        inner_path("/".join("abcdefghijkl"))


@pytest.mark.parametrize(
    ("name", "why"), [("", "needs a name"), ("a/b", "'/'"), (".hidden", "every system"), ("aux", "every system"), ("x" * 101, "letters")]
)
def test_a_class_that_could_be_no_folder_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        class_name(name)


def test_classes_keep_the_order_in_which_they_were_made_and_the_same_picture_is_kept_once(home: Home) -> None:
    here = staging.begin(home)
    for name in ("zebra", "ant"):
        staging.add_class(home, here, name)
    put(home, here, "zebra", "1.jpg", b"one")
    put(home, here, "zebra", "1.jpg", b"one")  # sent again
    put(home, here, "zebra", "1.jpg", b"two")  # another picture of the same name
    found = staging.staged(home, here)
    assert [(each.name, each.files) for each in found.classes] == [("zebra", ("1.jpg", "1 (2).jpg")), ("ant", ())]
    assert (found.pictures, found.bytes) == (2, 6)
    with pytest.raises(ConfigError, match="already"):
        staging.add_class(home, here, "ANT")
    staging.rename_class(home, here, "ant", "Ant")
    with pytest.raises(ConfigError, match="already"):
        staging.rename_class(home, here, "Ant", "ZEBRA")
    assert [each.name for each in staging.staged(home, here).classes] == ["zebra", "Ant"]
    assert staging.source(home, here).name == "classes"


def test_what_is_taken_out_comes_back_one_after_the_other(home: Home) -> None:
    here = staging.begin(home)
    staging.add_class(home, here, "cat")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(home, here, "cat", name, name.encode())
    staging.take_out(home, here, "cat", ("b.jpg",))
    staging.take_out(home, here, "cat")
    assert staging.staged(home, here).classes == ()
    assert staging.staged(home, here).undo == "the class cat"
    assert staging.undo(home, here) == "the class cat"
    assert [each.files for each in staging.staged(home, here).classes] == [("a.jpg", "c.jpg")]
    assert staging.undo(home, here) == "1 picture"
    assert set(staging.staged(home, here).classes[0].files) == {"a.jpg", "b.jpg", "c.jpg"}
    assert staging.undo(home, here) == ""


def test_what_breaks_off_leaves_nothing(home: Home) -> None:
    here = staging.begin(home)

    def half() -> None:
        with staging.arriving(home, here, None, "photos.zip") as file:
            file.write(b"half of it")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        half()
    assert staging.staged(home, here).is_empty
    assert not [path for path in staging.folder(home, here).rglob("*") if path.is_file()]


def test_one_file_is_read_itself_and_several_as_their_folder(home: Home) -> None:
    here = staging.begin(home)
    put(home, here, None, "photos.zip")
    assert staging.source(home, here).name == "photos.zip"
    put(home, here, None, "more/labels.csv")
    assert staging.source(home, here).name == "files"
    staging.remember(home, here, path="/somewhere", corrections={"label": "cat"})
    staging.remember(home, here, name="mine")
    assert staging.source(home, here) == Path("/somewhere")
    assert staging.remembered(home, here) == {"path": "/somewhere", "corrections": {"label": "cat"}, "name": "mine"}


@pytest.mark.parametrize("name", ["../x", "", "nothing-here", "A" * 60, "."])
def test_a_staging_that_is_not_there_is_said_to_be_gone(home: Home, name: str) -> None:
    staging.begin(home)
    with pytest.raises(ConfigError, match="begin anew"):
        staging.folder(home, name)
    staging.throw_away(home, name)
    assert len(staging.all_of(home)) == 1, "nothing else goes with it"


def test_what_nobody_touches_is_thrown_away_and_what_is_young_stays(home: Home) -> None:
    old, young, empty, kept = (staging.begin(home) for _ in range(4))
    for each, days in ((old, staging.KEPT_DAYS + 1), (empty, 2), (kept, 2)):
        staging.add_class(home, each, "cat") if each != empty else None
        then = time.time() - days * 86_400
        os.utime(staging.folder(home, each), (then, then))
    (staging.root(home) / ".left.gone").mkdir()
    staging.sweep(home)
    assert set(staging.all_of(home)) == {young, kept}
    assert not (staging.root(home) / ".left.gone").exists()
