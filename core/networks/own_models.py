"""Our own models: two small ones, short enough to read in class, and the block that networks of one's own have."""

from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Three stages of convolution, batch normalisation and pooling, then a linear head.

    Images float32 [N, 3, S, S] with S of 8 or more become logits [N, classes].
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stage1 = _stage(3, 32)
        self.stage2 = _stage(32, 64)
        self.stage3 = _stage(64, 128)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] for images [N, 3, S, S]."""
        x = self.stage1(x)
        x = self.stage2(x)
        x = self.stage3(x)
        x = self.pool(x).flatten(1)
        logits: Tensor = self.head(x)
        return logits


class MLP(nn.Module):
    """Two fully connected layers on raw pixels, then a linear head. Images float32 [N, 3, S, S] become logits [N, classes].

    The pixels are averaged down to 32 x 32 first: without that, the first layer alone would have 38 million weights at 224.
    """

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        side = min(image_size, 32)
        self.shrink = nn.AdaptiveAvgPool2d(side)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3 * side * side, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] for images [N, 3, S, S]."""
        logits: Tensor = self.head(self.layers(self.shrink(x)))
        return logits


def build(name: str, classes: int, image_size: int) -> nn.Module:
    """`small_cnn` or `mlp`, with random weights from torch's global generator."""
    return MLP(classes, image_size) if name == "mlp" else SmallCNN(classes)


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),  # the norm behind it has a bias of its own
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a shortcut around them (He et al., 2015).

    Maps [N, inputs, S, S] become [N, channels, S / stride, S / stride], rounded up.
    With `groups` the norms are GroupNorms.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        stride: int = 1,
        groups: int | None = None,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return nn.GroupNorm(groups, channels) if groups else nn.BatchNorm2d(channels)

        self.conv1 = nn.Conv2d(inputs, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = norm()
        self.activation1 = activation()
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = norm()
        self.activation2 = activation()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != channels:
            matched = nn.Conv2d(inputs, channels, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(matched, norm())

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N, channels, S / stride, S / stride] for maps [N, inputs, S, S]."""
        y = self.activation1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        result: Tensor = self.activation2(y + self.shortcut(x))
        return result
