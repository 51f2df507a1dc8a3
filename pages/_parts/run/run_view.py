"""One run on the Train screen, in the order of a person's eyes: the head, what was found, the live charts with the drawer beside them, the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.catalog.optimizers import FIRST_STEP_ONLY
from core.code import Phase, about, about_run, loading_code, phases, pytorch_code, recorded, repeated
from core.config import ConfigError, RunConfig
from core.config.devices import shared as shared_by_several
from core.config.plans import Change
from core.data import own
from core.helpers.helper import LabError
from core.records import telling
from core.records.events import ChangeRow, RunPlan, RunStatus
from core.store import Run
from core.store.checkpoint import weights_of
from pages._parts.components.live_chart import live_chart
from pages._parts.run import (  # fmt: skip
    audit_view,
    branch_view,
    drawer_view,
    export_view,
    findings_view,
    head_view,
    job_view,
    profile_view,
    ranks_view,
    requests_view,
    resume_view,
    reuse_view,
    steering_view,
    tuning_view,
)
from pages._parts.setup import branch
from pages._parts.setup.form import write_code
from pages._parts.shared import disk_view, draft, labels, waiting_view, words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

_CSS = Path(__file__).with_name("run.css")
_NO_RESULT = "<style>.stMainBlockContainer.stMainBlockContainer { --measure: 0rem; }</style>"
"""One that ended with nothing to show needs no room for it in its head."""


def show(shared: Services, run: Run) -> None:
    """Show a run, live while it is active: where it is, what was found, its curves and what steers them, and below what proves and explains it.

    What comes and goes has a container of its own: the charts keep their place, and with it their zoom and what is open in them.
    """
    if waiting_view.binned(shared, run):
        return
    active = run.status.active
    st.html(_CSS)
    if not active and run.result is None:
        st.html(_NO_RESULT)
    head_view.show(shared, run)
    with st.container():
        if not active and _went_wrong(run):
            _what_went_wrong(shared, run)
    if run.config.nodes > 1 and run.status is RunStatus.PREPARING:
        alone(ranks_view.ask_machines, shared, run, every=ranks_view.TICK)
    if _waits_as_a_job(run):
        alone(job_view.show, shared, run, every=job_view.TICK)
    with st.container(key="run_doctor" if findings_view.anything(shared, run) else "run_no_doctor"):
        alone(findings_view.show, shared, run, every=findings_view.TICK if active else None)
    with st.container(key="run_stage"):
        with st.container(key="run_charts"):
            if active or run.step:
                alone(_charts, shared, run)
        opened = active and run.plan is not None and drawer_view.is_open(run)
        with st.container(key="run_drawer" if opened else "run_no_drawer"):
            if opened:
                drawer_view.show(shared, run)
    with st.container():
        _below(shared, run)


def _waits_as_a_job(run: Run) -> bool:
    """Whether there is nothing to see yet but why the run's job waits, and what it may be cancelled by: that stands above the charts."""
    return job_view.is_job(run) and run.status is RunStatus.PREPARING


def _charts(shared: Services, run: Run) -> None:
    """The live charts. For a fragment: what is pressed in them draws nothing else anew, but for a step from which another run branches off."""
    if draft.BRANCH in st.query_params:
        st.rerun(scope="app")
    layers = run.plan.layers if run.plan else ()
    live_chart(run.id, lambda name: _inspect(shared, run, name), layers, lambda step: branch.begin(shared, run, step), run.config.forgetting)


def _below(shared: Services, run: Run) -> None:
    """What is looked for after the curves."""
    active = run.status.active
    if told := labels.about(run):
        st.caption(words.plain(told))
    with st.container():
        if not active:
            requests_view.show(shared, run)
            _weights(shared, run)
            _doubts(run)
        resume_view.proved(shared, run)
        branch_view.show(shared, run)
    alone(export_view.show, shared, run)
    alone(audit_view.show, shared, run, every=audit_view.TICK if active else None)
    if job_view.is_job(run) and not _waits_as_a_job(run):
        alone(job_view.show, shared, run, every=job_view.TICK if active else None)
    if shared_by_several(run.config):
        alone(ranks_view.show, shared, run, every=ranks_view.TICK if active else None)
    alone(reuse_view.show, shared, run, every=reuse_view.TICK if active else None)
    alone(profile_view.show, shared, run, every=profile_view.TICK if active else None)
    with st.container():
        tuning_view.show(shared, run)
    with st.container():
        for note in run.plan.notes if run.plan else ():
            st.info(words.plain(note), icon=":material/info:")
    changes = shared.store.changes_after(run.id)
    again = repeated(run.config, changes)
    st.caption(_facts(run, changes))
    with st.expander("Settings of this run", icon=":material/list:"):
        _settings(run, again)
    disk_view.of_run(shared, run)
    if run.plan is not None:
        alone(_code, shared, run, run.plan, tuning_view.with_chosen_way(shared, run, again))


def _doubts(run: Run) -> None:
    """A way to the labels that it would not give, where its pictures are a dataset of its person's own and some were held back."""
    choice = own.named(run.config.dataset)
    if choice is not None and run.plan is not None and run.plan.validation_samples:
        query = {"dataset": f"own:{choice.name}", "part": "doubts", "run": run.id}
        st.page_link("data.py", label="Labels that this run doubts", icon=":material/help:", query_params=query)


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


def _went_wrong(run: Run) -> bool:
    """Whether an ended run has a reason to tell. That it was cancelled is said in the head."""
    return run.status in (RunStatus.FAILED, RunStatus.LOST) or bool(run.error and not waiting_view.was_cancelled(run))


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


def _weights(shared: Services, run: Run) -> None:
    """Where the weights of a run that has ended are kept, and how PyTorch loads them."""
    weights = weights_of(shared.home, run)
    if weights is None or not weights.is_file():
        if run.result is not None:
            st.caption("This run left no weights.")
        return
    st.caption(f"Weights: a `state_dict` of {telling.size(weights.stat().st_size)}, kept at {words.code(str(weights))}")
    with st.expander("Load these weights in PyTorch", icon=":material/deployed_code:"):
        st.code(loading_code(run.config, run.plan.classes if run.plan else (), head_view.weights_file(run)), language="python")


def _inspect(shared: Services, run: Run, name: str) -> None:
    """Ask for histograms of a layer. What is no layer of the run was not sent by our chart."""
    if run.plan is not None and any(layer.name == name for layer in run.plan.layers):
        careful(shared.supervisor.inspect)(run.id, name)
