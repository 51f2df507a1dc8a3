"""Claims of a run's screen, its live charts, its scripts, and what measuring and keeping features say."""

from __future__ import annotations

from tests.claims import Claim

_AUDIT, _VIEW, _TUNING = "core/records/audits.py", "pages/_parts/run/run_view.py", "pages/_parts/run/tuning_view.py"
_HEAD = "pages/_parts/run/head_view.py"
_STEERING, _PROFILE, _REUSE = "pages/_parts/run/steering_view.py", "pages/_parts/run/profile_view.py", "core/reuse/partition.py"
_TELLING, _CODE = "core/records/telling.py", "core/code"
_CHARTS, _AUDIT_TABLE = "pages/_parts/components/live_chart", "pages/_parts/components/audit_table/audit_table.js"
_SPEED = "pages/_parts/setup/speed_choice.py"

_WORDS = "tests/pages/test_run_words.py::test"
_GROW = f"{_WORDS}_the_last_digits_of_a_step_can_grow_over_a_run_and_need_not"
_DIGITS = f"{_WORDS}_float16_keeps_the_digits_that_are_said_and_loses_small_gradients"
_RATIOS = f"{_WORDS}_update_ratios_lie_above_the_band_for_fresh_biases_and_below_it_where_the_rate_has_fallen"
_SCRIPT_ENDS = "tests/code/test_scripts_alone.py::test_the_script_of_a_run_ends_with_its_weights_without_thaw"
_SAME_BITS = "tests/reuse/test_partition.py::test_run_is_the_same_to_the_bit_with_kept_features"
_ORDER = "by hand: resnet18's gradient at 64 px with channels_last is 8e-6 of its length off, what a folded BatchNorm gives 1.4e-7"

