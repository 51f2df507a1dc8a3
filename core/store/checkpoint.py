"""The weights that a run kept, epoch by epoch: which there are, and reading them. `core.store.saving` writes them. No torch to list them.

A run's folder has `weights.pth`, its newest weights whole, and `checkpoints/`: the weights before training whole, and of later epochs
only those tensors that differ from them. What is frozen is on disk once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import ConfigError
from core.machine.home import Home
from core.store.run_store import Run

if TYPE_CHECKING:
    from torch import Tensor

_NAME = re.compile(r"epoch-(\d+)-step-(\d+)(-final)?\.pth")


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights after `epoch` finished epochs and `step` steps; epoch 0: before training.

    `final`: what the run ended with, be it that it was stopped in the middle of an epoch, or that early stopping brought back an earlier one.
    """

    epoch: int
    step: int
    path: Path
    final: bool = False

    @property
    def base(self) -> Path | None:
        """The file with what did not change; None for one that is whole."""
        if self.final:
            return None
        first = [file for file in self.path.parent.glob("epoch-*.pth") if (found := _read(file)) is not None and found.epoch == 0]
        return first[0] if first and first[0] != self.path else None


def checkpoint_path(folder: Path, epoch: int, step: int, final: bool = False) -> Path:
    """Where a run in `folder` keeps the weights of an epoch."""
    return folder / "checkpoints" / f"epoch-{epoch:04d}-step-{step:08d}{'-final' if final else ''}.pth"


def checkpoints(home: Home, run: Run) -> tuple[Checkpoint, ...]:
    """What `run` has kept, by epoch; also while it goes on. A run of before Thaw kept epochs has its last weights only."""
    found = listed(home.run_folder(run.id))
    weights = home.run_folder(run.id) / "weights.pth"
    if not found and weights.is_file():
        return (Checkpoint(run.result.epochs if run.result else run.epoch, run.result.steps if run.result else run.step, weights, final=True),)
    return found


def newest(home: Home, run: Run) -> Checkpoint | None:
    """What the run ended with, else the last epoch that it has kept; None: nothing yet."""
    found = checkpoints(home, run)
    final = [checkpoint for checkpoint in found if checkpoint.final]
    return final[-1] if final else found[-1] if found else None


def listed(folder: Path) -> tuple[Checkpoint, ...]:
    """The checkpoints in a run's folder, by epoch."""
    files = (folder / "checkpoints").glob("epoch-*.pth")
    return tuple(sorted((found for file in files if (found := _read(file)) is not None), key=lambda checkpoint: (checkpoint.epoch, checkpoint.step)))


def weights_of(home: Home, run: Run) -> Path | None:
    """The file with the weights that a run ended with, absolute, be it there or not; None where it saved none.

    Runs of before have an absolute path, which is wrong once the home was moved or copied: what lies in the run's own folder counts.
    """
    text = run.result.weights if run.result else None
    if text is None:
        return None
    kept = Path(text)
    own = home.run_folder(run.id) / kept.name
    return own if own.is_file() or not kept.is_absolute() else kept


def load_checkpoint(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The whole `state_dict`, on the CPU.

    Raises:
        ConfigError: the file is gone, or cannot be read.
    """
    import torch

    state: dict[str, Tensor] = {}
    for path in filter(None, (checkpoint.base, checkpoint.path)):
        try:
            state |= torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise ConfigError("epoch", f"the weights of epoch {checkpoint.epoch} are not there any more; choose another epoch") from None
        except Exception as error:  # torch.load has no error of its own
            raise ConfigError("epoch", f"{path} cannot be read ({type(error).__name__}); choose another epoch, or train again") from error
    return state


def _read(path: Path) -> Checkpoint | None:
    match = _NAME.fullmatch(path.name)
    return Checkpoint(int(match[1]), int(match[2]), path, match[3] is not None) if match else None
