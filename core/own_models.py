"""Our own small models: short enough to read in class, quick enough to train while people watch."""

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
    """`small_cnn` or `mlp` with random weights from torch's global generator."""
    return MLP(classes, image_size) if name == "mlp" else SmallCNN(classes)


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),  # the norm behind it has a bias of its own
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
