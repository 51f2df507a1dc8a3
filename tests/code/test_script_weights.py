"""A script takes of a file of weights what a run takes, whatever the file is called and whatever the weights lie in."""

from __future__ import annotations

import argparse
import collections
import datetime
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from core.config import RunConfig
from core.machine.bits import same
from core.model import weights
from core.networks import models
from core.records.layers import head_options
from tests.code.code_cases import CLASSES, SMALL, ready, script_of

pytestmark = pytest.mark.usefixtures("one_thread")

State = dict[str, Tensor]


def lightning(state: State) -> Any:
    named = {f"model.{name}": tensor for name, tensor in state.items()}
    return {"hyper_parameters": argparse.Namespace(lr=np.float64(0.1)), "state_dict": {**named, "criterion.weight": torch.ones(4)}, "loops": [3]}


def beside_means(state: State) -> Any:
    means = {name: tensor + 1 for name, tensor in state.items()}
    return {"ema": means, "when": datetime.datetime(2024, 1, 2), "net": state, "epoch": np.int64(4)}


def averaged(state: State) -> Any:
    return {"n_averaged": torch.tensor(3), **{f"module.{name}": tensor for name, tensor in state.items()}}


def in_lists(state: State) -> Any:
    kept: collections.defaultdict[str, Any] = collections.defaultdict(list, state)
    return [{"optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}}, ("weights", kept)]


def by_number(state: State, model: str = "small_cnn") -> Any:
    """As in an `nn.Sequential` of the model's parts, of which some have no tensors."""
    places = {name: place for place, (name, _) in enumerate(models.build(model, CLASSES, 32).named_children())}
    return {f"{places[name.partition('.')[0]]}.{name.partition('.')[2]}": tensor for name, tensor in state.items()}


def with_a_prefix(state: State, _: str) -> State:
    return {f"my_encoder_{name}": tensor for name, tensor in state.items()}


def in_half(state: State) -> Any:
    return {"module": {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}}


def other_head(state: State) -> Any:
    return {**{f"net/{name}": tensor for name, tensor in state.items()}, "net/head.further": torch.ones(2)}


WRAPPED = (lightning, beside_means, averaged, in_lists, by_number, in_half, other_head)


def trained(model: str = "small_cnn", image_size: int = 16) -> State:
    torch.manual_seed(77)
    return models.build(model, CLASSES, image_size).state_dict()


def by_run(config: RunConfig) -> State:
    torch.manual_seed(config.seed)
    model: nn.Module = models.build(config.model, CLASSES, config.image_size, head_options(config))
    weights.load(model, config)
    return model.state_dict()


def different(shown: State, real: State) -> list[str]:
    assert list(shown) == list(real)
    return [name for name, tensor in real.items() if not same(shown[name], tensor)]


def test_the_script_reads_the_weights_that_ship_with_thaw_as_the_run_does() -> None:
    config = SMALL.replace(starting_weights="pretrained", seed=5)
    assert different(ready(config)["model"].state_dict(), by_run(config)) == []
    assert different(by_run(config), by_run(config.replace(starting_weights="random"))) != []
    assert "# Trained on 581 pictures" in script_of(config)
    assert "core." not in script_of(config)


@pytest.mark.parametrize("ending", ["pth.tar", "safetensors"])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_the_script_finds_in_a_file_of_torch_what_the_run_finds(wrap: Callable[[State], Any], ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"some.{ending}"
    torch.save(wrap(trained()), file)
    config = SMALL.replace(starting_weights=str(file))
    real = by_run(config)
    assert different(ready(config)["model"].state_dict(), real) == []
    body = [name for name in real if not name.startswith("head.") and real[name].is_floating_point()]
    assert all(torch.allclose(real[name], trained()[name], atol=1e-3) for name in body), "the file's weights were to be taken"


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
@pytest.mark.parametrize("wrap", [by_number, with_a_prefix])
def test_the_script_reads_safetensors_as_the_run_does_whatever_it_is_called(wrap: Callable[[State, str], State], ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"some.{ending}"
    save_file(wrap({name: tensor for name, tensor in trained("resnet18", 32).items() if not name.startswith("fc.")}, "resnet18"), file)
    config = RunConfig(model="resnet18", image_size=32, starting_weights=str(file), device="cpu")
    assert different(ready(config)["model"].state_dict(), by_run(config)) == []
    assert "STAND_INS" not in script_of(config)


def test_the_script_interpolates_the_positions_of_a_file_as_the_run_does(tmp_path: Path) -> None:
    other = torchvision.models.get_model("vit_b_32", num_classes=3, image_size=64).state_dict()
    file = tmp_path / "vit.bin"
    torch.save({"model": {f"backbone.{name}": tensor.half() for name, tensor in other.items()}}, file)
    config = RunConfig(model="vit_b_32", image_size=96, starting_weights=str(file), freeze="head only", device="cpu")
    assert different(ready(config)["model"].state_dict(), by_run(config)) == []


def test_scripts_read_unusual_files_in_an_empty_folder_without_thaw(tmp_path: Path) -> None:
    torch.save(lightning(trained()), tmp_path / "one.ckpt")
    save_file(by_number(trained()), tmp_path / "two.bin")
    configs = {tmp_path / f"empty {name}": SMALL.replace(starting_weights=str(tmp_path / name)) for name in ("one.ckpt", "two.bin")}
    for folder, config in configs.items():
        script = script_of(config).partition("# Training")[0] + '\ntorch.save(model.state_dict(), "begun.pth")\n'
        folder.mkdir()
        (folder / "script.py").write_text(f'import importlib.util\n\nassert importlib.util.find_spec("core") is None\n{script}')
    each = "import os, runpy, sys\nfor folder in sys.argv[1:]:\n    os.chdir(folder)\n    runpy.run_path('script.py')"
    alone = subprocess.run(
        [sys.executable, "-I", "-c", each, *map(str, configs)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120, env={}
    )
    assert alone.returncode == 0, alone.stderr[-2000:]
    for folder, config in configs.items():
        assert different(torch.load(folder / "begun.pth"), by_run(config)) == []


def test_a_script_runs_no_code_of_a_file(tmp_path: Path) -> None:
    class Calls:
        def __reduce__(self) -> Any:
            return (print, ("called",))

    file = tmp_path / "bad.pth"
    torch.save({"state_dict": trained(), "beside": Calls()}, file)
    with pytest.raises(Exception, match="Weights only load failed"):
        ready(SMALL.replace(starting_weights=str(file)))
