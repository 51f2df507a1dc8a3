"""What `speed` automatic brings: the time of a step as it measures it before a run, exact and in the way that it takes.

Each round finds the way anew, in a home that remembers nothing. All ways of a stage take their steps in turn, so that the ratio means
the same on a busy machine; which way is the fastest depends on what else the machine does. Finding it takes up to a minute: there is a round
for every two that are asked for, and each plan is shown as soon as it is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.table import median, table
from core.config import RunConfig
from core.machine.home import Home
from core.records.speed import Tuning
from core.worker.assembly import assemble

PLANS = ("last stage", "train everything", "head only")


def measure(folder: Path, rounds: int, work: RunConfig | None = None) -> Iterator[str]:
    """A table of one row for each plan; the way is that of the median round."""
    config = work or RunConfig(dataset="digits", model="resnet18", image_size=64, epochs=5)
    heads = [f"{config.model}, digits at {config.image_size} px", "way", "exact, ms", "automatic, ms", "times as fast", "fused alone", "measuring, s"]
    for plan in PLANS:
        asked = config.replace(freeze=plan, speed="automatic")
        found = [_found(asked, folder / f"{plan}-{number}") for number in range(max(1, rounds // 2))]
        first, *rest = table(heads, [_row(plan, found)])
        yield from (rest[1:] if plan != PLANS[0] else [first, *rest])  # the heads stand above the first


def _row(plan: str, found: list[Tuning]) -> tuple[str, ...]:
    found = sorted(found, key=lambda tuning: tuning.times_faster(tuning.way) or 0.0)
    middle = found[len(found) // 2]
    times = [tuning.times_faster(tuning.way) or 1.0 for tuning in found]
    return (
        plan,
        middle.way.label,
        *(f"{1000 * (middle.seconds(way) or 0.0):.1f}" for way in (middle.ways[0], middle.way)),
        f"{median(times):.2f} ({times[0]:.2f} to {times[-1]:.2f})",
        _fused(middle),
        f"{median([tuning.measured_seconds for tuning in found]):.1f}",
    )


def _found(config: RunConfig, folder: Path) -> Tuning:
    tuning = assemble(config, Home.from_environment(str(folder))).tuning
    assert tuning is not None, "a run with speed automatic looks for a way"
    return tuning


def _fused(tuning: Tuning) -> str:
    """Times as fast as the same without it."""
    for way in tuning.ways:
        if way.fused_optimizer and way.memory_format == "contiguous" and way.precision == "float32" and (seconds := tuning.seconds(way)):
            alone = next((other for other in tuning.ways if other.threads == way.threads and not other.fused_optimizer), None)
            before = alone and tuning.seconds(alone)
            return f"{before / seconds:.2f}" if before else "not timed"
    return "not tried"
