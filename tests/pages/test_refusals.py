"""Why a press was refused stands there until it was read: a page that draws itself anew in the same moment took it away."""

import pytest
from streamlit.testing.v1 import AppTest

from pages._parts.shared import refusals


def page() -> None:
    """A press that is refused, and a part below that draws the page anew right after it."""
    import streamlit as st

    from pages._parts.shared import refusals

    path = st.text_input("Path", key="path")
    if st.button("Use it", key="use"):
        refusals.note("refused", f"{path} is nowhere", of=path)
        st.session_state["came"] = True  # as if an evaluation had come to its end
    if st.button("Start", key="start"):
        refusals.note("not_started", "No room")
        st.session_state["came"] = True
    for why in (refusals.noted("refused", of=path), refusals.noted("not_started")):
        if why:
            st.error(why)
    if st.session_state.pop("came", False):
        st.rerun()


def said(app: AppTest) -> list[str]:
    assert not app.exception
    return [each.value for each in app.error]


def test_a_refusal_is_said_though_the_page_is_drawn_anew_in_the_same_moment() -> None:
    app = AppTest.from_function(page).run()
    app.text_input(key="path").set_value("here")
    app.button(key="use").click().run()
    assert said(app) == ["here is nowhere"]
    assert said(app.run()) == ["here is nowhere"]
    assert said(app.text_input(key="path").set_value("there").run()) == []
    assert said(app.text_input(key="path").set_value("here").run()) == []


def test_one_of_nothing_in_particular_is_said_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(refusals, "monotonic", lambda: now)
    app = AppTest.from_function(page).run()
    app.button(key="start").click().run()
    assert said(app) == ["No room"]
    now += refusals.LONGEST
    assert said(app.run()) == ["No room"]
    now += 0.1
    assert said(app.run()) == []


def test_the_next_press_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, object] = {}
    monkeypatch.setattr("streamlit.session_state", state)
    refusals.note("start", "No room")
    assert refusals.noted("start") == "No room"
    refusals.forget("start")
    assert refusals.noted("start") is None
    refusals.forget("start")
