"""Which parameters of a real model are frozen, kept true through mode changes. `core/training/audit.py` proves it.

Freezing is more than `requires_grad = False`:

* a frozen BatchNorm in train mode still moves its running mean and variance with every forward pass, and every
  `model.train()` puts it back into train mode, so the plan must be applied again after each mode change;
* a `.grad` left over from before, momentum, or weight decay still moves a "frozen" weight while an optimizer holds it, so
  the gradient is dropped here and only `trainable(model)` is given to the optimizer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


class Freezing:
    """Which parameters of `model` are frozen.

    Args:
        model: any module.
        frozen: names from `model.named_parameters()`, as `core.records.layers.frozen_parameters` gives them. Of a tensor that two
            modules share, any of its names.
        randomness: leave dropout and stochastic depth on inside of modules of which nothing learns; else they rest as in eval mode.

    Raises:
        KeyError: a name that is no parameter of the model.
    """

    def __init__(self, model: nn.Module, frozen: Collection[str], randomness: bool = True) -> None:
        self.model = model
        self.randomness = randomness
        self.frozen: frozenset[str] = frozenset()
        self._norms = list(_norms(model))
        self.freeze(frozen)

    def freeze(self, frozen: Collection[str]) -> None:
        """Have these parameters frozen from now on, and all others trainable. The mode that the model is in stays.

        Raises:
            KeyError: a name that is no parameter of the model; nothing has changed then.
        """
        named = dict(self.model.named_parameters(remove_duplicate=False))
        unknown = set(frozen) - named.keys()
        if unknown:
            raise KeyError(f"The model has no parameter {', '.join(sorted(unknown))}")
        still = {id(named[name]) for name in frozen}
        self.frozen = frozenset(name for name, parameter in self.model.named_parameters() if id(parameter) in still)
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) not in still)
            if id(parameter) in still:
                parameter.grad = None
        if self.model.training:
            self.train()

    def train(self) -> None:
        """Put the model into train mode, excepted normalisation layers at rest and, without `randomness`, all modules of which nothing learns."""
        _set_mode(self.model, training=True)
        for norm in self.norms_at_rest().values():
            norm.eval()
        if not self.randomness:
            for module in self.model.modules():
                if not _learns(module, unknown=True):
                    module.eval()
                if isinstance(module, nn.Sequential):
                    for part, following in _followed(module):
                        if not _learns(following, unknown=True):
                            part.eval()

    def eval(self) -> None:
        """Put the whole model into eval mode."""
        _set_mode(self.model, training=False)

    def norms_at_rest(self) -> dict[str, _NormBase]:
        """Normalisation layers of which no parameter learns, by path: their running statistics must not move either.

        One without any parameters (`affine=False`) follows its neighbours: it rests only if the whole model is frozen around it,
        that is, if no parameter of its parent module learns.
        """
        return {path: norm for path, norm, own in self._norms if not any(parameter.requires_grad for parameter in own)}


def _set_mode(model: nn.Module, training: bool) -> None:
    """`model.train(training)`, at a tenth of its price: torch looks at each attribute that is set whether it is a parameter or a module."""
    modules = modules_of(model)
    if any(type(module).train is not nn.Module.train or "train" in vars(module) for module in modules):
        model.train(training)
        return
    for module in modules:
        vars(module)["training"] = training


def modules_of(model: nn.Module) -> list[nn.Module]:
    """`model.modules()` in another order, at a quarter of its price: no names are made. For what is asked many times a second."""
    found = {id(model): model}
    waiting = [model]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn, in `named_parameters` order: what an optimizer should be given, and nothing else."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _norms(model: nn.Module) -> Iterator[tuple[str, _NormBase, list[nn.Parameter]]]:
    """Each normalisation layer with its path and the parameters that decide whether it rests: looked up once, since every epoch asks twice."""
    for path, module in model.named_modules():
        if isinstance(module, _NormBase):
            own = list(module.parameters(recurse=False))
            yield path, module, own or list(model.get_submodule(path.rpartition(".")[0]).parameters())


def _learns(module: nn.Module, unknown: bool) -> bool:
    """Whether any parameter of `module` learns; `unknown` if it has none."""
    parameters = list(module.parameters())
    return any(parameter.requires_grad for parameter in parameters) if parameters else unknown


def _followed(sequence: nn.Sequential) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Each part without parameters (an activation, a dropout) with the next one that has some."""
    following: nn.Module | None = None
    for part in reversed(sequence):
        if any(True for _ in part.parameters()):
            following = part
        elif following is not None:
            yield part, following
