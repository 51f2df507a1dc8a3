"""The learning-rate finder on the form, by AppTest: asked for, cancelled, taken with a press, put back, and what it says where there is no rate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.lab.rates import Trial
from core.records.evaluation import Work
from core.records.rate_curve import RateCurve
from pages._parts.setup import rate_finder
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, healthy, open_page, opened, press, shown, widget

RATES = (1e-4, 1e-3, 1e-2)
CURVE = RateCurve(RATES, (2.3, 1.0, None), (2.3, 1.0, None), 0.00048, "the loss falls fastest at 0.00048", model=("ab" * 32, "ab" * 32))


class Told:
    """In place of the desk: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.trial: Trial | None = None
        self.begun: list[RunConfig] = []

    def begin(self, config: RunConfig) -> None:
        self.begun.append(config)
        self.trial = Trial(Work("working", 0.25, "step 25 of 100, learning rate 0.001"))

    def state(self, config: RunConfig) -> Trial | None:
        return self.trial

    def cancel(self, config: RunConfig) -> None:
        self.trial = None


@pytest.fixture
def told(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(shared_services.lab, "rates", told, raising=False)
    return told


def box(**query: str) -> AppTest:
    return opened(open_page("train.py", new="1", **SMALL, **query), "rate_finder")


def test_a_rate_is_found_taken_and_put_back(told: Told) -> None:
    app = press(box(), "Try rising rates")
    assert [config.model for config in told.begun] == ["small_cnn"]
    assert [button.label for button in app.button if button.label == "Cancel"]
    told.trial = Trial(Work("done", 1.0), CURVE)
    app = healthy(app.run())
    assert "The loss falls fastest at 0.00048." in shown(app).replace("\\", "")
    assert "the same bits before and after" in shown(app)
    app = press(app, "Use 0.00048")
    assert widget(app, "Learning rate").value == 0.00048
    app = press(app, "Put 0.001 back")
    assert widget(app, "Learning rate").value == 0.001
    assert not [button for button in app.button if button.label.startswith("Put ")]


def test_what_is_offered_is_part_of_the_page_so_that_a_press_draws_the_form_anew(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    by_themselves: list[object] = []
    monkeypatch.setattr(rate_finder, "alone", lambda part, *arguments, every: by_themselves.append(every))
    told.trial = Trial(Work("working", 0.25, "step 25 of 100"))
    box()
    assert set(by_themselves) == {rate_finder.TICK}
    by_themselves.clear()
    told.trial = Trial(Work("done", 1.0), CURVE)
    press(box(), "Use 0.00048")
    assert by_themselves == []


def test_one_that_goes_on_is_shown_after_a_refresh_and_can_be_cancelled(told: Told) -> None:
    told.trial = Trial(Work("working", 0.25, "step 25 of 100, learning rate 0.001"))
    app = open_page("train.py", new="1", **SMALL)
    app = press(app, "Cancel")
    assert [button.label for button in app.button if button.label == "Try rising rates"]


def test_where_there_is_no_rate_it_says_why(told: Told) -> None:
    told.trial = Trial(Work("done", 1.0), replace(CURVE, suggestion=None, reason="the loss never falls between 1e-07 and <b>1</b>"))
    app = box()
    assert "No rate can be told from this: the loss never falls" in shown(app)
    assert not [button for button in app.button if button.label.startswith("Use 0")]
    told.trial = Trial(Work("failed", message='folder "<b>x</b>" is gone'))
    app = box()
    assert "is gone" in errors(app)
    press(app, "Try again")
    assert told.begun


def test_without_settings_that_can_be_used_it_waits(told: Told) -> None:
    app = box(epochs="0")
    assert [info for info in app.info if "once the settings of this form can be used" in info.value]
    app = box(optimizer="Rprop")
    assert [info for info in app.info if "sizes the others itself" in info.value]
