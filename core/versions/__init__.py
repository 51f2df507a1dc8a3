"""Datasets that a person brought, in versions that never change once they are written. No torch, no Pillow: pictures are files here.

`version` has what a version is and how two of them differ, `naming` what a dataset may be called, `shelf` reads and writes versions,
`edits` makes the classes and pictures of a next version out of one, `splitting` says which pictures train, validate and test, `bin`
takes whole datasets away and brings them back.

On disk, in `home.datasets`: `NAME/pictures/ab/abcd....jpg` (the bytes as they came, or as import had to convert them, called by their SHA-256),
`NAME/versions/0003.csv` (its pictures, in order), `0003.json` (the rest, written last: a version is there once this file is) and
`0003.report.json` (what import had to say). Names that begin with a dot are no datasets: `.bin`, `.incoming`, `.locks`.
"""

from core.versions.shelf import find, names, path_of, read, summaries, write
from core.versions.version import SPLITS, Difference, Item, Summary, Version, compare

__all__ = ["SPLITS", "Difference", "Item", "Summary", "Version", "compare", "find", "names", "path_of", "read", "summaries", "write"]
