"""The test set as the model sees it, before training and after: how classes come apart."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

import streamlit as st

from core.records.evaluation import EmbeddingMap, Work
from pages._parts.components.evaluation_parts import embedding_map
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate.pictures import look_at, samples, tile
from pages._parts.evaluate.subject import NEWEST, Subject
from pages._parts.evaluate.work import awaited
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

LOOKS = 40
"""Ten colours by four shapes."""

_BEFORE = "evaluate_before"
METHODS: Mapping[str, str] = {"pca": "PCA", "t-sne": "t-SNE"}
_METHOD = "evaluate_method"
_ASKED = "evaluate_map_asked"


def show(shared: Services, subject: Subject) -> None:
    """The map of the chosen weights, and of earlier ones that they are compared with."""
    others = [each for each in subject.kept if each != subject.chosen]
    if not others:
        st.info(
            "A map before and after needs two kept epochs. This run has one: train it again, and it keeps its epochs.", icon=":material/scatter_plot:"
        )
        return
    wanted = NEWEST if evaluation_state.get("before") == "newest" else evaluation_state.number("before")
    before = wanted if wanted in others else others[0]
    assert before is not None
    st.session_state[_BEFORE] = before
    left, right = st.columns([8, 5], gap="large")
    right.selectbox("Compare with the weights", others, key=_BEFORE, format_func=subject.option, on_change=_chose_before)
    method = evaluation_state.get("method")
    st.session_state[_METHOD] = method if method in METHODS else "pca"
    right.segmented_control("Projection", METHODS, key=_METHOD, required=True, format_func=lambda name: METHODS[name], on_change=_chose_method)
    method = st.session_state[_METHOD]

    def ask(retry: bool = False) -> tuple[Work, EmbeddingMap | None]:
        return shared.lab.embedding(subject.run.id, subject.epoch_at(before), subject.epoch, method, retry)

    with left:
        found = awaited(ask, "Mapping the test set", f"map_{subject.run.id}_{before}_{subject.epoch}_{method}")
        if found is not None:
            alone(_drawn, shared, subject, found, before)
    with right:
        st.markdown(
            "**What to look for.** Before training, classes lie mixed up, or apart only as far as the starting weights already tell them apart. "
            "Training pulls each class together and away from the others: the clearer the groups, the easier the head's work.\n\n"
            "A point in a group of another colour is a picture that the model sees as that class: point at it to see why.\n\n"
            "Who is whose neighbour means something. Directions do not, and neither do distances between the two maps."
        )
        if found is not None:
            _about(subject, found, before)


def _about(subject: Subject, found: EmbeddingMap, before: int) -> None:
    by = METHODS.get(found.method.lower(), found.method)
    about = f"{len(found.points):,} test pictures, as `{words.plain(found.layer)}` gets them, projected to two dimensions by {words.plain(by)}."
    first, second = found.explained
    if isnan(first) or isnan(second):
        about += " It keeps neighbours together, and says nothing about how far groups are from each other."
    else:
        kept = f"{words.percent(first)} of the spread {subject.named(before)} and {words.percent(second)} {subject.here}"
        about += f" Two dimensions keep {kept}; the rest is not in sight."
    if len(subject.classes) > LOOKS:
        about += f" Colours and shapes repeat after {LOOKS} classes: press a class below the map to see it alone."
    st.caption(about)
    if found.note:
        st.caption(f":material/info: {words.plain(found.note)}")


def _chose_before() -> None:
    chosen = st.session_state[_BEFORE]
    evaluation_state.choose(before="newest" if chosen == NEWEST else chosen)


def _chose_method() -> None:
    chosen = st.session_state[_METHOD]
    evaluation_state.choose(method=None if chosen == "pca" else chosen)


def _drawn(shared: Services, subject: Subject, found: EmbeddingMap, before: int) -> None:
    """For a fragment: pointing at a picture fetches it, and redraws nothing else."""
    if evaluation_state.get("view") != "map":
        st.rerun(scope="app")  # a picture was opened
    asked = st.session_state.get(_ASKED)
    pictures = []
    if asked is not None and any(point.index == asked for point in found.points):
        for sample in samples(shared, subject, (asked,)) or ():
            shown = tile(subject, sample)
            pictures.append((sample.index, sample.picture, f"{shown.title}: {shown.about}"))
    embedding_map(
        "evaluate_map",
        f"Map of {len(found.points):,} test pictures before and after training",
        found,
        subject.classes,
        (capital(subject.named(before)), capital(subject.here)),
        pictures,
        _ask,
        look_at,
    )


def _ask(index: int) -> None:
    st.session_state[_ASKED] = index


def capital(text: str) -> str:
    """The same with a capital letter first."""
    return text[:1].upper() + text[1:]
