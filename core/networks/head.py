"""The new head: what stands in the place of a model's last layer, with dropout and a hidden layer where they are asked for."""

from __future__ import annotations

import copy

from torch import nn

from core.config import ConfigError
from core.records.layers import PLAIN_HEAD, HeadInfo, HeadOptions

IMAGENET_CLASSES = 1000


def replace_head(model: nn.Module, path: str, options: HeadOptions) -> None:
    """Put a new head, made as `options` say, in the place of the single layer at `path`; with plain options nothing is done.

    A linear head becomes `Sequential(Linear, ReLU, Dropout, Linear)` with as many outputs as it had, without what is not asked
    for; a head that is a convolution becomes the same of 1 x 1 convolutions. Weights come from torch's global generator, drawn
    after those of the rest, which are therefore the same with any head.

    Raises:
        ConfigError: the head is no single Linear or Conv2d layer.
    """
    if options == PLAIN_HEAD:
        return
    old = model.get_submodule(path)
    layers: list[nn.Module] = []
    width, classes = _widths(old, options)
    if options.hidden is not None:
        layers += [_layer(old, width, options.hidden), nn.ReLU()]
        width = options.hidden
    if options.dropout:
        layers.append(nn.Dropout(options.dropout))
    layers.append(_layer(old, width, classes))
    model.set_submodule(path, nn.Sequential(*layers))


def head_info(path: str, original: nn.Module, new: nn.Module, published: bool, options: bool) -> HeadInfo:
    """What stands at `path`: `original` is the single layer as the model was built, `new` what replaced it, perhaps itself.

    Args:
        published: whether torchvision has this model for ImageNet's classes, whose head is then the old one.
        options: whether dropout and a hidden layer can be had there.
    """
    width, _ = _widths(original, PLAIN_HEAD)
    return HeadInfo(path, _for_imagenet(original) if published else "", repr(new), width, options)


def _widths(head: nn.Module, options: HeadOptions) -> tuple[int, int]:
    """How many numbers go into a head, and how many come out."""
    match head:
        case nn.Linear():
            return head.in_features, head.out_features
        case nn.Conv2d():
            return head.in_channels, head.out_channels
        case _:
            field = "head_hidden" if options.hidden is not None else "head_dropout"
            what = f"the head of this model is a {type(head).__name__}, in whose place no other can be put"
            raise ConfigError(field, f"{what}; leave it empty, or choose a model whose head is a Linear layer")


def _layer(like: nn.Module, inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel_size=1) if isinstance(like, nn.Conv2d) else nn.Linear(inputs, outputs)


def _for_imagenet(head: nn.Module) -> str:
    original = copy.copy(head)
    # PyTorch writes a layer down from these.
    original.out_features = original.out_channels = IMAGENET_CLASSES  # type: ignore[assignment]
    return repr(original)
