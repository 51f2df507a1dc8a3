"""All pictures of a version on a map, and the gallery of those that a lasso has caught."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np
import streamlit as st

from core.curating.layout import Map
from core.versions import Version
from pages._parts.components.curating import picture_map
from pages._parts.data import features_choice, gallery_view, picture_routes
from pages._parts.evaluate.work import awaited
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

METHODS: Mapping[str, str] = {"pca": "PCA", "t-sne": "t-SNE"}
_METHOD = "data_map_method"
GALLERY = "data_map_gallery"


def show(shared: Services, version: Version) -> None:
    """The map once it is drawn, and the gallery below it: a fragment each, so that a click in one does not send the other again."""
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        model = features_choice.ask("data_map_model")
        if st.session_state.get(_METHOD) not in METHODS:
            st.session_state[_METHOD] = "pca"
        st.segmented_control("Projection", METHODS, key=_METHOD, required=True, format_func=lambda name: METHODS[name])
    method = str(st.session_state[_METHOD])
    found = awaited(
        lambda retry=False: shared.lab.curating.map(version, model, method, retry),
        "Laying out the pictures",
        f"data_map_{version.dataset}_{version.number}_{model}_{method}",
        lambda: shared.lab.curating.cancel(version),
    )
    if found is None:
        return
    alone(_drawn, version, found)
    st.caption(f"{words.plain(found.about)} {words.plain(found.said)}")
    with st.container(key=GALLERY):
        gallery_view.draw(shared, version, "data_map_wall", own_url=False)


def _drawn(version: Version, found: Map) -> None:
    places = found.of(version)
    if places is None:
        st.rerun(scope="app")  # the version has changed meanwhile
        return
    across, up = (base64.b64encode(np.ascontiguousarray(places[:, axis]).tobytes()).decode() for axis in (0, 1))
    missing = [place for place, item in enumerate(version.items) if item.sha256 in found.missing]
    picture_map(
        "data_picture_map",
        f"Map of {len(version.items):,} pictures by {METHODS.get(found.method, found.method)}.",
        version.dataset,
        version.classes,
        picture_routes.list_address(version),
        across,
        up,
        missing,
        f".st-key-{GALLERY}",
    )
    if missing:
        st.caption(f":material/info: {len(missing):,} pictures could not be read and are on no map.")
