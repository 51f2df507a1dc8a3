"""What a desk was told by a helper, or why it was told nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.config import ConfigError
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
