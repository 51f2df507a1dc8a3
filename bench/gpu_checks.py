"""Device tests: small trainings whose outcome is known, on the device that is named. Each says what it compared, and with which tolerance.

They compare bits wherever Thaw promises them: a run done twice, frozen tensors, kept features, a run that goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.gpu import Line, line_of
from core.config import RunConfig
from core.machine.bits import same
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.store.continued import ResumeRequest
from core.training.audit import Audit
from core.training.trainer import EpochReport, FinalReport, Score, StepReport, Trainer
from core.worker.assembly import assemble
from core.worker.worker import Worker

NORM_TOLERANCE = 1e-5
"""Largest relative difference of a gradient norm from the same in float64."""

ROUNDED_TOLERANCE = 0.25
"""Largest relative difference of the last epoch's training loss in a rounded number format from that in float32 (or 0.05, where that is small)."""


class Failed(Exception):
    """A comparison came out wrong; the text says which."""


@dataclass
class Outcome:
    """A whole training and what it gave."""

    trainer: Trainer
    losses: list[float] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    scores: list[tuple[Score, Score | None]] = field(default_factory=list)

    def differs(self, other: Outcome) -> str:
        """What is not the same to the bit; '' where all is."""
        mine, theirs = self.trainer.model.state_dict(), other.trainer.model.state_dict()
        if self.losses != other.losses:
            step = next(step for step, pair in enumerate(zip(self.losses, other.losses, strict=True), start=1) if pair[0] != pair[1])
            return f"losses, from step {step} on"
        if not all(same(left, right) for left, right in zip(self.norms, other.norms, strict=True)):
            return "gradient norms"
        if self.scores != other.scores:
            return "losses or accuracies of an epoch"
        return ", ".join(name for name in theirs if not same(mine[name], theirs[name]))


