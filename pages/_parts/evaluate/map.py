"""The test set as the last layer gets it, before training and after; what can be read off the map, in numbers of that very map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

import streamlit as st

from core.config.limits import quoted
from core.records.evaluation import EmbeddingMap, Work
from core.records.events import ChangeRow, Layer
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
    if method is not None and method not in METHODS:
        there = " and ".join(METHODS.values())
        asked = words.plain(quoted(method))
        st.warning(f"The link asks for the projection {asked}, which there is not; this is PCA. There are {there}.", icon=":material/link_off:")
    st.session_state[_METHOD] = method if method in METHODS else "pca"
    right.segmented_control("Projection", METHODS, key=_METHOD, required=True, format_func=lambda name: METHODS[name], on_change=_chose_method)
    method = st.session_state[_METHOD]

    def ask(retry: bool = False) -> tuple[Work, EmbeddingMap | None]:
        return shared.lab.embedding(subject.run.id, subject.epoch_at(before), subject.epoch, method, retry)

    with left:
        found = awaited(ask, "Mapping the test set", f"map_{subject.run.id}_{before}_{subject.epoch}_{method}")
        if found is not None:
            alone(_drawn, shared, subject, found, before)
            _about(subject, found, before)
    with right:
        if found is None:
            st.caption("What to look for stands here once the map is drawn.")
        else:
            for told in (
                what_moved(subject, found, before, _learned(shared, subject, found)),
                what_it_says(subject, found, before),
                strangers(found),
            ):
                st.markdown(told)


def _learned(shared: Services, subject: Subject, found: EmbeddingMap) -> bool | None:
    """Whether anything learned that the mapped layer rests on: any tensor that is not its own; None where the run says nothing of it."""
    plan = subject.run.plan
    if plan is None or not plan.layers:
        return None
    changes = shared.store.changes_after(subject.run.id)
    return learned_before(plan.layers, changes, found.layer)


def learned_before(layers: Sequence[Layer], changes: Sequence[ChangeRow], path: str) -> bool:
    """Whether a tensor outside of the layer at `path` was to learn at some step, by the plan and by the changes that were made to it."""
    outside = [not layer.name.startswith(f"{path}.") for layer in layers]
    plans = [[not layer.frozen for layer in layers], *((~change.frozen).tolist() for change in changes)]
    return any(learns and apart for plan in plans for learns, apart in zip(plan, outside, strict=True))


def what_moved(subject: Subject, found: EmbeddingMap, before: int, learned: bool | None) -> str:
    """What training did to what the last layer gets: Markdown."""
    layer = words.code(found.layer)
    if found.still:
        why = (
            f": nothing before {layer} learned, so it cannot have moved. Only {layer} itself did, which is no part of this map"
            if learned is False
            else ""
        )
        return f"**Nothing moved.** What {layer} gets is equal bit for bit, {subject.named(before)} and {subject.here}{why}."
    told = ""
    if learned is False:
        told = f" Nothing before {layer} was to learn, and yet what it gets moved: the freeze audit on Train tells what did."
    if found.surroundings is None:
        return f"**What moved.** What {layer} gets changed.{told}"
    first, second = found.surroundings
    return (
        f"**What moved.** Of each picture's {first.nearest:,} nearest, in all {found.dimensions:,} dimensions that {layer} gets, "
        f"{words.percent(first.own)} are of its own class {subject.named(before)}, and {words.percent(second.own)} {subject.here}.{told}"
    )


def what_it_says(subject: Subject, found: EmbeddingMap, before: int) -> str:
    """What can be read off a map of this method, and what not: Markdown."""
    if found.surroundings is None:
        return ""
    first, second = found.surroundings
    then = "" if found.still else f"{words.percent(first.kept)} {subject.named(before)}; "
    kept = (
        f"of each picture's {first.nearest:,} nearest, {words.percent(second.kept)} are among its {first.nearest:,} nearest on the map "
        f"{subject.here} ({then}{words.percent(first.by_chance)} by chance)"
    )
    if found.method == "pca":
        return (
            "**Directions mean something, nearness little.** PCA looks along the two directions in which the pictures differ most for the model: "
            f"what is far apart here is far apart for it. What is close here need not be: {kept}."
        )
    return (
        f"**Nearness means something, directions do not.** t-SNE tries to keep neighbours: {kept}. Which way groups lie, how far apart, and how "
        "large they are says nothing."
    )


def strangers(found: EmbeddingMap) -> str:
    """What points among another colour are, counted on the later map: Markdown."""
    if found.surroundings is None:
        return ""
    second = found.surroundings[1]
    if not second.strangers:
        return "No point lies among another colour."
    return (
        f"**A point among another colour** is not yet a picture that the model takes for that class. The {second.nearest:,} nearest on the map are "
        f"most often of one other class for {second.strangers:,} of {len(found.points):,} points: the model takes {second.taken:,} of these for that "
        f"class, and {second.right:,} for what they are. Point at one to see it."
    )


def _about(subject: Subject, found: EmbeddingMap, before: int) -> None:
    by = METHODS.get(found.method.lower(), found.method)
    about = f"{len(found.points):,} test pictures, as {words.code(found.layer)} gets them, projected to two dimensions by {words.plain(by)}."
    first, second = found.explained
    if not (isnan(first) or isnan(second)):
        there = f"{words.percent(first)} of the spread (variance)"
        if found.still:
            about += f" Two dimensions, the first across, the second up, keep {there}; the rest is not in sight."
        else:
            kept = f"{there} {subject.named(before)} and {words.percent(second)} {subject.here}"
            about += f" Two dimensions keep {kept}, there the first across, the second up; the rest is not in sight."
    if not found.still:
        about += " Each map is scaled to its own spread: distances on the two cannot be compared."
        about += f" The map {subject.named(before)} is turned to lie close to the other."
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
    place = st.container()  # the map keeps its place in the page while its picture is waited for: what is said of waiting stands below
    pictures = []
    if asked is not None and any(point.index == asked for point in found.points):
        for sample in samples(shared, subject, (asked,)) or ():
            shown = tile(subject, sample)
            pictures.append((sample.index, sample.picture, f"{shown.title}: {shown.about}"))
    with place:
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
