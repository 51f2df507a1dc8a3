"""Random changes put together from steps of `torchvision.transforms.v2`, as a text: `RandomHorizontalFlip(p=0.5), ColorJitter(brightness=0.4)`.

The text is read by a grammar of its own, and nothing in it is ever run: names and options are looked up here. No torch until steps are built.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.config.entry import Entry, Option, by_name, check_options, find, with_defaults
from core.config.errors import ConfigError
from core.config.limits import quoted
from core.config.run_config import OptionValue

if TYPE_CHECKING:
    from torchvision.transforms.v2 import Transform

FIELD = "augmentation"

MOST = 20
"""Steps of one list."""


@dataclass(frozen=True)
class StepEntry(Entry):
    """One transform of torchvision, under its own name. `sized`: it takes the side of the picture first. `smooth`: it is told to be bilinear."""

    sized: bool = False
    smooth: bool = False


@dataclass(frozen=True)
class Step:
    """One step with all of its options."""

    entry: StepEntry
    options: Mapping[str, OptionValue]

    def __str__(self) -> str:
        return f"{self.entry.name}({', '.join(f'{name}={_written(value)}' for name, value in self.options.items())})"

    def code(self, image_size: int) -> str:
        """The expression that builds it, with `v2` for torchvision's module."""
        given = [str(image_size)] if self.entry.sized else []
        given += [f"{name}={_written(value)}" for name, value in self.options.items()]
        given += ["interpolation=v2.InterpolationMode.BILINEAR"] if self.entry.smooth else []
        return f"v2.{self.entry.name}({', '.join(given)})"

    def build(self, image_size: int) -> Transform:
        """The transform itself."""
        from torchvision.transforms import v2

        smooth = {"interpolation": v2.InterpolationMode.BILINEAR} if self.entry.smooth else {}
        made: Transform = getattr(v2, self.entry.name)(*([image_size] if self.entry.sized else []), **self.options, **smooth)
        return made


def _chance(default: float = 0.5) -> Option:
    return Option("p", "float", default, 0, 1, "chance that a picture is changed")


def _pair(name: str, first: float, second: float, low: float, high: float, about: str, open_low: bool = False) -> Option:
    return Option(name, "floats", [first, second], low, high, about, length=2, open_low=open_low)


STEPS = by_name(
    (
        StepEntry(
            "RandomResizedCrop",
            "Random crop, resized",
            "A random part fills the picture. As the first step it is cut out of a picture that is kept large, so that it has real detail.",
            (
                _pair("scale", 0.25, 1.0, 0.01, 1, "smallest and largest share of the area"),
                _pair("ratio", 0.75, 1.3333, 0.1, 10, "narrowest and widest shape, width to height"),
            ),
            sized=True,
        ),
        StepEntry(
            "RandomCrop",
            "Random shift",
            "The picture is moved at random, with black behind it.",
            (Option("padding", "int", 4, 0, 512, "pixels by which it moves at most"),),
            sized=True,
        ),
        StepEntry("RandomHorizontalFlip", "Mirror left to right", "Right for photos; wrong for digits and letters.", (_chance(),)),
        StepEntry("RandomVerticalFlip", "Mirror top to bottom", "Right for what has no up and down: cells, satellite pictures.", (_chance(),)),
        StepEntry(
            "RandomRotation",
            "Turn",
            "Turned by a random angle either way, with black behind it.",
            (Option("degrees", "float", 15.0, 0, 180, "largest angle", unit="°"),),
            smooth=True,
        ),
        StepEntry(
            "RandomAffine",
            "Turn, move, scale and shear",
            "All at once, with black behind it.",
            (
                Option("degrees", "float", 10.0, 0, 180, "largest angle", unit="°"),
                _pair("translate", 0.1, 0.1, 0, 1, "largest move across and down, as a share of the side"),
                _pair("scale", 0.9, 1.1, 0, 10, "smallest and largest size", open_low=True),
                Option("shear", "float", 5.0, 0, 80, "largest shear", unit="°"),
            ),
            smooth=True,
        ),
        StepEntry(
            "RandomPerspective",
            "Perspective",
            "As if seen from the side.",
            (Option("distortion_scale", "float", 0.3, 0, 1, "how far the corners move at most"), _chance()),
            smooth=True,
        ),
        StepEntry(
            "ColorJitter",
            "Colours",
            "Right where light varies; wrong where colour tells the classes apart.",
            (
                Option("brightness", "float", 0.4, 0, 1, "largest change, 0 to 1"),
                Option("contrast", "float", 0.4, 0, 1, "largest change, 0 to 1"),
                Option("saturation", "float", 0.4, 0, 1, "largest change, 0 to 1"),
                Option("hue", "float", 0.0, 0, 0.5, "largest turn of the colour wheel, 0 to 0.5"),
            ),
        ),
        StepEntry("RandomGrayscale", "Grey", "Without colour, so that shape counts.", (_chance(0.2),)),
        StepEntry(
            "GaussianBlur",
            "Blur",
            "As if out of focus.",
            (
                Option("kernel_size", "int", 5, 1, 99, "pixels that are mixed, an odd number"),
                _pair("sigma", 0.1, 2.0, 0, 100, "least and most blur, in pixels", open_low=True),
            ),
        ),
        StepEntry(
            "RandomErasing",
            "Hide a part",
            "A random rectangle becomes black, so that no single part decides.",
            (_chance(), _pair("scale", 0.02, 0.33, 0, 1, "smallest and largest share of the area", open_low=True)),
        ),
        StepEntry(
            "RandomAdjustSharpness",
            "Sharpness",
            "Sharper or softer.",
            (Option("sharpness_factor", "float", 2.0, 0, 10, "0 blurs, 1 changes nothing, 2 doubles the sharpness"), _chance()),
        ),
        StepEntry("RandomAutocontrast", "Full contrast", "The darkest value becomes black, the brightest white.", (_chance(),)),
        StepEntry("RandomEqualize", "Even histogram", "All values become equally frequent.", (_chance(),)),
        StepEntry("RandomInvert", "Negative", "Dark becomes bright.", (_chance(0.1),)),
        StepEntry(
            "RandomPosterize", "Fewer levels", "Each channel keeps only its high bits.", (Option("bits", "int", 4, 1, 8, "bits that stay"), _chance())
        ),
        StepEntry(
            "RandomSolarize", "Solarise", "What is brighter than a threshold becomes its negative.",
            (Option("threshold", "float", 128.0, 0, 255, "from 0 to 255"), _chance(0.2)),
        ),
        StepEntry(
            "RandAugment",
            "RandAugment",
            "Some changes drawn at random, of one strength (Cubuk and others, 2020).",
            (Option("num_ops", "int", 2, 1, 10, "changes of each picture"), Option("magnitude", "int", 9, 0, 30, "strength, 0 to 30")),
        ),
        StepEntry("TrivialAugmentWide", "TrivialAugment", "One change drawn at random, of random strength (Mueller and Hutter, 2021)."),
        StepEntry(
            "AugMix",
            "AugMix",
            "Mixtures of chains of changes, which keep the picture natural (Hendrycks and others, 2020).",
            (Option("severity", "int", 3, 1, 10, "strength, 1 to 10"), Option("mixture_width", "int", 3, 1, 10, "chains that are mixed")),
        ),
    )
)  # fmt: skip


