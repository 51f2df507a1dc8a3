"""Claims about layers, heads, augmentations and ways to compute, as the Build screen and the form make them."""

from __future__ import annotations

from tests.claims import Claim

_LAYERS, _WORDS = "core/networks/network_layers.py", "tests/networks/test_layer_words.py"
_SPEED, _CHANGES = "pages/_parts/setup/speed_choice.py", "core/data/augmentations.py"
_COST, _FORM = "pages/_parts/setup/cost_view.py", "pages/_parts/setup/how_fields.py"
_EXACT = "tests/model/test_anatomy.py::test_the_backward_share_is_near_to_what_torch_counts"
_MEMORY = "tests/measuring/test_cost.py::test_memory_of_weights_gradients_and_optimizer_is_that_of_their_tensors"
_BOUNDS = "by hand: the bounds with which core/data/changes.py draws"
_KEPT = "tests/reuse/test_partition.py::test_run_is_the_same_to_the_bit_with_kept_features"
_RESIDUAL = f"{_WORDS}::test_the_residual_block_is_that_of_resnet_18_and_not_that_of_50"
_TEMPLATES = f"{_WORDS}::test_templates_are_what_they_are_said_to_be"
_NORMS = f"{_WORDS}::test_norms_bring_numbers_to_mean_0_and_spread_1_over_what_is_said"
_HEAD = f"{_WORDS}::test_head_dropout_drops_what_goes_into_the_last_layer"

_NODES = "core/explaining/nodes.py"
_KINK = "tests/explaining/test_loss_nodes.py::test_at_a_kink_the_slope_is_the_one_that_is_said"
_HOW, _FEATURES = "core/records/how_much.py", "tests/explaining/test_how_much.py"

