"""What the tests of explain share."""

from __future__ import annotations

from core.config import RunConfig
from core.records.walkthrough import Example

# In-place steps, a residual block, max pooling, dropout, both modes of BatchNorm: small, and all that makes watching difficult.
NETWORK = "tricky: conv 8 bias=no, norm, relu, pool, residual 12 stride=2, dropout 0.3, global pool, flatten, linear 12, tanh"


OWN = RunConfig(model=NETWORK, image_size=16, device="cpu", threads=1, optimizer="SGD", learning_rate=0.05, head_dropout=0.4)


FROZEN = OWN.replace(freeze="conv1, norm1, residual1.conv1")


def own(config: RunConfig = OWN, zero_grad: bool = True, samples: int = 4) -> Example:
    return Example("own", config, zero_grad, samples)
