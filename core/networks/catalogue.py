"""A network as an entry of the catalogue: the smallest image it fits, its parameters, its head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.config import ConfigError
from core.networks.grammar import Network, parse
from core.networks.model_entries import Family, ModelEntry
from core.networks.shapes import Assembled, assembled, shapes

USUAL = 32
SMALLEST, LARGEST = 8, 1024
"""Image sides that a run can have, in pixels."""

_ABOUT = "A network of your own, built from a list of layers."
SIZED = Family("Your own", _ABOUT, ("head",), usual=USUAL, own=True, fixed=True)
"""For networks with a flatten in them: how many parameters they have depends on the image size."""
ANY_SIZE = Family("Your own", _ABOUT, ("head",), usual=USUAL, own=True)


@dataclass(frozen=True)
class NetworkEntry(ModelEntry):
    """A network of one's own. `name` is its whole canonical text, `label` what it is called."""

    def check_image_size(self, image_size: int) -> None:
        """Raises ConfigError on `image_size` for a side, in pixels, into which a layer does not fit."""
        network = parse(self.name)
        wrong = next((stage for stage in shapes(network, image_size) if stage.error), None)
        if wrong is None:
            return
        if image_size < self.smallest:
            raise ConfigError(
                "image_size", f"{self.label} needs at least {self.smallest} pixels a side, got {image_size} ({wrong.name}: {wrong.error})"
            )
        raise ConfigError("image_size", f"{self.label} cannot take {image_size} pixels a side: {wrong.error}")


@lru_cache(maxsize=256)
def entry(text: str) -> NetworkEntry:
    """The entry of the network that `text` says.

    Raises:
        ConfigError: on `model`, for a text that says no network, and for one that fits no image size.
    """
    network = parse(text)
    smallest = _smallest(network)
    usual = max(USUAL, smallest)
    made = _assembled(network, usual)
    if made is None:
        wrong = next(stage for stage in shapes(network, usual) if stage.error)
        raise ConfigError("model", f"{network.label} is too large even at {usual} pixels a side: {wrong.error}")
    largest = _assembled(network, LARGEST)
    any_size = largest is not None and [call for _, call in largest.layers] == [call for _, call in made.layers] and largest.head == made.head
    layers = f"{len(network.layers)} layer{'' if len(network.layers) == 1 else 's'}"
    return NetworkEntry(
        str(network),
        network.label,
        f"A network of your own: {layers} and the head, {made.parameters:,} parameters at {usual} px with 10 classes.",
        family=ANY_SIZE if any_size else SIZED,
        parameters=made.parameters,
        smallest=smallest,
        usual=usual,
    )


def _smallest(network: Network) -> int:
    """The smallest side of an image that every layer fits, in pixels. Raises ConfigError on `model` where none does."""
    if not _fits(network, LARGEST):
        place = next(place for place, stage in enumerate(shapes(network, LARGEST)) if stage.error)
        # In the figures of an ordinary image, where that meets the same obstacle.
        error = shapes(network, USUAL)[place].error or shapes(network, LARGEST)[place].error
        raise ConfigError("model", f"{network.label} fits no image size: layer {place + 1}, {str(network.layers[place])!r}: {error}")
    low, high = SMALLEST - 1, LARGEST  # a layer that fits an image fits every larger one
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(network, middle) else (middle, high)
    return high


def _fits(network: Network, image_size: int) -> bool:
    """True if every layer fits, whatever the number of parameters."""
    return all(stage.shape is not None for stage in shapes(network, image_size))


def _assembled(network: Network, image_size: int) -> Assembled | None:
    try:
        return assembled(network, image_size, 10)
    except ConfigError:
        return None
