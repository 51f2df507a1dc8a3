"""What runs are called in lists: never two alike, unless their settings are; and as files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.config import RunConfig
from core.config.plans import FreezePlan
from core.records.labels import Labels
from core.store import Run, RunStore
from pages._parts.shared import naming

LONG = ", ".join(f"stage1.{number}" for number in range(40))


def run_of(store: RunStore, name: str = "", **settings: Any) -> Run:
    run = store.run(store.create_run(RunConfig(**{"model": "small_cnn", **settings})))
    return replace(run, labels=Labels(name))


def told(*runs: Run) -> list[str]:
    found = naming.in_list(runs)
    return [str(found[run.id]) for run in runs]


def test_a_run_alone_is_called_by_its_name_or_by_what_it_is_about(store: RunStore) -> None:
    assert told(run_of(store), run_of(store, "first try")) == ["digits with small_cnn", "first try"]


def test_runs_about_the_same_are_told_apart_by_the_fewest_settings(store: RunStore) -> None:
    runs = [run_of(store, freeze="head only", learning_rate=0.01, seed=3), run_of(store, freeze="head only", learning_rate=0.1, seed=4)]
    assert told(*runs) == ["digits with small_cnn · lr 0.01", "digits with small_cnn · lr 0.1"]
    runs.append(run_of(store, freeze="last stage", learning_rate=0.1, seed=5))
    assert told(*runs)[2] == "digits with small_cnn · last stage · lr 0.1"
    assert len(set(told(*runs))) == 3


@pytest.mark.parametrize("name", ["", "one name"])
def test_whatever_differs_no_two_rows_read_the_same(store: RunStore, name: str) -> None:
    changes: list[dict[str, Any]] = [
        {}, {"seed": 1}, {"dataset": "folder:/a/digits"}, {"dataset": "folder:/b/digits"}, {"loss_options": {"label_smoothing": 0.1}},
        {"clip_norm": 1.0}, {"timeline": "2: train everything"}, {"starting_weights": "/tmp/a.pth"}, {"fold_norms": True}, {"accumulate": 2},
        {"freeze": LONG}, {"freeze": LONG.replace("21", "41")},
    ]  # fmt: skip
    runs = [run_of(store, name, **change) for change in changes]
    assert len(set(told(*runs))) == len(runs)
    assert all(len(text) < 260 for text in told(*runs))


def test_what_differs_only_where_it_is_cut_is_told_by_the_id(store: RunStore) -> None:
    long = ["stage1.0"] * 40
    one, other = run_of(store), run_of(store)
    configs = [
        each.config.replace(freeze=FreezePlan(rules=tuple(rules))) for each, rules in ((one, [*long, "a", *long]), (other, [*long, "b", *long]))
    ]
    runs = [replace(run, config=config) for run, config in zip((one, other), configs, strict=True)]
    assert all(run.id in text for run, text in zip(runs, told(*runs), strict=True))


def test_the_same_settings_may_read_the_same(store: RunStore) -> None:
    assert told(run_of(store), run_of(store)) == ["digits with small_cnn"] * 2


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("first try", "first-try"),
        ("../../etc/passwd", "etc-passwd"),
        ('a/b\\c:d*e?"<f>|g', "a-b-c-d-e-f-g"),
        ("x" * 120, "x" * 60),
        ("é日本", "é日本"),
        ("...", ""),
        ("", "digits-with-small_cnn"),
    ],
)
def test_files_are_called_as_every_system_takes_it(store: RunStore, name: str, wanted: str) -> None:
    run = run_of(store, name)
    assert naming.file_name(run, ".pth") == "-".join(filter(None, (wanted, run.id))) + ".pth"
