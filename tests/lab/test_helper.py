"""Processes that ended are asked how they ended: none is left behind as a zombie. The processes here are Python's own `json.tool`, which waits
for the end of its input as a helper does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.helpers.helper import Helper, LabError
from tests.support import ROOT, wait_until


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    helper = Helper(tmp_path / "logs" / "helper.log", module="json.tool")
    yield helper
    helper.close()


def pid_of(helper: Helper) -> int:
    helper.start()
    assert helper._process is not None
    return helper._process.pid


def die(pid: int) -> None:
    """Killed, and not yet asked how it ended."""
    psutil.Process(pid).send_signal(signal.SIGKILL)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, what="the end of the process")


def test_a_helper_that_is_closed_is_gone_with_its_pipes(helper: Helper) -> None:
    pid = pid_of(helper)
    process = helper._process
    assert process is not None
    helper.close()
    assert not psutil.pid_exists(pid)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdin.closed
    assert process.stdout.closed


def test_a_helper_that_was_asked_nothing_for_long_gives_its_memory_back_and_starts_again(helper: Helper) -> None:
    pid = pid_of(helper)
    assert not helper.rest(), "it has just begun"
    assert psutil.pid_exists(pid)
    helper._asked = 1
    assert not helper.rest(seconds=0.0), "somebody waits for an answer"
    helper._asked = 0
    assert helper.rest(seconds=0.0)
    assert not psutil.pid_exists(pid)
    assert not helper.rest(seconds=0.0), "there is none any more"
    assert psutil.pid_exists(pid_of(helper))


def test_a_helper_that_died_at_a_question_is_gone_once_that_has_failed(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = pid_of(helper)
    tell = helper.tell

    def tell_and_die(**message: object) -> None:
        tell(**message)
        die(pid)

    monkeypatch.setattr(helper, "tell", tell_and_die)
    with pytest.raises(LabError, match=r"was killed.*batch_size.*helper\.log"):
        helper.ask("{}", number=1)
    assert not psutil.pid_exists(pid)


def test_a_helper_that_died_between_two_questions_is_gone_once_the_next_is_started(helper: Helper) -> None:
    first = pid_of(helper)
    process = helper._process
    die(first)
    second = pid_of(helper)
    assert second != first
    assert not psutil.pid_exists(first)
    assert process is not None
    assert process.stdin is not None
    assert process.stdin.closed, "nor is a handle left of it"


def test_progress_that_comes_quickly_is_told_now_and_then_and_a_text_without_a_share_at_once() -> None:
    script = """
from core.helpers.helper import serve

def answer(question, cancelled, progress):
    for part in range(2000):
        progress("reading", part / 2000)
    progress("a step", None)
    progress("another", None)
    return "done"

serve(answer)
"""
    asked = subprocess.run([sys.executable, "-c", script], input='{"ask": "{}", "number": 1}\n', capture_output=True, text=True, check=True, cwd=ROOT)
    told = [json.loads(line) for line in asked.stdout.splitlines()]
    assert told[-3:] == [{"progress": ["a step", None]}, {"progress": ["another", None]}, {"answer": "done"}]
    assert told[0] == {"progress": ["reading", 0.0]}
    assert len(told) < 500, "2,000 at most every tenth of a second"
