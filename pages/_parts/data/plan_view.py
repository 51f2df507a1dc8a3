"""What import would make of what was brought, to be corrected; then the import itself, how far it is, and what it had to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from core.config import ConfigError
from core.config.limits import quoted
from core.data.folders import some
from core.importing.plan import plan
from core.importing.recognised import FLAT, Corrections, Plan
from core.importing.tables import ROLES
from core.records import telling
from core.staging import staging
from core.versions import SPLITS, Summary, shelf
from pages._parts.data import import_view
from pages._parts.data import state as data_state
from pages._parts.setup.looking import Looks
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 0.5
"""Seconds between looks while a large source is looked through."""

GROUPS: Mapping[str, str] = {
    "burst": "bursts of the webcam, else nothing",
    "none": "nothing",
    "stem": "names that differ in their last number",
    "folder": "pictures of one folder",
}

_looks: Looks[Plan | ConfigError] = Looks(at_most=0.5)
_UNSPLIT = "Pictures of no split"
_READING, _LABEL, _SPLITS, _GROUPS = "data_plan_reading", "data_plan_label", "data_plan_splits", "data_plan_groups"


def show(shared: Services, here: str) -> None:
    """The plan of a staging."""
    try:
        source = staging.source(shared.home, here)
        corrections = Corrections.from_json(staging.remembered(shared.home, here).get("corrections", {}))
    except ConfigError as error:
        st.error(words.plain(words.refusal(error)), icon=":material/error:")
        return
    add = _newest(shared)
    key = (str(source), json.dumps(corrections.to_json(), sort_keys=True), _stamp(shared, here, source), add and (add.dataset, add.hash))
    found = _looks.ask(key, lambda before: _find(shared, source, corrections, add), steady=True)
    if found is None:
        st.caption(":material/hourglass_top: Looking through what you brought. A large archive takes some seconds.")
        alone(_wait, key, every=TICK)
    elif isinstance(found, ConfigError):
        _refused(shared, here, corrections, found)
    else:
        _draw(shared, here, source, corrections, found)


def _newest(shared: Services) -> Summary | None:
    """Of the dataset that more pictures are brought for; None for a new one, and where it was deleted meanwhile: the import says so."""
    try:
        return shelf.newest(shared.home, name) if (name := data_state.get("add")) else None
    except ConfigError:
        return None


def _find(shared: Services, source: Path, corrections: Corrections, add: Summary | None) -> Plan | ConfigError:
    try:
        return plan(source, corrections, there=shelf.read(shared.home, add.dataset, add.number).items if add else (), keep=True)
    except ConfigError as error:
        return error
    except OSError as error:
        return ConfigError("source", f"{source.name} cannot be read ({error.strerror}); allow this user to read it")


def _wait(key: Any) -> None:
    if _looks.knows(key):
        st.rerun(scope="app")


def _stamp(shared: Services, here: str, source: Path) -> tuple[Any, ...]:
    """Another one once something came or went."""
    if source.is_relative_to(staging.root(shared.home)):
        found = staging.staged(shared.home, here)
        return found.files, found.pictures, found.bytes, len(found.classes)
    try:
        return (source.stat().st_mtime_ns,)
    except OSError:
        return ()


def _correct(shared: Services, here: str, corrections: Corrections, **changes: Any) -> None:
    """Write other corrections down. For callbacks: a refresh finds them again."""
    staging.remember(shared.home, here, corrections=replace(corrections, **changes).to_json())


def _refused(shared: Services, here: str, corrections: Corrections, error: ConfigError) -> None:
    st.error(words.plain(words.refusal(error)), title="It cannot be read so", icon=":material/error:")
    if error.field == "columns":
        st.caption("Name the columns by hand:")
        for role in ROLES:
            said = getattr(corrections, f"{role}_column")
            st.text_input(f"Column of the {role}", said, key=f"data_column_{role}", on_change=_column, args=(shared, here, corrections, role))
    if error.field in ("source", "reading"):
        _ask_label(shared, here, corrections)
    if corrections != Corrections():
        st.button("Read it as it comes again", key="data_plan_reset", icon=":material/restart_alt:", on_click=_correct_all, args=(shared, here))


def _correct_all(shared: Services, here: str) -> None:
    staging.remember(shared.home, here, corrections={})


def _column(shared: Services, here: str, corrections: Corrections, role: str) -> None:
    _correct(shared, here, corrections, **{f"{role}_column": st.session_state[f"data_column_{role}"] or ""})


def _ask_label(shared: Services, here: str, corrections: Corrections) -> None:
    st.session_state[_LABEL] = corrections.label
    st.text_input(
        "If all pictures are of one class, its name",
        key=_LABEL,
        on_change=lambda: _correct(shared, here, corrections, label=st.session_state[_LABEL], reading=FLAT if st.session_state[_LABEL] else ""),
    )


def _draw(shared: Services, here: str, source: Path, corrections: Corrections, found: Plan) -> None:
    if found.question:
        st.warning(words.plain(words.sentence(found.question)), title="It can be read in more than one way", icon=":material/rule_folder:")
    else:
        made_here = source == staging.folder(shared.home, here) / "classes"  # its person made no folders
        sentence = f"The classes that you made: {some([quoted(each.name) for each in found.classes], 6)}." if made_here else found.sentence
        st.markdown(f"#### {words.plain(sentence)}")
        splits = ", ".join(f"{count:,} {split or 'not split yet'}" for split, count in found.splits.items())
        st.caption(f"{found.images:,} pictures, {telling.size(found.bytes)} · {words.plain(splits)}")
    _ask_reading(shared, here, corrections, found)
    if found.question:
        return
    if found.columns is not None:
        _ask_columns(shared, here, corrections, found)
    _ask_classes(shared, here, corrections, found)
    _ask_splits(shared, here, corrections, found)
    for note in found.notes:
        st.markdown(f":material/info: {words.plain(note)}")
    for said in found.left_out:
        st.caption(words.plain(said))
    if found.refused:
        with st.expander(f"{found.refused_in_all:,} files will be left out", icon=":material/report:"):
            rows = [{"File": each.file, "Why": each.reason, "What to do": each.remedy} for each in found.refused]
            st.dataframe(rows, hide_index=True, width="stretch")
    if found.problem:
        st.error(words.plain(found.problem), icon=":material/error:")
    import_view.ask(shared, here, corrections, found)


def _ask_reading(shared: Services, here: str, corrections: Corrections, found: Plan) -> None:
    meanings = {choice.spec: choice.meaning for choice in found.choices}
    if corrections.reading:  # read in another way, a source may not show what else it could be
        meanings[""] = "as Thaw recognises it by itself"
    if len(meanings) < 2 and not found.question:
        return
    st.session_state[_READING] = found.reading if found.reading in meanings else None
    st.radio(
        "How it is read",
        list(meanings),
        key=_READING,
        format_func=lambda spec: words.plain(words.sentence(meanings[spec]).rstrip(".")),
        on_change=lambda: _correct(shared, here, corrections, reading=st.session_state[_READING] or "", rename={}, leave_out=()),
    )


def _ask_columns(shared: Services, here: str, corrections: Corrections, found: Plan) -> None:
    assert found.columns is not None
    for role, place in zip(ROLES, st.columns(len(ROLES)), strict=True):
        key, used = f"data_column_{role}", getattr(found.columns, role)
        options = list(found.all_columns) if role in ("file", "label") else ["", *found.all_columns]
        st.session_state[key] = used if used in options else options[0]
        told = (shared, here, corrections, role)
        place.selectbox(f"Column of the {role}", options, key=key, format_func=lambda each: each or "none", on_change=_column, args=told)


def _ask_classes(shared: Services, here: str, corrections: Corrections, found: Plan) -> None:
    """A row a class: taken or not, and what it becomes; two that become one are merged."""
    st.markdown("**Classes** Rename one, give two the same name to merge them, untick one to leave it out.")
    names = [each.name for each in found.classes]
    key = f"data_plan_classes_{hash((tuple(names), found.reading)):x}"
    base_key = f"{key}_base"
    used = [split for split in (*SPLITS, "") if any(each.counts.get(split) for each in found.classes)]
    if base_key not in st.session_state or key not in st.session_state:
        rows = [{"Take": bool(each.becomes), "Class": each.name, "Becomes": each.becomes or each.name} for each in found.classes]
        counts = [{split or _UNSPLIT: each.counts.get(split, 0) for split in used} for each in found.classes]
        st.session_state[base_key] = [{**row, **count} for row, count in zip(rows, counts, strict=True)]
    st.data_editor(
        st.session_state[base_key],
        key=key,
        hide_index=True,
        num_rows="fixed",
        disabled=["Class", *[split or _UNSPLIT for split in used]],
        width="stretch",
        on_change=_edit_classes,
        args=(shared, here, corrections, key, names),
    )


def _edit_classes(shared: Services, here: str, corrections: Corrections, key: str, names: list[str]) -> None:
    rows = [dict(row) for row in st.session_state[f"{key}_base"]]
    for number, cells in st.session_state[key]["edited_rows"].items():
        rows[int(number)].update(cells)
    rename = {row["Class"]: str(row["Becomes"] or row["Class"]).strip() for row in rows if row["Take"]}
    changed = {name: new for name, new in rename.items() if new and new != name and name in names}
    _correct(shared, here, corrections, rename=changed, leave_out=tuple(row["Class"] for row in rows if not row["Take"]))


def _ask_splits(shared: Services, here: str, corrections: Corrections, found: Plan) -> None:
    left, right = st.columns(2)
    if not corrections.own_splits or set(found.splits) - {""}:
        st.session_state[_SPLITS] = corrections.own_splits
        left.checkbox(
            "Keep the splits as they come",
            key=_SPLITS,
            on_change=lambda: _correct(shared, here, corrections, own_splits=st.session_state[_SPLITS]),
            help="Else the pictures are of no split: make splits on the dataset's page, or have each run set some aside.",
        )
    st.session_state[_GROUPS] = corrections.groups
    right.selectbox(
        "What belongs together",
        list(GROUPS),
        key=_GROUPS,
        format_func=lambda each: GROUPS[each],
        on_change=lambda: _correct(shared, here, corrections, groups=st.session_state[_GROUPS]),
        help="Pictures of one patient, burst or video never come into two splits.",
    )
    if found.groups:
        right.caption(f"{found.groups:,} groups")
