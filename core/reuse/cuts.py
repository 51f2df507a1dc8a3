"""Where one model is cut: tried out once for each of its modes, or proved by an earlier run of the same (`proofs`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from core.reuse.proofs import Proofs, Untold, modes, told
from core.reuse.split import NotSplit, Split, check, split, traced


class Cuts:
    """The cuts of `model`, as its parameters' `requires_grad` and its modules' modes are when each is asked for first.

    Args:
        probe: gives random images float32 [3, 3, S, S], on the model's device, to try it out with.
        folder: where proofs lie; None: nothing is kept.
        about: says what else decides which steps give which bits: the machine, number formats, threads, sizes.
    """

    def __init__(self, model: nn.Module, probe: Callable[[], Tensor], folder: Path | None, about: Callable[[], str]) -> None:
        self.model = model
        self.probe = probe
        self.about = about
        self._proofs = Proofs(folder)
        self._found: dict[bool, Split | NotSplit] = {}
        self._told: str | None = None
        self._trained: tuple[str | None, fx.Graph] | None = None
        """Of the cut in train mode: its name among proofs, and the trace."""
        self._apart = ""
        """Part of the name of a cut that is not that of train mode, though it might have been."""

    def cut(self) -> Split:
        """That of the mode which the model is in.

        Raises:
            NotSplit: there is none; the text says why.
        """
        mode = self.model.training
        if mode not in self._found:
            try:
                self._found[mode] = self._as_trained() or self._new()
            except NotSplit as problem:
                self._found[mode] = problem
        found = self._found[mode]
        if isinstance(found, NotSplit):
            raise found
        return found

    def forget(self) -> None:
        """Something else learns from now on, or weights are not what they were."""
        self._found.clear()
        self._told = self._trained = None

    def wrong(self) -> None:
        """What was kept by these cuts was not what the model gives: later runs are to try all of it anew."""
        self._proofs.forget()

    def _new(self) -> Split:
        """A cut of its own for this mode."""
        graph, name = traced(self.model), self._name(self._apart)
        found = self._proofs.cut(name, self.model, graph) if name else None
        if found is None:
            found = split(self.model, self.probe(), graph)
            if name:
                self._proofs.keep(name, found, graph)
        if self.model.training:
            self._trained = (name, graph)
        return found

    def _as_trained(self) -> Split | None:
        """In training layers can change by chance that rest now; where there was none, the cut is the same, unless the model does something else."""
        self._apart = ""
        found = self._found.get(True)
        if self._trained is None or not isinstance(found, Split) or found.chance:
            return None
        trained, graph = self._trained
        name = self._name(f"as {trained}") if trained else None
        if name:
            self._apart = f"apart from {trained}"
            if self._proofs.holds(name):
                return found
            if (apart := self._name(self._apart)) and self._proofs.holds(apart):
                return None
        try:
            check(self.model, found, self.probe()[:2], found.known)
        except NotSplit:
            return None
        if name:
            self._proofs.keep(name, found, graph)
        return found

    def _name(self, other: str = "") -> str | None:
        """Under which a proof of what is tried now is kept; of what another proof says, where `other` names one. None: there is none."""
        try:
            # What is frozen does not move until `forget` is called, so it is told once.
            self._told = self._told or told(self.model)
        except Untold:
            return None
        return self._proofs.name(self._told, modes(self.model), self.about(), _kernels(), other)


def _kernels() -> str:
    """What torch is told for all, and chooses kernels by."""
    autocast = [(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")]
    exact = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(), torch.get_default_dtype()
    cudnn = torch.backends.cudnn
    chosen = torch.backends.mkldnn.enabled, cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32
    return f"{autocast} {exact} {chosen} {torch.is_inference_mode_enabled()}"
