"""What a fragment's clock brings along is left out; what somebody has pressed or chosen is taken as it is, and what a callback sets stays."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests, ScriptRequestType

from pages._parts.shared import clicks

PARTS = (AppSession, "request_rerun"), (ScriptRequests, "_request_rerun_locked"), (ScriptRunner, "_run_script")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = [getattr(kind, name) for kind, name in PARTS]
    yield
    for (kind, name), value in zip(PARTS, before, strict=True):
        setattr(kind, name, value)


def states(text: str, *, pressed: bool = False) -> WidgetStates:
    sent = WidgetStates()
    sent.widgets.add(id="a model", string_value=text)
    if pressed:
        sent.widgets.add(id="a button", trigger_value=True)
    return sent


def clock(text: str, *, pressed: bool = False) -> RerunData:
    return RerunData(widget_states=states(text, pressed=pressed), fragment_id="clock", is_auto_rerun=True)


def asked(requests: ScriptRequests) -> tuple[dict[str, object], list[str]]:
    """What the next drawing is told of the widgets, and which fragments it draws."""
    request = requests.on_scriptrunner_ready()
    assert request.type is ScriptRequestType.RERUN
    told = request.rerun_data.widget_states
    assert told is not None, "presses of before would not be forgotten"
    return {widget.id: widget.string_value or widget.trigger_value for widget in told.widgets}, request.rerun_data.fragment_id_queue


def test_a_clock_says_nothing_of_any_widget() -> None:
    assert clicks.install()
    requests = ScriptRequests()
    assert requests.request_rerun(clock("the old one", pressed=True))
    assert asked(requests) == ({}, ["clock"])
    assert requests.request_rerun(clock("the old one"))
    assert requests.request_rerun(clock("the old one"))
    assert asked(requests) == ({}, ["clock"])


def test_the_press_itself_is_taken_as_it_is_whatever_clocks_strike_before_and_after() -> None:
    assert clicks.install()
    requests = ScriptRequests()
    for data in (clock("the old one"), RerunData(widget_states=states("chosen", pressed=True)), clock("the old one"), clock("the old one")):
        assert requests.request_rerun(data)
    assert asked(requests) == ({"a model": "chosen", "a button": True}, [])


def test_what_was_chosen_in_a_fragment_waits_for_its_turn_with_the_clock_that_struck_after() -> None:
    assert clicks.install()
    requests = ScriptRequests()
    assert requests.request_rerun(RerunData(widget_states=states("chosen"), fragment_id="form"))
    assert requests.request_rerun(clock("the old one"))
    assert asked(requests) == ({"a model": "chosen"}, ["form", "clock"])


def test_it_is_installed_once() -> None:
    assert clicks.install()
    first = [getattr(kind, name) for kind, name in PARTS]
    assert clicks.install()
    assert [getattr(kind, name) for kind, name in PARTS] == first


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_another_streamlit_is_left_as_it_is(kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(kind, name)
    assert not clicks.install()


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
