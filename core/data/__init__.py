"""From the name of a dataset to batches: what there is (`datasets`), how it comes (`intake`, `downloads`, `embedded`), which pictures measure
(`splits`), what is decoded once and kept (`images`), and the `loader`. May use `config`, `machine` and `records`.

Read `loader.py` for how PyTorch's `Dataset` and `DataLoader` work together, then `preparation.py` for what leads up to them. The public
names are imported when they are first used: the web process, which must not import torch, reads `datasets`, `intake` and `splits`.

Doubles leave the training set, never the sets that measure; places in the store stay, so kept features stay right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.loader import Loader, Normalise
    from core.data.preparation import Data, prepare

__all__ = ["Data", "Loader", "Normalise", "prepare"]


def __getattr__(name: str) -> Any:
    if name in ("Loader", "Normalise"):
        from core.data import loader

        return getattr(loader, name)
    if name in ("Data", "prepare"):
        from core.data import preparation

        return getattr(preparation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
