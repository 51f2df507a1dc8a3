"""The gradient view and the freeze lane of the report: what each layer did, over the steps. No torch."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from core.export.report_charts import BOTTOM, RIGHT, WIDTH, Scale, across_axis, decades, named, picture, step_scale
from core.records.events import FROZEN, NO_GRADIENT, NOT_MEASURED, ChangeRow, Layer
from core.records.layers import blocks

LEFT = 150.0
"""Room for the names of blocks."""

MAGMA = ("#1d1147", "#3b0f70", "#641a80", "#8c2981", "#b73779", "#de4968", "#f7705c", "#fe9f6d", "#fecf92", "#fcfdbf")
"""Even in lightness, so that it can be read in grey as well."""

FROZEN_COLOUR, ZERO_COLOUR, NO_GRADIENT_COLOUR, NOT_FINITE_COLOUR = "#8fb8d8", "#6f7b85", "#c3cad0", "#ff2a1f"
_SHADES = 246
_FROZEN, _ZERO, _NO_GRADIENT, _NOT_FINITE, _NOT_MEASURED = range(_SHADES, _SHADES + 5)

STATES = (
    (_FROZEN, FROZEN_COLOUR, "frozen"),
    (_ZERO, ZERO_COLOUR, "exactly 0"),
    (_NO_GRADIENT, NO_GRADIENT_COLOUR, "no gradient reached it"),
    (_NOT_FINITE, NOT_FINITE_COLOUR, "not a number, or infinite"),
    (_NOT_MEASURED, "", "not measured"),
)

MOST_HEIGHT = 460.0
"""Units that a drawing of all layers is high, at most: half a page."""

MOST_COLUMNS = 680
"""Pixels that the heatmap is wide, at most."""


@dataclass(frozen=True)
class Heat:
    """Gradient norms float32[n, tensors] of buckets that end with `step` int64[n], with the codes of `core.records.events`."""

    step: NDArray[np.int64]
    norms: NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """A block of the model: the places of its tensors, which are neighbours."""

    name: str
    first: int
    count: int


def blocks_of(layers: Sequence[Layer]) -> tuple[Block, ...]:
    """The blocks in the model's order."""
    if not layers:
        return ()
    own = [layer.block for layer in layers]
    if not all(own):  # runs of the first Thaw know no blocks
        found = {name: path for path, members in blocks(layer.name for layer in layers).items() for name in members}
        own = [found[layer.name] for layer in layers]
    made, first = [], 0
    for name, members in groupby(own):
        count = sum(1 for _ in members)
        made.append(Block(name, first, count))
        first += count
    return tuple(made)


def heatmap(heat: Heat, layers: Sequence[Layer], last: int) -> Markup:
    """Every tensor's gradient norm over the steps: rows in the model's order, the first layer on top."""
    finite = heat.norms[np.isfinite(heat.norms) & (heat.norms > 0)]
    low, high = (float(value) for value in np.quantile(finite, (0.005, 0.995))) if len(finite) else (1e-3, 1.0)
    if not high > low * 1.01:
        low, high = low / 2, high * 2
    codes = _codes(heat.norms, math.log10(low), math.log10(high))
    rows = len(layers)
    row = min(14.0, MOST_HEIGHT / max(rows, 1))
    top, tall = 6.0, max(60.0, rows * row)
    height = top + tall + BOTTOM
    wide = step_scale(1, last, LEFT)
    parts = [
        f'<image x="{LEFT:.1f}" y="{top:.1f}" width="{wide.end - LEFT:.1f}" height="{tall:.1f}" preserveAspectRatio="none" '
        f'class="{"pixels" if row > 2 else "smooth"}" href="{_png(_spread(heat.step, codes, last).T)}"/>',
        *_block_names(blocks_of(layers), rows, top, tall),
        *across_axis(wide, "step", height),
    ]
    states = [(colour, said) for code, colour, said in STATES if (codes == code).any()]
    return picture(f"Heatmap of the gradient norms of {rows:,} parameter tensors over {last:,} steps", height, parts) + _key(low, high, states)


