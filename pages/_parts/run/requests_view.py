"""What was asked of a run while it trained, what came of it, and the button that takes a change back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.records.events import ChangeRow, Command, CommandKind
from core.store import Run
from pages._parts.run import steering_view
from pages._parts.run.run_state import goal_without, made, state_now, towards
from pages._parts.shared import words
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

SHOWN = 3
"""How many requests are shown without a click: the newest."""


@dataclass(frozen=True)
class Steered:
    """What the page shows of a run's steering: to be drawn anew once it is not so any more."""

    changes: int
    answers: int


def steered(shared: Services, run: Run) -> Steered:
    """How many changes were made so far, and how many requests were answered."""
    answered = [command for command in shared.store.commands(run.id) if command.applied_at_step is not None or command.error]
    return Steered(len(shared.store.changes_after(run.id)), len(answered))


def show(shared: Services, run: Run) -> bool:
    """What was asked of the run and what came of it, newest first. False where nothing was asked, and nothing is drawn."""
    commands = shared.store.commands(run.id)
    if not commands:
        return False
    changes = shared.store.changes_after(run.id)
    places = made(commands, changes)
    with st.container(key="requests", gap=None):
        for command in commands[: -SHOWN - 1 : -1]:
            _request(shared, run, command, changes, places.get(command.id))
        earlier = commands[:-SHOWN][::-1]
        if earlier:
            box = st.expander(f"{len(earlier):,} earlier", key=f"earlier_requests_{run.id}", type="compact", on_change="rerun")
            if box.open:
                with box:
                    for command in earlier:
                        _request(shared, run, command, changes, places.get(command.id))
    return True


def in_a_line(command: Command) -> str:
    """A request and what came of it, in Markdown."""
    icon, answer = _answer(command)
    return f"{icon} **{words.plain(_what(command))}** · requested at step {command.requested_at_step:,} · {answer}"


def _request(shared: Services, run: Run, command: Command, changes: Sequence[ChangeRow], place: int | None) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.caption(in_a_line(command), width="content")
    if place is None or not run.status.active or run.plan is None:
        return
    if goal_without(run.plan, changes, place) is None:
        row.caption("· taken back, or changed again since", width="content")
        return
    row.button(
        "Undo",
        key=f"undo_{command.id}",
        type="tertiary",
        icon=":material/undo:",
        help="Asks for the opposite: what this changed goes back to what it was.",
        on_click=careful(_take_back),
        args=(shared, run, place, Click()),
    )


def _take_back(shared: Services, run: Run, place: int, click: Click) -> None:
    changes = shared.store.changes_after(run.id)
    assert run.plan is not None
    goal = goal_without(run.plan, changes, place)
    if goal is not None:
        rate = steering_view.rate_before_change(shared, run, changes, place)
        steering_view.ask(shared, run, towards(run.plan, state_now(run.plan, changes), goal, rate), click=click)


def _answer(command: Command) -> tuple[str, str]:
    """An icon, and in Markdown what came of a request."""
    if command.error:
        reason = steering_view.in_screen_words(command.error) if command.kind == CommandKind.CHANGE else command.error
        return ":material/block:", words.plain(f"refused: {reason}")
    if command.applied_at_step is None:
        return ":material/schedule:", "waiting for the step at hand"
    return ":material/check_circle:", f"applied after step {command.applied_at_step:,}"


def _what(command: Command) -> str:
    match command.kind:
        case CommandKind.CHANGE:
            return words.change(command.payload)
        case CommandKind.INSPECT:
            return f"histograms of {command.payload}"
        case CommandKind.STOP:
            return "stop and save"
        case CommandKind.RESUME:
            return "go on"
        case CommandKind.PROFILE:
            return "a profile of a few steps"
        case _:
            return str(command.kind)
