"""`python -m core code`: the plain PyTorch script that does what a run did, or would do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from core import catalog
from core.code import Phase, Recorded, about, about_run, phases, pytorch_code, recorded, repeated
from core.code.differences import about_test_set
from core.code.evaluation import evaluation_code
from core.commands import settings
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.layers import ParameterInfo, frozen_parameters, head_options, multipliers_by_parameter
from core.records.speed import applied
from core.store import Run, RunStore

NAMES: Sequence[str] = ("code",)


def add(commands: Any, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The parser of `code`."""
    parser = commands.add_parser(
        "code",
        parents=[shared, settings.flags()],
        help="print the plain PyTorch script that does what a run did, or what a run with these settings would do; it needs nothing of Thaw",
    )
    parser.add_argument("run", metavar="RUN", nargs="?", help="a run's id, as listed by runs; none: the settings that follow decide")
    parser.add_argument("--evaluate", action="store_true", help="the script that puts the weights of the run through its test set")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Print the script, and on standard error what it is. Raises ConfigError for what cannot be used, KeyError for a run that is not there."""
    given = [name for name in (*RunConfig.model_fields, "config") if getattr(arguments, name) is not None]
    if arguments.run is None and arguments.evaluate:
        raise ConfigError("evaluate", "needs a run, whose weights are put to the test; give the id of one, as listed by runs")
    if arguments.run is not None and (given or arguments.unfreeze_at or arguments.lr_multiplier):
        raise ConfigError("run", f"{arguments.run!r} has its settings already; leave out the run, or the settings")
    if arguments.run is None:
        told, code = _of_settings(home, settings.config(arguments, home))
    else:
        store = RunStore(home.database)
        row = store.run(arguments.run)
        told, code = _evaluation(home, store, row) if arguments.evaluate else _of_run(home, store, row)
    sys.stderr.write("\n".join(told) + "\n")
    sys.stdout.write(code)
    return 0


def _of_settings(home: Home, config: RunConfig) -> tuple[Sequence[str], str]:
    config = catalog.check(config)
    classes = len(catalog.class_names(config.dataset, home.data))
    parameters = _parameters(config, classes)
    frozen = frozen_parameters(config.freeze, parameters)
    layers = [(parameter.name, parameter.name in frozen) for parameter in parameters]
    multipliers = multipliers_by_parameter(config.learning_rate_multipliers, parameters)
    return about(config, Recorded()), pytorch_code(config, classes, layers, multipliers, phases(config, parameters))


def _of_run(home: Home, store: RunStore, run: Run) -> tuple[Sequence[str], str]:
    if run.plan is None:
        raise ConfigError("run", f"{run.id} has not begun to train, so it has recorded nothing; give its settings instead")
    config = repeated(_as_computed(store, run), store.changes_after(run.id))
    record = recorded(home, run)
    later: tuple[Phase, ...] = ()
    if config.timeline.changes:
        later = phases(config, _parameters(config, len(run.plan.classes)))
    layers = [(layer.name, layer.frozen) for layer in run.plan.layers]
    factors = {layer.name: layer.multiplier for layer in run.plan.layers}
    return (*about(config, record), *about_run(run, record)), pytorch_code(config, len(run.plan.classes), layers, factors, later, record)


def _evaluation(home: Home, store: RunStore, run: Run) -> tuple[Sequence[str], str]:
    if run.plan is None or run.result is None or run.result.weights is None:
        raise ConfigError("run", f"{run.id} has left no weights that could be put to the test; choose one that has")
    record = recorded(home, run)
    weights = str(home.run_folder(run.id) / "weights.pth")
    return about_test_set(run, record), evaluation_code(_as_computed(store, run), run.plan.classes, weights, record)


def _as_computed(store: RunStore, run: Run) -> RunConfig:
    """The run's settings, with the way to compute that it has measured and chosen."""
    tuning = store.tuning(run.id) if run.config.speed == "automatic" else None
    return applied(run.config, tuning.way) if tuning else run.config


def _parameters(config: RunConfig, classes: int) -> tuple[ParameterInfo, ...]:
    # Not at the top: hearing of a misspelt name must not take the two seconds that torch needs.
    from core.model import anatomy

    return anatomy.describe(config.model, classes, config.image_size, head_options(config)).parameters
