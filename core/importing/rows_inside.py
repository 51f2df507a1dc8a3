"""Parquet files that hold the pictures themselves, a row each, as datasets of Hugging Face are stored: `image` {bytes, path} and `label`.

They are read a few rows at a time. Only the columns beside the pictures are read to find out what they show.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from core.config.errors import ConfigError
from core.config.limits import quoted
from core.data import endings
from core.data.folders import Entry, shown
from core.data.intake import UnreadableImage
from core.data.layouts import split_kind
from core.importing.tables import MOST_ROWS, Table, as_text
from core.importing.trees import Read, Tree, checked

MOST_GROUP = 4_000_000_000
"""Bytes of the pictures of one row group, unpacked: what a library that writes Parquet keeps together."""

MOST_FILES = 1_000

AT_ONCE = 8
"""Rows whose pictures are in memory at a time."""

_FROM_FILE = "split (by file)"


@dataclass(frozen=True)
class Rows:
    """One file: its rows, the columns that hold pictures, all others that are plain, and the names of classes that are stored as numbers."""

    path: Path
    count: int
    pictures: tuple[str, ...]
    plain: tuple[str, ...]
    named: Mapping[str, Sequence[str]]
    groups: Mapping[str, int]


class RowsTree(Tree):
    """The pictures in the rows of files of one kind. `table`: what their other columns say of them."""

    kind = "parquet"

    def __init__(self, path: Path, files: Sequence[Rows], column: str = "") -> None:
        super().__init__(path)
        self.root = Path(shown(path.name))
        self._files = files
        every = [name for name in files[0].pictures if all(name in file.pictures for file in files)]
        self.column = column if column in every else every[0] if every else ""
        if not self.column:
            names = " and ".join(sorted({quoted(name) for file in files for name in file.pictures}))
            raise ConfigError("source", f"the tables in {shown(path.name)} keep their pictures in other columns each ({names}); give them one by one")
        for file in files:
            if (most := file.groups[self.column]) > MOST_GROUP:
                what = f"{shown(file.path.name)} keeps {most / 1e9:,.1f} GB of pictures in one row group, more than {MOST_GROUP / 1e9:,.0f} GB"
                raise ConfigError("source", f"{what}; write it anew with smaller ones (row_group_size=100)")
        if (count := sum(file.count for file in files)) > MOST_ROWS:
            raise ConfigError("source", f"{shown(path.name)} holds {count:,} pictures, more than {MOST_ROWS:,}; give fewer at a time")
        self._at: dict[Path, tuple[int, int]] = {}

    def scan(self, folder: Path) -> Iterator[Entry]:
        """See `Folders`: there are no folders in a table."""
        return iter(())

    def size(self, path: Path) -> int:
        """See `Tree`: what a picture of its file takes on the average."""
        file = self._files[self._at[path][0]]
        return file.path.stat().st_size // max(file.count, 1)

    def read(self, path: Path) -> bytes:
        """See `Tree`. Far quicker through `contents`."""
        return next(read for _, read in self.contents([path]))()

    def contents(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Read]]:
        """See `Tree`: each is read before the next is asked for."""
        for number, file in enumerate(self._files):
            wanted = {self._at[path][1]: path for path in paths if self._at[path][0] == number}
            if not wanted:
                continue
            for row, value in enumerate(_values(file.path, self.column, AT_ONCE)):
                if row in wanted:
                    yield wanted[row], _reading(value)

    @property
    def pictures(self) -> tuple[Path, ...]:
        """Where they lie, row by row."""
        assert self.table
        return tuple(self._at)

    @cached_property
    def table(self) -> Table:
        """What the files say: the column of the pictures holds their names here. Raises ConfigError on `source`."""
        shared = [name for name in self._files[0].plain if all(name in file.plain for file in self._files)]
        parts = {split_kind(file.path.stem) or "" for file in self._files}
        by_file = len(parts) > 1
        rows = []
        for number, file in enumerate(self._files):
            names = self._names(number, file)
            columns = [self._plain(file, name) for name in shared]
            said = [[split_kind(file.path.stem) or ""] * file.count] if by_file else []
            rows += list(zip(names, *columns, *said, strict=True))
        called = (self.column, *shared, *([_FROM_FILE] if by_file else []))
        return Table(shown(self.path.name), tuple(map(shown, called)), tuple(rows))

    @property
    def labels(self) -> str:
        """The column that is declared to name classes; "" where none is, or several."""
        declared = [name for name in self.table.columns if name in self._files[0].named]
        return declared[0] if len(declared) == 1 else ""

    @property
    def splits(self) -> str:
        """The column that says what the names of the files say; "" where they say nothing."""
        return _FROM_FILE if _FROM_FILE in self.table.columns else ""

    def _names(self, number: int, file: Rows) -> list[str]:
        """What each picture of a file is called below the root: its own name where it has one that no other has."""
        folder = f"{shown(file.path.stem)}/" if len(self._files) > 1 else ""
        found = []
        taken: set[str] = set()
        for row, said in enumerate(_told(file.path, self.column, file.count)):
            name = shown(PurePosixPath(str(said).replace("\\", "/")).name)[:200] if said else ""
            name = name if name and name.casefold() not in taken else f"{row:06}{'-' if name else ''}{name}"
            taken.add(name.casefold())
            found.append(folder + name)
            self._at[self.root.joinpath(folder, name)] = number, row
        return found

    def _plain(self, file: Rows, column: str) -> list[str]:
        names = file.named.get(column)
        values = [value for batch in _batches(file.path, [column], 10_000) for value in batch.column(0).to_pylist()]
        if names is not None:
            return [names[value] if isinstance(value, int) and 0 <= value < len(names) else "" for value in values]
        return ["" if value is None else as_text(value) for value in values]


def tree_of(source: Path, column: str = "") -> RowsTree | None:
    """The pictures that lie in the rows of a Parquet file, or of those in a folder; None where there are none, or it is no such thing.

    Args:
        column: the one that holds the pictures, where there are several.

    Raises:
        ConfigError: on `source`, there are far too many.
    """
    if source.is_dir():
        paths = _beside_each_other(source)
    else:
        paths = [source] if source.name.casefold().endswith(".parquet") and source.is_file() else []
    found = [rows for path in paths[:MOST_FILES] if (rows := looked_at(path)) is not None]
    return RowsTree(source, found, column) if found else None


def _beside_each_other(folder: Path) -> list[Path]:
    """The Parquet files of a folder, else of the first folder in it that has any."""
    try:
        inner = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
        return next((found for each in (folder, *inner[:20]) if (found := sorted(each.glob("*.parquet")))), [])
    except OSError:
        return []


def looked_at(path: Path) -> Rows | None:
    """What a Parquet file has; None where none of its columns holds pictures, or it is no such file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        pictures = [field.name for field in file.schema_arrow if _may_hold(field.type) and _begins(path, field.name)]
    except (pa.ArrowException, OSError, ValueError):
        return None
    plain = [
        field.name for field in file.schema_arrow
        if not (pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))
    ]  # fmt: skip
    named = _class_names(file.schema_arrow.metadata or {})
    return Rows(path, file.metadata.num_rows, tuple(pictures), tuple(plain), named, _groups(file.metadata)) if pictures else None


