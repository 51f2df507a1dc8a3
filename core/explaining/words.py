"""What a layer does, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

ABOUT: Mapping[str, str] = {
    "Conv2d": "Slides small filters over the maps: each output value is a weighted sum of a neighbourhood.",
    "Linear": "Each output is a weighted sum of all inputs, plus a bias where it has one.",
    "NonDynamicallyQuantizableLinear": "Each output is a weighted sum of all inputs, plus a bias where it has one.",
    "BatchNorm1d": "Shifts and scales each channel by a mean and a variance towards 0 and 1, then to what it has learned.",
    "BatchNorm2d": "Shifts and scales each channel by a mean and a variance towards 0 and 1, then to what it has learned.",
    "LayerNorm": "Shifts and scales each position to mean 0 and variance 1, then to what it has learned.",
    "LayerNorm2d": "Shifts and scales each pixel's channels to mean 0 and variance 1, then to what it has learned.",
    "GroupNorm": "Shifts and scales each group of channels to mean 0 and variance 1, then to what it has learned.",
    "ReLU": "Sets what is below 0 to 0.",
    "ReLU6": "Cuts values off below 0 and above 6.",
    "LeakyReLU": "Makes what is below 0 small instead of cutting it off.",
    "ELU": "Bends what is below 0 towards -1.",
    "GELU": "Lets large values through and small ones hardly, with a smooth bend between.",
    "SiLU": "Multiplies each value by its sigmoid: a smooth ReLU.",
    "Hardswish": "0 below -3, the value itself above 3, and a parabola between them: quick to compute.",
    "Hardsigmoid": "A sigmoid made of straight pieces: 0 to 1.",
    "Sigmoid": "Squeezes each value into 0 to 1.",
    "Tanh": "Squeezes each value into -1 to 1.",
    "MaxPool2d": "Keeps the largest value of each small window.",
    "AvgPool2d": "Averages each small window.",
    "AdaptiveAvgPool2d": "Averages the maps down to a fixed size.",
    "AdaptiveMaxPool2d": "Keeps the largest value of each of a fixed number of windows.",
    "Dropout": "Sets random values to 0 while training, and scales the others up to make up for it.",
    "Dropout2d": "Sets random channels to 0 while training, and scales the others up to make up for it.",
    "StochasticDepth": "Skips the whole branch for some pictures, at random, while training.",
    "Flatten": "Lays all values of a picture out in one row.",
    "Identity": "Gives back what it gets.",
    "Permute": "Puts the dimensions into another order; no value changes.",
    "Softmax": "Makes shares of 1 out of the values.",
    "MultiheadAttention": "Each position collects from all of them, itself too, what fits to it, in several heads at once.",
    "Upsample": "Enlarges the maps.",
    "PixelShuffle": "Lays channels out as pixels.",
}


def about_layer(module: nn.Module) -> str:
    """One or two sentences on what `module` does, of what drops something with its chance and mode; '' for a kind that is not known here."""
    about = next((ABOUT[kind.__name__] for kind in type(module).__mro__ if kind.__name__ in ABOUT), "")
    return f"{about} {_dropping(module)}" if isinstance(module, _DropoutNd | StochasticDepth) else about


def _dropping(module: _DropoutNd | StochasticDepth) -> str:
    if not module.p:
        return "Its chance is 0 here, so everything passes in train mode too."
    return f"Here it is in train mode, and the chance is {module.p:g}." if module.training else "Here it is in eval mode, and everything passes."
