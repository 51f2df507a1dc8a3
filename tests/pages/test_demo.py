"""The demo on Home: three buttons, and what came of the two that are compared, read from the store whatever else ran."""

from __future__ import annotations

import numpy as np
import pytest

from core import catalog
from core.catalog.demo import DEMO, DEMO_AT_RANDOM, DEMO_LARGE, EVERYTHING, LAST_STAGE, compared
from core.config import RunConfig
from core.model import anatomy
from core.records.events import ChangeRow, EpochRow, RunStatus, StepRow
from core.records.layers import check_timeline, frozen_parameters, multipliers_by_parameter
from core.store import RunStore
from pages._parts.shared.services import Services
from tests.pages.pages_cases import open_page, press, shown

TRAINED = (0.6, 0.7, 0.75, 0.79, 0.95, 0.96, 0.97, 0.98, 0.98, 0.979)
RANDOM = (0.2, 0.2, 0.2, 0.203, 0.4, 0.7, 0.8, 0.8, 0.95, 0.972)


def ran(store: RunStore, config: RunConfig, shares: tuple[float | None, ...], status: RunStatus = RunStatus.FINISHED) -> str:
    run_id = store.create_run(catalog.check(config))
    epochs = [EpochRow(epoch, epoch, 0.0, 1.0, 0.5, None if share is None else 1.0, share) for epoch, share in enumerate(shares, start=1)]
    steps = [StepRow(epoch, epoch, 0.0, 1.0, 0.03, 10.0, np.ones(11, np.float32)) for epoch in range(1, len(shares) + 1)]
    store.append(run_id, steps, epochs=epochs)
    if not status.active:
        store.end(run_id, status)
    return run_id


def charts(app: object) -> list[object]:
    return list(app.get("plotly_chart"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("label", "config"),
    [("Start the demo", DEMO), ("The same from random weights", DEMO_AT_RANDOM), ("The head of a resnet18 instead", DEMO_LARGE)],
)
def test_each_button_starts_its_run_and_goes_to_it(shared_services: Services, label: str, config: RunConfig) -> None:
    app = press(open_page(), label)
    (run,) = shared_services.store.runs()
    assert run.config == catalog.check(config)
    assert run.labels.name.startswith("Demo, ")
    assert app.title[0].value == run.labels.name


def test_home_says_what_the_demo_is_and_shows_no_chart_before_both_have_run(shared_services: Services) -> None:
    app = open_page()
    assert "knows the digits 0 to 4 on the digits 5 to 9" in shown(app)
    assert charts(app) == []
    ran(shared_services.store, DEMO, TRAINED)
    app = open_page()
    assert "Once it has run from random weights too" in shown(app)
    assert charts(app) == []


def test_both_curves_are_found_in_the_store_and_said_in_their_own_numbers(shared_services: Services) -> None:
    store = shared_services.store
    first, second = ran(store, DEMO, TRAINED), ran(store, DEMO_AT_RANDOM, RANDOM)
    for other in (DEMO.replace(seed=9), DEMO_LARGE):
        ran(store, other, (0.1,) * other.epochs)
    ran(store, DEMO, (0.5, 0.6), RunStatus.STOPPED)
    steered = ran(store, DEMO, (0.1,) * DEMO.epochs)
    store.append_change(steered, ChangeRow(0, 5, "live", "!stage3", 0.03, np.zeros(11, np.bool_), np.ones(11, np.float32)))
    app = open_page()
    assert len(charts(app)) == 1
    assert "79.0\u00a0% of the validation pictures are right from trained weights and 20.3\u00a0% from random ones" in shown(app)
    assert "it is 97.9\u00a0% and 97.2\u00a0%." in shown(app)
    links = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert first in links["Open the run from trained weights"]
    assert second in links["Open the run from random weights"]


def test_where_all_that_ran_was_steered_home_says_why_there_is_no_chart(shared_services: Services) -> None:
    store = shared_services.store
    why = "A run that was changed while it trained shows something else than the plan, so it is not compared."
    for config, shares in ((DEMO, TRAINED), (DEMO_AT_RANDOM, RANDOM)):
        steered = ran(store, config, shares)
        assert why not in shown(open_page()) or config is DEMO_AT_RANDOM
        store.append_change(steered, ChangeRow(0, 5, "live", "!stage3", 0.03, np.zeros(11, np.bool_), np.ones(11, np.float32)))
        app = open_page()
        assert charts(app) == []
        assert shown(app).count(why) == 1


def test_a_run_without_all_of_its_accuracies_is_not_drawn(shared_services: Services) -> None:
    ran(shared_services.store, DEMO, (*TRAINED[:-1], None))
    ran(shared_services.store, DEMO_AT_RANDOM, RANDOM)
    assert charts(open_page()) == []


def test_help_is_spoken_of_only_where_there_was_some() -> None:
    assert "gave it more than random ones" in compared(TRAINED, RANDOM)
    assert "gave it more" not in compared(RANDOM, RANDOM)
    assert "gave it more" not in compared(RANDOM, TRAINED)


def test_the_three_demos_can_be_had_as_they_are_described() -> None:
    assert {**DEMO.model_dump(), "starting_weights": "random"} == DEMO_AT_RANDOM.model_dump()
    layers = anatomy.describe("small_cnn", 5, DEMO.image_size).parameters
    check_timeline(DEMO, layers)
    frozen = frozen_parameters(DEMO.freeze, layers)
    assert {layer.name for layer in layers if layer.name not in frozen} == {"head.weight", "head.bias"}
    assert [(change.at, change.unit) for change in DEMO.timeline.changes] == [(LAST_STAGE, "epoch"), (EVERYTHING, "epoch")]
    assert {layer.name for layer in layers if layer.role == "last stage"} == {layer.name for layer in layers if layer.name.startswith("stage3.")}
    rates = multipliers_by_parameter(DEMO.learning_rate_multipliers, layers)
    assert {rates[layer.name] for layer in layers if layer.role in ("stem", "body")} == {0.1}
    assert {rates[layer.name] for layer in layers if layer.role in ("last stage", "head")} == {1.0}
    large = DEMO_LARGE
    assert (large.model, large.dataset, large.starting_weights, str(large.freeze), large.timeline.changes) == (
        "resnet18", "digits", "random", "head only", (),
    )  # fmt: skip
    for config in (DEMO, DEMO_AT_RANDOM, DEMO_LARGE):
        assert catalog.check(config)
