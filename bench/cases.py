"""The cases of the table against peers: what is trained, how much of it, on what and for how long. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from core.config import RunConfig

DATA = {"digits": "digits, in memory", "photos": "a folder of JPEG files"}
MODELS = ("resnet18", "mobilenet_v3_small")
PLANS = {"head": "head only", "stage": "last stage", "all": "train everything"}
EPOCHS = (5, 20)
LONG_EPOCHS = 50  # only for the cheapest plan on the smallest images

USUAL = ("digits-resnet18-head-5", "digits-mobilenet_v3_small-head-5", "digits-mobilenet_v3_small-all-5", "photos-mobilenet_v3_small-head-5")
"""What is measured unless cases are named: about a quarter of an hour on two quiet cores."""


@dataclass(frozen=True)
class Case:
    """One column of the table. `data` is a key of `DATA`, `plan` one of `PLANS`."""

    data: str
    model: str
    plan: str
    epochs: int

    @property
    def name(self) -> str:
        """What a person types to have it measured: `digits-resnet18-head-5`."""
        return f"{self.data}-{self.model}-{self.plan}-{self.epochs}"

    def config(self, photos: Path, device: str, quick: bool = False) -> RunConfig:
        """The run: constant schedule, nothing held back, random starting weights; the optimizer with its usual settings.

        Args:
            photos: the folder that `bench.photos` made, with `train/` and `test/` in it.
            device: "cpu" or "cuda:0"; a GPU gets 224 px and batches of 256 throughout.
            quick: a few steps only, to see that everything runs.
        """
        on_gpu = device != "cpu"
        return RunConfig(
            dataset="digits" if self.data == "digits" else f"folder:{photos}",
            model=self.model,
            image_size=64 if self.data == "digits" and not on_gpu else 224,
            freeze=PLANS[self.plan],
            batch_size=256 if on_gpu and not quick else 32,
            epochs=min(self.epochs, 2) if quick else self.epochs,
            validation_share=0.9 if quick and self.data == "digits" else 0.0,
            device=device,
        )


def all_cases() -> dict[str, Case]:
    """Every case by its name."""
    cases = [Case(*values) for values in product(DATA, MODELS, PLANS, EPOCHS)]
    cases += [Case("digits", model, "head", LONG_EPOCHS) for model in MODELS]
    return {case.name: case for case in cases}


def chosen(names: str) -> list[Case]:
    """The cases that `names` lists, commas between them: names, or parts of names that all cases with them stand for, or `all`.

    Raises:
        ValueError: a name that no case has; the message lists those that there are.
    """
    cases = all_cases()
    if not names.strip():
        return [cases[name] for name in USUAL]
    if names.strip() == "all":
        return list(cases.values())
    found: dict[str, Case] = {}
    for wanted in filter(None, (name.strip() for name in names.split(","))):
        # In whole words, or `head-5` would mean `head-50` too.
        matching = {name: case for name, case in cases.items() if f"-{wanted}-" in f"-{name}-"}
        if not matching:
            raise ValueError(f"there is no case {wanted!r}; there are {', '.join(cases)}, and 'all' for all of them")
        found |= matching
    return list(found.values())
