"""How often a test set was looked at, which epoch validation chooses, what other seeds gave, and what a run learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.config import RunConfig
from core.data.manifest import Picture, Recipe, write_pictures, write_recipe
from core.evaluation import evaluate, telling
from core.evaluation.learned_from import learned_from
from core.evaluation.looks import best_by_validation, looks, note, steps_looked_at
from core.evaluation.predictions import find_run
from core.evaluation.seeds import spread
from core.machine.home import Home
from core.records.events import EpochRow, RunPlan, RunResult, RunStatus
from core.store import Run, RunStore
from core.store.checkpoint import Checkpoint
from tests.evaluation.evaluate_cases import TINY, made_run
from tests.evaluation.evaluate_cases import trained as trained

PLAN = RunPlan((), 36, 72, tuple("0123456789"), 1150, 287, 359, "cpu")


def finished(store: RunStore, config: RunConfig, accuracy: float | None, plan: RunPlan = PLAN, status: RunStatus = RunStatus.FINISHED) -> Run:
    run_id = store.create_run(config)
    store.begin(run_id, plan)
    store.end(run_id, status, RunResult(2, 72, 0.1, 0.9, 0.1, 0.9, 0.1, accuracy, 1.0, 1.0, None))
    return store.run(run_id)


# Looks


def test_a_look_is_weights_that_the_test_set_was_not_put_through_before(trained: tuple[Home, str, str]) -> None:
    home, run_id, other = trained
    run = find_run(home, run_id)
    assert run.plan is not None
    last = run.plan.total_steps
    assert steps_looked_at(home, run) == {last}, "the run's own test at its end"
    evaluate.evaluate(home, run_id)
    assert steps_looked_at(home, run) == {last}, "the same weights once more"
    evaluate.evaluate(home, run_id, 1)
    evaluate.evaluate(home, run_id, 1)
    assert steps_looked_at(home, run) == {run.plan.steps_per_epoch, last}
    for file in (home.run_folder(run_id) / "evaluations").glob("epoch-*.npz"):
        file.unlink()
    assert len(steps_looked_at(home, run)) == 2, "what was seen was seen"
    counted = looks(home, run, [run, find_run(home, other)])
    assert (counted.own, counted.runs, counted.all_runs) == (2, 2, 3)
    told = telling.looked_at(counted, 359, 0.9)
    assert "looked at twice with trained weights of this run, 3 times with those of all 2 runs on it" in told


def test_weights_before_training_are_no_choice_unless_the_run_ended_with_them(trained: tuple[Home, str, str], store: RunStore) -> None:
    home, run_id, other = trained
    run = find_run(home, run_id)
    runs = [run, find_run(home, other)]
    before = looks(home, run, runs)
    for each in (run_id, other):  # as a map and Compare do
        assert evaluate.evaluate(home, each, 0).evaluation.step == 0
        assert "0,0\n" in (home.run_folder(each) / "looks.csv").read_text()
    assert looks(home, run, runs) == before
    none = replace(run, id="stopped-at-once", result=RunResult(0, 0, None, None, None, None, 0.1, 0.1, 1.0, 1.0, None))
    assert steps_looked_at(home, none) == {0}


def test_runs_on_other_pictures_do_not_count_and_damage_costs_the_count_alone(home: Home, store: RunStore, tmp_path: Path) -> None:
    run = finished(store, TINY, 0.9)
    others = [finished(store, TINY.replace(dataset=f"folder:{tmp_path}"), 0.9), finished(store, TINY.replace(dataset="shapes"), 0.9)]
    home.run_folder(run.id).mkdir(parents=True)
    (home.run_folder(run.id) / "looks.csv").write_bytes(b"36,1\nnonsense\n\xff")
    assert looks(home, run, [run, *others]).all_runs == 1
    (home.run_folder(run.id) / "looks.csv").write_bytes(b"36,1\nnonsense\n36,1\n")
    assert looks(home, run, [run, *others]).all_runs == 2
    note(home, "nowhere", Checkpoint(1, 36, Path("file")))  # a folder that is not there: nothing is said
    never = finished(store, TINY, None)
    assert looks(home, never, [never]).own == 0
    assert "looked at 0 times" in telling.looked_at(looks(home, never, [never]), 359, None)


def test_what_choosing_gives_away_is_said_once_there_is_a_choice() -> None:
    from core.evaluation.looks import Looks, optimism

    assert "by chance alone" not in telling.looked_at(Looks(1, 1, 1), 359, 0.9)
    told = telling.looked_at(Looks(6, 1, 6), 359, 0.9)
    assert f"up to {100 * optimism(6, 359, 0.9):.1f} points" in told
    assert "up to 2.0 points" in told
    lucky = np.random.default_rng(0).binomial(359, 0.9, (2000, 6)).max(axis=1) / 359 - 0.9
    assert lucky.mean() == pytest.approx(optimism(6, 359, 0.9), abs=0.002)
    assert (lucky > optimism(6, 359, 0.9)).mean() > 0.3, "no bound for a single test set"
    assert "On average over many test sets the best of 6" in told


# Validation chooses


def row(epoch: int, accuracy: float | None, loss: float | None) -> EpochRow:
    return EpochRow(epoch, 36 * epoch, 1.0, 0.1, 0.9, loss, accuracy)


def test_validation_chooses_the_highest_accuracy_then_the_lowest_loss_then_the_earliest() -> None:
    rows = [row(1, 0.9, 0.3), row(2, 0.95, 0.3), row(3, 0.95, 0.2), row(4, 0.95, 0.2), row(5, 0.97, 0.1), row(6, 0.95, float("nan"))]
    chosen = best_by_validation(rows, [1, 2, 3, 4, 6])
    assert chosen is not None
    assert chosen.epoch == 3
    assert "chooses epoch 3 (95.0" in telling.best(chosen)
    assert best_by_validation([row(1, None, None)], [1]) is None
    assert "cannot choose" in telling.best(None)


def test_choosing_by_the_test_set_is_too_good_and_by_validation_is_not() -> None:
    """Twelve epochs that are equally good: what their test accuracy is where the test set chose, and where the validation set did."""
    generator = np.random.default_rng(0)
    tested, validated = (generator.binomial(359, 0.95, (20_000, 12)) / 359 for _ in range(2))
    by_test = tested.max(axis=1).mean()
    by_validation = tested[np.arange(20_000), validated.argmax(axis=1)].mean()
    assert by_test - 0.95 > 0.015
    assert by_validation == pytest.approx(0.95, abs=0.0005)
    assert "too good" in telling.SPOILS


# Other seeds


def test_runs_that_differ_in_their_seed_only_are_put_together(store: RunStore) -> None:
    accuracies = {0: 0.98, 1: 0.96, 2: 0.97}
    runs = [finished(store, TINY.replace(seed=seed), accuracy) for seed, accuracy in accuracies.items()]
    finished(store, TINY.replace(seed=3, epochs=3), 0.5)
    finished(store, TINY.replace(seed=4), None)
    finished(store, TINY.replace(seed=5), 0.5, status=RunStatus.STOPPED)
    finished(store, TINY.replace(seed=6), 0.5, replace(PLAN, test_samples=12))
    found = spread(runs[1], store.runs())
    assert found is not None
    assert (found.seeds, found.accuracies) == ((0, 1, 2), (0.98, 0.96, 0.97))
    assert found.mean == pytest.approx(np.mean(list(accuracies.values())))
    assert found.deviation == pytest.approx(np.std(list(accuracies.values()), ddof=1))
    told = telling.spread(found)
    assert "3 runs that differ in nothing but their seed (0, 1, 2)" in told
    assert "97.0\u00a0% on average, standard deviation 1.0 points, from 96.0\u00a0% to 98.0\u00a0%, each on 359 test pictures" in told
    assert spread(runs[0], [runs[0]]) is None
    assert spread(finished(store, TINY.replace(seed=9), 0.5, status=RunStatus.STOPPED), [runs[0]]) is None


def test_an_interval_covers_pictures_and_not_seeds() -> None:
    """Weights whose true accuracy itself differs from seed to seed: the interval holds that of its own weights, not that of the settings."""
    from core.evaluation.intervals import wilson

    generator = np.random.default_rng(0)
    true = np.clip(generator.normal(0.9, 0.03, 2_000), 0, 1)
    found = [wilson(int(hits), 359) for hits in generator.binomial(359, true)]
    own = np.mean([(one.low or 0) <= share <= (one.high or 1) for one, share in zip(found, true, strict=True)])
    settings = np.mean([(one.low or 0) <= 0.9 <= (one.high or 1) for one in found])
    assert own == pytest.approx(0.95, abs=0.015)
    assert settings < 0.8
    assert "choice of the test pictures only" in telling.COVERS


# What was learned from


def listed(home: Home, run_id: str, **parts: str) -> None:
    """A list of a run's pictures: each letter is one picture."""
    folder = home.run_folder(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [Picture(part, "cat", f"{letter}.png", letter * 64) for part, letters in parts.items() for letter in letters]
    write_pictures(folder, pictures)


def test_that_no_test_picture_was_learned_from_is_said_only_where_it_is_known(home: Home, store: RunStore) -> None:
    run_id = made_run(home, TINY)
    unknown = learned_from(home, store.run(run_id))
    assert (unknown.shared, unknown.leaks) == (None, False)
    assert "is not known" in unknown.sentence
    listed(home, run_id, train="abc", validation="d", test="ef")
    clean = learned_from(home, store.run(run_id))
    assert (clean.shared, clean.train, clean.test, clean.leaks) == (0, 3, 2, False)
    assert clean.sentence.startswith("None of them is among the 3 pictures that this run learned from")
    (home.run_folder(run_id) / "pictures.csv").write_text("damaged")
    assert learned_from(home, store.run(run_id)).shared is None


def test_pictures_that_are_in_both_sets_are_counted(home: Home, store: RunStore) -> None:
    run_id = made_run(home, TINY)
    listed(home, run_id, train="abc0", validation="d", test="cae0")
    found = learned_from(home, store.run(run_id))
    assert (found.shared, found.leaks) == (2, True), "what could not be read is equal to nothing"
    assert found.sentence.startswith("2 of the 4 test pictures are among the 4 that this run learned from")


def test_a_leaking_split_is_told_of_a_real_run(home: Home) -> None:
    from core.worker.process import work

    store = RunStore(home.database)
    run_id = store.create_run(TINY.replace(epochs=1, fault="leaking split"))
    assert work(home, run_id) == RunStatus.FINISHED
    found = learned_from(home, store.run(run_id))
    assert (found.shared, found.test) == (359, 359)
    assert found.train == 1_797, "all of digits: what is trained on, what validates and what tests"


@pytest.mark.parametrize(("weights", "words"), [("pretrained", "ImageNet"), ("/somewhere/weights.pth", "What the weights that it started from")])
def test_what_starting_weights_had_learned_from_is_not_known(home: Home, store: RunStore, weights: str, words: str) -> None:
    run_id = made_run(home, TINY.replace(starting_weights=weights, model="resnet18", image_size=32), weights=False)
    listed(home, run_id, train="abc", test="ef")
    found = learned_from(home, store.run(run_id))
    assert not found.leaks
    assert words in found.sentence
    assert found.sentence.endswith("is not known.")


def test_what_the_weights_that_ship_had_learned_from_is_said(home: Home, store: RunStore) -> None:
    run_id = made_run(home, TINY.replace(starting_weights="pretrained", model="small_cnn", image_size=32), weights=False)
    listed(home, run_id, train="abc", test="ef")
    found = learned_from(home, store.run(run_id))
    assert (found.weights, found.leaks) == ("shipped", False)
    assert "581 pictures of the handwritten digits 0 to 4, none of which is a test picture of digits, digits_0_4 or digits_5_9." in found.sentence


def test_what_the_run_before_learned_from_counts(home: Home, store: RunStore) -> None:
    first, second = made_run(home, TINY), made_run(home, TINY, weights=False)
    later = made_run(home, TINY.replace(starting_weights=str(home.run_folder(second) / "weights.pth")), weights=False)
    listed(home, first, train="xe", test="y")
    listed(home, second, train="ab", test="cd")
    recipe = Recipe("digits", None, ("cat",), 16, (0.5,), (0.5,), started_from=first)
    write_recipe(home.run_folder(second), recipe)
    listed(home, later, train="ab", test="ef")
    found = learned_from(home, store.run(later))
    assert (found.weights, found.before, found.shared, found.shared_before) == ("run", second, 0, 1)
    assert found.leaks
    assert f"1 of them are among those that run {second}" in found.sentence
    listed(home, later, train="ab", test="cd")
    assert f"Nor did run {second} learn from them" in learned_from(home, store.run(later)).sentence
    (home.run_folder(first) / "pictures.csv").unlink()
    assert f"What run {first}, which its weights come from, had learned from was not kept" in learned_from(home, store.run(later)).sentence
