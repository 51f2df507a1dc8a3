"""Sweeps: try several settings, and see which is best. `?sweep=ID` shows one; without it the form, and those that there are."""

import streamlit as st

from pages._parts.shared import draft, words
from pages._parts.shared.services import services
from pages._parts.sweeps import listing, result, set_up

shared = services()
result.go_to_form()
draft.open_draft()
sweep_id = st.query_params.get("sweep")

if sweep_id is None:
    st.title("Sweeps", anchor=False)
    set_up.show(shared)
    listing.show(shared)
else:
    try:
        shared.store.sweep(sweep_id)
    except KeyError:
        st.title("Sweeps", anchor=False)
        st.error("Choose one of those below.", title=f"There is no sweep {words.plain(sweep_id[:60])}", icon=":material/error:")
        listing.show(shared)
    else:
        result.show(shared, sweep_id)
