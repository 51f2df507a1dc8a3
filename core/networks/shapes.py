"""What a network makes of one image, layer by layer: shapes, parameters, attribute names, or what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.config import ConfigError
from core.networks.grammar import Layer, Network, Row
from core.networks.layer_entry import Call, LayerError, Shape, values_of

CHANNELS = 3
MOST_PARAMETERS = 1_000_000_000
"""As many as 4 GB hold in float32; the largest model of the catalogue has 645 million."""


@dataclass(frozen=True)
class Stage:
    """One layer of a network at work: the name of its attribute, what it returns for one image, and its parameters.

    `shape` is None where the layer, or one before it, does not fit: `error` says why in the first that does not. `call` makes it.
    """

    name: str
    shape: Shape | None
    parameters: int = 0
    error: str = ""
    call: Call | None = None


@dataclass(frozen=True)
class Sketch:
    """A network that may not be right yet: a stage for each row, and the head."""

    stages: tuple[Stage, ...]
    head: Stage

    @property
    def fits(self) -> bool:
        """True if every layer can be used and fits what comes before it."""
        return all(stage.shape is not None and not stage.error for stage in (*self.stages, self.head))

    @property
    def flatten(self) -> bool:
        """True if maps come out of the last layer, so that they are laid out as a vector for the head."""
        last = self.stages[-1].shape if self.stages else None
        return last is None or len(last) == 3

    @property
    def parameters(self) -> int:
        """Of all layers that fit, the head included."""
        return sum(stage.parameters for stage in (*self.stages, self.head))


@dataclass(frozen=True)
class Assembled:
    """A network that fits: each layer's attribute name and call, in order, whether a flatten comes before the head, and the head."""

    layers: tuple[tuple[str, Call], ...]
    flatten: bool
    head: Call
    parameters: int


def sketch(rows: Sequence[Row], image_size: int, classes: int) -> Sketch:
    """What rows make of an image of `image_size` pixels a side: what fits, and what is wrong with what does not. Never raises."""
    shape: Shape | None = (CHANNELS, image_size, image_size)
    names = _names([row.layer for row in rows])
    stages = []
    for row, name in zip(rows, names, strict=True):
        stage = _stage(row.layer, name, shape) if row.layer else Stage(name, None, error=row.error)
        stages.append(stage)
        shape = stage.shape
    if shape is None:
        return Sketch(tuple(stages), Stage("head", None))
    width = values_of(shape)
    parameters = width * classes + classes
    total = sum(stage.parameters for stage in stages) + parameters
    error = ""
    if total > MOST_PARAMETERS:
        largest = max((*stages, Stage("head", None, parameters)), key=lambda stage: stage.parameters)
        error = (
            f"{total:,} parameters are more than the {MOST_PARAMETERS:,} that a network may have ({largest.name} alone has {largest.parameters:,}); "
            "use fewer channels, smaller images, or a global pool before the flatten"
        )
    return Sketch(tuple(stages), Stage("head", (classes,), parameters, error, Call("Linear", (width, classes))))


def shapes(network: Network, image_size: int, classes: int = 10) -> tuple[Stage, ...]:
    """A stage for each layer of a network, and one for the head at the end. Never raises: a stage that does not fit says why."""
    found = sketch([Row(str(layer), layer.kind, layer=layer) for layer in network.layers], image_size, classes)
    return (*found.stages, found.head)


@lru_cache(maxsize=256)
def assembled(network: Network, image_size: int, classes: int) -> Assembled:
    """All that is needed to build a network or to write it down.

    Raises:
        ConfigError: on `image_size`, if a layer does not fit images of this size.
    """
    stages = shapes(network, image_size, classes)
    wrong = next((stage for stage in stages if stage.error), None)
    if wrong is not None:
        raise ConfigError("image_size", f"{network.label} does not fit images of {image_size} pixels a side: {wrong.name}: {wrong.error}")
    *layers, head = stages
    last = layers[-1].shape if layers else None
    calls = tuple((stage.name, stage.call) for stage in layers if stage.call)
    assert head.call is not None
    return Assembled(calls, last is None or len(last) == 3, head.call, sum(stage.parameters for stage in stages))


def _stage(layer: Layer, name: str, shape: Shape | None) -> Stage:
    if shape is None:
        return Stage(name, None)
    entry, values = layer.entry, layer.values
    try:
        after = entry.returns(shape, values)
    except LayerError as error:
        return Stage(name, None, error=str(error))
    return Stage(name, after, entry.count(shape, values), call=entry.call(shape, values))


def _names(layers: Iterable[Layer | None]) -> list[str]:
    """The attribute of each layer: its kind and which of that kind it is, `conv1`; '' for what is no layer."""
    seen: dict[str, int] = {}
    names = []
    for layer in layers:
        if layer is None:
            names.append("")
            continue
        kind = layer.values.choice("function") if layer.kind == "activation" else layer.kind.replace(" ", "_")
        seen[kind] = seen.get(kind, 0) + 1
        names.append(f"{kind}{seen[kind]}")
    return names
