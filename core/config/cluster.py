"""Where a run is computed: here, or as a job of Slurm; and the grammar of what else its `sbatch` is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.config.errors import ConfigError

if TYPE_CHECKING:
    from core.config.run_config import RunConfig

HERE, SLURM = "here", "slurm"

LONGEST_MINUTES = 60 * 24 * 365
"""A year: what no partition gives is Slurm's to refuse."""

OPTIONS = (
    "account", "comment", "constraint", "cpus-per-task", "exclude", "exclusive", "gpus-per-node", "gres", "licenses", "mem", "mem-per-cpu",
    "nice", "nodelist", "qos", "reservation",
)  # fmt: skip
"""The options of sbatch that a run may be given. What would run or write something else, or is Thaw's to say, is not among them."""

EXAMPLE = "account=lab, mem=32G, cpus-per-task=8"

_FLAGS = ("exclusive",)
_VALUE = re.compile(r"[\w.:@%+*/|&()\[\]-]{1,120}", re.ASCII)
_NAME = re.compile(r"[\w.+-]{1,64}", re.ASCII)


def canonical_partition(value: Any) -> str | None:
    """The name of a partition; None: Slurm's usual one.

    Raises:
        ValueError: it is no such name; the text says what is wanted.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none")):
        return None
    if not isinstance(value, str) or not _NAME.fullmatch(value.strip()):
        raise ValueError("must be the name of a partition as sinfo lists it, such as gpu, or empty")
    return value.strip()


def canonical_options(value: Any) -> str | None:
    """`sbatch` in its one spelling, `account=lab, mem=32G`; None: nothing was said.

    Raises:
        ValueError: it is no list of options that may be given; the text says what is wanted.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none")):
        return None
    if not isinstance(value, str):
        raise ValueError(f"must be options of sbatch, such as {EXAMPLE}")
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in value.split(","))):
        name, equals, given = (each.strip() for each in part.partition("="))
        name = name.removeprefix("--").lower()
        if name not in OPTIONS:
            raise ValueError(f"names {name[:40]!r}, which a run cannot give to sbatch; it can give {', '.join(OPTIONS)}")
        if name in found:
            raise ValueError(f"says {name} twice; say it once")
        if not (name in _FLAGS and not equals) and not _VALUE.fullmatch(given):
            raise ValueError(f"has no value for {name} that sbatch takes; write for example {EXAMPLE}")
        found[name] = given
    return ", ".join(f"{name}={given}" if given else name for name, given in found.items()) or None


def options(text: str | None) -> Mapping[str, str]:
    """The options that `sbatch`, in its one spelling, names; one without a value has an empty one."""
    return {name: given for name, _, given in (part.partition("=") for part in (text or "").split(", ") if part)}


def check_target(config: RunConfig) -> None:
    """See that nothing is said to Slurm where it is not asked, and nothing asked of it that it cannot do here.

    Raises:
        ConfigError: on the field that does not go together with `target`.
    """
    if config.target == HERE:
        for field in ("partition", "time_limit", "sbatch"):
            if (value := getattr(config, field)) is not None:
                raise ConfigError(field, f"{value!r} is for runs on Slurm; set target to slurm, or leave {field} empty")
        return
    if config.rendezvous is not None:
        raise ConfigError("rendezvous", f"{config.rendezvous!r} may be no address of the nodes that Slurm chooses; leave it empty")
