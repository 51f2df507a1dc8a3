"""Claims about datasets: counts, classes, where they come from and on what terms."""

from __future__ import annotations

from tests.claims import Claim

_SETS = "core/data/datasets.py"
_HOLDS = "tests/data/test_datasets.py::test_the_embedded_datasets_hold_what_the_catalogue_says"
_CLASSES = "tests/data/test_datasets.py::test_class_names_are_those_of_torchvision"
_COUNTS = "tests/data/test_datasets.py::test_what_is_said_of_counts_follows_from_the_numbers"
_PAGE = "by hand: read on the page of `source`"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Licence of the pictures: {...}.",
        _SETS,
        "by hand: each licence is the one that the page of `source` states, or none; torchvision states none",
    ),
    Claim("Handwritten digits of 8 x 8 pixels, shipped with scikit-learn: no download.", _SETS, _HOLDS),
    Claim("Circles, squares, stars and other shapes in random colours and places, drawn on the spot: no download.", _SETS, _HOLDS),
    Claim("Handwritten digits, the dataset that many textbooks start with.", _SETS, _CLASSES),
    Claim(
        "Grey pictures of clothes, the size of MNIST and harder.",
        _SETS,
        "by hand: the table in the README of `source`: one network has 99.2 % on MNIST and 92.5 % here",
    ),
    Claim(
        "Cursive Japanese characters, the size of MNIST and harder.",
        _SETS,
        "by hand: the table in the README of the dataset: one network has 99.06 % on MNIST and 95.12 % here",
    ),
    Claim("Small colour photos of animals and vehicles, ten classes.", _SETS, _CLASSES),
    Claim("Small colour photos of a hundred kinds of things, 500 of each to train on.", _SETS, _COUNTS),
    Claim("Street View house numbers: digits on real walls, cut out in colour.", _SETS, _PAGE),
    Claim("Photos of animals and vehicles, 96 x 96 pixels, 500 a class to train on.", _SETS, _COUNTS),
    Claim("Most of the download are unlabelled images that are not used.", _SETS, _PAGE),
    Claim("forest, river, motorway and seven more kinds of land use.", _SETS, _COUNTS),
    Claim("Photos of 102 kinds of flowers, 20 of each to train on, and three times as many to test on.", _SETS, _COUNTS),
    Claim("Photos of cats and dogs of 37 breeds, about 100 of each to train on.", _SETS, _COUNTS),
)
