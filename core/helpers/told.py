"""What a desk was told by a helper, or why it was told nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.config import ConfigError
from core.helpers.desk import Desk
from core.helpers.helper import LabError


@dataclass(frozen=True)
class Told:
    """What became of a question: an `Outcome` of `Desk`."""

    answer: Any = None
    error: ConfigError | LabError | None = None

    @property
    def failed(self) -> bool:
        """True: asking again may help."""
        return self.error is not None


def answer_of(desk: Desk[Told], client: str, question: str) -> Any:
    """What `desk` knows about a question of `client`'s; None: it is being worked out, ask again.

    Raises:
        ConfigError: the question cannot be answered.
        LabError: the process failed, or the server is closing.
    """
    told, _ = desk.look(client, question)
    if told is None:
        if desk.closed:
            raise LabError("The server is closing: no more questions are answered")
        return None
    if told.error is not None:
        desk.forget_failure(client)
        raise told.error
    return told.answer
