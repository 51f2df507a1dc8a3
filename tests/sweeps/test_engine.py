"""Optuna, told of everything anew each time: the same question has the same answer, whoever asks, and bad runs end early."""

from __future__ import annotations

import random
from typing import Any

import pytest

from core.config import ConfigError, RunConfig
from core.records.events import RunStatus
from core.sweeps import engine
from core.sweeps.engine import Past
from core.sweeps.plan import Plan, make
from core.sweeps.vary import parse_all

needs_optuna = pytest.mark.skipif(bool(engine.missing()), reason="optuna is an optional extra: requirements-sweep.txt")


def plan(*vary: str, **options: Any) -> Plan:
    return make(RunConfig(model="small_cnn", image_size=16, epochs=9), parse_all(vary), **{"method": "tpe", "runs": 30, **options})


def accuracy(rate: float) -> float:
    """Best at 0.03."""
    from math import log10

    return 0.9 - 0.1 * abs(log10(rate / 0.03))


@needs_optuna
def test_a_sampler_asks_for_what_did_well_and_says_the_same_to_whoever_tells_it_the_same() -> None:
    asked = plan("learning_rate=1e-5..1 log", "optimizer=SGD|AdamW", "head_hidden=none|64")
    past: list[Past] = []
    for number in range(30):
        given = engine.ask(asked, past, number)
        assert given["optimizer"] in ("SGD", "AdamW")
        assert given["head_hidden"] in (None, 64)
        past.append(Past(given, RunStatus.FINISHED, accuracy(given["learning_rate"])))
    assert engine.ask(asked, past, 30) == engine.ask(asked, past, 30)
    late = [accuracy(each.given["learning_rate"]) for each in past[15:]]
    chance = [accuracy(asked.vary[0].drawn(random.Random(number))) for number in range(100)]
    assert sum(late) / len(late) > sum(chance) / len(chance) + 0.03


@needs_optuna
def test_a_sampler_is_told_of_runs_that_go_on_failed_and_were_given_up() -> None:
    asked = plan("learning_rate=1e-5..1 log")
    past = [
        Past({"learning_rate": 0.1}, RunStatus.RUNNING, None, ((1, 0.5),)),
        Past({"learning_rate": 0.2}, RunStatus.FAILED),
        Past({"learning_rate": 0.3}, RunStatus.STOPPED, None, ((1, 0.2),), pruned=True),
        Past({"learning_rate": 0.4}, RunStatus.FINISHED, 0.4, ((1, 0.3), (2, 0.4))),
    ]
    assert 1e-5 <= engine.ask(asked, past, 4)["learning_rate"] <= 1


@needs_optuna
@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_a_run_that_does_worse_than_the_others_is_given_up_and_the_best_never(pruner: str) -> None:
    asked = plan("learning_rate=1e-5..1 log", pruner=pruner)
    past = [
        Past({"learning_rate": rate}, RunStatus.FINISHED, share, tuple((epoch, share) for epoch in range(1, 10)))
        for rate, share in ((0.1, 0.8), (0.05, 0.82), (0.03, 0.85), (0.01, 0.81), (0.02, 0.8), (0.04, 0.83))
    ]
    assert engine.gives_up(asked, past, Past({"learning_rate": 1e-5}, RunStatus.RUNNING, None, tuple((epoch, 0.1) for epoch in range(1, 4))))
    assert not engine.gives_up(asked, past, Past({"learning_rate": 0.06}, RunStatus.RUNNING, None, tuple((epoch, 0.9) for epoch in range(1, 4))))
    assert not engine.gives_up(plan("learning_rate=1e-5..1 log"), past, Past({"learning_rate": 1e-5}, RunStatus.RUNNING, None, ((1, 0.1),)))


def test_where_optuna_is_missing_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'tpe' needs the package optuna.*-m pip install -r .*requirements-sweep\.txt.*grid or random"):
        engine.refuse_missing(plan("seed=0|1"))
    with pytest.raises(ConfigError) as refused:
        engine.refuse_missing(plan("seed=0|1", method="grid", pruner="median"))
    assert refused.value.field == "pruner"
    engine.refuse_missing(plan("seed=0|1", method="grid"))
