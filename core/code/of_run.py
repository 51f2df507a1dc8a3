"""The script of a run that has begun: from its settings, what was changed while it ran, and what it recorded."""

from __future__ import annotations

from core.code.differences import about, about_run
from core.code.phases import Phase, phases
from core.code.recorded import recorded, repeated
from core.code.script import pytorch_code
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.layers import ParameterInfo, head_options
from core.records.speed import applied
from core.store import Run, RunStore


def script_of(home: Home, store: RunStore, run: Run, beside: str = "") -> tuple[tuple[str, ...], str]:
    """What is to be said of the script of `run`, in sentences, and the script.

    Args:
        beside: the script is a file that leaves its weights beside itself and finds there the list of the run's pictures, under this name.

    Raises:
        ConfigError: on `run`, it has not begun to train, or its record is damaged.
    """
    if run.plan is None:
        raise ConfigError("run", f"{run.id} has not begun to train, so it has recorded nothing; give its settings instead")
    config = repeated(as_computed(store, run), store.changes_after(run.id))
    record = recorded(home, run)
    later: tuple[Phase, ...] = ()
    if config.timeline.changes:
        later = phases(config, parameters_of(config, len(run.plan.classes)))
    layers = [(layer.name, layer.frozen) for layer in run.plan.layers]
    factors = {layer.name: layer.multiplier for layer in run.plan.layers}
    said = (*about(config, record), *about_run(run, record))
    return said, pytorch_code(config, len(run.plan.classes), layers, factors, later, record.beside(beside, str(home.data)) if beside else record)


def as_computed(store: RunStore, run: Run) -> RunConfig:
    """The run's settings, with the way to compute that it has measured and chosen."""
    tuning = store.tuning(run.id) if run.config.speed == "automatic" else None
    return applied(run.config, tuning.way) if tuning else run.config


def parameters_of(config: RunConfig, classes: int) -> tuple[ParameterInfo, ...]:
    """The parameters of the model of `config`, in its order. Imports torch."""
    # Not at the top: hearing of a misspelt name must not take the two seconds that torch needs.
    from core.model import anatomy

    return anatomy.describe(config.model, classes, config.image_size, head_options(config)).parameters
