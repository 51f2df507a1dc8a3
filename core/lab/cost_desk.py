"""Questions about cost, waiting to be measured one by one."""

from __future__ import annotations

from core.helpers.desk import Desk
from core.records.cost import CostState


class CostDesk(Desk[CostState]):
    """See `Desk`."""

    def ask(self, client: str, question: str) -> CostState:
        """What is known about `question`; if nothing is, it waits in line, in place of what `client` asked before. Returns at once."""
        state, waits = self.look(client, question)
        return state or CostState("measuring", message="waiting for another measurement" if waits else "")
