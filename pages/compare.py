"""Compare: several runs side by side. `?runs=ID,ID` says which, and the rest of the address how: a link shows the same comparison."""

from __future__ import annotations

import streamlit as st

from pages._parts.compare import choosing, import_view, layers_view, tables, view
from pages._parts.compare.subject import ids_asked, subject
from pages._parts.components.compare_chart import compare_chart
from pages._parts.shared.places import alone
from pages._parts.shared.services import services

shared = services()
ids, too_many = ids_asked()
st.title("Compare", anchor=False)
chosen = subject(shared, ids)
choosing.show(shared, chosen, too_many)
if ids:
    compare_chart(chosen.shown(), view.ask(chosen))
    tables.came_to(chosen)
    tables.differing(chosen)
    alone(layers_view.show, shared, chosen)
import_view.show(shared, chosen)
