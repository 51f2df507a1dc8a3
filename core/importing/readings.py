"""The ways to read a source: class folders, a table beside pictures, all of one class. Which one it is, is recognised, or asked for."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config.errors import ConfigError
from core.config.limits import quoted
from core.data.folders import counted_pictures, shown, some
from core.data.layouts import CLASSES, PARTS, Choice, Layout, LayoutQuestion, layout_in
from core.data.sources import Progress
from core.data.stock import Walk
from core.importing import tables
from core.importing.recognised import FLAT, TABLE, Corrections, Plan, Planned, Recognised
from core.importing.rows_inside import RowsTree
from core.importing.tables import Columns, Matched, Table
from core.importing.trees import Refused, Tree
from core.versions import naming


def read(tree: Tree, corrections: Corrections, progress: Progress) -> Recognised:
    """The source read as it is asked for, or as it is recognised: class folders, then a table, then (asked for alone) one class."""
    if isinstance(tree, RowsTree):
        return _of_rows(tree, corrections)
    kind, _, rest = corrections.reading.partition("=")
    if kind == TABLE:
        return _of_table(tree, _named_table(tree, rest), corrections, progress)
    if kind == FLAT:
        return _flat(tree, corrections, progress)
    found = _table_beside(tree)
    try:
        layout = layout_in(tree.root, tree, corrections.reading)
    except LayoutQuestion:
        if found is None or corrections.reading:
            raise
        return _of_table(tree, found, corrections, progress)
    except ConfigError as error:
        if found is None or corrections.reading:
            if corrections.label and not corrections.reading:
                return _flat(tree, corrections, progress)
            raise _without_classes(tree, error) from None
        return _of_table(tree, found, corrections, progress)
    return _of_layout(tree, layout, found, progress)


class _Collecting(Walk):
    """A walk that keeps which pictures are left out, and why."""

    refused: list[Refused]
    table: Path | None = None
    """What says what the pictures show: no picture, and not left out either."""

    def leave(self, reason: str, name: str, entry: Any) -> None:
        """See `Walk`."""
        if self.table is not None and Path(entry.path) == self.table:
            return
        super().leave(reason, name, entry)
        said = _LEFT.get(reason)
        if said and isinstance(self.folders, Tree):
            self.refused.append(Refused(self.folders.name(Path(entry.path)), *said))


_LEFT = {
    "unread": ("a picture of a format that is not read", "convert it to JPEG or PNG"),
    "misnamed": ("it begins as a picture, but its name does not end as one", "rename it"),
    "links": ("a link, which is not followed", "copy in what it leads to"),
    "unlabelled": ("a picture without a class, since it lies in no class folder", "put it into the folder of its class"),
}


def _walk(tree: Tree, layout: Layout, progress: Progress) -> _Collecting:
    walk = _Collecting(layout, progress, folders=tree, strict=False)
    walk.refused = []
    walk.go()
    return walk


def _of_layout(tree: Tree, layout: Layout, table: Path | None, progress: Progress) -> Recognised:
    walk = _walk(tree, layout, progress)
    homes = {folder: part for part, folders in layout.parts.items() for folder in folders}
    found = [
        Planned(path, _class_name(name), homes[folder] if layout.split else "", "") for (folder, name), files in walk.files.items() for path in files
    ]
    pictures = tuple(sorted(found, key=_in_order))
    if not pictures:
        raise ConfigError(
            "source", f"no pictures in the folders of {shown(tree.root.name)} ({some(layout.classes)}); give one folder of pictures a class"
        )
    empty = [name for name in layout.classes if not any(planned.label == _class_name(name) for planned in pictures)]
    notes = [f"Without pictures, and so no class: {some([quoted(name) for name in empty], 5)}."] if empty else []
    reading = layout.spec or _spec(layout)
    recognised_as = Choice(reading, _meaning(layout))
    further = [Choice(CLASSES, "every folder in it is a class")] if layout.split else []
    choices = [recognised_as, *(choice for choice in (*layout.choices, *further) if choice.spec != reading)]
    if table is not None:
        choices.append(Choice(f"{TABLE}={tree.name(table)}", f"{tree.name(table)} says what each picture shows"))
    choices = list({choice.spec: choice for choice in choices}.values())
    said = tuple(left.sentence for left in walk.left_out())
    sentence = _sentence(layout, pictures)
    return Recognised(Plan("", tree.kind, sentence, reading, tuple(choices), left_out=said, notes=tuple(notes)), tree, pictures, tuple(walk.refused))


def _of_table(tree: Tree, path: Path, corrections: Corrections, progress: Progress) -> Recognised:
    table = tables.table_of(tree, path)
    walk = _everything(tree, progress, path)
    known = tables.Index(tree, sorted(path for files in walk.files.values() for path in files))
    table = tables.unfolded(table, corrections.columns, known)
    columns = tables.choose(table, corrections.columns, known)
    tables.check_labels(table, columns)
    matched = tables.match(table, columns, known, path.parent)
    matched.notes += table.notes
    if not matched.rows:
        example = matched.refused[0].file if matched.refused else ""
        what = f"none of the {len(table.rows):,} rows of {table.file} names a picture that is there with a label (the first: {quoted(example)})"
        raise ConfigError("columns", f"{what}; put the pictures beside it, or name the columns (--file-column, --label-column)")
    left = [*(left.sentence for left in walk.left_out())]
    if matched.unnamed:
        left.append(f"Pictures that {table.file} does not name were left out: {matched.unnamed:,}.")
    reading = Choice(f"{TABLE}={tree.name(path)}", f"{table.file} says what each picture shows")
    return _of_matched(tree, table, columns, matched, reading, "names the picture", left)


def _of_rows(tree: RowsTree, corrections: Corrections) -> Recognised:
    """The pictures that lie in the rows of a table."""
    table, known, given = tree.table, tables.Index(tree, tree.pictures), corrections.columns
    given = replace(given, file=tree.column, label=given.label or tree.labels, split=given.split or tree.splits)
    table = tables.unfolded(table, given, known)
    columns = tables.choose(table, given, known)
    tables.check_labels(table, columns)
    matched = tables.match(table, columns, known)
    if not matched.rows:
        why = f" ({matched.refused[0].reason}); name the column of the labels (--label-column)" if matched.refused else ""
        raise ConfigError("columns", f"none of the {len(table.rows):,} pictures in {table.file} has a label{why}")
    return _of_matched(tree, table, columns, matched, Choice(TABLE, f"each row of {table.file} holds a picture"), "holds the picture", [])


def _of_matched(tree: Tree, table: Table, columns: Columns, matched: Matched, reading: Choice, holds: str, left: Sequence[str]) -> Recognised:
    pictures = tuple(Planned(row.path, row.label, row.split, row.group) for row in matched.rows)
    used = [f"{quoted(columns.file)} {holds}", f"{quoted(columns.label)} its class"]
    used += [f"{quoted(columns.split)} its split"] if columns.split else []
    used += [f"{quoted(columns.group)} its group"] if columns.group else []
    classes = sorted({row.label for row in matched.rows}, key=naming.people_order)
    sentence = f"{reading.meaning}: {', '.join(used)}. {counted_pictures(len(pictures))} of {len(classes):,} classes ({some(classes, 4)})."
    if all(tables._number(name) is not None for name in classes):
        matched.notes.append(f"The labels are numbers ({some(classes, 4)}): classes are called so, and can be renamed.")
    sentence = sentence[0].upper() + sentence[1:] if isinstance(tree, RowsTree) else sentence
    said = Plan("", tree.kind, sentence, reading.spec, (reading,), columns=columns)
    said = replace(said, all_columns=table.columns, left_out=tuple(left), notes=tuple(matched.notes))
    return Recognised(said, tree, pictures, tuple(matched.refused))


def _flat(tree: Tree, corrections: Corrections, progress: Progress) -> Recognised:
    walk = _everything(tree, progress)
    files = sorted(path for found in walk.files.values() for path in found)
    if not corrections.label.strip():
        raise ConfigError("reading", "of which class are the pictures? Name it (--label)")
    if not files:
        raise ConfigError("source", f"no pictures in {shown(tree.root.name)}; give a folder or an archive of pictures")
    label = corrections.label.strip()
    pictures = tuple(Planned(path, label, "", "") for path in files)
    said = tuple(left.sentence for left in walk.left_out())
    every = "The picture is" if len(pictures) == 1 else f"All {counted_pictures(len(pictures))} are"
    sentence = f"{every} taken as of the class {quoted(label)}."
    plan = Plan("", tree.kind, sentence, FLAT, (Choice(FLAT, f"all pictures are of the class {label}"),), left_out=said)
    return Recognised(plan, tree, pictures, tuple(walk.refused))


def _everything(tree: Tree, progress: Progress, table: Path | None = None) -> _Collecting:
    """All pictures of a tree, wherever they lie."""
    top = tree.root.parent
    layout = Layout(tree.root, {"train": (top,)}, (shown(tree.root.name),), (tree.root.name,))
    walk = _Collecting(layout, progress, folders=tree, strict=False)
    walk.refused, walk.table = [], table
    files = walk.files.setdefault((top, tree.root.name), [])
    below = [tree.root]
    while below:
        walk.entries(below.pop(), below, files, "unlabelled")
    return walk


def _table_beside(tree: Tree) -> Path | None:
    """The table at the top of a tree, or of the folder that it wraps; None where there is none, or several."""
    for folder in dict.fromkeys((tree.root, tree.unwrap(tree.root), *_only_folder(tree))):
        found = list(tables.tables_in(tree, folder))
        if len(found) == 1:
            return found[0]
        named = [path for path in found if path.stem.casefold() in ("labels", "label", "metadata", "annotations", "train", "classes")]
        if found:
            return named[0] if len(named) == 1 else None
    return None


def _only_folder(tree: Tree) -> Iterator[Path]:
    folder = tree.root
    while len(inner := tree.look(folder).folders) == 1:
        folder = inner[0]
        yield folder


def _named_table(tree: Tree, name: str) -> Path:
    found = tree.root.joinpath(*name.split("/")) if name else _table_beside(tree)
    if found is None or ".." in found.parts or not any(path == found for path in tables.tables_in(tree, found.parent)):
        raise ConfigError("reading", f"there is no table {quoted(name)} in {shown(tree.root.name)}; put a .csv or .parquet file beside the pictures")
    return found


def _without_classes(tree: Tree, error: ConfigError) -> ConfigError:
    """What to say of a source in which no class folders are."""
    if tree.begins_with_pictures(tree.root) or any(tree.begins_with_pictures(folder) for folder in _only_folder(tree)):
        what = f"the pictures in {shown(tree.root.name)} lie in no class folders, and no table beside them says what they show"
        ways = "put those of each class into a folder of its own, add a .csv with a column for the file and one for the label"
        inner = [folder for folder in _only_folder(tree) if folder != tree.root]
        if inner and not tree.begins_with_pictures(tree.root):
            name = _class_name(inner[-1].name)
            what = f"the pictures in {shown(tree.root.name)} lie all in one folder, {quoted(name)}, which may be their class or not"
            return ConfigError("source", f"{what}; if it is, say so (--label {shlex.quote(name)}), else {ways}")
        return ConfigError("source", f"{what}; {ways}, or say of which class all of them are (--label)")
    return error


def _in_order(planned: Planned) -> tuple[int, Any, str]:
    """Split by split, class by class as people read them, and by path."""
    return ("", *PARTS).index(planned.split), naming.people_order(planned.label), str(planned.path)


def _class_name(folder: str) -> str:
    return naming.short_label(shown(folder).strip()) or "?"


def _spec(layout: Layout) -> str:
    """What to write to have a layout read as it is."""
    if not layout.split:
        return CLASSES
    return ",".join(f"{part}={layout.label(folder).rstrip('/')}" for part, folders in layout.parts.items() for folder in folders)


def _meaning(layout: Layout) -> str:
    if not layout.split:
        return "every folder in it is a class"
    return "; ".join(f"{layout.named(part)} is {part}" for part in PARTS if part in layout.parts)


def _sentence(layout: Layout, pictures: Sequence[Planned]) -> str:
    classes = list(dict.fromkeys(sorted((planned.label for planned in pictures), key=naming.people_order)))
    counted = f"{counted_pictures(len(pictures))} of {len(classes):,} classes ({some(classes, 4)})"
    where = layout.named("train")
    if not layout.split:
        return f"Each folder in {where} is a class: {counted}."
    counts = Counter(planned.split for planned in pictures)
    parts = ", ".join(
        f"{layout.named(part)} {'are' if len(layout.parts[part]) > 1 else 'is'} {part} ({counts[part]:,})" for part in PARTS if part in layout.parts
    )
    return f"The folders say which pictures are in which split: {parts}. {counted}."
