"""The head of a run's page, which stays in sight: its name, where it is, the buttons that matter now, and how far it is or what came out.

Every row of it has its height from the first look to the end (`run_head` in `run.css`): what comes and goes pushes nothing below.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.records.events import CommandKind, RunResult, RunStatus
from core.store import Run
from core.store.checkpoint import weights_of
from core.store.run_folder import read_notice
from pages._parts.run import drawer_view, requests_view, resume_view
from pages._parts.run.requests_view import Steered
from pages._parts.shared import draft, labels, naming, waiting_view, words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

TICK = 1.0  # seconds between looks at the status; the charts have their own, faster line

ABOUT_TRAINING = (
    "Mean over the last epoch, while the model was still learning and with random changes and dropout on. "
    "Validation is measured after it, without these: it can be higher."
)


def show(shared: Services, run: Run) -> None:
    """The head: the name and what can be done next, then what a clock redraws while the run is active."""
    with st.container(key="run_head", gap=None):
        with st.container(key="run_title", horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall"):
            _title(shared, run)
            _next(shared, run)
        # The fragment's own timer ends with the run: the status reruns the page then, and it is called without a timer.
        alone(_status, shared, run, requests_view.steered(shared, run), every=TICK if run.status.active else None)


def weights_file(run: Run) -> str:
    """The name that the run's weights are downloaded under."""
    return naming.file_name(run, ".pth")


