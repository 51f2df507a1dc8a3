"""What an export is, and its receipt: the exported model and the original asked for the same pictures. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MOST_PICTURES = 2_000
"""Test pictures that a receipt looks at, at most."""

MOST_TOLD = 100
"""Pictures with another answer that a receipt names, at most."""


@dataclass(frozen=True)
class Different:
    """A test picture (its `index` in the test set) for which the exported model's likeliest class is another. Probabilities are of its own answer.

    `file`: the picture's file, from the dataset's folder; "" where the dataset has none. `exported` None: its outputs are not finite.
    """

    index: int
    file: str
    original: str | None
    original_probability: float | None
    exported: str | None
    exported_probability: float | None


@dataclass(frozen=True)
class Receipt:
    """What the exported model answered, run by its own `runtime` in another process, beside the original.

    `same_top1`: on how many of the `pictures` the likeliest class is the same. `largest_difference` of any probability (0 to 1); None where outputs
    of either are not finite. `milliseconds` a picture, by the size of the batch: {"1": ..., "32": ...}; `original_milliseconds` the same of the
    model in PyTorch, as the run had it. `bytes` and `digest` (SHA-256, hexadecimal) of the file; of a folder: of its weights. `versions`: library
    to version. `different`: at most `MOST_TOLD` of the pictures with another answer.
    """

    runtime: str
    pictures: int
    same_top1: int
    largest_difference: float | None
    milliseconds: Mapping[str, float]
    original_milliseconds: Mapping[str, float]
    bytes: int
    digest: str
    versions: Mapping[str, str]
    different: tuple[Different, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """True where the likeliest class is the same on every picture."""
        return self.same_top1 == self.pictures


@dataclass(frozen=True)
class Exported:
    """An export that is there: a file or a folder at `path`, `bytes` in all; `told` are sentences that have to be known.

    `beside`: files that belong to it and lie next to it, the receipt among them. `made`: Unix seconds. `epoch` None: it holds no weights.
    """

    path: Path
    format: str
    bytes: int
    receipt: Receipt | None = None
    told: tuple[str, ...] = ()
    beside: tuple[Path, ...] = ()
    epoch: int | None = None
    made: float = field(default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON; `receipt` is None where there is none."""
        receipt = asdict(self.receipt) if self.receipt else None
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.bytes,
            "receipt": receipt,
            "epoch": self.epoch,
            "told": list(self.told),
            "beside": [str(path) for path in self.beside],
        }
