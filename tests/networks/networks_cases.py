"""What the tests of networks share."""

from __future__ import annotations

NET = "mynet: conv 32, norm, relu, pool, residual 64, global pool"
