"""The desk at which questions about cost wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

from core.lab.cost_desk import CostDesk
from core.records.cost import CostState
from tests.measuring.cost_cases import Answering, begun, desk_threads, settled
from tests.support import wait_until


def test_other_clients_wait_in_line(desk: CostDesk, answering: Answering) -> None:
    assert desk.ask("a", "1").message == ""
    begun(answering, ["1"])
    assert desk.ask("b", "2").message == "waiting for another measurement"
    assert desk.ask("c", "3").status == "measuring"
    desk.ask("a", "4")  # behind those who came before
    answering.go_on(4)
    assert settled(desk, "a", "4").status == "done"
    assert answering.begun == ["1", "2", "3", "4"]


def test_what_another_client_still_wants_is_not_given_up(desk: CostDesk, answering: Answering) -> None:
    desk.ask("a", "1")
    begun(answering, ["1"])
    desk.ask("b", "1")
    desk.ask("a", "2")
    answering.go_on(2)
    assert settled(desk, "b", "1").status == "done"
    assert settled(desk, "a", "2").status == "done"
    assert answering.begun == ["1", "2"]
    assert not answering.cancelled


def test_going_back_to_what_is_known_gives_up_what_runs(desk: CostDesk, answering: Answering) -> None:
    answering.go_on()
    settled(desk, "a", "1")
    desk.ask("a", "2")
    begun(answering, ["1", "2"])
    assert desk.ask("a", "1").status == "done"
    wait_until(lambda: desk_threads() == 0, what="the end of the question that nobody wants")
    assert answering.cancelled


def test_a_failure_is_shown_until_the_client_asks_something_else(desk: CostDesk, answering: Answering) -> None:
    answering.fail = {"1"}
    answering.go_on(4)
    assert settled(desk, "a", "1") == CostState("failed", message="no")
    assert [desk.ask("a", "1").status for _ in range(3)] == ["failed"] * 3
    assert answering.begun == ["1"], "asking twice a second does not try twice a second"
    settled(desk, "a", "2")
    answering.fail = set()
    assert settled(desk, "a", "1").status == "done"


def test_a_closed_desk_begins_nothing_more(desk: CostDesk, answering: Answering) -> None:
    desk.ask("a", "1")
    begun(answering, ["1"])
    desk.ask("b", "2")
    desk.close()
    answering.go_on(2)
    desk.join()
    assert desk.ask("b", "2").status == "measuring"
    assert answering.begun == ["1"]
    assert desk_threads() == 0


def test_many_clients_at_once_get_their_newest_answer(desk: CostDesk, answering: Answering) -> None:
    answering.go_on(10_000)
    found: list[str] = []

    def toggle(client: str) -> Callable[[], None]:
        def work() -> None:
            for number in range(40):
                desk.ask(client, f"{client}{number % 7}")
            found.append(settled(desk, client, f"{client}5").status)

        return work

    threads = [threading.Thread(target=toggle(client)) for client in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["done"] * 6
    wait_until(lambda: desk_threads() == 0)
