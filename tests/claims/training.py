# ruff: noqa: RUF001  formulas are written in the letters in which papers have them
"""Claims about training: optimizers, schedules, losses, derivatives, the doctor's findings and what the presets show."""

from __future__ import annotations

from tests.claims import Claim

_RATES = "tests/catalog/test_rates_and_decay.py"
_WORDS = "tests/catalog/test_optimizer_words.py"
_ADVICE = "tests/catalog/test_rate_advice.py"
_DOCTOR = "tests/doctor/test_doctor_and_torch.py"
_PRESETS = "tests/doctor/test_doctor.py::test_presets_do_what_their_words_say"
_NODES = "tests/explaining/test_loss_nodes.py"
_LABELS = "tests/explaining/test_labels_tried.py"
_RULES = "tests/explaining/test_update_rules.py::test_every_line_of_a_rule_is_true_and_says_what_torch_does"
_CHAIN = "tests/explaining/test_graph.py::test_the_chain_rule_holds_at_every_node"

_LOSS = "tests/catalog/test_loss_words.py::test"
_LOSSES = "core/catalog/losses.py"
_OPTIMIZERS, _SCHEDULES, _FAULTS = "core/catalog/optimizers.py", "core/catalog/schedules.py", "core/catalog/faults.py"
_NODE_TEXTS, _LOSS_NODES, _LAYERS = "core/explaining/nodes.py", "core/explaining/loss_nodes.py", "core/explaining/words.py"

