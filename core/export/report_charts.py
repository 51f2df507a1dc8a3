"""Charts of the report as small SVGs, which a browser and a printer draw alike, without a script. No torch.

Colours are classes of `report.css`, so that dark and light are the page's; series differ in their dashes, too. All texts are escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from core.records.evaluation import Bin
from core.records.telling import digits

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

WIDTH = 850.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 12.0, 8.0, 34.0
"""Space around what is drawn, in the units of the picture."""

WIDE = 30.0
"""Largest value over smallest from which on a logarithmic scale shows more."""

DASHES = ("", "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Series:
    """One line: `across` int64[n], `values` float64[n], NaN where there is none; `low` and `high` are the extremes that a mean hides."""

    label: str
    across: Whole
    values: Floats
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True)
class Scale:
    """Where values lie between `low` and `high`, and the ones that are named."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False
    ticks: tuple[float, ...] = ()

    def at(self, values: Floats) -> Floats:
        """Places of values; NaN for those that a logarithmic scale has none for."""
        if self.log:
            values = np.log10(np.where(values > 0, values, np.nan))
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        return self.begin + (values - low) / ((high - low) or 1.0) * (self.end - self.begin)

    def of(self, value: float) -> float:
        """The place of one value."""
        return float(self.at(np.array([value]))[0])


def lines(
    series: Sequence[Series],
    title: str,
    across: str = "step",
    marks: Sequence[tuple[float, str]] = (),
    not_finite: Sequence[int] = (),
    percent: bool = False,
    height: float = 210.0,
    span: tuple[float, float] | None = None,
) -> Markup:
    """Lines over steps or epochs. `marks`: where something changes, named by a number; `not_finite`: where a value was no number.

    Args:
        title: what is drawn, for whoever hears the page.
        percent: values are shares from 0 to 1, on the whole scale.
        span: first and last step; None: of the series.
    """
    drawn = [each for each in series if np.isfinite(each.values).any()]
    if not drawn:
        return Markup('<p class="empty">Nothing that could be drawn was measured.</p>')
    wide = _across(drawn, span)
    values = _values(drawn, percent, height)
    parts = [*_axes(wide, values, across, percent, height)]
    for each in drawn:
        place = series.index(each)
        if each.low is not None and each.high is not None:
            parts.append(_band(each, wide, values, place))
        parts.append(_path(each, wide, values, place))
        if len(each.across) == 1:
            parts.append(f'<circle class="dot s{place}" cx="{wide.of(each.across[0]):.1f}" cy="{values.of(each.values[0]):.1f}" r="3"/>')
    parts += _marks(marks, wide, height)
    parts += [f'<path class="bad" d="M{x - 3:.1f} {TOP + 2:.1f}l6 6m0 -6l-6 6"/>' for x in wide.at(np.asarray(not_finite, np.float64)[:200]).tolist()]
    return _svg(title, height, parts, _legend(series, drawn))


