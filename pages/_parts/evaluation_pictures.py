"""Walls of test pictures: fetched from the lab a few at a time, each with its label, what it was taken for, and how surely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from core.config import ConfigError
from core.evaluation import Sample
from core.lab_helper import LabError
from pages._parts import evaluation_state, words
from pages._parts.evaluation_parts import Tile, picture_wall
from pages._parts.evaluation_subject import Subject
from pages._parts.services import Services

PAGE = 24
"""Pictures that a wall shows at first, and more with each press."""

Answer = TypeVar("Answer")

SIDE = 96
"""Pixels of a picture on a wall."""


def look_at(index: int) -> None:
    """Open a test picture under "Try it". For callbacks."""
    evaluation_state.choose(view=None, picture=index, target=None)


def wall(shared: Services, subject: Subject, key: str, label: str, indices: Sequence[int], action: str = "Look at it") -> None:
    """A wall of test pictures; pressing one opens it under "Try it". A button shows more where there are more."""
    many = f"{key}_many"
    if st.session_state.get(f"{many}_of") != label:
        st.session_state[f"{many}_of"], st.session_state[many] = label, PAGE
    shown = indices[: st.session_state[many]]
    found = samples(shared, subject, shown)
    if found is None:
        return
    picture_wall(key, label, [tile(subject, sample) for sample in found], action, look_at)
    left = len(indices) - len(shown)
    if left > 0:
        next_ones = min(left, PAGE)
        st.button(f"Show {next_ones:,} more of {left:,}", key=f"{key}_more", icon=":material/expand_more:", on_click=_more, args=(many,))


def samples(shared: Services, subject: Subject, indices: Sequence[int]) -> tuple[Sample, ...] | None:
    """Test pictures with what was made of them; None where the lab could not, and the screen says why."""
    return attempt(lambda: shared.lab.samples(subject.run.id, subject.epoch, tuple(indices), SIDE))


def attempt(ask: Callable[[], Answer]) -> Answer | None:
    """The lab's answer; None where there is none: its reason stands on the screen then."""
    try:
        with st.spinner("Asking the model. The first answer takes some seconds"):  # it is not shown where the answer is there at once
            return ask()
    except ConfigError as error:
        st.error(f"{words.field(error.field)}: {error.message}", icon=":material/error:")
    except LabError as error:
        st.error(str(error), icon=":material/error:")
    return None


def tile(subject: Subject, sample: Sample) -> Tile:
    """A picture as it stands on a wall."""
    name = subject.classes[sample.label]
    if sample.predicted is None or sample.confidence is None:
        return Tile(sample.index, sample.picture, name, f"taken for nothing: not finite · no. {sample.index:,}", "wrong")
    right = sample.predicted == sample.label
    taken = "" if right else f"taken for {subject.classes[sample.predicted]}, "
    return Tile(
        sample.index, sample.picture, name, f"{taken}{words.percent(sample.confidence)} sure · no. {sample.index:,}", "right" if right else "wrong"
    )


def _more(many: str) -> None:
    st.session_state[many] += PAGE
