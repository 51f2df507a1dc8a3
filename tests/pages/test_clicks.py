"""What a fragment's clock brings of a press is left out; the message of the press itself is taken as it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

from pages._parts.shared import clicks


def state(*, auto: bool) -> ClientState:
    sent = ClientState(query_string="run=1", fragment_id="abc", is_auto_rerun=auto)
    sent.widget_states.widgets.add(id="a text", string_value="0.1")
    sent.widget_states.widgets.add(id="a button", trigger_value=True)
    sent.widget_states.widgets.add(id="a component", json_trigger_value='[{"event":"inspect"}]')
    return sent


def test_a_clock_brings_values_along_but_no_press() -> None:
    sent = state(auto=True)
    taken = clicks.without_presses(sent)
    assert [(widget.id, widget.string_value) for widget in taken.widget_states.widgets] == [("a text", "0.1")]
    assert (taken.query_string, taken.fragment_id, taken.is_auto_rerun) == ("run=1", "abc", True)
    assert len(sent.widget_states.widgets) == 3


def test_the_press_itself_is_taken_as_it_is() -> None:
    sent = state(auto=False)
    assert clicks.without_presses(sent) is sent


def test_it_is_installed_once() -> None:
    before, draws = AppSession.request_rerun, ScriptRunner._run_script
    try:
        assert clicks.install()
        first = AppSession.request_rerun
        assert clicks.install()
        assert AppSession.request_rerun is first is not before or hasattr(before, "without_presses")
    finally:
        AppSession.request_rerun = before  # type: ignore[method-assign]
        ScriptRunner._run_script = draws  # type: ignore[method-assign]


def test_a_clock_of_a_page_that_was_left_brings_it_back_neither_from_the_browser_nor_from_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    drawn: list[str] = []
    monkeypatch.setattr(AppSession, "request_rerun", lambda self, state: taken.append(state.page_script_hash))
    monkeypatch.setattr(ScriptRunner, "_run_script", lambda self, data: drawn.append(data.page_script_hash))
    assert clicks.install()
    session = SimpleNamespace(_client_state=ClientState(page_script_hash="new"))
    runner = SimpleNamespace(_get_script_run_ctx=lambda: SimpleNamespace(page_script_hash="new"))
    for page in ("old", "new"):
        AppSession.request_rerun(session, ClientState(page_script_hash=page, fragment_id="abc", is_auto_rerun=True))  # type: ignore[arg-type]
        ScriptRunner._run_script(runner, RerunData(page_script_hash=page, fragment_id_queue=["abc"]))  # type: ignore[arg-type]
    assert taken == drawn == ["new"]
    AppSession.request_rerun(session, ClientState(page_script_hash="old"))  # type: ignore[arg-type]
    ScriptRunner._run_script(runner, RerunData(page_script_hash="old"))  # type: ignore[arg-type]
    assert taken == drawn == ["new", "old"], "somebody who goes back gets there"
    assert not clicks.comes_late("new", ["abc"], "")
