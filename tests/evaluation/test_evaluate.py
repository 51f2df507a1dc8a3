"""A run's weights put to the test: the whole test set, single pictures, Grad-CAM, and what is asked of runs that cannot answer."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

from core.commands.cli import main
from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.data import prepare
from core.evaluation import desk as evaluation_desk
from core.evaluation import evaluate, grad_cam, metrics, predictions
from core.evaluation.desk import EvaluationDesk
from core.evaluation.evaluate import Loaded
from core.evaluation.helper import Answers
from core.evaluation.pictures import keep
from core.evaluation.predictions import find_checkpoint, find_run, open_predictions
from core.evaluation.test_set import TestSet, draw_test_set
from core.helpers.helper import LabError
from core.lab.lab import Lab
from core.machine.home import Home
from core.networks.models import find_model
from core.networks.own_networks import Network
from core.records.evaluation import Evaluation, Work
from core.records.events import RunStatus
from core.store import RunStore, saving
from core.store.checkpoint import checkpoint_path, checkpoints, load_checkpoint
from core.worker.process import work
from tests.support import wait_until

NETWORK = "tiny: conv 8, norm, relu, pool, conv 16, norm, relu, global pool"
TINY = RunConfig(dataset="digits", model=NETWORK, image_size=16, batch_size=64, epochs=2, threads=1, learning_rate=0.03)
OTHER = TINY.replace(
    model="small_cnn", freeze="head only", precision="bfloat16", memory_format="channels_last", augmentation="shift", loss="MultiMarginLoss", epochs=1
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, str]:
    """A home with two finished runs on digits: all epochs kept; and one in another number format, of which nothing but the head learned."""
    home = Home.from_environment(str(tmp_path_factory.mktemp("trained")))
    store = RunStore(home.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "SHARE", 1e9)  # every epoch is worth keeping, however quick it was
        runs = [store.create_run(config) for config in (TINY, OTHER)]
        assert [work(home, run) for run in runs] == [RunStatus.FINISHED] * 2
    return home, runs[0], runs[1]


@pytest.fixture
def run(home: Home) -> str:
    """A run in a home of its own that has ended with random weights, and has not been tested: made in milliseconds."""
    return made_run(home, TINY)


def made_run(home: Home, config: RunConfig, status: RunStatus = RunStatus.STOPPED, classes: int = 10, weights: bool = True) -> str:
    from core.networks.models import build

    store = RunStore(home.database)
    run_id = store.create_run(config)
    if weights:
        torch.manual_seed(0)
        saving.save_weights(build(config.model, classes, config.image_size), home.run_folder(run_id) / "weights.pth")
    if not status.active:
        store.end(run_id, status)
    return run_id


def edit_config(home: Home, run_id: str, **fields: Any) -> None:
    """What a run of an older or newer Thaw, or an own catalogue, would have left behind."""
    with sqlite3.connect(home.database) as connection:
        (text,) = connection.execute("SELECT config FROM runs WHERE id = ?", (run_id,)).fetchone()
        connection.execute("UPDATE runs SET config = ? WHERE id = ?", (json.dumps({**json.loads(text), **fields}), run_id))


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
        saving._write(
            state if epoch == 0 else {"head.bias": state["head.bias"] + epoch}, checkpoint_path(home.run_folder(going_on), epoch, 10 * epoch)
        )
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


# Single pictures


@pytest.fixture(scope="module")
def loaded(trained: tuple[Home, str, str]) -> Loaded:
    return evaluate.load(trained[0], trained[1])


@pytest.fixture(scope="module")
def tested(trained: tuple[Home, str, str]) -> TestSet:
    return draw_test_set(TINY, trained[0], lambda text, share: None)


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


# Grad-CAM


def around(loaded: Loaded, model: nn.Module, name: str, size: int) -> Loaded:
    """`loaded` with another model in it, of the family of the catalogue's `name`."""
    return replace(loaded, model=model.eval(), entry=find_model(name), config=loaded.config.replace(image_size=size))


