"""Tables that say what pictures show: CSV or Parquet, with columns for file, label, split and group. Names propose, content decides."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from core.config.errors import ConfigError
from core.config.limits import quoted
from core.data import endings
from core.data.folders import shown, some
from core.data.intake import UnreadableImage
from core.data.layouts import split_kind
from core.importing.trees import Refused, Tree
from core.versions import naming

ENDINGS = (".csv", ".tsv", ".parquet")
MOST_ROWS = 1_000_000
LOOKED_AT = 2_000
"""Rows that are looked at to find out which column names the files."""

FLAGGED = "class (its column says 1)"
"""The label of a table that has a column for each class, as `unfolded` makes it."""

ROLES = ("file", "label", "split", "group")

_NAMES: Mapping[str, tuple[str, ...]] = {
    "file": (
        *("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_file", "image_name", "image_path", "image_id"),
        *("imagename", "img", "img_name", "img_path", "id_code", "picture", "photo", "name", "id"),
    ),
    "label": ("label", "class", "category", "target", "class_name", "label_name", "classname", "labels", "species", "breed", "diagnosis", "dx", "y"),
    "split": ("split", "set", "subset", "partition", "dataset", "fold_name", "usage", "part"),
    "group": (
        "group",
        "patient",
        "patient_id",
        "patientid",
        "subject",
        "subject_id",
        "burst",
        "video",
        "video_id",
        "session",
        "lesion_id",
        "group_id",
    ),
}


@dataclass(frozen=True)
class Columns:
    """Which column of a table says what; "" for none."""

    file: str = ""
    label: str = ""
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table as texts: the names of its columns, and its rows, as long as these."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> int:
        """The place of a column; case and blanks do not count. Raises ConfigError on `columns` where there is none."""
        wanted = _plain(name)
        for place, column in enumerate(self.columns):
            if column == name or _plain(column) == wanted:
                return place
        raise ConfigError("columns", f"{self.file} has no column {quoted(name)}; it has {some([quoted(column) for column in self.columns], 12)}")


@dataclass(frozen=True)
class Row:
    """What a table says of a picture that is there."""

    path: Path
    label: str
    split: str = ""
    group: str = ""


@dataclass
class Matched:
    """The rows of a table whose pictures are there, what became of the others, and how many pictures no row names."""

    rows: list[Row] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unnamed: int = 0


def read_table(data: bytes, name: str) -> Table:
    """A table of any usual form: delimiter and encoding of a CSV are found out.

    Raises:
        ConfigError: on `source`, it is damaged, has no rows or far too many.
    """
    try:
        columns, rows = _of_parquet(data) if data.startswith(b"PAR1") else _of_csv(data)
    except ConfigError:
        raise
    except (ValueError, csv.Error, OSError, RuntimeError) as error:
        raise ConfigError("source", f"{name} cannot be read as a table ({shown(str(error))[:120]}); save it as CSV in UTF-8") from None
    if not rows or len(columns) < 2:
        raise ConfigError("source", f"{name} holds no rows of a file and a label; it needs a first row with the names of its columns")
    if any(endings.is_picture(column) for column in columns):  # no column is called so: it is the first picture
        called = tuple(f"column {number}" for number in range(1, len(columns) + 1))
        note = f"{name} has no first row with the names of its columns: they are called {some(called, len(called))} here."
        return Table(name, called, (columns, *rows), (note,))
    return Table(name, columns, rows)


def choose(table: Table, given: Columns, known: Index) -> Columns:
    """Which column says what: what was `given`, else by name, and the file's by what its rows hold.

    Raises:
        ConfigError: on `columns`, no column names files that are there, or nothing says which one is the label.
    """
    found = {role: table.columns[table.column(name)] for role in ROLES if (name := getattr(given, role))}
    if "file" not in found:
        found["file"] = _file_column(table, known)
    if "label" not in found:
        found["label"] = _label_column(table, found)
    for role in ("split", "group"):
        if role not in found:
            named = _by_name(table, role)
            found[role] = named if named not in (found["file"], found["label"]) else ""
    if found["split"] and not given.split and not _says_splits(table, found["split"]):
        found["split"] = ""
    return Columns(**found)


def unfolded(table: Table, given: Columns, known: Index) -> Table:
    """A table that has a column for each class (0 or 1, "one-hot") with a column `FLAGGED` more, which names the class; others as they are.

    A row that says 1 twice becomes two, one that says it nowhere has no label: `match` refuses both, each with its reason.
    """
    named = [_by_name(table, role) for role in ("label", "split", "group")]
    if given.label not in ("", FLAGGED) or (named[0] and not given.label):
        return table
    try:
        file = table.column(given.file) if given.file else table.column(_file_column(table, known))
    except ConfigError:  # `choose` says it
        return table
    taken = {file, *(table.column(name) for name in (*named[1:], given.split, given.group) if name)}
    flags = [place for place, name in enumerate(table.columns) if place not in taken and _is_flag(name, {row[place].strip() for row in table.rows})]
    if len(flags) < 2:
        return table
    rows = []
    for row in table.rows:
        classes = [table.columns[place] for place in flags if row[place].strip().casefold() in _YES] or [""]
        rows += [(*row, name) for name in classes]
    names = some([quoted(table.columns[place]) for place in flags], 4)
    note = f"{table.file} has a column for each class ({names}): a picture is of the one that says 1."
    return Table(table.file, (*table.columns, FLAGGED), tuple(rows), (*table.notes, note))


_YES, _NO = frozenset(("1", "1.0", "true")), frozenset(("", "0", "0.0", "false"))


def _is_flag(name: str, values: set[str]) -> bool:
    """Whether a column says of each row whether it is of the class that it is called by. `is_train` speaks of a split."""
    said = {value.casefold() for value in values}
    return said <= _YES | _NO and bool(said & _YES) and not split_kind(_plain(name).removeprefix("is_"))


class Index:
    """Pictures by what a table may call them: the whole path, the end of it, with or without its ending. Case does not count."""

    def __init__(self, tree: Tree, pictures: Sequence[Path]) -> None:
        self.tree, self.pictures = tree, pictures
        self._found: dict[str, list[Path]] = {}
        for path in pictures:
            parts = path.relative_to(tree.root).parts
            for start in range(max(0, len(parts) - 4), len(parts)):
                text = "/".join(parts[start:]).casefold()
                for key in {text, text.rpartition(".")[0] or text}:
                    self._found.setdefault(key, []).append(path)
            self._found.setdefault("/".join(parts).casefold(), []).append(path)

    def find(self, text: str, below: Path | None = None) -> list[Path]:
        """The pictures that a text may mean: those of the longest end of it that there are any of. One in the folder `below` counts first."""
        parts = [part for part in PurePosixPath(text.strip().replace("\\", "/").casefold()).parts if part not in (".", "/")]
        for start in range(len(parts)):
            found = list(dict.fromkeys(self._found.get("/".join(parts[start:]), ())))
            if found:
                beside = [path for path in found if below is not None and path.is_relative_to(below)]
                return beside or found
        return []


def match(table: Table, columns: Columns, known: Index, below: Path | None = None) -> Matched:
    """What the table says of each picture. A picture with two labels is refused; of rows that say the same, one counts."""
    matched = Matched()
    file, label = table.column(columns.file), table.column(columns.label)
    split, group = (table.column(name) if name else None for name in (columns.split, columns.group))
    said: dict[Path, list[Row]] = {}
    absent = ambiguous = unlabelled = 0
    for cells in table.rows:
        text = cells[file].strip()
        found = known.find(text, below) if text else []
        if len(found) != 1:
            why = "the table names it, and it is not there" if not found else f"{len(found)} pictures are called so"
            absent, ambiguous = absent + (not found), ambiguous + bool(found)
            remedy = "put it beside the table, or correct the name" if not found else "write the path from the table's folder"
            matched.refused.append(Refused(shown(text)[:300] or "(no name)", why, remedy))
        elif not (text_label := _label(cells[label])):
            unlabelled += 1
            matched.refused.append(Refused(shown(text)[:300], "the table gives it no label", f"fill in the column {columns.label}"))
        else:
            kind = (split_kind(cells[split]) or "") if split is not None else ""
            said.setdefault(found[0], []).append(Row(found[0], text_label, kind, shown(cells[group].strip()) if group is not None else ""))
    doubled = 0
    for path, rows in said.items():
        labels = list(dict.fromkeys(row.label for row in rows))
        splits = {row.split for row in rows}
        if len(labels) > 1 or len(splits) > 1:
            what = f"the table gives it {some([quoted(name) for name in labels])}" if len(labels) > 1 else "the table puts it into two splits"
            matched.refused.append(Refused(known.tree.name(path), what, "leave one row for it"))
            continue
        doubled += len(rows) - 1
        matched.rows.append(rows[0])
    if doubled:
        matched.notes.append(f"Rows of {table.file} that say what another row says already, counted once: {doubled:,}.")
    matched.unnamed = len(known.pictures) - len(said)
    return matched


def check_labels(table: Table, columns: Columns) -> None:
    """See that the labels are classes. Raises ConfigError on `columns` for a measure: numbers with fractions, hardly two alike."""
    labels = [label for row in table.rows if (label := _label(row[table.column(columns.label)]))]
    counts = Counter(labels)
    numbers = [label for label in counts if _number(label) is not None]
    broken = [label for label in numbers if not float(label).is_integer()]
    if len(counts) > 20 and len(numbers) == len(counts) and (len(broken) > len(counts) / 2 or len(counts) > len(labels) / 2):
        what = f"the column {quoted(columns.label)} of {table.file} holds {len(counts):,} different numbers in {len(labels):,} rows"
        raise ConfigError("columns", f"{what}: a measure, no classes; name the column of the classes (--label-column)")


def _of_csv(data: bytes) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    text = _decoded(data)
    first = text.partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = tuple(shown(name.strip()) for name in next(reader, []))
    rows = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            rows.append((*cells[: len(columns)], *[""] * (len(columns) - len(cells))))
        if len(rows) > MOST_ROWS:
            raise ConfigError("source", f"the table holds more than {MOST_ROWS:,} rows; give fewer at a time")
    if rows and text.count('"') % 2 and any("\n" in cell for cell in rows[-1]):
        begins = quoted(rows[-1][0].partition("\n")[0][:60])
        raise ConfigError("source", f"a quotation mark in the row of the table that begins with {begins} is never closed; close it, or take it out")
    return columns, tuple(rows)


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _of_parquet(data: bytes) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows > MOST_ROWS:
            raise ConfigError("source", f"the table holds {file.metadata.num_rows:,} rows, more than {MOST_ROWS:,}; give fewer at a time")
        plain = [column.name for column in file.schema_arrow if not (pa.types.is_nested(column.type) or pa.types.is_binary(column.type))]
        read: Any = file.read(columns=plain)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    columns = [["" if value is None else as_text(value) for value in read.column(name).to_pylist()] for name in plain]
    return tuple(map(shown, plain)), tuple(zip(*columns, strict=True))


def as_text(value: object) -> str:
    """A value of a table as a person writes it: 3 for 3.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _label(text: str) -> str:
    """A label as the name of a class. Spreadsheets write 3 as 3.0."""
    name = naming.short_label(shown(" ".join(text.split())))
    if name.casefold() in ("nan", "none", "null", "na", "n/a"):
        return ""
    return name[:-2] if re.fullmatch(r"-?\d+\.0", name) else name


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().casefold()).strip("_")


