"""How much to freeze: numbers that learn against pictures, what the person's own runs came to, and what the features can do untrained."""

from __future__ import annotations

import json

import streamlit as st

from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.lab.kinds import SEEN_BY
from core.records.how_much import ABOUT, ABOUT_SEPARATION, lines, per_picture
from core.store import StoreError
from core.store.plans_tried import plans_tried
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import checks
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services

_TRY, _ASKED = "setup_try_features", "setup_tried_features"


def pictures_against(table: LayerTable, frozen: frozenset[str]) -> None:
    """A line: how many numbers learn for each training picture, where that is known. What it means for accuracy, runs have to say."""
    given = draft.values()
    share = given["validation_share"]
    if not isinstance(share, int | float) or not 0 <= share < 1:
        return
    pictures = checks.training_images(given["dataset"], share)
    learning = sum(parameter.count for parameter in table.description.parameters if parameter.name not in frozen)
    if pictures:
        each = words.plain(per_picture(learning, pictures))
        st.caption(f"For {pictures:,} training pictures {learning:,} numbers learn: {each}. What your own runs say about it: Model screen.")


def how_much_view(shared: Services, table: LayerTable, config: RunConfig | None) -> None:
    """An expander. `config` is None where the draft cannot be run: then nothing can be compared."""
    place = st.expander("How much to freeze: what your runs and pictures say", icon=":material/ac_unit:", key="model_how_much", on_change="rerun")
    if not place.open:
        return
    with place:
        st.caption(ABOUT)
        if config is None:
            st.caption("Compared once all settings can be used.")
            return
        try:
            _table(shared, table, config)
        except StoreError as error:
            st.error(words.plain(str(error)))
        _separation(shared, config)


def _table(shared: Services, table: LayerTable, config: RunConfig) -> None:
    counts = {parameter.name: parameter.count for parameter in table.description.parameters}
    learning = {preset: table.description.count - sum(counts[name] for name in frozen) for preset, frozen in table.presets.items()}
    rows = lines(learning, checks.training_images(config.dataset, config.validation_share), plans_tried(shared.store, config))
    head = "| Plan | Numbers that learn | For each training picture | Validation accuracy of finished runs |\n| --- | ---: | ---: | --- |"
    st.markdown("\n".join([head, *(f"| {' | '.join([words.plain(cell) for cell in row])} |" for row in rows)]))
    st.caption("Runs count that differ from the settings here in freeze plan and seed alone, and ended by themselves.")


def _separation(shared: Services, config: RunConfig) -> None:
    st.caption(ABOUT_SEPARATION)
    # The page may be drawn anew while it is being worked out (a cost has been measured): what was asked for stays asked for.
    asked = json.dumps(config.model_dump(include=set(SEEN_BY)))
    if st.button("Try the features on your pictures", key=_TRY, icon=":material/scatter_plot:", help="Nothing is trained; about ten seconds"):
        st.session_state[_ASKED] = asked
    if st.session_state.get(_ASKED) != asked:
        return
    try:
        with st.spinner("Looking at the first training pictures"):
            found = shared.lab.separation(config)
    except (ConfigError, LabError) as error:
        st.info(words.plain(words.refusal(error)), icon=":material/info:")
        return
    st.markdown(f"{words.plain(found.sentence)} Weights: {words.plain(found.weights)}.")
