"""Names, notes and tags: what is taken, what is refused in words, and what a change leaves alone."""

from __future__ import annotations

import pytest

from core.config import ConfigError
from core.records.labels import LONGEST_NAME, LONGEST_NOTE, MOST_TAGS, LabelChange, Labels, read, undoing, written


@pytest.mark.parametrize(
    "name",
    [
        "'quoted' \"twice\"",
        "<b>bold</b><script>alert(1)</script>",
        "*stars* [link](http://a.b) :material/home: `x`",
        "x" * LONGEST_NAME,
        "é 日本語 👩‍🔬",
    ],
)
def test_names_of_any_kind_are_kept_as_they_are(name: str) -> None:
    assert LabelChange(name=name).of(Labels()).name == name


@pytest.mark.parametrize(
    ("field", "given", "said"),
    [
        ("name", {"name": "x" * 300}, "has 300 characters, more than the 120 of a name; shorten it"),
        ("name", {"name": "one\ntwo"}, "has more than one line"),
        ("name", {"name": "   "}, "has nothing but spaces; write a name"),
        ("name", {"name": "a\x1b[31mred"}, r"cannot be shown \(U\+001B\); leave it out"),
        ("name", {"name": "a\u202eb"}, r"U\+202E"),
        ("name", {"name": "\ud800"}, r"U\+D800"),
        ("note", {"note": "x" * (LONGEST_NOTE + 1)}, "has 2,001 characters, more than the 2,000 of a note"),
        ("note", {"note": "\x00"}, r"U\+0000"),
        ("tag", {"add_tags": ("x" * 41,)}, "has 41 characters, more than the 40 of a tag"),
        ("tag", {"add_tags": ("",)}, "is no tag"),
        ("tag", {"add_tags": tuple(map(str, range(11)))}, "at most 10 tags"),
    ],
)
def test_what_cannot_be_used_is_refused_with_field_value_and_remedy(field: str, given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        LabelChange(**given).of(Labels())  # type: ignore[arg-type]
    assert refused.value.field == field


def test_spaces_are_tidied_notes_keep_their_lines_and_a_tag_is_there_once() -> None:
    labels = LabelChange(name="  a \t b ", note="one\r\n\ttwo ", add_tags=("Base", " base ", "other")).of(Labels())
    assert labels == Labels("a b", "one\n\ttwo", ("Base", "other"))


def test_a_change_leaves_the_rest_alone_and_is_taken_back_without_it() -> None:
    before = Labels("old", "note", ("a", "b"), starred=False)
    after = LabelChange(name="new", add_tags=("c",), remove_tags=("A",)).of(before)
    assert after == Labels("new", "note", ("b", "c"))
    by_another = LabelChange(note="theirs", add_tags=("d",), starred=True).of(after)
    assert undoing(before, after).of(by_another) == Labels("old", "theirs", ("b", "d", "a"), starred=True)
    assert not undoing(before, before)


def test_a_run_with_as_many_tags_as_there_may_be_can_change_them() -> None:
    full = Labels(tags=tuple(map(str, range(MOST_TAGS))))
    assert len(LabelChange(add_tags=("new",), remove_tags=("0",)).of(full).tags) == MOST_TAGS
    assert LabelChange(name="x").of(full).tags == full.tags


@pytest.mark.parametrize("values", [None, 7, [], {"name": 3, "tags": {"a": 1}, "note": ["x"]}, {"name": "x" * 500, "tags": [1, None, "\x00"]}])
def test_damaged_labels_are_none(values: object) -> None:
    assert read(values) == Labels()


def test_of_damaged_labels_what_is_well_stays() -> None:
    labels = Labels("a", "b", ("c",), starred=True)
    assert read(written(labels)) == labels
    assert read({**written(labels), "name": "x" * 500, "tags": ["c", 5, "d"]}) == Labels("", "b", ("c", "d"), starred=True)
