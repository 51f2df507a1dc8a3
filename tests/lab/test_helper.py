"""Processes that ended are asked how they ended: none is left behind as a zombie. The processes here are Python's own `json.tool`, which waits
for the end of its input as a helper does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from core.helpers import helper as module
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


@pytest.mark.parametrize("how", ["sleeps", "is stopped"])
def test_a_helper_that_hangs_is_ended_whoever_waits_hears_of_it_and_the_next_question_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    helper = Helper(tmp_path / "helper.log", module="tests.lab.hanging")
    try:
        assert helper.ask('"a question"') == "a question"
        assert helper._process is not None
        first = helper._process.pid
        if how == "is stopped":
            os.kill(first, signal.SIGSTOP)
        heard: list[str] = []

        def ask() -> None:
            with pytest.raises(LabError) as error:
                helper.ask('"hang"' if how == "sleeps" else '"a question"')
            heard.append(str(error.value))

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: helper._asked, what="the question")
        assert not helper.rest(), "it was asked just now"
        assert psutil.pid_exists(first)
        monkeypatch.setattr(module, "HUNG_SECONDS", 0.2)
        wait_until(lambda: helper.rest() or heard, what="the end of the helper")
        asking.join()
        assert "did not answer and did nothing for a minute" in heard[0]
        assert str(tmp_path / "helper.log") in heard[0]
        assert not psutil.pid_exists(first)
        monkeypatch.undo()
        assert helper.ask('"another"') == "another"
        assert helper._process.pid != first
    finally:
        helper.close()


def test_a_helper_that_works_or_tells_how_far_it_is_does_not_hang(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock and a processor that the test turns on by itself."""
    now, spent = 1000.0, 5.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(module, "_processor_seconds", lambda pid: spent)
    pid = pid_of(helper)
    helper._asked, helper._heard = 1, now

    def ends(seconds: float, worked: float = 0.0, said: bool = False) -> bool:
        nonlocal now, spent
        now += seconds
        spent += worked
        if said:
            helper._heard = now
        helper.rest()
        return helper._hung

    assert not ends(2)
    assert not any(ends(50, worked=0.1) for _ in range(30)), "it works, and says nothing for 25 minutes"
    assert not any(ends(50, said=True) for _ in range(30)), "it waits for the network, say, and tells how far it is"
    assert not ends(50)
    assert psutil.pid_exists(pid)
    assert ends(12), "a minute without word or work"
    helper._hung = False
    helper._heard = now
    assert not any(ends(59, worked=50.0) for _ in range(30))
    assert ends(59, worked=50.0), "half an hour of work without a word"


@pytest.mark.parametrize(("said", "meant"), [("", 300.0), ("90", 90.0), ("0", 300.0), ("-5", 300.0), ("soon", 300.0), ("nan", 300.0), ("inf", 300.0)])
def test_how_long_an_idle_helper_stays_can_be_said_in_the_environment(monkeypatch: pytest.MonkeyPatch, said: str, meant: float) -> None:
    monkeypatch.setenv("THAW_IDLE_SECONDS", said)
    assert module.idle_seconds() == meant


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
