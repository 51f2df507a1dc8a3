"""Networks of one's own: a text that says the whole network, what its layers make of an image, and those that were saved.

The text is `label: layer, layer, ...`, for example `mynet: conv 32 bias=no, norm, relu, pool, residual 64, global pool`. A layer
is its kind, the one value that matters most, and further options as `name=value`; what equals its default is left out. A
`Linear` head for the dataset's classes is always added at the end, behind a flatten where maps come out. No torch here:
`core.networks.own_networks` builds what this says.
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
