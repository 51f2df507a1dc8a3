"""The import: its name and its button, how far it is wherever it was begun, and what it had to say at the end."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from core.config import ConfigError
from core.data.folders import counted_pictures
from core.importing import desk
from core.importing.desk import Job
from core.importing.job import sweep_all
from core.importing.recognised import Corrections, Plan
from core.machine.home import Home
from core.staging import staging
from core.versions import naming
from pages._parts.data import report_view
from pages._parts.data import state as data_state
from pages._parts.shared import draft, refusals, words
from pages._parts.shared.once import Click
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 0.5
"""Seconds between looks while it goes on."""

_NAME, _REFUSED = "data_import_name", "data_import_refused"


def ask(shared: Services, here: str, corrections: Corrections, found: Plan) -> None:
    """What the dataset is to be called, and the button."""
    add = data_state.get("add")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    if not add:
        if _NAME not in st.session_state:
            st.session_state[_NAME] = staging.remembered(shared.home, here).get("name") or proposed(found)
        row.text_input("Name of the dataset", key=_NAME, max_chars=naming.LONGEST, on_change=_named, args=(shared, here), width=360)
    count = counted_pictures(found.images)
    row.button(
        f"Add {count} to {words.plain(add)}" if add else f"Import {count}",
        type="primary",
        key="data_import_go",
        icon=":material/download_done:",
        disabled=bool(found.problem and not add) or not found.images,
        on_click=_begin,
        args=(shared, here, corrections, add or "", Click()),
    )
    if error := refusals.noted(_REFUSED):
        st.error(words.plain(error), title="Nothing was begun", icon=":material/error:")
    st.caption("The pictures are copied into Thaw's own folder; what you brought is not changed.")


def proposed(found: Plan) -> str:
    """A name for a dataset: that of its archive or folder, else of its classes."""
    stem = re.sub(r"\.(zip|tar|tgz|tar\.\w+|csv|tsv|parquet)$", "", Path(found.source).name, flags=re.IGNORECASE)
    name = " and ".join(found.becoming[:3]) if stem in ("classes", "files") else stem
    try:
        return naming.checked(name[: naming.LONGEST])
    except ConfigError:
        return "my pictures"


def _named(shared: Services, here: str) -> None:
    staging.remember(shared.home, here, name=st.session_state[_NAME])


def _begin(shared: Services, here: str, corrections: Corrections, add: str, click: Click) -> None:
    if click.made:
        data_state.choose(job=click.made)
        return
    refusals.forget(_REFUSED)
    try:
        name = naming.checked(add or st.session_state[_NAME])
        click.made = desk.begin(shared.home, staging.source(shared.home, here), name, corrections, add=bool(add))
        staging.remember(shared.home, here, job=click.made)
    except (ConfigError, OSError) as error:
        refusals.note(_REFUSED, words.refusal(error))
    else:
        data_state.choose(job=click.made)


def show(shared: Services, job: str) -> None:
    """How far a job is, or what became of it. A refresh, another tab and a server that was started anew find it the same."""
    state = _state(shared, job)
    if state is None:
        st.warning("This import is not known any more: it was over long ago.", icon=":material/link_off:")
    elif state.state == "working":
        alone(_progress, shared, job, every=TICK)
    elif state.state == "done":
        _done(shared, state)
    else:
        _not_done(shared, state)


def _state(shared: Services, job: str) -> Job | None:
    try:
        return desk.state(shared.home, job)
    except ConfigError:
        return None


def _progress(shared: Services, job: str) -> None:
    state = _state(shared, job)
    if state is None or state.state != "working":
        st.rerun(scope="app")
    assert state is not None
    st.markdown(f"**{words.plain(state.name)}** is being imported.")
    share = state.done / state.of if state.of else 0.0
    told = words.plain(words.sentence(state.text).rstrip("."))
    if state.of:
        left = f" · {words.duration(state.seconds_left)} left" if state.seconds_left is not None else ""
        rate = f" · {state.rate:,.0f} a second" if state.rate else ""
        told += f": {state.done:,} of {state.of:,} pictures{rate}{left}"
    st.progress(min(1.0, share), text=told)
    st.button("Cancel", key="data_import_cancel", icon=":material/close:", on_click=desk.cancel, args=(shared.home, job))
    st.caption("It goes on while you look at other pages, or close this one. Nothing is kept of one that is cancelled.")


def _done(shared: Services, state: Job) -> None:
    if here := _staging_of(shared.home, state.id):
        staging.throw_away(shared.home, here)
    report = dict(state.report)
    count = counted_pictures(int(report.get("images", 0)))
    is_new = state.version == 1
    where = f"are in {state.name}, version 1" if is_new else f"came to {state.name}, which is version {state.version:,} now"
    st.success(words.plain(f"{count} {where}."), icon=":material/check_circle:")
    row = st.container(horizontal=True, vertical_alignment="center")
    named = f"own:{state.name}"
    row.page_link("train.py", label="Train on it", icon=":material/model_training:", query_params={draft.SET_UP: "1", "dataset": named})
    row.button("Look at it", key="data_import_open", type="primary", icon=":material/photo_library:", on_click=_open, args=(named,))
    row.button("See what is wrong with it", key="data_import_check", icon=":material/content_copy:", on_click=_open, args=(named, "duplicates"))
    report_view.draw(report)


def _open(named: str, part: str | None = None) -> None:
    data_state.only(dataset=named, part=part)


def _not_done(shared: Services, state: Job) -> None:
    if state.state == "cancelled":
        st.info("The import was cancelled, and nothing of it was kept.", icon=":material/close:")
    else:
        sweep_all(shared.home)  # one that was killed could not tidy up
        st.error(words.plain(words.sentence(state.message)), title="Nothing was imported", icon=":material/error:")
    here = _staging_of(shared.home, state.id)
    st.button("Back to the plan", key="data_import_back", icon=":material/arrow_back:", on_click=_back, args=(shared, state.id, here))


def _back(shared: Services, job: str, here: str) -> None:
    desk.forget(shared.home, job)
    data_state.choose(job=None, staging=here or None, source="staging" if here else None)


def _staging_of(home: Home, job: str) -> str:
    """The staging that a job was begun from; '' for none."""
    for name in staging.all_of(home):
        try:
            if staging.remembered(home, name).get("job") == job:
                return name
        except ConfigError:  # thrown away just now
            continue
    return ""


def going_on(shared: Services) -> None:
    """Imports that go on, wherever they were begun: each with the way there."""
    for state in desk.jobs(shared.home):
        if state.state == "working" and state.what == "import":
            row = st.container(horizontal=True, vertical_alignment="center", key=f"data_job_{state.id}")
            row.markdown(f":material/hourglass_top: {words.plain(state.name)} is being imported.", width="content")
            row.button("Look", key=f"data_job_look_{state.id}", on_click=data_state.only, kwargs={"way": "files", "job": state.id})
