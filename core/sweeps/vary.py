"""What varies between the runs of a sweep: `learning_rate=1e-4..1e-1 log`, `freeze=head only|last stage`, `seed=0..4`.

On the left of the = stands a field of a run. On the right stand either values with `|` between them (`\\|` for one that is part of a value), or
the two ends of a range with `..` between them: `log` behind it has its logarithm spread evenly, `in 5` makes five values of it.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.config import EXAMPLES, ConfigError, RunConfig
from core.config.limits import LONGEST_TEXT, TooMuch, check_size, quoted, read_json

MOST_VALUES = 1000
"""Values of one field at most."""

WHOLE = tuple(name for name, field in RunConfig.model_fields.items() if "int" in str(field.annotation) and "float" not in str(field.annotation))
"""The fields that take whole numbers alone."""

FRACTIONS = ("learning_rate", "momentum", "weight_decay", "head_dropout", "validation_share", "clip_norm", "watch_budget", "feature_cache_gigabytes",
             "checkpoint_minutes", "silence_seconds")  # fmt: skip
"""The fields that take any number within limits."""

MAY_BE_EMPTY = tuple(name for name, field in RunConfig.model_fields.items() if field.default is None)

_RANGE = re.compile(r"^(\S+?)\.\.(\S+?)(?:\s+(log))?(?:\s+in\s+(\S+))?$")


@dataclass(frozen=True)
class Vary:
    """One field and what it may be. Either `values`, or the ends of a range, both included.

    `log`: spread evenly by the logarithm. `count`: so many values of the range; None: any.
    """

    field: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    count: int | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return self.field in WHOLE

    @property
    def listed(self) -> tuple[Any, ...] | None:
        """All values, in order; None for a range of which any value may be drawn."""
        if self.values:
            return self.values
        if self.count is not None:
            return _spread(self)
        if self.whole and not self.log and self.high - self.low < MOST_VALUES:
            return tuple(range(int(self.low), int(self.high) + 1))
        return None

    def drawn(self, chance: random.Random) -> Any:
        """One value by chance."""
        if self.values or self.count is not None:
            return chance.choice(self.listed or ())
        if self.log:
            number = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            number = chance.uniform(self.low, self.high)
        return self.rounded(number)

    def rounded(self, number: float) -> float | int:
        """A number of the range as a run is given it: whole, or with four digits that count, and never beyond the ends."""
        if self.whole:
            return min(max(round(number), math.ceil(self.low)), math.floor(self.high))
        return min(max(float(f"{number:.4g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.field}={self.said}"

    @property
    def said(self) -> str:
        """What stands on the right of the =."""
        if self.values:
            return "|".join(as_text(value).replace("|", "\\|") for value in self.values)
        ends = f"{_plain(self.low)}..{_plain(self.high)}"
        return ends + (" log" if self.log else "") + (f" in {self.count}" if self.count is not None else "")


def parse(text: str) -> Vary:
    """What a text says of a field.

    Raises:
        ConfigError: on `vary` where it names no field, else on the field: what is wrong with which value, and what to write.
    """
    try:
        check_size(text, LONGEST_TEXT)
    except TooMuch as error:
        raise ConfigError("vary", f"{error}; write for example 'learning_rate=1e-4..1e-1 log'") from None
    name, equals, right = text.partition("=")
    field = name.strip().replace("-", "_")
    if not equals or field not in RunConfig.model_fields:
        what = f"{quoted(name.strip())} is no field of a run" if equals else f"{quoted(text)} has no ="
        raise ConfigError("vary", f"{what}; write for example 'learning_rate=1e-4..1e-1 log'. The fields are {', '.join(RunConfig.model_fields)}")
    right = right.strip()
    if not right:
        raise ConfigError(field, f"varies, but nothing stands behind the =; write for example '{field}={EXAMPLES[field].strip(chr(39))}|...'")
    found = _RANGE.match(right) if field in WHOLE or field in FRACTIONS else None
    return _range(field, right, found) if found else _values(field, right)


def parse_all(texts: Sequence[str]) -> tuple[Vary, ...]:
    """What several texts say. Raises ConfigError as `parse`, where there are none, and where two are about one field."""
    if not texts:
        raise ConfigError("vary", "nothing varies; give at least one field, for example 'learning_rate=1e-4..1e-1 log'")
    found = tuple(parse(text) for text in texts)
    for number, vary in enumerate(found):
        if any(other.field == vary.field for other in found[:number]):
            raise ConfigError(vary.field, f"varies twice; put all its values behind one =: '{vary.field}=...|...'")
    return found


def as_text(value: Any) -> str:
    """A value as it is written on the right of an =: 'none' for one that is left empty."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        import json

        return json.dumps(value)
    return _plain(value) if isinstance(value, float) else str(value)


