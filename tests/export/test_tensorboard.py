"""TensorBoard: what its own reader finds in the file is what was recorded, at the right steps and times; no point where there was no figure."""

from __future__ import annotations

import math
import socket
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("tensorboard", reason="an optional extra: pip install -r requirements-export.txt")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from bench.synthetic import SyntheticRun
from core.config.errors import Cancelled
from core.export import tensorboard
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from tests.export.report_cases import empty, never, quiet, recorded, subject, target


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    found.Reload()
    return found


def points(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[EventAccumulator, float, tuple[str, ...], Path]:
    """What the reader found of a recorded run, when that began, what was told, and the folder."""
    home = Home.from_environment(str(tmp_path_factory.mktemp("home")))
    each = subject(home, recorded(home))
    folder = tmp_path_factory.mktemp("out") / "run"
    told = tensorboard.write(each, folder, quiet, never)
    assert each.run.ended is not None
    return read(folder), max(each.run.created, each.run.ended - each.run.active_seconds), told, folder


Made = tuple[EventAccumulator, float, tuple[str, ...], Path]


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("loss/step", [(1, 2.0), (2, 1.5), (3, math.nan), (4, 0.0)]),
        ("learning_rate/learning_rate", [(1, 0.1), (2, 0.1), (3, 0.1), (4, 0.1)]),
        ("progress/epoch", [(1, 1), (2, 1), (3, 2), (4, 2)]),
        ("speed/pictures_per_second", [(2, 640), (3, 640), (4, 640)]),
        ("gradient_norm/stem.weight", [(4, 0.25)]),
        ("gradient_norm/body.weight", [(1, 0.5), (3, math.nan), (4, 2.0)]),
        ("gradient_norm/body.bias", [(1, 0.0), (3, math.inf)]),
        ("gradient_norm_by_block/stem", [(4, 0.25)]),
        ("gradient_norm_by_block/body", [(1, 0.5), (3, math.nan), (4, 2.0)]),
        ("update_norm/body.weight", [(2, 0.01)]),
        ("update_norm/body.bias", [(2, 0.0)]),
        ("weight_norm_by_block/body", [(2, math.sqrt(17))]),
        ("loss/training", [(2, 1.75), (4, math.nan)]),
        ("accuracy/training", [(2, 0.5), (4, 0.25)]),
        ("loss/validation", [(4, math.nan)]),
        ("accuracy/validation", [(4, 0.125)]),
        ("loss/test", [(4, math.nan)]),
        ("accuracy/test", [(4, 0.375)]),
        ("result/test_accuracy", [(4, 0.375)]),
    ],
)
def test_a_line_has_the_points_that_were_measured_and_no_others(made: Made, tag: str, wanted: list[tuple[int, float]]) -> None:
    found = points(made[0], tag)
    assert [step for step, _ in found] == [step for step, _ in wanted]
    assert [value for _, value in found] == pytest.approx([value for _, value in wanted], nan_ok=True)


def test_what_was_frozen_all_the_time_it_was_looked_at_has_no_line(made: Made) -> None:
    assert not [tag for tag in made[0].Tags()["scalars"] if tag.startswith(("update_norm/stem", "weight_norm/stem", "update_norm_by_block/stem"))]


def test_wall_times_are_those_of_the_steps(made: Made) -> None:
    times = [event.wall_time for event in made[0].Scalars("loss/step")]
    assert times == pytest.approx([made[1] + seconds for seconds in (0.5, 1.0, 1.5, 2.0)], abs=1e-3)
    assert made[0].Scalars("accuracy/training")[0].wall_time == pytest.approx(made[1] + 1.0, abs=1e-3)


def test_histograms_keep_their_bins_and_what_has_none_is_told(made: Made) -> None:
    found, began, told, _ = made
    (event,) = found.Histograms("weight_values/body.weight")
    assert event.step == 2
    assert event.wall_time == pytest.approx(began + 1.0, abs=1e-3)
    values = event.histogram_value
    assert (values.min, values.max, values.num) == (-1.0, 1.0, 16)
    assert values.bucket_limit == pytest.approx([-1.0, -0.5, 0.0, 0.5, 1.0])
    assert values.bucket == [0, 1, 3, 0, 12]
    assert found.Tags()["histograms"] == ["weight_values/body.weight", "gradient_values/body.weight"]
    assert [line for line in told if "weight of body.bias at step 3" in line]
    assert "not_finite/gradient_body.weight/text_summary" in found.Tags()["tensors"]


def test_settings_are_hyperparameters_and_a_true_is_no_one(made: Made) -> None:
    (start,) = [
        data.session_start_info
        for content in made[0].summary_metadata.values()
        if content.plugin_data.plugin_name == "hparams"
        for data in [HParamsPluginData.FromString(content.plugin_data.content)]
        if data.HasField("session_start_info")
    ]
    assert start.hparams["learning_rate"].number_value == pytest.approx(0.001)
    assert start.hparams["freeze"].string_value == "head only"
    assert start.hparams["compile_model"].string_value == "false"
    assert start.hparams["clip_norm"].string_value == "null"


def test_changes_are_texts_at_their_step(made: Made) -> None:
    (event,) = made[0].Tensors("run/changes/text_summary")
    assert event.step == 4
    assert b"!stem" in event.tensor_proto.string_val[0]


def test_the_file_tells_nothing_of_the_machine_that_wrote_it(made: Made) -> None:
    (file,) = made[3].iterdir()
    assert "tfevents" in file.name
    assert socket.gethostname() not in file.name


def test_a_long_run_is_thinned_evenly_from_what_was_measured_and_says_so(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "MOST_STEPS", 250)
    monkeypatch.setattr(tensorboard, "MOST_NORMS", 100)
    monkeypatch.setattr(tensorboard, "FEWEST_STEPS", 50)
    run = SyntheticRun(RunStore(home.database), 1_000)
    told = tensorboard.write(subject(home, run.id), folder := target(tmp_path, "run"), quiet, never)
    found = read(folder)
    assert [step for step, _ in points(found, "loss/step")] == [*range(1, 1_000, 4), 1_000]
    assert [step for step, _ in points(found, "gradient_norm/layer0.0.weight")] == list(range(1, 1_000, 20))
    assert any("one in 4 is there" in line for line in told)
    assert any("one step in 20" in line for line in told)


def test_norms_measured_at_other_steps_than_those_that_are_due_are_there_all_the_same() -> None:
    due = tensorboard._Due(7)
    taken = []
    for step in range(10, 100, 10):  # measured at each tenth
        if due.take(step):
            due.taken(step)
            taken.append(step)
    assert taken == list(range(10, 100, 10))


@pytest.mark.parametrize(("status", "said"), [(None, "still goes on"), (RunStatus.FAILED, "")])
def test_a_run_without_result(home: Home, tmp_path: Path, status: RunStatus | None, said: str) -> None:
    told = tensorboard.write(subject(home, recorded(home, status)), folder := target(tmp_path, "run"), quiet, never)
    assert said in " ".join(told)
    assert "accuracy/test" not in read(folder).Tags()["scalars"]


def test_a_run_without_a_step_has_its_settings_and_says_so(home: Home, tmp_path: Path) -> None:
    (told,) = tensorboard.write(subject(home, empty(home)), file := target(tmp_path, "run.zip"), quiet, never)
    assert "no step" in told
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert "run/settings/text_summary" in read(tmp_path / "unpacked").Tags()["tensors"]


def test_who_cancels_leaves_nothing_behind(home: Home, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        tensorboard.write(subject(home, recorded(home)), folder := target(tmp_path, "run"), quiet, lambda: True)
    assert not list(folder.parent.iterdir())
