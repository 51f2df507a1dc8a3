"""Home: what runs now, what ran before, one click to a demo, and what this machine has."""

import platform

import psutil
import streamlit as st

from core.helpers.helper import LabError
from core.machine.hardware import cores
from core.records import telling
from pages._parts.components.live_chart import load_ahead
from pages._parts.home import demo
from pages._parts.shared import draft, found_on_disk, labels, words
from pages._parts.shared.history import history
from pages._parts.shared.places import alone
from pages._parts.shared.services import services

ROWS = 5
"""Runs of a list at most; the others are on Runs. A page takes the browser as long as it has elements."""

shared = services()


demo.go_on()

st.title("Thaw")
st.markdown("Fine-tuning that you can see through: choose what is frozen, start, and watch each layer learn.")

row = st.container(horizontal=True, vertical_alignment="center")
demo.start_button(shared, row)
row.page_link("data.py", label="Bring your own pictures", icon=":material/add_photo_alternate:", query_params={"way": "files"})
row.page_link("train.py", label="Set up a run", icon=":material/tune:", query_params={draft.SET_UP: "1"})
row.page_link("evaluate.py", label="Try a trained model", icon=":material/fact_check:")
row.page_link("runs.py", label="All runs", icon=":material/list:")
row.page_link("notions.py", label="What the words mean", icon=":material/menu_book:")
demo.section(shared)


def runs() -> None:
    """Running and recent runs."""
    active = shared.store.holding_runs(ROWS)
    recent = shared.store.entries(limit=ROWS, active=False)
    found_on_disk.offer(shared)
    if active:
        st.subheader("Running now", anchor=False)
        history(shared, active, beside=recent)
    count = shared.store.count_waiting()
    if count:
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f"{count:,} {'run waits' if count == 1 else 'runs wait'} for a place.", width="content")
        row.page_link("runs.py", label="Open the queue", icon=":material/low_priority:")
    st.subheader("Recent runs", anchor=False)
    if recent:
        history(shared, recent, beside=active)
    else:
        st.caption("Runs appear here once they have ended." if active else "No run yet. Start the demo above, or set up a run of your own.")


def machine(looking: bool) -> None:
    """What this machine has: at once what the system says, and what torch says once the lab is warm."""
    memory = psutil.virtual_memory()
    processors, total, free, devices = st.columns(4)
    processors.metric("Processor cores", cores(), border=True)
    total.metric("Memory", telling.size(memory.total), border=True)
    free.metric("Free memory", telling.size(memory.available), border=True)
    if not shared.lab.ready:
        devices.metric("Devices", "looking", border=True)
        return
    if looking:
        st.rerun(scope="app")  # once more, and then without a timer
    try:
        found = shared.lab.machine()
    except LabError as error:  # here, since nothing that a fragment raises gets out of it
        devices.metric("Devices", "not known", border=True)
        st.error(words.plain(str(error)))
        return
    devices.metric("Devices", len(found.devices), border=True)
    for device in found.devices:
        icon = ":material/memory:" if device.name == "cpu" else ":material/developer_board:"
        size = f" · {telling.size(device.memory_bytes)}" if device.memory_bytes else ""
        st.markdown(f"{icon} {words.code(device.name)} {words.plain(device.label)}{size}")
    versions = f"torch {words.plain(found.torch_version)} · torchvision {words.plain(found.torchvision_version)} · Python {platform.python_version()}"
    st.caption(f"{versions} · runs are kept in {words.code(str(shared.home.path))}")


labels.head(shared)
alone(runs, every=2.0)
st.subheader("This machine", anchor=False)
looking = not shared.lab.ready
if looking:
    shared.lab.warm()
alone(machine, looking, every=1.0 if looking else None)
load_ahead()
