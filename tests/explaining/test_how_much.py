"""How much to freeze: the figures against scikit-learn and the store, the sentences against the figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from core import data
from core.config import RunConfig
from core.evaluation.intervals import wilson
from core.explaining.separation import separation
from core.explaining.specimen import first_pictures
from core.machine.home import Home
from core.networks.model_entries import IMAGENET
from core.networks.models import build
from core.records.events import RunResult, RunStatus
from core.records.how_much import ABOUT_SEPARATION, Tried, lines, per_picture, tried
from core.store import RunStore
from core.store.plans_tried import plans_tried

CONFIG = RunConfig(dataset="digits", model="small_cnn", image_size=16, batch_size=32, seed=5)


def features(config: RunConfig, home: Home, count: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = first_pictures(data.prepare(config, home, lambda text, share: None), count)
    torch.manual_seed(config.seed)
    model = build("small_cnn", 10, config.image_size).eval()
    with torch.no_grad():
        maps = model.stage3(model.stage2(model.stage1(data.Normalise(*IMAGENET)(pixels))))  # type: ignore[operator]
    return maps.mean(dim=(2, 3)).numpy(), labels.numpy()


def test_the_rule_is_that_of_scikit_learn_and_a_linear_head_can_do_the_same(home: Home) -> None:
    found = separation(CONFIG, home)
    count = found.pictures + found.known
    given, labels = features(CONFIG, home, count)
    learned = NearestCentroid().fit(given[: found.known], labels[: found.known])
    assert found.right == pytest.approx((learned.predict(given[found.known :]) == labels[found.known :]).sum(), abs=1)  # ties of the last digits
    most = np.bincount(labels[: found.known]).argmax()
    assert found.guess == (labels[found.known :] == most).sum()
    assert "That rule is a linear one, so a head on these features can do the same." in ABOUT_SEPARATION
    head = torch.nn.Linear(given.shape[1], 10)
    with torch.no_grad():
        means = torch.from_numpy(learned.centroids_).float()
        head.weight.copy_(2 * means)
        head.bias.copy_(-(means**2).sum(dim=1))
        answers = head(torch.from_numpy(given[found.known :])).argmax(dim=1).numpy()
    assert (answers == learned.predict(given[found.known :])).mean() > 0.99


def test_what_is_said_of_the_features_are_their_figures(home: Home) -> None:
    found = separation(CONFIG, home)
    assert (found.pictures, found.known) == (200, 200)
    interval = wilson(found.right, found.pictures)
    assert (found.share, found.low, found.high) == (interval.value, interval.low, interval.high)
    assert found.sentence.startswith(f"{found.right} of 200 pictures ({100 * found.share:.0f} %, 95 % interval")
    assert found.sentence.endswith(f"Always naming the most frequent class of those others is right for {found.guess}.")
    assert found.random is None, "there is nothing to compare random weights with"
    assert dataclasses.replace(found, random=7).sentence.endswith(f"is right for {found.guess}, the same model with random weights for 7.")


def test_runs_count_that_differ_in_plan_and_seed_alone(home: Home) -> None:
    store = RunStore(home.database)

    def run(config: RunConfig, accuracy: float | None, status: RunStatus = RunStatus.FINISHED) -> None:
        run_id = store.create_run(config)
        result = RunResult(1, 10, 0.1, 0.9, 0.1, accuracy, None, None, 1.0, 1.0, None)
        store.end(run_id, status, result)

    run(CONFIG.replace(freeze="head only"), 0.5)
    run(CONFIG.replace(freeze="head only", seed=6), 0.7)
    run(CONFIG, 0.9)
    run(CONFIG.replace(learning_rate=0.5), 0.99)  # another rate: no fair comparison
    run(CONFIG.replace(dataset="shapes"), 0.98)
    run(CONFIG.replace(fault="shuffled labels"), 0.97)
    run(CONFIG.replace(freeze="last stage"), 0.96, RunStatus.STOPPED)
    run(CONFIG.replace(freeze="all but stem"), None)
    found = plans_tried(store, CONFIG)
    assert found == (Tried("train everything", (0.9,), 1), Tried("head only", found[1].validation, 2))
    assert sorted(found[1].validation) == [0.5, 0.7]
    assert found[0].sentence == "90.0 % in 1 run"
    assert found[1].sentence == "60.0 % on average of 2 runs (2 seeds), 50.0 to 70.0 %"


def test_rows_hold_each_plan_with_what_is_known_of_it() -> None:
    runs = tried([("head only", 1, 0.5), ("layer1, !layer1.0", 1, 0.25)])
    rows = lines({"train everything": 94_762, "head only": 1_290}, 1_150, runs)
    assert rows == [
        ("train everything", "94,762", "82 a picture", "no run yet"),
        ("head only", "1,290", "1.1 a picture", "50.0 % in 1 run"),
        ("layer1, !layer1.0", "", "", "25.0 % in 1 run"),
    ]
    assert per_picture(5, None) == ""
