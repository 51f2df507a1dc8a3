"""Data: bring pictures in, see what is in them, and what can be learned from."""

import streamlit as st

from pages._parts.data import one, overview, ways_in
from pages._parts.data import state as data_state
from pages._parts.shared import asking
from pages._parts.shared.services import services

PLACES = {"all": ":material/grid_view: All datasets", "bring": ":material/add_photo_alternate: Bring pictures in"}
_PLACE = "data_place"


def _went() -> None:
    place = st.session_state[_PLACE]
    if place is not None:
        data_state.only(way="files" if place == "bring" else None)


shared = services()
asking.page_is_drawn()
data_state.open_state(_PLACE)
head = st.container(horizontal=True, vertical_alignment="center")
head.title("Data", anchor=False, width="stretch")
dataset, way = data_state.get("dataset"), data_state.get("way")
st.session_state[_PLACE] = "bring" if way else None if dataset else "all"
head.segmented_control("Where", list(PLACES), key=_PLACE, format_func=lambda place: PLACES[place], label_visibility="collapsed", on_change=_went)
if way:
    ways_in.show(shared, way)
elif dataset:
    one.show(shared, dataset.removeprefix("own:"))
else:
    overview.show(shared)
