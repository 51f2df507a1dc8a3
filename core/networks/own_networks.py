"""What a network built from a list of layers becomes: a module."""

from __future__ import annotations

from torch import Tensor, nn

from core.networks.grammar import parse
from core.networks.shapes import Assembled, assembled


class Network(nn.Module):
    """A network from a list of layers, each an attribute under its name, and a linear head. It is what its exported class is.

    Images float32 [N, 3, S, S] become logits [N, classes].
    """

    def __init__(self, made: Assembled) -> None:
        super().__init__()
        self.order = tuple(name for name, _ in made.layers)
        self.flatten = made.flatten
        for name, call in made.layers:
            self.add_module(name, call.build())
        self.head = made.head.build()

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] for images [N, 3, S, S]."""
        for name in self.order:
            x = self.get_submodule(name)(x)
        if self.flatten:
            x = x.flatten(1)
        logits: Tensor = self.head(x)
        return logits


def build(text: str, classes: int, image_size: int) -> Network:
    """The network that `text` spells out, with random weights from torch's global generator.

    Raises:
        ConfigError: the text says no network, or a layer of it does not fit images of this size.
    """
    return Network(assembled(parse(text), image_size, classes))
