"""What a person calls a run: name, note, tags and a star. Nothing of it changes what a run does, so it can change at any time."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.config import ConfigError
from core.config.limits import quoted

LONGEST_NAME, LONGEST_NOTE, LONGEST_TAG = 120, 2_000, 40
"""Characters."""

MOST_TAGS = 10

_JOINERS = "\u200c\u200d"
"""Not printable by themselves, and meant: they are inside of emojis, and of words in Persian and Hindi."""


@dataclass(frozen=True)
class Labels:
    """What one run is called. Empty: nobody has called it anything."""

    name: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    starred: bool = False


NONE = Labels()


@dataclass(frozen=True)
class LabelChange:
    """What is to be another one; None: stays. Tags are added and taken away one by one, so that two people who change them lose none.

    Raises:
        ConfigError: on `name`, `note` or `tag`: it is too long, has nothing but spaces, or something that cannot be shown.
    """

    name: str | None = None
    note: str | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    starred: bool | None = None

    def __post_init__(self) -> None:
        read = {
            "name": None if self.name is None else _line("name", self.name, LONGEST_NAME),
            "note": None if self.note is None else _note(self.note),
            "add_tags": _once(_tag(each) for each in self.add_tags),
            "remove_tags": _once(" ".join(each.split()) for each in self.remove_tags),
        }
        for field, value in read.items():
            object.__setattr__(self, field, value)

    def __bool__(self) -> bool:
        return self != LabelChange()

    def of(self, labels: Labels) -> Labels:
        """What `labels` become by it.

        Raises:
            ConfigError: on `tag`, there would be more than a run can have.
        """
        gone = {tag.casefold() for tag in self.remove_tags}
        tags = _once([*(tag for tag in labels.tags if tag.casefold() not in gone), *self.add_tags])
        if len(tags) > MOST_TAGS and len(tags) > len(labels.tags):
            raise ConfigError("tag", f"a run has at most {MOST_TAGS} tags, and this would be number {len(tags):,}; take another one away first")
        return Labels(
            labels.name if self.name is None else self.name,
            labels.note if self.note is None else self.note,
            tags,
            labels.starred if self.starred is None else self.starred,
        )


def undoing(before: Labels, after: Labels) -> LabelChange:
    """The change that takes back what made `after` of `before`, and touches nothing else."""
    return LabelChange(
        name=before.name if before.name != after.name else None,
        note=before.note if before.note != after.note else None,
        add_tags=tuple(tag for tag in before.tags if tag not in after.tags),
        remove_tags=tuple(tag for tag in after.tags if tag not in before.tags),
        starred=before.starred if before.starred != after.starred else None,
    )


def written(labels: Labels) -> dict[str, Any]:
    """Labels as plain values, for JSON."""
    return {"name": labels.name, "note": labels.note, "tags": list(labels.tags), "starred": labels.starred}


def read(values: Any) -> Labels:
    """Labels from plain values that may be damaged or anybody's: what cannot be one is left out, since no run is lost for its name."""
    found = values if isinstance(values, dict) else {}
    labels = Labels(starred=found.get("starred") in (True, 1))
    tags = found.get("tags")
    changes: list[dict[str, Any]] = [{"name": found.get("name")}, {"note": found.get("note")}]
    changes += [{"add_tags": (tag,)} for tag in (tags if isinstance(tags, list | tuple) else ())[:MOST_TAGS]]
    for change in changes:
        try:
            labels = LabelChange(**change).of(labels)
        except (ConfigError, TypeError, AttributeError):
            continue
    return labels


def read_tags(text: str) -> Any:
    """The list that a JSON text holds; what it holds otherwise is for `read` to leave out."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return ()


def words_of(text: str) -> tuple[str, ...]:
    """What somebody looks for, word by word, whatever the case."""
    return tuple(text.casefold().split())


def _line(field: str, text: str, longest: int) -> str:
    """One line of text. Of several spaces one is left, and none at its ends.

    Raises:
        ConfigError: see `LabelChange`.
    """
    if len(text) > longest:
        much = f"has {len(text):,} characters, more than the {longest} of a {field}"
        raise ConfigError(field, f"{quoted(_beginning(text))} {much}; {_ELSEWHERE[field]}")
    if "\n" in text or "\r" in text:
        raise ConfigError(
            field, f"{quoted(text)} has more than one line; write it in one{', the rest fits into the note' if field == 'name' else ''}"
        )
    _shown(field, text)
    if text and not text.strip():
        raise ConfigError(field, f"{quoted(text)} has nothing but spaces; {_EMPTY[field]}")
    return " ".join(text.split())


_ELSEWHERE = {"name": f"shorten it, a note has room for {LONGEST_NOTE:,}", "tag": "shorten it"}
_EMPTY = {"name": "write a name, or nothing at all to have none", "tag": "write a word"}


def _tag(text: str) -> str:
    tag = _line("tag", text, LONGEST_TAG)
    if not tag:
        raise ConfigError("tag", f"{quoted(text)} is no tag; write a word")
    return tag


def _note(text: str) -> str:
    note = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(note) > LONGEST_NOTE:
        raise ConfigError("note", f"{quoted(_beginning(note))} has {len(note):,} characters, more than the {LONGEST_NOTE:,} of a note; shorten it")
    _shown("note", note.replace("\n", "").replace("\t", ""))
    return note


def _beginning(text: str) -> str:
    return f"{text[:40]} ..."


def _shown(field: str, text: str) -> None:
    for character in text:
        if not (character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs" or character == "\t"):
            reason = f"has a character that cannot be shown (U+{ord(character):04X})"
            raise ConfigError(field, f"{quoted(text)} {reason}; leave it out")


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text once, whatever the case, in the first spelling of it."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(text.casefold(), text)
    return tuple(found.values())
