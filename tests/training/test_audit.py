"""The audit finds every way in which frozen is not frozen, and proves it where it is."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from torch import nn

from core.config import RunConfig
from core.config.plans import Change
from core.machine.bits import digest
from core.machine.home import Home
from core.model.freezing import Freezing
from core.records.events import AuditReport, AuditRow, Verdict
from core.training.audit import Audit
from core.training.trainer import StepReport, Trainer
from core.worker.assembly import assemble

QUICK: dict[str, Any] = {
    "dataset": "digits",
    "model": "small_cnn",
    "image_size": 8,
    "epochs": 3,
    "batch_size": 128,
    "freeze": "head only",
    "watch_every": 1,
}


class Watched:
    """A training under audit, a few steps at a time."""

    def __init__(self, home: Home, **changes: Any) -> None:
        self.trainer: Trainer = assemble(RunConfig(**{**QUICK, **changes}), home).trainer
        self.model: Any = self.trainer.model
        self.audit = Audit(self.trainer.freezing, self.trainer.optimizer)
        self.reports = self.trainer.run()

    def steps(self, number: int = 2) -> None:
        for report in islice(self.reports, number):
            assert isinstance(report, StepReport)
            self.audit.look(report)

    def finish(self) -> AuditReport:
        return self.audit.finish(self.trainer.step)

    def row(self, name: str) -> AuditRow:
        return next(row for row in self.finish().rows if row.name == name)


@pytest.fixture
def watched(home: Home) -> Watched:
    return Watched(home)


def test_what_is_frozen_is_verified_and_what_learns_is_seen_learning(watched: Watched) -> None:
    watched.steps(4)
    report = watched.finish()
    assert report.complete
    assert {row.name: row.verdict for row in report.rows if row.name.startswith("head")} == dict.fromkeys(
        ("head.weight", "head.bias"), Verdict.LEARNING
    )
    frozen = [row for row in report.rows if not row.name.startswith("head")]
    assert {row.verdict for row in frozen} == {Verdict.VERIFIED}
    assert all(row.before == row.after and len(row.before) == 64 for row in frozen)
    assert {(row.requires_grad, row.in_optimizer, row.gradient, row.moved, row.frozen_since) for row in frozen} == {(False, False, "none", False, 0)}
    assert {row.mode for row in frozen if ".1." in row.name} == {"eval"}
    assert report.frozen_values == sum(row.count for row in frozen)
    assert report.values_changed == 0


def test_frozen_weight_that_moves_is_leaking_until_it_is_frozen_anew(watched: Watched) -> None:
    watched.steps()
    with torch.no_grad():
        watched.model.stage2[0].weight[0, 0, 0, 0] += 1e-3
    row = watched.row("stage2.0.weight")
    assert row.verdict is Verdict.LEAKING
    assert row.before != row.after
    assert watched.finish().values_changed == row.count
    watched.trainer.change(Change.parse("stage2.0.weight"))
    watched.audit.changed(watched.trainer.step, ["stage2.0.weight"])
    watched.steps()
    assert watched.row("stage2.0.weight").verdict is Verdict.VERIFIED
    assert watched.row("stage2.0.weight").frozen_since == 2


def test_weight_that_an_optimizer_moves_by_a_stale_gradient_is_caught(watched: Watched) -> None:
    weight = watched.model.stage1[0].weight
    watched.trainer.optimizer.param_groups[0]["params"].append(weight)
    weight.grad = torch.ones_like(weight)
    watched.steps(1)
    row = watched.row("stage1.0.weight")
    assert (row.gradient, row.in_optimizer, row.verdict) == ("stale", True, Verdict.LEAKING)


def test_plain_train_call_makes_frozen_statistics_drift(watched: Watched) -> None:
    watched.steps(1)
    watched.model.train()
    watched.steps(1)
    report = watched.finish()
    drifting = {row.name for row in report.rows if row.verdict is Verdict.DRIFTING}
    assert drifting == {f"stage{stage}.1.{name}" for stage in (1, 2, 3) for name in ("weight", "bias")}
    assert {row.mode for row in report.rows if row.name in drifting} == {"train"}
    assert report.values_changed == 0  # the weights themselves rest
    watched.trainer.change(Change.parse("stage1.1, stage2.1, stage3.1"))
    watched.audit.changed(watched.trainer.step, drifting)
    watched.steps(1)
    assert {row.verdict for row in watched.finish().rows if row.name in drifting} == {Verdict.VERIFIED}


def test_parameter_that_no_optimizer_holds_is_found_and_a_change_gives_it_back(watched: Watched) -> None:
    head = watched.model.head
    watched.trainer.optimizer.param_groups[0]["params"] = [head.weight]
    watched.steps()
    assert watched.row("head.bias").verdict is Verdict.NO_OPTIMIZER
    assert watched.row("head.weight").verdict is Verdict.LEARNING
    watched.trainer.change(Change.parse("!head.bias"))
    watched.audit.changed(watched.trainer.step)
    watched.steps()
    assert watched.row("head.bias").verdict is Verdict.LEARNING


@pytest.mark.parametrize("gradient", ["none", "zero"])
def test_parameter_that_gets_no_gradient_is_idle(watched: Watched, gradient: str) -> None:
    weight = watched.model.head.weight
    if gradient == "none":
        watched.model.forward = lambda images: watched.model.head.bias.expand(len(images), -1)
    else:
        weight.register_hook(torch.zeros_like)
    watched.steps()
    row = watched.row("head.weight")
    assert (row.gradient, row.verdict) == (gradient, Verdict.IDLE)
    assert watched.row("head.bias").verdict is Verdict.LEARNING


def test_parameter_that_learned_once_is_not_idle(watched: Watched) -> None:
    watched.steps(1)
    hook = watched.model.head.weight.register_hook(torch.zeros_like)
    watched.steps(1)
    hook.remove()
    assert watched.row("head.weight").gradient == "zero"
    assert watched.row("head.weight").verdict is Verdict.LEARNING


def test_looks_compare_all_tensors_in_turn_once_there_is_time(watched: Watched) -> None:
    watched.steps(1)
    watched.audit._last_look -= 1000  # as if a long time had passed: there is credit for all of them
    watched.steps(1)
    report = watched.audit.report(2, complete=False)
    assert {row.moved for row in report.rows if not row.requires_grad} == {False}
    with torch.no_grad():
        watched.model.stage3[0].weight.mul_(2)
    watched.audit._last_look -= 1000
    watched.steps(1)
    assert next(row for row in watched.audit.report(3, complete=False).rows if row.name == "stage3.0.weight").verdict is Verdict.LEAKING


def test_a_look_takes_no_more_time_than_its_share(home: Home) -> None:
    watched = Watched(home, model="resnet18", image_size=32)
    watched.audit._last_look = 1e18  # no time has passed, so there is no credit
    watched.steps(1)
    assert {row.moved for row in watched.audit.report(1, complete=False).rows} == {None}


def test_change_of_plan_begins_the_records_of_what_it_touches(watched: Watched) -> None:
    watched.steps(2)
    watched.trainer.change(Change.parse("!stage3"))
    watched.audit.changed(watched.trainer.step)
    watched.steps(2)
    assert watched.row("stage3.0.weight").verdict is Verdict.LEARNING
    assert watched.row("stage3.0.weight").frozen_since is None
    watched.trainer.change(Change.parse("stage3"))
    watched.audit.changed(watched.trainer.step)
    watched.steps(2)
    row = watched.row("stage3.0.weight")
    assert (row.verdict, row.frozen_since, row.moved) == (Verdict.VERIFIED, 4, False)
    assert watched.row("stage1.0.weight").frozen_since == 0


def test_norm_without_parameters_is_audited_by_its_statistics() -> None:
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), nn.Flatten(), nn.Linear(4 * 36, 2))
    freezing = Freezing(net, {"0.0.weight", "0.0.bias"})
    audit = Audit(freezing, torch.optim.SGD(net[2].parameters(), lr=0.1))
    assert audit.finish(1).rows[-1].verdict is Verdict.VERIFIED
    net.train()
    net(torch.randn(4, 3, 8, 8))
    row = audit.finish(2).rows[-1]
    assert (row.name, row.count, row.verdict) == ("0.1", 0, Verdict.DRIFTING)


def test_shared_tensor_has_one_row() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    net = nn.Sequential(first, second)
    audit = Audit(Freezing(net, {"1.weight"}), torch.optim.SGD([first.bias, second.bias], lr=0.1))
    assert [row.name for row in audit.finish(0).rows] == ["0.weight", "0.bias", "1.bias"]


def test_digest_tells_one_bit_apart_and_knows_nan() -> None:
    tensor = torch.tensor([1.0, float("nan"), 0.0])
    other = tensor.clone()
    assert digest([tensor]) == digest([other])
    other[2] = -0.0  # equal as a number, another bit
    assert digest([tensor]) != digest([other])
    assert digest([torch.tensor(3)]) == digest([torch.tensor(3)])
    assert digest([torch.ones(2, dtype=torch.bfloat16)]) != digest([torch.zeros(2, dtype=torch.bfloat16)])
