"""Which answers a desk remembers when it may keep only a few."""

from __future__ import annotations

from dataclasses import dataclass

from core.helpers.desk import Desk
from tests.support import wait_until


@dataclass(frozen=True)
class Said:
    text: str
    failed: bool = False


def test_the_answers_that_were_looked_at_last_are_remembered() -> None:
    asked: list[str] = []

    def answer(number: int, question: str) -> Said:
        asked.append(question)
        return Said(question.upper(), failed=question.startswith("bad"))

    desk = Desk[Said](answer, lambda number: None, remembered=3)

    def ask(question: str, client: str = "tab") -> Said:
        said = wait_until(lambda: desk.look(client, question)[0], what=question)
        assert said is not None
        return said

    for question in "abc":
        assert ask(question) == Said(question.upper())
    assert ask("a") == Said("A")  # looked at again: b is now the oldest
    ask("d")
    assert asked == ["a", "b", "c", "d"]
    for question in "acd":
        ask(question)
    assert asked == ["a", "b", "c", "d"], "all three are remembered"
    ask("b")
    assert asked[4:] == ["b"], "and the one that nobody looked at for longest was forgotten"
    for client in "uvwx":  # a failure is kept for each client, of the newest three
        ask(f"bad {client}", client)
    asked.clear()
    for client in "xwv":
        ask(f"bad {client}", client)
    assert asked == []
    ask("bad u", "u")
    assert asked == ["bad u"]
    desk.close()
    desk.join()