CLAIMS: tuple[Claim, ...] = (
    # The audit
    Claim(
        "An optimizer does where it holds them and a .grad is there: with momentum or weight decay one of zeros is enough, "
        "without a .grad it leaves them alone.",
        _AUDIT,
        f"{_WORDS}_zeros_move_a_frozen_weight_and_no_gradient_does_not",
    ),
    Claim(
        "a layer in train mode updates them with every batch, whether it learns or not",
        _AUDIT,
        f"{_WORDS}_statistics_move_in_train_mode_whether_the_layer_learns_or_not",
    ),
    Claim(
        "Where gradients are clipped they count all the same, and make the updates of the others smaller.",
        _AUDIT,
        f"{_WORDS}_gradients_that_no_optimizer_holds_add_up_and_count_where_gradients_are_clipped",
    ),
    Claim(
        "With a gradient of zeros the optimizer keeps memory for them all the same, and weight decay shrinks them.",
        _AUDIT,
        f"{_WORDS}_a_gradient_of_zeros_costs_state_and_lets_decay_shrink_and_none_does_neither",
    ),
    Claim("equal digests, equal values, bit for bit", _AUDIT, "tests/training/test_audit.py::test_digest_tells_one_bit_apart_and_knows_nan"),
    Claim(
        "Its .grad after the backward pass, at the last look", _AUDIT_TABLE,
        "tests/training/test_audit.py::test_parameter_that_learned_once_is_not_idle",
    ),
    # The result, and steering
    Claim(
        "Mean over the last epoch, while the model was still learning and with random changes and dropout on.",
        _HEAD,
        f"{_WORDS}_training_accuracy_is_a_mean_over_the_epoch_and_lower_than_the_same_pictures_give_after_it",
    ),
    Claim(
        "its first step; it sizes the others itself, whatever the chart of the learning rate shows",
        _VIEW,
        f"{_WORDS}_the_line_of_settings_says_that_rprop_takes_its_rate_once",
    ),
    Claim(
        "scales only the first step of each weight: {...} sizes the others",
        _STEERING,
        "tests/catalog/test_optimizer_words.py::test_rprop_begins_with_the_rate_and_sizes_all_other_steps_itself",
    ),
    Claim(
        "goes on from the new value.", _STEERING,
        "tests/code/test_code.py::test_step_by_step_the_script_trains_what_the_run_trains_at_the_same_rate",
    ),
    # Live charts
    Claim(
        "training: mean over the epoch; validation: after it",
        f"{_CHARTS}/panels.js",
        f"{_WORDS}_training_accuracy_is_a_mean_over_the_epoch_and_lower_than_the_same_pictures_give_after_it",
    ),
    Claim(
        "Training goes on in its own process; this page continues when the server is back.",
        f"{_CHARTS}/connection.js",
        "tests/worker/test_worker.py::test_worker_outlives_the_supervisor_and_another_one_steers_it",
    ),
    Claim(
        "Each pixel is shared by several layers and shows what is wrong among them, else the largest value.",
        f"{_CHARTS}/waterfall.js",
        "tests/pages/test_browser_modules_live.py::test_a_model_of_a_thousand_layers_stays_bounded_and_legible_and_hides_nothing_that_is_wrong",
    ),
    Claim("The guide band, 1e-4 to 1e-2, is Thaw's own. Biases that begin at 0 lie above it", f"{_CHARTS}/waterfall.js", _RATIOS),
    Claim("and all layers below it where a schedule has brought the learning rate near 0.", f"{_CHARTS}/waterfall.js", _RATIOS),
    Claim(
        "A rule of thumb is 1e-3; far above it",
        f"{_CHARTS}/waterfall.js",
        "by hand: readers' copies of the CS231n notes that it names say 'want ~1e-3' of this ratio, and no band",
    ),
    Claim(
        "no gradient: it should learn, but the loss does not reach it",
        f"{_CHARTS}/waterfall.js",
        "tests/training/test_trainer.py::test_gradient_of_zero_and_no_gradient_at_all_are_told_apart",
    ),
    Claim(
        "would take more of the time than was allowed, so fewer are measured; the loss is recorded at every step.",
        f"{_CHARTS}/spoken.js",
        "tests/signals/test_profiling.py::test_recorder_thins_what_costs_too_much_and_keeps_every_loss",
    ),
    Claim(
        "(where steps take milliseconds, about 50 times a second)",
        "README.md",
        f"{_WORDS}_gradient_norms_are_measured_at_every_step_or_about_fifty_times_a_second",
    ),
    Claim(
        "accuracy, F1, calibration error and each class with their intervals",
        "README.md",
        "by hand: core/records/evaluation.py: `Interval` for these and for top-5; macro precision, macro recall and the loss have none",
    ),
    Claim(
        "Floating-point operations for one image, a multiplication and an addition being two",
        "pages/_parts/components/freeze_tree/freeze_tree.js",
        "by hand: torch.utils.flop_counter counts 2 for each multiply-add; resnet18 at 224 px: 3.63e9, twice torchvision's 1.81e9",
    ),
    # The fastest way
    Claim(
        "a third as far as the choice of its pictures moves it, which is as if batches were {...} % smaller",
        _TUNING,
        f"{_WORDS}_a_third_of_the_noise_makes_gradients_as_good_as_those_of_the_smaller_batches_that_are_said",
    ),
    Claim("so much is always accepted", _TUNING, f"{_WORDS}_what_is_accepted_whatever_the_noise_is_not_called_a_third_of_it"),
    Claim(
        "rounds to bfloat16: 2 to 3 significant digits",
        _TUNING,
        "tests/networks/test_layer_words.py::test_the_digits_of_number_formats_are_as_said",
    ),
    Claim("rounds to float16: 3 to 4 significant digits", _TUNING, _DIGITS),
    Claim("adds up in another order: a step's last digits differ", _TUNING, _ORDER),
    Claim("all weights are updated in one operation; a step's last digits differ", _SPEED, _ORDER),
    Claim("with another number a step's last digits may differ", _SPEED, _ORDER),
    # Profiles and kept features
    Claim(
        "Training itself goes on as it would have, to the bit.",
        _PROFILE,
        "tests/signals/test_profiling.py::test_profiled_steps_change_no_bit_and_leave_no_hook",
    ),
    Claim("What frozen layers give for a picture is the same in every epoch", "pages/_parts/run/reuse_view.py", _SAME_BITS),
    Claim(
        "draws random numbers in each step, unless frozen_randomness is off.",
        _TELLING,
        "tests/reuse/test_partition.py::test_randomness_of_frozen_layers_can_be_put_to_rest",
    ),
    Claim(
        "random changes make every picture a new one in each epoch",
        _REUSE,
        "tests/reuse/test_features.py::test_random_changes_leave_something_to_keep_only_where_pictures_come_again",
    ),
    Claim(
        "passes of a batch ran as they would without it. Results are right, only not as fast.",
        _TELLING,
        "tests/reuse/test_compiling.py::test_giving_up_is_said_by_show",
    ),
    Claim(
        "in the training, validation and test loss a picture counts",
        _TELLING,
        "tests/training/test_class_weights.py::test_run_says_how_much_pictures_count_and_where",
    ),
    # Scripts
    Claim("it ends with the same weights, bit for bit.", f"{_CODE}/differences.py", _SCRIPT_ENDS),
    Claim("The last digits of a step differ, and over a run that can grow.", f"{_CODE}/differences.py", _GROW),
    Claim("On a GPU the last digits of a step may differ, and over a run that can grow", f"{_CODE}/differences.py", _GROW),
    Claim("The run keeps 3 to 4 digits of what frozen layers give (float16)", f"{_CODE}/differences.py", _DIGITS),
    Claim(
        "left over, the first one after thawing would be added to it",
        f"{_CODE}/freezing.py",
        f"{_WORDS}_a_gradient_left_over_moves_nothing_out_of_the_optimizer_and_is_added_to_after_thawing",
    ),
    Claim(
        "Without this a frozen BatchNorm would still move its running statistics.",
        f"{_CODE}/freezing.py",
        f"{_WORDS}_statistics_move_in_train_mode_whether_the_layer_learns_or_not",
    ),
    Claim(
        "One picture alone may leave BatchNorm a single value a channel, which PyTorch refuses.",
        f"{_CODE}/data.py",
        f"{_WORDS}_one_picture_has_values_enough_for_batch_norm_unless_each_channel_has_one",
    ),
    Claim(
        "With a generator of its own: else each epoch takes a number from torch's, which dropout uses too.",
        f"{_CODE}/data.py",
        f"{_WORDS}_a_loader_takes_a_number_from_torchs_generator_unless_it_has_its_own",
    ),
    Claim(
        "Over the training set the weights of each class add up to the same, however few images it has",
        f"{_CODE}/learning.py",
        f"{_WORDS}_class_weights_of_a_training_set_add_up_to_the_same_for_each_class",
    ),
    Claim("small gradients are 0 in float16: the loss is scaled up", f"{_CODE}/loop.py", _DIGITS),
    Claim(
        "without it cuBLAS may add up in another order each time",
        f"{_CODE}/script.py",
        "by hand: NVIDIA's cuBLAS documentation, 'Results Reproducibility', and torch.use_deterministic_algorithms, read; no GPU was at hand",
    ),
    Claim(
        "0 everywhere: nothing in this layer speaks for the class",
        f"{_CODE}/evaluation.py",
        f"{_WORDS}_a_heat_map_of_a_class_that_nothing_speaks_for_is_zero_and_not_nan",
    ),
    # An optimizer's option
    Claim(
        "divide by the spread around the mean gradient: the root of mean square less squared mean",
        "core/catalog/optimizers.py",
        "tests/catalog/test_optimizer_words.py::test_a_centered_rmsprop_divides_by_the_spread_and_subtracts_nothing_from_the_gradient",
    ),
    Claim(
        "each by its own .grad and by what the optimizer keeps for it",
        "pages/_parts/components/slow_motion/stages.js",
        "tests/explaining/test_update_rules.py::test_every_line_of_a_rule_is_true_and_says_what_torch_does",
    ),
)  # fmt: skip
