"""The bench of heads: all its contestants train the same thing, and it says where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from bench import heads
from core.machine.home import Home


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_thaw_the_head_by_hand_and_the_bare_loop_end_with_the_same_weights(home: Home) -> None:
    asked = heads.config("small_cnn", 2, image_size=16, threads=1, validation_share=0.3)
    sides = [heads.thaw(asked, home), heads.thaw(asked, home, tested=False), heads.by_hand(asked, home), heads.bare(asked, home)]
    for side in sides:
        assert side.steps == sides[0].steps > 0
        assert min(side.seconds, side.cpu_seconds, side.step_ms) > 0
        heads.check("all", sides[0], side)
    other = replace(sides[0], weights={name: tensor + 1 for name, tensor in sides[0].weights.items()})
    with pytest.raises(SystemExit, match="different weights"):
        heads.check("one", sides[0], other)
