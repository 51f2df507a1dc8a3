"""Claims about models, their weights and their licences."""

from __future__ import annotations

from tests.claims import Claim

_ENTRIES, _FACTS = "core/networks/model_entries.py", "tests/networks/test_model_facts.py"
_PUBLISHED, _CHOICE = "core/networks/published_weights.py", "pages/_parts/setup/model_choice.py"
_METADATA = f"{_FACTS}::test_what_is_said_of_published_weights_is_what_torchvision_says"
_LICENCES = f"{_FACTS}::test_the_licences_are_those_that_torchvision_names_and_everything_else_is_said_to_be_unknown"
_FAMILIES = f"{_FACTS}::test_what_is_said_of_model_families_holds"
_FORM = f"{_FACTS}::test_the_form_says_where_weights_come_from_and_on_what_terms"
_CATALOGUE = "tests/catalog/test_catalog.py::test_what_the_catalogue_says_of_published_weights_is_what_torchvision_says"
_AUXILIARY = f"{_FACTS}::test_the_parameters_of_auxiliary_classifiers_are_counted_as_they_are_built"
_OTHER_HEAD = f"{_FACTS}::test_a_number_of_parameters_that_is_not_the_published_one_says_why"
_YEARS = "by hand: year and idea compared with the paper that torchvision's documentation of the builder names"

_SEEN, _SAYS = "tests/explaining/test_normalising.py", "core/records/normalising.py"
_SOURCE = "tests/explaining/test_source.py"

