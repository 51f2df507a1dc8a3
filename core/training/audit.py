"""The freeze audit: what is frozen, what learns, and the proof, looked up in the model and its optimizer and never in the plan.

A digest of every tensor is taken when the run begins, and of a tensor that is frozen later at that moment. While the run goes
on, each look compares as many tensors, in turn, as a small share of the time since the last look pays for; at the end all of
them are compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from core.machine.bits import digest, seen
from core.model.freezing import Freezing, modules_of
from core.records.events import AuditReport, AuditRow, GradientState, Verdict
from core.training.trainer import StepReport

BUDGET = 0.005
"""Share of the run's time that comparing tensors may take."""

BYTES_A_SECOND = 1e9
"""What a digest can be expected to read: SHA-256 does 1.8 GB/s where the processor helps, a copy from a device comes on top."""

READERS = min(4, os.cpu_count() or 1)
"""Threads that read all tensors at the beginning and at the end."""


@dataclass
class Record:
    """What is known of one tensor (or of one norm's running statistics) besides what the model itself says."""

    before: str
    after: str = ""
    frozen_since: int | None = None
    gradients: set[GradientState] = field(default_factory=set)
    last: GradientState = "none"

    @property
    def moved(self) -> bool | None:
        """Whether the value is another than before; None until it was compared."""
        return self.after != self.before if self.after else None


