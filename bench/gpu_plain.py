"""The plain loop that everybody writes, on random pictures, with torch and torchvision alone: what this device can do without Thaw."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torchvision import models

from bench.gpu import Line, line_of

STEPS = {"cuda": 30, "cpu": 4}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_plain")
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    for line in measure(torch.device(arguments.device)):
        print(json.dumps(line), flush=True)


def measure(device: torch.device) -> Iterator[Line]:
    """resnet18, all of it and its head alone, in float32 and, on a GPU, in bfloat16."""
    big = device.type == "cuda"
    size, batch = (224, 256) if big else (64, 16)
    for head_only in (False, True):
        for precision in ("float32", "bfloat16") if big else ("float32",):
            began = time.perf_counter()
            name = f"resnet18, {'head only' if head_only else 'everything'}, {precision}"
            try:
                seconds = _steps(device, size, batch, head_only, precision)
            except (RuntimeError, torch.OutOfMemoryError) as error:
                yield line_of(name, "failed", str(error).splitlines()[0], time.perf_counter() - began)
                continue
            text = f"{1000 * seconds:.1f} ms a step, {batch / seconds:,.0f} pictures/s at {size} px in batches of {batch}"
            yield line_of(name, "passed", text, time.perf_counter() - began, step_seconds=seconds, batch=batch, pixels=size)


def _steps(device: torch.device, size: int, batch: int, head_only: bool, precision: str) -> float:
    """Median seconds of a step, the first quarter left out."""
    torch.manual_seed(0)
    model: Any = models.resnet18(num_classes=10)
    if head_only:
        model.requires_grad_(False)
        model.fc.requires_grad_(True)
    model = model.to(device).train(not head_only)
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-3)
    images, labels = torch.randn(batch, 3, size, size, device=device), torch.randint(10, (batch,), device=device)
    taken = []
    for _ in range(STEPS[device.type]):
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[len(taken) // 4 :])


if __name__ == "__main__":
    main()
