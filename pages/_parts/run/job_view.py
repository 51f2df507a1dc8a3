"""The job of Slurm that a run is: where it is and why, the way to end it, and what it printed."""

from __future__ import annotations

import streamlit as st

from core.config.cluster import SLURM
from core.slurm.words import WORKS, Seen, job_in_words
from core.store import Run
from core.store.job_tables import JobRow
from pages._parts.shared import words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

TICK = 2.0
"""Seconds between looks while a run goes on."""

ABOUT_CANCEL = "Slurm ends the job: at once where it waits; one that works makes a checkpoint before, from which the run can be continued."


def show(shared: Services, run: Run) -> None:
    """The job that works on the run, or the last one that did. For a fragment; nothing for a run that never was one."""
    jobs = shared.store.jobs_of(run.id)
    if not jobs:
        return
    job = jobs[-1]
    with st.container(key="run_job", horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/dns: {line(job, run, len(jobs))}", width="stretch")
        if job.ended is None and job.job:
            _cancel(shared, run, job)
    box = st.expander("What the job printed", icon=":material/terminal:", key=f"job_log_{run.id}", on_change="rerun")
    if box.open:
        with box:
            log = shared.supervisor.jobs.log(job, lines=60)
            st.code(log or "Nothing yet: it has not begun, or its folder is not seen from here.", language=None)


def line(job: JobRow, run: Run, count: int = 1) -> str:
    """Where the job is, in Markdown."""
    told = words.sentence(job_in_words(job.job, job.state, job.reason, job.node, over=job.ended is not None))
    about = [f"submitted {words.ago(job.submitted)}"]
    if run.config.partition:
        about.append(f"partition {run.config.partition}")
    if run.config.time_limit:
        about.append(f"time limit {run.config.time_limit:,} min")
    if count > 1:
        about.append(f"the {count:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10 if count % 100 not in (11, 12, 13) else 0, 'th') } job of this run")
    if job.skipped:
        about.append(f"{job.skipped:,} lines that it told were cut short, and were left out")
    return f"**{words.plain(told.rstrip('.'))}** · {words.plain(' · '.join(about))}"


def _cancel(shared: Services, run: Run, job: JobRow) -> None:
    asked = job.cancelled is not None
    works = Seen(job.state).state in WORKS
    label = "Cancelling the job" if asked else "Cancel the job"
    help_text = ABOUT_CANCEL if works else "Take it out of Slurm's queue."
    st.button(
        label,
        key="cancel_job",
        icon=":material/cancel:",
        disabled=asked,
        help=help_text,
        on_click=careful(shared.supervisor.cancel_job),
        args=(run.id,),
    )


def is_job(run: Run) -> bool:
    """Whether the run is to be computed as a job."""
    return run.config.target == SLURM
