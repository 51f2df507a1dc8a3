"""How one pass (training, validation, test) gets what the model gives, and what that has brought so far: see `core.reuse.partition`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.reuse.compiling import Translator
from core.reuse.features import Table
from core.reuse.split import Split, fold_norms


@dataclass(frozen=True)
class Keeping:
    """How features are kept. `folder` None: they are not. `half`: rounded to float16. `budget` in bytes, of all tables together."""

    folder: Path | None
    budget: int = 8 * 10**9
    half: bool = False
    fold: bool = False


class Way:
    """One pass's way. `split` and `table` are None where every layer is computed in every step, and `reason` says why."""

    WARM = 2
    """Batches whose time does not count: the first ones set much up."""

    def __init__(self) -> None:
        self.split: Split | None = None
        self.table: Table | None = None
        self.prefix: Any = None
        self.suffix: Any = None
        self.reason = ""
        self.pictures = torch.empty(0, dtype=torch.int64)
        self.agrees: dict[int, bool] = {}
        """Whether batches of another size than the usual give the same features."""
        self.few: int | None = None
        """How many pictures alone do; 0: none but a whole batch, None: nobody has looked."""
        self.proved = False
        """Whether a whole batch of what was kept was computed again and was the same."""
        self.all_there = False
        """Whether all pictures of the pass are kept, as was seen at its beginning."""
        self.checked = 0
        self.batches = 0
        self.saved_seconds = 0.0
        self._seconds = 0.0
        self._counted = 0

    def use(self, parts: Split, fold: bool, translator: Translator | None) -> None:
        """Compute with these halves, the norms of the first folded into its convolutions, both translated, as it was asked for."""
        self.split = parts
        self.prefix = fold_norms(parts.prefix) if fold else parts.prefix
        self.suffix = translator.translated(parts.suffix) if translator else parts.suffix

    def compute(self, images: Tensor) -> list[Tensor]:
        """The border tensors of these images."""
        with torch.no_grad():
            return list(self.prefix(images))

    @property
    def picture_seconds(self) -> float:
        """Time to compute the features of one picture; 0 until it is known."""
        return self._seconds / self._counted if self._counted else 0.0

    def computed(self, seconds: float, pictures: int, warm: bool = False) -> None:
        """Remember what computing the features of a batch took."""
        self.batches += 1
        if warm or self.batches > self.WARM:
            self._seconds += seconds
            self._counted += pictures