def _title(shared: Services, run: Run) -> None:
    """What the run is called, its star, and the way to another name."""
    with st.container(key="run_name", horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall"):
        labels.title(shared, run)


def _next(shared: Services, run: Run) -> None:
    """What can be done with the run as it is now. Each has its name for who sees an icon alone, on a narrow window."""
    if run.status.active:
        if run.plan is not None:
            drawer_view.opener(run)
    else:
        waiting_view.cancelled(shared, run)
        resume_view.offer(shared, run)
        _download(shared, run)
    if run.plan is not None:
        about = "Try pictures, see mistakes and where it looks: also while it trains."
        st.page_link("evaluate.py", label="Evaluate this run", icon=":material/fact_check:", query_params={"run": run.id}, help=about)
    st.button("Set up another run", icon=":material/add:", key="set_up_another", help="Opens the form", on_click=_set_up_another)


def _download(shared: Services, run: Run) -> None:
    """The weights to take away, and a link that measures what the run did not come to."""
    weights = weights_of(shared.home, run)
    if weights is None or not weights.is_file():
        return
    # The file is read when the button is pressed, not at every rerun.
    st.download_button(
        "Download weights",
        data=lambda: weights.read_bytes(),
        file_name=weights_file(run),
        mime="application/octet-stream",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
    )
    if run.result is not None and run.result.test_accuracy is None:
        about = "The run ended before its test pictures were looked at; its weights are kept, so it can be done now."
        measure = {"run": run.id, "view": "metrics"}
        st.page_link("evaluate.py", label="Measure the test accuracy", icon=":material/query_stats:", query_params=measure, help=about)


def _set_up_another() -> None:
    st.query_params.from_dict({draft.SET_UP: "1"})


def _status(shared: Services, shown: Run, steered: Steered) -> None:
    """Status, buttons and progress; runs every second while the run is active. `shown` and `steered` are as the page shows them."""
    run = shared.store.run(shown.id)
    if run.status.active != shown.status.active or (run.plan is None) != (shown.plan is None) or requests_view.steered(shared, run) != steered:
        st.rerun(scope="app")  # it has ended, knows now what it is going to do, or was changed: more than this part changes
    with st.container(key="run_status", gap=None):
        waiting = {command.kind for command in shared.store.commands(run.id, waiting=True)} if run.status.active else set()
        row = st.container(key="run_position", horizontal=True, wrap=False, vertical_alignment="center", gap="small")
        with row:
            word, icon, colour = words.STATUS[run.status]
            st.badge(word, icon=icon, color=colour)
            where = waiting_view.why_of(shared, run) if run.waits else None
            st.markdown(words.plain(where) if where else _position(run, waiting) + _asked(shared, run), width="stretch")
            if run.waits:
                waiting_view.start_and_cancel(row, shared, run.id, "this run")
            elif run.status.active:
                _buttons(row, shared, run, waiting)
        if run.status.active and not run.waits:
            _progress(shared, run)
        elif run.result is not None and not run.status.active:
            _result(run.result)


def _progress(shared: Services, run: Run) -> None:
    """How far it is. Where its worker has something to tell of the store, that, in the same place."""
    notice = read_notice(shared.home.run_folder(run.id))
    with st.container(key="run_progress", gap=None):
        if notice is not None:
            st.markdown(f":material/lock_clock: {words.plain(str(notice))}", help=words.plain(str(notice)))
        else:
            st.progress(_share(run), text=_pace(run) + _so_far(shared, run))


def _result(result: RunResult) -> None:
    """What came out, where the progress was."""
    figures = [
        ("Test accuracy", words.percent(result.test_accuracy), "Share of the test images that the trained model gets right."),
        ("Validation accuracy", words.percent(result.validation_accuracy), None),
        ("Training accuracy", words.percent(result.train_accuracy), ABOUT_TRAINING),
        ("Test loss", words.figure(result.test_loss), None),
        ("Time", words.duration(result.seconds), f"{result.samples_per_second:,.0f} samples per second"),
    ]
    with st.container(key="run_results", horizontal=True, wrap=False, gap="small"):
        for label, value, meaning in figures:
            st.metric(label, value, help=meaning)


def _buttons(row: DeltaGenerator, shared: Services, run: Run, waiting: set[CommandKind]) -> None:
    # In callbacks only: a value read in a fragment that reruns each second may count one click several times.
    stopping = CommandKind.STOP in waiting
    supervisor = shared.supervisor
    if run.status == RunStatus.PAUSED:
        first = ("Resume", ":material/play_arrow:", supervisor.resume, CommandKind.RESUME)
    else:
        first = ("Pause", ":material/pause:", supervisor.pause, CommandKind.PAUSE)
    steer = (first, ("Stop and save", ":material/stop:", supervisor.stop, CommandKind.STOP))
    for label, icon, act, kind in steer:
        row.button(label, key=f"steer_{kind}", icon=icon, disabled=stopping or kind in waiting, on_click=careful(act), args=(run.id,))


def _position(run: Run, waiting: set[CommandKind]) -> str:
    if CommandKind.STOP in waiting:
        return "Stopping after the step at hand, then saving the weights"
    if CommandKind.PAUSE in waiting:
        return "Pausing after the step at hand"
    if CommandKind.RESUME in waiting:
        return "Going on in a moment"
    match run.status:
        case RunStatus.QUEUED:
            return "Waiting for a process"
        case RunStatus.PREPARING:
            doing = run.activity or "Getting ready"
            return words.plain(doing[:1].upper() + doing[1:])
        case RunStatus.RUNNING | RunStatus.PAUSED if run.plan:
            activity = f" · {words.plain(run.activity)}" if run.activity else ""
            return f"Epoch {max(run.epoch, 1):,} of {run.config.epochs:,} · step {run.step:,} of {run.plan.total_steps:,}{activity}"
        case RunStatus.STOPPED if run.error and run.ended:
            return words.plain(f"{run.error[:1].upper()}{run.error[1:]} · {words.ago(run.ended)}")
        case _ if run.ended and run.step:
            return f"{run.step:,} {'step' if run.step == 1 else 'steps'} in {words.duration(run.active_seconds)} · ended {words.ago(run.ended)}"
        case _:
            return ""


def _asked(shared: Services, run: Run) -> str:
    """What was last asked of the run, and what came of it: where the drawer that lists it is closed."""
    if not run.status.active or drawer_view.is_open(run):
        return ""
    changes = [command for command in shared.store.commands(run.id) if command.kind == CommandKind.CHANGE]
    return f" · {requests_view.in_a_line(changes[-1])}" if changes else ""


def _share(run: Run) -> float:
    if run.status in (RunStatus.QUEUED, RunStatus.PREPARING) or run.plan is None:
        return min(1.0, run.activity_share or 0.0)
    return min(1.0, run.step / max(1, run.plan.total_steps))


def _pace(run: Run) -> str:
    if run.plan is None or run.step == 0 or run.active_seconds == 0:
        return "Starting" if run.activity_share is None else f"{100 * run.activity_share:.0f} %"
    step = run.stages.pace if run.stages and run.stages.pace else run.active_seconds / run.step
    samples = run.plan.train_samples / run.plan.steps_per_epoch / step
    left = f" · {words.duration(run.seconds_left)} left" if run.seconds_left is not None and run.status != RunStatus.PAUSED else ""
    return f"{100 * _share(run):.0f} %{left} · {samples:,.0f} samples per second"


def _so_far(shared: Services, run: Run) -> str:
    """The accuracies of the newest epoch that is over; nothing before the first."""
    rows = shared.store.epochs_after(run.id, max(0, run.epoch - 2))  # of the epoch at hand and the one before
    if not rows:
        return ""
    last = rows[-1]
    return (
        f" · accuracy after epoch {last.epoch:,}: training {words.percent(last.train_accuracy)}, validation {words.percent(last.validation_accuracy)}"
    )
