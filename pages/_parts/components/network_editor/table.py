"""A network as the editor shows it, and back: rows and shapes in, plain lists out. No Streamlit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from core.config.entry import Option
from core.networks import MOST_LAYERS, Row, Sketch, Stage, read_row, row_of, spell
from core.networks.layer_entry import LayerEntry, Shape, sizes
from core.networks.network_layers import LAYERS
from core.records.telling import size

_LABELS = {"function": "kind"}
"""What an option is called beside its field, where that is not its name."""


@cache
def kinds() -> list[dict[str, Any]]:
    """Every kind of layer with the fields that it has, for the browser."""
    return [
        {
            "kind": entry.name,
            "word": next(iter(entry.words)) if entry.name != "activation" else "activation",
            "label": entry.label,
            "about": entry.about,
            "options": [_field(entry, option) for option in entry.options],
        }
        for entry in LAYERS.values()
    ]


def table(rows: Sequence[Row], sketch: Sketch, image_size: int) -> dict[str, Any]:
    """The rows of the editor, what stands before and behind them, and the totals, for the browser."""
    layers = len(rows)
    parameters = sketch.parameters
    return {
        "image": f"3 channels of {image_size} x {image_size} pixels",
        "imageShape": short((3, image_size, image_size)),
        "rows": [_row(row, stage) for row, stage in zip(rows, sketch.stages, strict=True)],
        "head": _facts(sketch.head) | {"text": _head(sketch)},
        "totals": f"{layers} layer{'' if layers == 1 else 's'} and the head · {parameters:,} parameters · {size(4 * parameters)} in float32"
        + ("" if sketch.fits else ", so far"),
        "fits": sketch.fits,
        "most": MOST_LAYERS,
    }


def rows_of(sent: Any) -> tuple[Row, ...]:
    """The rows that the browser sends: lists of a kind, its options as texts, and the text of what is no layer."""
    return tuple(_row_of(kind, options, text) for kind, options, text in sent[:MOST_LAYERS])


def short(shape: Shape) -> str:
    """A shape for a narrow column: '32 ch, 16 x 16 px'."""
    return f"{shape[0]:,} ch, {shape[1]} x {shape[2]} px" if len(shape) == 3 else f"{shape[0]:,} values"


def _row_of(kind: str, options: Mapping[str, Any], text: str) -> Row:
    entry = LAYERS.get(kind)
    if entry is None:
        return read_row(_clean(str(text), " "))
    return row_of(entry, {option.name: _clean(str(options.get(option.name, ""))) for option in entry.options if _applies(entry, option, options)})


def _applies(entry: LayerEntry, option: Option, options: Mapping[str, Any]) -> bool:
    return entry.applies(option.name, {name: str(value) for name, value in options.items()})


def _clean(text: str, space: str = "") -> str:
    """What somebody typed, without what would end a layer or an option in the network's text."""
    return re.sub(r"[\s,:]+", space, text) if space else re.sub(r"[\s,:=]+", space, text)


def _row(row: Row, stage: Stage) -> dict[str, Any]:
    return _facts(stage) | {"kind": row.kind, "text": row.text, "options": _options(row)}


def _facts(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "shape": short(stage.shape) if stage.shape else "",
        "words": sizes(stage.shape) if stage.shape else "",
        "count": stage.parameters,
        "error": stage.error,
    }


def _head(sketch: Sketch) -> str:
    """What is put behind the last layer, as PyTorch writes it; '' where that cannot be told yet."""
    return f"{'flatten, ' if sketch.flatten else ''}{sketch.head.call}" if sketch.head.call else ""


def _options(row: Row) -> dict[str, str]:
    """Every option's value as its field holds it."""
    entry = LAYERS.get(row.kind)
    given = dict(row.given)
    return {option.name: given.get(option.name, _default(option)) for option in entry.options} if entry else {}


def _default(option: Option) -> str:
    return "" if option.default is None else spell(option.default)


def _field(entry: LayerEntry, option: Option) -> dict[str, Any]:
    return {
        "name": option.name,
        "label": _LABELS.get(option.name, option.name.replace("_", " ")),
        "kind": option.kind,
        "default": _default(option),
        "choices": list(option.choices),
        "low": option.low,
        "high": option.high,
        "unit": option.unit,
        "about": option.about,
        "only": list(entry.only[option.name]) if option.name in entry.only else None,
        "further": option.name in entry.further,
    }