def is_list(text: str) -> bool:
    """Whether a text is meant as a list of steps: it has brackets, or names one of them."""
    return "(" in text or any(part.strip() in STEPS for part in text.split(","))


def parse(text: str) -> tuple[Step, ...]:
    """The steps of a text, with all of their options.

    Raises:
        ConfigError: on `augmentation`, for a text that is no list of steps, a step or an option that does not exist, and a value out of its range.
    """
    try:
        calls = ast.parse(f"[{text.strip()}]", mode="eval").body
        assert isinstance(calls, ast.List)
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError):
        raise ConfigError(
            FIELD, f"{quoted(text)} is no list of steps; write them like RandomHorizontalFlip(p=0.5), RandomRotation(degrees=10)"
        ) from None
    if not 0 < len(calls.elts) <= MOST:
        raise ConfigError(FIELD, f"{len(calls.elts)} steps were given; give 1 to {MOST}, such as RandomHorizontalFlip(p=0.5)")
    return tuple(map(_step, calls.elts))


def written(steps: Sequence[Step]) -> str:
    """The steps as a text that `parse` reads."""
    return ", ".join(map(str, steps))


def step(name: str, options: Mapping[str, Any]) -> Step:
    """The step of this name with these options, and the others at their defaults.

    Raises:
        ConfigError: on `augmentation`, as `parse`.
    """
    entry = find(STEPS, FIELD, name)
    values = with_defaults(entry, check_options(entry, FIELD, options))
    for option in entry.options:
        value = values[option.name]
        if option.length == 2 and isinstance(value, list) and option.name != "translate" and value[0] > value[1]:
            raise ConfigError(FIELD, f"{option.name} of {entry.name} goes from {value[0]:g} to {value[1]:g}; give the smaller number first")
    if entry.name == "GaussianBlur" and int(values["kernel_size"] or 0) % 2 == 0:  # type: ignore[arg-type]
        raise ConfigError(FIELD, f"kernel_size of GaussianBlur is {values['kernel_size']}; give an odd number, such as 5")
    return Step(entry, values)


def _step(node: ast.expr) -> Step:
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if not isinstance(name, str) or call.args or any(keyword.arg is None for keyword in call.keywords):
        shown = quoted(ast.unparse(node))
        raise ConfigError(FIELD, f"{shown} is no step; write its name and its options by name, like RandomRotation(degrees=10)")
    options = {}
    for keyword in call.keywords:
        try:
            value = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise ConfigError(FIELD, f"{keyword.arg} of {name} is {quoted(ast.unparse(keyword.value))}; give a number, or [0.25, 1.0]") from None
        options[str(keyword.arg)] = list(value) if isinstance(value, tuple) else value
    return step(name, options)


def _written(value: OptionValue) -> str:
    return f"[{', '.join(map(_written, value))}]" if isinstance(value, list) else repr(value)