def reliability(bins: Sequence[Bin], title: str, height: float = 240.0) -> Markup:
    """How often predictions are right against how confident they are: a bar a bin, its point where its predictions are on average."""
    wide = Scale(0, 1, LEFT, 330.0, ticks=(0, 0.25, 0.5, 0.75, 1))
    values = Scale(0, 1, height - BOTTOM, TOP, ticks=(0, 0.25, 0.5, 0.75, 1))
    parts = [*_axes(wide, values, "confidence", True, height, across_percent=True)]
    parts.append(f'<path class="diagonal" d="M{wide.of(0):.1f} {values.of(0):.1f}L{wide.of(1):.1f} {values.of(1):.1f}"/>')
    for each in bins:
        right, low, high = each.accuracy.value, each.accuracy.low, each.accuracy.high
        if each.confidence is None or right is None or low is None or high is None:
            continue
        x, begin = wide.of(each.confidence), wide.of(each.low)
        sums = f"{100 * each.confidence:.1f} % confident, {100 * right:.1f} % right ({100 * low:.1f} to {100 * high:.1f} %)"
        parts.append(
            f'<g><title>{each.samples:,} pictures, {sums}</title><rect class="band s0" x="{begin + 0.5:.1f}" y="{values.of(right):.1f}" '
            f'width="{wide.of(each.high) - begin - 1:.1f}" height="{values.of(0) - values.of(right):.1f}"/>'
            f'<path class="whisker s0" d="M{x:.1f} {values.of(low):.1f}V{values.of(high):.1f}"/>'
            f'<circle class="dot s0" cx="{x:.1f}" cy="{values.of(right):.1f}" r="3.5"/></g>'
        )
    return _svg(title, height, parts, Markup(""), width=342.0)


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round numbers between two figures, about `count`."""
    if not high > low:
        return (low,)
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(dict.fromkeys(float(f"{number * step:.15g}") for number in range(first, last + 1)))  # where digits run out, some are equal


def decades(low: float, high: float) -> tuple[float, ...]:
    """Named figures of a logarithmic scale: powers of ten, with 2 and 5 between them where they are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = -(-(last - first) // 6) or 1
    powers = [10.0**power for power in range(first, last + 1) if (power - first) % every == 0]
    found = [power for power in powers if low * 0.999 <= power <= high * 1.001]
    if len(found) < 3 and every == 1:
        found = [value for power in powers for factor in (1, 2, 5) if low * 0.999 <= (value := power * factor) <= high * 1.001]
    return tuple(float(f"{value:.12g}") for value in found)


def named(value: float) -> str:
    """A figure beside an axis: '0.03', '1,500', '1e-7'."""
    return f"{value:.3g}".replace("e-0", "e-") if value and abs(value) < 1e-4 else digits(value, 6)


def step_scale(first: float, last: float, begin: float = LEFT, end: float = WIDTH - RIGHT) -> Scale:
    """The axis of steps or epochs: whole numbers are named."""
    last = max(last, first + 1)
    return Scale(first, last, begin, end, ticks=tuple(tick for tick in ticks(first, last, 7) if tick == round(tick)))


def _across(series: Sequence[Series], span: tuple[float, float] | None) -> Scale:
    first, last = span or (min(float(each.across.min()) for each in series), max(float(each.across.max()) for each in series))
    return step_scale(first, last)


def _values(series: Sequence[Series], percent: bool, height: float) -> Scale:
    begin, end = height - BOTTOM, TOP
    if percent:
        return Scale(0, 1, begin, end, ticks=(0, 0.25, 0.5, 0.75, 1))
    every = np.concatenate([column for each in series for column in (each.values, each.low, each.high) if column is not None])
    every = every[np.isfinite(every)]
    means = np.concatenate([each.values[np.isfinite(each.values)] for each in series])
    low, high = float(every.min()), float(every.max())
    if low > 0 and high > WIDE * low and float(means.max()) > WIDE / 3 * float(means.min()):
        return Scale(low, high, begin, end, True, decades(low, high))
    room = 0.04 * ((high - low) or abs(high) or 1.0)
    low, high = (max(0.0, low - room) if low >= 0 else low - room), high + room
    return Scale(low, high, begin, end, ticks=ticks(low, high))


def _axes(wide: Scale, values: Scale, across: str, percent: bool, height: float, across_percent: bool = False) -> Iterator[str]:
    for tick in values.ticks:
        y = values.of(tick)
        said = f"{100 * tick:g} %" if percent else named(tick)
        yield f'<path class="grid" d="M{wide.begin:.1f} {y:.1f}H{wide.end:.1f}"/>'
        yield f'<text class="tick" x="{wide.begin - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{said}</text>'
    yield from across_axis(wide, across, height, across_percent)


def across_axis(wide: Scale, across: str, height: float, percent: bool = False) -> Iterator[str]:
    """The line below, with its figures and what they are."""
    y = height - BOTTOM
    yield f'<path class="axis" d="M{wide.begin:.1f} {y:.1f}H{wide.end:.1f}"/>'
    for tick in wide.ticks:
        x = wide.of(tick)
        anchor = "end" if x > wide.end - 14 else "middle"
        said = f"{100 * tick:g} %" if percent else f"{tick:,.0f}"
        yield f'<path class="axis" d="M{x:.1f} {y:.1f}v4"/><text class="tick" x="{x:.1f}" y="{y + 16:.1f}" text-anchor="{anchor}">{said}</text>'
    yield f'<text class="tick" x="{(wide.begin + wide.end) / 2:.1f}" y="{height - 3:.1f}" text-anchor="middle">{Markup.escape(across)}</text>'


def _path(each: Series, wide: Scale, values: Scale, place: int) -> str:
    xs, ys = wide.at(each.across.astype(np.float64)), values.at(each.values)
    dash = f' stroke-dasharray="{DASHES[place % len(DASHES)]}"' if place % len(DASHES) else ""
    return f'<path class="line s{place}"{dash} d="{_steps(xs, ys)}"/>'


def _band(each: Series, wide: Scale, values: Scale, place: int) -> str:
    assert each.low is not None
    assert each.high is not None
    there = np.isfinite(each.low) & np.isfinite(each.high)
    xs = wide.at(each.across.astype(np.float64))[there]
    low, high = values.at(np.maximum(each.low[there], values.low)), values.at(each.high[there])
    if len(xs) < 2 or not (each.high[there] > each.low[there]).any():
        return ""
    return f'<path class="band s{place}" d="{_steps(np.concatenate([xs, xs[::-1]]), np.concatenate([low, high[::-1]]))}Z"/>'


def _steps(xs: Floats, ys: Floats) -> str:
    """A path through points; a gap where there is none."""
    parts, pen = [], "M"
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if not math.isfinite(y):
            pen = "M"
            continue
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(parts)


def _marks(marks: Sequence[tuple[float, str]], wide: Scale, height: float) -> Iterator[str]:
    end = -1e9
    for at, said in marks:
        x = wide.of(at)
        if not wide.begin - 1 <= x <= wide.end + 1:
            continue
        yield f'<path class="mark" d="M{x:.1f} {TOP:.1f}V{height - BOTTOM:.1f}"/>'
        if x > end:  # what would lie over its neighbour stands in the table of changes alone
            yield f'<text class="tick" x="{x + 3:.1f}" y="{TOP + 9:.1f}">{Markup.escape(said)}</text>'
            end = x + 8 + 7 * len(said)


def _legend(series: Sequence[Series], drawn: Sequence[Series]) -> Markup:
    if len(drawn) < 2:
        return Markup("")
    key = '<svg class="key" viewBox="0 0 28 8" aria-hidden="true"><path class="line s{0}" stroke-dasharray="{1}" d="M0 4H28"/></svg>'
    places = [series.index(each) for each in drawn]
    entries = Markup("").join(
        Markup(f"<span>{key}{{2}}</span>").format(place, DASHES[place % len(DASHES)] or "none", series[place].label) for place in places
    )
    return Markup('<p class="legend">{}</p>').format(entries)


def _svg(title: str, height: float, parts: Sequence[str], legend: Markup, width: float = WIDTH) -> Markup:
    # Each part is made of numbers and of texts that were escaped.
    frame = '<svg class="chart" viewBox="0 0 {0:.0f} {1:.0f}" style="max-width:{0:.0f}px" role="img" aria-label="{2}">{3}</svg>'
    return legend + Markup(frame).format(width, height, title, Markup("".join(parts)))


def picture(title: str, height: float, parts: Sequence[str]) -> Markup:
    """An SVG of parts that are safe already."""
    return _svg(title, height, parts, Markup(""))
