"""What training would cost as the switches stand now: at once what follows from the layers, then what a few real steps measure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.config import RunConfig
from core.config.plans import Timeline
from core.helpers.helper import LabError
from core.records.cost import Cost, CostState, what_matters
from core.records.layers import backward_share, crossed_share, first_learning
from core.records.telling import size
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.components.timeline_editor.grid import plans
from pages._parts.setup import checks
from pages._parts.shared import words
from pages._parts.shared.services import Services

TICK = 0.5  # seconds between looks while steps are being measured
FLOAT_BYTES = 4  # of a weight's gradient: the format of the forward pass changes nothing about that
MOST_PHASES = 8
"""A timeline with more changes than these is not measured phase by phase: each takes a second or two."""

ABOUT_NODES = "Autograd nodes (`grad_fn`) that `backward()` walks, of those it would walk with everything trainable."

_CLIENT = "setup_cost_client"
_LAST = "setup_cost_last"
_SECONDS = "setup_cost_seconds"
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Phase:
    """Epochs in which the same layers learn, and the seconds that each takes: None while that is not known."""

    epochs: int
    seconds: float | None


@dataclass(frozen=True)
class Measured:
    """What is known by now: the cost of a step with what learns at the start, and the phases of the timeline, the first one included."""

    state: CostState
    phases: tuple[Phase, ...] = ()
    waiting: bool = False

    @property
    def total(self) -> float | None:
        """Seconds to the end of the run; None while it is not known."""
        seconds = [phase.seconds and phase.epochs * phase.seconds for phase in self.phases]
        return None if not seconds or None in seconds else sum(part for part in seconds if part is not None)


def cost_view(shared: Services, table: LayerTable, frozen: frozenset[str], config: RunConfig | None) -> None:
    """Show the costs. `config` is None where the draft cannot be run: then only what the layers tell is shown."""
    st.markdown(backward_in_words(table, frozen))
    if config is None:
        _figures(table, frozen, None, "none yet")
        st.caption("Times and memory are measured once all settings can be used.")
        return
    measured = _ask(shared, table, config)
    # The timer ends with the measuring: the page is drawn once more then, without one.
    st.fragment(_show, run_every=TICK if measured.waiting else None)(shared, table, frozen, config, [measured])


def backward_in_words(table: LayerTable, frozen: frozenset[str]) -> str:
    """How far back gradients have to go, and what that costs against training everything."""
    description = table.description
    if not frozen:
        return "Everything learns: the backward pass crosses the whole network."
    first = first_learning(description, frozen)
    if not first:
        return "Nothing learns, so there is no backward pass."
    crossed, left = crossed_share(description, frozen), backward_share(description, frozen)
    learning = sum(parameter.count for parameter in description.parameters if parameter.name not in frozen) / description.count
    if crossed > _NEARLY_ALL and learning < 0.5:
        return (
            f"Only {_percent(learning)} of the parameters learn, yet **the backward pass still crosses {_percent(crossed)} of the network** "
            f"(by FLOPs): gradients must pass every layer behind {words.code(first)}. What is saved are the frozen layers' own gradients, "
            f"which leaves about {_percent(left)} of its work."
        )
    return (
        f"The backward pass goes back to {words.code(first)}, the first layer that learns: it crosses **{_percent(crossed)} of the network** "
        f"(by FLOPs) and is about {_percent(left)} of the work of a full one."
    )


def _percent(part: float) -> str:
    return "under 1\u00a0%" if 0 < part < 0.01 else f"{100 * part:.0f}\u00a0%"


def _ask(shared: Services, table: LayerTable, config: RunConfig) -> Measured:
    """Ask what is known. Of two clients, since of each only the newest question counts: the start comes first, later phases one by one."""
    client = st.session_state.setdefault(_CLIENT, uuid.uuid4().hex)
    images = checks.training_images(config.dataset, config.validation_share)
    classes = table.description.classes
    try:
        state = shared.lab.cost(client, config, classes, images)
        if state.cost is None:
            return Measured(state, waiting=state.status == "measuring")
        st.session_state[_LAST] = state.cost
        known: dict[str, float | None] = st.session_state.setdefault(_SECONDS, {})
        found, waiting = [], False
        for epochs, phase in _phases(config):
            question = json.dumps([what_matters(phase, images), classes, images])
            if phase.freeze == config.freeze:
                known[question] = state.cost.epoch_seconds
            elif question not in known and not waiting:
                later = shared.lab.cost(f"{client} later", phase, classes, images)
                waiting = later.status == "measuring"
                if not waiting:
                    known[question] = later.cost.epoch_seconds if later.cost else None
            found.append(Phase(epochs, known.get(question)))
        return Measured(state, tuple(found), waiting)
    except LabError as error:
        return Measured(CostState("failed", message=str(error)))


def _phases(config: RunConfig) -> list[tuple[int, RunConfig]]:
    """How many epochs each freeze plan of a run holds, and the run with that plan all along."""
    found = plans(config.freeze, config.timeline)
    if len(found) > MOST_PHASES:
        found = found[:1]
    ends = [epoch for epoch, _ in found[1:]] + [config.epochs + 1]
    return [(end - first, config.replace(freeze=plan, timeline=Timeline())) for (first, plan), end in zip(found, ends, strict=True)]


def _show(shared: Services, table: LayerTable, frozen: frozenset[str], config: RunConfig, fresh: list[Measured]) -> None:
    """The figures, those measured before in grey while others are on their way. Runs twice a second while they are.

    `fresh` holds the answer that this run of the page has already got, if it has.
    """
    if fresh:
        measured = fresh.pop()
    else:
        measured = _ask(shared, table, config)
        if not measured.waiting:
            st.rerun(scope="app")
    state = measured.state
    _figures(table, frozen, measured, "…" if measured.waiting else "not known")
    match state.status:
        case "measuring":
            st.caption(f":material/timer: {words.plain(state.message or 'measuring a few real steps').capitalize()}")
        case "failed":
            st.warning(f"The cost could not be measured. {words.plain(state.message)}", icon=":material/info:")
        case _ if state.cost is not None:
            st.caption(_how(state.cost, config, measured.phases))


def _how(cost: Cost, config: RunConfig, phases: Sequence[Phase]) -> str:
    peak = f"; {size(cost.peak_bytes)} at the worst moment" if cost.peak_bytes else ""
    later = ""
    if len(phases) > 1:
        parts = [f"{phase.epochs:,} of {_brief(phase.seconds) or '…'}" for phase in phases]
        later = f" Epochs as the timeline has them: {', '.join(parts)}."
    elif len(plans(config.freeze, config.timeline)) > 1:
        later = " Times hold for what learns at the start: the timeline, which changes it many times, may make later epochs longer."
    few = f", worked out from batches of {cost.images_measured:,}" if cost.images_measured < config.batch_size else ""
    images = f"batches of {config.batch_size:,} images of {config.image_size:,} px{few}"
    steps = f"{cost.steps_measured:,} real steps on {words.code(cost.device)}"
    return f"Median of {steps}, {images}{peak}. Reading images and validation come on top.{later}"


def _figures(table: LayerTable, frozen: frozenset[str], measured: Measured | None, unknown: str) -> None:
    """Eight boxes. Those that are measured show in grey what they showed before, until they are."""
    total = table.description.count
    learning = total - sum(parameter.count for parameter in table.description.parameters if parameter.name in frozen)
    before: Cost | None = st.session_state.get(_LAST) if measured and measured.waiting else None
    cost = measured.state.cost if measured else None
    shown = cost or before
    end = measured.total if measured and cost else before.total_seconds if before else None
    figures = [
        ("Trainable parameters", f"{learning:,}", f"{words.percent(learning / total)} of {total:,}; the others are frozen."),
        ("Gradient memory", size(FLOAT_BYTES * learning), "One gradient for each trainable parameter, 4 bytes each."),
        ("Optimizer memory", size(shown.optimizer_bytes) if shown else None, "What the optimizer keeps for each trainable parameter."),
        ("Activation memory", size(shown.activation_bytes) if shown else None, "What the forward pass of a batch keeps for the backward pass."),
        ("Time a step", _brief(shown.step_seconds) if shown else None, "Forward, backward and update of one batch."),
        ("Time an epoch", _brief(shown.epoch_seconds) if shown else None, "All steps of the first epoch. Not known before a folder has been read."),
        ("Time to the end", _brief(end), "All steps of all epochs, as the timeline has them."),
        ("Backward graph", f"{shown.backward_nodes:,} of {shown.all_nodes:,}" if shown else None, ABOUT_NODES),
    ]
    grey = range(3, 9) if cost is None and before else [7] if cost and measured and measured.waiting else []
    with st.grid(4, min_column_width=150, key="cost_figures"):
        for label, value, about in figures:
            st.metric(label, value or unknown, help=about, border=True)
    if grey:
        places = ", ".join(f".st-key-cost_figures > :nth-child({place}) [data-testid=stMetricValue]" for place in grey)
        st.html(f"<style>{places} {{ opacity: 0.4; }}</style>")


def _brief(seconds: float | None) -> str | None:
    """Seconds as '12 ms', '3.4 s' or '2 min 5 s'; None for None."""
    if seconds is None:
        return None
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.2g} s" if seconds < 9.5 else words.duration(seconds)
