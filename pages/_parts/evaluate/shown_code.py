"""The Evaluate screen's work in plain PyTorch."""

from __future__ import annotations

import streamlit as st

from core.code import recorded
from core.code.differences import about_test_set
from core.code.evaluation import evaluation_code
from core.config import ConfigError
from pages._parts.evaluate.subject import Subject
from pages._parts.run.tuning_view import with_chosen_way
from pages._parts.setup.form import write_code
from pages._parts.shared import naming, words
from pages._parts.shared.services import Services


def show(shared: Services, subject: Subject) -> None:
    """The code, written only where it is looked at."""
    box = st.expander("Show the PyTorch", icon=":material/code:", key="evaluate_code", on_change="rerun")
    if not box.open:
        return
    with box:
        told = "The same by hand: the test set through the model, and one picture. It runs as it stands beside the downloaded weights, without Thaw."
        name = naming.file_name(subject.run, ".pth")
        try:
            record = recorded(shared.home, subject.run)
            config = with_chosen_way(shared, subject.run, subject.run.config)
            code = evaluation_code(config, subject.classes, name, record)
        except ConfigError as error:
            st.error(words.plain(f"There is no code for this run. {words.field(error.field)}: {error.message}"), icon=":material/error:")
        else:
            st.caption(words.plain(" ".join((told, *about_test_set(subject.run, record)))))
            write_code(code, f"evaluate-{subject.run.id}.py")
