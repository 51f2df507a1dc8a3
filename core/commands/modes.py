"""`python -m core modes`: what freezing, eval(), no_grad() and inference_mode() do to a model, each tried."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from core.commands import Parsers, settings
from core.config import ConfigError
from core.machine.home import Home
from core.records.modes import CODE, COLUMNS, USES, Modes, cells, told
from core.records.walkthrough import Example

NAMES: Sequence[str] = ("modes",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The parser of `modes`."""
    parser = commands.add_parser("modes", parents=[shared, as_json, settings.flags()])
    parser.add_argument("name", metavar="MODEL", nargs="?", help="the model, as --model; the other settings decide head, pictures and plan")
    parser.add_argument("--samples", metavar="N", help="pictures in the batch (default: 4)")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Print the table and what it says. Raises ConfigError for what cannot be used."""
    if arguments.name is not None:
        if arguments.model is not None:
            raise ConfigError("model", "is given twice, by itself and as --model; leave out one of the two")
        arguments.model = arguments.name
    samples = settings.whole_number("samples", arguments.samples, 1, 64, 4) if arguments.samples is not None else Example("own").samples
    example = Example("own", settings.config(arguments, home), samples=samples)
    # Not at the top: hearing of a misspelt name must not take the two seconds that torch needs.
    from core import catalog
    from core.explaining import explain

    catalog.check(example.config)  # type: ignore[arg-type]  # it has one
    modes = explain.modes(example, home)
    if arguments.json:
        shown = {effect.setting: CODE[effect.setting] for effect in modes.effects}
        print(json.dumps({**asdict(modes), "code": shown, "told": told(modes)}))
    else:
        print("\n".join(_lines(modes)))
    return 0


def _lines(modes: Modes) -> list[str]:
    pictures = f"{modes.pictures} picture" + ("" if modes.pictures == 1 else "s")
    lines = [f"{modes.model}, one batch of {pictures}, {modes.tensors:,} parameter tensors", ""]
    for effect in modes.effects:
        label, *rest = cells(modes, effect)
        lines.append(label)
        lines.append(f"  {CODE[effect.setting]}")
        lines += [f"  {name.lower():28} {text}" for name, text in zip(COLUMNS[1:], rest, strict=True)]
        lines += [f"  {'what for':28} {USES[effect.setting]}", ""]
    return lines + [textwrap.fill(sentence, 140, break_long_words=False) for sentence in told(modes)]