def _plain(number: float) -> str:
    return f"{number:.10g}"


def _values(field: str, right: str) -> Vary:
    parts = [part.replace("\\|", "|").strip() for part in re.split(r"(?<!\\)\|", right)]
    if len(parts) > MOST_VALUES:
        raise ConfigError(field, f"varies over {len(parts):,} values, more than the {MOST_VALUES:,} that one field may have; give a range, or fewer")
    values = []
    for part in parts:
        if not part:
            raise ConfigError(
                field, f"{quoted(right)} has an empty value; write {'none for no value, or ' if field in MAY_BE_EMPTY else ''}leave out a |"
            )
        value = _value(field, part)
        if value in values:
            raise ConfigError(field, f"{quoted(part)} stands there twice; leave one out")
        values.append(value)
    return Vary(field, tuple(values))


def _value(field: str, text: str) -> Any:
    if field in MAY_BE_EMPTY and text.lower() == "none":
        return None
    if field.endswith("_options"):
        try:
            return read_json(text)
        except (TooMuch, ValueError):
            raise ConfigError(field, f"{quoted(text)} is not JSON; write for example '{EXAMPLES[field]}'") from None
    for kind in (int, float):
        if field in (WHOLE if kind is int else FRACTIONS):
            try:
                return kind(text)
            except ValueError:
                return text  # the config says what is wrong with it
    return {"true": True, "false": False}.get(text.lower(), text) if _is_switch(field) else text


def _is_switch(field: str) -> bool:
    return isinstance(RunConfig.model_fields[field].default, bool)


def _range(field: str, right: str, found: re.Match[str]) -> Vary:
    ends = []
    for text in found.group(1, 2):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or field in WHOLE and number != int(number):
            kind = "a whole number" if field in WHOLE else "a number"
            raise ConfigError(field, f"{quoted(text)} in {quoted(right)} is not {kind}; write for example '{field}=1..4'")
        ends.append(number)
    low, high = ends
    if low >= high:
        raise ConfigError(field, f"{quoted(right)} goes from {_plain(low)} to {_plain(high)}; the first end must be the lower one")
    if found[3] and low <= 0:
        raise ConfigError(field, f"{quoted(right)} has no logarithm at {_plain(low)}; begin above 0, or leave out log")
    count = None
    if found[4] is not None:
        if not found[4].isdecimal() or not 2 <= int(found[4][:9]) <= MOST_VALUES:
            raise ConfigError(field, f"'in {found[4][:40]}' must be a whole number from 2 to {MOST_VALUES:,}; write for example 'in 4'")
        count = int(found[4])
    return Vary(field, (), low, high, found[3] is not None, count)


def _spread(vary: Vary) -> tuple[float | int, ...]:
    assert vary.count is not None
    shares = [place / (vary.count - 1) for place in range(vary.count)]
    if vary.log:
        numbers = [vary.low * (vary.high / vary.low) ** share for share in shares]
    else:
        numbers = [vary.low + (vary.high - vary.low) * share for share in shares]
    return tuple(dict.fromkeys(vary.rounded(number) for number in numbers))
