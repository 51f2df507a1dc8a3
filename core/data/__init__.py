"""From the name of a dataset to batches: intake, splits, decoding, loading.

Read `loader.py` for how PyTorch's `Dataset` and `DataLoader` work together, then `preparation.py` for what leads up to them.

The public names are imported when they are first used: `intake.py` and `splits.py` need no torch, and the web process, which
must not import torch, uses them.
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