CLAIMS: tuple[Claim, ...] = (
    Claim("dL/dx = 0 where x ≤ -3, ḡ where x ≥ 3, else ḡ · (2x + 3) / 6", _NODES, _KINK),
    Claim("dL/dx = ḡ where low < x < high, else 0", _NODES, _KINK),
    Claim("dL/dx = ḡ where x > low, else 0", _NODES, _KINK),
    Claim("dL/dx = ḡ / 6 where -3 < x < 3, else 0", _NODES, _KINK),
    Claim(
        "add a number to each output; a batch or instance norm right behind would take it off again",
        _LAYERS,
        f"{_WORDS}::test_a_bias_is_taken_off_again_by_batch_and_instance_norm_and_by_no_other",
    ),
    Claim("Brings the numbers to mean 0 and spread 1, then scales and shifts them by what it learns.", _LAYERS, _NORMS),
    Claim("Batch norm measures each batch while training, and uses what it has kept of them in eval mode.", _LAYERS, _NORMS),
    Claim("each channel over the batch, groups of channels of one image, all of one image, or each channel of one image", _LAYERS, _NORMS),
    Claim(
        "Without it, convolutions and linear layers in a row are no more than one linear layer.",
        _LAYERS,
        f"{_WORDS}::test_without_an_activation_layers_in_a_row_are_one_linear_function",
    ),
    Claim("maps of any size come out alike.", _LAYERS, f"{_WORDS}::test_a_global_pool_makes_maps_of_any_size_alike"),
    Claim(
        "Sets each number to 0 with a set chance while training and scales up the rest",
        _LAYERS,
        f"{_WORDS}::test_dropout_drops_with_a_chance_and_scales_up_the_rest",
    ),
    Claim("the block of ResNet-18 and 34.", _LAYERS, _RESIDUAL),
    Claim("after the first norm, and once the shortcut is added", _LAYERS, _RESIDUAL),
    Claim("No convolution at all: linear layers on the pixels, averaged two by two.", "core/networks/templates.py", _TEMPLATES),
    Claim("Residual blocks, each second one at half the size.", "core/networks/templates.py", _TEMPLATES),
    Claim("Pairs of small convolutions, then two large linear layers.", "core/networks/templates.py", _TEMPLATES),
    Claim("Three convolutions with normalisation and pooling.", "core/networks/templates.py", _TEMPLATES),
    Claim("chance of each number that goes into the last layer to be dropped while training, 0 to 1", "pages/_parts/setup/head_choice.py", _HEAD),
    Claim(
        "the backward pass still crosses {...} of the network** (by FLOPs)",
        _COST,
        "tests/model/test_anatomy.py::test_training_only_the_first_layer_crosses_the_whole_network",
    ),
    Claim("(by FLOPs) and is about {...} of the work of a full one.", _COST, _EXACT),
    Claim("One gradient for each trainable parameter, 4 bytes each.", _COST, _MEMORY),
    Claim("What the optimizer keeps for each trainable parameter.", _COST, _MEMORY),
    Claim(
        "What the forward pass of a batch keeps for the backward pass.",
        _COST,
        "tests/measuring/test_cost.py::test_saved_bytes_are_what_autograd_keeps_and_each_storage_once",
    ),
    Claim(
        "Autograd nodes (`grad_fn`) that `backward()` walks, of those it would walk with everything trainable.",
        _COST,
        "tests/measuring/test_cost.py::test_nodes_of_the_autograd_graph_are_counted_as_they_are_walked",
    ),
    Claim(
        "Frozen layers in front of the first that learns compute the same features for the same picture in every epoch, unless chance is in them.",
        _SPEED,
        "tests/reuse/test_partition.py::test_border_is_the_last_that_cannot_change",
    ),
    Claim("The same losses and weights as without, bit for bit; as training goes on, some features are computed again and compared.", _SPEED, _KEPT),
    Claim(
        "most are faster then; a step's last digits differ",
        _SPEED,
        "by hand: 8 to 92 s before the first step and about a third saved, as core/measuring/trials.py notes",
    ),
    Claim("the forward pass in half the bits, 2 to 3 digits", _SPEED, f"{_WORDS}::test_the_digits_of_number_formats_are_as_said"),
    Claim("the forward pass in half the bits, 3 to 4 digits", _SPEED, f"{_WORDS}::test_the_digits_of_number_formats_are_as_said"),
    Claim("Every epoch sees the same pictures: right for a first look, and all features of frozen layers can be kept.", _CHANGES, _KEPT),
    Claim(
        "Half of the images are mirrored left to right.",
        _CHANGES,
        "tests/data/test_data.py::test_a_flip_mirrors_half_of_the_images_and_leaves_the_others",
    ),
    Claim("Each image is moved by up to an eighth of its side, with black behind it.", _CHANGES, _BOUNDS),
    Claim(
        "A random part of the image (a quarter of it at least) fills the picture",
        _CHANGES,
        "tests/data/test_data.py::test_a_crop_of_an_even_picture_is_even_and_stays_inside",
    ),
    Claim("Each image is turned by up to 15 degrees either way, with black behind it.", _CHANGES, _BOUNDS),
    Claim("Brightness, contrast and saturation change by up to 40 percent.", _CHANGES, _BOUNDS),
    Claim(
        "For the model that is one large batch, except for BatchNorm, which works out its figures from each batch by itself.",
        _FORM,
        "by hand: training/steps.py divides each part's loss by its share; a step of 2 x 16 has the gradients of one of 32 where no BatchNorm is",
    ),
    Claim(
        "Balanced: a picture counts as much as all training pictures divided by (classes times training pictures of its class), which is",
        _FORM,
        f"{_WORDS}::test_balanced_weights_are_one_on_average",
    ),
    Claim(
        "Each block has the next one's rate divided by {...}, the head the full one (ULMFiT, Howard & Ruder 2018).",
        "pages/_parts/setup/course.py",
        "by hand: 2.6 is the factor of the paper, section 3.2",
    ),
    Claim(
        "That rule is a linear one, so a head on these features can do the same.",
        _HOW,
        f"{_FEATURES}::test_the_rule_is_that_of_scikit_learn_and_a_linear_head_can_do_the_same",
    ),
    Claim(
        "lie nearest to the mean of their own class; means of {...} others.",
        _HOW,
        f"{_FEATURES}::test_what_is_said_of_the_features_are_their_figures",
    ),
    Claim("{...} % on average of {...} ({...}), {...} to {...} %", _HOW, f"{_FEATURES}::test_runs_count_that_differ_in_plan_and_seed_alone"),
    Claim(
        "Runs count that differ from the settings here in freeze plan and seed alone, and ended by themselves.",
        "pages/_parts/setup/how_much_view.py",
        f"{_FEATURES}::test_runs_count_that_differ_in_plan_and_seed_alone",
    ),
    Claim(
        "For {...} training pictures {...} numbers learn: {...}. What your own runs say about it: Model screen.",
        "pages/_parts/setup/how_much_view.py",
        f"{_FEATURES}::test_rows_hold_each_plan_with_what_is_known_of_it",
    ),
)
