"""One thing that can be picked, its options, and how a name typed by a person finds it. No torch here.

A catalogue is an explicit dict of `Entry`s. Adding a dataset, model, loss, optimizer or schedule is adding one entry to its
dict; `tests/catalog/test_catalog.py` walks every entry and really uses it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from core.config.errors import ConfigError
from core.config.limits import LONGEST_NAME, quoted
from core.config.run_config import OptionValue

OptionKind = Literal["bool", "int", "float", "choice", "floats"]


@dataclass(frozen=True)
class Option:
    """One setting of an entry, under the name that torch gives it.

    `low` and `high` are the ends of its range (of every number, for kind 'floats'), themselves allowed unless `open_low` or
    `open_high`. A default of None means that the value is worked out when the run starts, and `about` says how. `length` is
    how many numbers a 'floats' option holds (None: any number of them). `unit` is shown behind the widget.
    """

    name: str
    kind: OptionKind
    default: OptionValue
    low: float | None = None
    high: float | None = None
    about: str = ""
    choices: tuple[str, ...] = ()
    unit: str = ""
    open_low: bool = False
    open_high: bool = False
    length: int | None = None

    def parse(self, field: str, value: Any) -> OptionValue:
        """`value` as this option's kind, ready for torch. Text is read as the command line gives it.

        Raises:
            ConfigError: on `field`, for another kind of value and for one outside the range.
        """
        if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none") and self.default is None):
            if self.default is None:
                return None
            raise self._error(field, value)
        match self.kind:
            case "bool":
                return self._bool(field, value)
            case "choice":
                if isinstance(value, str) and value.strip().lower() in self.choices:
                    return value.strip().lower()
                raise self._error(field, value)
            case "int":
                number = self._number(field, value)
                if number != int(number):
                    raise self._error(field, value)
                return _exactly(value)
            case "float":
                return self._number(field, value)
            case "floats":
                items = re.split(r"[,\s]+", value.strip().strip("[]()").strip()) if isinstance(value, str) else value
                if not isinstance(items, list | tuple) or not items or (self.length is not None and len(items) != self.length):
                    raise self._error(field, value)
                return [self._number(field, item, value) for item in items]

    def _bool(self, field: str, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in ("true", "false", "yes", "no", "on", "off"):
            return value.strip().lower() in ("true", "yes", "on")
        raise self._error(field, value)

    def _number(self, field: str, item: Any, value: Any = None) -> float:
        value = item if value is None else value
        if isinstance(item, bool) or not isinstance(item, int | float | str):
            raise self._error(field, value)
        try:
            number = float(item)
        except (ValueError, OverflowError):
            raise self._error(field, value) from None
        inside = (
            math.isfinite(number)
            and (self.low is None or number > self.low or (number == self.low and not self.open_low))
            and (self.high is None or number < self.high or (number == self.high and not self.open_high))
        )
        if not inside:
            raise self._error(field, value)
        return number

    def _error(self, field: str, value: Any) -> ConfigError:
        remedy = f" ({self.about})" if self.about else ""
        if value is None or (isinstance(value, str) and not value.strip()):
            return ConfigError(field, f"{self.name} is empty, and must be {self.accepts}{remedy}")
        return ConfigError(field, f"{self.name} must be {self.accepts}, got {quoted(value)}{remedy}")

    @property
    def accepts(self) -> str:
        """What may be given, in words: 'a number from 0 up to but not including 1'."""
        limits = []
        if self.low is not None:
            limits.append(f"above {self.low:g}" if self.open_low else f"{self.low:g} or more")
        if self.high is not None:
            limits.append(f"below {self.high:g}" if self.open_high else f"{self.high:g} or less")
        each = " and ".join(limits)
        match self.kind:
            case "bool":
                words = "true or false"
            case "choice":
                words = "one of " + ", ".join(self.choices)
            case "int":
                words = f"a whole number {each}".strip()
            case "float":
                words = f"a finite number {each}".strip()
            case "floats":
                words = f"a list of {self.length or 'one or more'} numbers" + (f", each {each}" if each else "")
        return f"{words}, or empty" if self.default is None else words


@dataclass(frozen=True)
class Entry:
    """One thing that can be picked. `name` is its key, `label` what a screen shows, `about` one or two plain sentences."""

    name: str
    label: str
    about: str
    options: tuple[Option, ...] = ()

    @property
    def terms(self) -> str:
        """Where it comes from and on what terms it may be used, in a sentence or two; "" where there is nothing to say."""
        return ""

    def option(self, name: str) -> Option | None:
        """The option called `name`, or None."""
        return next((option for option in self.options if option.name == name), None)


E = TypeVar("E", bound=Entry)


def by_name(entries: Iterable[E]) -> dict[str, E]:
    """The entries as a dict, in their order.

    Raises:
        ValueError: for a name given twice.
    """
    entries = tuple(entries)
    named = {entry.name: entry for entry in entries}
    if len(named) != len(entries):
        raise ValueError("a catalogue holds a name twice")
    return named


def find(entries: Mapping[str, E], field: str, name: str) -> E:
    """The entry that `name` means: spelled exactly, or with other case, spaces, dots, dashes and underscores.

    Raises:
        ConfigError: on `field`, naming `name` and the closest names there are.
    """
    if name in entries:
        return entries[name]
    if not name.strip():
        raise ConfigError(field, f"is empty; {suggest(entries, name)}")
    if len(name) > LONGEST_NAME:
        raise ConfigError(field, f"{quoted(name)} has {len(name):,} characters, more than any name; {suggest(entries, '')}")
    # Separators count first: regnet_x_16gf and regnet_x_1_6gf are two models that differ in nothing else.
    for fold in (_fold, _squeeze):
        wanted = fold(name)
        found = [entry for key, entry in entries.items() if wanted and wanted in (fold(key), fold(entry.label))]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(field, f"{quoted(name)} could be {' or '.join(entry.name for entry in found)}; write it with its underscores")
    raise ConfigError(field, f"there is no {field.replace('_', ' ')} {quoted(name)}; {suggest(entries, name)}")


def suggest(names: Iterable[str], name: str) -> str:
    """The remedy for a name that does not exist: the closest names, or all of them when they are few."""
    names = tuple(names)
    wanted = _squeeze(name[:LONGEST_NAME])
    squeezed = {_squeeze(known): known for known in names}
    close = [known for folded, known in squeezed.items() if len(wanted) >= 3 and (wanted in folded or (len(folded) >= 4 and folded in wanted))]
    close += [squeezed[folded] for folded in difflib.get_close_matches(wanted, squeezed, n=4, cutoff=0.6) if squeezed[folded] not in close]
    # Close by spelling, not by place in the dict: resnet180 is nearer to resnet18 than to resnet101.
    close.sort(key=lambda known: -difflib.SequenceMatcher(None, wanted, _squeeze(known)).ratio())
    if not close:
        shown = names if len(names) <= 20 else names[:12]
        return f"choose one of {', '.join(shown)}" + ("" if len(shown) == len(names) else f" and {len(names) - len(shown)} more")
    close = close[:4]
    return f"did you mean {', '.join(close[:-1])} or {close[-1]}?" if len(close) > 1 else f"did you mean {close[0]}?"


def check_options(entry: Entry, field: str, values: Mapping[str, Any]) -> dict[str, OptionValue]:
    """`values` with every option in its canonical spelling and kind. Options left out stay out.

    Raises:
        ConfigError: on `field`, for an option that `entry` does not have and for a value it does not take.
    """
    checked: dict[str, OptionValue] = {}
    for name, value in values.items():
        folded = {_squeeze(option.name): option for option in entry.options}
        option = entry.option(name) or folded.get(_squeeze(name))
        if option is None:
            names = [known.name for known in entry.options]
            raise ConfigError(
                field, f"{entry.name} has no option {quoted(name)}; " + (suggest(names, name) if names else "it has no further options, leave it out")
            )
        checked[option.name] = option.parse(field, value)
    return checked


def with_defaults(entry: Entry, values: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Every option of `entry`: the value from `values`, else its default."""
    return {option.name: values.get(option.name, option.default) for option in entry.options}


def _exactly(value: int | float | str) -> int:
    """A whole number, every digit of it: by way of a float the last ones of a long one would be lost."""
    try:
        return int(value)
    except ValueError:  # '32.0'
        return int(float(value))


def _fold(name: str) -> str:
    return re.sub(r"[\s._-]+", "_", name.strip().casefold())


def _squeeze(name: str) -> str:
    return re.sub(r"[\s._-]+", "", name.casefold())
