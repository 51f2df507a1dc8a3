"""What a person sets for a whole home, in `settings.json` in its folder: read and written here, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from core.config import ConfigError
from core.config.limits import TooMuch, quoted, read_json
from core.machine.files import written_whole
from core.machine.home import Home

NAME = "settings.json"
MOST_SLOTS = 64
_LARGEST = 100_000


@dataclass(frozen=True)
class Settings:
    """`slots`: runs that go on at once on a device. `resume_lost`: whether lost runs are continued when a server starts."""

    slots: int = 1
    resume_lost: bool = False


def read_settings(home: Home) -> Settings:
    """The settings of a home; what its file does not name is as it comes.

    Raises:
        ConfigError: on the field, or on `settings`; it names the file, the value and what to write.
    """
    path = home.path / NAME
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        found = read_json(content.decode(json.detect_encoding(content))) if len(content) <= _LARGEST else None
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise ConfigError("settings", f"{path} cannot be read ({error.strerror or error}); give yourself the right, or remove it") from None
    except (ValueError, TooMuch):
        found = None
    if not isinstance(found, Mapping):
        raise ConfigError("settings", f'{path} is not JSON with settings; write for example {{"slots": 1}}, or remove it')
    return checked(found, path)


def checked(found: Mapping[str, Any], path: Path) -> Settings:
    """The settings that `found` says. Raises like `read_settings`."""
    known = [field.name for field in fields(Settings)]
    for name in found:
        if name not in known:
            raise ConfigError("settings", f"{path} has {quoted(str(name))}, which is no setting; there are {', '.join(known)}")
    slots, resume_lost = found.get("slots", 1), found.get("resume_lost", False)
    if not isinstance(slots, int) or isinstance(slots, bool) or not 1 <= slots <= MOST_SLOTS:
        raise ConfigError("slots", f"must be a whole number from 1 to {MOST_SLOTS}, got {quoted(slots)} in {path}; try 1")
    if not isinstance(resume_lost, bool):
        raise ConfigError("resume_lost", f"must be true or false, got {quoted(resume_lost)} in {path}; try false")
    return Settings(slots, resume_lost)


def write_settings(home: Home, settings: Settings) -> None:
    """Keep settings for a home. Raises ConfigError for a value that cannot be used, OSError where the file cannot be written."""
    path = home.path / NAME
    with written_whole(path) as file:
        file.write(json.dumps(asdict(checked(asdict(settings), path)), indent=1).encode() + b"\n")
