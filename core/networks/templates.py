"""Networks to start from: what people draw on a blackboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """A network to start from. `layers` is its text without a label, `name` the label that it gets."""

    label: str
    about: str
    name: str
    layers: str


def _stage(channels: int, convolutions: int = 1) -> str:
    return f"{f'conv {channels} bias=no, norm, relu, ' * convolutions}pool"


TEMPLATES: Mapping[str, Template] = {
    template.name: template
    for template in (
        Template(
            "Small CNN", "Three convolutions with normalisation and pooling.", "my-cnn",
            f"{_stage(32)}, {_stage(64)}, conv 128 bias=no, norm, relu, global pool",
        ),
        Template(
            "VGG-like", "Pairs of small convolutions, then two large linear layers.", "my-vgg",
            f"{_stage(32, 2)}, {_stage(64, 2)}, {_stage(128, 2)}, flatten, linear 256, relu, dropout 0.5, linear 256, relu, dropout 0.5",
        ),
        Template(
            "ResNet-like", "Residual blocks, each second one at half the size.", "my-resnet",
            "conv 32 bias=no, norm, relu, residual 32, residual 64 stride=2, residual 64, residual 128 stride=2, residual 128, global pool",
        ),
        Template(
            "MLP", "No convolution at all: linear layers on the pixels, averaged two by two.", "my-mlp",
            "average pool, flatten, linear 256, relu, linear 128, relu",
        ),
    )
}  # fmt: skip
