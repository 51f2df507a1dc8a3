"""What watching costs, as a share of a training step: every gradient norm, weight changes and the audit as sampled by default.

The parts are timed inside one run, one thread, so that the share means the same on a busy machine; the loop's own ratio to a
bare one is in `loop`.
"""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import torch

from bench.table import median, table
from core.config import RunConfig
from core.machine.bits import digest
from core.machine.home import Home
from core.store import RunStore
from core.training.audit import Audit
from core.training.trainer import StepReport
from core.worker.assembly import assemble
from core.worker.recorder import Recorder

PLANS = ("train everything", "last stage", "head only")
STEPS = 20  # two periods of the default sampling, `RunConfig.watch_every`


def measure(folder: Path, rounds: int) -> list[str]:
    """`STEPS` steps of each plan a round, after one round that warms up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        home = Home.from_environment(str(folder / "home"))
        rows = [_row(plan, [_watched(plan, home) for _ in range(rounds + 1)][1:]) for plan in PLANS]
    finally:
        torch.set_num_threads(threads)
    return table(
        [
            "resnet18, digits at 64 px, 1 thread",
            "a step, ms",
            "norms and weight changes",
            "recording",
            "audit",
            "all, of a step",
            "digest of all values, ms",
        ],
        rows,
    )


def _watched(plan: str, home: Home) -> list[float]:
    """Seconds a step of: the whole step, signals, recording, audit; then of one complete digest."""
    config = RunConfig(dataset="digits", model="resnet18", image_size=64, freeze=plan, epochs=1)
    store = RunStore(home.database)
    assembly = assemble(config, home)
    trainer, run_id = assembly.trainer, store.create_run(config)
    store.begin(run_id, assembly.plan)
    recorder, audit = Recorder(store, run_id, trainer, assembly.doctor()), Audit(trainer.freezing, trainer.optimizer)
    looking = 0.0
    for report in islice(trainer.run(), STEPS):
        assert isinstance(report, StepReport)
        recorder.add(report)
        if report.sample is not None:
            began = time.perf_counter()
            store.set_audit(run_id, audit.look(report))
            looking += time.perf_counter() - began
    recorder.flush()
    began = time.perf_counter()
    digest(trainer.model.parameters())
    complete = time.perf_counter() - began
    recording = recorder.watch_seconds - trainer.watch.seconds - looking
    return [*(seconds / STEPS for seconds in (recorder.step_seconds, trainer.watch.seconds, recording, looking)), complete]


def _row(plan: str, measured: list[list[float]]) -> tuple[str, ...]:
    step, signals, recording, looking, complete = (median(list(column)) for column in zip(*measured, strict=True))
    shares = [f"{100 * part / step:.2f} %" for part in (signals, recording, looking, signals + recording + looking)]
    return (plan, f"{1000 * step:.0f}", *shares, f"{1000 * complete:.0f}")
