"""The page of one run, by AppTest: what stands above what, in every state that a run can be in. Pixels are in `test_browser_sight.py`."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.ranks import joining, signs
from core.ranks.joining import Machines
from core.records.events import EpochRow, Layer, RunPlan, RunResult, RunStatus, StepRow
from core.records.findings import Diagnosis, Finding, Remedy
from core.records.summaries import Summarizer
from core.worker.supervisor import this_process
from pages._parts.run import drawer_view
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, figures, healthy, open_page, opened, press, shown

CHARTS = "bidi_component thaw_live_chart"


def order(app: AppTest) -> list[str]:
    """What is drawn, from the top: the kind of each element, with its label or text."""

    def texts(node: Any) -> list[str]:
        inside = [text for child in getattr(node, "children", {}).values() for text in texts(child)]
        match node.type:
            case "popover":
                label = node.proto.popover.label
            case "bidi_component":
                label = node.proto.component_name.rpartition(".")[2]
            case _:
                label = getattr(node, "label", "")
        return [f"{node.type} {label or getattr(node, 'value', '')}", *inside]

    return texts(app.main)


def at(drawn: list[str], words: str) -> int:
    found = [place for place, text in enumerate(drawn) if words in text]
    assert found, f"{words!r} is not drawn: {drawn}"
    return found[0]


def begun(shared: Services, steps: int = 1, loss: float = 1.0, **changes: Any) -> str:
    """A run that goes on, with this many steps."""
    config = RunConfig(**{**SMALL, "image_size": 32, "epochs": 3, **changes})
    run_id = shared.store.create_run(config, this_process())
    layers = (Layer("head.weight", (10, 128), 1280, False), Layer("stage1.0.weight", (32, 3, 3, 3), 864, True))
    shared.store.begin(run_id, RunPlan(layers, 36, 108, tuple("0123456789"), 1150, 288, 359, "cpu"))
    rows = [StepRow(step, 1, step / 10, loss, 0.001, 100.0, np.ones(2, np.float32), None, None) for step in range(1, steps + 1)]
    if rows:
        shared.store.append(run_id, rows, Summarizer().add(rows), steps / 10)
    return run_id


def found(shared: Services, run_id: str, *rules: str) -> None:
    findings = tuple(Finding(rule, "warning", "A title", "A cause.", "Never.", "loss", 1, 1, (), Remedy("Do."), 1) for rule in rules)
    shared.store.set_findings(run_id, Diagnosis(1, False, rules or ("plateau",), findings))


RESULT = RunResult(1, 1, 0.5, 0.8, 0.4, 0.9, 0.3, 0.912, 2.0, 575.0, None)


def test_the_page_goes_from_where_it_is_over_the_curves_to_what_explains_them(shared_services: Services) -> None:
    run_id = begun(shared_services)
    found(shared_services, run_id, "plateau", "small batch")
    drawn = order(open_page("train.py", run=run_id))
    wanted = (
        "digits with small_cnn", "Change it while it trains", "Evaluate this run", "Running", "Pause", "Stop and save", "progress",
        "Findings: 2 warnings",
        "Plateau", "Small batch", CHARTS, "Freeze audit", "Where a step's time goes", "Freeze: train everything", "Settings of this run",
        "Show the PyTorch",
    )  # fmt: skip
    places = [at(drawn, each) for each in wanted]
    assert places == sorted(places), dict(zip(wanted, places, strict=True))


def test_results_take_the_place_of_the_progress_bar(shared_services: Services) -> None:
    run_id = begun(shared_services)
    before = order(open_page("train.py", run=run_id))
    assert not any("metric" in each for each in before)
    shared_services.store.append_epoch(run_id, EpochRow(1, 36, 1.0, 0.5, 0.8, 0.4, 0.9))
    app = open_page("train.py", run=run_id)
    (progress,) = app.get("progress")
    assert "accuracy after epoch 1: training 80.0\N{NO-BREAK SPACE}%, validation 90.0\N{NO-BREAK SPACE}%" in progress.proto.text
    shared_services.store.end(run_id, RunStatus.FINISHED, RESULT)
    app = open_page("train.py", run=run_id)
    drawn = order(app)
    assert not app.get("progress")
    assert at(drawn, "Finished") < at(drawn, "Test accuracy") < at(drawn, CHARTS)
    assert figures(app)["Validation accuracy"] == "90.0\N{NO-BREAK SPACE}%"
    assert "Change it while it trains" not in " ".join(drawn)


def test_a_run_of_one_step_has_its_charts_while_it_goes_on_and_afterwards(shared_services: Services) -> None:
    run_id = begun(shared_services, epochs=1)
    assert "step 1 of 108" in shown(open_page("train.py", run=run_id))
    shared_services.store.end(run_id, RunStatus.FINISHED, RESULT)
    app = open_page("train.py", run=run_id)
    at(order(app), CHARTS)
    assert "1 steps" not in shown(app)
    assert "1 step in" in shown(app)


def test_a_run_that_failed_before_its_first_step_says_why_first_and_draws_no_charts(shared_services: Services) -> None:
    run_id = shared_services.store.create_run(RunConfig(**SMALL, batch_size=5000), this_process())
    shared_services.store.end(run_id, RunStatus.FAILED, error="batch_size: 5,000 is more than there are\nTraceback: here")
    app = open_page("train.py", run=run_id)
    drawn = order(app)
    assert "Batch size: 5,000 is more than there are" in errors(app)
    assert at(drawn, "Failed") < at(drawn, "error Batch") < at(drawn, "Use these settings again") < at(drawn, "Settings of this run")
    assert not any(CHARTS in each for each in drawn[: at(drawn, "Settings of this run")])
    assert not any("Findings" in each for each in drawn)


def test_the_reason_of_a_run_that_failed_later_stands_above_its_charts(shared_services: Services) -> None:
    run_id = begun(shared_services, 5)
    shared_services.store.end(run_id, RunStatus.FAILED, error="MemoryError: too much")
    drawn = order(open_page("train.py", run=run_id))
    assert at(drawn, "Failed") < at(drawn, "MemoryError") < at(drawn, CHARTS)


def test_a_run_whose_loss_is_no_number_is_shown_to_its_end(shared_services: Services) -> None:
    run_id = begun(shared_services, 3, loss=math.nan)
    found(shared_services, run_id, "not finite")
    shared_services.store.append_epoch(run_id, EpochRow(1, 36, 1.0, math.nan, 0.1, math.nan, 0.1))
    app = open_page("train.py", run=run_id)
    at(order(app), "Not finite")
    shared_services.store.end(run_id, RunStatus.FINISHED, RunResult(1, 3, math.nan, 0.1, math.nan, 0.1, math.nan, 0.1, 2.0, 575.0, None))
    app = open_page("train.py", run=run_id)
    assert figures(app)["Test loss"] == "not measured"
    at(order(app), CHARTS)


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_whose_folder_was_deleted_is_shown_and_offers_no_weights(shared_services: Services, ended: bool) -> None:
    run_id = begun(shared_services, 3)
    folder = shared_services.home.run_folder(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    if ended:
        weights = folder / "weights.pth"
        weights.write_bytes(b"weights")
        shared_services.store.end(run_id, RunStatus.FINISHED, RunResult(1, 3, 0.5, 0.8, 0.4, 0.9, 0.3, 0.912, 2.0, 575.0, str(weights)))
        assert open_page("train.py", run=run_id).get("download_button")
    shutil.rmtree(folder)
    app = open_page("train.py", run=run_id)
    at(order(app), CHARTS)
    assert not app.get("download_button")
    assert ("This run left no weights." in shown(app)) == ended


def test_the_drawer_is_closed_until_it_is_asked_for_stays_open_and_ends_with_the_run(shared_services: Services) -> None:
    run_id = begun(shared_services, 3)
    app = open_page("train.py", run=run_id)
    assert "last stage" not in " ".join(order(app))
    app = press(app, "Change it while it trains")
    drawn = order(app)
    assert (
        at(drawn, CHARTS) < at(drawn, "Change it now") < at(drawn, "What you change holds") < at(drawn, "last stage") < at(drawn, "New learning rate")
    )
    at(order(healthy(app.run())), "last stage")
    press(app, "last stage")
    assert [command.payload for command in shared_services.store.commands(run_id)] == ["last stage"]
    assert "waiting for the step at hand" in shown(healthy(app.run()))
    app = press(app, "Close")
    assert "last stage" not in " ".join(text for text in order(app) if text.startswith("button"))
    # What was asked for is told in the head then, and below the curves once the run has ended.
    assert "preset “last stage”** · requested at step 3 · waiting for the step at hand" in shown(app)
    app = press(app, "Change it while it trains")
    shared_services.store.end(run_id, RunStatus.STOPPED)
    drawn = order(open_page("train.py", run=run_id))
    assert at(drawn, CHARTS) < at(drawn, "the run had already ended")
    assert not drawer_view.is_open(shared_services.store.run(run_id)), "in a session of its own"


def test_a_chip_tells_its_finding_only_once_it_is_open(shared_services: Services) -> None:
    run_id = begun(shared_services, 3)
    found(shared_services, run_id, "plateau")
    app = open_page("train.py", run=run_id)
    assert "A cause." not in shown(app)
    assert "A cause." in shown(opened(app, f"chip_warning_plateau_{run_id}"))


def test_each_device_of_a_shared_run_is_seen(shared_services: Services) -> None:
    run_id = begun(shared_services, devices="2")
    folder = shared_services.home.run_folder(run_id)
    assert any("still to come" in caption.value for caption in open_page("train.py", run=run_id).caption)
    signs.make(folder, 2)
    mine = signs.Signs(folder, 1)
    mine.phase(signs.TRAINING)
    mine.set("bytes", 20_532)
    mine.stepped(7, 0.04)
    app = open_page("train.py", run=run_id)
    mine.close(signs.LEFT)
    table = next(frame.value for frame in app.dataframe if "Rank" in frame.value)
    assert table["State"].tolist() == ["not begun", "training"]
    assert table["Step time (ms)"].tolist()[1] == 40.0
    assert any("2 devices share this run" in text.value and "21 kB a step" in text.value for text in app.markdown)


def test_a_run_that_waits_for_machines_says_what_to_type_on_them(shared_services: Services) -> None:
    """Until all are there; from then on each rank is seen with its machine."""
    run_id = shared_services.store.create_run(RunConfig(**{**SMALL, "nodes": 2}), this_process())
    shared_services.store.set_status(run_id, RunStatus.PREPARING, "waiting for 1 more machine")
    folder = shared_services.home.run_folder(run_id)
    waits = Machines(run_id, "10.0.0.5:29500", ("secret",), ("*one*",), missing=1, refused="*two* has other torch")
    joining.keep(folder, waits)
    app = open_page("train.py", run=run_id)
    assert [each.value for each in app.code][:1] == list(waits.lines)
    assert at(order(app), "Waiting for 1 more machine") < at(order(app), CHARTS)
    assert any(each.value == r"\*two\* has other torch." for each in app.warning)
    joining.keep(folder, replace(waits, tokens=(), missing=0, names=("*one*", "two"), refused=""))
    signs.make(folder, 2)
    app = open_page("train.py", run=run_id)
    assert "secret" not in shown(app)
    table = next(frame.value for frame in app.dataframe if "Rank" in frame.value)
    assert table["Machine"].tolist() == ["*one*", "two"]
    assert any("2 devices on 2 machines share this run" in text.value for text in app.markdown)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one device takes whole batches"),
        ({"devices": "2", "device": "cpu", "accumulate": "3"}, "2 devices x 16 pictures x 3 = 96 pictures in one step"),
        ({"devices": "2", "device": "cpu", "batch_size": "33"}, "33 cannot be cut into 2 equal parts"),
        ({"devices": "512", "device": "cpu"}, "32 is smaller than the number of devices (512)"),
        ({"devices": "<b>two</b>"}, "Must be a number of devices"),
        ({"nodes": "2", "device": "cpu"}, "2 devices on 2 machines x 16 pictures = 32 pictures in one step"),
    ],
)
def test_the_form_says_how_a_batch_is_cut(shared_services: Services, given: dict[str, str], said: str) -> None:
    app = open_page("train.py", **{**SMALL, **given})
    told = "\n".join(part.value for part in (*app.caption, *app.error, *app.warning))
    assert said in told
