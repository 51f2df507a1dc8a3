"""The bar that starts a run: what will happen, in numbers that are right, or which field stands in its way."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import RunConfig
from core.records.telling import about_time
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import start_bar
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, open_page, shown

HEAD = 128 * 10 + 10


@pytest.fixture
def table(shared_services: Services) -> LayerTable:
    return LayerTable(shared_services.lab.describe("small_cnn", 10, 32))


def happens(table: LayerTable, images: int | None = 1150, seconds: float | None = None, **values: Any) -> str:
    return start_bar.what_will_happen(RunConfig(**SMALL, **values), table, images, seconds)


def test_steps_are_those_of_batches_accumulation_and_epochs(shared_services: Services, table: LayerTable) -> None:
    total = table.description.count
    assert shown(open_page("train.py", **SMALL, freeze="head only")).count(f"{HEAD:,} of {total:,} parameters learn, 180 steps.") == 1
    assert "180 steps." in happens(table)
    assert "45 steps." in happens(table, accumulate=4), "9 a epoch"
    assert "360 steps at most." in happens(table, epochs=10, early_stopping=2)
    assert "learn at first, 180 steps." in happens(table, timeline="2: all")
    assert happens(table, 1).endswith("5 steps.")
    assert happens(table, 33).endswith(", 5 steps."), "a last batch of a single picture is left out"
    assert happens(table, 1, epochs=1).endswith(", 1 step.")
    assert happens(table, None).endswith(", 5 epochs.")
    assert happens(table, seconds=61.0).endswith(", 180 steps, about 1 minute.")


@pytest.mark.parametrize(("seconds", "said"), [
    (0.2, "a few seconds"), (11, "about 10 s"), (52, "about 50 s"), (53, "about 1 minute"), (91, "about 2 minutes"), (61 * 60, "about 60 minutes"),
    (90 * 60, "about 1.5 hours"), (100 * 3600, "about 4 days"),
])  # fmt: skip
def test_an_estimate_is_said_no_more_exactly_than_it_is_known(seconds: float, said: str) -> None:
    assert about_time(seconds) == said


def test_each_wrong_field_is_said_with_its_label() -> None:
    assert start_bar.wrong({"batch_size": "5,000 is too many; use 8", "clip_norm": "must be above 0"}) == [
        ("batch_size", "Batch size", "5,000 is too many; use 8."), ("clip_norm", "Longest gradient", "Must be above 0."),
    ]  # fmt: skip
