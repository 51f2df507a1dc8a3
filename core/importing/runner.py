"""The process of one import that a server has begun: it does what `request.json` in its folder asks, and says in `status.json` how far it is."""

from __future__ import annotations

import argparse
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from core.config.errors import Cancelled, ConfigError
from core.importing import desk
from core.importing.job import Progress, take_in
from core.importing.plan import Corrections, plan
from core.machine.home import Home


def main() -> None:
    """Do one job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", required=True)
    parser.add_argument("--job", required=True)
    arguments = parser.parse_args()
    home = Home.from_environment(arguments.home)
    work(home, desk.folder_of(home, arguments.job))


def work(home: Home, folder: Path) -> None:
    """Do the job of a folder. Never raises for what is wrong with the source: `status.json` says it."""
    request = desk.read_json(folder / desk.REQUEST)
    tell = _Teller(folder)
    signal.signal(signal.SIGTERM, tell.cancel)
    try:
        done = _done(home, request, tell)
    except Cancelled:
        tell(state="cancelled", text="cancelled; nothing was kept")
    except ConfigError as error:
        tell(state="failed", field=error.field, message=error.message)
    except Exception as error:  # noqa: BLE001  # whoever looks on must hear of it
        traceback.print_exc()
        tell(
            state="failed",
            field="source",
            message=f"the import broke off ({type(error).__name__}: {error}); nothing was kept. Its log is in {folder}",
        )
    else:
        tell(state="done", **done)


def _done(home: Home, request: dict[str, Any], tell: _Teller) -> dict[str, Any]:
    source, corrections = Path(request["source"]), Corrections.from_json(request["corrections"])
    if request["what"] == "plan":
        return {"plan": plan(source, corrections, lambda text, share: tell.progress(Progress(text))).to_json()}
    version, report = take_in(
        home, source, request["name"], corrections, add=request["add"], note=request["note"], tell=tell.progress, cancelled=tell.asked_to_stop
    )
    return {"name": version.dataset, "version": version.number, "report": report.to_json()}


class _Teller:
    """Writes `status.json`; hears of a wish to cancel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stopped = False
        me = psutil.Process()
        self._status: dict[str, Any] = {"state": "working", "pid": me.pid, "started": me.create_time(), "text": "starting"}
        self()

    def __call__(self, **said: Any) -> None:
        self._status |= {**said, "told": time.time()}
        desk.write_json(self._folder / desk.STATUS, self._status)

    def progress(self, progress: Progress) -> None:
        """Say how far it is."""
        self(text=progress.text, done=progress.done, of=progress.of, rate=round(progress.rate, 1), seconds_left=progress.seconds_left)
        if self.asked_to_stop():
            raise Cancelled

    def asked_to_stop(self) -> bool:
        """Whether somebody has cancelled it."""
        return self._stopped or (self._folder / desk.CANCEL).exists()

    @property
    def cancel(self) -> Callable[[int, object], None]:
        """What a signal does."""

        def stop(number: int, frame: object) -> None:
            self._stopped = True

        return stop


if __name__ == "__main__":
    os.nice(5) if hasattr(os, "nice") else None
    main()
