"""Which device a name means, on machines with none, one and two GPUs, and what two tensors with equal bits are."""

from __future__ import annotations

import pytest
import torch

from core.config import ConfigError
from core.machine import bits, devices
from core.machine.hardware import Device

CPU = Device("cpu", "a processor", 8 * 2**30)
GPUS = (Device("cuda:0", "first", 2**30), Device("cuda:1", "second", 2**30))


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        ((CPU,), "auto", "cpu"),
        ((CPU, GPUS[0]), "auto", "cuda:0"),
        ((CPU, *GPUS), "auto", "cuda:0"),
        ((CPU, Device("mps", "Apple", 2**30)), "auto", "mps"),
        ((CPU, *GPUS), "cuda", "cuda:0"),
        ((CPU, *GPUS), "cuda:1", "cuda:1"),
        ((CPU, *GPUS), "cpu", "cpu"),
    ],
)
def test_a_name_means_a_device_that_is_there(there: tuple[Device, ...], name: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available", lambda: there)
    assert devices.resolve(name) == torch.device(found)


@pytest.mark.parametrize(("there", "name"), [((CPU,), "cuda"), ((CPU, GPUS[0]), "cuda:1"), ((CPU, *GPUS), "mps")])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(there: tuple[Device, ...], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available", lambda: there)
    with pytest.raises(ConfigError, match="is not on this machine; it has cpu") as caught:
        devices.resolve(name)
    assert caught.value.field == "device"
    assert all(device.label in caught.value.message for device in there)


def test_the_processor_of_this_machine_comes_first() -> None:
    first, *_ = devices.available()
    assert first.name == "cpu"
    assert devices.machine().devices[0] == first


def test_tensors_are_the_same_where_shape_type_and_every_bit_are() -> None:
    nothing, zero, minus = torch.tensor([[1.0, float("nan")]]), torch.zeros(2), -torch.zeros(2)
    assert bits.same(nothing, nothing.clone())
    assert not bits.same(zero, minus)
    assert not bits.same(torch.ones(2, 3), torch.ones(3, 2))
    assert not bits.same(torch.zeros(2), torch.zeros(2, dtype=torch.int32))
    assert bits.same(torch.arange(6.0).reshape(2, 3).T, torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]])), "however it lies in memory"
    assert bits.digest([zero]) != bits.digest([minus])
    assert bits.digest([torch.ones(3), zero]) == bits.digest(iter([torch.ones(3), zero.clone()]))
