"""Claims about statistics: intervals, tests, calibration, the map of embeddings, choosing, seeds, what was learned from."""

from __future__ import annotations

from tests.claims import Claim

_METRICS = "core/evaluation/metrics.py"
_INTERVALS = "core/evaluation/intervals.py"
_CALIBRATION = "core/evaluation/calibration.py"
_CONFIDENCE = "core/evaluation/confidence.py"
_TELLING = "core/evaluation/telling.py"
_LOOKS = "core/evaluation/looks.py"
_LEARNED = "core/evaluation/learned_from.py"
_MAP = "pages/_parts/evaluate/map.py"
_SCREEN = "pages/_parts/evaluate/metrics.py"
_WORDS = "pages/_parts/evaluate/words.py"
_TABLE = "pages/_parts/components/evaluation_parts/class_table.js"

_IN_METRICS = "tests/evaluation/test_metrics.py::test_"
_IN_COVERAGE = "tests/evaluation/test_coverage.py::test_"
_IN_CALIBRATION = "tests/evaluation/test_calibration.py::test_"
_IN_CONFIDENCE = "tests/evaluation/test_confidence.py::test_"
_IN_LOOKS = "tests/evaluation/test_looks.py::test_"
_IN_MAP = "tests/evaluation/test_map_claims.py::test_"

_SKLEARN = f"{_IN_METRICS}the_figures_equal_scikit_learns"
_COVERS_ERROR = f"{_IN_CALIBRATION}the_interval_holds_the_true_calibration_error"
_ALARMS = f"{_IN_CALIBRATION}a_calibrated_model_is_called_too_sure_or_less_sure_in_under_five_percent_of_test_sets"
_SOFTMAX = f"{_IN_CONFIDENCE}softmax_of_the_best_outputs_is_the_probability_only_where_it_is_judged"
_STRANGERS = f"{_IN_MAP}points_among_another_colour_are_mostly_taken_for_what_they_are"
_PROJECTED = f"{_IN_MAP}what_is_far_apart_on_a_map_by_pca_is_far_apart_and_what_is_close_need_not_be"
_TSNE = f"{_IN_MAP}t_sne_keeps_neighbours_that_pca_loses_and_its_distances_say_nothing"

