"""Walls of test pictures: fetched from the lab a page at a time, each with its label, what it was taken for, and how surely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TypeVar

import streamlit as st

from core.config import ConfigError
from core.evaluation.confidence import meaning_of
from core.helpers.helper import LabError
from core.records.evaluation import Sample
from pages._parts.components.evaluation_parts import Tile, picture_wall
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.subject import Subject
from pages._parts.shared import words
from pages._parts.shared.services import Services

PAGE = 24
"""Pictures on a page of a wall."""

Answer = TypeVar("Answer")

LONGEST = 32
"""Letters of the name below a picture that it was taken for: of a longer one the middle is left out."""

SIDE = 96
"""Pixels of a picture on a wall."""


def look_at(index: int) -> None:
    """Open a test picture under "Try it". For callbacks."""
    evaluation_state.choose(view=None, picture=index, target=None)


def wall(shared: Services, subject: Subject, key: str, label: str, indices: Sequence[int], place: str = "page") -> None:
    """A wall of test pictures, page by page; pressing one opens it under "Try it". `place`: what its page is called in the URL."""
    pages = max(1, ceil(len(indices) / PAGE))
    page = min(evaluation_state.number(place, least=1) or 1, pages)
    shown = indices[(page - 1) * PAGE : page * PAGE]
    found = samples(shared, subject, shown)
    if found is None:
        return
    meaning = meaning_of(subject.run.config, len(subject.classes))
    if not meaning.judged:
        st.caption(f":material/info: {words.plain(meaning.text)}")
    picture_wall(key, label, [tile(subject, sample) for sample in found], "Look at it", look_at)
    if pages > 1:
        pager = f"{key}_page_{hash(tuple(indices)):x}"  # other pictures have a pager of their own, which begins where the URL says
        if st.session_state.get(pager, page) != page:  # the browser went back
            st.session_state[pager] = page
        row = st.container(horizontal=True, vertical_alignment="center")
        first = (page - 1) * PAGE + 1
        row.caption(f"{first:,} to {first + len(shown) - 1:,} of {len(indices):,} pictures", width="stretch")
        with row:
            st.pagination(pages, default=page, key=pager, on_change=_turned, args=(pager, place))


def samples(shared: Services, subject: Subject, indices: Sequence[int]) -> tuple[Sample, ...] | None:
    """Test pictures with what was made of them; None where the lab could not, and the screen says why."""
    return attempt(lambda: shared.lab.samples(subject.run.id, subject.epoch, tuple(indices), SIDE))


def attempt(ask: Callable[[], Answer]) -> Answer | None:
    """The lab's answer; None where there is none: its reason stands on the screen then."""
    try:
        with st.spinner("Asking the model. The first answer takes some seconds"):  # it is not shown where the answer is there at once
            return ask()
    except ConfigError as error:
        st.error(f"{words.field(error.field)}: {words.plain(error.message)}", icon=":material/error:")
    except LabError as error:
        st.error(words.plain(str(error)), icon=":material/error:")
    return None


def tile(subject: Subject, sample: Sample) -> Tile:
    """A picture as it stands on a wall."""
    name = subject.classes[sample.label]
    number = f"no.\N{NO-BREAK SPACE}{sample.index:,}"  # below a small picture lines are short: a figure stays with its unit
    if sample.predicted is None or sample.confidence is None:
        return Tile(sample.index, sample.picture, name, f"taken for nothing: not finite · {number}", "wrong")
    right = sample.predicted == sample.label
    taken = "" if right else f"taken for {evaluation_words.short(subject.classes[sample.predicted], LONGEST)}, "
    about = f"{taken}{words.percent(sample.confidence)} sure · {number}"
    return Tile(sample.index, sample.picture, name, about, "right" if right else "wrong")


def _turned(pager: str, place: str) -> None:
    page = st.session_state[pager]
    evaluation_state.choose(**{place: None if page == 1 else page})
