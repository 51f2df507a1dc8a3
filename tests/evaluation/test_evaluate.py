"""A run's weights put to the test: the whole test set, single pictures, Grad-CAM, and what is asked of runs that cannot answer."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import ConfigError
from core.config.errors import Cancelled
from core.data import prepare
from core.evaluation import evaluate, grad_cam, metrics, predictions
from core.evaluation.evaluate import Loaded
from core.evaluation.predictions import find_checkpoint, find_run, open_predictions
from core.evaluation.test_set import TestSet, draw_test_set
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore, saving
from core.store.checkpoint import checkpoint_path, checkpoints, load_checkpoint
from tests.evaluation.evaluate_cases import TINY, edit_config, loaded, made_run, run, tested, trained  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread_each")


def refused(*arguments: Any, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        evaluate.evaluate(*arguments, **options)
    return caught.value


# The whole test set


@pytest.mark.parametrize("which", [1, 2])
def test_the_newest_weights_are_exactly_as_good_as_the_run_says(trained: tuple[Home, str, str], which: int) -> None:
    home, run_id = trained[0], str(trained[which])
    result = find_run(home, run_id).result
    assert result is not None
    made = evaluate.evaluate(home, run_id)
    assert made.evaluation.accuracy.value == result.test_accuracy
    assert (made.epoch, made.step, made.evaluation.samples, len(made.classes)) == (result.epochs, result.steps, 359, 10)
    assert made.layer == "head"
    if which == 1:
        assert made.evaluation.loss == pytest.approx(result.test_loss, rel=1e-6)
        assert made.evaluation.notes == ()
    else:
        assert "this run trained with MultiMarginLoss" in made.evaluation.notes[0]
    assert made.embeddings.shape == (359, 16 if which == 1 else 128)


def test_the_test_set_is_the_runs_own(trained: tuple[Home, str, str], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(12):
                image = Image.fromarray(generator.integers(256, size=(20, 30, 3), dtype=np.uint8))
                image.save(folder / part / name / f"{number}.png")
    (folder / "train" / "cat" / "broken.png").write_bytes(b"no picture")
    keys = set()
    for dataset in ("digits", f"folder:{folder}", f"folder:{folder / 'train'}"):
        for size in (16, 24):
            config = TINY.replace(dataset=dataset, image_size=size, batch_size=8, augmentation="flip", seed=3)
            expected = prepare(config, trained[0], lambda text, share: None)
            made = draw_test_set(config, trained[0], lambda text, share: None)
            assert made.classes == expected.classes
            assert len(made.loader) == len(expected.test)
            for mine, theirs in zip(made.loader.batches(0), expected.test.batches(0), strict=True):
                assert torch.equal(mine.images, theirs.images)
                assert torch.equal(mine.labels, theirs.labels)
            keys.add(made.key)
    assert len(keys) == 3, "the same for all sizes, another one for other images"


def test_a_second_look_is_read_from_the_disk(trained: tuple[Home, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    home, run_id, _ = trained
    first = evaluate.evaluate(home, run_id, 1)
    monkeypatch.setattr(evaluate, "load", None)
    predictions._open.cache_clear()
    again = evaluate.evaluate(home, run_id, 1)
    assert again is not first
    assert again.evaluation == first.evaluation
    for name in ("logits", "labels", "points", "embeddings"):
        assert np.array_equal(getattr(again, name), getattr(first, name))
    found = open_predictions(home, run_id, 1)
    assert found is again, "and kept in memory"


def test_each_epoch_has_its_own_figures(trained: tuple[Home, str, str]) -> None:
    home, run_id, _ = trained
    made = [evaluate.evaluate(home, run_id, epoch) for epoch in (0, 1, 2, None)]
    assert [part.epoch for part in made] == [0, 1, 2, 2]
    assert [part.step for part in made] == [checkpoint.step for checkpoint in checkpoints(home, find_run(home, run_id))] + [made[2].step]
    accuracies = [part.evaluation.accuracy.value or 0 for part in made]
    assert accuracies[0] < 0.3 < accuracies[2]
    assert len({part.test_set for part in made}) == 1
    assert made[2].evaluation == made[3].evaluation


def test_what_was_kept_is_good_for_the_same_weights_alone(home: Home, run: str) -> None:
    first = evaluate.evaluate(home, run)
    (checkpoint,) = checkpoints(home, find_run(home, run))
    state = {name: tensor * 2 for name, tensor in load_checkpoint(checkpoint).items()}
    torch.save(state, checkpoint.path)
    assert open_predictions(home, run, None) is None
    second = evaluate.evaluate(home, run)
    assert not np.array_equal(first.logits, second.logits)
    (file,) = (home.run_folder(run) / "evaluations").iterdir()
    for damage in (b"", file.read_bytes()[:-100], b"PK\x03\x04 no npz"):
        file.write_bytes(damage)
        assert open_predictions(home, run, None) is None
    assert np.array_equal(evaluate.evaluate(home, run).logits, second.logits), "what is damaged is made again"


def test_work_that_nobody_wants_any_more_leaves_nothing_behind(home: Home, run: str) -> None:
    said: list[tuple[str, float | None]] = []

    def progress(text: str, share: float | None) -> None:
        said.append((text, share))

    with pytest.raises(Cancelled):
        evaluate.evaluate(home, run, None, progress, lambda: bool(said and said[-1][1]))
    assert said[-1] == ("evaluating epoch 0: 64 of 359 images", 64 / 359)
    assert not (home.run_folder(run) / "evaluations").exists()
    said.clear()
    evaluate.evaluate(home, run, None, progress)
    assert [share for _, share in said if share is not None] == [number * 64 / 359 for number in range(6)]


def test_a_full_disk_is_said_and_leaves_no_half_file(home: Home, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    error = refused(home, run)
    assert error.field == "home"
    assert "No space left on device" in error.message
    assert not list((home.run_folder(run) / "evaluations").iterdir())


def test_evaluations_of_weights_that_are_gone_are_dropped(trained: tuple[Home, str, str]) -> None:
    home, run_id, _ = trained
    stray = home.run_folder(run_id) / "evaluations" / "epoch-0007-99.npz"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"")
    for file in stray.parent.glob("epoch-0000-*"):
        file.unlink()
    evaluate.evaluate(home, run_id, 0)
    evaluate.evaluate(home, run_id, 1)
    assert not stray.exists()
    assert open_predictions(home, run_id, 0) is not None


def test_outputs_that_are_not_finite_count_as_wrong(home: Home, run: str) -> None:
    path = home.run_folder(run) / "weights.pth"
    state = torch.load(path, weights_only=True)
    state["head.bias"][3] = float("nan")
    torch.save(state, path)
    made = evaluate.evaluate(home, run)
    assert (made.evaluation.not_finite, made.evaluation.accuracy.value, made.evaluation.loss) == (359, 0, None)
    assert "359 of 359 images give NaN or infinite outputs" in made.evaluation.notes[0]
    assert len(made.mistakes(1000)) == 359
    assert sum(map(sum, made.evaluation.confusion)) == 0
    loaded = evaluate.load(home, run)
    test = draw_test_set(TINY, home, lambda text, share: None)
    prediction = evaluate.predict(loaded, test.pixels([0]))
    assert prediction.guesses == ()
    assert "NaN or infinite" in prediction.notes[0]
    (sample,) = evaluate.sample(lambda: loaded, test, made, [4], 32)
    assert (sample.predicted, sample.confidence) == (None, None)
    assert "NaN or infinite" in grad_cam.explain(loaded, test.pixels([0]), "relu1", 3).note


def test_a_class_without_test_images_is_left_undefined(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name, count in (("cat", 20), ("dog", 20), ("owl", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (16, 16), (number, len(name), 9)).save(folder / name / f"{number}.png")
    config = TINY.replace(dataset=f"folder:{folder}", batch_size=4)
    made = evaluate.evaluate(home, made_run(home, config, classes=3)).evaluation
    assert [score.samples for score in made.per_class] == [4, 4, 0]
    assert made.per_class[2].recall.value is None
    assert any("No test images of owl" in note for note in made.notes)


# Runs that cannot be asked


def test_a_run_that_was_deleted_is_named(home: Home, run: str) -> None:
    RunStore(home.database).delete_run(run)
    error = refused(home, run)
    assert error.field == "run"
    assert run in error.message
    assert "deleted" in error.message


def test_a_run_without_weights_says_when_there_will_be_some(home: Home) -> None:
    queued = refused(home, made_run(home, TINY, RunStatus.QUEUED, weights=False))
    failed = refused(home, made_run(home, TINY, RunStatus.FAILED, weights=False))
    assert queued.field == failed.field == "run"
    assert "has not saved weights yet (queued); the first come before its first step" in queued.message
    assert "ended (failed) before it saved any" in failed.message
    assert "train again" in failed.message


def test_an_epoch_that_was_not_kept_names_those_that_were(trained: tuple[Home, str, str]) -> None:
    for epoch in (7, -1):
        error = refused(trained[0], trained[1], epoch)
        assert error.field == "epoch"
        assert f"epoch {epoch}" in error.message
        assert "choose one of 0, 1, 2 (0: before training)" in error.message


def test_a_run_that_goes_on_is_asked_by_its_newest_weights(home: Home, run: str) -> None:
    going_on = made_run(home, TINY, RunStatus.RUNNING, weights=False)
    state = torch.load(home.run_folder(run) / "weights.pth", weights_only=True)
    for epoch in (0, 1, 2):
        saving.save(state if epoch == 0 else {"head.bias": state["head.bias"] + epoch}, checkpoint_path(home.run_folder(going_on), epoch, 10 * epoch))
        made = evaluate.evaluate(home, going_on)
        assert (made.epoch, made.step) == (epoch, 10 * epoch)
        assert open_predictions(home, going_on, None) is not None
    first, last = evaluate.evaluate(home, going_on, 0), evaluate.evaluate(home, going_on, 2)
    assert np.allclose(first.logits + 2, last.logits, atol=1e-5)


def test_a_run_that_was_stopped_in_its_first_epoch_has_weights_before_and_after(home: Home, run: str) -> None:
    folder = home.run_folder(run) / "checkpoints"
    folder.mkdir()
    for name in ("epoch-0000-step-00000000.pth", "epoch-0000-step-00000009-final.pth"):
        (folder / name).write_bytes((home.run_folder(run) / "weights.pth").read_bytes())
    found = find_run(home, run)
    assert (find_checkpoint(home, found, 0).step, find_checkpoint(home, found).step) == (0, 9)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"model": "resnet81"}, "model", "'resnet81'"),
        ({"model": "mine: conv 8, hologram 3"}, "model", "hologram"),
        ({"dataset": "MNISTY"}, "dataset", "'MNISTY'"),
        ({"dataset": "folder:/nowhere/at/all"}, "dataset", "/nowhere/at/all"),
        ({"warp_drive": 9}, "warp_drive", "9"),
        ({"image_size": "large"}, "image_size", "'large'"),
    ],
)
def test_settings_that_are_gone_are_named_with_their_run(home: Home, run: str, fields: dict[str, Any], field: str, words: str) -> None:
    edit_config(home, run, **fields)
    error = refused(home, run)
    assert error.field == field
    assert words in error.message
    assert run in error.message or field == "dataset"


def test_weights_of_another_network_do_not_fit(home: Home, run: str) -> None:
    edit_config(home, run, model="tiny: conv 8, norm, relu, pool, conv 32, norm, relu, global pool")
    error = refused(home, run)
    assert error.field == "epoch"
    for word in ("do not fit", "weights.pth", "conv2.weight", "train again"):
        assert word in error.message


def test_weights_that_are_damaged_are_named(home: Home, run: str) -> None:
    path = home.run_folder(run) / "weights.pth"
    path.write_bytes(path.read_bytes()[:1000])
    error = refused(home, run)
    assert error.field == "epoch"
    assert "cannot be read" in error.message


def test_a_dataset_with_other_classes_than_the_run_is_refused(trained: tuple[Home, str, str]) -> None:
    home, run_id, _ = trained
    loaded = replace(evaluate.load(home, run_id), classes=(*"012345678", "ten"))
    test = draw_test_set(TINY, home, lambda text, share: None)
    with pytest.raises(ConfigError, match=r"gone: ten; new: 9\); bring the dataset back") as caught:
        evaluate._check_classes(loaded, test)
    assert caught.value.field == "dataset"


def test_a_test_image_saved_as_a_file_is_predicted_as_in_the_evaluation(
    trained: tuple[Home, str, str], loaded: Loaded, tested: TestSet, tmp_path: Path
) -> None:
    from core.data.embedded import read_digits

    home, run_id, _ = trained
    made = evaluate.evaluate(home, run_id)
    raw = read_digits(tmp_path, lambda text, share: None)
    places = tested.images.indices.tolist()
    for index in (0, 7, 300):
        assert isinstance(raw.train.images, np.ndarray)
        path = tmp_path / f"{index}.png"
        Image.fromarray(raw.train.images[places[index]][0]).save(path)  # 8 x 8 grey pixels
        images, notes = evaluate.picture(loaded, path)
        assert torch.equal(images, tested.pixels([index]))
        assert np.allclose(loaded.logits(images).numpy()[0], made.logits[index], atol=1e-5)
        assert "It is grey: all three colour channels are equal." in notes


def test_an_image_of_a_folder_is_predicted_as_in_the_evaluation(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.random.default_rng(number).integers(256, size=(40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    run_id = made_run(home, TINY.replace(dataset=f"folder:{folder}", batch_size=4), classes=2)
    made, model = evaluate.evaluate(home, run_id), evaluate.load(home, run_id)
    test = draw_test_set(model.config, home, lambda text, share: None)
    files = sorted(folder.glob("*/*.jpg"))
    for index, place in enumerate(test.images.indices.tolist()):
        images, _ = evaluate.picture(model, files[place])
        assert torch.equal(images, test.pixels([index]))
        assert np.allclose(model.logits(images).numpy()[0], made.logits[index], atol=1e-5)


def size_of(picture: str) -> tuple[int, int]:
    """Width and height of a data URI's picture, in pixels."""
    return Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).size


