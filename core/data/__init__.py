"""From the name of a dataset to batches. May use `config`, `machine`, `records` and `networks`.

What there is (`datasets`), how it comes (`downloads`, `embedded`, `torchvision_sets`, or a person's own folder: `layouts` says what it
means, `folders` and `endings` what is in it, `stock` counts it), what is seen of it before a run (`glance`, `on_disk`), how a file becomes
pixels (`decoding`, with the guards of `intake` around it; `depth` for more than 8 bits), which pictures measure (`splits`, `ancestry`), what
is decoded once and kept (`images`), the `loader`, and what a run keeps of its pictures (`manifest`, `origins`, `digests`, `own_pictures`).

Read `loader.py` for how PyTorch's `Dataset` and `DataLoader` work together, then `preparation.py` for what leads up to them. The public
names are imported when they are first used: the web process, which must not import torch, reads `datasets`, `layouts` and `splits`.
`decoding` and `splits` import nothing of the project: the scripts that Thaw shows hold their text.

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
