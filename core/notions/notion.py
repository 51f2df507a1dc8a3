"""What a notion is, what a place is where one is seen, and what the lines of code begin with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """A part of a screen. `screen` is its name in the address ("" is Home), `part` what stands above it there, `query` what its address says besides.

    `of_run`: it is about one run, so an address needs `run=ID`.
    """

    screen: str
    part: str
    query: dict[str, str] = field(default_factory=dict)
    of_run: bool = False

    @property
    def title(self) -> str:
        """'Autograd: A step in slow motion'."""
        return f"{self.screen.capitalize() or 'Home'}: {self.part}"


@dataclass(frozen=True)
class Notion:
    """One thing that a course names.

    says: one sentence, true with the torch that is installed. code: the lines of PyTorch, which run after `SETUP`. shown: where it is seen on the
    learner's own model; None: Thaw does not show it. also: other names of it, and words that lead to it.
    """

    name: str
    says: str
    code: str
    shown: Place | None
    also: tuple[str, ...] = ()


SETUP = """\
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, default_collate, random_split
from torchvision import datasets, models
from torchvision.transforms import v2

device = "cuda" if torch.cuda.is_available() else "cpu"
transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
dataset = datasets.FakeData(32, (3, 64, 64), num_classes=10, transform=transform)  # random pictures: 3 channels, 64 x 64 pixels
loader = DataLoader(dataset, batch_size=4, shuffle=True)
images, labels = next(iter(loader))
train, validation = random_split(dataset, [24, 8])

model = models.resnet18()
model.fc = nn.Linear(512, 10)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
"""
"""What the lines of every notion begin with. Runs in a second or so, and downloads nothing."""
