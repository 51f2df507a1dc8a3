"""The layers that a network of one's own can be made of, one `LayerEntry` each: what it does to a shape, and its module.

All of it is arithmetic, without torch; `tests/networks/test_networks.py` walks every entry and compares what it says with the real
module.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.config.entry import Option, by_name
from core.networks.layer_entry import Call, LayerEntry, LayerError, Reference, Shape, Values, pixels, sizes, values_of

Keywords = list[tuple[str, int | float | bool | Reference]]


def _maps(what: str, shape: Shape) -> None:
    if len(shape) != 3:
        raise LayerError(f"{what} needs maps with a height and a width, and gets {sizes(shape)}; put it before the flatten and the linear layers")


# Convolution


def _conv_padding(values: Values) -> int:
    return values.whole_or("padding", values.whole("dilation") * (values.whole("kernel") - 1) // 2)


def _conv_returns(shape: Shape, values: Values) -> Shape:
    _maps("conv", shape)
    channels, groups, kernel = values.whole("channels"), values.whole("groups"), values.whole("kernel")
    if shape[0] % groups or channels % groups:
        both = sorted(number for number in range(1, min(shape[0], channels) + 1) if shape[0] % number == channels % number == 0)
        raise LayerError(
            f"groups of {groups} do not divide both the {shape[0]} channels that come in and the {channels} that go out; use {_some(both)}"
        )
    padding, reach = _conv_padding(values), values.whole("dilation") * (kernel - 1) + 1
    what = f"kernel {kernel}" if reach == kernel else f"kernel {kernel} with dilation {values.whole('dilation')}, which reaches over {reach} pixels,"
    remedy = "use a smaller kernel or more padding, or fewer pools and strides before it"
    return (channels, *_windows(shape, reach, values.whole("stride"), padding, what, remedy))


def _windows(shape: Shape, reach: int, stride: int, padding: int, what: str, remedy: str) -> tuple[int, int]:
    """How often a window of `reach` pixels fits, down and across. Raises LayerError where it does not fit at all."""
    if min(shape[1:]) + 2 * padding < reach:
        edge = f" with {padding} pixels of padding" if padding else ""
        raise LayerError(f"{what} does not fit into {pixels(shape)}{edge}; {remedy}")
    height, width = ((side + 2 * padding - reach) // stride + 1 for side in shape[1:])
    return height, width


def _conv_call(shape: Shape, values: Values) -> Call:
    keywords: Keywords = [("kernel_size", values.whole("kernel"))]
    for name, value, usual in (
        ("stride", values.whole("stride"), 1),
        ("padding", _conv_padding(values), 0),
        ("dilation", values.whole("dilation"), 1),
        ("groups", values.whole("groups"), 1),
        ("bias", values.is_on("bias"), True),
    ):
        if value != usual:
            keywords.append((name, value))
    return Call("Conv2d", (shape[0], values.whole("channels")), tuple(keywords))


def _conv_count(shape: Shape, values: Values) -> int:
    channels = values.whole("channels")
    return channels * shape[0] // values.whole("groups") * values.whole("kernel") ** 2 + (channels if values.is_on("bias") else 0)


# Normalisation


def _norm_returns(shape: Shape, values: Values) -> Shape:
    match values.choice("function"):
        case "group":
            _divides(values.whole("groups"), shape[0])
            if values.whole("groups") == shape[0] and values_of(shape[1:]) == 1:
                remedy = "use fewer groups, or fewer pools and strides before it"
                raise LayerError(f"group norm needs more than one value a group, and {shape[0]} groups have one each; {remedy}")
        case "instance":
            _maps("instance norm", shape)
            if values_of(shape[1:]) == 1:
                remedy = "use batch norm, or fewer pools and strides before it"
                raise LayerError(f"instance norm needs more than one pixel a channel, and gets {pixels(shape)}; {remedy}")
    return shape


def _divides(groups: int, channels: int) -> None:
    if channels % groups:
        able = [number for number in range(1, channels + 1) if channels % number == 0]
        raise LayerError(f"{groups} groups do not divide {channels} channels; use {_some(able)}")


def _some(numbers: list[int]) -> str:
    """Up to six of the numbers that would do, in words."""
    shown = [str(number) for number in (numbers if len(numbers) <= 6 else [*numbers[:5], numbers[-1]])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _norm_call(shape: Shape, values: Values) -> Call:
    maps = len(shape) == 3
    match values.choice("function"):
        case "group":
            return Call("GroupNorm", (values.whole("groups"), shape[0]))
        case "layer":
            # One group is layer norm over channels and pixels alike, and knows no image size.
            return Call("GroupNorm", (1, shape[0])) if maps else Call("LayerNorm", (shape[0],))
        case "instance":
            return Call("InstanceNorm2d", (shape[0],), (("affine", True),))
        case _:
            return Call("BatchNorm2d" if maps else "BatchNorm1d", (shape[0],))


# Activation

ACTIVATIONS: Mapping[str, str] = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "hardswish": "Hardswish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}
"""Activation functions, under our names and under those of `torch.nn`."""


def _activation_call(shape: Shape, values: Values) -> Call:
    function = values.choice("function")
    slope = values.number("slope")
    return Call(ACTIVATIONS[function], keywords=(("negative_slope", slope),) if function == "leaky_relu" and slope != 0.01 else ())


# Pooling, dropout, flatten, linear


def _pool_returns(shape: Shape, values: Values) -> Shape:
    _maps("pool", shape)
    size, padding = values.whole("size"), values.whole("padding")
    if padding > size // 2:
        raise LayerError(f"padding {padding} is more than half of the window of {size} pixels; use {size // 2} or less")
    remedy = "use a smaller window, fewer pools and strides before it, or larger images"
    return (shape[0], *_windows(shape, size, values.whole_or("stride", size), padding, f"a window of {size} x {size}", remedy))


def _pool_call(shape: Shape, values: Values) -> Call:
    size = values.whole("size")
    stride, padding = values.whole_or("stride", size), values.whole("padding")
    keywords = [*([("stride", stride)] if stride != size else []), *([("padding", padding)] if padding else [])]
    return Call("MaxPool2d" if values.choice("function") == "max" else "AvgPool2d", (size,), tuple(keywords))


def _global_pool_returns(shape: Shape, values: Values) -> Shape:
    _maps("global pool", shape)
    size = values.whole("size")
    if size > min(shape[1:]):
        raise LayerError(f"{size} x {size} pixels cannot be made of {pixels(shape)}; use {min(shape[1:])} or less")
    return (shape[0], size, size)


def _global_pool_call(shape: Shape, values: Values) -> Call:
    return Call("AdaptiveMaxPool2d" if values.choice("function") == "max" else "AdaptiveAvgPool2d", (values.whole("size"),))


def _dropout_returns(shape: Shape, values: Values) -> Shape:
    if values.is_on("whole_channels"):
        _maps("dropout of whole channels", shape)
    return shape


def _dropout_call(shape: Shape, values: Values) -> Call:
    return Call("Dropout2d" if values.is_on("whole_channels") else "Dropout", (values.number("share"),))


def _linear_returns(shape: Shape, values: Values) -> Shape:
    if len(shape) != 1:
        raise LayerError(f"linear needs a vector, and gets {sizes(shape)}; put a flatten before it, or a global pool and a flatten")
    return (values.whole("width"),)


def _linear_call(shape: Shape, values: Values) -> Call:
    return Call("Linear", (shape[0], values.whole("width")), () if values.is_on("bias") else (("bias", False),))


# The residual block


def _residual_returns(shape: Shape, values: Values) -> Shape:
    _maps("residual", shape)
    channels = values.whole("channels")
    if values.choice("norm") == "group":
        _divides(values.whole("groups"), channels)
    return (channels, *_windows(shape, 3, values.whole("stride"), 1, "kernel 3", ""))


def _residual_call(shape: Shape, values: Values) -> Call:
    keywords: Keywords = []
    if values.whole("stride") != 1:
        keywords.append(("stride", values.whole("stride")))
    if values.choice("norm") == "group":
        keywords.append(("groups", values.whole("groups")))
    if values.choice("activation") != "relu":
        keywords.append(("activation", Reference(ACTIVATIONS[values.choice("activation")])))
    return Call("Residual", (shape[0], values.whole("channels")), tuple(keywords))


def _residual_count(shape: Shape, values: Values) -> int:
    inputs, channels = shape[0], values.whole("channels")
    shortcut = values.whole("stride") != 1 or inputs != channels
    norm = 2 * channels
    return 9 * inputs * channels + 9 * channels * channels + 2 * norm + (inputs * channels + norm if shortcut else 0)


# The catalogue


def _channels(default: int) -> Option:
    return Option("channels", "int", default, 1, 4096, about="maps that come out, each found by a filter of its own")


_STRIDE = Option("stride", "int", 1, 1, 16, about="pixels from one place of the window to the next: 2 about halves height and width", unit="px")
_GROUPS = Option("groups", "int", 8, 1, 4096, about="groups of channels that are normalised together")
_BIAS = Option("bias", "bool", True, about="add a number to each output; a batch or instance norm right behind would take it off again")
_FUNCTION = Option("function", "choice", "relu", choices=tuple(ACTIVATIONS), about="what is done to each number")

LAYERS = by_name(
    (
        LayerEntry(
            "conv", "Convolution", "Slides small filters over the maps: each output pixel sees a small window of the input.",
            (
                _channels(32),
                Option("kernel", "int", 3, 1, 31, about="side of the window", unit="px"),
                _STRIDE,
                Option("padding", "int", None, 0, 31, about="zeros added around the maps; empty: so many that stride 1 keeps an odd kernel's size",
                       unit="px"),
                Option("groups", "int", 1, 1, 4096, about="channels are split into so many parts that do not see each other"),
                Option("dilation", "int", 1, 1, 16, about="distance of the window's pixels from each other", unit="px"),
                _BIAS,
            ),
            words={"conv": {}, "convolution": {}, "conv2d": {}}, main="channels", always=True, further=("groups", "dilation"),
            returns=_conv_returns, call=_conv_call, count=_conv_count,
        ),
        LayerEntry(
            "norm", "Normalisation",
            "Brings the numbers to mean 0 and spread 1, then scales and shifts them by what it learns. "
            "Batch norm measures each batch while training, and uses what it has kept of them in eval mode.",
            (
                Option("function", "choice", "batch", choices=("batch", "group", "layer", "instance"),
                       about="each channel over the batch, groups of channels of one image, all of one image, or each channel of one image"),
                _GROUPS,
            ),
            words={"norm": {}, "batch norm": {}, "group norm": {"function": "group"}, "layer norm": {"function": "layer"},
                   "instance norm": {"function": "instance"}},
            main="groups", only={"groups": ("function", "group")},
            returns=_norm_returns, call=_norm_call, count=lambda shape, values: 2 * shape[0],
        ),
        LayerEntry(
            "activation", "Activation",
            "Bends the numbers, each by itself. Without it, convolutions and linear layers in a row are no more than one linear layer.",
            (_FUNCTION, Option("slope", "float", 0.01, 0, 1, about="what negative numbers are multiplied by")),
            words={**{name.replace("_", " "): {"function": name} for name in ACTIVATIONS}, "activation": {}, "swish": {"function": "silu"}},
            main="slope", only={"slope": ("function", "leaky_relu")}, call=_activation_call,
        ),
        LayerEntry(
            "pool", "Pool", "Keeps the largest number of each small window, or their mean: maps get smaller, positions blur.",
            (
                Option("function", "choice", "max", choices=("max", "average"), about="what is kept of a window"),
                Option("size", "int", 2, 1, 64, about="side of the window", unit="px"),
                Option("stride", "int", None, 1, 64, about="pixels from one window to the next; empty: the size, so that none overlap", unit="px"),
                Option("padding", "int", 0, 0, 32, about="added around the maps", unit="px"),
            ),
            words={"pool": {}, "max pool": {}, "average pool": {"function": "average"}, "avg pool": {"function": "average"}},
            main="size", further=("padding",), returns=_pool_returns, call=_pool_call,
        ),
        LayerEntry(
            "global pool", "Global pool", "The mean, or the largest number, of each whole map: maps of any size come out alike.",
            (
                Option("function", "choice", "average", choices=("average", "max"), about="what is kept of a map"),
                Option("size", "int", 1, 1, 64, about="side of what is left of each map", unit="px"),
            ),
            words={"global pool": {}, "global average pool": {}, "global max pool": {"function": "max"}, "adaptive pool": {}},
            main="size", returns=_global_pool_returns, call=_global_pool_call,
        ),
        LayerEntry(
            "dropout", "Dropout", "Sets each number to 0 with a set chance while training and scales up the rest, so that none is relied on alone.",
            (
                Option("share", "float", 0.5, 0, 1, open_high=True, about="chance of each number to be dropped, 0 to 1"),
                Option("whole_channels", "bool", False, about="drop whole channels, for maps"),
            ),
            words={"dropout": {}}, main="share", always=True, returns=_dropout_returns, call=_dropout_call,
        ),
        LayerEntry(
            "flatten", "Flatten", "Lays all maps out as one long vector, which linear layers need.",
            words={"flatten": {}}, returns=lambda shape, values: (values_of(shape),), call=lambda shape, values: Call("Flatten"),
        ),
        LayerEntry(
            "linear", "Linear", "Each output is a weighted sum of all inputs: a fully connected layer.",
            (Option("width", "int", 128, 1, 65536, about="values that come out"), _BIAS),
            words={"linear": {}, "dense": {}, "fully connected": {}, "fc": {}}, main="width", always=True,
            returns=_linear_returns, call=_linear_call,
            count=lambda shape, values: shape[0] * values.whole("width") + (values.whole("width") if values.is_on("bias") else 0),
        ),
        LayerEntry(
            "residual", "Residual block", "Two convolutions, and a shortcut around them that lets gradients through: the block of ResNet-18 and 34.",
            (
                _channels(64),
                _STRIDE,
                Option("activation", "choice", "relu", choices=tuple(ACTIVATIONS), about="after the first norm, and once the shortcut is added"),
                Option("norm", "choice", "batch", choices=("batch", "group"), about="after each convolution"),
                _GROUPS,
            ),
            words={"residual": {}, "residual block": {}}, main="channels", always=True, only={"groups": ("norm", "group")},
            returns=_residual_returns, call=_residual_call, count=_residual_count,
        ),
    )
)  # fmt: skip
"""Every kind of layer, in the order of the menu."""
