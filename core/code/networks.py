"""Our own models as PyTorch writes them: the two of the catalogue, and networks built from a list of layers as a class each."""

from __future__ import annotations

import ast
import keyword
import re
from functools import cache
from pathlib import Path

from core.networks import Network, assembled, parse, shapes
from core.networks.layer_entry import OWN_CLASSES, Shape

_SOURCE = Path(__file__).parent.parent / "networks" / "own_models.py"

_TAKEN = {
    *("Any", "Callable", "DataLoader", "Dataset", "F", "Image", "ImageDraw", "ImageFile", "ImageOps", "Literal", "NDArray", "Path", "PngImagePlugin"),
    *("Sequence", "Tensor", "TypeVar", "File", "Fit", "Indices", "Pictures", "Read", "Result", "ValueRange", "MLP", "SmallCNN", *OWN_CLASSES),
    *("BLOCK", "CLASSES", "EXTENSIONS", "FACTORS", "FOLDERS", "FORMATS", "FROZEN", "LEARNS", "LIST", "PARTS", "ROOT"),
    *("Aside", "Iterable", "Iterator", "Mapping", "Match", "OrderedDict", "Reading", "Shape", "Shapes", "Gather", "WholeBatch"),
}
"""Names that a script uses itself."""


def class_name(label: str) -> str:
    """A label as the name of a class: 'my-net_2' becomes MyNet2."""
    name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[_-]+", label) if part)
    if not name.isidentifier():
        name = f"Network{name}"
    return f"{name}Network" if name in _TAKEN or keyword.iskeyword(name) else name


def network_code(text: str, image_size: int, classes: int) -> str:
    """A Python file with the network that `text` says as a plain `nn.Module`. A run's weights load into it with `strict=True`.

    Raises:
        ConfigError: the text says no network, or a layer does not fit images of this size.
    """
    network = parse(text)
    return f"import torch\nfrom torch import nn\n\n\n{network_source(network, image_size, classes)}\n"


def network_source(network: Network, image_size: int, classes: int) -> str:
    """The class of a network, and behind it the classes of ours that it uses.

    Raises:
        ConfigError: a layer does not fit images of this size.
    """
    made = assembled(network, image_size, classes)
    stages = shapes(network, image_size, classes)
    width, _ = made.head.arguments
    forward = [(f"x = self.{stage.name}(x)", _sizes(stage.shape)) for stage in stages[:-1]]
    if made.flatten:
        forward.append(("x = x.flatten(1)", f"[N, {width}]"))
    reach = max(len(line) for line, _ in forward)
    lines = [
        f"class {class_name(network.label)}(nn.Module):",
        f'    """Images float32 [N, 3, {image_size}, {image_size}] become logits [N, classes]."""',
        "",
        f"    def __init__(self, classes: int = {classes}) -> None:",
        "        super().__init__()",
        *(f"        self.{name} = {call}" for name, call in made.layers),
        f"        self.head = nn.Linear({width}, classes)",
        "",
        "    def forward(self, x: torch.Tensor) -> torch.Tensor:",
        *(f"        {line:{reach}}  # {shape}" for line, shape in forward),
        "        return self.head(x)",
    ]
    used = [name for name in OWN_CLASSES if any(call.name == name for _, call in made.layers)]
    return "\n\n\n".join(["\n".join(lines), *(source_of(name) for name in used)])


def catalogue_source(model: str) -> str:
    """The class of one of the catalogue's own models, and what it uses."""
    return "\n\n\n".join(source_of(name) for name in {"mlp": ("MLP",), "small_cnn": ("_stage", "SmallCNN")}[model])


@cache
def source_of(name: str) -> str:
    """A class or function of `own_models.py` as it is written there."""
    text = _SOURCE.read_text(encoding="utf-8")
    node = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name)
    return (ast.get_source_segment(text, node) or "").replace("Tensor", "torch.Tensor")


def _sizes(shape: Shape | None) -> str:
    return f"[N, {', '.join(map(str, shape or ()))}]"