CLAIMS: tuple[Claim, ...] = (
    # Measures
    Claim("`loss` is the mean cross-entropy (log loss)", _METRICS, _SKLEARN),
    Claim("Macro means are over the classes for which the measure is defined", _METRICS, _SKLEARN),
    Claim("and for recall its `balanced_accuracy_score`", _METRICS, _SKLEARN),
    Claim("F1 = 2 J / (1 + J), which rises with J", _METRICS, f"{_IN_METRICS}class_of_a_few_images_that_are_all_right_is_not_sure_to_stay_so"),
    Claim(
        "Mean of the F1 scores of all classes that have test pictures or were predicted (0 where only one of the two): small classes count as much "
        "as large ones.",
        _SCREEN,
        _SKLEARN,
    ),
    Claim("Share of the test pictures whose class is among the model's five likeliest.", _SCREEN, _SKLEARN),
    Claim("Mean cross-entropy of the test pictures, in nats: 0 is perfect.", _SCREEN, _SKLEARN),
    Claim(
        "The loss of a model that gives each class the same probability: ln of their number.",
        _SCREEN,
        "by hand: -log(1/C) is log C; torch.nn.functional.cross_entropy of zeros [4, 10] gave 2.302585",
    ),
    Claim("Of the pictures taken for this class, the share that is of it", _TABLE, _SKLEARN),
    Claim("Of the pictures of this class, the share that was found", _TABLE, _SKLEARN),
    Claim("Harmonic mean of precision and recall", _TABLE, _SKLEARN),
    Claim("recall is not defined there, and its mean leaves it out.", "core/evaluation/evaluate.py", _SKLEARN),
    # Intervals
    Claim(
        "in 84 % with 5 images, 91 % with 100, 94 % with 359", _INTERVALS, f"{_IN_COVERAGE}for_some_shares_it_does_so_as_often_as_its_docstring_says"
    ),
    Claim(
        "Of 20 such intervals about 19 hold the true figure",
        _SCREEN,
        f"{_IN_COVERAGE}wilsons_interval_holds_the_true_share_19_times_of_20_on_average",
    ),
    Claim(
        "about 19 of 20 such intervals hold the true figure",
        "core/commands/evaluate.py",
        f"{_IN_COVERAGE}wilsons_interval_holds_the_true_share_19_times_of_20_on_average",
    ),
    Claim(
        "the second is in the interval of the first about 8 times of 10",
        _SCREEN,
        f"{_IN_COVERAGE}a_second_measurement_is_in_the_interval_of_the_first_about_8_times_of_10",
    ),
    Claim(
        "falls into the interval of the first only about 8 times of 10",
        "core/records/evaluation.py",
        f"{_IN_COVERAGE}a_second_measurement_is_in_the_interval_of_the_first_about_8_times_of_10",
    ),
    Claim(
        "The bootstrap (Efron & Tibshirani 1993, ch. 13) has its bias taken off", _INTERVALS, f"{_IN_COVERAGE}the_intervals_of_f1_hold_the_true_one"
    ),
    Claim("covers chance in the choice of the test pictures only", _TELLING, f"{_IN_LOOKS}an_interval_covers_pictures_and_not_seeds"),
    # p-values
    Claim(
        "How often a split at least as uneven comes by chance where both are equally good",
        _METRICS,
        f"{_IN_COVERAGE}mcnemars_p_value_is_below_five_percent_in_at_most_five_percent_of_equals",
    ),
    Claim(
        "It is not how likely it is that both are equally good.", _METRICS, f"{_IN_COVERAGE}a_p_value_is_not_the_chance_that_both_are_equally_good"
    ),
    Claim(
        "It is not the chance that they are equally good.",
        "pages/_parts/evaluate/compare.py",
        f"{_IN_COVERAGE}a_p_value_is_not_the_chance_that_both_are_equally_good",
    ),
    Claim(
        "If both were equally good, a split at least this uneven would come by chance {...}",
        _WORDS,
        f"{_IN_COVERAGE}mcnemars_p_value_is_below_five_percent_in_at_most_five_percent_of_equals",
    ),
    # Calibration
    Claim("one of the two in less than 5 %", _CALIBRATION, _ALARMS),
    Claim("it is too sure of itself ({...}). Bars below the diagonal are where.", _TELLING, _ALARMS),
    Claim("it is less sure than it could be ({...}). Bars above the diagonal are where.", _TELLING, _ALARMS),
    Claim("it is too sure in some places and not sure enough in others", _TELLING, f"{_IN_CALIBRATION}being_off_in_both_directions_is_said"),
    Claim(
        "comes out this far off, or further, in {...} of such test sets",
        _TELLING,
        f"{_IN_CALIBRATION}the_share_of_test_sets_that_is_said_is_the_p_value",
    ),
    Claim("pictures show no difference that chance does not explain", _TELLING, _ALARMS),
    Claim(
        "1 point on 359 images of which 97 % are right",
        _CALIBRATION,
        f"{_IN_CALIBRATION}a_calibrated_model_measures_more_than_zero_and_its_interval_holds_zero",
    ),
    Claim("5.6 where 71 % are", _CALIBRATION, f"{_IN_CALIBRATION}chance_adds_more_where_fewer_are_right"),
    Claim("The interval has those true errors for which what was measured is none of the 2.5 % lowest", _CALIBRATION, _COVERS_ERROR),
    Claim("95\u00a0% interval {...} to {...}\u00a0%: {...}.".replace("\u00a0", " "), _TELLING, _COVERS_ERROR),
    Claim("what chance adds to it is taken off.", _SCREEN, _COVERS_ERROR),
    Claim(
        "so where `least_gap` knows more, the interval begins there",
        _CALIBRATION,
        f"{_IN_CALIBRATION}what_is_off_on_average_is_off_in_the_calibration_error_too",
    ),
    Claim("without any approximation", _CALIBRATION, f"{_IN_CALIBRATION}the_sum_of_trials_is_what_multiplying_one_by_one_gives"),
    Claim("pulls outputs to 1 and 0: they are no logits, and the confidence that softmax makes of them is an artefact", _CONFIDENCE, _SOFTMAX),
    Claim("trains a probability for each class on its own, the sigmoid of its output", _CONFIDENCE, _SOFTMAX),
    Claim("asks for a margin between outputs, and for no probability", _CONFIDENCE, _SOFTMAX),
    Claim("whose loss is smallest at a confidence of {...}", _CONFIDENCE, f"{_IN_CONFIDENCE}label_smoothing_asks_for_the_confidence_that_is_said"),
    Claim(
        "its confidence is that for pictures of which all classes are as common",
        _CONFIDENCE,
        f"{_IN_CONFIDENCE}balanced_weights_give_the_confidence_of_classes_that_are_as_common",
    ),
    Claim(
        "which asks for outputs of 1 and 0: those have {...} here.",
        _CONFIDENCE,
        f"{_IN_CONFIDENCE}outputs_that_are_all_that_was_asked_for_have_the_cross_entropy_that_is_said",
    ),
    # The map
    Claim("equal bit for bit, {...} and {...}{...}.", _MAP, f"{_IN_MAP}a_run_of_which_the_head_alone_learned_moved_nothing_bit_for_bit"),
    Claim("{...} are of its own class {...}, and {...} {...}.{...}", _MAP, f"{_IN_MAP}who_is_near_is_counted_as_scikit_learn_would"),
    Claim("are among its {...} nearest on the map", _MAP, f"{_IN_MAP}who_is_near_is_counted_as_scikit_learn_would"),
    Claim("what is far apart here is far apart for it. What is close here need not be", _MAP, _PROJECTED),
    Claim("Two dimensions, the first across, the second up, keep {...}", _MAP, f"{_IN_METRICS}principal_components_are_scikit_learns"),
    Claim("**Nearness means something, directions do not.** t-SNE tries to keep neighbours", _MAP, _TSNE),
    Claim("Which way groups lie, how far apart, and how large they are says nothing.", _MAP, _TSNE),
    Claim("**A point among another colour** is not yet a picture that the model takes for that class.", _MAP, _STRANGERS),
    Claim(
        "Each map is scaled to its own spread: distances on the two cannot be compared.",
        _MAP,
        f"{_IN_METRICS}a_map_has_both_epochs_and_leaves_out_what_is_not_finite",
    ),
    # Choosing, seeds, what was learned from
    Claim(
        "Whoever chooses by test figures gets one that is too good",
        _TELLING,
        f"{_IN_LOOKS}choosing_by_the_test_set_is_too_good_and_by_validation_is_not",
    ),
    Claim(
        "On average over many test sets {...}, by chance alone.",
        _TELLING,
        f"{_IN_COVERAGE}the_best_of_several_is_as_much_too_good_as_is_said",
    ),
    Claim(
        "it is the most that choosing gives away on average by chance alone",
        _LOOKS,
        f"{_IN_COVERAGE}the_best_of_several_is_as_much_too_good_as_is_said",
    ),
    Claim(
        "This test set was looked at {...} with trained weights of this run",
        _TELLING,
        f"{_IN_LOOKS}a_look_is_weights_that_the_test_set_was_not_put_through_before",
    ),
    Claim(
        "The kept weights with the highest validation accuracy. Of equals, those with the lowest validation loss.",
        "pages/_parts/evaluate/choosing.py",
        f"{_IN_LOOKS}validation_chooses_the_highest_accuracy_then_the_lowest_loss_then_the_earliest",
    ),
    Claim("runs that differ in nothing but their seed", _TELLING, f"{_IN_LOOKS}runs_that_differ_in_their_seed_only_are_put_together"),
    Claim(
        "None of them is among the {...} pictures that this run learned from",
        _LEARNED,
        f"{_IN_LOOKS}that_no_test_picture_was_learned_from_is_said_only_where_it_is_known",
    ),
    Claim("of the {...} test pictures are among the {...} that this run learned from", _LEARNED, f"{_IN_LOOKS}a_leaking_split_is_told_of_a_real_run"),
    Claim(
        "are among those that run {...}, whose weights this run started from, had learned from",
        _LEARNED,
        f"{_IN_LOOKS}what_the_run_before_learned_from_counts",
    ),
    Claim("(ImageNet, as a rule) is not known.", _LEARNED, f"{_IN_LOOKS}what_starting_weights_had_learned_from_is_not_known"),
    # Grad-CAM
    Claim(
        "the map with what was left out adds up to the class's value, less its bias",
        "pages/_parts/evaluate/try_it.py",
        "tests/evaluation/test_grad_cam.py::test_before_an_average_and_one_linear_layer_the_whole_map_adds_up_to_the_classes_value",
    ),
    # The shown code
    Claim(
        "nan: neither; 0 where no image of the class was found",
        "core/code/evaluation.py",
        "tests/evaluation/test_coverage.py::test_the_f1_of_the_shown_code_is_that_of_the_screen",
    ),
)
