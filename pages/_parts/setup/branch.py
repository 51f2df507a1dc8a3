"""The form as that of a branch: filled with what its parent has, and what a branch cannot change is refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.config import ConfigError, RunConfig
from core.records.forks import Fork, begins
from core.store import Run, UnreadableRun
from core.worker import forking
from pages._parts.shared import draft, naming, words
from pages._parts.shared.services import Services

_OPENED = "setup_branch_opened"


@dataclass(frozen=True)
class Begun:
    """A branch that is being set up: of `run`, asked for from `step` on, with its settings as they stand at the checkpoint."""

    run: Run
    step: int
    before: RunConfig
    fork: Fork


def begin(shared: Services, run: Run, step: int) -> None:
    """Have the form show a branch of `run` from `step` on. For callbacks."""
    try:
        planned = forking.plan(shared.home, shared.store, run.id, step, {}, whole=False)
    except ConfigError as error:
        st.toast(words.plain(words.refusal(error)), icon=":material/error:", duration="long")
        return
    before = forking.standing(run.config, shared.store.changes_after(run.id), planned.point.step)
    draft.set_up(before, before=before)
    st.session_state[_OPENED] = f"{run.id}@{step}"
    st.query_params.from_dict({draft.SET_UP: "1", draft.BRANCH: f"{run.id}@{step}"})


def in_url() -> dict[str, str]:
    """What of it stays in the address while the form is shown."""
    asked = st.query_params.get(draft.BRANCH)
    return {draft.BRANCH: asked} if asked else {}


def open_link(shared: Services) -> None:
    """Fill the form with the parent's settings where a link names a branch and no setting. Before any widget is drawn."""
    asked = st.query_params.get(draft.BRANCH)
    if asked is None or st.session_state.get(_OPENED) == asked:
        return
    st.session_state[_OPENED] = asked
    if RunConfig.model_fields.keys().isdisjoint(st.query_params):
        with suppress(ConfigError, UnreadableRun, KeyError):  # said by `of_draft`
            draft.fill(_begun(shared, asked).before)


def of_draft(shared: Services) -> Begun | None:
    """The branch that the address asks for; None for a run of its own. What cannot be had is said, and forgotten."""
    asked = st.query_params.get(draft.BRANCH)
    if asked is None:
        return None
    try:
        return _begun(shared, asked)
    except (ConfigError, UnreadableRun) as error:
        st.warning(words.plain(f"Nothing is branched off: {error.message}"), icon=":material/link_off:")
    except KeyError:
        st.warning("Nothing is branched off: the run is not there any more. What the form has starts a run of its own.", icon=":material/link_off:")
    return None


def _begun(shared: Services, asked: str) -> Begun:
    found = re.fullmatch(r"([\w-]{1,60})@(\d{1,12})", asked)
    if found is None:
        raise ConfigError("fork", "the address does not name a run and a step; it would look like fork=RUN@120")
    run = shared.store.run(found[1])
    planned = forking.plan(shared.home, shared.store, run.id, int(found[2]), {}, whole=False)
    before = forking.standing(run.config, shared.store.changes_after(run.id), planned.point.step)
    return Begun(run, int(found[2]), before, planned.fork)


def of_what(begun: Begun) -> str:
    """Of what it is a branch, not made plain."""
    return f"Fork from step {begun.fork.step:,} of {naming.called(begun.run)}"


def refusals(begun: Begun | None, config: RunConfig | None) -> dict[str, str]:
    """What a branch cannot change and the draft has otherwise, by field, with the reason; nothing for a run of its own."""
    other = [] if begun is None else _other(begun, draft.values() if config is None else config.model_dump())
    return {field: f"it cannot be another in a branch: {reason}" for field in other if (reason := forking.refused(field)) is not None}


def show(begun: Begun, config: RunConfig | None) -> None:
    """What the branch changes of its parent, and the way back to a run of its own."""
    other = _other(begun, draft.values() if config is None else config.model_dump())
    wrong = refusals(begun, config)
    changed = [words.field(field) for field in other if field not in wrong]
    with st.container(border=True, key="branch_of"):
        told = f"The branch begins {begins(begun.fork)}, with the weights and the optimizer that {begun.run.id} had there, and gets the same batches."
        st.markdown(words.plain(told))
        does = (
            f"From step {begun.fork.step + 1:,} on it changes: {', '.join(changed)}." if changed else "Nothing is changed yet: it would do the same."
        )
        st.caption(words.plain(does) + (f" {_anew(other)}" if _anew(other) else ""))
        names = ", ".join(words.field(field) for field in forking.CHANGEABLE)
        st.caption(words.plain(f"A branch can change {names}; everything else is as in its parent, and cannot be touched below."))
        row = st.container(horizontal=True)
        pressed = row.button("Set up a run of its own instead", icon=":material/call_split:", key="branch_drop", on_click=_drop)
        if wrong:
            about = "Puts the settings back that a branch cannot change."
            args = ({field: getattr(begun.before, field) for field in wrong},)
            undo = ":material/undo:"
            pressed |= row.button("Put back what it cannot change", icon=undo, key="branch_put_back", help=about, on_click=_put_back, args=args)
        if pressed:  # the whole page is another one, also where this is a fragment's
            st.rerun()


def cannot_change(field: str) -> bool:
    """Whether a field of the form stays as the parent has it."""
    return forking.refused(field) is not None


def start(shared: Services, begun: Begun) -> str:
    """Start the branch that the form describes; returns its id. Raises ConfigError, StoreError and OSError as `Supervisor.branch_off`."""
    given = RunConfig(**draft.values())
    values = {field: getattr(given, field) for field in _other(begun, given.model_dump())}
    return shared.supervisor.branch_off(forking.plan(shared.home, shared.store, begun.run.id, begun.step, values))


def _other(begun: Begun, given: Mapping[str, Any]) -> list[str]:
    """The fields that the form has otherwise than the parent."""
    before = begun.before.model_dump()
    return [field for field in RunConfig.model_fields if field in given and given[field] != before[field]]


def _anew(fields: list[str]) -> str:
    said = []
    if not set(fields).isdisjoint(forking.OPTIMIZER):
        said.append("The optimizer begins anew, without what the parent's had gathered for each weight.")
    if not set(fields).isdisjoint(forking.DATA):
        said.append("With other pictures or batches it begins with a whole epoch of its own.")
    return " ".join(said)


def _drop() -> None:
    del st.query_params[draft.BRANCH]


def _put_back(values: Mapping[str, Any]) -> None:
    draft.put(**values)
