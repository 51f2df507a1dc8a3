"""Optuna, asked and told from what lies in the store: it keeps nothing of its own, so any process may ask, and a server that died changes nothing.

Its study is made anew each time, in memory: a trial for each run of the sweep, with what it was given, how it ended and its validation accuracy
by epoch. Optuna is an optional extra; `missing` says how it is installed.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import ConfigError
from core.records.events import RunStatus
from core.sweeps.plan import Plan
from core.sweeps.vary import Vary, as_text

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-sweep.txt"

STARTUP = 8
"""Runs that are drawn by chance before a sampler draws by what it has seen, and that end before one is given up by comparison with them: half."""

REDUCTION = 3
"""Of runs that reach a rung of successive halving one in so many goes on, and the next rung is so many times as many epochs away."""

_RUNG = "completed_rung_{}"  # optuna.pruners.SuccessiveHalvingPruner keeps there what a trial had at a rung


@dataclass(frozen=True)
class Past:
    """A run of the sweep as Optuna is told of it. `by_epoch`: (epoch, validation accuracy), `value`: that of the weights it ended with."""

    given: Mapping[str, Any]
    status: RunStatus
    value: float | None = None
    by_epoch: tuple[tuple[int, float], ...] = ()
    pruned: bool = False


def missing() -> str:
    """Why Optuna's samplers and pruners cannot be had, with the command that installs it; empty: they can."""
    if importlib.util.find_spec("optuna") is not None:
        return ""
    return (
        f'needs the package optuna, which is not installed; install it with: "{sys.executable}" -m pip install -r "{REQUIREMENTS}", '
        "or use the method grid or random, and the pruner none"
    )


def refuse_missing(plan: Plan) -> None:
    """Raises ConfigError on `method` or `pruner` where a plan asks for Optuna, and it is not installed."""
    if plan.engine and (why := missing()):
        field, value = ("method", plan.method) if plan.method not in ("grid", "random") else ("pruner", plan.pruner)
        raise ConfigError(field, f"{value!r} {why}")


def ask(plan: Plan, past: Sequence[Past], tried: int) -> dict[str, Any]:
    """What the next run is to be given, after `tried` settings in all: a function of the arguments alone."""
    with _quiet() as optuna:
        startup = min(STARTUP, max(2, plan.total // 3))
        sampler = optuna.samplers.TPESampler(seed=plan.seed + tried, n_startup_trials=startup, constant_liar=True)
        study = _study(optuna, plan, past, sampler=sampler)
        params = study.ask(_distributions(plan.vary)).params
    return {vary.field: _from_optuna(vary, params[vary.field]) for vary in plan.vary}


def gives_up(plan: Plan, past: Sequence[Past], run: Past) -> bool:
    """Whether a run that has come so far is to end, since the others of its sweep did better by then."""
    if plan.pruner == "none" or not run.by_epoch:
        return False
    with _quiet() as optuna:
        if plan.pruner == "median":
            pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP // 2)
        else:
            pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
        study = _study(optuna, plan, past, pruner=pruner)
        trial = _trial(optuna, plan, run, before_last=True)
        study.add_trial(trial)
        return bool(pruner.prune(study, study.get_trials(deepcopy=False)[-1]))


def _study(optuna: Any, plan: Plan, past: Sequence[Past], **parts: Any) -> Study:
    study: Study = optuna.create_study(direction="maximize", study_name="sweep", **parts)
    study.add_trials([_trial(optuna, plan, each) for each in past])
    return study


def _trial(optuna: Any, plan: Plan, run: Past, before_last: bool = False) -> FrozenTrial:
    """A run as a trial. `before_last`: what successive halving noted of it is that of the epochs before its last."""
    states = optuna.trial.TrialState
    if run.status.active:
        state = states.RUNNING
    elif run.pruned:
        state = states.PRUNED
    else:
        state = states.COMPLETE if run.status is RunStatus.FINISHED and run.value is not None else states.FAIL
    noted = dict(run.by_epoch[:-1] if before_last else run.by_epoch)
    rungs: dict[str, float] = {}
    step = 1
    while step in noted:
        rungs[_RUNG.format(len(rungs))] = noted[step]
        step *= REDUCTION
    trial: FrozenTrial = optuna.trial.create_trial(
        state=state,
        value=run.value if state is states.COMPLETE else None,
        params={vary.field: _to_optuna(vary, run.given[vary.field]) for vary in plan.vary},
        distributions=_distributions(plan.vary),
        intermediate_values=dict(run.by_epoch),
        system_attrs=rungs,
    )
    return trial


def _distributions(varied: Sequence[Vary]) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for vary in varied:
        if vary.values or vary.count is not None:
            found[vary.field] = CategoricalDistribution([as_text(value) for value in vary.listed or ()])
        elif vary.whole:
            found[vary.field] = IntDistribution(int(vary.low), int(vary.high), log=vary.log)
        else:
            found[vary.field] = FloatDistribution(vary.low, vary.high, log=vary.log)
    return found


def _to_optuna(vary: Vary, value: Any) -> Any:
    return as_text(value) if vary.values or vary.count is not None else value


def _from_optuna(vary: Vary, value: Any) -> Any:
    if vary.values or vary.count is not None:
        return next(each for each in vary.listed or () if as_text(each) == value)
    return vary.rounded(value)


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, which tells of every trial and of all that is experimental in it otherwise."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield optuna
