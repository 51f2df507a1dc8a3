"""Sentences about runs that several devices share."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def shared(model: nn.Module, batch_size: int, ranks: int, kind: str, machines: int = 1) -> str:
    """How the run is shared. `kind`: of the devices, `cpu` or `cuda`."""
    what = "processes on the processor" if kind == "cpu" else "GPUs"
    if machines > 1:
        what = f"{'processes' if kind == 'cpu' else 'GPUs'} of {machines} machines"
    said = f"{ranks} {what} share each step, {batch_size // ranks} pictures of {batch_size} each; gradients are those of the whole batch"
    if any(isinstance(layer, _BatchNorm) for layer in model.modules()):
        said += ", and BatchNorm that learns sees the whole batch too"
    return said
