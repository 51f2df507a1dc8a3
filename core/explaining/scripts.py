"""The plain PyTorch that does what a walkthrough shows, and runs as it stands."""

from __future__ import annotations

from core.explaining.own_script import own_script
from core.explaining.specimen import Specimen

_STEPS = """
for step in (1, 2):
{clear}    prediction = model(data)                 # forward
    loss = (prediction - labels).sum()       # one number, to look at gradients: nothing is learned from labels
    loss.backward()                          # fills .grad of every parameter that learns
    optim.step()                             # moves each parameter that has a .grad
    print(step, loss.item())
"""

_CLEAR = "    optim.zero_grad()                        # every .grad is None again\n"
_NO_CLEAR = "    # no optim.zero_grad(): the second step's gradients are added to the first's\n"

_CLASSIC = """import torch
from torchvision.models import resnet18

torch.manual_seed(0)                         # the same random numbers each time
model = resnet18()                           # random weights, in train mode
data = torch.rand(1, 3, 64, 64)              # one picture of random numbers
labels = torch.rand(1, 1000)
optim = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
"""

_FINE_TUNING = """import torch
from torch import nn
from torchvision.models import resnet18

torch.manual_seed(0)                         # the same random numbers each time
model = resnet18()                           # weights="DEFAULT" would download ImageNet's
for param in model.parameters():
    param.requires_grad = False              # freeze everything
model.fc = nn.Linear(512, 10)                # a new layer learns: nobody has frozen it
data = torch.rand(1, 3, 64, 64)
labels = torch.rand(1, 10)
optim = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
"""

_MOVED = """
print([name for name, param in model.named_parameters() if param.grad is not None])
"""


def script_of(specimen: Specimen) -> str:
    """The lines of the two steps."""
    steps = _STEPS.format(clear=_CLEAR if specimen.example.zero_grad else _NO_CLEAR)
    match specimen.example.kind:
        case "classic":
            return _CLASSIC + steps
        case "fine-tuning":
            return _FINE_TUNING + steps + _MOVED
        case _:
            config = specimen.example.config
            assert config is not None
            return own_script(config, specimen.description, len(specimen.labels), specimen.example.zero_grad)
