"""What the tests of cost share."""

from __future__ import annotations

import threading

from core.lab.cost_desk import CostDesk
from core.records.cost import Cost, CostState
from tests.support import wait_until

COST = Cost(
    trainable=10, total=20, weight_bytes=80, gradient_bytes=40, optimizer_bytes=80, activation_bytes=1000, step_seconds=0.5, steps_per_epoch=None,
    epoch_seconds=None, total_seconds=None, backward_nodes=5, all_nodes=9, backward_share=0.3, device="cpu", steps_measured=3, peak_bytes=None,
)  # fmt: skip


# The desk


class Answering:
    """Stands in for the process that measures: answers when it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: set[int] = set()
        self.fail: set[str] = set()
        self._may_go_on = threading.Semaphore(0)

    def answer(self, number: int, question: str) -> CostState | None:
        self.begun.append(question)
        while not self._may_go_on.acquire(timeout=0.01):
            if number in self.cancelled:
                return None
        return CostState("failed", message="no") if question in self.fail else CostState("done", COST)

    def go_on(self, answers: int = 1) -> None:
        self._may_go_on.release(answers)


def settled(desk: CostDesk, client: str, question: str) -> CostState:
    def state() -> CostState | None:
        found = desk.ask(client, question)
        return found if found.status != "measuring" else None

    found = wait_until(state)
    assert found is not None
    return found


def desk_threads() -> int:
    return sum(thread.name == "cost-desk" for thread in threading.enumerate())


def begun(answering: Answering, questions: list[str]) -> None:
    wait_until(lambda: answering.begun == questions, what=f"{questions} begun")
