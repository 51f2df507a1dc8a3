"""What a dataset and its classes may be called."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from core.config.errors import ConfigError
from core.config.limits import quoted

LONGEST = 60
"""Characters of a dataset's name: with what is put behind it, every file system takes it."""

LONGEST_LABEL = 200
MOST_CLASSES = 10_000

_FORBIDDEN = set('<>:"/\\|?*@')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def checked(name: str) -> str:
    """The name of a dataset, without blanks around it and with letters in their composed form.

    Raises:
        ConfigError: on `name`, for what cannot be a folder on every system, is longer than `LONGEST`, or holds what `own:NAME@3` needs.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise ConfigError("name", "a dataset needs a name; give one of letters and digits, for example flowers")
    if len(name) > LONGEST or len(name.encode(errors="replace")) > 4 * LONGEST:
        raise ConfigError("name", f"{quoted(name[:LONGEST])}... has {len(name):,} letters; {LONGEST} is the most")
    wrong = sorted({letter for letter in name if letter in _FORBIDDEN or not letter.isprintable()})
    if wrong:
        raise ConfigError("name", f"{name!r} holds {' '.join(map(repr, wrong))}, which no name may; use letters, digits, blanks, - and _")
    if name.startswith(".") or name.endswith(".") or _RESERVED.fullmatch(name):
        raise ConfigError("name", f"{name!r} cannot be a folder on every system; choose another name, for example {name.strip('.')}_pictures")
    return name


def same(one: str, other: str) -> bool:
    """True for names that are one: case does not count, nor how an accent is stored."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The names of classes, as they are. Raises ConfigError on `classes` for an empty, unprintable, far too long or doubled one."""
    if len(classes) > MOST_CLASSES:
        raise ConfigError("classes", f"{len(classes):,} classes; at most {MOST_CLASSES:,} can be told apart")
    for name in classes:
        if not name.strip() or len(name) > LONGEST_LABEL or not name.isprintable():
            raise ConfigError("classes", f"{quoted(name)} cannot be the name of a class; use 1 to {LONGEST_LABEL} letters that can be printed")
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ConfigError("classes", f"two classes are called {quoted(twice)}; merge them, or give one of them another name")
    return tuple(classes)


def short_label(name: str) -> str:
    """The name of a class, cut where it is far too long; what differs behind the cut stays two names."""
    if len(name) <= LONGEST_LABEL:
        return name
    return f"{name[: LONGEST_LABEL - 9]}~{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


@lru_cache(maxsize=65_536)
def people_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key to sort names as people read them: `img2` before `img10`, small and capital letters side by side."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() and len(part) < 40 else (1, 0, part) for part in parts], name
