"""Which settings the runs of a sweep get: all of a grid, the same draws each time, and none that no run can use."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from core.config import ConfigError, RunConfig
from core.sweeps.drawing import draw, in_words, refuse_all, settings_of
from core.sweeps.plan import Plan, make
from core.sweeps.vary import parse_all


def plan(*vary: str, config: RunConfig | None = None, **options: Any) -> Plan:
    return make(config or RunConfig(model="small_cnn", image_size=16), parse_all(vary), **options)


def test_a_grid_has_every_combination_once_and_all_settings_of_one_seed_before_the_next() -> None:
    drawn = draw(plan("seed=0|1", "optimizer=SGD|AdamW", "batch_size=8|16"), 100)
    assert [tuple(given.values()) for _, given, _ in drawn.runs] == list(itertools.product((0, 1), ("SGD", "AdamW"), (8, 16)))
    assert [number for number, _, _ in drawn.runs] == list(range(8))


def test_a_part_of_a_large_grid_is_taken_by_chance_and_is_the_same_each_time() -> None:
    large = plan("seed=0..99", "learning_rate=1e-4..1e-1 log in 100", runs=20)
    first, again = (draw(large, large.total) for _ in range(2))
    assert large.combinations == 10_000
    assert first.runs == again.runs
    assert len({tuple(given.values()) for _, given, _ in first.runs}) == 20


def test_draws_by_chance_are_a_function_of_their_number_so_that_more_can_be_added() -> None:
    chance = plan("learning_rate=1e-4..1e-1 log", runs=4)
    assert chance.method == "random"
    whole = list(itertools.islice(settings_of(chance), 8))
    assert whole[4:] == list(itertools.islice(settings_of(chance, 4), 4))
    assert [given for _, given, _ in draw(chance, 4, start=4).runs] == whole[4:]


def test_a_value_that_no_run_can_use_is_left_out_and_named_among_good_ones() -> None:
    drawn = draw(plan("learning_rate=0.001|5000", "seed=0|1"), 4)
    assert [given["learning_rate"] for _, given, _ in drawn.runs] == [0.001, 0.001]
    (line,) = in_words(drawn.refused)
    assert line.startswith("learning_rate=5000 was left out (2 runs): learning_rate: must be 1000 or less, got 5000")


def test_a_sweep_of_which_every_run_is_refused_names_field_and_value() -> None:
    bad = plan("optimizer=SDG|AdamX")
    refused = draw(bad, 2).refused
    error = refuse_all(bad, refused)
    assert error.field == "optimizer"
    assert "SDG" in error.message
    assert "none of the 2 settings that were tried can be used; nothing was started" in error.message


@pytest.mark.parametrize(
    ("vary", "options", "field"),
    [
        (["seed=0|1"], {"method": "magic"}, "method"),
        (["seed=0|1"], {"pruner": "axe"}, "pruner"),
        (["seed=0|1"], {"runs": 0}, "runs"),
        (["seed=0|1"], {"at_once": 65}, "at_once"),
        (["learning_rate=0.1..0.2"], {"method": "grid"}, "learning_rate"),
        (["seed=0..999", "batch_size=1..999"], {}, "vary"),
        (["epochs=1|2"], {"pruner": "median"}, "pruner"),
        (["seed=0|1"], {"config": RunConfig(validation_share=0)}, "validation_share"),
        (["seed=0|1"], {"name": "x" * 10_000}, "name"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_on_its_field(vary: list[str], options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(*vary, **options)
    assert refused.value.field == field


def test_a_plan_comes_back_from_its_json_whatever_it_is_called() -> None:
    made = plan("freeze=head only|last stage", "learning_rate=1e-4..1e-1 log", name="""<b>'"|`\\n</b>""", runs=5, config=RunConfig(seed=3, threads=1))
    assert Plan.from_json(made.to_json()) == made
    with pytest.raises(ConfigError, match="cannot be read"):
        Plan.from_json("{}")


def test_runs_go_side_by_side_only_where_one_uses_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.sweeps.plan.cores", lambda: 4)
    heads = RunConfig(freeze="head only", device="cpu")
    assert plan("learning_rate=0.1|0.2", config=heads).side_by_side == 4
    assert plan("learning_rate=0.1|0.2", config=heads.replace(augmentation="flip")).side_by_side == 1
    assert plan("freeze=head only|last stage", config=heads).side_by_side == 1
    assert plan("freeze=head only|last stage", config=heads.replace(threads=2)).side_by_side == 2
    assert plan("learning_rate=0.1|0.2", config=heads, at_once=3).side_by_side == 3
