"""What can be counted of a version: classes, shapes and sizes, colours, and the pictures that stand out."""

from __future__ import annotations

from collections import defaultdict

import streamlit as st

from core.charts.pictures import balance_figure, colours_figure, shapes_figure, sides_figure
from core.config import FITS
from core.curating.checking import Check
from core.curating.statistics import Odd, rare_classes, ratios, sizes
from core.versions import Version, edits, shelf
from pages._parts.data import changing, chosen
from pages._parts.evaluate.work import awaited
from pages._parts.setup import fit_choice
from pages._parts.shared import words
from pages._parts.shared.services import Services

NAMED = 8
"""Classes or names that a sentence lists."""


def show(shared: Services, version: Version) -> None:
    """Counts at once; what needs the pictures themselves once a process has looked at them."""
    st.markdown("#### Classes")
    st.plotly_chart(balance_figure(version.classes, version.counts), key="data_balance", config={"displayModeBar": False})
    st.markdown(words.plain(balance(version)))
    if rare := rare_classes(version):
        more = f" and {len(rare) - NAMED:,} more" if len(rare) > NAMED else ""
        st.warning(words.plain(f"Fewer than 3 pictures of {', '.join(rare[:NAMED])}{more}."), icon=":material/warning:")
    _shapes(version)
    _fit(shared, version)
    st.markdown("#### Colours and what stands out")
    found = awaited(
        lambda retry=False: shared.lab.curating.check(version, retry),
        "Looking at the pictures",
        f"data_check_{version.dataset}_{version.number}",
        lambda: shared.lab.curating.cancel(version),
    )
    if found is not None:
        _colours(found)
        _odd(version, found)


def balance(version: Version) -> str:
    """How even the classes are, in a sentence."""
    total = [sum(counts) for counts in zip(*version.counts.values(), strict=True)] if version.items else []
    if len(total) < 2:
        return "There is one class: nothing can be told apart. Add pictures of another." if total else "There are no pictures in it."
    often, rare = max(total), min(total)
    name, other = version.classes[total.index(often)], version.classes[total.index(rare)]
    guess = f"Always naming {name} would be right for {100 * often / sum(total):.1f} % of all pictures."
    if often == rare:
        return f"Every class has {often:,} pictures. {guess}"
    times = f", {often / rare:.1f} times as many" if rare else ""
    return f"From {rare:,} pictures ({other}) to {often:,} ({name}){times}. {guess}"


def _shapes(version: Version) -> None:
    found = ratios(version)
    if not len(found):
        return
    st.markdown("#### Shapes and sizes")
    left, right = st.columns(2, gap="large")
    left.plotly_chart(shapes_figure(found), key="data_shapes", config={"displayModeBar": False})
    known = [item for item in version.items if item.width]
    right.plotly_chart(
        sides_figure([item.width for item in known], [item.height for item in known]), key="data_sides", config={"displayModeBar": False}
    )
    square = int(((found > 0.95) & (found < 1.05)).sum())
    st.markdown(words.plain(f"{square:,} of {len(found):,} pictures are square or nearly so. {common_sizes(version)}"))


def common_sizes(version: Version) -> str:
    """Which sizes, in pixels, many pictures have."""
    common = [(size, count) for size, count in sizes(version, 4) if count > 1]
    if not common:
        return "No two are of one size."
    return f"The commonest sizes: {', '.join(f'{size} px ({count:,})' for size, count in common)}."


def _fit(shared: Services, version: Version) -> None:
    """How pictures become squares, what is lost, and the choice that runs on this dataset begin with."""
    st.markdown("#### How they go into a square")
    left, right = st.columns([4, 8], gap="large", vertical_alignment="center")
    key = f"data_fit_{version.dataset}_{version.number}"
    st.session_state[key] = version.fit if version.fit in FITS else ""
    left.selectbox(
        "Proposed to runs",
        ["", *FITS],
        key=key,
        format_func=lambda each: each or "nothing: each run says",
        disabled=version.number != shelf.newest(shared.home, version.dataset).number,
        on_change=_chose_fit,
        args=(shared, version, key),
    )
    left.caption(words.plain(FITS.get(version.fit, "A model sees squares. A choice makes a new version; the form of a run begins with it.")))
    fit_choice.show_fits_of(right, f"own:{version.dataset}", version.fit)


def _chose_fit(shared: Services, version: Version, key: str) -> None:
    fit = st.session_state[key]
    if fit != version.fit:
        changing.change(shared, version, lambda before: (before.classes, before.items), edits.fit_note(fit), fit=fit)


def _colours(found: Check) -> None:
    if found.channels is None:
        st.info("No picture could be read.", icon=":material/info:")
        return
    left, right = st.columns([3, 2], gap="large")
    left.plotly_chart(colours_figure(found.channels.histograms), key="data_colours", config={"displayModeBar": False})
    rows = [
        {"Channel": name, "Mean": f"{mean:.3f}", "Standard deviation": f"{std:.3f}"}
        for name, mean, std in zip(("Red", "Green", "Blue"), found.channels.mean, found.channels.std, strict=True)
    ]
    right.table(rows)
    right.caption(f"On the scale of 0 to 1. {words.plain(found.channels.sentence)}")


def _odd(version: Version, found: Check) -> None:
    for said in found.said:
        st.info(words.plain(said), icon=":material/info:")
    if not found.odd:
        st.success("No picture stands out.", icon=":material/check_circle:")
        return
    by_reason: dict[str, list[Odd]] = defaultdict(list)
    for each in found.odd:
        by_reason[kind(each.reason)].append(each)
    for at, (reason, found_odd) in enumerate(by_reason.items()):
        row = st.container(horizontal=True, vertical_alignment="center", key=f"data_odd_{at}")
        names = ", ".join(version.items[one.picture].name for one in found_odd[:NAMED])
        more = f" and {len(found_odd) - NAMED:,} more" if len(found_odd) > NAMED else ""
        row.markdown(f"**{words.plain(reason)}**: {words.plain(names + more)}", width="stretch")
        keys = [version.items[one.picture].key for one in found_odd]
        row.button(
            f"Show {len(found_odd):,}",
            key=f"data_odd_show_{at}",
            icon=":material/photo_library:",
            on_click=chosen.hand_over,
            args=(version, keys, reason),
        )


def kind(reason: str) -> str:
    """A reason without what it says of the one picture: what pictures are listed together by."""
    for beginning, name in _KINDS.items():
        if reason.startswith(beginning):
            return name
    return reason


_KINDS = {
    "it cannot be read": "Cannot be read any more",
    "it has few pixels": "Few pixels",
    "one side is": "One side much longer than the other",
    "it is as good as one colour": "As good as one colour",
    "it is much brighter": "Much brighter than the others",
    "it is much darker": "Much darker than the others",
    "it is grey": "Grey among pictures with colours",
}
