"""Two runs on the same test set: who is right where the other is wrong, and whether the difference is more than chance."""

from __future__ import annotations

import html

import streamlit as st

from core.checkpoint import newest
from core.config import ConfigError
from core.evaluation import Difference, Evaluation
from core.predictions import difference, open_predictions
from core.store import Run
from pages._parts import evaluation_state, evaluation_words, words
from pages._parts.evaluation_pictures import wall
from pages._parts.evaluation_subject import MOST_RUNS, Subject, epoch_of, in_words, label
from pages._parts.evaluation_work import evaluation
from pages._parts.services import Services

_BOX = "evaluate_with"
_STYLE = """
<style>
.thaw-square { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.thaw-square caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.thaw-square th, .thaw-square td { padding: 0.45rem 1rem; border: 1px solid var(--st-border-color, #8886); text-align: left; font-weight: 400; }
.thaw-square th { opacity: 0.85; }
.thaw-square td b { display: block; font-size: 1.25rem; font-weight: 600; }
</style>
"""


def show(shared: Services, subject: Subject) -> None:
    """Ask for the other run, then compare."""
    others = {
        run.id: run for run in shared.store.runs(limit=MOST_RUNS) if run.id != subject.run.id and run.config.dataset == subject.run.config.dataset
    }
    others = {name: run for name, run in others.items() if newest(shared.home, run) is not None}
    if not others:
        st.info(
            f"There is no other run on {words.plain(subject.run.config.dataset)} with weights. Train one with other settings, "
            "and this shows what one gets right and the other wrong.",
            icon=":material/compare_arrows:",
        )
        return
    wanted = evaluation_state.get("with")
    st.session_state[_BOX] = wanted if wanted in others else None
    st.selectbox(
        "Compare with",
        list(others),
        key=_BOX,
        index=None,
        placeholder="Choose a run on the same test set",
        format_func=lambda each: label(others[each]),
        on_change=_chose,
    )
    if wanted not in others or wanted is None:
        st.caption("Both runs' newest kept answers are compared picture by picture. Runs on the same dataset are listed.")
        return
    _compare(shared, subject, others[wanted])


def _chose() -> None:
    evaluation_state.choose(**{"with": st.session_state[_BOX]})


def _compare(shared: Services, subject: Subject, other: Run) -> None:
    last = newest(shared.home, other)
    assert last is not None
    first = evaluation(shared, subject.run.id, subject.epoch, "the test set, for run A,")
    second = evaluation(shared, other.id, epoch_of(last), "the test set, for run B,") if first else None
    if first is None or second is None:
        return
    ours = open_predictions(shared.home, subject.run.id, subject.epoch)
    theirs = open_predictions(shared.home, other.id, epoch_of(last))
    if ours is None or theirs is None:
        st.warning("The predictions are not there any more. Choose another part of the screen and come back: they are worked out again.")
        return
    try:
        found = difference(ours, theirs)
    except ConfigError as error:
        st.error(f"{words.field(error.field)}: {error.message}", title="These two cannot be compared", icon=":material/error:")
        return
    _figures(subject, other, in_words(other, last), first, second, found)
    left, right = st.columns(2, gap="large")
    for place, name, indices in ((left, "A", found.only_first), (right, "B", found.only_second)):
        with place:
            st.markdown(f"**Only {name} is right** · {len(indices):,} pictures")
            if indices:
                wall(shared, subject, f"evaluate_only_{name}", f"Pictures that only {name} gets right: what A makes of them", indices)
            else:
                st.caption("None.")
    st.caption("Below each picture stands what run A makes of it.")


def _figures(subject: Subject, other: Run, theirs: str, first: Evaluation, second: Evaluation, found: Difference) -> None:
    cards = st.columns(3)
    for card, name, run, weights, each in (
        (cards[0], "A", subject.run, subject.here, first),
        (cards[1], "B", other, theirs, second),
    ):
        low_high = evaluation_words.interval(each.accuracy)
        card.metric(
            f"{name}: accuracy {weights}",
            evaluation_words.percent(each.accuracy),
            low_high or None,
            delta_color="off",
            delta_arrow="off",
            border=True,
        )
        card.caption(words.plain(label(run)))
    cards[2].metric(
        "McNemar's exact test",
        evaluation_words.p_value(found.p_value),
        "that both are equally good",
        delta_color="off",
        delta_arrow="off",
        border=True,
    )
    st.markdown(words.plain(evaluation_words.verdict(found, "A", "B")))
    st.html(_STYLE + square(found))


def square(found: Difference) -> str:
    """The two runs' answers as a table: both right, one of them, neither."""
    total = len(found.only_first) + len(found.only_second) + found.both + found.neither

    def cell(number: int, about: str) -> str:
        return f"<td><b>{number:,}</b>{html.escape(about)}, {words.percent(number / total if total else None)}</td>"

    return (
        '<table class="thaw-square"><caption>Test pictures by who is right</caption>'
        '<tr><td></td><th scope="col">B is right</th><th scope="col">B is wrong</th></tr>'
        f'<tr><th scope="row">A is right</th>{cell(found.both, "both right")}{cell(len(found.only_first), "only A right")}</tr>'
        f'<tr><th scope="row">A is wrong</th>{cell(len(found.only_second), "only B right")}{cell(found.neither, "both wrong")}</tr></table>'
    )
