"""Train: set a run up, start it, watch it, steer it, take the weights away.

`?run=ID` shows that run; without it the run that is going on, if there is one; else the form.
"""

import streamlit as st

from core.config import RunConfig
from core.store import Run, UnreadableRun
from pages._parts.components.live_chart import load_ahead
from pages._parts.evaluate.subject import LONGEST_ID
from pages._parts.run import run_view
from pages._parts.setup import form as setup
from pages._parts.shared import draft, found_on_disk, labels, words
from pages._parts.shared.history import history
from pages._parts.shared.services import services

shared = services()
run_id = st.query_params.get("run")

if run_id is None and not st.query_params.to_dict().keys() & {draft.SET_UP, *RunConfig.model_fields}:
    # One that trains, before one that waits.
    active = [run for run in (*shared.store.holding_runs(1), *shared.store.waiting_runs(1)) if isinstance(run, Run)]
    if active:
        run_id = active[0].id
        st.query_params["run"] = run_id

if run_id is not None and run_id != st.session_state.get("train_shown", run_id):
    st.query_params["run"] = run_id  # after a link from this screen to this screen Streamlit leaves the address as it was
st.session_state["train_shown"] = run_id

if run_id is None:
    setup.show(shared)
    load_ahead()
else:
    try:
        run = shared.store.run(run_id)
    except KeyError:
        remedy = "Choose one of the runs below, or set up a new one." if shared.store.entries(limit=1) else "Set up a new one: there is none yet."
        st.error(remedy, title=f"There is no run {words.plain(run_id[:LONGEST_ID])}", icon=":material/error:")
        st.button("Set up a run", type="primary", icon=":material/add:", on_click=lambda: st.query_params.from_dict({draft.SET_UP: "1"}))
    except UnreadableRun as error:
        st.error("Below is why, and what can be done.", title="This run cannot be read", icon=":material/error:")
        found_on_disk.unreadable(shared, error, "unreadable", listed=False)
    else:
        run_view.show(shared, run)

others = [run for run in shared.store.entries(limit=6) if run.id != run_id][:5]
if others:
    st.subheader("Recent runs", anchor=False)
labels.head(shared, titled=run_id)
if others:
    history(shared, others)
