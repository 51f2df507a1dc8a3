"""One run on the Train screen: where it is, its live charts, the buttons that steer it, and what came out of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.catalog.optimizers import FIRST_STEP_ONLY
from core.code import Phase, about, about_run, loading_code, phases, pytorch_code, recorded, repeated
from core.config import ConfigError, RunConfig
from core.config.plans import Change
from core.helpers.helper import LabError
from core.records import telling
from core.records.events import ChangeRow, CommandKind, RunPlan, RunStatus
from core.store import Run
from core.store.checkpoint import weights_of
from core.store.run_folder import read_notice
from pages._parts.components.live_chart import live_chart
from pages._parts.run import audit_view, findings_view, profile_view, resume_view, reuse_view, steering_view, tuning_view
from pages._parts.run.steering_view import Steered
from pages._parts.setup.form import write_code
from pages._parts.shared import disk_view, draft, waiting_view, words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

FIGURE = 210
"""Width of a figure in pixels: five stand beside each other at 1280, and at 800 none is cut short."""

TICK = 1.0  # seconds between looks at the status; the charts have their own, faster line

ABOUT_TRAINING = (
    "Mean over the last epoch, while the model was still learning and with random changes and dropout on. "
    "Validation is measured after it, without these: it can be higher."
)


def show(shared: Services, run: Run) -> None:
    """Show a run, live while it is active."""
    if waiting_view.binned(shared, run):
        return
    title, another = st.columns([3, 1], vertical_alignment="center")
    title.title(words.plain(words.subject(run.config)))
    another.button("Set up another run", icon=":material/add:", width="stretch", on_click=_set_up_another)
    changes = shared.store.changes_after(run.id)
    st.caption(_facts(run, changes))
    if run.plan is not None:
        about = "Try pictures, see mistakes and where it looks: also while it trains."
        st.page_link("evaluate.py", label="Evaluate this run", icon=":material/fact_check:", query_params={"run": run.id}, help=about)
    # The fragments' own timers end with the run: the status reruns the page then, and they are called without a timer.
    active = run.status.active
    alone(_status, shared, run, steering_view.steered(shared, run), every=TICK if active else None)
    with st.container():
        resume_view.show(shared, run)
    alone(findings_view.show, shared, run, every=findings_view.TICK if active else None)
    # What comes and goes has a container of its own: the charts below keep their place, and with it their zoom and what is open in them.
    with st.container():
        if active and run.plan is not None:
            alone(steering_view.panel, shared, run)
    alone(audit_view.show, shared, run, every=audit_view.TICK if active else None)
    alone(reuse_view.show, shared, run, every=reuse_view.TICK if active else None)
    alone(profile_view.show, shared, run, every=profile_view.TICK if active else None)
    with st.container():
        tuning_view.show(shared, run)
    with st.container():
        for note in run.plan.notes if run.plan else ():
            st.info(words.plain(note), icon=":material/info:")
        if run.status in (RunStatus.FAILED, RunStatus.LOST) or (not run.status.active and run.error):
            _what_went_wrong(shared, run)
        if run.result is not None and not run.status.active:
            _result(shared, run)
    if run.status.active or run.step:
        alone(live_chart, run.id, lambda name: _inspect(shared, run, name))
    again = repeated(run.config, shared.store.changes_after(run.id))
    with st.expander("Settings of this run", icon=":material/list:"):
        _settings(run, again)
    disk_view.of_run(shared, run)
    if run.plan is not None:
        alone(_code, shared, run, run.plan, tuning_view.with_chosen_way(shared, run, again))


def _status(shared: Services, shown: Run, steered: Steered) -> None:
    """Status, progress, buttons and requests; runs every second while the run is active. `shown` and `steered` are as the page shows them."""
    run = shared.store.run(shown.id)
    if run.status.active != shown.status.active or (run.plan is None) != (shown.plan is None) or steering_view.steered(shared, run) != steered:
        st.rerun(scope="app")  # it has ended, knows now what it is going to do, or was changed: more than this part changes
    word, icon, colour = words.STATUS[run.status]
    waiting = {command.kind for command in shared.store.commands(run.id, waiting=True)} if run.status.active else set()
    row = st.container(horizontal=True, vertical_alignment="center")
    row.badge(word, icon=icon, color=colour)
    row.markdown(words.plain(waiting_view.why_of(shared, run)) if run.waits else _position(run, waiting), width="stretch")
    waiting_view.cancelled(shared, run)
    if run.waits:
        waiting_view.start_and_cancel(row, shared, run.id, "this run")
    elif run.status.active:
        _buttons(row, shared, run, waiting)
        st.progress(_share(run), text=_pace(run))
        notice = read_notice(shared.home.run_folder(run.id))
        if notice is not None:
            st.warning(words.plain(str(notice)), icon=":material/lock_clock:")
    steering_view.requests(shared, run)


def _settings(run: Run, again: RunConfig) -> None:
    """What was chosen for the run, and the ways to use it again. `again` has what was changed live in its timeline."""
    st.json(run.config.changes() or {"everything": "as it comes"}, expanded=True)
    row = st.container(horizontal=True)
    row.button("Use these settings again", key="again_settings", icon=":material/replay:", on_click=draft.set_up, args=(run.config, run.error or ""))
    if again != run.config:
        row.button(
            "Use them with what was changed live",
            key="again_changed",
            icon=":material/replay:",
            help="The same settings, with each live change in the timeline at the step where it was made: a run that does the same.",
            on_click=draft.set_up,
            args=(again,),
        )
        st.caption("The timeline with what was changed live:")
        st.code(str(again.timeline), language=None)


def _code(shared: Services, run: Run, plan: RunPlan, again: RunConfig) -> None:
    """The same in PyTorch. For a fragment: a timeline's code needs the model's layers, which may take the lab some seconds."""
    box = st.expander("Show the PyTorch", icon=":material/code:", key=f"code_{run.id}", on_change="rerun")
    if not box.open:
        return
    with box:
        try:
            record = recorded(shared.home, run)
            told = (*about(again, record), *about_run(run, record))
            live = ("What was changed live comes at the step where it was changed.",) if again.timeline != run.config.timeline else ()
            st.caption(words.plain(" ".join((*told, *live))))
            changing = _changing(shared, run, again)
            layers = [(layer.name, layer.frozen) for layer in plan.layers]
            factors = {layer.name: layer.multiplier for layer in plan.layers}
            write_code(pytorch_code(again, len(plan.classes), layers, factors, changing, record), f"{run.id}.py")
        except ConfigError as error:
            st.error(words.plain(f"There is no code for this run. {words.field(error.field)}: {error.message}"), icon=":material/error:")


def _changing(shared: Services, run: Run, again: RunConfig) -> tuple[Phase, ...] | None:
    """What the timeline changes; None where it cannot be told, which is said."""
    if not again.timeline.changes:
        return ()
    try:
        return phases(again, steering_view.layers(shared, run).description.parameters)
    except (ConfigError, LabError) as error:
        st.warning(words.plain(f"The code leaves the timeline out. {words.refusal(error)}"), icon=":material/info:")
        return None


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
            return f"{run.step:,} steps in {words.duration(run.active_seconds)} · ended {words.ago(run.ended)}"
        case _:
            return ""


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


def _facts(run: Run, changes: Sequence[ChangeRow] = ()) -> str:
    """The settings in one line. What was changed since says from which step on, so that nobody reads what holds no more."""
    config = run.config
    rate = f"{words.plain(config.optimizer)} at {config.learning_rate:g}"
    if config.optimizer in FIRST_STEP_ONLY:
        rate += " (its first step; it sizes the others itself, whatever the chart of the learning rate shows)"
    rated = [row for row in changes if Change.parse(row.text).learning_rate is not None]
    if rated:
        rate += f" ({rated[-1].learning_rate:g} since step {rated[-1].step:,})"
    data = f" · {run.plan.train_samples:,} training images on {words.plain(run.plan.device)}" if run.plan else ""
    named = config.starting_weights in ("random", "pretrained")
    weights = f"{words.plain(config.starting_weights)} weights" if named else f"weights of {words.code(config.starting_weights)}"
    course = f" · timeline {words.plain(str(config.timeline))}" if config.timeline.changes else ""
    factors = f" · multipliers {words.plain(str(config.learning_rate_multipliers))}" if config.learning_rate_multipliers.rules else ""
    frozen = [row for row in changes if Change.parse(row.text).freezing]
    since = f" at the start, {_learning(run, frozen[-1])} since step {frozen[-1].step:,}" if frozen else ""
    freezing = f"Freeze: {words.plain(str(config.freeze))}{since}{course}{factors}"
    return f"{freezing} · {weights} · {config.image_size:,} px · {rate} · batches of {config.batch_size:,} images{data} · {words.code(run.id)}"


def _learning(run: Run, row: ChangeRow) -> str:
    """How much learns after a change: '12 of 62 tensors learn (35 % of the parameters)'."""
    counts = [layer.count for layer in run.plan.layers] if run.plan else []
    learns = [count for count, frozen in zip(counts, row.frozen.tolist(), strict=True) if not frozen]
    return f"{len(learns):,} of {len(counts):,} tensors learn ({100 * sum(learns) / max(sum(counts), 1):.3g} % of the parameters)"


def _what_went_wrong(shared: Services, run: Run) -> None:
    reason, _, details = (run.error or "No reason was recorded.").strip().partition("\n")
    field, colon, message = reason.partition(": ")
    if colon and field in RunConfig.model_fields:
        reason = f"{words.field(field)}: {message}"
    titles = {RunStatus.LOST: "The run was lost", RunStatus.FAILED: "The run failed"}
    title = titles.get(run.status, "The run could not be continued")
    st.error(words.plain(reason), title=title, icon=":material/error:")
    log = shared.supervisor.log_tail(run.id)
    if details.strip() or log:
        with st.expander("Details and the end of its log", icon=":material/terminal:"):
            if details.strip():
                st.code(details.strip(), language=None)
            if log:
                st.code(log, language=None)
    about = "The form opens with these settings, and with what went wrong beside the field that it is about."
    again = (run.config, run.error or "")
    st.button("Use these settings again", type="primary", icon=":material/replay:", help=about, on_click=draft.set_up, args=again)


def _result(shared: Services, run: Run) -> None:
    """What came out: the measures, and the weights to take away."""
    result = run.result
    assert result is not None
    figures = [
        ("Test accuracy", words.percent(result.test_accuracy), "Share of the test images that the trained model gets right."),
        ("Validation accuracy", words.percent(result.validation_accuracy), None),
        ("Training accuracy", words.percent(result.train_accuracy), ABOUT_TRAINING),
        ("Test loss", words.figure(result.test_loss), None),
        ("Time", words.duration(result.seconds), f"{result.samples_per_second:,.0f} samples per second"),
    ]
    row = st.container(horizontal=True)
    for label, value, meaning in figures:
        row.metric(label, value, help=meaning, border=True, width=FIGURE)
    weights = weights_of(shared.home, run)
    if result.test_accuracy is None and weights is not None and weights.is_file():
        row = st.container(horizontal=True, vertical_alignment="center")
        measure = {"run": run.id, "view": "metrics"}
        row.page_link("evaluate.py", label="Measure the test accuracy", icon=":material/query_stats:", query_params=measure)
        row.caption("The run ended before its test pictures were looked at; its weights are kept, so it can be done now.")
    if weights is None or not weights.is_file():
        st.caption("This run left no weights.")
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    name = f"{words.subject(run.config).replace(' ', '-')}-{run.id}.pth"
    # The file is read when the button is pressed, not at every rerun.
    row.download_button(
        "Download weights",
        data=lambda: weights.read_bytes(),
        file_name=name,
        mime="application/octet-stream",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
    )
    row.caption(f"A `state_dict` of {telling.size(weights.stat().st_size)}, kept at {words.code(str(weights))}")
    with st.expander("Load these weights in PyTorch", icon=":material/deployed_code:"):
        st.code(loading_code(run.config, run.plan.classes if run.plan else (), name), language="python")


def _inspect(shared: Services, run: Run, name: str) -> None:
    """Ask for histograms of a layer. What is no layer of the run was not sent by our chart."""
    if run.plan is not None and any(layer.name == name for layer in run.plan.layers):
        careful(shared.supervisor.inspect)(run.id, name)


def _set_up_another() -> None:
    st.query_params.from_dict({draft.SET_UP: "1"})
