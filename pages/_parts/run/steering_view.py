"""Steering a run while it trains: what can be changed, and why something was not asked for. What came of it is in `requests_view`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.catalog.optimizers import FIRST_STEP_ONLY
from core.config import ConfigError
from core.config.limits import quoted
from core.config.plans import PRESETS, Change
from core.helpers.helper import LabError
from core.records.events import ChangeRow, CommandKind, RunPlan
from core.records.layers import blocks, head_options
from core.store import Run
from pages._parts.components.freeze_tree import freeze_tree, toggles
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.run.run_state import State, frozen_after, rate_before, state_now
from pages._parts.setup import checks
from pages._parts.shared import words
from pages._parts.shared.fields import sentence
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

QUICK = (0.1, 0.5, 2.0)
"""What the learning rate can be multiplied by with one click."""

_ERROR = "steering_errors"
_RATE, _FACTOR, _FREEZE = "rate", "factor", "freeze"
"""The parts of the panel: what is wrong with a request is said in the part that it came from."""


def panel(shared: Services, run: Run) -> None:
    """What can be changed while the run goes on. For a fragment: what is asked for in it draws nothing else anew."""
    plan = run.plan
    assert plan is not None
    state = state_now(plan, shared.store.changes_after(run.id))
    with st.container(key="run_steering", horizontal=True, gap="medium"):
        with st.container(key="steer_layers"):
            _freezing(shared, run, plan, state)
        with st.container(key="steer_rates"):
            _learning_rate(shared, run)
            _multiplier(shared, run, plan, state)


def _refuse(run: Run, part: str, message: str, typed: str | None = None) -> None:
    """Say in a part of the panel why nothing was asked for, as long as its field holds what was `typed`. For callbacks."""
    st.session_state.setdefault(_ERROR, {})[run.id, part] = (message, typed)


def forget_refusals(run: Run) -> None:
    """Something else was asked for, or the drawer is closed."""
    held = st.session_state.get(_ERROR, {})
    for part in (_RATE, _FACTOR, _FREEZE):
        held.pop((run.id, part), None)


def _show_refusal(part: str, shared: Services, run: Run, typed: str | None = None) -> None:
    """What is wrong with what was last asked for in this part, whose field holds `typed`: at once, or what the run answered.

    It stays, however often the page is drawn anew (a run that goes on does that by itself), until something else is typed or asked for.
    """
    failed, refused = st.session_state.get(_ERROR, {}).get((run.id, part), (None, None))
    if refused is not None and refused != typed:
        failed = None
    if failed is None:
        changes = [command for command in shared.store.commands(run.id) if command.kind == CommandKind.CHANGE]
        if changes and changes[-1].error and part_of(Change.parse(changes[-1].payload)) == part:
            failed = f"the run refused {words.change(changes[-1].payload)}: {in_screen_words(changes[-1].error)}"
    if failed:
        st.error(words.plain(sentence(failed)), icon=":material/error:")


def part_of(change: Change) -> str:
    """The part of the panel that a change belongs to."""
    return _FREEZE if change.freezing else _RATE if change.learning_rate is not None else _FACTOR


def in_screen_words(message: str) -> str:
    """Why a run refused a change, without the grammar of plans, which nobody has typed here."""
    if "freezes every layer" in message:
        return NOTHING_LEARNS
    return message


NOTHING_LEARNS = "every layer would be frozen, so nothing would learn; leave at least one switched on"


# Learning rate


def _learning_rate(shared: Services, run: Run) -> None:
    st.markdown("**Learning rate**")
    now = rate_now(shared, run)
    place = f"steer_rate_{run.id}"
    row = st.container(horizontal=True, vertical_alignment="bottom")
    row.text_input("New learning rate", placeholder=f"{now:g} now", key=place, width=180)
    row.button("Apply", key=f"{place}_apply", on_click=careful(_set_rate), args=(shared, run, place, Click()))
    for factor in QUICK:
        row.button(
            f"x {factor:g}",
            key=f"{place}_{factor:g}",
            help=f"{factor:g} times the learning rate of this moment",
            on_click=careful(_scale_rate),
            args=(shared, run, factor, Click()),
        )
    _show_refusal(_RATE, shared, run, st.session_state[place])
    if run.config.optimizer in FIRST_STEP_ONLY:
        st.caption(f"{words.plain(run.config.optimizer)} takes it for the first step of each weight only: what learns already goes on as it does.")
        return
    scheduled = "" if run.config.schedule == "constant" else f" The schedule {words.code(run.config.schedule)} goes on from the new value."
    st.caption(f"That of layers whose multiplier is 1.{scheduled}")


def rate_now(shared: Services, run: Run) -> float:
    """The learning rate of the newest step or change, before multipliers."""
    changes = shared.store.changes_after(run.id)
    step = shared.store.last_step(run.id)
    if changes and changes[-1].step > step:
        return changes[-1].learning_rate
    newest = shared.store.steps_after(run.id, 0, step - 1, limit=1).learning_rate
    return float(newest[-1]) if len(newest) else run.config.learning_rate


def rate_before_change(shared: Services, run: Run, changes: Sequence[ChangeRow], place: int) -> float:
    """The learning rate that the change at `place` took the place of."""
    before = changes[place].step - 1
    found = shared.store.steps_after(run.id, 0, before - 1, limit=1)
    last = float(found.learning_rate[0]) if len(found.step) and found.step[0] == before else None
    return rate_before(changes, place, last, run.config.learning_rate)


def _set_rate(shared: Services, run: Run, place: str, click: Click) -> None:
    rate = None if click.made else _number(run, _RATE, st.session_state[place], "the new learning rate", f"{rate_now(shared, run) / 2:g}")
    if rate is not None:
        ask(shared, run, Change(rules=(f"learning_rate={rate:.12g}",)), _RATE, click)
    if click.made:
        st.session_state[place] = ""


def _number(run: Run, part: str, typed: str, what: str, example: str) -> float | None:
    """What somebody typed as a number above 0, as `core.config.plans` takes it; None, and why, where it is none."""
    text = typed.strip()
    if not text:
        _refuse(run, part, f"enter {what} first, for example {example}", typed)
        return None
    try:
        number = float(text)
    except ValueError:
        dotted = text.replace(",", ".")
        comma = f"; write a point in place of the comma: {dotted}" if re.fullmatch(r"\d*,\d+", text) else ""
        _refuse(run, part, f"{quoted(text)} is no number{comma or f'; enter one such as {example}'}", typed)
        return None
    if not 0 < number <= 1000:
        remedy = f"enter for example {example}, or freeze what is not to learn"
        _refuse(run, part, f"{what} must be above 0 and 1000 or less, not {quoted(text)}; {remedy}", typed)
        return None
    return number


def _scale_rate(shared: Services, run: Run, factor: float, click: Click) -> None:
    if click.made:
        return
    # Of what was asked for last: a click on the button that was drawn since halves it once more.
    waiting = [Change.parse(command.payload) for command in shared.store.commands(run.id, waiting=True) if command.kind == CommandKind.CHANGE]
    asked = [change.learning_rate for change in waiting if change.learning_rate is not None]
    rate = (asked[-1] if asked else rate_now(shared, run)) * factor
    if not 0 < rate <= 1000:
        _refuse(run, _RATE, f"{factor:g} times the learning rate is {rate:g}; it must be above 0 and 1000 or less")
        return
    ask(shared, run, Change(rules=(f"learning_rate={rate:.6g}",)), _RATE, click)


# Multipliers


def _multiplier(shared: Services, run: Run, plan: RunPlan, state: State) -> None:
    st.markdown("**Multiplier of a block**")
    held = _factors(plan, state)
    place = f"steer_factor_{run.id}"
    row = st.container(horizontal=True, vertical_alignment="bottom")
    row.selectbox("Block", list(held), key=f"{place}_block", width=230)
    row.text_input("Multiplier", placeholder="0.1", key=place, width=110)
    row.button("Apply", key=f"{place}_apply", on_click=careful(_set_factor), args=(shared, run, place, Click()))
    _show_refusal(_FACTOR, shared, run, st.session_state[place])
    now = held.get(st.session_state[f"{place}_block"], "1")
    if run.config.optimizer in FIRST_STEP_ONLY:
        st.caption(
            f"It is {words.plain(now)} now, and scales only the first step of each weight: {words.plain(run.config.optimizer)} sizes the others."
        )
        return
    st.caption(f"The block learns at the learning rate times its multiplier, which is {words.plain(now)} now.")


def _factors(plan: RunPlan, state: State) -> dict[str, str]:
    """Block to the multipliers of its tensors, as a person reads them."""
    factor = dict(zip((layer.name for layer in plan.layers), state.factors, strict=True))
    found = {}
    for block, names in blocks(factor).items():
        distinct = sorted({factor[name] for name in names})
        found[block] = " and ".join(f"{value:g}" for value in distinct[:2]) + (" and others" if len(distinct) > 2 else "")
    return found


def _set_factor(shared: Services, run: Run, place: str, click: Click) -> None:
    block = st.session_state[f"{place}_block"]
    factor = None if click.made else _number(run, _FACTOR, st.session_state[place], f"the multiplier of {block}", "0.1")
    if factor is not None:
        ask(shared, run, Change(rules=(f"{block}={factor:.12g}",)), _FACTOR, click)
    if click.made:
        st.session_state[place] = ""


# Freezing


def _freezing(shared: Services, run: Run, plan: RunPlan, state: State) -> None:
    st.markdown("**Freeze and unfreeze**")
    presets = st.container(horizontal=True, gap="xsmall")
    for preset, about in PRESETS.items():
        presets.button(
            preset, key=f"steer_preset_{preset}_{run.id}", help=about, on_click=ask, args=(shared, run, Change(rules=(preset,)), _FREEZE, Click())
        )
    _show_refusal(_FREEZE, shared, run)
    try:
        table = layers(shared, run)
    except (ConfigError, LabError) as error:
        st.warning(f"The layer switches cannot be shown. {words.plain(words.refusal(error))}", icon=":material/info:")
        return
    frozen = frozenset(layer.name for layer, still in zip(plan.layers, state.frozen, strict=True) if still)
    waiting = [command for command in shared.store.commands(run.id, waiting=True) if command.kind == CommandKind.CHANGE]
    # Shown as asked for, so that a switch does not jump back and forth; a refusal draws this anew.
    for command in waiting:
        frozen = frozen_after(Change.parse(command.payload), frozen, table.description.parameters)
    place = f"steer_tree_{run.id}"
    freeze_tree(table, frozen, key=place, on_toggle=lambda: _toggle(shared, run, place, table, frozen))
    total = table.description.count
    still = sum(parameter.count for parameter in table.description.parameters if parameter.name in frozen)
    asked = f", once {len(waiting):,} {'request is' if len(waiting) == 1 else 'requests are'} applied" if waiting else ""
    st.caption(f"{total - still:,} of {total:,} parameters learn{asked}.")


def layers(shared: Services, run: Run) -> LayerTable:
    """The layers of a run's model. The first question to the lab takes some seconds. Raises ConfigError and LabError."""
    config, plan = run.config, run.plan
    assert plan is not None

    def look() -> LayerTable:
        return checks.layer_table(shared.lab, config.model, len(plan.classes), config.image_size, head_options(config))

    if shared.lab.ready:
        return look()
    with st.spinner("Looking at the model's layers"):
        return look()


