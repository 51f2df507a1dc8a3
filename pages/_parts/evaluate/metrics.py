"""How good a run is on its test set: the measures with their intervals, class by class, and whether its confidence can be believed."""

from __future__ import annotations

import streamlit as st

from core.records.evaluation import Evaluation, Interval
from pages._parts.components.evaluation_parts import class_table, reliability
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.subject import Subject
from pages._parts.evaluate.work import evaluation
from pages._parts.shared import words
from pages._parts.shared.services import Services


def show(shared: Services, subject: Subject) -> None:
    """The measures of one checkpoint."""
    found = evaluation(shared, subject.run.id, subject.epoch)
    if found is None:
        return
    _cards(found)
    speed = f" in {found.seconds:.1f}\u00a0s" if found.seconds else ""
    st.caption(
        f"{found.samples:,} test pictures that the run never learned from, through the weights {subject.here} "
        f"(step {found.step:,}){speed}. A 95\u00a0% interval says how far chance alone, in which pictures were drawn for the test, may have "
        "moved a figure: of 20 such intervals about 19 hold the true figure, that of all pictures of this kind. Where another test set of this size "
        "would put it is another question: two measured figures differ by more, and the second is in the interval of the first about 83 times of 100."
    )
    notes(found)
    st.subheader("Class by class", anchor=False)
    class_table("evaluate_classes", "Precision, recall and F1 of each class", found.per_class)
    means = f"Mean over the classes: precision {words.percent(found.macro_precision)}, recall {words.percent(found.macro_recall)}."
    st.caption(
        f"{means} The thick mark is the measured share, the band its 95\u00a0% interval. Press a column's title to sort: the lowest come first."
    )
    st.subheader("Can its confidence be believed?", anchor=False)
    diagram, about = st.columns([6, 5], gap="large")
    with diagram:
        reliability("evaluate_reliability", f"Reliability diagram. {evaluation_words.calibration(found)}", found.bins)
    with about:
        st.markdown(evaluation_words.calibration(found))
        st.markdown(
            f"Calibration error: **{evaluation_words.percent(found.calibration_error)}**, {evaluation_words.interval(found.calibration_error)}. "
            "That is how far, on average, a prediction's confidence lies from how often such predictions are right."
        )
        st.caption(
            "Predictions are sorted by their confidence into 15 bins. A bar is the share of a bin that is right, the whisker its 95 % interval, "
            "the dot stands at the bin's mean confidence. On the dashed diagonal, confidence is what it says."
        )


def notes(found: Evaluation) -> None:
    """What a person has to know about the figures."""
    if found.not_finite:
        st.warning(
            f"For {found.not_finite:,} of {found.samples:,} pictures the model gave values that are not finite. "
            "They count as wrong and stand in no column of the confusion matrix. Try an earlier epoch, or train with a lower learning rate.",
            icon=":material/warning:",
        )
    for note in found.notes:
        st.info(words.plain(note), icon=":material/info:")


def _cards(found: Evaluation) -> None:
    cards: list[tuple[str, str, str, str]] = [
        ("Accuracy", evaluation_words.percent(found.accuracy), _range(found.accuracy), "Share of the test pictures that the model gets right."),
    ]
    if found.top5 is not None:
        about = "Share of the test pictures whose class is among the model's five likeliest."
        cards.append(("Top-5 accuracy", evaluation_words.percent(found.top5), _range(found.top5), about))
    about = "Mean of the F1 scores of all classes: small classes count as much as large ones."
    cards.append(("Macro F1", evaluation_words.percent(found.macro_f1), _range(found.macro_f1), about))
    error = found.calibration_error
    cards.append(
        ("Calibration error", evaluation_words.percent(error), _range(error), "How far confidence lies from how often it is right, on average.")
    )
    about = "Mean cross-entropy of the test pictures, in nats: 0 is perfect."
    cards.append(("Test loss", words.figure(found.loss), f"guessing is {_guessing(found):.3g}", about))
    for column, (title, value, range_, about) in zip(st.columns(len(cards)), cards, strict=True):
        column.metric(title, value, range_ or None, delta_color="off", delta_arrow="off", help=about, border=True)


def _range(found: Interval) -> str:
    return "" if found.low is None or found.high is None else f"{100 * found.low:.1f} to {100 * found.high:.1f}\u00a0%"


def _guessing(found: Evaluation) -> float:
    """The loss of a model that gives each class the same probability: ln of their number."""
    from math import log

    return log(max(1, len(found.classes)))
