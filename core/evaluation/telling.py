"""What figures of an evaluation say, in sentences, for the screen and the command line. No torch."""

from __future__ import annotations

from core.evaluation.calibration import ALARM
from core.evaluation.confidence import Meaning
from core.evaluation.looks import Looks, optimism
from core.evaluation.seeds import Spread
from core.records.evaluation import Evaluation
from core.records.events import EpochRow

COVERS = (
    "A 95\u00a0% interval covers chance in the choice of the test pictures only: another seed would train other weights, and move the figure too."
)
"""What a 95 % interval is about, and what not."""

SPOILS = "Whoever chooses by test figures gets one that is too good: the best of several is partly the luckiest."


def calibration(found: Evaluation, meaning: Meaning) -> str:
    """Whether the model knows how sure it may be. "Too sure" and "less sure" are said only where chance hardly explains the difference."""
    sure = found.sureness
    if sure is None:
        return "There is no finite prediction, so nothing can be said about its confidence."
    if not meaning.judged:
        return f"{meaning.text} So whether it can be believed is not judged."
    sums = f"It is {_percent(sure.confidence)} confident on average, and right in {_percent(sure.right)}"
    by_chance = f"a model that is just as sure as it may be comes out this far off, or further, in {_often(sure.p_value)} of such test sets"
    count = found.samples - found.not_finite
    if sure.p_value < ALARM and sure.confidence > sure.right:
        told = f"{sums}: it is too sure of itself ({by_chance}). Bars below the diagonal are where."
    elif sure.p_value < ALARM:
        told = f"{sums}: it is less sure than it could be ({by_chance}). Bars above the diagonal are where."
    elif found.calibration_error.low:
        told = (
            f"{sums}, a difference that chance explains. But it is too sure in some places and not sure enough in others, "
            "by more than chance explains."
        )
    else:
        told = f"{sums}: {count:,} pictures show no difference that chance does not explain ({by_chance})."
    return f"{told} {meaning.text}".rstrip()


def calibration_error(found: Evaluation) -> str:
    """How large the calibration error is, and what chance makes of it."""
    error, plain = found.calibration_error, found.plain_calibration_error
    if error.value is None or error.low is None or error.high is None or plain is None:
        return ""
    explained = "chance alone explains all that was measured" if error.low == 0 else "chance alone does not explain it"
    return (
        f"95\u00a0% interval {100 * error.low:.1f} to {100 * error.high:.1f}\u00a0%: {explained}. As usually given (Guo et al. 2017), with "
        f"what chance adds to it, it is {_percent(plain)}."
    )


def spread(found: Spread) -> str:
    """What other seeds of the same settings gave."""
    seeds = ", ".join(map(str, found.seeds[:8])) + (" ..." if len(found.seeds) > 8 else "")
    lowest, highest = min(found.accuracies), max(found.accuracies)
    return (
        f"{len(found.seeds):,} runs that differ in nothing but their seed ({seeds}): test accuracy {_percent(found.mean)} on average, standard "
        f"deviation {100 * found.deviation:.1f} points, from {_percent(lowest)} to {_percent(highest)}, each on {found.pictures:,} test pictures."
    )


def looked_at(looks: Looks, samples: int, accuracy: float | None) -> str:
    """How often a test set was looked at, and what choosing among as many would give away."""
    runs = f", {_times(looks.all_runs)} with those of all {looks.runs:,} runs on it" if looks.runs > 1 else ""
    told = f"This test set was looked at {_times(looks.own)} with trained weights of this run{runs}."
    extra = optimism(looks.all_runs, samples, accuracy) if accuracy is not None else 0.0
    if extra < 0.0005:
        return told
    best = f"the best of {looks.all_runs:,} that are equally good looks up to {100 * extra:.1f} points better than it is"
    return f"{told} On average over many test sets {best}, by chance alone."


def best(row: EpochRow | None) -> str:
    """Which epoch the validation set would choose."""
    if row is None:
        return "Nothing was measured on a validation set, so it cannot choose: hold pictures back for one (validation share) in the next run."
    return f"The validation set chooses epoch {row.epoch:,} ({_percent(row.validation_accuracy)} right there)."


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f}\u00a0%"


def _often(p_value: float) -> str:
    return "less than 0.01\u00a0%" if p_value < 1e-4 else f"{100 * p_value:.2g}\u00a0%" if p_value < 0.995 else "all"


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count:,} times"
