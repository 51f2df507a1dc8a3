"""Two runs on the same test set: who is right where the other is wrong, and whether the difference is more than chance."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import ConfigError
from core.evaluation import telling
from core.evaluation.looks import pictures_of
from core.evaluation.predictions import difference, open_predictions
from core.evaluation.seeds import spread
from core.records.evaluation import Difference, Evaluation
from core.store import Run
from core.store.checkpoint import newest
from pages._parts.evaluate import choosing as evaluation_choosing
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.pictures import wall
from pages._parts.evaluate.subject import MOST_RUNS, NEWEST, TICK, Subject, how_it_is, id_in, label, offer_newer, subject_of
from pages._parts.evaluate.work import evaluation
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

_BOX, _EPOCH = "evaluate_with", "evaluate_with_epoch"
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
    """Ask for the other run and its weights, then compare."""
    others = {run.id: run for run in shared.store.runs(limit=MOST_RUNS) if _comparable(shared, subject, run)}
    if not others:
        st.info(
            f"There is no other run on {words.plain(subject.run.config.dataset)} with weights. Train one with other settings, "
            "and this shows what one gets right and the other wrong.",
            icon=":material/compare_arrows:",
        )
        return
    wanted = evaluation_state.get("with")
    st.session_state[_BOX] = wanted if wanted in others else None
    left, right = st.columns([3, 2])
    left.selectbox(
        "Compare with",
        list(others),
        key=_BOX,
        index=None,
        placeholder="Choose a run on the same test set",
        format_func=lambda each: label(others[each]),
        on_change=_chose,
        args=(tuple(others),),
    )
    if wanted not in others or wanted is None:
        st.caption(f"Both runs' answers are compared picture by picture. Runs on the same dataset are listed, and {_this_run(subject)}.")
        return
    other = _ask_weights(shared, subject, others[wanted], right)
    if other is not None:
        _compare(shared, subject, other)


def _comparable(shared: Services, subject: Subject, run: Run) -> bool:
    if run.id == subject.run.id:
        return len(subject.kept) > 1
    return pictures_of(shared.home, run) == pictures_of(shared.home, subject.run) and newest(shared.home, run) is not None


def _ask_weights(shared: Services, subject: Subject, run: Run, place: DeltaGenerator) -> Subject | None:
    """The other run with the weights that are chosen in the URL: the newest, unless those are compared with themselves."""
    epoch = evaluation_state.number("with_epoch")
    if run.id == subject.run.id:
        others = tuple(each for each in subject.kept if each != subject.chosen)
        usual = NEWEST if NEWEST in others else others[0]
        other = replace(subject, kept=others, chosen=epoch if epoch is not None and epoch in others else usual)
    else:
        found = subject_of(shared, run, epoch, still=True)
        if found is None:  # its weights were deleted just now
            st.warning("That run has no weights any more. Choose another one.", icon=":material/warning:")
            return None
        other = found
    if len(other.kept) > 1:
        st.session_state[_EPOCH] = other.chosen
        place.select_slider("Weights of B", other.kept, key=_EPOCH, format_func=other.option, on_change=_chose_epoch)
    else:
        place.caption(f"B: {other.only_one}" if run.id != subject.run.id else f"B: the weights {other.here}.")
    if run.status.active and run.id != subject.run.id:
        with place:
            alone(offer_newer, shared, other, "evaluate_with_newer", every=TICK)
    return other


def _this_run(subject: Subject) -> str:
    return f"this run ({subject.run.id}) with its other weights"


def _chose(offered: Sequence[str]) -> None:
    chosen = id_in(st.session_state[_BOX])
    if chosen is not None and chosen not in offered:
        return  # a browser may still have the list of before
    evaluation_state.choose(**{"with": chosen}, with_epoch=None)


def _chose_epoch() -> None:
    chosen = st.session_state[_EPOCH]
    evaluation_state.choose(with_epoch=None if chosen == NEWEST else chosen)


def _compare(shared: Services, subject: Subject, other: Subject) -> None:
    first = evaluation(shared, subject.run.id, subject.epoch, "the test set, for A,")
    second = evaluation(shared, other.run.id, other.epoch, "the test set, for B,") if first else None
    if first is None or second is None:
        return
    ours = open_predictions(shared.home, subject.run.id, subject.epoch)
    theirs = open_predictions(shared.home, other.run.id, other.epoch)
    if ours is None or theirs is None:
        st.warning("The predictions are not there any more. Choose another part of the screen and come back: they are worked out again.")
        return
    try:
        found = difference(ours, theirs)
    except ConfigError as error:
        st.error(f"{words.field(error.field)}: {words.plain(error.message)}", title="These two cannot be compared", icon=":material/error:")
        return
    for name, predictions in (("A", ours), ("B", theirs)):
        for note in predictions.notes_on_pictures:
            st.info(words.plain(f"{name}: {note}"), icon=":material/info:")
    _figures(subject, other, first, second, found)
    evaluation_choosing.of_two(shared, subject, other)
    _other_seeds(shared, subject, other)
    left, right = st.columns(2, gap="large")
    for column, name, indices, place in ((left, "A", found.only_first, "page"), (right, "B", found.only_second, "page_b")):
        with column:
            st.markdown(f"**Only {name} is right** · {len(indices):,} picture{'' if len(indices) == 1 else 's'}")
            if indices:
                label_ = f"Pictures that only {name} gets right: what A makes of them"
                wall(shared, subject, f"evaluate_only_{name}", label_, ours.surest_first(indices), place)
            else:
                st.caption("None.")
    st.caption("Below each picture stands what A makes of it. Those come first of which A is surest.")


def _figures(subject: Subject, other: Subject, first: Evaluation, second: Evaluation, found: Difference) -> None:
    cards = st.columns(3)
    for card, name, whose, each in ((cards[0], "A", subject, first), (cards[1], "B", other, second)):
        low_high = evaluation_words.interval(each.accuracy)
        card.metric(
            f"{name}: accuracy {whose.here}",
            evaluation_words.percent(each.accuracy),
            low_high or None,
            delta_color="off",
            delta_arrow="off",
            border=True,
        )
        card.caption(words.plain(f"{label(whose.run)} · {how_it_is(whose.run)}"))
    cards[2].metric(
        "McNemar's exact test",
        evaluation_words.p_value(found.p_value),
        "if both were equally good",
        delta_color="off",
        delta_arrow="off",
        help="How often chance alone would split equally good weights at least as unevenly. It is not the chance that they are equally good.",
        border=True,
    )
    st.markdown(words.plain(evaluation_words.verdict(found, "A", "B")))
    st.html(_STYLE + square(found))


def _other_seeds(shared: Services, subject: Subject, other: Subject) -> None:
    """What other seeds of the two gave, where there are some."""
    runs = shared.store.runs(limit=MOST_RUNS)
    first, second = spread(subject.run, runs), spread(other.run, runs)
    for name, known in (("A and B" if first == second else "A", first), ("B", None if first == second else second)):
        if known is not None:
            st.caption(f":material/casino: {words.plain(f'{name}: {telling.spread(known)}')}")


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
