"""How good a run is on its test set: the measures with their intervals, class by class, and whether its confidence can be believed."""

from __future__ import annotations

from math import log

import streamlit as st

from core.evaluation import telling
from core.evaluation.confidence import Meaning, meaning_of
from core.evaluation.learned_from import learned_from
from core.evaluation.seeds import spread
from core.records.evaluation import Evaluation, Interval
from pages._parts.components.evaluation_parts import class_table, reliability
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.subject import MOST_RUNS, TRAIN, Subject
from pages._parts.evaluate.work import evaluation
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services

COVERED = (
    "Of 20 such intervals about 19 hold the true figure, that of all pictures of this kind with these weights. Where another test set of this size "
    "would put it is another question: two measured figures differ by more, and the second is in the interval of the first about 8 times of 10."
)


def show(shared: Services, subject: Subject) -> None:
    """The measures of one checkpoint."""
    found = evaluation(shared, subject.run.id, subject.epoch)
    if found is None:
        return
    meaning = meaning_of(subject.run.config, len(found.classes))
    _cards(found, meaning)
    warn(found)
    _about(shared, subject, found)
    notes(found)
    _other_seeds(shared, subject)
    st.subheader("Class by class", anchor=False)
    class_table("evaluate_classes", "Precision, recall and F1 of each class", found.per_class)
    st.caption(f"{means(found)} Beside each stands its 95\u00a0% interval, on wide screens drawn as a band. Press a column's title to sort.")
    st.subheader("Can its confidence be believed?", anchor=False)
    _confidence(found, meaning)


def _about(shared: Services, subject: Subject, found: Evaluation) -> None:
    """What was measured on, and what the intervals say."""
    speed = f" in {found.seconds:.1f}\u00a0s" if found.seconds else ""
    known = learned_from(shared.home, subject.run)
    told = f"{found.samples:,} test pictures, through the weights {subject.here} (step {found.step:,}){speed}."
    if known.leaks:
        st.warning(words.plain(known.sentence), title="The run has learned from test pictures", icon=":material/warning:")
    else:
        told = f"{told} {words.plain(known.sentence)}"
    st.caption(f"{told} {words.plain(telling.COVERS)}", help=COVERED)


def means(found: Evaluation) -> str:
    """Macro precision and recall, and over how many classes they are taken."""
    parts = []
    for name, value, there in (
        ("precision", found.macro_precision, sum(score.precision.value is not None for score in found.per_class)),
        ("recall", found.macro_recall, sum(score.recall.value is not None for score in found.per_class)),
    ):
        over = f" (of the {there:,} classes that have one)" if there < len(found.per_class) else ""
        parts.append(f"{name} {words.percent(value)}{over}")
    return f"Mean over the classes: {', '.join(parts)}."


def _other_seeds(shared: Services, subject: Subject) -> None:
    """What other seeds gave, or how to find out."""
    known = spread(subject.run, shared.store.runs(limit=MOST_RUNS))
    if known is not None:
        st.caption(f":material/casino: {words.plain(telling.spread(known))}")
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(
        ":material/casino: How much another seed would change is seen once runs have finished that differ in their seed only.", width="stretch"
    )
    if row.button("Train with another seed", icon=":material/replay:", help="Opens the form with these settings and the next seed."):
        draft.fill(subject.run.config.replace(seed=(subject.run.config.seed + 1) % 2**32))
        st.switch_page(TRAIN, query_params={draft.SET_UP: "1"})


def _confidence(found: Evaluation, meaning: Meaning) -> None:
    told = telling.calibration(found, meaning)
    if not meaning.judged or found.sureness is None:
        st.markdown(words.plain(told))
        return
    diagram, about = st.columns([6, 5], gap="large")
    with diagram:
        reliability("evaluate_reliability", f"Reliability diagram. {told}", found.bins)
    with about:
        st.markdown(words.plain(told))
        st.markdown(
            f"Calibration error: **{evaluation_words.percent(found.calibration_error)}**, {words.plain(telling.calibration_error(found))} "
            "It is how far, on average, a prediction's confidence lies from how often such predictions are right."
        )
        st.caption(
            "Predictions are sorted by their confidence into 15 bins. A bar is the share of a bin that is right, the whisker its 95 % interval, "
            "the dot stands at the bin's mean confidence. On the dashed diagonal, confidence is what it says."
        )


def warn(found: Evaluation) -> None:
    """What a person has to know before the figures."""
    if found.not_finite:
        st.warning(
            f"For {found.not_finite:,} of {found.samples:,} pictures the model gave values that are not finite. "
            "They count as wrong and stand in no column of the confusion matrix. Try an earlier epoch, or train with a lower learning rate.",
            icon=":material/warning:",
        )


def notes(found: Evaluation) -> None:
    """What else there is to know about the figures: below them, since it may be long."""
    for note in found.notes:
        st.caption(f":material/info: {words.plain(note)}")


def _cards(found: Evaluation, meaning: Meaning) -> None:
    cards: list[tuple[str, str, str, str]] = [
        ("Accuracy", evaluation_words.percent(found.accuracy), _range(found.accuracy), "Share of the test pictures that the model gets right."),
    ]
    if found.top5 is not None:
        about = "Share of the test pictures whose class is among the model's five likeliest."
        cards.append(("Top-5 accuracy", evaluation_words.percent(found.top5), _range(found.top5), about))
    about = (
        "Mean of the F1 scores of all classes that have test pictures or were predicted (0 where only one of the two): small classes count as much "
        "as large ones."
    )
    cards.append(("Macro F1", evaluation_words.percent(found.macro_f1), _range(found.macro_f1), about))
    error = found.calibration_error
    if meaning.judged:
        about = "How far confidence lies from how often it is right, on average; what chance adds to it is taken off."
        cards.append(("Calibration error", evaluation_words.percent(error), _range(error), about))
    about = "Mean cross-entropy of the test pictures, in nats: 0 is perfect."
    cards.append(("Test loss", words.figure(found.loss), f"guessing is {_guessing(found):.3g}", about))
    for column, (title, value, range_, about) in zip(st.columns(len(cards)), cards, strict=True):
        column.metric(title, value, range_ or None, delta_color="off", delta_arrow="off", help=about, border=True)


def _range(found: Interval) -> str:
    return "" if found.low is None or found.high is None else f"{100 * found.low:.1f} to {100 * found.high:.1f}\u00a0%"


def _guessing(found: Evaluation) -> float:
    """The loss of a model that gives each class the same probability: ln of their number."""
    return log(max(1, len(found.classes)))
