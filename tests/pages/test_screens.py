"""What screens say of what is long or too much, without a browser."""

from __future__ import annotations

import pytest

from core.networks import MOST_LAYERS
from pages._parts.evaluate.words import short
from pages._parts.shared.services import Services
from tests.pages.pages_cases import errors, open_page


@pytest.mark.parametrize(("count", "usable"), [(MOST_LAYERS, True), (MOST_LAYERS + 1, False), (1000, False)])
def test_a_network_of_too_many_layers_is_shown_and_said_to_be_one(shared_services: Services, count: int, usable: bool) -> None:
    app = open_page("build.py", network="far: " + ", ".join(["conv 8"] * count))
    assert f"more than the {MOST_LAYERS} that a network may have" in errors(app) or usable
    (save,) = [button for button in app.button if button.label == "Save"]
    assert save.disabled != usable


def test_a_long_name_keeps_both_ends_and_the_length_that_is_asked_for() -> None:
    assert short("abcdefghij", 10) == "abcdefghij"
    assert short("abcdefghijklmnop", 9) == "abcd…mnop", "as `short` of elements.js in test_browser_modules_evaluate.py"
    assert len(short("W" * 300, 32)) == 32
    assert short("left side of it right", 12) == "left s…right", "no space beside the mark"
