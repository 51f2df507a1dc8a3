"""`python -m core code`: the plain PyTorch script that does what a run did, or would do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from core import catalog
from core.code import Recorded, about, phases, pytorch_code, recorded
from core.code.differences import about_test_set
from core.code.evaluation import evaluation_code
from core.code.of_run import as_computed, parameters_of, script_of
from core.commands import Parsers, settings
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.layers import frozen_parameters, multipliers_by_parameter
from core.store import Run, RunStore

NAMES: Sequence[str] = ("code",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The parser of `code`."""
    parser = commands.add_parser("code", parents=[shared, settings.flags()])
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
        told, code = _evaluation(home, store, row) if arguments.evaluate else script_of(home, store, row)
    sys.stderr.write("\n".join(told) + "\n")
    sys.stdout.write(code)
    return 0


def _of_settings(home: Home, config: RunConfig) -> tuple[Sequence[str], str]:
    config = catalog.check(config)
    classes = len(catalog.class_names(config.dataset, home.data))
    parameters = parameters_of(config, classes)
    frozen = frozen_parameters(config.freeze, parameters)
    layers = [(parameter.name, parameter.name in frozen) for parameter in parameters]
    multipliers = multipliers_by_parameter(config.learning_rate_multipliers, parameters)
    return about(config, Recorded()), pytorch_code(config, classes, layers, multipliers, phases(config, parameters))


def _evaluation(home: Home, store: RunStore, run: Run) -> tuple[Sequence[str], str]:
    if run.plan is None or run.result is None or run.result.weights is None:
        raise ConfigError("run", f"{run.id} has left no weights that could be put to the test; choose one that has")
    record = recorded(home, run)
    weights = str(home.run_folder(run.id) / "weights.pth")
    return about_test_set(run, record), evaluation_code(as_computed(store, run), run.plan.classes, weights, record)
