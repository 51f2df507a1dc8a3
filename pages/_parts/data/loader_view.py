"""`Dataset` and `DataLoader` explained with the person's own pictures: what is asked of each, what comes back, and the code that does the same."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.code.loading import loading_code
from core.config import ConfigError
from core.helpers.helper import LabError
from core.records import telling
from core.records.loading import Loading
from core.versions import SPLITS, Item, Version
from pages._parts.components import data_card as drawn
from pages._parts.data import versions_view
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

_SPLIT, _SIZE, _BATCH, _SEED, _INDEX = (f"data_loader_{name}" for name in ("split", "size", "batch", "seed", "index"))

SHOWN = 16
"""Pictures of a batch that are in sight."""


def show(shared: Services, version: Version) -> None:
    """What can be chosen, and what comes of it."""
    alone(_all, shared, version)


def _all(shared: Services, version: Version) -> None:
    splits = [split for split in SPLITS if split in version.counts] or ["all"]
    split, size, batch, seed = _ask(splits)
    items = [item for item in version.items if split in ("all", item.split)]
    if not items:
        st.info("There are no pictures in it.", icon=":material/info:")
        return
    index = min(int(st.session_state.get(_INDEX) or 0), len(items) - 1)
    try:
        with st.spinner("Asking for a batch"):
            found = shared.lab.loading(version.dataset, version.number, split, index, size, batch, seed)
    except (ConfigError, LabError) as error:
        st.error(words.plain(words.refusal(error)), icon=":material/error:")
        return
    _dataset(version, items, found)
    _loader(version, items, found, batch, seed)
    _order(found, seed)
    box = st.expander("The same in PyTorch", icon=":material/code:", key="data_loader_code", on_change="rerun")
    if box.open:
        with box:
            st.code(loading_code(version, shared.home.datasets / version.dataset, split, size, batch, seed), language="python")


def _ask(splits: Sequence[str]) -> tuple[str, int, int, int]:
    first, second, third, fourth = st.columns(4)
    if st.session_state.get(_SPLIT) not in splits:
        st.session_state[_SPLIT] = splits[0]
    split = first.selectbox("Pictures", splits, key=_SPLIT, format_func=lambda each: "all (no splits yet)" if each == "all" else each)
    size = second.number_input("Image size", 8.0, 512.0, 224.0, step=8.0, format="%g", key=_SIZE)
    batch = third.number_input("Batch size", 1.0, 128.0, 16.0, step=1.0, format="%g", key=_BATCH)
    seed = fourth.number_input("Seed", 0.0, 1e9, 0.0, step=1.0, format="%g", key=_SEED)
    return split, int(size or 224), int(batch or 16), int(seed or 0)


def _dataset(version: Version, items: Sequence[Item], found: Loading) -> None:
    st.subheader("A Dataset: how many, and the one at an index", anchor=False)
    left, right = st.columns([3, 9], gap="large")
    item = items[found.index]
    with left:
        st.html(drawn.tiles([drawn.Tile(item.label, item.name, found.picture)], found.sample_shape[-1] <= drawn.SIDE, alone=True))
    with right:
        st.number_input("index", 0.0, float(found.length - 1), step=1.0, format="%g", key=_INDEX)
        st.markdown(f"`len(dataset)` is **{found.length:,}**.")
        values = f"values from {found.lowest:d} to {found.highest:d}"
        shape = list(found.sample_shape)
        st.markdown(
            f"`dataset[{found.index:d}]` is a pair: the image, {words.code(found.sample_dtype)} {words.code(str(shape))} "
            f"(channels, height, width), {values}; "
            f"and the label `{found.label:d}`, which is {words.code(version.classes[found.label])}: its place among the classes."
        )
        size = f"{item.width:,} x {item.height:,} px"
        st.caption(f"It is read from {words.code(item.name)} ({size}) when it is asked for, and not before: a Dataset holds no pictures.")


def _loader(version: Version, items: Sequence[Item], found: Loading, batch: int, seed: int) -> None:
    st.subheader("A DataLoader: which ones, stacked", anchor=False)
    chosen = found.orders[0]
    tiles = [versions_view.tile(version.dataset, items[place], f"{place}: {items[place].label}") for place in chosen[:SHOWN]]
    st.html(drawn.tiles(tiles, False))
    more = f" ({len(chosen) - SHOWN:,} more are in it)" if len(chosen) > SHOWN else ""
    labels = ", ".join(map(str, found.batch_labels[:SHOWN])) + (" ..." if len(found.batch_labels) > SHOWN else "")
    shape = list(found.batch_shape)
    st.markdown(
        f"The first batch of epoch 1 with seed {seed:d}{more}. The loader asks the dataset for each of these indices and **stacks** what comes back: "
        f"images {words.code(str(shape))}, {telling.size(found.batch_bytes)} as `uint8` and {telling.size(found.float_bytes)} as `float32`, "
        f"and labels {words.code(f'[{labels}]')}."
    )
    left_over = "" if found.last == batch else f"; the last has {found.last:,}, what is left"
    st.caption(f"{found.length:,} samples in batches of {batch:,} make {found.batches:,} steps an epoch{left_over}.")


def _order(found: Loading, seed: int) -> None:
    st.subheader("The order: by seed and epoch", anchor=False)
    named = (f"seed {seed:d}, epoch 1", f"seed {seed:d}, epoch 2", f"seed {seed + 1:d}, epoch 1")
    for title, order in zip(named, found.orders, strict=True):
        st.markdown(f"{title}: {words.code(', '.join(map(str, order[:SHOWN])))}")
    st.caption(
        "Each epoch has another order, so that no picture always follows the same one. The same seed and epoch give the same order on every machine: "
        "that is why a run can be repeated, and go on where it stopped."
    )