def lane(layers: Sequence[Layer], changes: Sequence[ChangeRow], last: int) -> Markup:
    """A row for each block: frozen, learning, or both in part, over the steps."""
    found = blocks_of(layers)
    row, top = min(20.0, MOST_HEIGHT / max(len(found), 1)), 4.0
    height = top + row * len(found) + BOTTOM
    wide = Scale(1, last + 1, LEFT, WIDTH - RIGHT, ticks=step_scale(1, max(last, 2)).ticks)
    plans = _plans(layers, changes, last)
    parts = ['<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">']
    parts += ['<rect class="lane-frozen" width="6" height="6"/><path class="lane-line" d="M0 0V6"/></pattern></defs>']
    named_every = -(-10 // row)
    for number, block in enumerate(found):
        y = top + number * row
        if number % named_every == 0:
            parts.append(_name(block.name, y + row / 2))
        parts += _stretches(block, plans, wide, y, row)
    parts += across_axis(wide, "step", height)
    return picture(f"Freeze lane: what was frozen in {len(found):,} blocks over {last:,} steps", height, parts)


def _stretches(block: Block, plans: Sequence[tuple[int, int, NDArray[np.bool_]]], wide: Scale, y: float, row: float) -> Iterator[str]:
    counts = [(first, end, int(frozen[block.first : block.first + block.count].sum())) for first, end, frozen in plans]
    for frozen, members in groupby(counts, key=lambda each: each[2]):
        stretch = list(members)
        begin, end = wide.of(stretch[0][0]), wide.of(stretch[-1][1])
        kind, said = ("learns", "learns") if not frozen else ("frozen", "frozen") if frozen == block.count else ("part", "in part")
        fill = ' fill="url(#hatch)"' if kind == "frozen" else ""
        full = f"{block.name}: {block.count - frozen:,} of {block.count:,} tensors learn, steps {stretch[0][0]:,} to {stretch[-1][1] - 1:,}"
        yield (
            f'<g><title>{Markup.escape(full)}</title><rect class="lane-{kind}"{fill} x="{begin:.1f}" y="{y + min(1.0, row / 10):.1f}" '
            f'width="{max(end - begin, 0.6):.1f}" height="{row - min(2.0, row / 5):.1f}"/>'
        )
        words = said if kind != "part" else f"{block.count - frozen:,} of {block.count:,} learn"
        if end - begin > 7.5 * len(words) and row >= 14:
            yield f'<text class="lane-text" x="{(begin + end) / 2:.1f}" y="{y + row / 2 + 4:.1f}" text-anchor="middle">{words}</text>'
        yield "</g>"


def _plans(layers: Sequence[Layer], changes: Sequence[ChangeRow], last: int) -> list[tuple[int, int, NDArray[np.bool_]]]:
    """What is frozen from a step on, up to but without another: bool[tensors]."""
    starts: dict[int, NDArray[np.bool_]] = {1: np.array([layer.frozen for layer in layers])}
    for change in changes:
        if change.step <= max(last, 1):
            starts[max(change.step, 1)] = change.frozen
    ends = [*list(starts)[1:], last + 1]
    return [(first, end, frozen) for (first, frozen), end in zip(starts.items(), ends, strict=True)]


def _codes(norms: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    there = np.isfinite(norms) & (norms > 0)
    shade = (np.log10(np.where(there, norms, 1.0).astype(np.float64)) - low) / (high - low)
    codes: NDArray[np.uint8] = np.round(np.clip(shade, 0, 1) * (_SHADES - 1)).astype(np.uint8)
    for code, value in ((_FROZEN, FROZEN), (_ZERO, 0.0), (_NO_GRADIENT, NO_GRADIENT), (_NOT_MEASURED, NOT_MEASURED)):
        codes[norms == value] = code
    codes[~np.isfinite(norms)] = _NOT_FINITE
    return codes


def _spread(step: NDArray[np.int64], codes: NDArray[np.uint8], last: int) -> NDArray[np.uint8]:
    """As many columns as there are pixels, evenly over the steps: each bucket reaches back to the one before."""
    at = np.linspace(1, last, min(MOST_COLUMNS, max(last, 1))) if last > 1 else np.array([1.0])
    return codes[np.minimum(np.searchsorted(step, at), len(step) - 1)]


def _png(codes: NDArray[np.uint8]) -> str:
    image = Image.fromarray(np.ascontiguousarray(codes), mode="P")
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG", transparency=_NOT_MEASURED, optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _palette() -> list[int]:
    anchors = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in MAGMA], np.float64)
    at = np.linspace(0, len(MAGMA) - 1, _SHADES)
    shades = np.stack([np.interp(at, np.arange(len(MAGMA)), anchors[:, channel]) for channel in range(3)], axis=1).round().astype(int)
    rest = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] if colour else [255, 255, 255] for _, colour, _ in STATES]
    return [value for colour in [*shades.tolist(), *rest] for value in colour]


def _block_names(found: Sequence[Block], rows: int, top: float, tall: float) -> Iterator[str]:
    below = -1e9
    for block in found:
        begin = top + tall * block.first / rows
        middle = begin + tall * block.count / rows / 2
        yield f'<path class="grid" d="M{LEFT - 8:.1f} {begin:.1f}H{LEFT:.1f}"/>'
        if middle > below + 10:
            yield _name(block.name, middle)
            below = middle


def _name(name: str, middle: float) -> str:
    short = name if len(name) <= 20 else f"…{name[-19:]}"
    return f'<text class="tick mono" x="{LEFT - 12:.1f}" y="{middle + 4:.1f}" text-anchor="end">{Markup.escape(short)}</text>'


def _key(low: float, high: float, states: Sequence[tuple[str, str]]) -> Markup:
    named_ones = decades(low, high)
    wide = Scale(low, high, 0, 240, True, named_ones if len(named_ones) > 1 else (low, high))
    stops = "".join(f'<stop offset="{100 * place / (len(MAGMA) - 1):.0f}%" stop-color="{colour}"/>' for place, colour in enumerate(MAGMA))
    inner = [f'<defs><linearGradient id="magma">{stops}</linearGradient></defs><rect width="240" height="10" y="2" fill="url(#magma)"/>']
    for tick in wide.ticks:
        x = wide.of(tick)
        anchor = "start" if x < 12 else "end" if x > 228 else "middle"
        inner.append(f'<text class="tick" x="{x:.1f}" y="25" text-anchor="{anchor}">{named(tick)}</text>')
    scale = Markup('<svg class="scale" viewBox="0 0 240 28" role="img" aria-label="Colours: gradient norms from {} to {}">{}</svg>').format(
        named(low), named(high), Markup("".join(inner))
    )
    swatches = Markup("").join(
        Markup('<span><i class="swatch{}" style="background:{}"></i>{}</span>').format("" if colour else " hollow", colour or "none", said)
        for colour, said in states
    )
    return Markup('<p class="legend"><span>L2 norm of the gradient</span>{}{}</p>').format(scale, swatches)
