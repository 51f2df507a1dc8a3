"""What stands below the settings of the learning rate, the schedule and weight decay: numbers of the run that the form describes."""

from __future__ import annotations

from typing import Any

import pytest

from core.catalog import SCHEDULES
from core.config import RunConfig
from pages._parts.setup import rate_hint
from tests.pages.pages_cases import SMALL, expander, open_page, press, shown, widget


def test_the_hint_goes_by_what_learns_where_it_starts_from_and_the_pictures_an_update() -> None:
    app = open_page("train.py", setup="1", model="resnet18", image_size="64", optimizer="SGD", accumulate="4")
    assert "usual for SGD, fresh weights, 128 pictures an update: 0.01 to 0.1" in shown(app)
    widget(app, "Starting weights").set_value("pretrained").run()
    assert "usual for SGD, a head alone on weights that have learned already, 128 pictures an update: 0.04 to 0.4" in shown(app)
    widget(app, "Freeze").set_value("train everything").run()
    assert "usual for SGD, weights that have learned already and learn on, 128 pictures an update: 0.004 to 0.04" in shown(app)
    widget(app, "Starting weights").set_value("random").run()
    widget(app, "Learning rate").set_value(30.0).run()
    assert [warning.value for warning in app.warning if "The learning rate 30 is far above what is usual for SGD" in warning.value]
    press(app, "Use 0.04")
    assert widget(app, "Learning rate").value == 0.04
    assert not app.warning
    widget(app, "Optimizer").set_value("Rprop").run()
    assert "the first step of each weight; Rprop sizes the others itself" in shown(app)


def test_what_an_optimizer_keeps_is_counted_for_the_model_at_hand() -> None:
    app = open_page("train.py", setup="1", model="resnet18", image_size="64", optimizer="Adafactor", dataset="digits")
    assert "Here it keeps 0.69 values for each one that learns." in shown(app)
    widget(app, "Optimizer").set_value("SGD").run()
    assert "Here it keeps 1 value for each one that learns." in shown(app)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_can_be_chosen_and_is_said_in_numbers(schedule: str) -> None:
    app = open_page("train.py", setup="1", schedule=schedule, weight_decay="0.05", optimizer="SGD", learning_rate="0.01", **SMALL)
    assert expander(app, "More settings")
    said = shown(app)
    assert SCHEDULES[schedule].about in said.replace("\\", "")
    assert ("in step 1" in said) == (schedule != "constant")
    assert "% off in these 180 steps" in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "AdamW", "weight_decay": 0.01}, "it takes 1.8 % off"),
        ({"optimizer": "SGD", "weight_decay": 0.1}, "it takes 85 % off"),
        ({"optimizer": "SGD", "weight_decay": 0.4}, "it takes all but 0.01 % off"),
        ({"optimizer": "SGD", "weight_decay": 2.0}, "it takes all but 0.004 % off"),
        ({"optimizer": "AdamW", "weight_decay": 5.0, "learning_rate": 1.0}, "too strong: by itself it throws weights ever further from 0"),
    ],
)
def test_what_weight_decay_takes_is_said_without_powers_of_ten(settings: dict[str, Any], said: str) -> None:
    assert said in rate_hint.weight_decay(RunConfig(**{"dataset": "digits", "epochs": 5, "learning_rate": 0.01, **settings}))
