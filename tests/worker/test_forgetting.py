"""What a run forgets: the old head on the layers as they are, drift from the start, at a bounded cost, and with the bits of a run without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import Layer, RunStatus
from core.records.forgetting import ForgettingRow, drift_of_blocks, in_words
from core.store import RunStore
from core.store.stream import message
from core.worker import assembly, forking
from core.worker.worker import Worker

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {"model": "small_cnn", "image_size": 8, "batch_size": 100, "epochs": 3, "threads": 1, "learning_rate": 0.01}


def whole(home: Home, store: RunStore, **settings: Any) -> str:
    run_id = store.create_run(RunConfig(**{**SMALL, **settings}))
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED, store.run(run_id).error
    return run_id


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, RunStore, str]:
    """A home with a run that has learned the digits 0 to 4."""
    home = Home.from_environment(str(tmp_path_factory.mktemp("old") / "home"))
    store = RunStore(home.database)
    return home, store, whole(home, store, dataset="digits_0_4", epochs=4)


def test_the_old_task_is_asked_while_layers_thaw_and_no_bit_of_the_run_changes(old: tuple[Home, RunStore, str]) -> None:
    home, store, before = old
    settings = {
        "dataset": "digits_5_9", "starting_weights": str(home.run_folder(before) / "weights.pth"), "freeze": "head only",
        "timeline": "2: train everything", "augmentation": "flip",
    }  # fmt: skip
    run_id = whole(home, store, **settings, forgetting=True)
    rows = store.forgetting_after(run_id)
    assert (rows[0].step, rows[-1].step) == (0, store.run(run_id).step)
    accuracy = [row.accuracy for row in rows]
    assert accuracy[0] == store.run(before).result.test_accuracy  # type: ignore[union-attr]
    thawed = store.changes_after(run_id)[0].step - 1
    kept = [row for row in rows if row.step <= thawed]
    assert kept[-1].step == thawed, "it is measured before each change"
    assert {row.accuracy for row in kept} == {accuracy[0]}, "what is frozen forgets nothing"
    plan = store.run(run_id).plan
    assert plan is not None
    assert all(value == 0 for name, value in drift_of_blocks(kept[-1], plan.layers).items() if name != "head")
    assert all((value or 0) > 0 for value in drift_of_blocks(rows[-1], plan.layers).values())
    assert "test pictures of run" in " ".join(plan.notes)
    assert in_words(rows).startswith(f"{rows[0].pictures:,} pictures of the old task")
    body, cursor = message(store, run_id, None)
    assert body is not None
    assert body["forgetting"]["step"] == [row.step for row in rows]
    assert cursor.forgetting == len(rows)
    assert len(body["forgetting"]["drift"][0]) == len(drift_of_blocks(rows[0], plan.layers))
    other = whole(home, store, **settings)
    assert store.forgetting_after(other) == []
    weights = [torch.load(home.run_folder(each) / "weights.pth", weights_only=True) for each in (run_id, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    branch = forking.make(home, store, forking.plan(home, store, run_id, store.run(run_id).step - 1, {"learning_rate": 0.001}))
    assert Worker(home, store, branch).run() is RunStatus.FINISHED, store.run(branch).error
    fork = store.run(branch).fork
    assert fork is not None
    past = [row for row in rows if row.step <= fork.step]
    again = store.forgetting_after(branch)
    assert [(row.step, row.accuracy) for row in again[: len(past)]] == [(row.step, row.accuracy) for row in past]
    assert again[-1].step == store.run(branch).step


def test_weights_that_ship_have_no_head_and_only_drift(home: Home, store: RunStore) -> None:
    run_id = whole(home, store, dataset="digits_5_9", starting_weights="pretrained", forgetting=True, epochs=1)
    rows = store.forgetting_after(run_id)
    assert {row.accuracy for row in rows} == {None}
    assert np.isnan(rows[0].moved).sum() == 2, "the head knew nothing"
    plan = store.run(run_id).plan
    assert plan is not None
    assert "only the drift is measured" in " ".join(plan.notes)
    assert drift_of_blocks(rows[-1], plan.layers)["head"] is None
    assert in_words(rows) == ""


def test_a_folder_of_old_pictures_is_asked_and_one_of_others_is_refused(old: tuple[Home, RunStore, str], tmp_path: Path) -> None:
    home, store, before = old
    file = tmp_path / "elsewhere.pth"  # the same weights, of nobody's run
    file.write_bytes((home.run_folder(before) / "weights.pth").read_bytes())
    for classes, folder in ((5, tmp_path / 'five "old" <b>'), (3, tmp_path / "three")):
        for name in map(str, range(classes)):
            (folder / name).mkdir(parents=True)
            for number in range(5):
                Image.new("RGB", (8, 8), (40 * int(name), 9 * number, 0)).save(folder / name / f"{number}.png")
    settings = {"dataset": "digits_5_9", "starting_weights": str(file), "forgetting": True, "epochs": 1}
    run_id = whole(home, store, **settings, old_task=str(tmp_path / 'five "old" <b>'))
    assert store.forgetting_after(run_id)[0].pictures == 5
    run_id = store.create_run(RunConfig(**{**SMALL, **settings}, old_task=str(tmp_path / "three")))
    with pytest.raises(ConfigError) as refused:
        Worker(home, store, run_id).run()
    assert refused.value.field == "old_task"


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"forgetting": True}, "forgetting", "random weights know nothing"),
        ({"old_task": "/tmp"}, "old_task", "only where what is forgotten is measured"),
        ({"forgetting": True, "starting_weights": "pretrained", "old_task": "/no/<b>where"}, "old_task", "is no folder"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_it_begins(home: Home, settings: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        assembly.check(RunConfig(**{**SMALL, **settings}), home)
    assert refused.value.field == field


def test_a_block_drifts_as_all_of_it_together() -> None:
    layers = (Layer("a.weight", (1,), 1, False, "a"), Layer("a.bias", (1,), 1, False, "a"), Layer("head.weight", (1,), 1, False, "head"))
    row = ForgettingRow(3, 0.5, 4, 0.1, np.array([3, 4, np.nan], np.float32), np.array([0, 10, np.nan], np.float32))
    assert drift_of_blocks(row, layers) == {"a": 0.5, "head": None}
    assert in_words([row]) == "4 pictures of the old task: 50.0 % right behind step 3"
