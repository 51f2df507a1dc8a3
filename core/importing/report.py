"""What an import has to say: kept with the version that it made, and shown until it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.importing.pictures import Trait
from core.importing.trees import Refused

MOST_NAMED = 10_000
"""Skipped files that a report names; it counts all."""

_TRAITS: Mapping[Trait, str] = {
    "turned": "Pictures that EXIF says were taken sideways or upside down, turned upright",
    "alpha": "Pictures with transparent parts, which become white",
    "cmyk": "Pictures in CMYK, which become RGB",
    "animation": "Animations, of which the first picture is used",
    "pages": "Files with several pages, of which the first is used",
    "deep": "Pictures with more than 8 bits a channel, which a run scales by the real range of their values: nothing is cut off at 255",
    "heic": "HEIC pictures, converted (to JPEG of quality 95, upright)",
}

_REMEDIES = {
    "no image": "replace it, or delete it: nothing shows that it is a picture",
    "too large": "make it smaller",
    "damaged": "copy it again from where it came from",
    "out of reach": "see that it can be read and that nothing writes to it, then add it",
}


@dataclass
class Report:
    """Filled while pictures come in.

    Args:
        skipped: files that are not taken, each with its reason and what to do.
        left_out: sentences about what is no picture of the dataset, such as junk of operating systems, counted.
        notes: sentences about what was recognised, and done to pictures.
        already: pictures that were there before, with the same bytes and name.
    """

    source: str = ""
    images: int = 0
    bytes: int = 0
    seconds: float = 0.0
    already: int = 0
    skipped: list[Refused] = field(default_factory=list)
    left_out: Sequence[str] = ()
    notes: list[str] = field(default_factory=list)
    traits: Counter[Trait] = field(default_factory=Counter)

    def refuse(self, file: str, reason: str, kind: str) -> None:
        """Note a file that is no picture that can be used. `kind` as of `UnreadableImage`."""
        self.skipped.append(Refused(file, reason, _REMEDIES.get(kind, "")))

    def finish(self, twice: int) -> None:
        """Put into sentences what was counted. `twice`: pictures whose bytes are there under another name, too."""
        for trait, text in _TRAITS.items():
            if count := self.traits[trait]:
                self.notes.append(f"{text}: {count:,}.")
        if twice:
            self.notes.append(f"Pictures that are there more than once, byte for byte, under other names: {twice:,}.")
        if self.already:
            self.notes.append(f"Pictures that were there already, with the same name: {self.already:,}.")

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        skipped = [{"file": one.file, "reason": one.reason, "remedy": one.remedy} for one in self.skipped[:MOST_NAMED]]
        return {
            "source": self.source, "images": self.images, "bytes": self.bytes, "seconds": round(self.seconds, 1), "already": self.already,
            "skipped": skipped, "skipped_in_all": len(self.skipped), "left_out": list(self.left_out), "notes": self.notes,
        }  # fmt: skip
