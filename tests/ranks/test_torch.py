"""What the installed torch does where guesses go wrong, with two processes on gloo: why ranks are not wrapped, and compute BatchNorm themselves.

A test that fails here says that torch has changed, not that Thaw is broken: see `core.ranks` and `core.code.ranks`, which rest on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.machine.home import child_environment

Found = dict[tuple[int, int], dict[str, Any]]
"""By attempt and rank."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What two processes found, which failed once."""
    folder = tmp_path_factory.mktemp("facts")
    program = Path(__file__).with_name("torch_facts.py")
    done = subprocess.run([sys.executable, program, folder], capture_output=True, text=True, timeout=240, check=False, env=child_environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return {(attempt, rank): json.loads((folder / f"{attempt}-{rank}.json").read_text()) for attempt in range(2) for rank in range(2)}


def test_what_is_thawed_after_wrapping_is_not_averaged_and_nothing_is_said(found: Found) -> None:
    thawed, wrapped = zip(*(found[1, rank]["thawed"] for rank in range(2)), strict=True)
    assert thawed[0] != pytest.approx(thawed[1])
    assert wrapped[0] == wrapped[1]


def test_what_is_frozen_after_wrapping_fails_in_the_step_after_the_next(found: Found) -> None:
    for rank in range(2):
        first, second = found[1, rank]["frozen"]
        assert first == "well"
        assert second.startswith("Expected to have finished reduction")


def test_a_rank_without_a_gradient_is_given_the_mean_with_zeros(found: Found) -> None:
    one, other = (found[1, rank]["without_gradient"] for rank in range(2))
    assert one == other
    assert any(one)


def test_running_statistics_differ_after_a_step_and_are_those_of_the_first_rank_after_an_evaluation(found: Found) -> None:
    (first, then), (second, after) = (found[1, rank]["buffers"] for rank in range(2))
    assert second == pytest.approx([2 * each for each in first])
    assert then == after == first


def test_what_gloo_cannot_add_up(found: Found) -> None:
    sums = found[1, 0]["sums"]
    assert {kind for kind, said in sums.items() if said.endswith("Error")} == {"int16", "float8_e4m3fn", "premul"}
    assert (sums["float32"], sums["bfloat16"], sums["int8"], sums["bool"], sums["mean"]) == ("2.0", "2.0", "2.0", "1.0", "0.5")


def test_a_process_that_is_begun_again_has_its_place_and_counts_the_attempts(found: Found) -> None:
    for rank in range(2):
        before, after = (found[attempt, rank]["environment"] for attempt in range(2))
        assert (before.pop("TORCHELASTIC_RESTART_COUNT"), after.pop("TORCHELASTIC_RESTART_COUNT")) == ("0", "1")
        assert before == after
        assert (after["RANK"], after["WORLD_SIZE"]) == (str(rank), "2")


def test_torchrun_gives_each_of_several_processes_one_thread(found: Found) -> None:
    """So a script divides the processor's threads itself (`core.code.ranks`), as a run does."""
    assert found[0, 0]["environment"]["OMP_NUM_THREADS"] == "1"
