"""Every screen, in the order of the menu. `dashboard.py` serves this script."""

from pathlib import Path

import streamlit as st

from pages._parts.components.server_gone import watch_server
from pages._parts.shared import labels
from pages._parts.shared.store_told import store_told

SHARED = Path(__file__).parent / "_parts" / "shared"
LOGO = str(SHARED / "thaw.svg")

st.set_page_config(page_title="Thaw", page_icon=LOGO, layout="wide")

st.html(SHARED / "screens.css")
st.logo(LOGO, size="large")
watch_server()
page = st.navigation(
    [
        st.Page("home.py", title="Home", icon=":material/home:", default=True, help="What runs now, what ran before, and what this machine has."),
        st.Page("data.py", title="Data", icon=":material/photo_library:", help="Bring your own pictures, see them, and mend them; the catalogue."),
        st.Page("model.py", title="Model", icon=":material/account_tree:", help="Choose a model, and decide what learns, when and how fast."),
        st.Page("build.py", title="Build", icon=":material/stacks:", help="Put a network of your own together, layer by layer."),
        st.Page("train.py", title="Train", icon=":material/model_training:", help="Set a run up, start it, watch it and steer it."),
        st.Page("runs.py", title="Runs", icon=":material/list:", help="What waits, goes on and has ended; the bin."),
        st.Page("compare.py", title="Compare", icon=":material/compare_arrows:", visibility="hidden", help="Several runs side by side."),
        st.Page("sweep.py", title="Sweeps", icon=":material/stacked_line_chart:", help="Try several settings, and see which is best."),
        st.Page("evaluate.py", title="Evaluate", icon=":material/fact_check:", help="Try a trained model, and see what it gets right and wrong."),
        st.Page("autograd.py", title="Autograd", icon=":material/network_node:", help="One training step in slow motion, and the graph behind it."),
        st.Page("notions.py", title="Notions", icon=":material/menu_book:", help="What a course names: a sentence, the code, where to see it."),
    ],
    position="top",
)
labels.came_to(page.url_path)
with store_told():
    page.run()
