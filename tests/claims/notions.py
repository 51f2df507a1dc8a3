"""Claims of the index of notions, of the panel of modes, of the slow motion's own sentences, and of README."""

from __future__ import annotations

from core.notions import NOTIONS, data, gradients, layers, learning, results
from tests.claims import Claim

_NOTION = "tests/notions/test_notions.py::test_the_line_of_a_notion_runs_and_its_sentence_holds"
_MODES = "tests/explaining/test_modes.py::"
_BARE = f"{_MODES}test_what_is_said_of_a_setting_is_what_bare_torch_does"
_SAID = f"{_MODES}test_the_sentences_have_the_numbers_of_what_was_tried"
_COUNTED = f"{_MODES}test_what_heeds_a_mode_is_counted"
_COMPANY = f"{_MODES}test_batch_norm_lets_a_pictures_answer_depend_on_its_company_in_train_mode_alone"
_STILL = f"{_MODES}test_what_is_frozen_stays_as_it_is_at_rest_alone"

_ROOMS = (data, layers, gradients, learning, results)


def _file_of(name: str) -> str:
    """Where a notion is written."""
    for room in _ROOMS:
        if any(each.name == name for value in vars(room).values() if isinstance(value, tuple) for each in value):
            return f"{room.__name__.replace('.', '/')}.py"
    raise KeyError(name)


_OF_NOTIONS = tuple(Claim(notion.says, _file_of(notion.name), _NOTION) for notion in NOTIONS.values())

_RECORDS, _VIEW = "core/records/modes.py", "pages/_parts/autograd/modes_view.py"

_OF_MODES = (
    Claim("{...} has nothing that heeds train() and eval(): no BatchNorm, and no dropout above 0.", _RECORDS, _COUNTED),
    Claim("{...} heeds train() and eval() in {...}.", _RECORDS, _COUNTED),
    Claim("eval() changes no answer of this model. Call it for validation all the same: another model will need it.", _RECORDS, _COUNTED),
    Claim("BatchNorm uses its running statistics", _RECORDS, _NOTION),
    Claim("The graph is kept as before ({...}), and gradients come to {...}.", _RECORDS, _BARE),
    Claim("tensors) leaves {...} with a gradient and ", _RECORDS, _SAID),
    Claim("Running statistics moved in {...} all the same; with frozen BatchNorm in eval() in {...}.", _RECORDS, _SAID),
    Claim("no_grad() records nothing and keeps nothing for a backward pass", _RECORDS, _BARE),
    Claim("moved: it is not eval().", _RECORDS, _SAID),
    Claim("{...}, yet two passes differ, since dropping goes on: it is not eval().", _RECORDS, _BARE),
    Claim("inference_mode() does as no_grad(), and a later loss that has to keep its result for a backward pass is refused", _RECORDS, _BARE),
    Claim("Half of freezing: the statistics of a frozen BatchNorm still move.", _RECORDS, _STILL),
    Claim("By itself seldom what is wanted: nothing is dropped or moved, but the graph is still kept.", _RECORDS, _BARE),
    Claim("Not for validation: the model is in train mode.", _RECORDS, _COMPANY),
    Claim(
        "As no_grad(), where no later loss will have to keep the results: autograd refuses that. A clone() made outside is a plain tensor.",
        _RECORDS,
        f"{_MODES}test_an_inference_tensor_is_refused_where_it_would_be_kept",
    ),
    Claim("To train the rest while what is frozen stays as it is. A run of Thaw freezes so.", _RECORDS, _STILL),
    Claim("None of these three does what another one does.", _VIEW, _BARE),
    Claim("BatchNorm layers whose running mean is another after the forward pass.", _VIEW, _BARE),
    Claim("the first picture's logits once the others of its batch were replaced.", _VIEW, _COMPANY),
)

_STAGES = "pages/_parts/components/slow_motion/stages.js"

_OF_SLOW_MOTION = (
    Claim("Sets the .grad of every parameter back to None, so that the next backward pass starts from nothing.", _STAGES, _NOTION),
    Claim("Without this line its gradients would be added to the old ones.", _STAGES, _NOTION),
    Claim("before the first step every .grad is None", _STAGES, _NOTION),
    Claim(
        "The chain rule is applied node by node, from the loss back to the first layer that learns.",
        _STAGES,
        f"{_MODES}test_the_backward_pass_goes_back_to_the_first_layer_that_learns_and_no_further",
    ),
    Claim("Its .grad was not empty, so autograd adds: before + contribution = after.", _STAGES, _NOTION),
    Claim("Its .grad was None and is a tensor from now on, of the parameter's own shape.", _STAGES, _NOTION),
    Claim(
        "What the tensor itself says: autograd computes a gradient for it, if the loss depends on it",
        "pages/_parts/components/audit_table/audit_table.js",
        _NOTION,
    ),
)

_OF_README = (
    Claim(
        "**Any torchvision classification model** (80 of them)",
        "README.md",
        "tests/catalog/test_catalog.py::test_the_models_are_ours_and_exactly_those_that_torchvision_lists",
    ),
    Claim(
        "Frozen means frozen: no weight moves, no BatchNorm statistic, whatever momentum or weight decay would do.",
        "README.md",
        "tests/model/test_freezing.py::test_frozen_layer_never_moves_nor_do_its_running_statistics",
    ),
    Claim(
        "Both end with the same weights, to the bit.",
        "README.md",
        "tests/model/test_steering.py::test_live_change_ends_with_the_very_weights_of_a_plan_that_had_it_from_the_start",
    ),
    Claim(
        "the final `state_dict` loads with `strict=True` into the same torchvision model built by hand.",
        "README.md",
        "tests/worker/test_worker.py::test_full_run_records_every_step_and_its_weights_load_into_torchvision",
    ),
    Claim(
        "ends with the run's weights, bit for bit, without Thaw",
        "README.md",
        "tests/code/test_scripts_alone.py::test_the_script_of_a_run_ends_with_its_weights_without_thaw",
    ),
)

CLAIMS: tuple[Claim, ...] = (*_OF_NOTIONS, *_OF_MODES, *_OF_SLOW_MOTION, *_OF_README)
