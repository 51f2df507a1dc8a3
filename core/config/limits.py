"""How much of anything a person may give, looked at before anything else is, and how it is quoted in a message. Imports nothing of the project."""

from __future__ import annotations

import json
import reprlib
from typing import Any

LONGEST_NAME = 200
"""Characters of a name: of a dataset, a model, an option, a layer or a pattern."""

LONGEST_PATH = 4096
"""Characters of a path: what the common systems can open."""

LONGEST_TEXT = 100_000
"""Characters of a text that is made of parts, such as a timeline: a rule for each of 600 tensors takes 30,000."""

MOST_PARTS = 1_000
"""Rules of a plan, changes of a timeline, options of an optimizer, numbers of an option."""

LARGEST_FILE = 1_000_000
"""Bytes of a JSON file: a config of any kind takes a few thousand."""

DEEPEST = 8
"""How deeply lists and objects may lie inside each other. A config needs three."""

_quotes = reprlib.Repr()
_quotes.maxstring = _quotes.maxother = 240
_quotes.maxlong = 40
_quotes.maxlevel = 3
_quotes.maxdict = _quotes.maxlist = _quotes.maxtuple = 8

LONGEST_MESSAGE = 1200


class TooMuch(ValueError):
    """Something is longer or deeper than anything that can be meant. The text says what is, and how much of it may be."""


def quoted(value: Any) -> str:
    """`value` as Python writes it, cut in the middle where it is long: what a message can hold."""
    if isinstance(value, int) and abs(value) > 10**40:
        return f"a number of about {int(value.bit_length() * 0.30103):,} digits"  # Python refuses to write more than 4,300
    return _quotes.repr(value)


def cut(message: str) -> str:
    """A message that nobody has cut, in a length that a person can read: its beginning and its end."""
    half = LONGEST_MESSAGE // 2
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:half]} ... {message[-half:]}"


def check_size(value: Any, longest: int = LONGEST_TEXT) -> None:
    """See that nothing in `value` is longer than `longest` characters or `MOST_PARTS` parts, or deeper than `DEEPEST`. Quick for any size.

    Raises:
        TooMuch: something is.
    """
    waiting = [(value, 0)]
    seen = 0
    while waiting:
        found, depth = waiting.pop()
        seen += 1
        if isinstance(found, str) and len(found) > longest:
            raise TooMuch(f"has {len(found):,} characters, more than the {longest:,} that can be used")
        if isinstance(found, dict | list | tuple | set | frozenset):
            if depth == DEEPEST:
                raise TooMuch(f"has more than {DEEPEST} lists or objects inside each other")
            if len(found) > MOST_PARTS or seen > 20 * MOST_PARTS:
                raise TooMuch(f"has {max(len(found), seen):,} parts, more than the {MOST_PARTS:,} that can be used")
            inside = [*found, *found.values()] if isinstance(found, dict) else found
            waiting += [(part, depth + 1) for part in inside]


def read_json(text: str) -> Any:
    """What a JSON text says; a byte order mark before it means nothing.

    Raises:
        TooMuch: it is longer, or nested more deeply, than anything that can be meant.
        ValueError: it is not JSON; the text says where.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > LARGEST_FILE:
        raise TooMuch(f"has {len(text):,} characters, more than the {LARGEST_FILE:,} that can be read")
    try:
        return json.loads(text)
    except RecursionError:
        raise TooMuch(f"has more than {DEEPEST} lists or objects inside each other") from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise TooMuch("has a number of more digits than Python reads") from None