def _by_name(table: Table, role: str) -> str:
    names = {_plain(column): column for column in reversed(table.columns)}
    return next((names[name] for name in _NAMES[role] if name in names), "")


def _file_column(table: Table, known: Index) -> str:
    """The column most of whose rows name a picture; of equals the one whose name says so."""
    some_rows = table.rows[:: max(1, len(table.rows) // LOOKED_AT)]
    named = _by_name(table, "file")

    def hits(place: int) -> tuple[int, bool]:
        return sum(bool(row[place].strip() and known.find(row[place])) for row in some_rows), table.columns[place] == named

    best = max(range(len(table.columns)), key=hits)
    if hits(best)[0] == 0:
        if named:
            return named
        what = f"no column of {table.file} names pictures that are there ({some([quoted(column) for column in table.columns], 8)})"
        raise ConfigError("columns", f"{what}; put the pictures beside it, or name the column (--file-column)")
    return table.columns[best]


def _label_column(table: Table, found: Mapping[str, str]) -> str:
    if FLAGGED in table.columns:
        return FLAGGED
    named = _by_name(table, "label")
    if named and named not in found.values():
        return named
    rest = [column for column in table.columns if column not in found.values() and column not in (_by_name(table, "split"), _by_name(table, "group"))]
    rest = [column for column in rest if column]
    if len(rest) != 1:
        ways = f"it may be {some([quoted(column) for column in rest], 8)}" if rest else "there is no further one"
        raise ConfigError("columns", f"nothing says which column of {table.file} is the label: {ways}; name it (--label-column)")
    return rest[0]


def _says_splits(table: Table, column: str) -> bool:
    place = table.column(column)
    return any(split_kind(row[place]) for row in table.rows[:LOOKED_AT])


def tables_in(tree: Tree, folder: Path) -> Iterator[Path]:
    """The tables that lie in a folder itself."""
    for entry in tree.entries(folder):
        if entry.is_file(follow_symlinks=False) and entry.name.casefold().endswith(ENDINGS):
            yield Path(entry.path)


def table_of(tree: Tree, path: Path) -> Table:
    """A table of a tree, read. Raises ConfigError on `source`."""
    try:
        return read_table(tree.read(path), tree.name(path))
    except UnreadableImage as error:
        raise ConfigError("source", f"{tree.name(path)} cannot be read: {error}; upload or copy it again") from None
