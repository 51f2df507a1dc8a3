"""A click arrives once, however busy the browser is.

A browser sends what was pressed in a task of its own after the press, and every message brings the values of all widgets along. On a busy
machine the clocks of fragments (`run_every`) are late and strike in between: their messages carry the press too, and each would play it once
more (Streamlit 1.67; six messages were seen for one click). The message of the press itself always follows, so what the clocks bring of it is
left out.

Nor does a clock bring a page back. Where a press leads to another page, a clock of the page before may strike before the browser knows: Streamlit
would draw its fragment once the new page is drawn, as part of the old page, and the browser throw the new one away. It would stay empty.
"""

from __future__ import annotations

from collections.abc import Collection

from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

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


def comes_late(page: str, fragments: Collection[str], shown: str) -> bool:
    """Whether it is only `fragments` of `page` that are to be drawn, while the session shows another page by now. Empty `shown`: none yet."""
    return bool(fragments and shown and page != shown)


def install() -> bool:
    """Have every session of this server do so, before its first one. False where another version of Streamlit takes messages elsewhere."""
    take, draw = getattr(AppSession, "request_rerun", None), getattr(ScriptRunner, "_run_script", None)
    if take is None or draw is None:
        return False
    if not hasattr(take, "without_presses"):

        def request_rerun(self: AppSession, client_state: ClientState | None) -> None:
            if client_state is not None:
                client_state = without_presses(client_state)
                shown = self._client_state.page_script_hash  # of the last page that was drawn to its end
                if client_state.is_auto_rerun and comes_late(client_state.page_script_hash, client_state.fragment_id, shown):
                    return
            take(self, client_state)

        def run_script(self: ScriptRunner, rerun_data: RerunData) -> None:
            if not comes_late(rerun_data.page_script_hash, rerun_data.fragment_id_queue, self._get_script_run_ctx().page_script_hash):
                draw(self, rerun_data)

        request_rerun.without_presses = True  # type: ignore[attr-defined]
        AppSession.request_rerun = request_rerun  # type: ignore[method-assign]
        ScriptRunner._run_script = run_script  # type: ignore[method-assign]
    return True
