"""Sessions of browser tabs that are gone: a few are kept for a short while, for a tab that was only cut off and comes back."""

from __future__ import annotations

import builtins
import time
from collections import OrderedDict
from collections.abc import Callable

from streamlit.runtime import Runtime
from streamlit.runtime.session_manager import SessionInfo, SessionStorage

KEPT = 16
"""Sessions that are kept at most. Each has three handles (Streamlit 1.67: an event loop of its own, never run)."""


class ClosedSessions(SessionStorage):
    """Streamlit's own keeps 128 of them, and looks for those whose time is over only when it gets another one."""

    def __init__(self, seconds: float, most: int = KEPT) -> None:
        self._seconds = seconds
        self._most = most
        self._kept: OrderedDict[str, tuple[float, SessionInfo]] = OrderedDict()

    def get(self, session_id: str) -> SessionInfo | None:
        """The session of a tab that comes back; None if it is not kept any more."""
        self.tidy()
        return self._kept[session_id][1] if session_id in self._kept else None

    def save(self, session_info: SessionInfo) -> None:
        """Keep the session of a tab that has gone just now."""
        self._kept[session_info.session.id] = (time.monotonic() + self._seconds, session_info)
        self._kept.move_to_end(session_info.session.id)
        self.tidy()

    def delete(self, session_id: str) -> None:
        """Forget a session without ending it: its tab is back. KeyError where there is none."""
        del self._kept[session_id]

    def list(self) -> builtins.list[SessionInfo]:
        """Those that are kept, the oldest first."""
        return [info for _, info in self._kept.values()]

    def tidy(self) -> int:
        """End those that are too many or whose time is over. Returns how many those were."""
        return self._end(lambda until: len(self._kept) > self._most or until <= time.monotonic())

    def let_go(self) -> int:
        """End all of them: their handles are needed. Returns how many those were."""
        return self._end(lambda _: True)

    def _end(self, is_over: Callable[[float], bool]) -> int:
        before = len(self._kept)
        while self._kept and is_over(next(iter(self._kept.values()))[0]):
            _, (_, info) = self._kept.popitem(last=False)
            info.session.shutdown()
        return before - len(self._kept)


def install(runtime: Runtime, sessions: ClosedSessions) -> bool:
    """Have the server keep its closed sessions there, before its first one. False where another version of Streamlit keeps them elsewhere."""
    manager = getattr(runtime, "_session_mgr", None)
    if manager is None or not hasattr(manager, "_session_storage"):
        return False
    manager._session_storage = sessions
    return True
