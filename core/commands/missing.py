"""What a run does not have, or not yet."""

from __future__ import annotations

from typing import NoReturn

from core.config import ConfigError
from core.store import Run


def missing(run: Run, what: str) -> NoReturn:
    """Say that a run has no `what` (an audit, a profile, findings), and what to do.

    Raises:
        ConfigError: on `run`, always.
    """
    remedy = "ask again once it trains" if run.status.active else "it was over too soon, or was made before Thaw had any; train again"
    raise ConfigError("run", f"{run.id} has no {what} ({run.status}); {remedy}")
