"""Whether every batch of a run is large enough for what the model computes with it. No torch: a form can ask before a run is started."""

from __future__ import annotations

import math
from collections.abc import Iterator

from core.config import ConfigError, RunConfig
from core.config.limits import quoted
from core.config.plans import FreezePlan
from core.records.layers import ModelDescription, frozen_parameters


def check_batches(config: RunConfig, description: ModelDescription) -> None:
    """See that no batch of one picture meets a BatchNorm that learns and has one value a channel then: it cannot work out a variance.

    Where batches are larger the loader leaves out a single picture at the end of an epoch.

    Raises:
        ConfigError: on `batch_size`.
    """
    if config.batch_size > 1:
        return
    single = [path for path in norms_that_learn(config, description) if math.prod(description.output_shapes.get(path, (1, 2))[1:]) == 1]
    if single:
        more = f" and {len(single) - 1:,} more" if len(single) > 1 else ""
        remedy = "use batches of 2 or more (accumulate adds small ones up), larger images, or keep those layers frozen"
        raise ConfigError(
            "batch_size", f"1 gives {quoted(single[0])}{more} a single value a channel, from which BatchNorm cannot work out a variance; {remedy}"
        )


def norms_that_learn(config: RunConfig, description: ModelDescription) -> Iterator[str]:
    """Paths of the BatchNorm layers of which anything learns at any time of the run: all others rest. With a fault, of those that do not."""
    learns: set[str] = set()
    for plan in _plans(config):
        frozen = frozen_parameters(plan, description.parameters)
        learns |= {parameter.name for parameter in description.parameters if parameter.name not in frozen}
    never_rest = config.fault == "drifting BatchNorm"
    yield from dict.fromkeys(
        parameter.module for parameter in description.parameters if "BatchNorm" in parameter.kind and (never_rest or parameter.name in learns)
    )


def _plans(config: RunConfig) -> Iterator[FreezePlan]:
    plan = config.freeze
    yield plan
    for timed in sorted(config.timeline.changes, key=lambda timed: (timed.unit, timed.at)):
        plan = plan.then(timed.change)
        yield plan
