"""What is known of a draft before it starts: its device, judged by a helper that may be starting, ready or broken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.machine.hardware import Device, Machine
from core.machine.home import Home
from pages._parts.setup import checks
from pages._parts.shared.services import Services

SMALL = {"dataset": "digits", "model": "small_cnn", "image_size": 8}


def services(*devices: str, ready: bool = True, broken: bool = False) -> Services:
    def machine() -> Machine:
        if broken:
            raise LabError("the helper process ended")
        return Machine(tuple(Device(name, name, 2**30) for name in devices), 2, 2**30, "2.14", "0.29")

    return cast(Services, SimpleNamespace(home=Home.in_use(), lab=SimpleNamespace(ready=ready, machine=machine)))


@pytest.mark.parametrize(("device", "there"), [("auto", ("cpu",)), ("cpu", ("cpu", "cuda:0")), ("cuda", ("cpu", "cuda:0")), ("mps", ("cpu", "mps"))])
def test_a_device_that_is_there_can_be_trained_on(device: str, there: tuple[str, ...]) -> None:
    assert checks.check(services(*there), RunConfig(**SMALL, device=device)).device == device


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="'cuda:1' is not on this machine; choose auto or cpu or cuda:0") as caught:
        checks.check(services("cpu", "cuda:0"), RunConfig(**SMALL, device="cuda:1"))
    assert caught.value.field == "device"


@pytest.mark.parametrize("asked", [{"ready": False}, {"broken": True}])
def test_a_helper_that_cannot_be_asked_keeps_nobody_from_the_form(asked: dict[str, Any]) -> None:
    assert checks.check(services("cpu", **asked), RunConfig(**SMALL, device="cuda:1")).device == "cuda:1"
    with pytest.raises(ConfigError, match="images there are to train on"):
        checks.check(services("cpu", **asked), RunConfig(**SMALL, batch_size=1500))
