"""What the lab works out for seconds: asked for, waited for with a bar, and shown once it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import streamlit as st

from core.config import ConfigError
from core.helpers.helper import LabError
from core.records.evaluation import Evaluation, Work
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 0.4
"""Seconds between looks while something is being worked out."""

Found = TypeVar("Found", covariant=True)


class Ask(Protocol[Found]):
    """A question that may take seconds. It answers at once with how far it is; `retry` has what failed tried again."""

    def __call__(self, *, retry: bool = False) -> tuple[Work, Found | None]: ...


def evaluation(shared: Services, run_id: str, epoch: int | None, whose: str = "the test set") -> Evaluation | None:
    """The test set through the weights of an epoch; None while it is worked out or where it cannot be: the screen says so."""
    return awaited(
        lambda retry=False: shared.lab.evaluation(run_id, epoch, retry), f"Running {whose} through the model", f"evaluation_{run_id}_{epoch}"
    )


def awaited(ask: Ask[Found], doing: str, key: str, cancel: Callable[[], None] | None = None) -> Found | None:
    """The answer to a question that may take seconds, or None, with what goes on shown in its place. The page is drawn anew once it is there.

    Args:
        cancel: the callback of a button that gives it up; None: there is no such button.
    """
    work, found = asked(ask)
    if work.state == "done" and found is not None:
        return found
    waiting = work.state == "working"
    alone(_waiting, ask, doing, key, waiting, cancel, every=TICK if waiting else None)
    return None


def asked(ask: Ask[Found], retry: bool = False) -> tuple[Work, Found | None]:
    """The answer as it stands. What was refused is work that failed."""
    try:
        return ask(retry=retry)
    except ConfigError as error:
        return Work("failed", message=f"{words.field(error.field)}: {error.message}"), None
    except LabError as error:
        return Work("failed", message=str(error)), None


def _waiting(ask: Ask[object], doing: str, key: str, waiting: bool, cancel: Callable[[], None] | None = None) -> None:
    work, _ = asked(ask)
    if (work.state == "working") != waiting:
        st.rerun(scope="app")  # with a timer from now on, or without one
    match work.state:
        case "working":
            share = min(1.0, max(0.0, work.share or 0.0))
            known = f" · {100 * share:.0f}\u00a0%" if work.share is not None else ""
            message = work.message or doing
            if work.share is None and work.message:
                message = f"{doing}: {work.message}"
            st.progress(share, text=f"{words.plain(message[:1].upper() + message[1:])}{known}")
            if cancel is not None and st.button("Cancel", key=f"cancel_{key}", icon=":material/close:"):
                cancel()
                st.rerun(scope="app")
        case "failed":
            st.error(
                words.plain(work.message or "It did not work out, and nothing says why."), title=f"{doing}: this failed", icon=":material/error:"
            )
            st.button("Try again", key=f"again_{key}", icon=":material/replay:", on_click=_again, args=(ask,))
        case _:
            st.rerun(scope="app")


def _again(ask: Ask[object]) -> None:
    asked(ask, retry=True)
