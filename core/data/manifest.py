"""The pictures that a run was made of, and how they become batches: two files in the run's folder, written before its first step. No torch.

`pictures.csv` has a line for each picture, in the order of the three sets: `part,class,file,sha256`, as RFC 4180 says it (fields in quotes where they
hold commas, quotes or line breaks; lines end in CR LF). It is UTF-8, and the bytes of a file name that are not are written as they are: read it with
`open(file, encoding="utf-8", errors="surrogateescape", newline="")` and Python's `csv`.

- `part` is train, validation or test. The lines of a part are its places 0, 1, 2 ... as `BatchOrder` shuffles them.
- `class` is the picture's true class, also where a fault gave it another.
- `file` is its path below the root, with `/` between folders, if the dataset is a folder. Else `#17` is the picture's number, from 0, in one of the
  dataset's own two sources, its training or its test pictures; `sources` in `recipe.json` says in which.
- `sha256` is that of the file's bytes; of the pixels, uint8 [C, H, W] as the dataset has them, where its pictures are no files.

`recipe.json` has the fields of `Recipe`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from core.config import ConfigError
from core.machine.files import written_whole

PICTURES = "pictures.csv"
RECIPE = "recipe.json"
HEADER = ("part", "class", "file", "sha256")
PARTS = ("train", "validation", "test")

_NUMBER = re.compile(r"#(\d+)", re.ASCII)
_REMEDY = "bring it back from a copy of the run's folder, or train again"


class Picture(NamedTuple):
    """One picture of a run: the set that it is in, its class, where it lies (see above), and the SHA-256 of what it holds, in hexadecimal digits."""

    part: str
    name: str
    file: str
    sha256: str

    @property
    def number(self) -> int | None:
        """Its number in a source of the dataset; None for a file of a folder, whose name has an ending and so is never `#17`."""
        match = _NUMBER.fullmatch(self.file)
        return int(match[1]) if match else None


@dataclass(frozen=True)
class Recipe:
    """How a run's pictures become what its model is given.

    Args:
        dataset: as the config names it.
        root: the folder that the files lie in; where it is now, if somebody said that it was moved. None for a dataset that is no folder.
        classes: by label, from 0.
        image_size: side of the squares, in pixels.
        fit: how a picture that is no square becomes one.
        value_range: the lowest and the highest value of pictures with other than 8 bits a channel; None where all have 8.
        mean, std: what is taken off and divided by, a figure a channel, on the scale of 0 to 1.
        layout: how the folder was read, in a sentence; empty for a dataset that is no folder.
        sources: the part of the dataset, train, validation or test, that each of the run's three sets was taken from.
        started_from: the run whose weights it started from, if it did and they lay in that run's folder.
        largest: up to how many pixels a side pictures were kept for random crops; as `image_size` where none larger were.
    """

    dataset: str
    root: str | None
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: str = "crop"
    value_range: tuple[float, float] | None = None
    layout: str = ""
    sources: Mapping[str, Literal["train", "validation", "test"]] = field(default_factory=dict)
    started_from: str | None = None
    largest: int | None = None


_RECIPE = TypeAdapter(Recipe)


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """Write `pictures.csv` into a run's folder, whole or not at all.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text)  # it ends lines in CR LF: with another ending it would not put a lone CR in quotes
    rows.writerow(HEADER)
    rows.writerows(pictures)
    with written_whole(folder / PICTURES) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def read_pictures(folder: Path) -> tuple[Picture, ...] | None:
    """The pictures of the run in `folder`, in their order; None for a run that was made before Thaw kept lists.

    Raises:
        ConfigError: on `run`, the list is there but damaged.
    """
    path = folder / PICTURES
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file, strict=True)
            if tuple(next(rows, ())) != HEADER:
                raise ValueError(f"its first line is not {','.join(HEADER)}")
            return tuple(map(_picture, rows))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError("run", f"the list of the run's pictures, {path}, cannot be read ({error}); {_REMEDY}") from None


def _picture(row: list[str]) -> Picture:
    if len(row) != len(HEADER) or row[0] not in PARTS or len(row[3]) != 64:
        raise ValueError(f"no picture: {','.join(row)[:80]!r}")
    return Picture(*row)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write `recipe.json` into a run's folder, whole or not at all.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    values = {name: value for name, value in asdict(recipe).items() if name != "sources"}
    with written_whole(folder / RECIPE) as file:
        # In ASCII: a folder's name may hold bytes that are no UTF-8.
        file.write(json.dumps({**values, "sources": dict(recipe.sources)}, indent=1).encode("ascii") + b"\n")


def read_recipe(folder: Path) -> Recipe | None:
    """The recipe of the run in `folder`; None for a run that was made before Thaw kept one. What a later Thaw adds to it is left aside.

    Raises:
        ConfigError: on `run`, it is there but damaged.
    """
    path = folder / RECIPE
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        return _RECIPE.validate_python(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        reason = str(error).split("\n")[0][:120]
        raise ConfigError("run", f"how the run's pictures were read, {path}, cannot be read itself ({reason}); {_REMEDY}") from None