CLAIMS: tuple[Claim, ...] = (
    Claim("{...} {...} million parameters{...}; {...} % top-1 on ImageNet with its published weights.", _ENTRIES, _CATALOGUE),
    Claim(", {...} million of them in auxiliary classifiers", _ENTRIES, _AUXILIARY),
    Claim("The figures of ImageNet, which all but one of torchvision's published weights expect.", _ENTRIES, _CATALOGUE),
    Claim("trained on ImageNet-1K", _PUBLISHED, _METADATA),
    Claim("trained on ImageNet-1K elsewhere and carried over", _PUBLISHED, _METADATA),
    Claim(
        "trained on Instagram pictures and their hashtags (SWAG), then on ImageNet-1K",
        _PUBLISHED,
        "by hand: the paper that the metadata names, arXiv 2201.08371, says Instagram images with hashtags; that it is SWAG is tested",
    ),
    Claim("Licence of the weights: {...}, no commercial use.", _PUBLISHED, _LICENCES),
    Claim("Licence of the weights: none stated; the terms of the pictures may hold for them ({...}).", _PUBLISHED, _LICENCES),
    Claim(
        "ImageNet's own: non-commercial research and education",
        _PUBLISHED,
        "by hand: the terms of access on image-net.org, point 1: for non-commercial research and educational purposes only",
    ),
    Claim("Published by torchvision, {...}: {...}; {...}. {...}", _CHOICE, _FORM),
    Claim(
        "Fresh random numbers: what learns begins from them, and what is frozen keeps them.",
        _CHOICE,
        "by hand: a frozen layer never moves, as every audit proves",
    ),
    Claim(
        "**{...}** multiply-adds ({...} FLOPs, a multiplication and an addition being two)",
        _CHOICE,
        f"{_FACTS}::test_multiply_adds_are_what_torchvision_calls_operations",
    ),
    Claim("with a head for {...} ({...} with the published one for 1,000)", _CHOICE, _OTHER_HEAD),
    Claim("of ImageNet's parameters are in auxiliary classifiers, which only training uses.", _CHOICE, _FORM),
    Claim("As good as AlexNet with a fiftieth of its parameters; its head is a convolution (2016).", _ENTRIES, _FAMILIES),
    Claim("A ResNet with twice as many channels inside its blocks (2016).", _ENTRIES, _FAMILIES),
    Claim("A ResNet whose blocks work in many parallel groups (2016).", _ENTRIES, _FAMILIES),
    Claim("Every layer sees the output of all before it in its block (2016).", _ENTRIES, _FAMILIES),
    Claim("Three convolutions with batch normalisation and pooling, then a linear head.", _ENTRIES, _FAMILIES),
    Claim("Two hidden layers on the raw pixels, shrunk to 32 x 32 at most, then a linear head: no convolution.", _ENTRIES, _FAMILIES),
    Claim("Residual network (2015): shortcuts around every block; the usual first choice.", _ENTRIES, _YEARS),
    Claim("Small and quick, made for phones (2018).", _ENTRIES, _YEARS),
    Claim("Small and quick, found by search for phones (2019).", _ENTRIES, _YEARS),
    Claim("Depth, width and image size grown together, from b0 to b7 (2019).", _ENTRIES, _YEARS),
    Claim("EfficientNet made quicker to train (2021).", _ENTRIES, _YEARS),
    Claim("A convolutional network rebuilt with the habits of transformers (2022).", _ENTRIES, _YEARS),
    Claim("Simple rules for width and depth, found in a design space (2020).", _ENTRIES, _YEARS),
    Claim("Plain stacks of small convolutions, with large fully connected layers (2014).", _ENTRIES, _YEARS),
    Claim("The network that won ImageNet's contest in 2012; here in the form that it had in 2014.", _ENTRIES, _YEARS),
    Claim("Very small; shuffles channels between groups (2018).", _ENTRIES, _YEARS),
    Claim("Small, found by search on a phone (2018).", _ENTRIES, _YEARS),
    Claim("Inception blocks, and two auxiliary classifiers that help while training (2014).", _ENTRIES, _YEARS),
    Claim("Factorised inception blocks, and an auxiliary classifier that helps while training (2015).", _ENTRIES, _YEARS),
    Claim("Cuts the image into patches and lets all of them attend to each other (2020).", _ENTRIES, _YEARS),
    Claim("A transformer that attends within shifting windows (2021).", _ENTRIES, _YEARS),
    Claim("Swin with steadier attention at larger scale (2021).", _ENTRIES, _YEARS),
    Claim("Convolution, attention within blocks and attention over a grid, in turns (2022).", _ENTRIES, _YEARS),
    Claim(
        "Other figures shift and stretch every number that the first layer gets.",
        _SAYS,
        f"{_SEEN}::test_other_figures_shift_and_stretch_every_number_and_nothing_else",
    ),
    Claim(
        "Left out (0 to 1), the features move by {...} of their own length (median of {...})",
        _SAYS,
        f"{_SEEN}::test_the_distance_is_that_of_the_features_in_front_of_the_head",
    ),
    Claim("These weights are random: no figures are wrong for them yet", _SAYS, f"{_SEEN}::test_random_weights_are_said_to_know_no_right_figures"),
    Claim(
        "{...}, and {...} of {...} get another likeliest class.",
        _SAYS,
        f"{_SEEN}::test_trained_weights_give_other_answers_without_the_figures_that_they_were_trained_with",
    ),
    Claim(
        "What `__init__` makes and `forward` calls, as Python has loaded it.",
        "pages/_parts/setup/source_view.py",
        f"{_SOURCE}::test_the_text_of_each_class_is_what_python_has_loaded",
    ),
    Claim(
        "is an nn.Sequential: its forward calls what is in it one after the other, each with what the one before returned.",
        "core/explaining/source.py",
        f"{_SOURCE}::test_what_a_sequential_is_said_to_do_is_what_it_does",
    ),
    Claim(
        ", which has no forward: the class around it calls what is in it.",
        "core/explaining/source.py",
        f"{_SOURCE}::test_what_a_sequential_is_said_to_do_is_what_it_does",
    ),
    Claim(
        "Thaw then puts a new head in its place: model.{...} = {...}(...).",
        "core/explaining/source.py",
        f"{_SOURCE}::test_a_new_head_is_said_to_have_been_put_there_by_thaw",
    ),
)
