"""The devices that torch can use here, and the one that a config asks for."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from core.config import ConfigError, RunConfig
from core.config import devices as on_devices
from core.machine.hardware import Device, Machine, cores


def available() -> tuple[Device, ...]:
    """Every device that can train, the CPU first."""
    devices = [Device("cpu", _processor_name(), psutil.virtual_memory().total)]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(Device(f"cuda:{index}", properties.name, properties.total_memory))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU (Metal)", psutil.virtual_memory().total))
    return tuple(devices)


def resolve(name: str) -> torch.device:
    """The device that `name` means: `auto` is the first GPU if there is one, `cuda` is `cuda:0`.

    Raises:
        ConfigError: the device is not on this machine; the message lists those that are.
    """
    devices = available()
    if name == "auto":
        return torch.device(devices[1].name if len(devices) > 1 else "cpu")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in {device.name for device in devices}:
        listed = ", ".join(f"{device.name} ({device.label})" for device in devices)
        raise ConfigError("device", f"{name!r} is not on this machine; it has {listed}")
    return torch.device(wanted)


def places(config: RunConfig) -> tuple[str, ...]:
    """The device of each process of a run: one, or as many as its `devices` says.

    Raises:
        ConfigError: on `device` or `devices`, they are not on this machine; on `nodes`, machines cannot share a run on such devices.
    """
    device = resolve(config.device)
    if config.nodes > 1 and device.type not in ("cpu", "cuda"):
        raise ConfigError("nodes", f"{config.nodes} machines cannot share a run on {device.type}; set device to cpu, or nodes to 1")
    return on_devices.places(config.devices, str(device), cores(), torch.cuda.device_count())


def machine() -> Machine:
    """This machine, as a page shows it."""
    return Machine(available(), psutil.cpu_count() or 1, psutil.virtual_memory().total, torch.__version__, version("torchvision"))


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def bfloat16_is_native() -> bool:
    """Whether this processor has instructions for bfloat16, as torch's own compiler asks. Without, a step takes ten times as long and more."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # torch was built without oneDNN
        return True
