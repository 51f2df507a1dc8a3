"""What a run would take from a file of weights: what is said ahead is what loading does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from core.config import ConfigError, RunConfig
from core.model import weights
from core.model.weights_ahead import weights_fit
from core.networks.models import build
from core.records.layers import head_options

MOBILE = {"model": "mobilenet_v3_small", "image_size": 32}


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    """Of a mobilenet with a head for ImageNet's classes."""
    return dict(torchvision.models.mobilenet_v3_small().state_dict())


def written(path: Path, content: Any) -> str:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    else:
        torch.save(content, path)
    return str(path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_with_another_head_fits_but_for_the_head(tmp_path: Path, state: dict[str, Any], name: str) -> None:
    config = RunConfig(**MOBILE, starting_weights=written(tmp_path / name, state))
    found = weights_fit(config, 2)
    assert found.sentence == "242 of 244 tensors fit, the head is new (classifier.3)."
    assert found.of_imagenet
    (said,) = weights.load(build("mobilenet_v3_small", 2, 32), config)
    assert f"{found.taken} of the model's {found.total} tensors were taken" in said


@pytest.mark.parametrize("model", ["resnet18", "vit_b_16", "googlenet", "small_cnn"])
def test_what_is_said_ahead_is_what_is_loaded(tmp_path: Path, model: str) -> None:
    config = RunConfig(model=model, image_size=32, head_hidden=8 if model == "resnet18" else None)
    made = build(model, 10, 32)
    config = config.replace(starting_weights=written(tmp_path / "weights.pth", {"model": made.state_dict(), "more": torch.zeros(3)}))
    before = torch.get_rng_state()
    found = weights_fit(config, 10)
    assert torch.equal(torch.get_rng_state(), before), "no random numbers are drawn"
    (said,) = weights.load(build(model, 10, 32, head_options(config)), config)
    assert f"{found.taken} of the model's {found.total} tensors were taken" in said
    assert ("the head is new" in said) == bool(found.new)
    assert found.left_out == 1
    assert found.classes == 10


def test_a_file_of_another_model_says_which_one_it_is(tmp_path: Path, state: dict[str, Any]) -> None:
    config = RunConfig(model="resnet18", image_size=32, starting_weights=written(tmp_path / "mine.pth", state))
    found = weights_fit(config, 2)
    assert found.likely == ("mobilenet_v3_small",)
    with pytest.raises(ConfigError) as caught:
        weights.load(build("resnet18", 2, 32), config)
    assert caught.value.message.removeprefix(str(tmp_path) + "/") == found.error


def test_what_is_no_file_of_weights_is_an_answer_and_a_bad_model_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<!doctype html>")
    assert "web page" in weights_fit(RunConfig(**MOBILE, starting_weights=str(tmp_path / "page.pth")), 2).error
    with pytest.raises(ConfigError, match="needs at least 299"):
        weights_fit(RunConfig(model="inception_v3", starting_weights=str(tmp_path / "page.pth")), 2)
