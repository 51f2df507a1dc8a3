"""Models as graphs: what an exporter refuses is refused in one line, and a batch that it would fix is not free."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from core.config import ConfigError
from core.export import graphs


class Choosing(nn.Module):
    """What no graph can hold: it does another thing for other numbers."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.float().mean(dim=(2, 3)) if pictures.sum() > 5 else pictures.float().amax(dim=(2, 3))


class Fixed(nn.Module):
    """It has two pictures in mind."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.float().reshape(2, 3, -1).mean(dim=2)


@pytest.mark.parametrize("model", [Choosing(), Fixed()])
def test_a_model_that_the_exporter_refuses_is_refused_in_one_line(model: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        graphs.traced(model, 8, "torch.export")
    assert raised.value.field == "format"
    assert raised.value.message.startswith("torch.export does not take this model (")
    assert "\n" not in raised.value.message
    assert raised.value.message.endswith("export it as pth, safetensors or bundle")
