"""What decides the bits that a machine computes besides the run itself: the same config gives others where one of these is another."""

from __future__ import annotations

import platform

import torch
import torchvision

_IN_WORDS = {
    "torch": "torch",
    "torchvision": "torchvision",
    "machine": "kind of processor",
    "instructions": "widest instructions",
    "threads": "threads",
    "device": "device",
    "devices": "number of devices",
}


def here(device: torch.device, threads: int, ranks: int = 1) -> dict[str, str | int]:
    """As it is now, on `ranks` devices like `device`; `threads` is the number whose bits a run has, whatever number it uses just now."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "device": name,
        "devices": ranks,
    }


def other_bits(before: dict[str, str | int], now: dict[str, str | int]) -> list[str]:
    """What is another than it was, in words: 'torch was 2.14.0 and is 2.15.0'."""
    before = {"devices": 1, **before}  # of a Thaw that knew one alone
    return [f"{_IN_WORDS[name]} was {before.get(name)} and is {now[name]}" for name in _IN_WORDS if before.get(name) != now[name]]
