"""What a comparison needs torch or much time for: weights against weights, and files of curves. The server's end, and the process that answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from core.config import ConfigError
from core.helpers.desk import Desk
from core.helpers.helper import Helper, LabError, Progress, serve_home
from core.helpers.told import Told, answer_of
from core.machine.home import Home
from core.machine.jobs import COMPARING, Starter
from core.records.weight_difference import WeightDifference
from core.store import RunStore
from core.store.checkpoint import listed

_DIFFERENCE = TypeAdapter(WeightDifference)


class ComparingDesk:
    """Thread-safe. The process is started by the first question, and goes home after some minutes without one. Nobody waits in here."""

    def __init__(self, home: Home, starter: Starter | None = None) -> None:
        self._home = home
        self._helper = Helper(home.logs / "comparing.log", "--home", str(home.path), "--niced", module=COMPARING, starter=starter)
        self._desk: Desk[Told] = Desk(self._answer, lambda number: None, remembered=16)

    def difference(self, client: str, a: str, b: str) -> WeightDifference | None:
        """How far the layers of two runs' newest weights are apart: see `core.comparing.difference`. None: it is being worked out; ask again.

        Raises:
            ConfigError: one has no weights, or they cannot be read.
            LabError: the process failed.
        """
        kept = [[[each.epoch, each.step, each.final] for each in listed(self._home.run_folder(run_id))] for run_id in (a, b)]
        found: WeightDifference | None = answer_of(self._desk, client, json.dumps({"question": "difference", "a": a, "b": b, "kept": kept}))
        return found

    def curves(self, client: str, path: str, name: str, number: int, sent: bool = False) -> list[str] | None:
        """Read curves at `path` and keep them; the ids that they got. `number` tells a press from the one before. Else as `difference`.

        `sent`: the path is a folder of `core.comparing.sent`, which is gone afterwards.
        """
        question = {"question": "curves", "path": path, "name": name, "number": number, "sent": sent}
        found: list[str] | None = answer_of(self._desk, client, json.dumps(question))
        return found

    def rest(self) -> bool:
        """See `Lab.rest`."""
        return self._helper.rest()

    def close(self) -> None:
        """See `Lab.close`."""
        self._desk.close()
        self._helper.close()
        self._desk.join()

    def _answer(self, number: int, question: str) -> Told:
        try:
            answer = self._helper.ask(question, number)
        except (ConfigError, LabError) as error:
            return Told(error=error)
        return Told(_DIFFERENCE.validate_python(answer) if json.loads(question)["question"] == "difference" else answer)


def answer(home: Home, question: dict[str, Any], _cancelled: Callable[[], bool], _progress: Progress) -> Any:
    """The answer to one question, ready for JSON."""
    match question:
        case {"question": "difference", "a": a, "b": b}:
            from core.comparing.difference import of_runs

            store = RunStore(home.database)
            try:
                return _DIFFERENCE.dump_python(of_runs(home, store, a, b), mode="json")
            except KeyError as error:
                raise ConfigError("run", str(error.args[0])) from None
            finally:
                store.close()
        case {"question": "curves", "path": path, "name": name, "sent": True}:
            from core.comparing import imported, sent

            try:
                return imported.keep(home, sent.read(Path(path), name))
            finally:
                sent.throw_away(Path(path))
        case {"question": "curves", "path": path, "name": name}:
            from core.comparing import imported

            return imported.keep(home, imported.read(Path(path), name))
        case _:
            raise ValueError(f"Unknown question {question!r}")


def main() -> None:
    """Answer until standard input ends."""
    serve_home("core.lab.comparing", lambda home: partial(answer, home))


if __name__ == "__main__":
    main()
