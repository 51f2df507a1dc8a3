"""What the installed torch does with two processes on gloo, for `test_torch.py`: run as a program, it leaves what it found in the folder given.

Two processes of `torch.distributed.run`, forked, which fail once and are begun again. It imports nothing of Thaw.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import run
from torch.distributed.launcher.api import elastic_launch
from torch.nn.parallel import DistributedDataParallel

ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT", "MASTER_PORT", "OMP_NUM_THREADS")


def main(folder: str) -> None:
    """Start the two processes as `torchrun` does."""
    os.environ.pop("OMP_NUM_THREADS", None)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    given = [
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "127.0.0.1:0",
        "--rdzv-id",
        "facts",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "1",
        "--monitor-interval",
        "0.1",
        "--start-method",
        "fork",
        "none",
    ]
    config, _, _ = run.config_from_args(run.parse_args(given))
    elastic_launch(config, process)(folder)


def process(folder: str) -> None:
    """What each of them does, twice."""
    attempt, rank = os.environ["TORCHELASTIC_RESTART_COUNT"], int(os.environ["RANK"])
    found: dict[str, Any] = {"environment": {name: os.environ.get(name) for name in ENVIRONMENT}}
    if attempt == "1":
        torch.set_num_threads(1)
        dist.init_process_group("gloo")
        for fact in (thawed, frozen, without_gradient, buffers, sums):
            found[fact.__name__] = fact(rank)
        dist.destroy_process_group()
    Path(folder, f"{attempt}-{rank}.json").write_text(json.dumps(found))
    if attempt == "0":
        other = Path(folder, f"0-{1 - rank}.json")
        while not other.exists():  # the first to fail has the other one ended
            time.sleep(0.02)
        raise SystemExit(3)


def _two() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))


def _inputs(rank: int) -> Tensor:
    return torch.tensor([[1.0, 2.0]]) * (rank + 1)


def thawed(rank: int) -> list[list[float]]:
    """Gradients of a layer that was frozen at wrapping and learns since, and of one that learnt then."""
    model = _two()
    model[0].requires_grad_(False)
    wrapped = DistributedDataParallel(model)
    model[0].requires_grad_(True)
    wrapped(_inputs(rank)).sum().backward()
    return [layer.weight.grad.flatten().tolist() for layer in model]  # type: ignore[union-attr, operator]


def frozen(rank: int) -> list[str]:
    """How each of two steps goes after a layer is frozen that learnt at wrapping."""
    model = _two()
    wrapped = DistributedDataParallel(model)
    wrapped(_inputs(rank)).sum().backward()
    model[0].requires_grad_(False)
    said = []
    for _ in range(2):
        try:
            wrapped(_inputs(rank)).sum().backward()
            said.append("well")
        except RuntimeError as error:
            said.append(str(error).splitlines()[0][:80])
    return said


def without_gradient(rank: int) -> list[float]:
    """The gradient of a layer that only the first rank uses, where torch is told that layers may be unused."""
    model = nn.ModuleList(_two())
    wrapped = DistributedDataParallel(_Some(model), find_unused_parameters=True)
    wrapped(_inputs(0), rank == 0).sum().backward()
    gradient = model[0].weight.grad
    return [] if gradient is None else gradient.flatten().tolist()  # type: ignore[operator, no-any-return]


class _Some(nn.Module):
    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, inputs: Tensor, both: bool) -> Tensor:
        found: Tensor = self.layers[1](self.layers[0](inputs) if both else inputs)
        return found


def buffers(rank: int) -> list[list[float]]:
    """The running mean after a step, and after an evaluation through the wrapper."""
    model = nn.BatchNorm1d(2)
    wrapped = DistributedDataParallel(model)
    wrapped(torch.arange(8.0).view(4, 2) * (rank + 1)).sum().backward()
    found = [model.running_mean.tolist()]  # type: ignore[union-attr]
    wrapped.eval()
    wrapped(torch.ones(2, 2))
    return [*found, model.running_mean.tolist()]  # type: ignore[union-attr]


def sums(rank: int) -> dict[str, str]:
    """What kinds of numbers can be added up, and how else they can be put together."""
    found = {}
    kinds = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "float8_e4m3fn")
    for kind in kinds:
        found[kind] = _tried(torch.ones(2).to(getattr(torch, kind)), dist.ReduceOp.SUM)
    return {**found, "mean": _tried(torch.ones(2) * rank, dist.ReduceOp.AVG), "premul": _tried(torch.ones(2), dist.ReduceOp.PREMUL_SUM)}


def _tried(tensor: Tensor, how: Any) -> str:
    try:
        dist.all_reduce(tensor, how)
    except Exception as error:  # noqa: BLE001  what it is, is what is asked
        return type(error).__name__
    return str(tensor.to(torch.complex64)[0].real.item())


if __name__ == "__main__":
    main(sys.argv[1])
