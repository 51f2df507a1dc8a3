"""The learning-rate finder on real pictures: the model is as it was, groups keep their ratios, features are kept, what cannot be is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.commands.cli import main
from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.lab.rates import RateDesk
from core.machine.bits import digest
from core.machine.home import Home
from core.model.steering import Steering
from core.worker.finding_rate import find_rate
from tests.support import wait_until

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "dataset": "digits_5_9",
    "model": "small_cnn",
    "image_size": 8,
    "batch_size": 100,
    "threads": 1,
    "starting_weights": "pretrained",
}


def test_a_copy_is_trained_and_each_group_keeps_its_ratio(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []
    learn_at = Steering.learn_at

    def told(self: Steering, rate: float) -> None:
        learn_at(self, rate)
        seen.append([group["lr"] / rate for group in self.optimizer.param_groups])

    monkeypatch.setattr(Steering, "learn_at", told)
    config = RunConfig(
        **SMALL, learning_rate_multipliers="stage1=0.1, head=10", schedule="CosineAnnealingLR", timeline="2: head only", early_stopping=1
    )
    curve = find_rate(config, home, steps=40)
    assert curve.model[0] == curve.model[1] != ""
    assert {factor for factor, _ in curve.groups} == {0.1, 1.0, 10.0}
    assert all(sorted(each) == pytest.approx([0.1, 1.0, 10.0]) for each in seen)
    assert curve.rates[0] == pytest.approx(1e-7)
    ratios = [later / earlier for earlier, later in zip(curve.rates, curve.rates[1:], strict=False)]
    assert max(ratios) == pytest.approx(min(ratios))
    assert curve.suggestion is not None
    assert 1e-5 < curve.suggestion < 0.1


def test_frozen_layers_stay_and_what_they_compute_is_kept(home: Home) -> None:
    curve = find_rate(RunConfig(**SMALL, freeze="head only"), home, low=1e-5, high=1.0, steps=30)
    assert curve.kept
    assert sum(count for _, count in curve.groups) == 2
    assert curve.model[0] == curve.model[1]


def test_a_weights_file_is_as_it_was(home: Home, tmp_path: Path) -> None:
    from core.networks import models

    file = tmp_path / 'a "quoted" <b>.pth'
    torch.save(models.build("small_cnn", 5, 8).state_dict(), file)
    before = digest([torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)])
    find_rate(RunConfig(**{**SMALL, "starting_weights": str(file)}), home, steps=20)
    assert digest([torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)]) == before


def test_a_loss_that_is_never_finite_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.catalog.losses.build", lambda config, weights: _Broken())
    curve = find_rate(RunConfig(**SMALL), home, steps=20)
    assert curve.suggestion is None
    assert "not a finite number at the lowest rate already" in curve.reason
    assert curve.losses == (None,)


class _Broken(torch.nn.CrossEntropyLoss):
    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().forward(input, target) * float("nan")


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "an optimizer that sizes its steps": ({"optimizer": "Rprop"}, {}, "optimizer", "for its first step alone"),
    "no such folder": ({"dataset": "folder:/no/<b>where"}, {}, "dataset", "no/<b>where"),
    "a plan for another model": ({"freeze": "layer4"}, {}, "freeze", "matches no layer"),
    "too few steps": ({}, {"steps": 3}, "steps", "must be 20 to"),
    "a span the wrong way round": ({}, {"low": 1.0, "high": 0.1}, "to", "ten times as high"),
    "a rate that no run can have": ({}, {"high": 1e9}, "to", "must be"),
    "no number": ({}, {"low": float("nan")}, "from", "must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_tried_is_named(home: Home, name: str) -> None:
    settings, options, field, message = BAD[name]
    config = RunConfig(**{**SMALL, **settings})
    with pytest.raises(ConfigError, match=message) as refused:
        find_rate(config, home, **options)
    assert refused.value.field == field


def test_it_can_be_cancelled_at_any_step(home: Home) -> None:
    asked: list[str] = []
    with pytest.raises(Cancelled):
        find_rate(RunConfig(**SMALL), home, steps=20, cancelled=lambda: len(asked) > 5, progress=lambda text, share: asked.append(text))
    assert any("step" in text for text in asked)


def test_the_command_prints_the_curve_and_its_reason(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["find-rate", "--home", str(home.path), "--steps", "20", "--from", "1e-5", "--to", "10"]
    line += [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    status = main(line)
    told = capsys.readouterr().out
    assert "the weights are as they were, bit for bit" in told
    assert ("learning_rate " in told) == (status == 0)
    status = main([*line, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["suggestion"] is None) == (status == 1)
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert main(["find-rate", "--home", str(home.path), "--from", "<b>nothing"]) == 2
    assert "from: must be a number above 0" in capsys.readouterr().err


class Hand:
    """In place of the helper process: what it was asked, and the answer that it gives."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def ask(self, line: str, number: int, progress: Any) -> Any:
        self.asked.append(json.loads(line))
        progress("step 1", 0.5)
        if self.asked[-1]["config"]["model"] == "mlp":
            raise ConfigError("model", "it cannot be")
        return {"rates": [1.0], "losses": [None], "smoothed": [None], "suggestion": None, "reason": "nothing"}

    def tell(self, cancel: int) -> None:
        """Nothing is at work."""

    def close(self) -> None:
        """It has no process."""


@pytest.fixture
def desk(home: Home) -> Iterator[RateDesk]:
    desk = RateDesk(home)
    desk._helper = Hand()  # type: ignore[assignment]
    yield desk
    desk.close()


def test_the_desk_knows_a_trial_by_what_it_depends_on(desk: RateDesk) -> None:
    config = RunConfig(**SMALL)
    assert desk.state(config) is None
    desk.begin(config)
    wait_until(lambda: (found := desk.state(config)) is not None and found.curve is not None)
    desk.begin(config.replace(learning_rate=0.5, epochs=77))
    assert len(desk._helper.asked) == 1  # type: ignore[attr-defined]
    assert desk.state(config.replace(batch_size=7)) is None
    failing = config.replace(model="mlp", starting_weights="random")
    desk.begin(failing)
    wait_until(lambda: (found := desk.state(failing)) is not None and found.work.message == "it cannot be")