class Audit:
    """Watches the model of `freezing` and the optimizer that trains it."""

    def __init__(self, freezing: Freezing, optimizer: Optimizer) -> None:
        self.model = freezing.model
        self.optimizer = optimizer
        self.freezing = freezing
        self._owners = {
            f"{path}.{name}" if path else name: (path, module) for path, module in self.model.named_modules() for name in module._parameters
        }
        self._named = dict(self.model.named_parameters())
        with ThreadPoolExecutor(READERS) as threads:  # hashlib lets others run while it reads
            digests = list(threads.map(seen, self._named.values()))
        self._tensors = {
            name: Record(before, frozen_since=None if parameter.requires_grad else 0)
            for (name, parameter), before in zip(self._named.items(), digests, strict=True)
        }
        self._statistics: dict[str, Record] = {}
        self._modes: dict[str, bool] = {}
        self._turn: list[str] = []
        self._credit = 0.0
        self._last_look = time.perf_counter()
        self._follow(0, ())

    def changed(self, step: int, renewed: Collection[str] = ()) -> None:
        """Another plan holds after `step` steps. What is frozen now is compared with its value of this moment from here on.

        Args:
            renewed: names of tensors that were frozen anew though they were already: they begin again too.
        """
        self._follow(step, renewed)

    def memory(self) -> dict[str, Any]:
        """What is known of every tensor, for the audit of the same run in another process."""
        return {"_tensors": _copied(self._tensors), "_statistics": _copied(self._statistics), "modes": dict(self._modes)}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on where another audit of the same run stood: what is frozen is compared with its value of the moment when it was frozen."""
        self._tensors, self._statistics = _copied(memory["_tensors"]), _copied(memory["_statistics"])
        self._modes, self._turn = dict(memory["modes"]), []

    def first_digests(self) -> dict[str, str]:
        """SHA-256 of each tensor's value at the beginning, or when it was last frozen or thawed: name -> hexadecimal digest."""
        return {name: record.before for name, record in self._tensors.items()}

    @property
    def names(self) -> Collection[str]:
        """Names of all parameter tensors."""
        return self._tensors.keys()

    def look(self, step: StepReport) -> AuditReport:
        """Take the state of every gradient at a sampled step, compare a few tensors, and say what is known. Waits for the device."""
        assert step.sample is not None, "only a sampled step says which tensors had a gradient"
        assert step.gradient_norms is not None, "norms are measured at every step that is sampled"
        norms = np.ones(len(self._named), np.float32)
        norms[~step.frozen] = step.gradient_norms.cpu().numpy()
        for record, is_frozen, has, norm in zip(self._tensors.values(), step.frozen.tolist(), step.sample.has_gradient.tolist(), norms, strict=True):
            if is_frozen:
                record.last = "stale" if has else "none"
            else:
                record.last = "none" if not has else "zero" if norm == 0 else "flows"
            record.gradients.add(record.last)
        self._modes = {path: module.training for path, module in self.model.named_modules()}
        now = time.perf_counter()
        self._credit += BUDGET * (now - self._last_look)
        self._last_look = now
        self._compare_some()
        return self.report(step.step, complete=False)

    def finish(self, step: int) -> AuditReport:
        """Compare every tensor now, and say what came out."""
        with ThreadPoolExecutor(READERS) as threads:
            list(threads.map(self._compare, self._everything()))
        return self.report(step, complete=True)

    def report(self, step: int, complete: bool) -> AuditReport:
        """What is known of every tensor, in the model's order. Norms at rest that have no parameters of their own follow by their path."""
        held = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        rows = [self._row(name, parameter, id(parameter) in held) for name, parameter in self._named.items()]
        bare = [path for path in self._statistics if not any(True for _ in self.model.get_submodule(path).parameters(recurse=False))]
        return AuditReport(step, complete, (*rows, *(self._bare_row(path) for path in bare)))

    def _row(self, name: str, parameter: nn.Parameter, in_optimizer: bool) -> AuditRow:
        record = self._tensors[name]
        path = self._owners[name][0]
        statistics = self._statistics.get(path)
        moved = statistics.moved if statistics else None
        return AuditRow(
            name=name,
            count=parameter.numel(),
            requires_grad=parameter.requires_grad,
            in_optimizer=in_optimizer,
            gradient=record.last,
            moved=record.moved,
            statistics_moved=moved,
            mode="train" if self._modes.get(path, True) else "eval",
            frozen_since=record.frozen_since,
            before=record.before,
            after=record.after,
            verdict=_verdict(parameter.requires_grad, in_optimizer, record, moved),
        )

    def _bare_row(self, path: str) -> AuditRow:
        record = self._statistics[path]
        return AuditRow(
            name=path,
            count=0,
            requires_grad=False,
            in_optimizer=False,
            gradient="none",
            moved=None,
            statistics_moved=record.moved,
            mode="train" if self._modes.get(path, True) else "eval",
            frozen_since=record.frozen_since,
            before=record.before,
            after=record.after,
            verdict=Verdict.DRIFTING if record.moved else Verdict.VERIFIED,
        )

    def _follow(self, step: int, renewed: Collection[str]) -> None:
        """Begin a record anew for what was frozen or thawed since the last time."""
        for name, parameter in self._named.items():
            record = self._tensors[name]
            is_frozen, was_frozen = not parameter.requires_grad, record.frozen_since is not None
            if is_frozen and step and (not was_frozen or name in renewed):
                self._tensors[name] = Record(digest([parameter]), frozen_since=step)
            elif was_frozen and not is_frozen:
                self._tensors[name] = Record(digest([parameter]))
        resting = self.freezing.norms_at_rest()
        self._statistics = {
            path: self._statistics[path]
            if path in self._statistics and not any(f"{path}." in name for name in renewed)
            else Record(digest(norm.buffers(recurse=False)), frozen_since=step)
            for path, norm in resting.items()
        }
        self._turn = []

    def _compare_some(self) -> None:
        waiting = len(self._everything())
        while waiting:
            waiting -= 1
            self._turn = self._turn or self._everything()
            cost = self._bytes(self._turn[0]) / BYTES_A_SECOND
            if cost > self._credit:
                return
            self._credit -= cost
            self._compare(self._turn.pop(0))

    def _everything(self) -> list[str]:
        """What there is to compare, frozen things first: that they rest is the promise."""
        tensors = sorted(self._tensors, key=lambda name: self._tensors[name].frozen_since is None)
        return [*(f"{path}/" for path in self._statistics), *tensors]  # no parameter's name has a slash

    def _compare(self, name: str) -> None:
        if name.endswith("/"):
            self._statistics[name[:-1]].after = digest(self.model.get_submodule(name[:-1]).buffers(recurse=False))
        else:
            self._tensors[name].after = digest([self._named[name]])

    def _bytes(self, name: str) -> int:
        if name.endswith("/"):
            return 1000
        return self._named[name].numel() * self._named[name].element_size()


def _copied(records: Mapping[str, Record]) -> dict[str, Record]:
    return {name: replace(record, gradients=set(record.gradients)) for name, record in records.items()}


def left_over(model: nn.Module) -> tuple[str, ...]:
    """Names of the tensors that learn and whose gradient is still there, and not 0, after a step has cleared them: none where all is well."""
    if not any(parameter is not None and parameter.grad is not None for part in modules_of(model) for parameter in part._parameters.values()):
        return ()
    there = [(name, parameter.grad) for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is not None]
    return tuple(name for name, gradient in there if gradient.any())


def _verdict(requires_grad: bool, in_optimizer: bool, record: Record, statistics_moved: bool | None) -> Verdict:
    if not requires_grad:
        return Verdict.LEAKING if record.moved else Verdict.DRIFTING if statistics_moved else Verdict.VERIFIED
    if not in_optimizer:
        return Verdict.NO_OPTIMIZER
    return Verdict.IDLE if record.gradients and "flows" not in record.gradients else Verdict.LEARNING
