"""What a person asks for. The ground floor: it imports nothing of the project.

`run_config` has `RunConfig` (types, ranges, JSON), `plans` the grammar of plans (freezing, multipliers, changes, timeline), `entry` what
one thing that can be picked is, `errors` the one error that a person can mend, `limits` how much of anything may be given and how it is
quoted.

A change is one text, `"!layer4, learning_rate=0.0005, fc=10"`, whether a person asks for it live, a timeline has it, or the command line.
All three end in `Steering.change` between two steps, so a run that was steered by hand is repeated to the bit by a timeline that has the
same changes (`step N: ...`).

The names of `run_config` are imported when they are first used: it brings in pydantic, which a line of help need not wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config.errors import ConfigError

if TYPE_CHECKING:
    from core.config.run_config import CLASS_WEIGHTS, DOUBLES, EXAMPLES, FAULTS, FITS, MEASURED, PRECISIONS, OptionValue, RunConfig

__all__ = ["CLASS_WEIGHTS", "DOUBLES", "EXAMPLES", "FAULTS", "FITS", "MEASURED", "PRECISIONS", "ConfigError", "OptionValue", "RunConfig"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from core.config import run_config

        return getattr(run_config, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
