"""What can be trained: torchvision's models and our own (`model_entries`, `own_models`), a new head for them (`head`), and networks of one's
own. `models` builds.

A network of one's own is a text, `label: layer, layer, ...`, for example `mynet: conv 32 bias=no, norm, relu, pool, residual 64, global
pool`. A layer is its kind, the one value that matters most, and further options as `name=value`; what equals its default is left out. A
`Linear` head for the dataset's classes is always added at the end, behind a flatten where maps come out. `grammar` reads the text, `shapes`
says what its layers make of an image, `saved` keeps those that were saved. No torch before something is built.
"""

from core.networks.catalogue import entry
from core.networks.grammar import MOST_LAYERS, Layer, Network, Row, check_label, parse, read, read_row, row_of, spell
from core.networks.saved import LabelTaken, Shelf, delete, look, restore, save, saved
from core.networks.shapes import Sketch, Stage, assembled, shapes, sketch

__all__ = [
    "EXAMPLE",
    "MOST_LAYERS",
    "LabelTaken",
    "Layer",
    "Network",
    "Row",
    "Shelf",
    "Sketch",
    "Stage",
    "assembled",
    "check_label",
    "delete",
    "entry",
    "look",
    "parse",
    "read",
    "read_row",
    "restore",
    "row_of",
    "save",
    "saved",
    "shapes",
    "sketch",
    "spell",
]
