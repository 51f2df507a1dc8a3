"""The Evaluate screen's work in plain PyTorch."""

from __future__ import annotations

import streamlit as st

from core.code.evaluation import evaluation_code
from core.config import ConfigError
from pages._parts.evaluate.subject import Subject
from pages._parts.shared import words
from pages._parts.shared.services import Services


def show(shared: Services, subject: Subject) -> None:
    """The code, written only where it is looked at."""
    box = st.expander("Show the PyTorch", icon=":material/code:", key="evaluate_code", on_change="rerun")
    if not box.open:
        return
    with box:
        st.caption("The same by hand: the test set through the model, and one picture. It runs as it stands beside the downloaded weights.")
        name = f"{words.subject(subject.run.config).replace(' ', '-')}-{subject.run.id}.pth"
        try:
            code = evaluation_code(subject.run.config, subject.classes, name)
        except ConfigError as error:
            st.error(f"There is no code for this run. {words.field(error.field)}: {words.plain(error.message)}", icon=":material/error:")
        else:
            st.code(code, language="python")
