"""Whether a file of weights fits a model, as data and in a sentence: a form asks before a run is started. No torch."""

from __future__ import annotations

from dataclasses import dataclass

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class WeightsFit:
    """What a run would take from a file: `taken` of the model's `total` tensors. `new`: the heads that keep random numbers.

    `left_out` counts tensors that the model has no place for, without those of another head. `classes`: those that the head in the file was made
    for; None where it has none that is known. `error`: why the file cannot be used, with the remedy; '' where it can. `likely`: models of the
    catalogue that its names and shapes are of, where it does not fit this one.
    """

    taken: int = 0
    total: int = 0
    new: tuple[str, ...] = ()
    left_out: int = 0
    classes: int | None = None
    error: str = ""
    likely: tuple[str, ...] = ()

    @property
    def of_imagenet(self) -> bool:
        """Whether its head is one for as many classes as ImageNet has."""
        return self.classes == IMAGENET_CLASSES

    @property
    def sentence(self) -> str:
        """'60 of 62 tensors fit, the head is new (fc).'"""
        said = [f"{self.taken:,} of {self.total:,} tensors fit"]
        if self.new:
            said.append(f"the head is new ({', '.join(self.new)})")
        if self.left_out:
            said.append(f"{self.left_out:,} in the file {'has' if self.left_out == 1 else 'have'} no place in the model")
        return f"{', '.join(said)}."
