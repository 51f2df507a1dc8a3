"""What one kind of layer is: an `Entry` that knows shapes, the module it becomes and its parameters.

Shapes are those of one image, batch dimension left out: (channels, height, width) for maps, (values,) for a vector. torch is
imported only when a `Call` is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.config import OptionValue
from core.config.entry import Entry

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


class LayerError(ValueError):
    """A layer that does not fit what comes into it. The text names the value and the remedy."""


@dataclass(frozen=True)
class Reference:
    """A class of `torch.nn` that is handed over, not called: `nn.GELU`."""

    name: str

    def __repr__(self) -> str:
        return f"nn.{self.name}"


@dataclass(frozen=True)
class Call:
    """A module as the expression that makes it: a class of `torch.nn`, or one of `core.networks.own_models` (`OWN_CLASSES`), and its arguments."""

    name: str
    arguments: tuple[int | float, ...] = ()
    keywords: tuple[tuple[str, int | float | bool | Reference], ...] = ()

    def __str__(self) -> str:
        inside = ", ".join([*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.keywords)])
        return f"{'' if self.name in OWN_CLASSES else 'nn.'}{self.name}({inside})"

    def build(self) -> nn.Module:
        """The module, with random weights from torch's global generator."""
        from torch import nn

        from core.networks import own_models

        keywords = {name: getattr(nn, value.name) if isinstance(value, Reference) else value for name, value in self.keywords}
        module: nn.Module = getattr(own_models if self.name in OWN_CLASSES else nn, self.name)(*self.arguments, **keywords)
        return module


OWN_CLASSES = ("Residual",)
"""Modules that torch does not have: their source travels with a network that uses them."""


@dataclass(frozen=True)
class Values:
    """The options of one layer, defaults filled in, under the type that each has."""

    given: Mapping[str, OptionValue]

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self.given[name]
        assert isinstance(value, int), (name, value)
        return value

    def number(self, name: str) -> float:
        """Any number."""
        value = self.given[name]
        assert isinstance(value, int | float), (name, value)
        return value

    def is_on(self, name: str) -> bool:
        """A yes or no."""
        return self.given[name] is True

    def choice(self, name: str) -> str:
        """One of an option's choices."""
        return str(self.given[name])

    def whole_or(self, name: str, otherwise: int) -> int:
        """A whole number, or `otherwise` where it was left empty."""
        return otherwise if self.given[name] is None else self.whole(name)


@dataclass(frozen=True)
class LayerEntry(Entry):
    """One kind of layer.

    `words` are its spellings, each with the options that it implies; the first that implies what is wanted is the canonical one.
    `main` is the option whose value may follow without its name (`conv 32`); it is left out where it is the default, unless
    `always`. `only` names the options that mean something for one choice alone: option to (option, choice). `further` are those
    that most people leave as they are. `returns` gives the shape that comes out, `call` the module, `count` its parameters, each
    from the shape that comes in; `returns` raises LayerError where it does not fit, and the others count on it having been asked.
    """

    words: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)
    main: str = ""
    always: bool = False
    only: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    further: tuple[str, ...] = ()
    returns: Callable[[Shape, Values], Shape] = lambda shape, values: shape
    call: Callable[[Shape, Values], Call] = lambda shape, values: Call("Identity")
    count: Callable[[Shape, Values], int] = lambda shape, values: 0

    def applies(self, option: str, values: Mapping[str, OptionValue]) -> bool:
        """True where `option` means something beside the other options of a layer."""
        other, choice = self.only.get(option, ("", ""))
        return not other or values.get(other) == choice


def sizes(shape: Shape) -> str:
    """A shape as people say it: '32 channels of 16 x 16 pixels', or '128 values'."""
    return f"{shape[0]:,} channels of {pixels(shape)}" if len(shape) == 3 else f"{shape[0]:,} values"


def values_of(shape: Shape) -> int:
    """How many numbers there are in a shape: the width of what `flatten` makes of it."""
    total = 1
    for length in shape:
        total *= length
    return total


def pixels(shape: Shape) -> str:
    """Height and width of maps in words: '16 x 16 pixels'."""
    return f"{shape[1]} x {shape[2]} pixels"
