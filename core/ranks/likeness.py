"""What must be the same on all machines of a run for them to compute the same: told by each, compared before the first step."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.config import RunConfig

_IN_WORDS = {
    "code": ("code of Thaw", "bring both to one commit"),
    "python": ("Python", "use one version on both"),
    "torch": ("torch", "install one version on both"),
    "torchvision": ("torchvision", "install one version on both"),
    "config": ("settings", "bring both to one commit"),
    "devices": ("devices", "let each machine bring as many, of one kind"),
}
"""What is compared, in the order in which it is named, and what to do where it differs."""

_SOURCE = Path(__file__).resolve().parents[1]


@cache
def code() -> str:
    """A digest of Thaw's engine as it lies here: names and contents of its files, 12 hexadecimal digits."""
    told = hashlib.sha256()
    for path in sorted(_SOURCE.rglob("*.py")):
        content = path.read_bytes()
        told.update(f"{path.relative_to(_SOURCE).as_posix()} {len(content)}\n".encode() + content)
    return told.hexdigest()[:12]


def told(config: RunConfig) -> str:
    """A digest of a run's settings, 12 hexadecimal digits."""
    return hashlib.sha256(config.to_json().encode()).hexdigest()[:12]


def mine(config: str, places: Sequence[str]) -> dict[str, str]:
    """What this machine has. `config`: `told` of the settings as they are here; `places`: the devices of its ranks."""
    return {
        "code": code(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": version("torch"),
        "torchvision": version("torchvision"),
        "config": config,
        "devices": f"{len(places)} x {places[0].partition(':')[0]}",
    }


def difference(here: Mapping[str, str], there: Mapping[str, Any], who: str) -> str:
    """The first thing that is another on machine `who` than here, and what to do, as a sentence without a full stop; empty: nothing is."""
    for name, (what, remedy) in _IN_WORDS.items():
        if here.get(name) != there.get(name):
            return f"{who} has other {what}: {str(there.get(name, 'none'))[:60]} there, {here.get(name)} here; {remedy}"
    return ""
