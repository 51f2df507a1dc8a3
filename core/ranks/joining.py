"""What a run that waits for other machines tells a person: the line that joins each of them, in a file of the run's folder. No torch.

The file is its owner's alone, and has the tokens only while they are good: each goes as it is used, all of them when the run begins or ends.
They stand nowhere else: not in the store, no log, no list of processes of this machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "machines.json"
"""In the run's folder."""

NODES_SECONDS = 600.0
"""How long the nodes of a job wait for each other, which a cluster begins at once."""


@dataclass(frozen=True)
class Machines:
    """The machines of a run.

    Args:
        run: its id.
        address: where others find the first one, host:port.
        tokens: one for each that is still to come.
        names: of those that are here, this one first.
        missing: how many are still to come.
        each: ranks of each machine.
        refused: who was not let in last, and why; empty: nobody was refused.
        job: number of the job whose nodes they are: they come by themselves; 0: people bring them.
    """

    run: str
    address: str
    tokens: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    missing: int = 0
    each: int = 1
    refused: str = ""
    job: int = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """What to type on each machine that is still to come; nothing where they come by themselves."""
        if self.job:
            return ()
        return tuple(f"python -m core join {self.run}@{self.address} --token {token}" for token in self.tokens)

    @property
    def waits(self) -> str:
        """Whom the run waits for, in words; empty: nobody."""
        return f"waiting for {self.missing:,} more {'machine' if self.missing == 1 else 'machines'}" if self.missing else ""

    @property
    def told(self) -> tuple[str, ...]:
        """For a terminal: who was refused, and what to type where; nothing once all are here."""
        if not self.missing or self.job:
            return ()
        refused = (self.refused,) if self.refused else ()
        return (
            *refused,
            f"{self.waits}; on each, in the folder of Thaw, type (a line is good for one machine):",
            *(f"  {each}" for each in self.lines),
        )

    def of(self, rank: int) -> str:
        """The machine of a rank, as it is called."""
        number = rank // max(1, self.each)
        return self.names[number] if number < len(self.names) else "?"


def keep(folder: Path, machines: Machines) -> None:
    """Write it, for this person's eyes alone. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{NAME}.partial-{os.getpid()}"
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(machines), file)
    partial.replace(folder / NAME)


def read(folder: Path) -> Machines | None:
    """What the run in `folder` said last; None: it has one machine, or has not begun."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads((folder / NAME).read_text())
        lists: dict[str, Sequence[str]] = {name: tuple(found.pop(name)) for name in ("tokens", "names")}
        return Machines(**found, **lists)  # type: ignore[arg-type]
    return None
