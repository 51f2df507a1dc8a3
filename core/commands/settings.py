"""A run's settings on the command line: a flag for each field of `RunConfig`, a file that they win over, and other numbers that are given."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from core.config import EXAMPLES, ConfigError, RunConfig
from core.config.limits import LARGEST_FILE, TooMuch, quoted, read_json
from core.machine.home import Home

MAY_BE_EMPTY = tuple(name for name, field in RunConfig.model_fields.items() if field.default is None)
"""The fields for which nothing, or none, can be given."""


def flags() -> argparse.ArgumentParser:
    """A parser to be given as a parent: --config FILE, a flag for each field, --unfreeze-at and --lr-multiplier."""
    from core.catalog.optimizers import OPTIMIZERS  # not at the top: other commands ask this module for a number alone
    from core.catalog.rate_advice import ABOUT_RATE

    usual = ", ".join(f"{entry.name} {entry.learning_rate:g}" for entry in OPTIMIZERS.values())
    beyond = {"learning_rate": f". {ABOUT_RATE} Usual at first: {usual}."}
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--config", metavar="FILE", type=Path, help="a JSON file with config fields; flags win over it")
    for name, field in RunConfig.model_fields.items():
        default = "" if field.default is None or field.default == {} else f" (default: {field.default})"
        settings.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            metavar="JSON" if name.endswith("_options") else "VALUE",
            help=f"{field.description}{default}{beyond.get(name, '')}".replace("%", "%%"),
        )
    settings.add_argument(
        "--unfreeze-at", metavar="EPOCH:LAYER", action="append", default=[],
        help="let a layer learn from the first step of an epoch on: 3:layer4, or 6:all; may be given several times",
    )  # fmt: skip
    settings.add_argument(
        "--lr-multiplier", metavar="LAYER=FACTOR", action="append", default=[],
        help="factor of a layer's or role's learning rate: layer4=0.3, head=10; may be given several times",
    )  # fmt: skip
    return settings


def config(arguments: argparse.Namespace, home: Home) -> RunConfig:
    """The config that the flags of `flags` say. Raises ConfigError for a value that cannot be used."""
    values: dict[str, Any] = {}
    if arguments.config is not None:
        try:
            values = RunConfig.from_json(_text_of(arguments.config)).changes()
        except OSError as error:
            raise ConfigError("config", f"{quoted(str(arguments.config))} cannot be read ({error.strerror}); give the path of a JSON file") from None
        except UnicodeDecodeError:
            raise ConfigError("config", f"{quoted(str(arguments.config))} is not text; give the path of a JSON file") from None
    for name in RunConfig.model_fields:
        text = getattr(arguments, name)
        if text is None:
            continue
        values[name] = value(name, text)
    from core import networks

    if values.get("model") in (saved := networks.saved(home)):
        values["model"] = saved[values["model"]]
    if values.get("starting_weights"):
        from core.store import run_weights

        values["starting_weights"] = run_weights.file_of(home, values["starting_weights"])
    if arguments.unfreeze_at:
        values["timeline"] = "; ".join([str(values.get("timeline") or ""), *map(_unfreeze_at, arguments.unfreeze_at)])
    if arguments.lr_multiplier:
        values["learning_rate_multipliers"] = ", ".join([str(values.get("learning_rate_multipliers") or ""), *arguments.lr_multiplier])
    if "fit" not in values and arguments.config is None and values.get("dataset"):
        from core.data import own

        if fit := own.fit_of(home, values["dataset"]):
            values["fit"] = fit  # what the dataset's person chose for it; --fit says otherwise
    return RunConfig(**values)


def value(name: str, text: str) -> Any:
    """What a flag for the field `name` was given, as `RunConfig` takes it. Raises ConfigError on the field for what is no JSON where it must be."""
    if not name.endswith("_options"):
        return None if name in MAY_BE_EMPTY and text.strip().lower() in ("", "none") else text
    try:
        return read_json(text)
    except TooMuch as error:
        raise ConfigError(name, f"{error}; write for example {EXAMPLES[name]}") from None
    except ValueError:
        raise ConfigError(name, f"{quoted(text)} is not JSON; write for example '{EXAMPLES[name]}'") from None


def _text_of(path: Path) -> str:
    """The text of a JSON file in any of the encodings that JSON may have, with or without a byte order mark. OSError, UnicodeDecodeError."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)  # /dev/zero has no end
    return content.decode(json.detect_encoding(content))


def whole_number(field: str, text: str, low: int, high: int, example: int) -> int:
    """A whole number from `low` to `high` that a flag was given. Raises ConfigError on `field`, naming value and remedy, for anything else."""
    try:
        number = int(text) if len(text) < 20 else high + 1
    except ValueError:
        raise ConfigError(field, f"must be a whole number, got {quoted(text)}; try {example}") from None
    if not low <= number <= high:
        raise ConfigError(field, f"must be {low:,} to {high:,}, got {quoted(text)}; try {example}")
    return number


def _unfreeze_at(text: str) -> str:
    """`EPOCH:LAYER` as a part of a timeline."""
    epoch, colon, layer = (part.strip() for part in text.partition(":"))
    if not (colon and layer and epoch.isdecimal()):
        raise ConfigError("unfreeze_at", f"{quoted(text)} is not an epoch, a colon and a layer; write for example 3:layer4, or 6:all")
    return f"{epoch}: !{layer.removeprefix('!')}"
