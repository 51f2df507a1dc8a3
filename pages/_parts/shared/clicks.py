"""A click arrives once, and what it has set stays set, however busy the browser is.

Every message of a browser brings the values of all its widgets along, those of the clocks of fragments (`run_every`) too, though nobody has
touched anything when a clock strikes (Streamlit 1.67). On a busy machine that goes wrong in two ways:

- What was pressed is sent in a task of its own after the press. Clocks that are late strike in between: their messages carry the press too, and
  each would play it once more (six messages were seen for one click).
- What a callback sets reaches the browser once the page is drawn. A clock that strikes before brings the value of before, and Streamlit would take
  it for a person's choice: the form has the old model again, and the browser goes on showing the new one.

So the clocks' values are left out: whoever changes something sends a message of its own, which always follows.

Nor does a clock bring a page back. Where a press leads to another page, a clock of the page before may strike before the browser knows: Streamlit
would draw its fragment once the new page is drawn, as part of the old page, and the browser throw the new one away. It would stay empty.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests, ScriptRequestType


def without_values(data: RerunData, pending: bool) -> RerunData:
    """What a fragment's clock asks for, without the values that it brings along; what anybody else asks for as it is.

    Args:
        pending: another request waits, with which this one becomes one: its values hold. Without, nothing is said about any widget.
    """
    if not data.is_auto_rerun:
        return data
    return replace(data, widget_states=None if pending else WidgetStates())


def comes_late(page: str, fragments: Collection[str], shown: str) -> bool:
    """Whether it is only `fragments` of `page` that are to be drawn, while the session shows another page by now. Empty `shown`: none yet."""
    return bool(fragments and shown and page != shown)


def install() -> bool:
    """Have every session of this server do so, before its first one. False where another version of Streamlit takes messages elsewhere."""
    take, draw = getattr(AppSession, "request_rerun", None), getattr(ScriptRunner, "_run_script", None)
    fold = getattr(ScriptRequests, "_request_rerun_locked", None)
    if take is None or draw is None or fold is None:
        return False
    if not hasattr(take, "of_clocks"):

        def request_rerun(self: AppSession, client_state: ClientState | None) -> None:
            if client_state is not None and client_state.is_auto_rerun:
                shown = self._client_state.page_script_hash  # of the last page that was drawn to its end
                if comes_late(client_state.page_script_hash, client_state.fragment_id, shown):
                    return
            take(self, client_state)

        def request_rerun_locked(self: ScriptRequests, new_data: RerunData) -> bool:
            folded: bool = fold(self, without_values(new_data, self._state is ScriptRequestType.RERUN))
            return folded

        def run_script(self: ScriptRunner, rerun_data: RerunData) -> None:
            if not comes_late(rerun_data.page_script_hash, rerun_data.fragment_id_queue, self._get_script_run_ctx().page_script_hash):
                draw(self, rerun_data)

        request_rerun.of_clocks = True  # type: ignore[attr-defined]
        AppSession.request_rerun = request_rerun  # type: ignore[method-assign]
        ScriptRequests._request_rerun_locked = request_rerun_locked  # type: ignore[method-assign]
        ScriptRunner._run_script = run_script  # type: ignore[method-assign]
    return True
