"""A `FreezePlan` applied to a real model, and the audit that proves that nothing frozen has moved.

Freezing is more than `requires_grad = False`:

* a frozen BatchNorm in train mode still moves its running mean and variance with every forward pass, and every
  `model.train()` puts it back into train mode, so the plan must be applied again after each mode change;
* a `.grad` left over from before, momentum, or weight decay still moves a "frozen" weight while an optimizer holds it, so
  the gradient is dropped here and only `trainable(model)` is given to the optimizer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class Freezing:
    """Which parameters of `model` are frozen, kept true through mode changes.

    Args:
        model: any module.
        frozen: names from `model.named_parameters()`, as `core.layers.frozen_parameters` gives them.

    Raises:
        KeyError: a name that is no parameter of the model.
    """

    def __init__(self, model: nn.Module, frozen: Collection[str]) -> None:
        unknown = set(frozen) - {name for name, _ in model.named_parameters()}
        if unknown:
            raise KeyError(f"The model has no parameter {', '.join(sorted(unknown))}")
        self.model = model
        self.frozen = frozenset(frozen)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in self.frozen)
            if name in self.frozen:
                parameter.grad = None

    def train(self) -> None:
        """Put the model into train mode, frozen normalisation layers excepted."""
        self.model.train()
        for norm in self._frozen_norms().values():
            norm.eval()

    def eval(self) -> None:
        """Put the whole model into eval mode."""
        self.model.eval()

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of all that must not move: frozen parameters, and the running statistics of frozen normalisation layers."""
        state = self.model.state_dict()
        still = set(self.frozen)
        for path, norm in self._frozen_norms().items():
            still |= {f"{path}.{name}" if path else name for name, _ in norm.named_buffers(recurse=False)}
        return {name: state[name].detach().clone() for name in state if name in still}

    def moved(self, before: Mapping[str, Tensor]) -> list[str]:
        """Names of the tensors that are no longer bit for bit what `snapshot` saw: empty is the proof of freezing."""
        state = self.model.state_dict()
        return [name for name, tensor in before.items() if not _same_bits(state[name], tensor)]

    def _frozen_norms(self) -> dict[str, _NormBase]:
        """Normalisation layers with running statistics of which no parameter learns.

        One without any parameters (`affine=False`) follows its neighbours: it rests only if the whole model is frozen around it,
        that is, if no parameter of its parent module learns.
        """
        norms: dict[str, _NormBase] = {}
        for path, module in self.model.named_modules():
            if not isinstance(module, _NormBase):
                continue
            own = list(module.parameters(recurse=False))
            if not own:
                own = list(self.model.get_submodule(path.rpartition(".")[0]).parameters())
            if not any(parameter.requires_grad for parameter in own):
                norms[path] = module
        return norms


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn, in `named_parameters` order: what an optimizer should be given, and nothing else."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _same_bits(a: Tensor, b: Tensor) -> bool:
    # NaN differs from itself, so a diverged buffer would count as moved: compare NaN as equal.
    return bool(torch.equal(a, b)) or (a.is_floating_point() and bool(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)))
