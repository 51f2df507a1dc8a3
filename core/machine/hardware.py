"""What a machine has, as data. No torch: the lab fills it in, pages show it."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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


def device_of(asked: str) -> str:
    """The device that a config means by `auto`, `cpu`, `cuda`, `cuda:1` or `mps`, for counting the runs on each.

    Without torch, so from what the system says: where torch then cannot use a GPU that is there, `auto` counts as that GPU all the same.
    """
    if asked == "auto":
        return accelerator() or "cpu"
    return "cuda:0" if asked == "cuda" else asked


def _torch_version() -> str:
    """The version of torch, which need not be imported for it. Raises PackageNotFoundError where there is none."""
    imported = sys.modules.get("torch")  # what is installed says the same, in a file that takes 20 ms to read
    return str(imported.__version__) if imported is not None else version("torch")


@cache
def accelerator() -> str:
    """The first GPU that this machine seems to have and this torch to know, by its name in torch; empty: none."""
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else ""
    try:
        if _torch_version().endswith("+cpu"):
            return ""
    except PackageNotFoundError:
        return ""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and not (hidden.strip() and not hidden.strip().startswith("-")):
        return ""
    there = any(Path(place).exists() for place in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))
    return "cuda:0" if there or (sys.platform == "win32" and "CUDA_PATH" in os.environ) else ""