class Checks:
    """All tests, by the method's name. Each returns what it compared, or raises `Failed`."""

    def __init__(self, device: str, folder: Path) -> None:
        self.device = device
        self.folder = folder
        self.home = Home.from_environment(str(folder / "home-checks"))
        big = device != "cpu"
        self.fields: dict[str, Any] = {
            "dataset": "digits", "model": "resnet18" if big else "small_cnn", "image_size": 64 if big else 16, "batch_size": 128, "epochs": 2,
            "device": device, "watch_budget": 1.0, "watch_every": 3,
        }  # fmt: skip

    def config(self, **fields: Any) -> RunConfig:
        """A small run on the device."""
        return RunConfig(**{**self.fields, **fields})

    def train(self, home: Home | None = None, seen: Callable[[Trainer, StepReport], None] | None = None, **fields: Any) -> Outcome:
        """A whole training. `seen` is told each step."""
        found = Outcome(assemble(self.config(**fields), home or self.home).trainer)
        for report in found.trainer.run():
            match report:
                case StepReport():
                    found.losses.append(float(report.loss))
                    if report.gradient_norms is not None:
                        found.norms.append(report.gradient_norms.cpu())
                    if seen is not None:
                        seen(found.trainer, report)
                case EpochReport():
                    found.scores.append((report.train, report.validation))
                case FinalReport():
                    found.scores.append((report.test, None))
        found.trainer.partition.close()
        return found

    def trainer(self) -> str:
        """The same run twice."""
        one, other = self.train(freeze="train everything"), self.train(freeze="train everything")
        if differs := one.differs(other):
            raise Failed(f"the same run twice gave other {differs}")
        return f"{len(one.losses)} steps of {self.fields['model']} twice: losses, norms, scores and weights are the same to the bit"

    def freezing(self) -> str:
        """Frozen tensors and running statistics stay, the others move."""
        trainer = assemble(self.config(freeze="last stage"), self.home).trainer
        before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        learns = {name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}
        modules = {name.rpartition(".")[0] for name in learns}
        for _ in trainer.run():
            pass
        after = trainer.model.state_dict()
        frozen = [name for name in before if name not in learns and name.rpartition(".")[0] not in modules]
        moved = [name for name in frozen if not same(before[name], after[name])]
        still = [name for name in learns if same(before[name], after[name])]
        if moved or still or not frozen:
            raise Failed(f"moved though frozen: {moved[:3]}; did not move though it learns: {still[:3]}; {len(frozen)} are frozen")
        return f"{len(frozen)} frozen tensors and statistics are the same to the bit, all {len(learns)} others moved"

    def partition(self) -> str:
        """With kept features and without, and once more on features that exist."""
        plain = self.train(freeze="head only", epochs=3, feature_cache="off")
        kept, again = (self.train(freeze="head only", epochs=3) for _ in range(2))
        for found, what in ((kept, "kept features"), (again, "features of an earlier run")):
            reuse = found.trainer.partition.tell()
            if differs := found.differs(plain):
                raise Failed(f"{what} ({reuse.state}) gave other {differs}")
            if reuse.state != "serving":
                raise Failed(f"{what} are {reuse.state}: {reuse.reason}")
        return f"3 epochs of a head: kept features, those of an earlier run, and everything computed give the same bits; {reuse.checked} checked"

    def audit(self) -> str:
        """The audit finds nothing in a healthy run, and a leak in one that has one."""

        def verdicts(leak: bool) -> set[str]:
            trainer = assemble(self.config(freeze="last stage"), self.home).trainer
            audit = Audit(trainer.freezing, trainer.optimizer)
            for report in trainer.run():
                if isinstance(report, StepReport) and report.sample is not None:
                    audit.look(report)
            if leak:
                with torch.no_grad():
                    next(parameter for parameter in trainer.model.parameters() if not parameter.requires_grad).add_(1.0)
            return {str(row.verdict) for row in audit.finish(trainer.step).rows}

        healthy, leaking = verdicts(leak=False), verdicts(leak=True)
        if not healthy <= {"verified", "learning"} or "leaking" not in leaking:
            raise Failed(f"a healthy run was found {sorted(healthy)}, one whose frozen tensor was changed {sorted(leaking)}")
        return "a healthy run is verified, and a frozen tensor that is changed by hand is found leaking"

    def signals(self) -> str:
        """Gradient norms against float64."""
        largest, count = 0.0, 0
        expected: list[list[float]] = []
        trainer = assemble(self.config(freeze="train everything", epochs=1), self.home).trainer

        def by_hand() -> None:
            learning = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
            expected.append([float(parameter.grad.double().norm()) if parameter.grad is not None else -1.0 for parameter in learning])

        trainer.before_update = by_hand
        for report in trainer.run():
            if isinstance(report, StepReport) and report.gradient_norms is not None:
                for mine, hand in zip(report.gradient_norms.tolist(), expected[-1], strict=True):
                    largest, count = max(largest, abs(mine - hand) / max(hand, 1e-12) if hand > 1e-12 else abs(mine)), count + 1
        if not count or largest > NORM_TOLERANCE:
            raise Failed(f"{count} norms differ from float64 by up to {largest:.2g} of themselves, more than {NORM_TOLERANCE:.0e}")
        return f"{count:,} gradient norms differ from float64 by at most {largest:.1e} of themselves ({NORM_TOLERANCE:.0e} is allowed)"

    def recorder(self) -> str:
        """What the store has of a run against what its trainer says."""
        store = RunStore(self.home.database)
        run_id = store.create_run(self.config(freeze="last stage"))
        if Worker(self.home, store, run_id).run() is not RunStatus.FINISHED:
            raise Failed(f"the run ended otherwise: {store.run(run_id).error}")
        direct = self.train(freeze="last stage")
        steps = store.steps_after(run_id, 0, 0)
        recorded = [float(loss) for loss in steps.loss]
        if recorded != direct.losses:
            raise Failed(f"{len(recorded)} steps are recorded with other losses than the {len(direct.losses)} that were made")
        return f"all {len(recorded)} steps are in the store, with the losses that the trainer had"

    def precision(self) -> str:
        """Rounded number formats train about as well as float32."""
        exact = self.train(freeze="train everything")
        said = []
        for precision in ("bfloat16", *(["float16"] if self.device != "cpu" else [])):
            rounded = self.train(freeze="train everything", precision=precision)
            mine, theirs = exact.scores[-2][0].loss, rounded.scores[-2][0].loss
            if not all(map(math.isfinite, rounded.losses)) or abs(mine - theirs) > max(ROUNDED_TOLERANCE * mine, 0.05):
                raise Failed(f"{precision} ended at a training loss of {theirs:.4f}, float32 at {mine:.4f}")
            said.append(f"{precision} {theirs:.4f}")
        return f"training loss of the last epoch: float32 {exact.scores[-2][0].loss:.4f}, {', '.join(said)} ({ROUNDED_TOLERANCE:.0%} is allowed)"

    def resume(self) -> str:
        """A run that is interrupted and goes on against one that was not."""
        store = RunStore(self.home.database)
        config = self.config(freeze="last stage", head_dropout=0.3, augmentation="flip")
        weights = []
        for interrupted in (False, True):
            run_id = store.create_run(config)
            worker = Worker(self.home, store, run_id)
            with _interrupting(worker, 7 if interrupted else 0):
                status = worker.run()
            if interrupted:
                if status is not RunStatus.INTERRUPTED:
                    raise Failed(f"the run was not interrupted: {status}, {store.run(run_id).error}")
                store.ask_to_resume(run_id, ResumeRequest(False))
                status = Worker(self.home, store, run_id).run()
            if status is not RunStatus.FINISHED:
                raise Failed(f"the run ended otherwise: {status}, {store.run(run_id).error}")
            weights.append(torch.load(self.home.run_folder(run_id) / "weights.pth", weights_only=True))
        differing = [name for name in weights[0] if not same(weights[0][name], weights[1][name])]
        if differing:
            raise Failed(f"a run that was interrupted at step 7 ended with other {', '.join(differing[:3])}")
        return "a run with dropout and flips that is interrupted at step 7 and goes on ends with the same weights, to the bit"


class _interrupting:  # noqa: N801 - used as a word
    """Within it the worker's trainer is interrupted behind a step; 0: never."""

    def __init__(self, worker: Worker, step: int) -> None:
        self.worker, self.step, self.real = worker, step, Trainer.run

    def __enter__(self) -> None:
        real, worker, step = self.real, self.worker, self.step

        def run(trainer: Trainer) -> Any:
            for report in real(trainer):
                if isinstance(report, StepReport) and report.step == step:
                    worker.interrupt_soon()
                yield report

        Trainer.run = run  # type: ignore[assignment,method-assign]

    def __exit__(self, *_: object) -> None:
        Trainer.run = self.real  # type: ignore[method-assign]


NAMES = ("trainer", "freezing", "partition", "audit", "signals", "recorder", "precision", "resume")


def one(name: str, test: Callable[[], str]) -> Line:
    """Do one test. Whatever it raises is its result."""
    began = time.perf_counter()
    try:
        state, text = "passed", test()
    except Failed as problem:
        state, text = "failed", str(problem)
    except Exception as error:  # noqa: BLE001 - one test must not end the others
        traceback.print_exc()
        state, text = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    return line_of(name, state, text, time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_checks")
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    arguments = parser.parse_args()
    checks = Checks(arguments.device, arguments.folder)
    for name in NAMES:
        print(json.dumps(one(name, getattr(checks, name))), flush=True)


if __name__ == "__main__":
    main()
