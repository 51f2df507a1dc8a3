"""What a run with `speed` automatic comes to once its way has been chosen. No torch."""

from __future__ import annotations

from core.config import RunConfig
from core.events import Way


def applied(config: RunConfig, way: Way) -> RunConfig:
    """`config` as a run that was told to train in this way, instead of finding one: both do the same."""
    return config.replace(
        speed="exact",
        memory_format=way.memory_format,
        precision=way.precision,
        fused_optimizer=way.fused_optimizer,
        compile_model=way.compile_model,
        fold_norms=way.fold_norms,
        threads=way.threads,
    )