def test_behind_global_pooling_grad_cam_is_the_weights_of_the_head(loaded: Loaded, tested: TestSet) -> None:
    # Selvaraju et al. 2017, section 3.1: there it is CAM, up to a constant that scaling to 1 takes away.
    images = tested.pixels([11])
    model = loaded.model
    assert isinstance(model, Network)
    order = model.order
    with torch.no_grad():
        x = loaded.inputs(images)
        for name in order[: order.index("relu2") + 1]:
            x = model.get_submodule(name)(x)
        logits = model(loaded.inputs(images))
    for target in (0, 8):
        expected = (model.get_parameter("head.weight")[target][:, None, None] * x[0]).sum(dim=0).relu()
        made = grad_cam.explain(loaded, images, "relu2", target)
        assert np.allclose(made.heat, (expected / expected.max()).detach().numpy(), atol=1e-5)
        assert made.probability == pytest.approx(float(logits.softmax(1)[0, target]), abs=1e-6)
        assert (made.target, made.target_name, made.epoch) == (target, str(target), 2)
    assert grad_cam.explain(loaded, images, "relu2").target == int(logits.argmax())


def test_grad_cam_is_the_same_for_a_frozen_model_and_leaves_no_trace(loaded: Loaded, tested: TestSet) -> None:
    images = tested.pixels([3])
    made = grad_cam.explain(loaded, images, "conv1", 5)
    assert all(parameter.grad is None for parameter in loaded.model.parameters())
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(False)
    try:
        assert grad_cam.explain(loaded, images, "conv1", 5) == made
        assert "conv1" in grad_cam.layers(loaded)
    finally:
        for parameter in loaded.model.parameters():
            parameter.requires_grad_(True)
    assert not loaded.model._forward_hooks
    assert len(made.heat) == 16
    assert max(map(max, made.heat)) == 1


def test_a_layer_changed_in_place_by_the_next_can_be_looked_at(loaded: Loaded, tested: TestSet) -> None:
    class Plain(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv1, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=inplace)
            self.fc = nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(self.relu(self.conv1(x)).mean(dim=(2, 3)))
            return logits

    first, second = (grad_cam.explain(around(loaded, Plain(inplace), "resnet18", 16), tested.pixels([3]), "conv1", 5) for inplace in (False, True))
    assert first == second


def test_vision_transformers_are_seen_as_patches_up_to_the_last_that_counts(loaded: Loaded, tested: TestSet) -> None:
    torch.manual_seed(0)
    model = VisionTransformer(image_size=16, patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=10)
    nn.init.normal_(model.heads.head.weight)  # type: ignore[union-attr, arg-type]
    vit = around(loaded, model, "vit_b_16", 16)
    found = grad_cam.layers(vit)
    assert found[0] == "conv_proj"
    assert found[-1] == "encoder.layers.encoder_layer_1.ln_1", "of the last block's output only the class token is used"
    assert "encoder.layers.encoder_layer_0" in found
    assert not [path for path in found if path.startswith("heads")]
    made = grad_cam.explain(vit, tested.pixels([3]), found[-1], 2)
    assert (len(made.heat), len(made.heat[0])) == (4, 4)


def test_swin_is_seen_though_its_channels_come_last(loaded: Loaded, tested: TestSet) -> None:
    torch.manual_seed(0)
    model = SwinTransformer([2, 2], embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], num_classes=10)
    swin = around(loaded, model, "swin_t", 16)
    found = grad_cam.layers(swin)
    assert {"features.0.0", "features.0", "features.1.0", "features.3.0", "norm"} <= set(found)
    images = tested.pixels([3])
    assert len(grad_cam.explain(swin, images, "features.1.0", 2).heat) == 8
    maps = grad_cam._pass(swin, images, "features.1.0", 2)[0]
    assert maps.shape[-1] == 8
    assert grad_cam._as_maps(swin, "features.1.0", torch.arange(128.0).view(1, 4, 4, 8))[0, 3, 1, 2] == (1 * 4 + 2) * 8 + 3