CLAIMS: tuple[Claim, ...] = (
    # Optimizers
    Claim(
        "Adam with weight decay applied to the weights themselves.",
        _OPTIMIZERS,
        f"{_RATES}::test_where_decay_takes_a_share_gradients_beside_it_do_not_change_that",
    ),
    Claim("Gives each weight its own step size from the mean and mean square of its gradients.", _OPTIMIZERS, _RULES),
    Claim(
        "follows the mean gradient as it is (five steps with the usual betas)",
        _OPTIMIZERS,
        f"{_WORDS}::test_radams_first_steps_are_as_long_as_the_gradient",
    ),
    Claim("Keeps mean squares by row and column, and no mean gradient", _OPTIMIZERS, f"{_WORDS}::test_what_an_optimizer_keeps_is_counted_as_it_is"),
    Claim(
        "little memory for linear layers, not for small filters", _OPTIMIZERS,
        f"{_WORDS}::test_adafactor_keeps_two_thirds_of_a_value_for_each_of_resnet18_and_next_to_nothing_for_a_vision_transformer",
    ),
    Claim("A step is a share of each tensor's own size.", _OPTIMIZERS, f"{_WORDS}::test_adafactor_takes_no_rate_above_one_by_the_root_of_the_step"),
    Claim(
        "sizes its own steps: the learning rate is the first one",
        _OPTIMIZERS,
        f"{_WORDS}::test_rprop_begins_with_the_rate_and_sizes_all_other_steps_itself",
    ),
    Claim("Adam with the largest recent gradient in place of the mean square.", _OPTIMIZERS, _RULES),
    Claim("Divides each gradient by the root of its recent mean square.", _OPTIMIZERS, _RULES),
    Claim("Steps shrink for weights that have had large gradients, for good.", _OPTIMIZERS, _RULES),
    Claim(
        "Sets its own step sizes; the learning rate only scales them",
        _OPTIMIZERS,
        f"{_WORDS}::test_a_rate_that_falls_makes_steps_shorter_unless_it_is_said_to_count_once",
    ),
    Claim("SGD without momentum, with steps that slowly shrink.", _OPTIMIZERS, _RULES),
    Claim("how quickly steps shrink, and the share of each weight that a step at rate 1 takes off", _OPTIMIZERS, _RULES),
    Claim("divide by the largest mean square so far, not by the newest", _OPTIMIZERS, _RULES),
    Claim("the learning rate is divided by 1 + this times the steps so far", _OPTIMIZERS, _RULES),
    Claim("added to both mean squares: it decides how long the first steps are", _OPTIMIZERS, _RULES),
    Claim("share of the new gradient left out of the momentum", _OPTIMIZERS, _RULES),
    Claim(
        "{...} takes the learning rate for its first step only and sizes the others itself",
        "core/doctor/remedies.py",
        f"{_DOCTOR}::test_no_learning_rate_is_proposed_to_an_optimizer_that_takes_none",
    ),
    Claim(
        "takes it for the first step of each weight only: what learns already goes on as it does",
        "pages/_parts/run/steering_view.py",
        f"{_WORDS}::test_a_rate_that_falls_makes_steps_shorter_unless_it_is_said_to_count_once",
    ),
    Claim(
        "the first step of each weight; {...} sizes the others itself",
        "pages/_parts/setup/rate_hint.py",
        f"{_WORDS}::test_rprop_begins_with_the_rate_and_sizes_all_other_steps_itself",
    ),
    Claim(
        "Here it keeps {...} value{...} for each one that learns.",
        "pages/_parts/setup/rate_hint.py",
        f"{_WORDS}::test_what_an_optimizer_keeps_is_counted_as_it_is",
    ),
    Claim(
        "Step size, the highest one where a schedule moves it (Rprop: the first one only)",
        "core/config/run_config.py",
        f"{_WORDS}::test_the_learning_rate_is_the_highest_of_every_schedule",
    ),
    # Losses
    Claim(
        "Cross entropy in two steps, log_softmax and then this; the numbers are the same.",
        _LOSSES,
        f"{_LOSS}_cross_entropy_in_two_steps_has_the_same_numbers",
    ),
    Claim(
        "Without smoothing and class weights it is cross entropy.",
        _LOSSES,
        f"{_LOSS}_divergence_without_smoothing_is_cross_entropy_unless_classes_weigh",
    ),
    Claim(
        "each as hard however far it is", _LOSSES,
        f"{_LOSS}_the_absolute_error_pulls_as_hard_from_everywhere_and_huber_less_than_the_square_from_afar",
    ),
    Claim(
        "Smooth absolute error times delta, for a beta of delta", _LOSSES,
        f"{_LOSS}_the_absolute_error_pulls_as_hard_from_everywhere_and_huber_less_than_the_square_from_afar",
    ),
    Claim("Binary cross entropy, averaged over classes and then over images.", _LOSSES, f"{_LOSS}_three_names_are_one_binary_cross_entropy"),
    Claim("Logistic loss with the right class at +1 and the others at -1.", _LOSSES, f"{_LOSS}_three_names_are_one_binary_cross_entropy"),
    Claim(
        "Asks that the right class beats every other by a margin, and is content once it does.",
        _LOSSES,
        f"{_LOSS}_the_hinge_is_content_once_the_margin_is_won",
    ),
    Claim(
        "share of each label spread over all classes, so that the model grows less certain",
        _LOSSES,
        f"{_LOSS}_smoothed_labels_are_met_by_a_less_certain_model",
    ),
    # Schedules
    Claim(
        "In a longer run it rises again after that.",
        _SCHEDULES,
        f"{_WORDS}::test_a_cosine_rises_again_after_its_length_and_a_polynomial_stays_at_0",
    ),
    Claim(
        "how long it falls, before it stays at 0; empty: the whole run",
        _SCHEDULES,
        f"{_WORDS}::test_a_cosine_rises_again_after_its_length_and_a_polynomial_stays_at_0",
    ),
    Claim(
        "Rises to the learning rate and falls again, far below where it began with the usual options",
        _SCHEDULES,
        f"{_RATES}::test_the_rate_of_every_step_is_known_before_the_first",
    ),
    Claim("triangular2: half as high above base_lr each time", _SCHEDULES, f"{_RATES}::test_the_rate_of_every_step_is_known_before_the_first"),
    Claim("the learning rate divided by this is the first one", _SCHEDULES, f"{_RATES}::test_the_rate_of_every_step_is_known_before_the_first"),
    Claim(
        "lower the momentum (or first beta) while the learning rate rises",
        _SCHEDULES,
        f"{_RATES}::test_the_rate_of_every_step_is_known_before_the_first",
    ),
    Claim("{...} in step {...}, the last", "core/catalog/rate_advice.py", f"{_ADVICE}::test_a_schedule_is_said_in_numbers"),
    # Which rate is usual
    Claim(
        "usual for {...}, {...}, {...} picture{...} an update",
        "core/catalog/rate_advice.py",
        f"{_ADVICE}::test_fresh_weights_learn_in_the_range_that_is_said_and_not_at_a_hundred_times_as_much",
    ),
    Claim(
        "long steps undo what they know, so they want smaller ones than fresh weights",
        "core/catalog/rate_advice.py",
        f"{_ADVICE}::test_long_steps_undo_what_weights_know_and_short_ones_do_not",
    ),
    Claim(
        "A new head alone can take long ones, since nothing else moves.",
        "core/catalog/rate_advice.py",
        f"{_ADVICE}::test_a_head_alone_learns_in_a_range_that_is_higher",
    ),
    Claim(
        "gradients are less noisy and updates fewer, so each may be longer",
        "core/catalog/rate_advice.py",
        f"{_ADVICE}::test_larger_batches_want_the_longer_steps_that_are_said",
    ),
    # Weight decay
    Claim(
        "Weight decay {...} takes {...} % off a value in {...} steps of {...}{...}, unless gradients hold against it",
        "core/doctor/setting_rules.py",
        f"{_DOCTOR}::test_what_weight_decay_takes_off_is_what_it_takes_off",
    ),
    Claim(
        "Use a weaker weight decay in the next run, such as {...}, which takes about a tenth.",
        "core/doctor/setting_rules.py",
        f"{_DOCTOR}::test_what_weight_decay_takes_off_is_what_it_takes_off",
    ),
    Claim(
        "by itself it takes {...} off in these {...} steps",
        "pages/_parts/setup/rate_hint.py",
        f"{_RATES}::test_what_weight_decay_leaves_is_what_torch_leaves_of_a_real_weight",
    ),
    Claim(
        "divides it by the size of gradients, so it takes no fixed share",
        "pages/_parts/setup/rate_hint.py",
        f"{_RATES}::test_where_decay_takes_a_share_gradients_beside_it_do_not_change_that",
    ),
    Claim(
        "smallest root mean square to divide by, and smallest tensor size to go by; empty: torch's own",
        "core/catalog/optimizers.py",
        "tests/catalog/test_optimizer_words.py::test_adafactors_limits_are_a_root_mean_square_a_tensor_size_and_an_update_before_it_is_scaled",
    ),
    Claim(
        "the size of each new gradient",
        "core/catalog/optimizers.py",
        "tests/catalog/test_optimizer_words.py::test_adamaxs_eps_is_added_to_each_gradient_and_not_to_what_it_is_divided_by",
    ),
    # Units and derivatives
    Claim(
        "through a layer of which all are dead nothing before it learns either: no gradient brings one back",
        "core/doctor/gradient_rules.py",
        f"{_DOCTOR}::test_dead_units_come_back_where_layers_before_them_learn_and_nowhere_else",
    ),
    Claim(
        "nothing before this layer learns, so its units get what they got: no gradient brings one back",
        "core/doctor/gradient_rules.py",
        f"{_DOCTOR}::test_dead_units_come_back_where_layers_before_them_learn_and_nowhere_else",
    ),
    Claim(
        "it comes back where layers before it learn and change what it gets",
        "core/doctor/gradient_rules.py",
        f"{_DOCTOR}::test_dead_units_come_back_where_layers_before_them_learn_and_nowhere_else",
    ),
    Claim(
        "sigmoid, which passes on at most a quarter of each gradient",
        "core/doctor/gradient_rules.py",
        f"{_NODES}::test_slopes_of_squashing_functions_are_at_most_what_is_said",
    ),
    Claim(
        "tanh, which passes on all of a gradient at 0 and next to nothing far from it",
        "core/doctor/gradient_rules.py",
        f"{_NODES}::test_slopes_of_squashing_functions_are_at_most_what_is_said",
    ),
    Claim(
        "The slope is at most 1/4, and next to nothing for large values",
        _NODE_TEXTS,
        f"{_NODES}::test_slopes_of_squashing_functions_are_at_most_what_is_said",
    ),
    Claim("0 below -3, x above 3, and a parabola between them", _NODE_TEXTS, f"{_NODES}::test_hardswish_is_three_pieces_whose_slope_jumps"),
    Claim(
        "0 below -3, the value itself above 3, and a parabola between them",
        _LAYERS,
        f"{_NODES}::test_hardswish_is_three_pieces_whose_slope_jumps",
    ),
    Claim(
        "(share - 1) for the right class and (share) for the others, over the number of pictures.",
        _NODE_TEXTS,
        f"{_NODES}::test_a_losss_formulas_hold_for_the_settings_of_the_run",
    ),
    Claim(
        "(share - 1) for the right class and (share) for the others, times the weight of the picture's class, {...}.",
        _LOSS_NODES,
        f"{_NODES}::test_a_losss_formulas_hold_for_the_settings_of_the_run",
    ),
    Claim(
        "(share - target), target 1 - ε + ε/C for the right class and ε/C for the others",
        _LOSS_NODES,
        f"{_NODES}::test_a_losss_formulas_hold_for_the_settings_of_the_run",
    ),
    Claim(
        "dL/dx[n, c] = -ḡ · w[labelₙ] / W for the right class, 0 for all others",
        _LOSS_NODES,
        f"{_NODES}::test_a_losss_formulas_hold_for_the_settings_of_the_run",
    ),
    Claim(
        "dL/dx[n, c] = -ḡ / N for the right class, 0 for all others",
        _NODE_TEXTS,
        f"{_NODES}::test_a_losss_formulas_hold_for_the_settings_of_the_run",
    ),
    Claim(
        "With label smoothing it is 1 - ε of the loss, and the gradient that arrives is 1 - ε.",
        _LOSS_NODES,
        f"{_NODES}::test_a_losss_formulas_hold_for_the_settings_of_the_run",
    ),
    Claim("Where it let a value through, it lets the gradient through; where it did not, the gradient ends here.", _NODE_TEXTS, _CHAIN),
    Claim("Each factor gets the gradient times the other factor.", _NODE_TEXTS, _CHAIN),
    Claim("each weight collects, over all places and pictures, what it was multiplied with times the gradient there.", _NODE_TEXTS, _CHAIN),
    Claim("train: dL/dx = γ / √(variance + ε) · (ḡ - mean(ḡ) - x̂ · mean(ḡ · x̂))", _NODE_TEXTS, _CHAIN),
    Claim(
        "Shifts and scales each channel by a mean and a variance towards 0 and 1",
        _LAYERS,
        "by hand: torch in eval mode uses running statistics, which bring a batch near 0 and 1, not to them",
    ),
    # The classic step
    Claim(
        "the labels have no influence on its gradients, and it has no minimum",
        "core/explaining/specimen.py",
        f"{_LABELS}::test_other_labels_change_the_loss_and_no_gradient",
    ),
    Claim("it falls for ever as the predictions fall", "core/explaining/specimen.py", f"{_LABELS}::test_it_has_no_minimum_and_falls_for_ever"),
    Claim(
        "gradients are the same, bit for bit. With cross entropy, a loss for learning",
        "core/records/walkthrough.py",
        f"{_LABELS}::test_what_is_shown_is_what_plain_torch_does",
    ),
    Claim(
        "The labels only shift it, and no gradient depends on them",
        "pages/_parts/components/slow_motion/stages.js",
        f"{_LABELS}::test_other_labels_change_the_loss_and_no_gradient",
    ),
    # Presets
    Claim("each passes on at most a quarter of a gradient", _FAULTS, f"{_NODES}::test_slopes_of_squashing_functions_are_at_most_what_is_said"),
    Claim(
        "leave weights with which the ReLUs of the first layer give 0 for every picture",
        _FAULTS,
        "tests/doctor/test_doctor.py::test_the_dead_relus_were_killed_by_their_weights",
    ),
    Claim("at the first look the update ratio of every layer lies far above 0.001", _FAULTS, _PRESETS),
    Claim("The gradient norms grow to a hundred times the first and more", _FAULTS, _PRESETS),
    Claim("each layer nearer to the picture is fainter than the next", _FAULTS, _PRESETS),
    Claim("Gradient norms of exactly 0 from one step on, in all but the last bias", _FAULTS, _PRESETS),
    Claim("After some twenty steps the loss grows faster and faster", _FAULTS, _PRESETS),
    Claim("hundreds to thousands of times those of the first step", _FAULTS, _PRESETS),
    Claim("update ratios of a few millionths at most", _FAULTS, _PRESETS),
    Claim(
        "every step takes 3 % off everything, biases too",
        _FAULTS,
        f"{_RATES}::test_what_weight_decay_leaves_is_what_torch_leaves_of_a_real_weight",
    ),
    Claim("Weights and biases that shrink while they learn", _FAULTS, _PRESETS),
    # What the doctor says
    Claim(
        "where always saying the most frequent class would give",
        "core/doctor/data_rules.py",
        "tests/doctor/test_false_alarms.py::test_a_rule_finds_something_in_less_than_one_of_twenty_healthy_runs",
    ),
    Claim(
        "as long as the weights themselves after {...} in one direction",
        "core/doctor/rate_rules.py",
        "by hand: 1 / r updates of r times the weights' length add up to that length where they point one way",
    ),
)  # fmt: skip
