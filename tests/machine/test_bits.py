"""A digest that was taken once holds until its tensor is written to."""

from __future__ import annotations

import torch
from torch import nn

from core.machine.bits import digest, seen, unchanged


def test_a_digest_is_known_until_the_tensor_is_written_to() -> None:
    parameter = nn.Parameter(torch.arange(5.0))
    assert unchanged(parameter) is None
    assert seen(parameter) == unchanged(parameter) == digest([parameter])
    equal = parameter.detach().clone()
    assert unchanged(equal) is None, "another tensor, whatever its values"
    with torch.no_grad():
        parameter.mul_(1.0)
    assert unchanged(parameter) is None, "written to, if with the same values"
    first = seen(parameter)
    parameter.data = torch.zeros(5)
    assert unchanged(parameter) is None, "another memory"
    assert seen(parameter) != first


def test_of_a_tensor_that_was_made_in_inference_mode_nothing_is_known() -> None:
    with torch.inference_mode():
        made = torch.arange(5.0)
    assert seen(made) == digest([made])
    assert unchanged(made) is None, "torch does not count what is written to it"
