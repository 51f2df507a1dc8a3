"""A model's own source, as data: the classes that it is made of, and where each of its layers is made and called. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Use = Literal["made", "called", "used"]
"""Made: given to the attribute (`self.conv1 = ...`). Called: `self.conv1(x)`. Used: named in `forward` in any other way, as in a loop."""


@dataclass(frozen=True)
class ClassSource:
    """The text of a class, as `inspect.getsource` has it. `module` is where it is imported from, `first` the number of its first line there."""

    name: str
    module: str
    first: int
    text: str

    @property
    def address(self) -> str:
        """What tells it from every other class."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Mention:
    """Lines `first` to `last` of class number `place` (from 0, in `ModelSource.classes`), counted as in its file."""

    place: int
    first: int
    last: int
    use: Use


@dataclass(frozen=True)
class LayerSource:
    """A layer: the number of its class, and where the class around it makes and calls it.

    `note` says what the lines do not: that a container calls what is in it one after the other, or that Thaw has put a new head there.
    """

    place: int
    mentions: tuple[Mention, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class ModelSource:
    """The classes of a model, and each of its layers by path ('' for the model itself), in the order of `named_modules`."""

    model: str
    classes: tuple[ClassSource, ...]
    layers: dict[str, LayerSource]

    def of(self, path: str) -> ClassSource:
        """The class of the layer at `path`. Raises KeyError where there is none."""
        return self.classes[self.layers[path].place]
