"""The weights that ship with Thaw: of which model, which file, and what they learned from. `python -m bench.trained_weights` makes them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "trained"


@dataclass(frozen=True)
class Shipped:
    """Weights in a file of the project, without a head: that is always new, also for as many classes as they were trained on.

    sha256: of the file's bytes, in hexadecimal digits.
    pictures: how many they learned from, of the dataset `dataset`.
    suits: the dataset that they are there to be fine-tuned on.
    datasets: those whose test pictures they never saw, although they hold the very pictures.
    seen: those whose validation pictures they may have learned from.
    """

    file: str
    sha256: str
    pictures: int
    dataset: str
    what: str
    licence: str
    suits: str
    datasets: tuple[str, ...]
    seen: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where the file lies on this machine."""
        return FOLDER / self.file

    @property
    def origin(self) -> str:
        """What they were trained on: 'trained on 581 pictures of the handwritten digits 0 to 4'."""
        return f"trained on {self.pictures:,} pictures of {self.what}"

    @property
    def terms(self) -> str:
        """On what terms they can be used."""
        return f"They are Thaw's own, under its licence (MIT); the pictures that they were made with: {self.licence}."

    @property
    def learned_from(self) -> str:
        """What is known of test pictures that they could have seen."""
        names = f"{', '.join(self.datasets[:-1])} or {self.datasets[-1]}"
        return f"The weights that it started from were {self.origin}, none of which is a test picture of {names}."


SHIPPED: dict[str, Shipped] = {
    "small_cnn": Shipped(
        file="small_cnn.safetensors",
        sha256="5455d8acc043cc242abf4940de61aeebb9adc5232c6c5a8b44ef8f53129e4f0c",
        pictures=581,
        dataset="digits_0_4",
        what="the handwritten digits 0 to 4",
        licence="CC BY 4.0",
        suits="digits_5_9",
        datasets=("digits", "digits_0_4", "digits_5_9"),
        seen=("digits", "digits_0_4"),
    )
}
"""By the name of their model."""
