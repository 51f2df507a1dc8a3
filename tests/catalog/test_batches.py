"""What would end a run after it was started, and is refused before: batches too small, steps that never come, a compiler that is not there."""

from __future__ import annotations

import pytest
import torch

from core import catalog
from core.catalog.batches import check_batches
from core.commands.cli import main
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.model import anatomy
from core.model.freezing import Freezing
from core.networks import models
from core.records.layers import frozen_parameters
from core.store import RunStore
from core.worker import assembly

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("freeze", ["train everything", "head only", "last stage"])
@pytest.mark.parametrize(
    ("model", "image_size"), [("resnet18", 32), ("resnet18", 64), ("mobilenet_v2", 32), ("small_cnn", 16), ("squeezenet1_1", 32)]
)
def test_a_batch_of_one_is_refused_where_and_only_where_it_fails(model: str, image_size: int, freeze: str) -> None:
    config = RunConfig(model=model, image_size=image_size, freeze=freeze, batch_size=1)
    description = anatomy.describe(model, 10, image_size)
    network = models.build(model, 10, image_size)
    Freezing(network, frozen_parameters(config.freeze, description.parameters)).train()
    try:
        network(torch.randn(1, 3, image_size, image_size))
        fails = False
    except ValueError:
        fails = True
    if fails:
        with pytest.raises(ConfigError, match=r"batch_size: 1 gives '.*' and .* more a single value a channel, .*; use batches of 2 or more"):
            check_batches(config, description)
    else:
        check_batches(config, description)
    check_batches(config.replace(batch_size=2), description)


def test_it_is_refused_too_where_only_the_timeline_or_a_fault_lets_the_layer_work() -> None:
    description = anatomy.describe("resnet18", 10, 32)
    quiet = RunConfig(model="resnet18", image_size=32, freeze="head only", batch_size=1)
    check_batches(quiet, description)
    for more in ({"timeline": "3: !layer4"}, {"fault": "drifting BatchNorm"}):
        with pytest.raises(ConfigError, match="batch_size"):
            check_batches(quiet.replace(**more), description)


def test_the_command_line_refuses_it_with_status_2_and_no_run(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--model", "resnet18", "--image-size", "32", "--batch-size", "1", "--home", str(home.path)]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("thaw: batch_size: 1 gives 'layer4.0.bn1' and 4 more a single value a channel")
    assert RunStore(home.database).runs() == []


def test_a_step_of_the_timeline_that_never_comes_is_refused_before_the_data_is_read() -> None:
    late = {"timeline": "step 200: !stage2", "freeze": "head only", "model": "small_cnn", "epochs": 5, "batch_size": 32}
    with pytest.raises(ConfigError, match=r"timeline: 'step 200: !stage2' comes after the last step \(180\)"):  # 1,438 of which 288 are held back
        catalog.check(RunConfig(**late))
    catalog.check(RunConfig(**{**late, "epochs": 6}))
    catalog.check(RunConfig(**{**late, "timeline": "step 180: !stage2"}))


def test_compiling_without_a_compiler_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    config = RunConfig(compile_model=True, device="cpu", model="small_cnn", image_size=16)
    with pytest.raises(ConfigError, match=r"compile_model: true needs a C\+\+ compiler on the processor, and 'no-such-compiler' is not here"):
        assembly.check(config, home)
    assembly.check(config.replace(compile_model=False), home)
