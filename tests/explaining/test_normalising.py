"""What normalising does to pictures, and to what a model makes of them: the figures against torch, the sentences against the figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core import data
from core.config import ConfigError, RunConfig
from core.explaining.normalising import seen
from core.explaining.specimen import first_pictures
from core.machine.home import Home
from core.networks.model_entries import IMAGENET
from core.networks.models import build
from core.records.normalising import WHY, verdict


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One home for all tests of this file: drawing its pictures takes seconds."""
    return Home.from_environment(str(tmp_path_factory.mktemp("home")))


CONFIG = RunConfig(dataset="shapes", model="small_cnn", image_size=32, batch_size=32, seed=3)


def pictures(config: RunConfig, home: Home) -> torch.Tensor:
    return first_pictures(data.prepare(config, home, lambda text, share: None), 32)[0]


def test_the_right_view_is_the_one_of_a_run_and_the_figures_are_those_of_its_tensor(home: Home) -> None:
    found = seen(CONFIG, home)
    pixels = pictures(CONFIG, home)
    right = found.views[0]
    assert (right.mean, right.std) == (IMAGENET.mean, IMAGENET.std)
    assert right.distance == 0
    assert right.cosine == pytest.approx(1)
    for view in found.views:
        tensor = (pixels[0] / 255 - torch.tensor(view.mean).view(3, 1, 1)) / torch.tensor(view.std).view(3, 1, 1)
        assert view.channel_mean == pytest.approx(tensor.mean(dim=(1, 2)).tolist(), rel=1e-4, abs=1e-5)
        assert view.channel_std == pytest.approx(tensor.std(dim=(1, 2)).tolist(), rel=1e-4)
    by_hand = {view.name: view.channel_mean for view in found.views}
    assert by_hand["not even divided, 0 to 255"] == pytest.approx(pixels[0].float().mean(dim=(1, 2)).tolist(), rel=1e-4)


def test_the_distance_is_that_of_the_features_in_front_of_the_head(home: Home) -> None:
    torch.manual_seed(CONFIG.seed)
    model = build("small_cnn", 6, 32).eval()
    pixels = pictures(CONFIG, home)

    def features(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.pool(model.stage3(model.stage2(model.stage1(images)))).flatten(1)  # type: ignore[operator]

    right, plain = features(data.Normalise(*IMAGENET)(pixels)), features(pixels / 255)
    distance = ((plain - right).norm(dim=1) / right.norm(dim=1)).median()
    assert seen(CONFIG, home).views[1].distance == pytest.approx(float(distance), rel=1e-4)


def test_other_figures_shift_and_stretch_every_number_and_nothing_else(home: Home) -> None:
    """As `WHY` says: any two normalisations of a channel differ by one factor and one number."""
    assert "Other figures shift and stretch every number that the first layer gets." in WHY
    pixels = pictures(CONFIG, home)[:1]
    right = data.Normalise(*IMAGENET)(pixels)
    other = data.Normalise((0.5,) * 3, (0.5,) * 3)(pixels)
    for channel in range(3):
        stretch = IMAGENET.std[channel] / 0.5
        shift = (IMAGENET.mean[channel] - 0.5) / 0.5
        assert torch.allclose(other[0, channel], right[0, channel] * stretch + shift, atol=1e-5)


def test_random_weights_are_said_to_know_no_right_figures(home: Home) -> None:
    found = seen(CONFIG, home)
    assert not found.learned
    assert all(view.answers is None and view.other is None for view in found.views)
    assert "random: no figures are wrong for them yet" in verdict(found)
    assert f"by {found.views[1].distance:.2g} of their own length (median of 32 pictures)" in verdict(found)


def test_published_weights_that_are_not_here_are_not_downloaded(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    found = seen(CONFIG.replace(model="squeezenet1_1", starting_weights="pretrained"), home)
    assert (found.weights, found.learned) == ("random, since the published ones are not on this machine yet", False)
    assert not (tmp_path / "hub").exists()


def test_trained_weights_give_other_answers_without_the_figures_that_they_were_trained_with(home: Home, tmp_path: Path) -> None:
    """A model trained here, on normalised pictures, for a few steps: its own head has answers."""
    torch.manual_seed(0)
    model = build("small_cnn", 6, 32)
    images = data.prepare(CONFIG, home, lambda text, share: None)
    normalise, optimizer = data.Normalise(*IMAGENET), torch.optim.Adam(model.parameters(), 3e-3)
    for batch in images.train.batches(1):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(normalise(batch.images)), batch.labels).backward()
        optimizer.step()
    torch.save(model.state_dict(), tmp_path / "trained.pth")
    found = seen(CONFIG.replace(starting_weights=str(tmp_path / "trained.pth")), home)
    assert (found.learned, found.weights) == (True, "trained.pth")
    right, plain, *_ = found.views
    assert right.other == 0
    assert plain.other is not None
    assert plain.other > 0
    pixels = pictures(CONFIG, home)
    with torch.no_grad():
        model.eval()
        here = [model(normalise(pixels)).argmax(1), model(pixels / 255).argmax(1)]
        chances = model(normalise(pixels[:1]))[0].softmax(0)
    assert plain.other == int((here[0] != here[1]).sum())
    assert right.answers is not None
    assert right.answers[0][0] == images.classes[int(chances.argmax())]
    assert right.answers[0][1] == pytest.approx(float(chances.max()), abs=1e-5)
    assert verdict(found).endswith(f"and {plain.other} of 32 get another likeliest class.")


def test_a_dataset_that_is_not_here_is_not_downloaded(home: Home) -> None:
    with pytest.raises(ConfigError, match="not on this machine yet"):
        seen(CONFIG.replace(dataset="CIFAR10"), home)
