"""A dataset of one's own on the form: called as its person calls it, and proposing what was chosen for it."""

from __future__ import annotations

from core.machine.home import Home
from core.versions import write
from pages._parts.setup.model_choice import dataset_called
from pages._parts.shared import words
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, healthy, open_page, shown, widget
from tests.versions.own_cases import dataset


def test_a_dataset_is_called_as_its_person_calls_it() -> None:
    named = {"own:My pictures": "My pictures", "own:flowers@3:a1b2c3d4e5f6": "flowers, version 3", "own:digits": "digits (yours)", "digits": "digits"}
    assert {name: dataset_called(name) for name in named} == named


def test_choosing_a_dataset_proposes_the_fit_that_was_chosen_for_it(home: Home, shared_services: Services) -> None:
    made = dataset(home, "My pictures", 4)
    write(home, made.dataset, made.classes, made.items, "Padded.", made.number, fit="pad")
    dataset(home, "plain", 4)
    app = open_page("train.py", new="1", **SMALL)
    picker = widget(app, "Dataset")
    assert picker.options[:2] == ["My pictures", "plain"]
    healthy(picker.set_value("own:My pictures").run())
    assert widget(app, words.field("fit")).value == "pad"
    assert "It is what your dataset says." in shown(app)
    healthy(widget(app, "Dataset").set_value("own:plain").run())
    assert widget(app, words.field("fit")).value == "pad", "a dataset that proposes nothing changes nothing"
