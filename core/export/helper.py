"""The process that exports for the server: `python -m core.export.helper --home DIR [--niced]`. See `core.export.desk`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

# Set before torch is imported. Threads that wait for each other sleep instead of spinning: a training may use every core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from core.config.errors import Cancelled
from core.export.export import EXPORTED, export
from core.export.formats import Progress
from core.helpers.helper import serve_home
from core.machine.home import Home


def answer(home: Home, question: dict[str, Any], cancelled: Callable[[], bool], progress: Progress) -> Any:
    """The export that a question asks for, ready for JSON; None if it was cancelled. Raises as `export`."""
    match question:
        case {"question": "export", "run": run, "format": format, "epoch": epoch, "output": output, "force": force}:
            try:
                return EXPORTED.dump_python(export(home, run, format, epoch, output, force, progress, cancelled), mode="json")
            except Cancelled:
                return None
        case _:
            raise ValueError(f"Unknown question {question!r}")


def main() -> None:
    """Answer until standard input ends."""
    serve_home("core.export.helper", lambda home: partial(answer, home))


if __name__ == "__main__":
    main()
