"""The process that looks through datasets for the server: `python -m core.curating.helper --home DIR [--niced]`. See `core.curating.desk`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

# Set before torch is imported. Threads that wait for each other sleep instead of spinning: a training may use every core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from core.config.errors import Cancelled
from core.curating import checking, doubts, layout
from core.helpers.helper import serve_home
from core.machine.home import Home
from core.versions import read


def answer(home: Home, question: dict[str, Any], cancelled: Callable[[], bool], progress: Callable[[str, float | None], None]) -> Any:
    """The answer to one question, ready for JSON; None if it was cancelled. Raises ConfigError as what it asks for."""

    def go_on(text: str, share: float | None) -> None:
        if cancelled():
            raise Cancelled
        progress(text, share)

    version = read(home, question["dataset"], question["number"])
    try:
        match question:
            case {"question": "check"}:
                return checking.CHECK.dump_python(checking.check(home, version, go_on), mode="json")
            case {"question": "map", "model": model, "method": method}:
                return layout.MAP.dump_python(layout.map_of(home, version, go_on, model, method), mode="json")
            case {"question": "doubts", "model": model}:
                return doubts.DOUBTS.dump_python(doubts.doubts_of(home, version, go_on, model), mode="json")
            case _:
                raise ValueError(f"Unknown question {question!r}")
    except Cancelled:
        return None


def main() -> None:
    """Answer until standard input ends."""
    serve_home("core.curating.helper", lambda home: partial(answer, home))


if __name__ == "__main__":
    main()
