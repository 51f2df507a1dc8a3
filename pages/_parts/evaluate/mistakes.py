"""Where the model is wrong and most sure of it: pictures that are hard, strange, or labelled wrongly."""

from __future__ import annotations

import streamlit as st

from core.evaluation.predictions import open_predictions
from pages._parts.evaluate import metrics as evaluation_metrics
from pages._parts.evaluate.pictures import wall
from pages._parts.evaluate.subject import Subject
from pages._parts.evaluate.work import evaluation
from pages._parts.shared.services import Services


def show(shared: Services, subject: Subject) -> None:
    """The wall of mistakes, the surest first."""
    found = evaluation(shared, subject.run.id, subject.epoch)
    if found is None:
        return
    evaluation_metrics.warn(found)
    kept = open_predictions(shared.home, subject.run.id, subject.epoch)
    wrong = kept.mistakes(found.samples) if kept else ()
    if not wrong:
        st.success(f"No mistake in {found.samples:,} test pictures {subject.here}.", icon=":material/check_circle:")
        evaluation_metrics.notes(found)
        return
    st.markdown(
        f"**{len(wrong):,} of {found.samples:,} test pictures are wrong** {subject.here}; the surest mistakes come first. "
        "Look for labels that are wrong themselves, and for what the pictures have in common. Press one to see where the model looks."
    )
    wall(shared, subject, "evaluate_mistakes", f"Most confident mistakes {subject.here}", wrong)
    evaluation_metrics.notes(found)
