"""Networks that somebody saved: one small text file each in the home's `networks` folder, written whole or not at all."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from core.config import ConfigError
from core.machine.files import written_whole
from core.machine.home import Home
from core.networks.catalogue import entry
from core.networks.grammar import LONGEST_TEXT, check_label

_SUFFIX = ".txt"
_changing = threading.Lock()
"""Held while looking whether a label is free and then taking it."""


class LabelTaken(ConfigError):
    """Another network is saved under this label."""


@dataclass(frozen=True)
class Shelf:
    """What the folder holds: label to canonical text, sorted by label, and a sentence for each file that cannot be used."""

    networks: dict[str, str]
    notices: tuple[str, ...]


def saved(home: Home) -> dict[str, str]:
    """The saved networks, label to canonical text, sorted by label. Files that cannot be used are left out."""
    return look(home).networks


def look(home: Home) -> Shelf:
    """The saved networks, and what is wrong with the files that cannot be used. Never raises for what lies in the folder."""
    networks: dict[str, str] = {}
    notices: list[str] = []
    try:
        files = sorted(path for path in home.networks.iterdir() if path.name.endswith(_SUFFIX) and not path.name.startswith("."))
    except FileNotFoundError:
        files = []
    except OSError as error:
        return Shelf({}, (f"The folder {home.networks} cannot be read ({error.strerror}).",))
    for path in files:
        try:
            text = _read(path)
        except (ConfigError, OSError, ValueError) as error:
            reason = error.message if isinstance(error, ConfigError) else getattr(error, "strerror", None) or str(error)
            notices.append(f"{path.name} was left out: {reason}")
            continue
        networks[text.partition(":")[0]] = text
    return Shelf(dict(sorted(networks.items(), key=lambda item: item[0].casefold())), tuple(notices))


def save(home: Home, text: str, overwrite: bool = False) -> str:
    """Save a network under its label; returns its canonical text. Labels that differ in case alone are one.

    Raises:
        ConfigError: on `model`, for a text that says no network.
        LabelTaken: another network has the label, and `overwrite` is not set.
        OSError: the folder cannot be written.
    """
    network = entry(text)
    with _changing:
        file = _file(home, network.label)
        if not overwrite and file.exists() and _text_of(file) != network.name:
            raise LabelTaken("model", f"another network is saved as {network.label!r}; choose another name, or replace it")
        with written_whole(file) as stream:
            stream.write(f"{network.name}\n".encode())
    return network.name


def delete(home: Home, label: str) -> None:
    """Take a network off the shelf. `restore` brings it back, until another of the same label is deleted.

    Raises:
        ConfigError: on `model`, if there is no such network.
        OSError: the folder cannot be written.
    """
    with _changing:
        file = _file(home, label)
        if not file.exists():
            raise ConfigError("model", f"no network is saved as {label!r}; it may have been deleted elsewhere")
        bin_ = _deleted(home, label)
        bin_.parent.mkdir(parents=True, exist_ok=True)
        file.replace(bin_)


def restore(home: Home, label: str) -> str:
    """Bring back a network that was deleted; returns its text.

    Raises:
        ConfigError: on `model`, if none of this label was deleted.
        LabelTaken: another network has been saved under the label meanwhile.
        OSError: the folder cannot be written.
    """
    with _changing:
        file, bin_ = _file(home, label), _deleted(home, label)
        if not bin_.exists():
            raise ConfigError("model", f"no deleted network {label!r} is left; build it again")
        if file.exists():
            raise LabelTaken("model", f"another network has been saved as {label!r} meanwhile; rename or delete that one first")
        text = _read(bin_)
        bin_.replace(file)
    return text


def _file(home: Home, label: str) -> Path:
    # In lower case: some file systems do not tell Net from net, and people seldom do.
    return home.networks / f"{check_label(label).lower()}{_SUFFIX}"


def _deleted(home: Home, label: str) -> Path:
    return home.networks / "deleted" / f"{check_label(label).lower()}{_SUFFIX}"


def _read(path: Path) -> str:
    """The canonical text of a saved network. ConfigError, OSError or ValueError for what is none."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is no ordinary file")  # a pipe would never end
    if path.stat().st_size > 2 * LONGEST_TEXT:
        raise ValueError(f"it is larger than a network can be ({path.stat().st_size:,} bytes)")
    network = entry(path.read_text(encoding="utf-8").strip())
    if network.label.lower() != path.name.removesuffix(_SUFFIX):
        raise ValueError(f"it holds a network of another name, {network.label}")
    return network.name


def _text_of(path: Path) -> str | None:
    """The network in a file, or None where it holds none."""
    try:
        return _read(path)
    except (ConfigError, OSError, ValueError):
        return None