def _toggle(shared: Services, run: Run, place: str, table: LayerTable, frozen: frozenset[str]) -> None:
    for path, freeze in toggles(place):
        change = Change(rules=(path if freeze else f"!{path}",))
        after = frozen_after(change, frozen, table.description.parameters)
        if len(after) == len(table.description.parameters):
            _refuse(run, _FREEZE, f"{path} was not frozen: {NOTHING_LEARNS}")
            continue
        frozen = after
        ask(shared, run, change, _FREEZE)


# Asking


def ask(shared: Services, run: Run, change: Change, part: str = "", click: Click | None = None) -> None:
    """Ask the run for a change; the store keeps the request, and the reason if it has ended meanwhile.

    `part` is where it is said that nothing could be asked for; '': where the change belongs.
    `click` asks once, however often it arrives; and what was asked for last and is still waiting is not asked for again by anything.
    """
    click = click or Click()
    if click.made:
        return
    forget_refusals(run)
    try:
        waiting = shared.store.commands(run.id, waiting=True)
        if waiting and (waiting[-1].kind, waiting[-1].payload) == (CommandKind.CHANGE, str(change)):
            click.made = str(change)
            return
        shared.supervisor.change(run.id, change)
        click.made = str(change)
    except (OSError, KeyError) as error:
        _refuse(run, part or part_of(change), f"nothing was asked for: {error}")


def ask_button(place: DeltaGenerator, shared: Services, run: Run, label: str, change: Change, key: str) -> None:
    """A button that asks the run for `change`."""
    about = f"Asks the run for: {words.plain(words.change(str(change)))}"
    place.button(words.plain(label), key=key, icon=":material/build:", help=about, on_click=ask, args=(shared, run, change, "", Click()))
