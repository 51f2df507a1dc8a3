"""Numbers in sentences."""

from __future__ import annotations

import pytest

from core.catalog.rate_advice import rate_advice
from core.config import RunConfig
from core.records.telling import digits


@pytest.mark.parametrize(
    ("value", "most", "said"),
    [
        (99.7, 2, "100"), (100.0, 1, "100"), (12.34, 1, "10"), (1499.0, 2, "1,500"), (0.000314, 1, "0.0003"), (0.0123, 2, "0.012"), (0.0, 2, "0"),
        (-99.7, 2, "-100"), (3e-7, 1, "3e-07"), (2.5e9, 2, "2.5e+09"),
    ],
)  # fmt: skip
def test_a_number_is_written_out_where_a_person_would(value: float, most: int, said: str) -> None:
    assert digits(value, most) == said


def test_usual_learning_rates_of_ten_are_no_power_of_ten() -> None:
    advice = rate_advice(RunConfig(optimizer="Adadelta", starting_weights="pretrained", freeze="head only"))
    assert advice is not None
    assert advice.text.endswith("32 pictures an update: 1 to 10")
