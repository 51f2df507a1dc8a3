"""Which pictures train, validate and test: by sliders, seeded, the classes in proportion, and what belongs together in one split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import streamlit as st

from core.config import ConfigError
from core.versions import SPLITS, Version, edits, splitting
from core.versions.edits import Edited, Ways
from pages._parts.components import data_card as drawn
from pages._parts.data import changing, classes_view
from pages._parts.shared import words
from pages._parts.shared.services import Services

GROUPS: Mapping[str, str] = {
    "none": "Nothing: each picture by itself",
    "stem": "Names that differ in their last number (bursts, frames)",
    "folder": "Pictures of one folder",
    "kept": "The groups that it has",
}
_RANGE, _SEED, _GROUPS, _STRATIFIED = "data_split_range", "data_split_seed", "data_split_groups", "data_split_stratified"


def show(shared: Services, version: Version) -> None:
    """As it is, the sliders, and what they would give."""
    st.markdown(_as_it_is(version))
    left, right = st.columns([5, 7], gap="large")
    with left:
        edited = _ask(version)
    with right:
        if isinstance(edited, str):
            st.error(words.plain(edited), icon=":material/error:")
        else:
            _preview(shared, version, *edited)
    if set(version.counts) != {""}:
        st.button("Take the splits away", key="data_split_none", icon=":material/backspace:", on_click=_take_away, args=(shared, version))
        st.caption("Each run sets validation and test pictures aside then, by its own seed and validation share.")


def _as_it_is(version: Version) -> str:
    if set(version.counts) <= {""}:
        return "**No split yet.** Each run sets a fifth aside as test pictures, and validation pictures by its validation share."
    total = len(version.items)
    parts = [f"{sum(counts):,} {split or 'without a split'} ({100 * sum(counts) / total:.0f}\u00a0%)" for split, counts in version.counts.items()]
    torn = splitting.torn_groups(version.items)
    said = words.plain(", ".join(parts))
    worse = f" :red[{len(torn):,} groups are in more than one split.]" if torn else ""
    return f"**As it is:** {said}. {words.plain(words.sentence(version.split_note)) if version.split_note else ''}{worse}"


def _ask(version: Version) -> tuple[Edited, str] | str:
    """The sliders; what they would make of the version with its sentence, or why nothing."""
    low, high = st.slider("Train up to, validation up to (the rest is test)", 0, 100, (70, 85), format="%d %%", key=_RANGE)
    shares = dict(zip(SPLITS, (low / 100, (high - low) / 100, (100 - high) / 100), strict=True))
    st.caption(words.plain(" · ".join(f"{split} {100 * share:.0f}\u00a0%" for split, share in shares.items())))
    has_groups = any(item.group for item in version.items)
    options = [name for name in GROUPS if name != "kept" or has_groups]
    st.session_state.setdefault(_GROUPS, "kept" if has_groups else "none")
    way = st.selectbox("What belongs together", options, key=_GROUPS, format_func=lambda name: GROUPS[name])
    st.caption("Pictures of one patient, burst or video are nearly the same: in two splits, the test would only ask what was learned by heart.")
    stratified = st.checkbox("Each class in proportion (stratified)", True, key=_STRATIFIED)
    seed = st.number_input("Seed", 0.0, 2**31 - 1.0, 0.0, step=1.0, format="%g", key=_SEED, help="The same seed gives the same splits.")
    grouped = version if way == "kept" else _regrouped(version, "folder" if way == "folder" else "stem" if way == "stem" else "none")
    by_group = way != "none"
    try:
        edited = splitting.split_up(grouped, shares, int(seed or 0), by_group, stratified)
    except ConfigError as error:
        return words.refusal(error)
    return edited, splitting.sentence(shares, int(seed or 0), by_group, stratified)


def _regrouped(version: Version, way: Ways) -> Version:
    classes, items = edits.group(version, way)
    return Version(version.dataset, version.number, version.hash, classes, items, version.made, version.note, version.parent, version.fit)


def _preview(shared: Services, version: Version, edited: Edited, note: str) -> None:
    classes, items = edited
    counts = Counter((item.label, item.split) for item in items)
    in_all = Counter(item.split for item in items)
    st.markdown(f"**It would be:** {', '.join(f'{in_all[split]:,} {split}' for split in SPLITS if in_all[split])}")
    groups = Counter(item.group for item in items if item.group)
    if groups:
        name, most = groups.most_common(1)[0]
        st.caption(f"{len(groups):,} groups; the largest has {most:,} pictures: {words.code(name)}")
    st.caption(classes_view.LEGEND)
    st.html(drawn.bars([drawn.ClassRow(name, {split: counts[name, split] for split in SPLITS}) for name in classes]))
    missing = [f"{split} has no picture of {name!r}" for split in SPLITS if in_all[split] for name in classes if not counts[name, split]]
    if missing:
        more = f", and {len(missing) - 3:,} more like this" if len(missing) > 3 else ""
        st.warning(words.plain(f"{'; '.join(missing[:3])}{more}."), icon=":material/warning:")
    changed = sum(before.split != after.split for before, after in zip(version.items, items, strict=True))
    st.button(
        f"Use these splits ({changed:,} pictures change)",
        key="data_split_go",
        type="primary",
        icon=":material/call_split:",
        disabled=items == version.items,
        on_click=_apply,
        args=(shared, version, edited, note),
    )


def _apply(shared: Services, version: Version, edited: Edited, note: str) -> None:
    changing.change(shared, version, lambda before: edited, f"Split anew: {note}", note)


def _take_away(shared: Services, version: Version) -> None:
    def edit(before: Version) -> Edited:
        return before.classes, tuple(item._replace(split="") for item in before.items)

    changing.change(shared, version, edit, "Splits taken away.", "")
