"""What a model made of many pictures: written as CSV, and the pictures copied or packed into a folder for each class. No torch."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError
from core.data.folders import shown
from core.data.intake import UnreadableImage
from core.data.sources import Progress
from core.evaluation.gathering import Picture, Refused
from core.evaluation.packed import Reader
from core.machine.files import folder_written_whole

COLUMNS = ("file", "predicted", "probability")
"""The columns of a CSV file before those of the classes."""

LONGEST_NAME = 120
"""Letters of the name of a folder or a file that is made."""

_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Answers:
    """Some pictures, the likeliest class of each, int64 [N], and all probabilities, float32 [N, C]."""

    pictures: tuple[Picture, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]


class CsvWriter:
    """Rows `file, predicted, probability` and one column a class, as UTF-8 with standard quoting, to a file that is written batch by batch.

    Probabilities have nine significant digits: whoever reads them as float32 has the same bits.
    """

    def __init__(self, stream: BinaryIO, classes: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="", write_through=False)
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._classes = tuple(classes)
        self._rows.writerow((*COLUMNS, *self._classes))

    def write(self, answers: Answers) -> None:
        """Add the rows of some pictures."""
        for picture, label, shares in zip(answers.pictures, answers.labels.tolist(), answers.probabilities.tolist(), strict=True):
            figures = [f"{share:.9g}" for share in shares]
            self._rows.writerow((picture.name, self._classes[label], figures[label], *figures))

    def end(self) -> None:
        """Write what is left, and leave the file open."""
        self._text.flush()
        self._text.detach()


def check_new(path: Path, field: str, force: bool) -> None:
    """See that a file can be written to `path`. Raises ConfigError on `field` where one is there (unless `force`), or a folder is."""
    if path.is_dir():
        raise ConfigError(field, f"{shown(str(path))} is a folder; give the name of a file, for example {shown(str(path / 'predictions.csv'))}")
    if path.exists() and not force:
        raise ConfigError(field, f"{shown(str(path))} is there already; give another name, or --force to write over it")


def unwritable(field: str, path: Path, error: OSError) -> ConfigError:
    """What to say of a file or a folder that cannot be written: nothing of it is left."""
    why = error.strerror or type(error).__name__
    remedy = "free some space there, make it writable, or name another place"
    return ConfigError(field, f"{shown(str(path))} cannot be written ({why}), and nothing was left there; {remedy}")


def folder_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Names for the folders of classes that every system can have: no slashes or line breaks, no two that differ in case alone."""
    taken: set[str] = set()
    return tuple(_free_name(_safe(name, "class"), taken) for name in classes)


def places(pictures: Iterable[Picture], labels: Iterable[int], classes: Sequence[str]) -> Iterator[tuple[str, str, Picture]]:
    """Where each picture goes: the folder of its class, a name in it that no other has, in any case of letters, and the picture."""
    folders = folder_names(classes)
    taken: list[set[str]] = [set() for _ in classes]
    for picture, label in zip(pictures, labels, strict=True):
        inside = picture.inside or picture.path.name
        yield folders[label], _free_name(_safe(inside.rpartition("/")[2], "picture"), taken[label]), picture


def check_sortable(target: Path, sources: Sequence[Path]) -> None:
    """See that pictures can be sorted into `target`. Raises ConfigError on `sort_into` where it holds something, or lies among the pictures."""
    if target.exists() and not target.is_dir():
        raise ConfigError("sort_into", f"{shown(str(target))} is a file; name a folder that is not there yet, or an empty one")
    for source in sources:
        if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
            what = f"{shown(str(target))} lies in the folder whose pictures are predicted ({shown(str(source))})"
            raise ConfigError("sort_into", f"{what}: the next time its copies would be predicted too; name a folder elsewhere")
    try:
        if target.exists() and any(target.iterdir()):
            raise ConfigError("sort_into", f"{shown(str(target))} holds files already; name a folder that is not there yet, or an empty one")
    except OSError as error:
        raise unwritable("sort_into", target, error) from None


def sort_into(target: Path, pictures: Sequence[Picture], labels: Sequence[int], classes: Sequence[str], progress: Progress) -> tuple[Refused, ...]:
    """Copy pictures into a folder for each class below `target`, whole or not at all; what could not be copied, and why, comes back.

    Raises:
        ConfigError: on `sort_into`, it cannot be written.
    """
    refused: list[Refused] = []
    names = folder_names(classes)
    try:
        with folder_written_whole(target) as beside, Reader() as reader:
            for name in {names[label] for label in labels}:
                (beside / target.name / name).mkdir(parents=True)
            for done, (folder, name, picture) in enumerate(places(pictures, labels, classes)):
                if done % 50 == 0:
                    progress(f"copying: {done:,} of {len(pictures):,} pictures", done / len(pictures))
                try:
                    data = _bytes_of(picture, reader)
                except (UnreadableImage, OSError) as error:
                    refused.append(Refused(picture.name, f"it could not be copied: {_reason(error)}"))
                    continue
                (beside / target.name / folder / name).write_bytes(data)
    except OSError as error:
        raise unwritable("sort_into", target, error) from None
    return tuple(refused)


def pack_sorted(stream: BinaryIO, pictures: Sequence[Picture], labels: Sequence[int], classes: Sequence[str]) -> tuple[Refused, ...]:
    """Write a zip file with a folder for each class; what could not be packed, and why, comes back."""
    refused: list[Refused] = []
    # Pictures are packed already: to deflate them again takes long and gains nothing.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive, Reader() as reader:
        for folder, name, picture in places(pictures, labels, classes):
            try:
                archive.writestr(f"{folder}/{name}", _bytes_of(picture, reader))
            except (UnreadableImage, OSError) as error:
                refused.append(Refused(picture.name, f"it could not be packed: {_reason(error)}"))
    return tuple(refused)


def _bytes_of(picture: Picture, reader: Reader) -> bytes:
    opened = picture.open(reader)
    return opened.read_bytes() if isinstance(opened, Path) else opened.getvalue()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _safe(name: str, instead: str) -> str:
    """A name without what some system forbids in names. Its ending stays where it has one."""
    clean = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", name)).strip(" .")
    stem, dot, ending = clean.rpartition(".")
    if dot and len(ending) <= 8:
        stem = _cut(stem, LONGEST_NAME - len(ending) - 1).rstrip(" .")
        clean = f"{stem or instead}.{ending}"
    else:
        clean = _cut(clean, LONGEST_NAME).rstrip(" .") or instead
    return f"_{clean}" if _RESERVED.fullmatch(clean) else clean


def _cut(name: str, most: int) -> str:
    """At most so many bytes: systems count those."""
    return name.encode()[:most].decode(errors="ignore")


def _free_name(name: str, taken: set[str]) -> str:
    """`name`, or with a number where it is taken already by one that differs in the case of its letters at most; it is taken from then on."""
    stem, dot, ending = name.rpartition(".")
    found, number = name, 1
    while found.casefold() in taken:
        number += 1
        found = f"{stem} ({number}).{ending}" if dot else f"{name} ({number})"
    taken.add(found.casefold())
    return found
