"""What a person writes behind --vary: read, written back, and refused by field and value."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import ConfigError
from core.sweeps.vary import Vary, parse, parse_all


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("optimizer=SGD|AdamW", ("SGD", "AdamW")),
        ("freeze=head only|last stage|conv1, !fc", ("head only", "last stage", "conv1, !fc")),
        ("momentum=none|0.9", (None, 0.9)),
        ("seed=0..3", (0, 1, 2, 3)),
        ("batch-size=16|32", (16, 32)),
        ("fused_optimizer=true|false", (True, False)),
        ('optimizer_options={"eps": 1e-8}|{}', ({"eps": 1e-8}, {})),
        ("learning_rate=1e-4..1e-1 log in 4", (0.0001, 0.001, 0.01, 0.1)),
        ("epochs=1..10 in 2", (1, 10)),
        (r"dataset=folder:a\|b|digits", ("folder:a|b", "digits")),
        ("head_hidden=none|256", (None, 256)),
    ],
)
def test_values_are_read_and_written_back_as_they_were_meant(text: str, values: tuple[Any, ...]) -> None:
    vary = parse(text)
    assert vary.listed == values
    assert parse(str(vary)) == vary


def test_a_range_of_fractions_is_drawn_within_its_ends_and_evenly_by_logarithm() -> None:
    vary = parse("learning_rate=1e-4..1e-1 log")
    assert vary.listed is None
    drawn = [vary.drawn(random.Random(number)) for number in range(300)]
    assert all(1e-4 <= value <= 1e-1 for value in drawn)
    assert 0.25 < sum(value < 1e-3 for value in drawn) / 300 < 0.42  # a third of the logarithms


@given(low=st.floats(1e-9, 1e3), factor=st.floats(1.001, 1e6), share=st.floats(0, 1))
def test_what_is_rounded_stays_within_the_ends(low: float, factor: float, share: float) -> None:
    vary = Vary("learning_rate", (), low, low * factor)
    assert low <= vary.rounded(low + share * (low * factor - low)) <= low * factor


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("", "vary", "has no ="),
        ("lr=1", "vary", "'lr' is no field"),
        ("learning_rate=", "learning_rate", "nothing stands behind"),
        ("learning_rate=1e-1..1e-4", "learning_rate", "the first end must be the lower one"),
        ("learning_rate=0..1 log", "learning_rate", "no logarithm at 0"),
        ("learning_rate=a..1", "learning_rate", "'a' in 'a..1' is not a number"),
        ("batch_size=1.5..4", "batch_size", "not a whole number"),
        ("learning_rate=1..2 in 1", "learning_rate", "from 2 to"),
        ("optimizer=SGD||AdamW", "optimizer", "has an empty value"),
        ("optimizer=SGD|SGD", "optimizer", "twice"),
        ("loss_options={", "loss_options", "is not JSON"),
        ("learning_rate=1..nan", "learning_rate", "not a number"),
        ("x" * 100_000, "vary", "has no ="),
        ("seed=" + "|".join(map(str, range(1001))), "seed", "1,001 values"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field_and_value(text: str, field: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert refused.value.field == field
    assert said in refused.value.message
    assert len(str(refused.value)) < 2000


def test_a_field_that_varies_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="varies twice"):
        parse_all(["seed=1|2", "seed=3"])
