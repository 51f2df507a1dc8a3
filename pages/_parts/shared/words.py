"""Numbers and states as a person reads them, the same on every screen."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Literal

from core.catalog import find_model
from core.config import ConfigError, RunConfig
from core.data.datasets import short_name
from core.records.changes import change_in_words
from core.records.events import RunStatus

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]

STATUS: dict[RunStatus, tuple[str, str, Colour]] = {
    RunStatus.QUEUED: ("Queued", ":material/schedule:", "gray"),
    RunStatus.PREPARING: ("Preparing", ":material/hourglass_top:", "blue"),
    RunStatus.RUNNING: ("Running", ":material/play_circle:", "green"),
    RunStatus.PAUSED: ("Paused", ":material/pause_circle:", "orange"),
    RunStatus.FINISHED: ("Finished", ":material/check_circle:", "green"),
    RunStatus.STOPPED: ("Stopped", ":material/stop_circle:", "gray"),
    RunStatus.FAILED: ("Failed", ":material/error:", "red"),
    RunStatus.LOST: ("Lost", ":material/link_off:", "red"),
    RunStatus.INTERRUPTED: ("Interrupted", ":material/power_off:", "orange"),
}
"""A status as a word, an icon and a colour: never a colour alone."""


def percent(share: float | None) -> str:
    """A share from 0 to 1 as '91.2 %', in which the number and its sign stay on one line."""
    return "not measured" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def figure(value: float | None) -> str:
    """A loss or the like, in four significant digits."""
    return "not measured" if value is None else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds as '45 s', '3 min 20 s' or '2 h 5 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ago(then: float) -> str:
    """A Unix time as 'just now', '12 min ago' or '3 days ago'."""
    seconds = max(0.0, time.time() - then)
    for unit, length in (("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now"


_LABELS: Mapping[str, str] = {
    "accumulate": "Gradient accumulation",
    "clip_norm": "Longest gradient",
    "compile_model": "torch.compile",
    "doubles": "Pictures in two sets",
    "fault": "Break it on purpose",
    "fit": "Pictures that are not square",
    "fold_norms": "Fold BatchNorm",
    "im2col_gradients": "im2col gradients",
    "frozen_randomness": "Dropout and stochastic depth in frozen blocks",
    "head_hidden": "Hidden layer",
    "feature_cache": "Features of frozen layers",
    "feature_cache_gigabytes": "Room for features",
    "watch_budget": "Watching budget",
    "checkpoint_minutes": "Minutes between checkpoints",
    "nodes": "Machines",
    "target": "Computed",
    "sbatch": "Further options for Slurm",
    "rendezvous": "Where machines meet",
    "restarts": "Restarts after a failure",
    "silence_seconds": "Longest silence",
    "forgetting": "Measure forgetting",
    "old_task": "Pictures of the old task",
}
"""The fields whose widgets are not labelled with their names."""


def field(name: str) -> str:
    """A config field as its widget is labelled: 'Learning rate'."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


_MARKUP = re.compile(
    r"""
    (?P<apart> :(?=[\w+-]+:|//|material/)           # :smile:, :streamlit:, :material_home:, and the start of an address
             | (?<!\S)[-<>~](?=(?:->|>|-|=)(?!\S))  # ->, <-, <->, --, >=, <=, ~= that stand alone
             | (?<=www)\.(?=\S) | (?<=[\w.+-])@(?=\w) )  # www.a.b and a@b
    | (?P<mark> [\\`*\[\]~|$] | (?<![^\W_])_ | _(?![^\W_]) | <(?=[A-Za-z/!?]) | :(?=[A-Za-z:]) | &(?=\#|\w+;) )
    | (?P<start> ^[ ]*(?:>|[-+](?=\s|$)|-{2,}|=+(?=\s*$)|\#{1,6}(?=\s|$)|\d+[.)](?=\s|$)) )
    | (?P<indent> ^(?:[ ]{4}|[ ]*\t)[ \t]* )
    | (?P<line> [ \t]*\n )
    """,
    re.VERBOSE | re.MULTILINE,
)


def sentence(message: str) -> str:
    """A message as a sentence. A name that it starts with keeps its spelling."""
    first = message.partition(" ")[0]
    start = message[:1].upper() + message[1:] if first.isalpha() else message
    return start + ("" if message.endswith((".", "?", "!")) else ".")


def refusal(error: Exception) -> str:
    """What refused, as a sentence: of a ConfigError the message without the field's name, which a screen shows in its own words."""
    return sentence(error.message if isinstance(error, ConfigError) else str(error))


def plain(text: str) -> str:
    """Text that Streamlit's Markdown shows as it is: a name pattern's stars make nothing bold, an address in it loads no picture.

    A backslash is enough for what Markdown itself knows. What Streamlit looks for afterwards, in the text that is left (icons, emojis, arrows,
    addresses), has to come in two pieces: `:color[...]` without a colour changes nothing but that.
    """
    return _MARKUP.sub(_as_it_is, text.strip())


def _as_it_is(found: re.Match[str]) -> str:
    part = found.group()
    match found.lastgroup:
        case "apart":
            return f":color[\\{part}]{{}}"
        case "mark":
            return f"\\{part}"
        case "start":
            return f"{part[:-1]}\\{part[-1]}"
        case "indent":
            return "\u00a0" * len(part.expandtabs(4))
        case _:
            return "\\\n"


def code(text: str) -> str:
    """A name as code, whatever is in it."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}" if line and ":material" not in line else plain(line)


def model(config: RunConfig) -> str:
    """The name of a run's model as a person reads it. One that nothing is known of any more keeps the name that it was given."""
    try:
        return find_model(config.model).label
    except ConfigError:
        return config.model


def subject(config: RunConfig) -> str:
    """What a run is about: 'digits with resnet18'."""
    return f"{short_name(config.dataset)} with {model(config)}"


change = change_in_words
