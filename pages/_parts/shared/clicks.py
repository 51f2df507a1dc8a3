"""A click arrives once, however busy the browser is.

A browser sends what was pressed in a task of its own after the press, and every message brings the values of all widgets along. On a busy
machine the clocks of fragments (`run_every`) are late and strike in between: their messages carry the press too, and each would play it once
more (Streamlit 1.67; six messages were seen for one click). The message of the press itself always follows, so what the clocks bring of it is
left out.
"""

from __future__ import annotations

from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession

TRIGGERS = ("trigger_value", "string_trigger_value", "chat_input_value", "json_trigger_value")
"""The kinds of values that mean something happened, not that something is so."""


def without_presses(state: ClientState) -> ClientState:
    """What a fragment's clock sends, without what was pressed meanwhile; anything else as it is."""
    if not state.is_auto_rerun or not any(widget.WhichOneof("value") in TRIGGERS for widget in state.widget_states.widgets):
        return state
    left = ClientState()
    left.CopyFrom(state)
    del left.widget_states.widgets[:]
    left.widget_states.widgets.extend(widget for widget in state.widget_states.widgets if widget.WhichOneof("value") not in TRIGGERS)
    return left


def install() -> bool:
    """Have every session of this server do so, before its first one. False where another version of Streamlit takes messages elsewhere."""
    take = getattr(AppSession, "request_rerun", None)
    if take is None:
        return False
    if not hasattr(take, "without_presses"):

        def request_rerun(self: AppSession, client_state: ClientState | None) -> None:
            take(self, without_presses(client_state) if client_state is not None else None)

        request_rerun.without_presses = True  # type: ignore[attr-defined]
        AppSession.request_rerun = request_rerun  # type: ignore[method-assign]
    return True