def _groups(metadata: Any) -> dict[str, int]:
    """Bytes of the largest row group of each column, unpacked."""
    most: dict[str, int] = {}
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            name = column.path_in_schema.partition(".")[0]
            most[name] = max(most.get(name, 0), column.total_uncompressed_size)
    return most


def _may_hold(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _may_hold(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _begins(path: Path, column: str) -> bool:
    """Whether one of the first values of a column begins as a picture does."""
    for place, value in enumerate(_values(path, column, AT_ONCE)):
        data = _bytes(value)
        if data and (endings.is_head(data[:12]) or data[4:8] == b"ftyp"):
            return True
        if place >= AT_ONCE:
            break
    return False


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """What numbers of a column mean, as `datasets` writes it down; nothing where it does not, or in a way that is not known."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = {name: [shown(str(each)) for each in said["names"]] for name, said in features.items() if said.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    return found


def _told(path: Path, column: str, count: int) -> list[object]:
    """The names that pictures came with; None for each that has none."""
    from pyarrow import parquet

    field = parquet.read_schema(path).field(column).type
    if not any(child.name == "path" for child in getattr(field, "fields", ())):
        return [None] * count
    return [(value or {}).get("path") for value in _values(path, column, 10_000, "path")]


def _values(path: Path, column: str, at_once: int, part: str = "bytes") -> Iterator[Any]:
    """The values of a column, of a structured one a single part of them."""
    from pyarrow import parquet, types

    structured = types.is_struct(parquet.read_schema(path).field(column).type)
    for batch in _batches(path, [f"{column}.{part}" if structured else column], at_once):
        yield from batch.column(0).to_pylist()


def _batches(path: Path, columns: list[str], at_once: int) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:  # else a whole row group would lie in memory
            yield from file.iter_batches(batch_size=at_once, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        why = shown(str(error).splitlines()[0] if str(error) else type(error).__name__)[:120]
        raise ConfigError("source", f"{shown(path.name)} cannot be read to its end ({why}); copy or upload it again") from None


def _bytes(value: Any) -> bytes | None:
    found = value.get("bytes") if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else None


def _reading(value: Any) -> Read:
    """What gives the bytes of a row, or says why there are none."""

    def read() -> bytes:
        data = _bytes(value)
        if not data:
            raise UnreadableImage("the row holds no picture", "out of reach")
        return checked(data)

    return read