def test_a_network_without_maps_has_no_layers_to_look_at(loaded: Loaded, tested: TestSet) -> None:
    from core.networks.models import build

    for name in ("mlp", "flat: flatten, linear 4, relu"):
        flat = around(loaded, build(name, 10, 16), name, 16)
        assert grad_cam.layers(flat) == ()
        with pytest.raises(ConfigError, match="none: this model has no layer with a map"):
            grad_cam.explain(flat, tested.pixels([0]), "head", 0)


def test_the_layers_of_a_residual_network_are_blocks_and_convolutions(loaded: Loaded) -> None:
    from core.networks.models import build

    found = grad_cam.layers(around(loaded, build("resnet18", 10, 64), "resnet18", 64))
    assert found[0] == "conv1"
    assert found[-1] == "layer4"
    assert "layer2.0.conv1" in found
    assert "layer4.1" not in found, "its output is that of layer4"
    assert not {"fc", "avgpool", "layer1.0.bn1"} & set(found)


@pytest.mark.parametrize(
    ("layer", "target", "field", "words"),
    [
        ("layer9", 0, "layer", "no layer 'layer9'; choose one of those with a map"),
        ("", 0, "layer", "relu2"),
        ("head", 0, "layer", r"no places to point at \(its shape is \(1, 10\)\)"),
        ("relu2", 10, "target", "use 0 to 9"),
        ("relu2", -1, "target", "no class -1"),
    ],
)
def test_grad_cam_of_what_is_not_there_names_the_remedy(loaded: Loaded, tested: TestSet, layer: str, target: int, field: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        grad_cam.explain(loaded, tested.pixels([0]), layer, target)
    assert caught.value.field == field


# The command line


def thaw(home: Home, *arguments: str) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = main([*arguments, "--home", str(home.path)])
    return status, output.getvalue(), errors.getvalue()


def test_evaluate_prints_all_figures_as_json_or_in_a_table(trained: tuple[Home, str, str]) -> None:
    home, run_id, _ = trained
    status, output, errors = thaw(home, "evaluate", run_id, "--json")
    made = evaluate.evaluate(home, run_id).evaluation
    assert (status, errors) == (0, "")
    printed = json.loads(output)
    assert printed["accuracy"]["value"] == made.accuracy.value
    assert set(printed) == {*Evaluation.__dataclass_fields__, "data_notes"}
    status, output, _ = thaw(home, "evaluate", run_id, "--epoch", "1")
    assert status == 0
    assert "epoch 1, step" in output
    assert "top-5 accuracy" in output
    assert len(output.splitlines()) == 20
    for arguments, words in (
        (("evaluate", run_id, "--epoch", "one"), "epoch: 'one' is no epoch"),
        (("evaluate", run_id, "--epoch", "9"), "choose one of 0, 1, 2"),
        (("predict", "20990101-000000-abcd", "a.png"), "there is no run"),
    ):
        status, _, errors = thaw(home, *arguments)
        assert status == 2
        assert words in errors


class Terminal(io.StringIO):
    """What is printed where somebody looks on."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_keeps_out_of_the_json(home: Home, run: str, tmp_path: Path) -> None:
    picture, bad = tmp_path / "a.png", tmp_path / "bad.png"
    Image.new("RGB", (8, 8)).save(picture)
    bad.write_bytes(b"no picture")
    for arguments, words in (
        (("evaluate", run), "of 359 images"),
        (("predict", run, str(picture), str(bad), str(picture)), "of 3 pictures"),
    ):
        output, errors = io.StringIO(), Terminal()
        with redirect_stdout(output), redirect_stderr(errors):
            main([*arguments, "--json", "--home", str(home.path)])
        assert words in errors.getvalue()
        assert json.loads(output.getvalue())
    assert "\rthaw: picture: 'bad.png' cannot be read" in errors.getvalue(), "on a line of its own"


def test_predict_names_what_it_cannot_read_and_predicts_the_rest(trained: tuple[Home, str, str], tmp_path: Path) -> None:
    home, run_id, _ = trained
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("LA", (30, 20), (9, 0)).save(good)
    bad.write_bytes(b"no picture")
    status, output, errors = thaw(home, "predict", run_id, str(bad), str(good), "--json")
    printed = json.loads(output)
    assert status == 2
    assert "'bad.png' cannot be read as a picture" in errors
    assert [part["image"] for part in printed] == [str(bad), str(good)]
    assert "not an image" in printed[0]["error"]
    assert len(printed[1]["guesses"]) == 5
    assert printed[1]["guesses"][0]["probability"] >= printed[1]["guesses"][1]["probability"]
    assert "Its transparent parts were put on white." in printed[1]["notes"]
    status, output, _ = thaw(home, "predict", run_id, str(good), "--epoch", "0")
    assert status == 0
    assert output.startswith(f"{good}: ")


def test_predict_on_a_run_that_cannot_answer_is_one_clear_line(home: Home, run: str, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    assert thaw(home, "predict", run, str(picture))[0] == 0
    without = made_run(home, TINY, RunStatus.QUEUED, weights=False)
    gone, deleted = made_run(home, TINY), made_run(home, TINY)
    edit_config(home, gone, model="resnet81")
    RunStore(home.database).delete_run(deleted)
    for run_id, words in ((without, "has not saved weights yet"), (gone, "there is no model 'resnet81'"), (deleted, "it was deleted")):
        status, output, errors = thaw(home, "predict", run_id, str(picture), "--json")
        assert (status, output) == (2, "")
        assert words in errors
        assert run_id in errors
        assert len(errors.splitlines()) == 1


# The lab


@pytest.fixture(scope="module")
def lab(trained: tuple[Home, str, str]) -> Iterator[Lab]:
    lab = Lab(trained[0])
    yield lab
    lab.close()


def settled(ask: Any) -> tuple[Work, Any]:
    def done() -> Any:
        work, found = ask()
        return (work, found) if work.state != "working" else None

    result: tuple[Work, Any] = wait_until(done)
    return result


def test_the_lab_works_in_the_background_and_answers_clicks_meanwhile(trained: tuple[Home, str, str], lab: Lab) -> None:
    home, run_id, other = trained
    for file in home.runs.glob("*/evaluations/*"):
        file.unlink()
    assert lab.evaluation(run_id, 0) == (Work("working", None, "waiting for its turn"), None)
    assert lab.embedding(run_id, 0, None)[0].state == "working"
    # A process of its own has these.
    assert len(lab.samples(run_id, None, range(5))) == 5
    assert lab.cam_layers(run_id)[-1] == "relu2"
    assert lab.cam(run_id, 0, 3, "relu2", 4).target == 4
    black = io.BytesIO()
    Image.new("RGB", (20, 20)).save(black, "PNG")
    path = keep(home, black.getvalue(), "black.png")
    assert len(lab.predict(run_id, str(path)).guesses) == 5
    with pytest.raises(ConfigError, match="use 0 to 358"):
        lab.predict(run_id, 359)
    done, made = settled(lambda: lab.evaluation(run_id, 0))
    assert done == Work("done", 1.0)
    assert made == evaluate.evaluate(home, run_id, 0).evaluation
    done, drawn = settled(lambda: lab.embedding(run_id, 0, None))
    assert done.state == "done"
    assert (drawn.before_epoch, drawn.after_epoch, len(drawn.points), drawn.layer) == (0, 2, 359, "head")
    assert lab.embedding(run_id, 0, None)[1] is lab.embedding(run_id, 0, None)[1], "remembered"
    # What fails says why, stays so, and is tried again when that is asked for.
    edit_config(home, other, model="resnet81")
    failed, nothing = settled(lambda: lab.evaluation(other, None))
    assert (failed.state, nothing) == ("failed", None)
    assert "resnet81" in failed.message
    assert lab.evaluation(other, None)[0] == failed
    edit_config(home, other, model="small_cnn")
    done, made = settled(lambda: lab.evaluation(other, None, retry=True))
    assert done.state == "done"
    assert lab._evaluating._long._process is not None
    assert psutil.Process(lab._evaluating._long._process.pid).nice() > psutil.Process().nice()


class Slow:
    """In place of a helper process: answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Semaphore(0)
        self.cancelled: set[int] = set()
        self.closed = False
        self.error: Exception | None = None

    def ask(self, line: str, number: int, progress: Any) -> Any:
        question = json.loads(line)
        self.asked.append(f"{question['question']} {question['epoch']}")
        progress("on the way", 0.5)
        while not self.go.acquire(timeout=0.02):
            if self.closed:
                raise LabError("The server is closing")
            if number in self.cancelled:
                return None
        if self.error is not None:
            raise self.error
        return True

    def tell(self, cancel: int) -> None:
        self.cancelled.add(cancel)

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def desk(trained: tuple[Home, str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EvaluationDesk, Slow]]:
    desk, slow = EvaluationDesk(trained[0]), Slow()
    monkeypatch.setattr(desk, "_long", slow)
    monkeypatch.setattr(desk, "_quick", Slow())
    monkeypatch.setattr(predictions, "kept", lambda home, run, checkpoint: None)
    yield desk, slow
    desk.close()
    assert desk._thread is None or not desk._thread.is_alive()


def test_what_was_asked_about_last_is_done_next(trained: tuple[Home, str, str], desk: tuple[EvaluationDesk, Slow]) -> None:
    ask, slow = (lambda epoch: desk[0].evaluation(trained[1], epoch)[0]), desk[1]
    assert ask(0).message == "waiting for its turn"
    wait_until(lambda: ask(0) == Work("working", 0.5, "on the way"))
    for epoch in (1, 2):
        assert ask(epoch).message == "waiting for its turn"
    slow.go.release(3)
    wait_until(lambda: len(slow.asked) == 3)
    assert slow.asked == ["evaluation 0", "evaluation None", "evaluation 1"], "epoch 2 is what the run ended with"


def test_work_that_nobody_asks_about_makes_way_for_other_work(
    trained: tuple[Home, str, str], desk: tuple[EvaluationDesk, Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, slow = (lambda epoch: desk[0].evaluation(trained[1], epoch)[0]), desk[1]
    ask(0)
    wait_until(lambda: slow.asked == ["evaluation 0"])
    monkeypatch.setattr(evaluation_desk, "WANTED_SECONDS", 0.3)
    threading.Event().wait(0.4)
    assert ask(0).state == "working", "whoever comes back in time finds it still at work"
    threading.Event().wait(0.4)
    ask(1)
    wait_until(lambda: ask(1) == Work("working", 0.5, "on the way"))
    assert slow.cancelled == {1}
    assert slow.asked == ["evaluation 0", "evaluation 1"]


def test_a_failure_stands_until_it_is_tried_again(
    trained: tuple[Home, str, str], desk: tuple[EvaluationDesk, Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, slow = (lambda **options: desk[0].evaluation(trained[1], 1, **options)[0]), desk[1]
    slow.error = LabError("it was killed")
    slow.go.release()
    ask()
    wait_until(lambda: ask() == Work("failed", message="it was killed"))
    assert [ask().state for _ in range(3)] == ["failed"] * 3
    assert len(slow.asked) == 1
    assert ask(retry=True).state == "working"
    wait_until(lambda: len(slow.asked) == 2)
    slow.go.release()
    wait_until(lambda: ask().state == "failed")
    monkeypatch.setattr(evaluation_desk, "FAILURE_SECONDS", 0.0)
    assert ask().state == "working", "some time later it is tried again by itself"


def test_what_was_kept_of_a_dataset_that_has_changed_since_is_dropped(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (20, 20), (20 * number, 9, 9)).save(folder / name / f"{number}.png")
    run_id = made_run(home, TINY.replace(dataset=f"folder:{folder}", batch_size=4), classes=2)
    evaluate.evaluate(home, run_id)
    question = {"question": "samples", "run": run_id, "epoch": None, "indices": [0, 1], "size": 16}
    assert len(Answers(home).to(question, lambda: False, lambda text, share: None)) == 2
    assert open_predictions(home, run_id, None) is not None
    (folder / "cat" / "0.png").unlink()
    assert len(Answers(home).to(question, lambda: False, lambda text, share: None)) == 2
    assert open_predictions(home, run_id, None) is None
