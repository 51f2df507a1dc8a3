"""Pictures that a version has more than once, worst first, and what can be done about them at one click."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from core.config.limits import quoted
from core.curating import mending
from core.curating.checking import Check
from core.curating.duplicates import Group
from core.versions import Version, shelf
from core.versions.edits import Edited
from pages._parts.components.curating import doubles
from pages._parts.data import changing, picture_routes
from pages._parts.evaluate.work import awaited
from pages._parts.shared.services import Services

SENT = 300
"""Groups that the browser gets: the worst. Whoever has mended those gets the next."""

SIDE_BY_SIDE = 12
"""Pictures of a group that are drawn."""

FEW = 64
"""Pixels: a smaller picture is drawn with its pixels as squares."""

TITLES = {
    "leak": ("In two splits", "What is learned from is measured on, too: accuracies come out too high."),
    "conflict": ("With two labels", "One picture, two classes: one of them is wrong, and no model can get both right."),
    "loose": ("Could be drawn apart", "No split is told: a run could learn from one and be measured on the other."),
    "class": ("In one class and split", "They weigh more than others. That does little harm."),
}
_SAMENESS = {"same file": "the same file", "same pixels": "the same pixels, saved twice", "alike": "look the same"}
_KIND = "data_doubles_kind"


def show(shared: Services, version: Version) -> None:
    """What was found, by what is wrong with it."""
    found = awaited(
        lambda retry=False: shared.lab.curating.check(version, retry),
        "Looking for pictures that are there twice",
        f"data_doubles_{version.dataset}_{version.number}",
        lambda: shared.lab.curating.cancel(version),
    )
    if found is None:
        return
    counts = {kind: count for kind, count in found.counts.items() if count}
    if not counts:
        st.success(f"None of the {found.pictures:,} pictures is there twice, as far as can be seen.", icon=":material/check_circle:")
        _how()
        return
    if st.session_state.get(_KIND) not in counts:
        st.session_state[_KIND] = next(iter(counts))
    st.segmented_control("What is wrong", list(counts), key=_KIND, required=True, format_func=lambda each: TITLES[each][0])
    st.caption(" · ".join(f"{TITLES[each][0]}: {'1 group' if count == 1 else f'{count:,} groups'}" for each, count in counts.items()))
    kind = str(st.session_state[_KIND])
    st.markdown(TITLES[kind][1])
    groups = found.of(kind)
    editable = version.number == shelf.newest(shared.home, version.dataset).number
    if editable and len(groups) > 1:
        _all_at_once(shared, version, kind, groups)
    elif not editable:
        st.info("An older version stays as it is; restore it to change it.", icon=":material/history:")
    at = {group.pictures: number for number, group in enumerate(found.groups)}
    rows = [row(version, group, at[group.pictures], kind, editable) for group in groups[:SENT]]
    doubles(
        f"data_doubles_{kind}",
        f"Pictures that are there more than once: {TITLES[kind][0]}",
        version.number,
        rows,
        lambda edit: _mend(shared, version, edit),
    )
    if len(groups) > SENT:
        st.caption(f"The first {SENT:,} of {len(groups):,} are shown.")
    _how()


def _how() -> None:
    st.caption(
        "Found by the bytes of files, by their pixels, and by a perceptual hash, after which small copies are compared: what was saved "
        "again, scaled, blurred or made lighter is found; what was mirrored, recoloured or cut is mostly not. Simple drawings can look the same "
        "and be two: look before you leave one out."
    )


def _all_at_once(shared: Services, version: Version, kind: str, groups: Sequence[Group]) -> None:
    bar = st.container(horizontal=True, key="data_doubles_all")
    for name, mend in mending.MENDS.items():
        meant = mending.meant(name, groups)
        if kind in mend.kinds and meant:
            label = f"{mend.label}: all {len(meant):,}" if len(meant) > 1 else mend.label
            bar.button(
                label, key=f"data_mend_all_{kind}_{name}", help=mend.about, icon=":material/done_all:", on_click=_change,
                args=(shared, version, mend.act, meant, mend.done),
            )  # fmt: skip


def row(version: Version, group: Group, at: int, kind: str, editable: bool) -> dict[str, Any]:
    """What the browser draws of a group. `at`: its place among all groups of the version."""
    items = [version.items[place] for place in group.pictures]
    does = [(name, mend.label, mend.about) for name, mend in mending.MENDS.items() if kind in mend.kinds and mending.meant(name, [group])]
    if group.conflict:
        does += [(f"label:{label}", f"All are {label}", f"Gives all of them the class {label}") for label in group.labels]
    sides = [max(item.width, item.height) for item in items]
    named = [f"{split or 'no split yet'}" for split in group.splits] if len(group.splits) > 1 else []
    return {
        "at": at,
        "title": " · ".join([f"{len(items):,} pictures", *(["labels: " + ", ".join(group.labels)] if group.conflict else []), *named]),
        "sameness": _SAMENESS[group.kind],
        "pictures": [
            {
                "address": picture_routes.picture_address(version.dataset, item),
                "name": item.name,
                "label": item.label,
                "about": f"{item.split or 'no split yet'} · {item.width:,} x {item.height:,}",
                "few": side <= FEW,
            }
            for item, side in list(zip(items, sides, strict=True))[:SIDE_BY_SIDE]
        ],
        "more": max(0, len(items) - SIDE_BY_SIDE),
        "does": does if editable else [],
    }


def _mend(shared: Services, shown: Version, edit: list[Any]) -> None:
    """Do what the browser asks for about one group: ["mend", number of the version, name of the mend, place among all groups]."""
    match edit:
        case ["mend", int(number), str(name), int(at)] if number == shown.number:
            _, found = shared.lab.curating.check(shown)
            group = _group(found, at)
            if group is None:
                return
            if name.startswith("label:") and name.removeprefix("label:") in shown.classes:
                label = name.removeprefix("label:")
                _change(shared, shown, mending.labelled(label), [group], f"labelled {quoted(label)}")
            elif name in mending.MENDS:
                _change(shared, shown, mending.MENDS[name].act, [group], mending.MENDS[name].done)


def _group(found: Check | None, at: int) -> Group | None:
    return found.groups[at] if found is not None and 0 <= at < len(found.groups) else None


def _change(shared: Services, version: Version, act: Callable[[Version, Sequence[Group]], Edited], groups: Sequence[Group], done: str) -> None:
    edited = act(version, groups)
    changing.change(shared, version, lambda before: edited, mending.note(version, edited, done))
