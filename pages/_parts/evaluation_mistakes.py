"""Where the model is wrong and most sure of it: pictures that are hard, strange, or labelled wrongly."""

from __future__ import annotations

import streamlit as st

from core.predictions import open_predictions
from pages._parts import evaluation_metrics
from pages._parts.evaluation_pictures import wall
from pages._parts.evaluation_subject import Subject
from pages._parts.evaluation_work import evaluation
from pages._parts.services import Services

MOST = 480


def show(shared: Services, subject: Subject) -> None:
    """The wall of mistakes, the surest first."""
    found = evaluation(shared, subject.run.id, subject.epoch)
    if found is None:
        return
    evaluation_metrics.notes(found)
    kept = open_predictions(shared.home, subject.run.id, subject.epoch)
    wrong = kept.mistakes(MOST) if kept else ()
    if not wrong:
        st.success(f"No mistake in {found.samples:,} test pictures {subject.here}.", icon=":material/check_circle:")
        return
    accuracy = found.accuracy.value or 0.0
    number = round(found.samples * (1 - accuracy))
    st.markdown(
        f"**{number:,} of {found.samples:,} test pictures are wrong** {subject.here}; the surest mistakes come first. "
        "Look for labels that are wrong themselves, and for what the pictures have in common. Press one to see where the model looks."
    )
    wall(shared, subject, "evaluate_mistakes", f"Most confident mistakes {subject.here}", wrong)
