"""Where the first value came from that is not a number: the batch once more, layer by layer, with the weights of that moment."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from core.data.loader import Batch
from core.networks.models import loss_and_logits
from core.records.findings import Birth
from core.training.trainer import Trainer


def birth(trainer: Trainer, step: int, batch: Batch) -> Birth:
    """Find the layer in which a batch stopped being numbers. For `core.signals.watch.Watch.on_bad_loss`, before the update.

    The model is as it was: running statistics and sources of chance are put back afterwards.
    """
    buffers = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    finder = _Finder(trainer.model)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            for part in batch.parts(trainer.partition.most):
                output = trainer.model(trainer.partition.normalise(part.images.to(trainer.device)))
                if finder.found is not None:
                    place, layer, largest = finder.found
                    return Birth(step, "weights" if place == "weights" else "output", layer, largest)
                loss, logits = loss_and_logits(trainer.loss, output, part.labels.to(trainer.device))
                if not math.isfinite(loss.item()):
                    return Birth(step, "loss", largest_input=_largest(logits))
    finally:
        finder.remove()
        for name, buffer in trainer.model.named_buffers():
            buffer.copy_(buffers[name])
    return Birth(step, "unknown")


class _Finder:
    """Looks at each layer (a module without others inside) as it is called, and keeps the first that is not well: (what, layer, largest input)."""

    def __init__(self, model: nn.Module) -> None:
        self.found: tuple[str, str, float | None] | None = None
        layers = [(name, module) for name, module in model.named_modules() if not any(True for _ in module.children())]
        self._hooks = [module.register_forward_hook(self._hook(name)) for name, module in layers]

    def _hook(self, name: str) -> Any:
        def called(module: nn.Module, inputs: Any, output: Any) -> None:
            if self.found is not None:
                return
            if not all(_finite(parameter) for parameter in module.parameters(recurse=False)):
                self.found = ("weights", name, None)
            elif not _finite(output):
                into = [tensor for tensor in inputs if isinstance(tensor, Tensor)]
                self.found = ("output", name, _largest(into[0]) if into else None)

        return called

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def _finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or bool(torch.isfinite(value).all())


def _largest(value: Tensor) -> float | None:
    largest = float(value.detach().abs().max())
    return largest if math.isfinite(largest) else None
