"""`python -m core`: without a browser, all that the screens do with one. `cli` reads the line; commands of their own have a file each.

A module adds its parsers with `add`, says in `NAMES` which commands are its own, and carries them out with `run`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from core.machine.home import Home

_MODULES = tuple(
    f"core.commands.{name}"
    for name in ("code", "model", "explain", "evaluate", "findings", "profile", "recover", "notions", "modes", "resume", "queue", "bin", "disk")
)


class CommandModule(Protocol):
    """What a module of this package has."""

    NAMES: Sequence[str]

    def add(self, commands: Any, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
        """Add a parser for each name to `commands`, the result of `add_subparsers`; `shared` and `as_json` are parents with --home and --json."""

    def run(self, home: Home, arguments: argparse.Namespace) -> int:
        """Carry out `arguments.command` and return the exit status. Raises ConfigError, KeyError and OSError: `cli` puts them into words."""


def modules() -> tuple[CommandModule, ...]:
    """All of them. They import torch only when they are run."""
    return tuple(cast(CommandModule, import_module(name)) for name in _MODULES)
