"""What is taken for what: the confusion matrix of one epoch, and the pictures of a cell."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.evaluation.predictions import open_predictions
from core.records.evaluation import Evaluation
from pages._parts.components.evaluation_parts import confusion_grid
from pages._parts.evaluate import ahead as evaluation_ahead
from pages._parts.evaluate import metrics as evaluation_metrics
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.pictures import wall
from pages._parts.evaluate.subject import Subject
from pages._parts.evaluate.work import evaluation
from pages._parts.shared import words
from pages._parts.shared.services import Services

BESIDE = 24
"""Classes up to which there is room beside the matrix; with more it has the whole width."""

TOP = 6
"""Confusions that have a button of their own; twice as many where the list has the whole width."""

LONGEST = 40
"""Letters of a class's name in a sentence: of a longer one the middle is left out. The matrix and its rows say it whole."""

ALL = -1
"""Stands among the classes for all of them."""

_SHARES, _OF = "evaluate_shares", "evaluate_of"


def show(shared: Services, subject: Subject) -> None:
    """The matrix at the left, the pictures of the chosen cell beside it."""
    found = evaluation(shared, subject.run.id, subject.epoch)
    if found is None:
        return
    evaluation_metrics.warn(found)
    many = len(found.classes) > BESIDE
    left, right = (st.container(), st.container()) if many else st.columns([3, 2], gap="medium")
    chosen = _cell(found)
    of = evaluation_state.number("of", most=len(found.classes) - 1) if many else None
    with left:
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f"**{evaluation_words.percent(found.accuracy)}** right {subject.here}. Press a cell to see its pictures.", width="stretch")
        if many:
            every = all_of(found.classes)
            st.session_state[_OF] = ALL if of is None else of
            row.selectbox(
                "Find a class",
                (ALL, *range(len(found.classes))),
                key=_OF,
                format_func=lambda each: every if each == ALL else found.classes[each],
                label_visibility="collapsed",
                width=280,
                on_change=_chose_of,
            )
        st.session_state[_SHARES] = evaluation_state.get("shares") == "1"
        row.toggle("Share of the row", key=_SHARES, help="Show percentages of each class's pictures in place of counts.", on_change=_chose_shares)
        totals = [score.samples for score in found.per_class]
        label = f"Confusion matrix {subject.here}: rows are classes, columns what they were taken for"
        confusion_grid("evaluate_confusion", label, found.classes, found.confusion, totals, st.session_state[_SHARES], chosen, open_cell, of)
        if len(subject.kept) > 1:
            evaluation_ahead.show(shared, subject)
    with right:
        if chosen is None:
            _largest(found, of, many)
        else:
            _pictures(shared, subject, found, *chosen)
    evaluation_metrics.notes(found)


def all_of(classes: Sequence[str]) -> str:
    """What the first choice is called: a box knows its choices by their texts, so not as one of the classes."""
    name = "All classes"
    while name in classes:
        name += " together"
    return name


def open_cell(label: int, predicted: int) -> None:
    """Show the pictures of a cell. For callbacks."""
    evaluation_state.choose(cell=f"{label}-{predicted}")


def _close() -> None:
    evaluation_state.choose(cell=None)


def _chose_of() -> None:
    chosen = st.session_state[_OF]
    evaluation_state.choose(of=None if chosen == ALL else chosen, cell=None)


def _chose_shares() -> None:
    evaluation_state.choose(shares=1 if st.session_state[_SHARES] else None)


def _cell(found: Evaluation) -> tuple[int, int] | None:
    first, _, second = (evaluation_state.get("cell") or "").partition("-")
    if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit()):
        return None
    cell = int(first), int(second)
    return cell if max(cell) < len(found.classes) else None


def _largest(found: Evaluation, of: int | None, many: bool) -> None:
    confusions = evaluation_words.confusions(found, 2 * TOP if many else TOP, of)
    whose = "" if of is None else words.plain(evaluation_words.short(found.classes[of], LONGEST))
    st.markdown(f"**Most often confused with {whose}**" if whose else "**Most often confused**")
    if not confusions:
        nothing = f"No test picture of {whose} is taken for another class, and none of another class for {whose}."
        st.success(nothing if whose else "Nothing is confused: every test picture is right.", icon=":material/check_circle:")
        return
    columns = st.columns(2) if many else (st.container(),)
    for place, (label, predicted, number) in enumerate(confusions):
        samples = found.per_class[label].samples
        first = words.plain(evaluation_words.short(found.classes[label], LONGEST))
        second = words.plain(evaluation_words.short(found.classes[predicted], LONGEST))
        share = f" ({words.percent(number / samples)} of its {samples:,})" if samples else ""
        pictures = "picture" if number == 1 else "pictures"
        columns[place % len(columns)].button(
            f"**{first} taken for {second}**: {number:,} {pictures}{share}",
            key=f"confused_{label}_{predicted}",
            icon=":material/photo_library:",
            width="stretch",
            on_click=open_cell,
            args=(label, predicted),
        )


def _pictures(shared: Services, subject: Subject, found: Evaluation, label: int, predicted: int) -> None:
    number, samples = found.confusion[label][predicted], found.per_class[label].samples
    row = st.container(horizontal=True, vertical_alignment="center")
    first = words.plain(evaluation_words.short(found.classes[label], LONGEST))
    second = words.plain(evaluation_words.short(found.classes[predicted], LONGEST))
    row.markdown(f"**{first}**, rightly taken for it" if label == predicted else f"**{first}** taken for **{second}**", width="stretch")
    row.button("Close", key="confusion_close", icon=":material/close:", on_click=_close)
    if not number:
        st.caption(f"No test picture of {first} was taken for {second} {subject.here}.")
        return
    st.caption(f"{number:,} of {samples:,} pictures. Press one to see where the model looks.")
    kept = open_predictions(shared.home, subject.run.id, subject.epoch)
    if kept is None:
        st.warning("The predictions are not there any more. Choose another part of the screen and come back: they are worked out again.")
        return
    wall(shared, subject, "evaluate_cell", f"Pictures of {found.classes[label]} taken for {found.classes[predicted]}", kept.cell(label, predicted))
