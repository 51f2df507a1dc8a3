"""`python -m core find-rate`: which learning rate to take, found by a short training of a copy."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict

from core.commands import Parsers, settings
from core.commands.progress import bar
from core.config import ConfigError
from core.config.limits import quoted
from core.machine.home import Home
from core.records.rate_curve import FEWEST_STEPS, MOST_STEPS, USUAL_STEPS, RateCurve

NAMES = ("find-rate",)
SHOWN = 24
"""Lines of the curve that are printed."""

BAR = 40


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    about = (
        "Train a copy for some steps in which the learning rate rises from step to step, and say which rate to take, and why (Smith 2015, arXiv "
        "1506.01186). Nothing is kept but features of frozen layers; weights stay as they are. Each group of layers keeps its ratio."
    )
    find = commands.add_parser("find-rate", parents=[shared, as_json, settings.flags()], description=about)
    find.add_argument("--steps", metavar="N", default=str(USUAL_STEPS), help=f"how many steps (default: {USUAL_STEPS})")
    find.add_argument("--from", dest="low", metavar="RATE", help="the first rate (default: a ten-thousandth of the optimizer's usual one)")
    find.add_argument("--to", dest="high", metavar="RATE", help="the last rate (default: a thousand times the optimizer's usual one)")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out. Exit status 1 where there is no rate to suggest."""
    steps = settings.whole_number("steps", arguments.steps, FEWEST_STEPS, MOST_STEPS, USUAL_STEPS)
    low, high = _rate("from", arguments.low), _rate("to", arguments.high)
    config = settings.config(arguments, home)
    from core import catalog

    config = catalog.check(config)
    with bar() as progress:
        progress("starting", None)
        from core.worker.finding_rate import find_rate  # torch takes two seconds, which a misspelt name must not cost

        curve = find_rate(config, home, low, high, steps, progress=progress)
    print(json.dumps(asdict(curve)) if arguments.json else "\n".join(_lines(curve)), flush=True)
    return 0 if curve.suggestion is not None else 1


def _rate(field: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(field, f"must be a number above 0, got {quoted(text)}; try 1e-6")
    return number


def _lines(curve: RateCurve) -> Iterator[str]:
    finite = [value for value in curve.smoothed if value is not None]
    low, high = min(finite, default=0.0), min(max(finite, default=1.0), 2 * max(finite[:1] or [1.0]))
    yield f"{'learning rate':>14} {'loss':>10} {'smoothed':>10}"
    for place in sorted({round(each * (len(curve.rates) - 1) / (SHOWN - 1)) for each in range(SHOWN)}):
        loss, mean = curve.losses[place], curve.smoothed[place]
        length = 0 if mean is None else round(BAR * min(1.0, (mean - low) / max(high - low, 1e-12)))
        yield f"{curve.rates[place]:>14.3g} {_number(loss):>10} {_number(mean):>10} {'#' * length}"
    if len(curve.groups) > 1:
        yield "groups: " + ", ".join(f"x {factor:g} ({count:,} tensors)" for factor, count in curve.groups)
    same = "the weights are as they were, bit for bit" if curve.model[0] == curve.model[1] else "THE WEIGHTS HAVE CHANGED"
    yield f"{len(curve.rates):,} steps in {curve.seconds:.1f} s; {same} (SHA-256 {curve.model[0][:12]})"
    if curve.suggestion is None:
        yield f"no suggestion: {curve.reason}"
    else:
        yield f"learning_rate {curve.suggestion:g}: {curve.reason}"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