def test_a_prediction_has_the_five_likeliest_classes(loaded: Loaded, tested: TestSet) -> None:
    made = evaluate.predict(loaded, tested.pixels([5]), ("a note",))
    shares = metrics.probabilities(loaded.logits(tested.pixels([5])).numpy())[0]
    assert [guess.probability for guess in made.guesses] == sorted(shares.tolist(), reverse=True)[:5]
    assert [guess.label for guess in made.guesses] == np.argsort(-shares)[:5].tolist()
    assert made.guesses[0].name == loaded.classes[made.guesses[0].label]
    assert (made.epoch, made.notes) == (2, ("a note",))
    assert size_of(made.picture) == (16, 16), "as the model saw it"


def test_samples_are_the_images_and_what_was_made_of_them(trained: tuple[Home, str, str], loaded: Loaded, tested: TestSet) -> None:
    made = evaluate.evaluate(trained[0], trained[1])
    found = evaluate.sample(lambda: loaded, tested, made, [300, 2], 48)
    assert [sample.index for sample in found] == [300, 2]
    assert [sample.label for sample in found] == made.labels[[300, 2]].tolist()
    assert [sample.predicted for sample in found] == made.predicted[[300, 2]].tolist()
    assert [sample.confidence for sample in found] == made.confidence[[300, 2]].tolist()
    computed = evaluate.sample(lambda: loaded, tested, None, [300, 2], 48)
    assert [replace(sample, confidence=None) for sample in computed] == [replace(sample, confidence=None) for sample in found]
    assert evaluate.sample(lambda: loaded, tested, made, [], 48) == ()
    assert size_of(found[0].picture) == (16, 16), "the browser enlarges it: a larger file says no more"
    assert size_of(evaluate.sample(lambda: loaded, tested, made, [2], 8)[0].picture) == (8, 8)
    for indices, size, field in (([359], 48, "index"), ([-1], 48, "index"), ([0], 5000, "size")):
        with pytest.raises(ConfigError) as caught:
            evaluate.sample(lambda: loaded, tested, made, indices, size)
        assert caught.value.field == field
