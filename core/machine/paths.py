"""Paths as people paste them: in quotes, as file:// addresses, with `~` and escaped blanks. Imports nothing of the project but the error."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from urllib.parse import unquote

from core.config.errors import ConfigError

LONGEST = 4096
"""Letters: no system that this runs on opens a longer path."""

QUOTES = ('""', "''", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "\u00ab\u00bb", "``")

_UNSEEN = "\ufeff\u200b\u200e\u200f\u202a\u202b\u202c"
"""What stands before or behind a copied path and cannot be seen: a byte order mark, marks for the direction of writing."""

_ESCAPED = re.compile(r"\\([ !\"#$&'()*,;<>?\[\\\]^`{|}~])")


def pasted(text: str, field: str) -> Path:
    """The path that a person means, absolute. One that is there exactly as it was typed is never read in another way.

    Quotes around it, blanks around it, `file://`, `~` and backslashes before blanks (as a terminal writes them) are understood.

    Raises:
        ConfigError: on `field`, for no text at all, one that can be no path, a user that is not there and a file of another machine.
    """
    if len(text) > LONGEST:
        raise ConfigError(field, f"{text[:60]!r}... has {len(text):,} letters, more than any path; give the path alone")
    if "\0" in text:
        raise ConfigError(field, f"{text[:60]!r} holds a zero byte, which no path can; type it anew")
    if text and not text.startswith("~") and is_there(text):
        return Path(text).absolute()
    bare = unquoted(text)
    if not text.strip():
        raise ConfigError(field, "no path is given; give one, for example photos")
    if not bare:
        raise ConfigError(field, f"{text!r} is no path, and nothing of that name is in the current folder; give one, for example photos")
    readings = [bare, _ESCAPED.sub(r"\1", bare)]
    if bare[:5].casefold() == "file:":
        readings = [_of_address(bare, field), *readings]
    paths = [_expanded(reading, field) for reading in readings]
    found = next((path for path in paths if is_there(path)), paths[0])
    try:
        found.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(field, f"{text[:60]!r}... is no path that can be used ({error.strerror}); give the path alone") from None
    return found


def unquoted(text: str) -> str:
    """`text` without the blanks, the quotes and the unseen letters around it."""
    while True:
        bare = text.strip().strip(_UNSEEN)
        if len(bare) > 1 and bare[0] + bare[-1] in QUOTES:
            bare = bare[1:-1]
        if bare == text:
            return bare
        text = bare


def _of_address(text: str, field: str) -> str:
    """The path in a file: address."""
    rest = text[5:]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.casefold() not in ("", "localhost", "~"):
            raise ConfigError(field, f"{text[:120]!r} is on the machine {host[:60]!r}; copy it to this one, and give its path here")
        rest = (host if host == "~" else "") + slash + path
    path = unquote(rest)
    if "\0" in path:  # %00, which `pasted` could not see
        raise ConfigError(field, f"{text[:120]!r} holds a zero byte (%00), which no path can; type it anew")
    return path


def _expanded(text: str, field: str) -> Path:
    """With the home folder in place of `~` or `$HOME`."""
    text = re.sub(r"^(\$HOME|\$\{HOME\})(?=/|$)", "~", text)
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        user = text.partition("/")[0]
        raise ConfigError(field, f"{text[:120]!r} begins with {user[:60]!r}, and this machine has no such user; write the path in full") from None


def is_there(path: str | Path) -> bool:
    """True if something is at `path`, be it a link to nothing."""
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):  # of letters that this system's names cannot have
        return False
