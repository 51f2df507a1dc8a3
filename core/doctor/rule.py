"""What a rule of the doctor is. A new one is an entry in `core.doctor.RULES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.doctor.signs import Signs
from core.records.findings import Evidence, Remedy, Severity


@dataclass(frozen=True)
class Sign:
    """What a rule sees at one moment: the parts of a `core.records.findings.Finding` that have numbers in them."""

    severity: Severity
    cause: str
    remedy: Remedy
    chart: Evidence = "settings"
    first_step: int = 0
    last_step: int = 0
    layers: tuple[str, ...] = ()
    settled: bool = False
    """It is seen in whole epochs, of which another look at the same ones would say the same: no need to wait for one."""


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong with a run.

    `about` says what it looks at, `false_alarm` when it may be seen and all is well. `look` says what is to be seen now (None: nothing).
    A finding opens when it was seen at `hold` looks in a row, and is resolved when it was not at `clear` looks in a row (None: it
    never is, since what has happened stays). It is left out while one of the rules in `explained_by` has an open
    finding that is as bad: one cause, one finding. `ready` says whether enough was seen since the last change to say that it is
    gone: until then an open finding stays open. `last_word`: what its last look does not see is gone by the end of the run, since that
    look has the newest epoch before it.
    """

    name: str
    title: str
    about: str
    false_alarm: str
    look: Callable[[Signs], Sign | None]
    hold: int = 3
    clear: int | None = 6
    explained_by: tuple[str, ...] = ()
    ready: Callable[[Signs], bool] = lambda signs: True
    last_word: bool = False


def listed(names: Sequence[str], most: int = 3) -> str:
    """'conv1, layer1 and 3 more'."""
    if len(names) <= most + 1:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def rounded(value: float) -> float:
    """`value` in one significant digit, as a person would choose it."""
    return float(f"{value:.0e}")


def apart(first: float, second: float) -> tuple[str, str]:
    """Both numbers in words with as many digits as tell them apart (4 to 9): never 0.6931 twice for two numbers that are compared."""
    for digits in range(4, 10):
        said = (f"{first:.{digits}g}", f"{second:.{digits}g}")
        if said[0] != said[1]:
            break
    return said
