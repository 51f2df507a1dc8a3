"""Claims of the demo, and of the weights that ship with Thaw."""

from __future__ import annotations

from tests.claims import Claim

_SHIPPED, _TESTS = "core/networks/shipped_weights.py", "tests/networks/test_shipped_weights.py"
_DEMO = "core/catalog/demo.py"
_LEARNED = f"{_TESTS}::test_the_weights_learned_from_so_many_pictures_of_0_to_4_and_from_no_test_picture"
_AS_DESCRIBED = "tests/pages/test_demo.py::test_the_three_demos_can_be_had_as_they_are_described"

CLAIMS: tuple[Claim, ...] = (
    Claim("trained on {...} pictures of {...}", _SHIPPED, _LEARNED),
    Claim("The weights that it started from were {...}, none of which is a test picture of {...}.", _SHIPPED, _LEARNED),
    Claim(
        "The starting weights were {...}. Where these are validation pictures here, that accuracy looks better than it is.",
        "core/model/weights.py",
        _LEARNED,
    ),
    Claim("The first five of the digits: what the weights that ship with small_cnn were trained on.", "core/data/datasets.py", _LEARNED),
    Claim(
        "The other five of the digits, which the weights that ship with small_cnn have never seen: what they are fine-tuned on.",
        "core/data/datasets.py",
        _LEARNED,
    ),
    Claim(
        "They ship with Thaw, {...}, and are for the other digits (dataset {...}); nothing to download. {...}",
        "pages/_parts/setup/model_choice.py",
        "tests/networks/test_model_facts.py::test_the_form_says_where_weights_come_from_and_on_what_terms",
    ),
    Claim(
        "The demo fine-tunes a small network that knows the digits 0 to 4 on the digits 5 to 9: its new head alone first, the last stage from epoch "
        "{...}, all of it from epoch {...}. It takes less than a minute, and no network: the weights ship with Thaw.",
        _DEMO,
        _AS_DESCRIBED,
    ),
    Claim(
        "{...} A new head can only use what the frozen layers give it: layers that had learned other digits gave it more than random ones.",
        _DEMO,
        f"{_TESTS}::test_a_new_head_on_the_shipped_weights_reads_what_one_on_random_weights_cannot",
    ),
    Claim(
        "resnet18 on all ten digits, from random weights: its head learns, the rest stays frozen.", "pages/_parts/home/demo.py", _AS_DESCRIBED
    ),
)  # fmt: skip
