"""What a machine has, as data. No torch: the lab fills it in, pages show it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Device:
    """Something that can train: `name` is what a config says (`cpu`, `cuda:0`, `mps`), `label` what it is, memory in bytes if known."""

    name: str
    label: str
    memory_bytes: int | None


@dataclass(frozen=True)
class Machine:
    """Devices (the CPU first), processor cores, memory in bytes, and the versions of what trains."""

    devices: tuple[Device, ...]
    cores: int
    memory_bytes: int
    torch_version: str
    torchvision_version: str


def cores() -> int:
    """Processor cores of this machine: the most threads that can run at once. A core that plays two counts as two."""
    return psutil.cpu_count() or 1


def cpp_compiler() -> str:
    """The C++ compiler that torch.compile calls on a processor, as a path or a name: `$CXX`, or what this system usually has."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return os.environ.get("CXX") or usual
