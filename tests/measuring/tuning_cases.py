"""What the tests of tuning share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from core import catalog, data
from core.config import RunConfig
from core.machine.home import Home
from core.measuring import tuning
from core.measuring.trial import Part
from core.model import anatomy
from core.networks import models
from core.records.layers import head_options
from core.records.speed import Tuning, Way
from core.training.steps import Steps

SMALL = RunConfig(model="small_cnn", image_size=16, batch_size=16, epochs=4, device="cpu", speed="automatic")


Cost = Callable[[Way, Part], float]


class Clock:
    """Stands in for the clock: each part of a step takes as long as `cost` says."""

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.asked = 0

    def __call__(self, way: Way, part: Part, steps: Steps, work: Callable[[], Any], own: bool) -> float:
        assert not (own and way.threads > 1), "the processor's time of two threads says nothing about the clock's"
        self.asked += 1
        work()
        return 0.0 if part == "probe" else self.cost(way, part)


def cost(formats: dict[tuple[str, str], float], fused: float = 1.0, threads: dict[int, float] | None = None) -> Cost:
    """Seconds of a pass by formats, of an update by whether it is fused, times a factor for each number of threads."""

    def of(way: Way, part: Part) -> float:
        seconds = (0.2 * fused if way.fused_optimizer else 0.2) if part == "update" else formats[way.memory_format, way.precision]
        return seconds * (threads or {}).get(way.threads, 1.0)

    return of


EVEN = {("contiguous", "float32"): 1.0, ("channels_last", "float32"): 1.0, ("contiguous", "bfloat16"): 1.0, ("channels_last", "bfloat16"): 1.0}


def chosen(
    home: Home, clock: Clock, config: RunConfig = SMALL, load: float = 0.0, progress: Callable[[str, float | None], None] = lambda text, share: None
) -> Tuning:
    config = catalog.check(config)
    loaders = data.prepare(config, home, lambda text, share: None)
    head = head_options(config)
    layers = anatomy.describe(config.model, len(loaders.classes), config.image_size, head).parameters
    torch.manual_seed(0)
    model = models.build(config.model, len(loaders.classes), config.image_size, head)
    return tuning.choose(config, home, model, layers, loaders.train, torch.device("cpu"), progress, clock, lambda: load)


def row(found: Tuning, **fields: object) -> Way:
    rows = [way for way in found.ways if all(getattr(way, name) == value for name, value in fields.items())]
    assert len(rows) == 1, rows
    return rows[0]
