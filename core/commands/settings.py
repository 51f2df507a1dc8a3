"""A run's settings on the command line: a flag for each field of `RunConfig`, and a file that they win over."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from core import networks
from core.config import ConfigError, RunConfig
from core.machine.home import Home


def flags() -> argparse.ArgumentParser:
    """A parser to be given as a parent: --config FILE, a flag for each field, --unfreeze-at and --lr-multiplier."""
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--config", metavar="FILE", type=Path, help="a JSON file with config fields; flags win over it")
    for name, field in RunConfig.model_fields.items():
        default = "" if field.default is None or field.default == {} else f" (default: {field.default})"
        settings.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            metavar="JSON" if name.endswith("_options") else "VALUE",
            help=f"{field.description}{default}".replace("%", "%%"),
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
            values = RunConfig.from_json(arguments.config.read_text()).changes()
        except OSError as error:
            raise ConfigError("config", f"{str(arguments.config)!r} cannot be read ({error.strerror}); give the path of a JSON file") from None
        except UnicodeDecodeError:
            raise ConfigError("config", f"{str(arguments.config)!r} is not text; give the path of a JSON file") from None
    for name in RunConfig.model_fields:
        text = getattr(arguments, name)
        if text is None:
            continue
        if name.endswith("_options"):
            try:
                values[name] = json.loads(text)
            except json.JSONDecodeError:
                raise ConfigError(name, f"{text!r} is not JSON; write for example '{{\"nesterov\": true}}'") from None
        else:
            values[name] = None if text == "" or text == "none" and name in ("momentum", "weight_decay", "early_stopping", "head_hidden") else text
    if values.get("model") in (saved := networks.saved(home)):
        values["model"] = saved[values["model"]]
    if arguments.unfreeze_at:
        values["timeline"] = "; ".join([str(values.get("timeline") or ""), *map(_unfreeze_at, arguments.unfreeze_at)])
    if arguments.lr_multiplier:
        values["learning_rate_multipliers"] = ", ".join([str(values.get("learning_rate_multipliers") or ""), *arguments.lr_multiplier])
    return RunConfig(**values)


def _unfreeze_at(text: str) -> str:
    """`EPOCH:LAYER` as a part of a timeline."""
    epoch, colon, layer = (part.strip() for part in text.partition(":"))
    if not (colon and layer and epoch.isdecimal()):
        raise ConfigError("unfreeze_at", f"{text!r} is not an epoch, a colon and a layer; write for example 3:layer4, or 6:all")
    return f"{epoch}: {'train everything' if layer == 'all' else '!' + layer.removeprefix('!')}"
