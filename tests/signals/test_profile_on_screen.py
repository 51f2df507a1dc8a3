"""A profile in words, on screen and in the terminal."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from core.commands import cli
from core.config import RunConfig
from core.machine.home import Home
from core.records.events import Reuse, Stage
from core.records.profile import BlockTime, Memory, Profile, StepTimes
from core.records.telling import parts_of, profile_headline, reuse_in_words
from core.store import RunStore
from pages._parts.run import profile_view
from tests.signals.profiling_cases import QUICK

# Words


KEPT: dict[str, Any] = {"border": ("layer3",), "layers": 41, "all_layers": 62, "picture_bytes": 4096, "pictures": 1150, "kept": 1150}


def profile_of(*blocks: BlockTime, **stages: Any) -> Profile:
    memory = Memory(44_700_000, 38_000, 33_600_000, 67_200_000, 808_000, 4_700_000, "disk", 10**9, "process")
    return Profile(21, 25, 32, "cpu", cast(Any, stages), blocks, 0.0, 0.0, memory, "serving", True)


def test_headline_names_the_largest_part_of_a_step() -> None:
    layers = (BlockTime("layer3", None, None, True, ()), BlockTime("layer4", 0.2, 0.62, False, ()), BlockTime("fc", 0.01, 0.01, False, ()))
    profile = profile_of(*layers, forward=0.21, backward=0.63, optimizer=0.16)
    assert profile_headline(profile) == "62 % of a step is backward through layer4"
    assert [part.what for part in parts_of(profile)][:2] == ["backward through layer4", "forward through layer4"]
    even = tuple(BlockTime(f"layer{number}", 0.05, 0.05, False, ()) for number in range(10))
    assert profile_headline(profile_of(*even, forward=0.4, backward=0.6)) == "60 % of a step is the backward pass, and no part of it stands out"


@pytest.mark.parametrize(("largest", "stands_out"), [(0.15, True), (0.149, False)])
def test_from_fifteen_percent_on_a_part_stands_out(largest: float, stands_out: bool) -> None:
    others = tuple(BlockTime(f"layer{number}", 0.05, 0.05, False, ()) for number in range(8))
    profile = profile_of(BlockTime("fc", largest, None, False, ()), *others, forward=0.5, backward=0.5)
    assert ("forward through fc" in profile_headline(profile)) == stands_out


def test_a_profile_without_time_or_without_parts_measured_nothing() -> None:
    assert profile_headline(profile_of()) == "Nothing was measured"
    assert profile_headline(profile_of(BlockTime("fc", None, None, False, ()), forward=1.0)) == "Nothing was measured"
    assert profile_headline(profile_of(BlockTime("fc", 0.0, 0.0, False, ()), forward=0.0)) == "Nothing was measured"


@pytest.mark.parametrize(
    ("reuse", "text"),
    [
        (
            Reuse("serving", found=True, checked=1312, saved_seconds=41.0, **KEPT),
            "Frozen layers are computed once: layers up to layer3 (41 of 62) · 1,150 pictures, 4.7 MB on disk, found from an earlier run, "
            "1,312 checked bit for bit, 41 s saved so far.",
        ),
        (
            Reuse("serving", found=True, proved=True, checked=2, **KEPT),
            "found from an earlier run, cut where an earlier run has proved it, 2 checked bit for bit.",
        ),
        (
            Reuse("filling", border=("a", "b"), layers=1, all_layers=2, picture_bytes=1000, pictures=20, kept=5),
            "layers up to a and b (1 of 2) · 5 of 20 pictures seen so far, 5 kB on disk",
        ),
        (Reuse("off", "it is switched off (feature_cache)"), "Nothing is computed ahead and kept: It is switched off (feature_cache)."),
        (Reuse("dropped", "the file was cut short"), "Kept features were dropped: The file was cut short. Every step computes the whole model"),
    ],
)
def test_what_is_kept_is_told_in_plain_words(reuse: Reuse, text: str) -> None:
    assert text in reuse_in_words(reuse)


def test_command_line_prints_the_profile_and_what_is_kept(home: Home, store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store.create_run(RunConfig(**QUICK))
    at = ["--home", str(home.path)]
    store.set_process(run_id, 1, 0.0)
    assert cli.main(["profile", run_id, *at]) == 2
    assert "has no profile" in capsys.readouterr().err
    layers = (BlockTime("layer3", None, None, True, ()), BlockTime("layer4", 0.2, 0.62, False, ()))
    store.set_profile(run_id, profile_of(*layers, forward=0.2, backward=0.62, optimizer=0.18))
    store.set_reuse(run_id, Reuse("serving", **KEPT))
    assert cli.main(["profile", run_id, *at]) == 0
    printed = capsys.readouterr().out
    assert "62 % of a step is backward through layer4" in printed
    assert "not computed: kept" in printed
    assert "620.000" in printed
    assert cli.main(["profile", run_id, "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"][1]["backward"] == 0.62
    assert cli.main(["show", run_id, *at]) == 0
    assert "Frozen layers are computed once: layers up to layer3 (41 of 62)" in capsys.readouterr().out


def test_the_bar_says_of_watching_what_the_meter_says() -> None:
    seconds: dict[Stage, float] = {"forward": 0.973, "watching": 0.015, "recording": 0.012}
    assert profile_view.watching(seconds) == "2.7 %"
    times = StepTimes(10, seconds, 10, seconds, False, 1, 10, 0.02)
    assert profile_view.watching(times.recent_seconds) == f"{100 * (times.watching or 0):.1f} %"  # as in `spoken.js`
    assert profile_view.watching({"forward": 1.0, "recording": 0.0001}) == "less than 0.1 %"
