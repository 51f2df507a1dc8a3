"""Numbers and states as a person reads them, the same on every screen."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Literal

from core.catalog import find_model
from core.config import ConfigError, RunConfig
from core.config.plans import PRESETS, Change
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
}
"""A status as a word, an icon and a colour: never a colour alone."""


def percent(share: float | None) -> str:
    """A share from 0 to 1 as '91.2 %'."""
    return "not measured" if share is None else f"{100 * share:.1f} %"


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
    "frozen_randomness": "Dropout and stochastic depth in frozen blocks",
    "head_hidden": "Hidden layer",
    "feature_cache": "Features of frozen layers",
    "feature_cache_gigabytes": "Room for features",
    "watch_budget": "Watching budget",
}
"""The fields whose widgets are not labelled with their names."""


def field(name: str) -> str:
    """A config field as its widget is labelled: 'Learning rate'."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def plain(text: str) -> str:
    """Text that Markdown shows as it is: a name pattern's stars make nothing bold."""
    return re.sub(r"([\\`*_{}\[\]<>#~|$:])", r"\\\1", text)


def model(config: RunConfig) -> str:
    """The name of a run's model as a person reads it. One that nothing is known of any more keeps the name that it was given."""
    try:
        return find_model(config.model).label
    except ConfigError:
        return config.model


def subject(config: RunConfig) -> str:
    """What a run is about: 'digits with resnet18'."""
    kind, _, path = config.dataset.partition(":")
    path = path.partition("::")[0]  # behind it: how the folder is read
    name = path.rstrip("/").rpartition("/")[2] or path if kind == "folder" else config.dataset
    return f"{name} with {model(config)}"


def change(text: str, most: int = 6) -> str:
    """A change as `core.config.plans.Change` writes it, in plain words: 'layer4 learns, learning rate 0.0005'. At most `most` parts of it."""
    parts = [_rule(rule) for rule in Change.parse(text).rules]
    return ", ".join(parts[:most]) + (f" and {len(parts) - most:,} more" if len(parts) > most else "")


def _rule(rule: str) -> str:
    name, equals, number = rule.rpartition("=")
    if name == "learning_rate":
        return f"learning rate {float(number):g}"
    if equals:
        return f"{name} learns at x {float(number):g}"
    if rule in PRESETS:
        return f"preset “{rule}”"
    return f"{rule[1:]} learns" if rule.startswith("!") else f"{rule} frozen"
