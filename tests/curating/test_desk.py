"""The server's end of looking through datasets: nobody waits, what was found is kept, what is given up ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.curating import checking, desk, features
from core.curating.desk import CuratingDesk
from core.machine.home import Home
from core.records.evaluation import Work
from core.versions import Version, write
from tests.curating.planted import NAME, drawn, item, saved, version
from tests.support import wait_until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, CuratingDesk, Version]]:
    home = Home.from_environment(str(tmp_path_factory.mktemp("home")))
    items = [item(home, saved(drawn(seed, 24)), f"{'ab'[seed % 2]}/{seed}.png", "ab"[seed % 2]) for seed in range(40)]
    made = version(home, items)
    opened = CuratingDesk(home)
    yield home, opened, made
    opened.close()


def done(opened: CuratingDesk, made: Version) -> Work:
    """How finding out what is wrong with a version ended."""
    wait_until(lambda: opened.check(made)[0].state != "working", what="the check")
    return opened.check(made)[0]


def test_what_is_asked_is_answered_in_time_and_a_version_that_came_meanwhile_has_an_answer_of_its_own(
    shared: tuple[Home, CuratingDesk, Version],
) -> None:
    home, opened, made = shared
    work, found = opened.check(made)
    assert (work.state, found) == ("working", None)
    after = write(home, NAME, made.classes, made.items[1:], "One left out.", made.number)
    assert done(opened, made).state == done(opened, after).state == "done"
    answers = [opened.check(each)[1] for each in (made, after)]
    assert [answer.pictures for answer in answers if answer] == [40, 39]
    assert checking.kept(home, made) == answers[0]


def test_a_map_and_doubts_come_from_the_same_process(shared: tuple[Home, CuratingDesk, Version]) -> None:
    _, opened, made = shared
    wait_until(lambda: opened.map(made, features.PIXELS)[0].state == "done", what="the map")
    wait_until(lambda: opened.doubts(made, features.PIXELS)[0].state == "done", what="the doubts")
    found = opened.doubts(made, features.PIXELS)[1]
    assert found is not None
    assert found.blind, "noise has no classes, so its labels cannot be doubted either"


def test_what_cannot_be_is_said_and_can_be_asked_again(shared: tuple[Home, CuratingDesk, Version]) -> None:
    _, opened, made = shared
    wait_until(lambda: opened.map(made, "resnet81")[0].state == "failed", what="the refusal")
    work, found = opened.map(made, "resnet81")
    assert found is None
    assert "resnet81" in work.message
    assert opened.map(made, "resnet81", retry=True)[0].state == "working"


def test_what_nobody_asks_about_makes_way_and_what_is_cancelled_is_forgotten(
    shared: tuple[Home, CuratingDesk, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, opened, made = shared
    newest = write(home, NAME, made.classes, made.items[2:], "Two left out.", 2)
    opened._helper.close()
    monkeypatch.setattr(opened, "_run", lambda: None)  # nothing is answered: what waits, waits
    monkeypatch.setattr(opened, "_thread", None)
    opened.check(newest)
    opened.cancel(newest)
    assert not [job for job in opened._jobs.values() if job.goes_on]
    monkeypatch.setattr(desk, "WANTED_SECONDS", -1.0)
    opened.doubts(newest, "nothing")
    monkeypatch.setattr(desk, "WANTED_SECONDS", 15.0)
    for job in opened._jobs.values():
        job.asked -= 60
    opened.check(newest)
    assert [job.question.split('"')[3] for job in opened._jobs.values() if job.goes_on] == ["check"]
