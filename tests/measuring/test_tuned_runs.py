"""What automatic remembers, and what a run makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from core import catalog
from core.catalog import optimizers
from core.catalog.optimizers import OPTIMIZERS
from core.commands import cli
from core.config import ConfigError, RunConfig
from core.machine import devices
from core.machine.home import Home
from core.measuring import tuning
from core.measuring.trial import Part
from core.measuring.trials import Trials
from core.measuring.tuning import VERSION
from core.records.events import Layer, RunPlan, RunStatus
from core.records.speed import Tuning, Way, applied
from core.store import RunStore
from core.training.steps import THREADS
from core.training.trainer import EpochReport, StepReport
from core.worker import assembly
from core.worker.process import work
from pages._parts.run import tuning_view
from tests.measuring.tuning_cases import EVEN, SMALL, Clock, chosen, cost, row
from tests.support import ROOT

FOUND = Tuning(
    ways=(
        Way(threads=2, step_seconds=0.1, loss_error=0.0, gradient_error=0.0),
        Way("channels_last", "bfloat16", threads=2, step_seconds=0.05, loss_error=0.001, gradient_error=0.0384),
        Way("channels_last", threads=2, step_seconds=1.5, loss_error=0.0, gradient_error=1e-6),
        Way(precision="bfloat16", threads=2, refused="does not work here: a | b"),
    ),
    chosen=0, reason="", device="cpu", possible=16, steps=100, batch_size=32, images=32, tolerance=0.3, prefix_share=0.2, busy_share=0.5,
    measured_seconds=5.84,
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("two_cores")


# What is remembered


def test_the_second_time_nothing_is_measured(home: Home) -> None:
    times = {**EVEN, ("channels_last", "float32"): 0.5}
    first = chosen(home, Clock(cost(times)))
    clock = Clock(cost(EVEN))
    second = chosen(home, clock)
    assert clock.asked == 0
    assert second == replace(first, remembered=True)
    assert second.measured.endswith("in an earlier run")


class Measuring(Exception):
    """A part of a step was timed."""


def measured_anew(home: Home, config: RunConfig = SMALL) -> bool:
    """Whether something is measured, which is not gone through with; nothing of it is remembered."""
    clock = Clock(cost(EVEN))

    def progress(text: str, share: float | None) -> None:
        if clock.asked:
            raise Measuring

    try:
        found = chosen(home, clock, config, progress=progress)
    except Measuring:
        return True
    assert found.remembered
    return False


_KEPT: dict[str, bytes] = {}


@pytest.fixture
def remembering(home: Home) -> Home:
    """A home that remembers what `EVEN` gives: measured by the first test that asks, and copied for the others."""
    folder = home.cache / "tuning"
    if _KEPT:
        folder.mkdir(exist_ok=True)
        for name, content in _KEPT.items():
            (folder / name).write_bytes(content)
    else:
        chosen(home, Clock(cost(EVEN)))
        _KEPT.update({file.name: file.read_bytes() for file in folder.iterdir()})
    return home


def test_what_changes_a_step_is_measured_anew(remembering: Home) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"batch_size": 32}, {"image_size": 24}, {"freeze": "head only"}, {"optimizer": "SGD"}, {"loss": "MultiMarginLoss"}, {"head_hidden": 8},
        {"threads": 1}, {"timeline": "2: stage1"},
    )  # fmt: skip
    for change in changes:
        assert measured_anew(remembering, SMALL.replace(**change)), change


def test_what_does_not_is_not(remembering: Home) -> None:
    other = SMALL.replace(epochs=3, learning_rate=0.1, seed=4, schedule="StepLR", schedule_options={"step_size": 1})
    assert not measured_anew(remembering, other)


def test_another_torch_and_another_load_are_measured_anew(remembering: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(cost(EVEN))
    assert chosen(remembering, clock, load=0.6).way.threads == 1
    assert clock.asked > 0
    assert chosen(remembering, Clock(cost(EVEN)), load=0.1).remembered, "a tenth of the processor is no other load"
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert measured_anew(remembering)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace(f'"version":{VERSION}', '"version":0'),
        lambda text: text.replace("small_cnn", "resnet18"),  # the result of another situation
    ],
)
def test_a_damaged_file_is_measured_again_and_mended(remembering: Home, damage: Callable[[str], str]) -> None:
    (file,) = (remembering.cache / "tuning").iterdir()
    text = file.read_text()
    assert json.loads(text)["tuning"]["busy_share"] == 0.0
    file.write_text(damage(text))
    assert not chosen(remembering, Clock(cost(EVEN))).remembered
    assert chosen(remembering, Clock(cost(EVEN))).remembered


def test_a_folder_that_cannot_be_written_costs_no_run(home: Home) -> None:
    (home.cache / "tuning").write_text("a file where the folder should be")
    assert not chosen(home, Clock(cost(EVEN))).remembered
    assert not chosen(home, Clock(cost(EVEN))).remembered


# Where features are kept


def test_where_features_are_kept_the_layers_that_learn_decide_and_more_so_the_longer_the_run(home: Home) -> None:
    """One way is quick with the frozen layers, which are computed once, the other with those that learn."""

    def of(way: Way, part: Part) -> float:
        quick = {"contiguous": {"prefix": 1.0, "pass": 0.2}, "channels_last": {"prefix": 4.0, "pass": 0.1}}
        return 0.0 if part == "update" else quick[way.memory_format][part]

    config = SMALL.replace(freeze="head only", epochs=5)
    short = chosen(home, Clock(of), config)
    assert short.prefix_share == pytest.approx(0.2)
    assert short.way.memory_format == "contiguous"
    assert short.seconds(short.way) == pytest.approx(0.2 + 0.2 * 1.0)
    clock = Clock(of)
    long = chosen(home, clock, config.replace(epochs=500))
    assert clock.asked == 0, "what was measured tells about any number of epochs"
    assert long.way.memory_format == "channels_last"
    assert long.prefix_share == pytest.approx(1 / 500)


@pytest.mark.parametrize(
    ("change", "share"),
    [({}, 0.25), ({"feature_cache": "off"}, None), ({"augmentation": "flip"}, 0.5), ({"augmentation": "shift"}, None),
     ({"augmentation": "shift", "fixed_views": 3}, 0.75), ({"freeze": "train everything"}, None), ({"epochs": 1}, 1.0)],
)  # fmt: skip
def test_how_often_frozen_layers_are_computed(home: Home, change: dict[str, Any], share: float | None) -> None:
    assert chosen(home, Clock(cost(EVEN)), SMALL.replace(**{"freeze": "head only", **change})).prefix_share == share


def test_on_one_thread_what_else_the_machine_does_is_no_reason_to_measure_again(home: Home) -> None:
    alone = SMALL.replace(threads=1)
    assert not chosen(home, Clock(cost(EVEN)), alone, load=0.0).remembered
    assert chosen(home, Clock(cost(EVEN)), alone, load=0.9).remembered


def test_folding_is_tried_where_computing_features_once_counts(home: Home) -> None:
    def of(way: Way, part: Part) -> float:
        return {"prefix": 0.5 if way.fold_norms else 1.0, "pass": 0.1, "update": 0.0}.get(part, 0.0)

    found = chosen(home, Clock(of), SMALL.replace(freeze="head only", epochs=2))
    assert found.way.fold_norms
    assert found.way.gradient_error is not None
    assert found.way.gradient_error < 1e-3
    rare = chosen(home, Clock(of), SMALL.replace(freeze="head only", epochs=2000, batch_size=24))
    assert "computing features once takes" in row(rare, fold_norms=True).refused


def test_other_weight_gradients_are_tried_where_a_convolution_that_learns_gives_small_maps(home: Home) -> None:
    def of(way: Way, part: Part) -> float:
        return (0.5 if way.im2col_gradients else 1.0) if part == "pass" else 0.0

    small = SMALL.replace(image_size=8)
    found = chosen(home, Clock(of), small)
    assert found.way.im2col_gradients
    assert found.way.gradient_error is not None
    assert found.way.gradient_error < 1e-3
    assert applied(small, found.way).im2col_gradients
    assert found.possible == 2 * chosen(home, Clock(of)).possible
    assert not any(way.im2col_gradients for way in chosen(home, Clock(of), small.replace(freeze="head only")).ways)


# Compiling


def test_compiling_is_chosen_where_the_run_is_long_enough_to_pay_for_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trials, "_may_compile", lambda trials: True)
    monkeypatch.setattr(torch, "compile", lambda module: module)

    def of(way: Way, part: Part) -> float:
        return {"start": 60.0, "update": 0.0}.get(part, 0.05 if way.compile_model else 0.1)

    short = chosen(home, Clock(of), SMALL.replace(epochs=1))
    assert row(short, compile_model=True).refused == "not tried: the run takes 7 s, and compiling alone 8 to 92 s"
    long = chosen(home, Clock(of), SMALL.replace(epochs=100, batch_size=8))
    assert long.way.compile_model
    assert long.way.start_seconds == 60.0
    clock = Clock(of)
    between = chosen(home, clock, SMALL.replace(epochs=8, batch_size=8))
    assert clock.asked == 0
    assert not between.way.compile_model, f"60 s to compile, {between.steps} steps of which each saves 0.05 s"


def test_a_compiler_that_is_not_there_is_a_row(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(module: nn.Module) -> nn.Module:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(Trials, "_may_compile", lambda trials: True)
    monkeypatch.setattr(torch, "compile", fails)
    found = chosen(home, Clock(lambda way, part: 9.0), SMALL.replace(epochs=1000))
    assert row(found, compile_model=True).refused.startswith("does not work here: Failed to find C compiler")
    assert found.chosen == 0


# What a run has in its course


def test_the_plan_that_holds_longest_is_measured() -> None:
    config = SMALL.replace(freeze="head only", epochs=10, timeline="3: !stage3; 4: train everything")
    assert str(tuning.lasting_plan(config, 20)) == "train everything"
    assert str(tuning.lasting_plan(config.replace(timeline="step 150: train everything"), 20)) == "head only"
    assert str(tuning.lasting_plan(config.replace(timeline="4: learning_rate=0.1"), 20)) == "head only"


# Each field by itself


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_fused_where_torch_can_and_refused_by_field_where_not(name: str) -> None:
    config = RunConfig(optimizer=name, fused_optimizer=True)
    if OPTIMIZERS[name].fused:
        catalog.check(config)
        assert optimizers.build(config, [nn.Parameter(torch.zeros(2))]).defaults["fused"] is True
        return
    with pytest.raises(ConfigError, match="set it to false, or use AdamW, SGD") as refused:
        catalog.check(config)
    assert refused.value.field == "fused_optimizer"


def test_a_device_on_which_nothing_can_be_fused_is_named() -> None:
    with pytest.raises(ConfigError, match="true cannot be had with AdamW on meta .*; set it to false") as refused:
        optimizers.build(RunConfig(fused_optimizer=True), [nn.Parameter(torch.zeros(2, device="meta"))])
    assert refused.value.field == "fused_optimizer"


@pytest.mark.parametrize(
    ("change", "near"),
    [({"memory_format": "channels_last"}, 1e-4), ({"fused_optimizer": True}, 1e-4), ({"precision": "bfloat16"}, 0.05)],
)
def test_training_another_way_stays_close_to_exact(home: Home, change: dict[str, Any], near: float) -> None:
    config = SMALL.replace(speed="exact", epochs=1, threads=1)
    exact, other = losses(config, home, 35), losses(config.replace(**change), home, 35)
    assert len(exact) == len(other) == 35
    assert exact != other, "it does something"
    assert exact[:5] == pytest.approx(other[:5], rel=near)
    assert exact[-1] == pytest.approx(other[-1], rel=0.3)


def losses(config: RunConfig, home: Home, steps: int = 10_000) -> list[float]:
    """Of the first epoch, or of so many steps of it."""
    trainer = assembly.assemble(config, home).trainer
    found: list[float] = []
    for report in trainer.run():
        if isinstance(report, StepReport):
            found.append(float(report.loss))
        if isinstance(report, EpochReport) or len(found) == steps:
            break
    return found


def test_the_memory_format_reaches_weights_and_images(home: Home) -> None:
    trainer = assembly.assemble(SMALL.replace(speed="exact", memory_format="channels_last"), home).trainer
    images = trainer.partition.normalise(next(iter(trainer.train.batches(1))).images)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert not images.is_contiguous()
    assert any(weight.is_contiguous(memory_format=torch.channels_last) for weight in trainer.model.parameters() if weight.dim() == 4)


def test_the_number_of_threads_is_that_of_the_run(home: Home) -> None:
    assembly.assemble(SMALL.replace(speed="exact", threads=1), home)
    assert torch.get_num_threads() == 1
    assembly.assemble(SMALL.replace(speed="exact"), home)
    assert torch.get_num_threads() == THREADS


def test_a_run_that_keeps_exact_does_what_an_exact_run_does(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MARGIN", 1e9)
    config = SMALL.replace(head_dropout=0.3, epochs=1, threads=1)
    assert losses(config, home) == losses(config.replace(speed="exact"), home)


# A whole run


def test_an_automatic_run_measures_trains_and_shows_the_table(home: Home, store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store.create_run(RunConfig(model="small_cnn", image_size=16, epochs=1, speed="automatic", threads=1))
    assert work(home, run_id) is RunStatus.FINISHED, store.run(run_id).error
    found = store.tuning(run_id)
    assert found is not None
    assert found.way.step_seconds
    assert not found.way.refused
    assert store.run(run_id).result is not None
    capsys.readouterr()
    assert cli.main(["show", run_id, "--home", str(home.path)]) == 0
    assert f"fastest way: {found.way.label} ({found.reason}; measured " in capsys.readouterr().out
    assert cli.main(["show", run_id, "--home", str(home.path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["tuning"]
    assert len(shown["ways"]) == len(found.ways)
    assert shown["ways"][shown["chosen"]]["seconds"] == found.seconds(found.way)
    assert devices.resolve("auto").type in shown["device"]


def test_an_exact_run_has_no_table(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    assert store.tuning(run_id) is None
    with pytest.raises(KeyError, match="There is no run"):
        store.tuning("nowhere")


# The screen


def test_the_page_of_a_run_shows_the_table_and_the_code_of_the_chosen_way(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THAW_HOME", str(home.path))
    run_id = store.create_run(RunConfig(model="small_cnn", speed="automatic"))
    ways = (Way(threads=2, step_seconds=0.1), Way("channels_last", threads=1, step_seconds=0.05))
    store.set_tuning(run_id, tuning.decided(replace(FOUND, ways=ways)))
    store.begin(run_id, RunPlan((Layer("head.weight", (10, 128), 1280, False),), 36, 180, tuple("0123456789"), 1150, 288, 359, "cpu"))
    store.end(run_id, RunStatus.STOPPED)
    app = AppTest.from_file(ROOT / "pages" / "_app.py", default_timeout=60).run()
    app.switch_page("train.py")
    app.query_params["run"] = run_id
    app.run()
    assert not app.exception
    (box,) = [box for box in app.expander if "fastest way" in box.label]
    assert box.label == "**How the fastest way was found: channels_last, 1 thread: 2.00 times as fast as exact on 2 threads**"
    assert any("| channels_last, 1 thread **(chosen)** | 50" in text.value for text in box.markdown)
    config = store.run(run_id).config
    as_trained = tuning_view.with_chosen_way(SimpleNamespace(store=store), store.run(run_id), config)  # type: ignore[arg-type]
    assert as_trained == config.replace(speed="exact", memory_format="channels_last", threads=1)


def test_the_table_says_in_words_what_each_way_changes() -> None:
    found = tuning.decided(FOUND)
    assert tuning_view.headline(found) == "channels_last + bfloat16, 2 threads: 2.00 times as fast as exact"
    lines = tuning_view.table(found).splitlines()
    assert lines[2] == (
        "| channels_last + bfloat16, 2 threads **(chosen)** | 50" + "\u00a0ms | 640 | 2.00 | 3.8\u00a0% | "
        "rounds to bfloat16: 2 to 3 significant digits; adds up in another order: a step's last digits differ |"
    )
    assert lines[3] == "| exact, 2 threads | 100\u00a0ms | 320 | 1.00 | 0\u00a0% | nothing: as plain PyTorch |"
    assert lines[4].startswith("| channels_last, 2 threads | 1.5\u00a0s | 21 | 0.07 | under 0.1\u00a0% | adds up")
    assert lines[5] == r"| bfloat16, 2 threads | not timed |  |  |  | does not work here: a \| b |"
    assert tuning_view.about(found)[0].startswith("Measured 3 of 16 ways in 5.8 s, with this model on batches of 32 real training pictures on `cpu`")
