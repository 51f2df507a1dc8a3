"""A source looked at before anything of it is taken in: what it is recognised as, corrected as a person says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from core.config.errors import ConfigError
from core.config.limits import quoted
from core.data.folders import PACKED, shown, some
from core.data.layouts import LayoutQuestion
from core.data.sources import Progress
from core.importing import readings, rows_inside, tables, unpacking
from core.importing.archives import open_tree
from core.importing.bursts import kept_together
from core.importing.recognised import TABLE, ClassFound, Corrections, Plan, Planned, Recognised
from core.importing.trees import Tree
from core.versions import Item, edits, naming

__all__ = ["ClassFound", "Corrections", "Plan", "Planned", "Recognised", "plan", "recognised"]

MOST_REFUSED = 1_000
"""Refused files that a plan names."""


def plan(
    source: Path, corrections: Corrections | None = None, progress: Progress = lambda text, share: None, *,
    there: Sequence[Item] = (), keep: bool = False,
) -> Plan:  # fmt: skip
    """What `source` is recognised as. Nothing is decoded and nothing is written.

    Args:
        there: what the dataset has already that it is to be added to.
        keep: whoever asks may ask again: see `unpacking.unpacked`.

    Raises:
        ConfigError: on `source`, it cannot be used at all; on `columns`, a table's columns cannot be found; on `reading` and `classes`, for
            corrections that do not fit.
    """
    with recognised(source, corrections or Corrections(), progress, there, keep) as found:
        return found.plan


@contextmanager
def recognised(
    source: Path, corrections: Corrections, progress: Progress = lambda text, share: None, there: Sequence[Item] = (), keep: bool = False
) -> Iterator[Recognised]:  # fmt: skip
    """As `plan`, with the pictures; the source is open within the block."""
    rows = rows_inside.tree_of(source, corrections.file_column) if corrections.reading in ("", TABLE) else None
    table = source.name if rows is None and source.is_file() and source.name.casefold().endswith(tables.ENDINGS) else ""
    with ExitStack() as opened:
        tree = opened.enter_context(rows or open_tree(source.parent if table else source))
        if corrections.reading in ("", TABLE):
            tree = opened.enter_context(unpacking.unpacked(tree, corrections.file_column, keep)) or tree
        progress("looking through the source", None)
        reading = corrections.reading or (f"{TABLE}={table}" if table else "")
        try:
            found = readings.read(tree, replace(corrections, reading=reading), progress)
        except LayoutQuestion as question:
            found = Recognised(Plan("", tree.kind, question=question.why, choices=question.choices), tree, (), ())
        except ConfigError as error:
            if error.field in ("columns", "reading"):
                raise
            raise ConfigError("source", f"{error.message}{_not_looked_into(tree)}") from None
        refused = (*tree.refused, *found.refused)
        said = replace(found.plan, source=shown(str(source)), refused=refused[:MOST_REFUSED], refused_in_all=len(refused))
        yield _corrected(Recognised(said, tree, found.pictures, refused), corrections, there)


def _not_looked_into(tree: Tree) -> str:
    """For a message that a source cannot be used: what lies in it that might be what its person means."""
    if tree.refused:
        first = tree.refused[0]
        what = "1 file in it is" if len(tree.refused) == 1 else f"{len(tree.refused):,} files in it are"
        return f". {what} not read (the first, {first.file}: {first.reason}): {first.remedy}"
    files = [shown(entry.name) for entry in tree.entries(tree.root) if not entry.is_dir()]
    packed = [name for name in files if PACKED.search(name.casefold()) or (tree.kind != "folder" and name.casefold().endswith(".parquet"))]
    return f". What is packed in it ({some(packed)}) is not looked into: unpack it, and give what comes out" if packed else ""


def _corrected(found: Recognised, corrections: Corrections, there: Sequence[Item]) -> Recognised:
    """With what a person says of classes, splits and groups."""
    if found.plan.question:
        return found
    names = sorted({planned.label for planned in found.pictures}, key=naming.people_order)
    unknown = [name for name in (*corrections.rename, *corrections.leave_out) if name not in names]
    if unknown:
        raise ConfigError("classes", f"there is no class {quoted(unknown[0])}; there are {some([quoted(name) for name in names], 12)}")
    becomes = {name: corrections.rename.get(name, name).strip() for name in names if name not in corrections.leave_out}
    naming.checked_classes(sorted(set(becomes.values())))
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    taken: list[Planned] = []
    for planned in found.pictures:
        split = planned.split if corrections.own_splits else ""
        counts[planned.label][split] += 1
        if planned.label in becomes:
            group = planned.group or edits.group_of(found.tree.name(planned.path), corrections.groups)
            taken.append(Planned(planned.path, becomes[planned.label], split, group))
    burst = ""
    if corrections.groups == "burst" and not (found.plan.columns and found.plan.columns.group):
        taken, burst = kept_together(taken, there)
    classes = tuple(ClassFound(name, becomes.get(name, ""), dict(counts[name])) for name in names)
    size = sum(found.tree.size(planned.path) for planned in taken)
    groups = len({planned.group for planned in taken if planned.group})
    said = replace(found.plan, classes=classes, groups=groups, bytes=size, notes=(*found.plan.notes, *([burst] if burst else []), *_remarks(taken)))
    return replace(found, plan=replace(said, problem=_problem(said)), pictures=tuple(taken))


def _remarks(taken: Sequence[Planned]) -> Iterator[str]:
    """What a person might want to correct."""
    alike: dict[str, set[str]] = {}
    splits: dict[str, set[str]] = {}
    for planned in taken:
        alike.setdefault(planned.label.casefold(), set()).add(planned.label)
        if planned.group:
            splits.setdefault(planned.group, set()).add(planned.split)
    for names in alike.values():
        if len(names) > 1:
            yield f"Classes that differ in case alone: {some(sorted(map(quoted, names)))}. Merge them if they are one."
    torn = sorted(group for group, found in splits.items() if len(found) > 1)
    if torn:
        yield f"{len(torn):,} groups are in more than one split ({some(torn)}): what is measured on them is too good. Leave the splits out."


def _problem(found: Plan) -> str:
    names = found.becoming
    if len(names) > 1:
        return ""
    if not names:
        return "No class is left; leave out fewer."
    return f"There is a single class, {quoted(names[0])}; it takes at least two to tell apart. Add pictures of another class."
