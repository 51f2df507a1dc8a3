"""Try it: one picture (or `many`) through the model, its five likeliest classes, and where the model looks. Also while the run trains on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import ConfigError
from core.evaluation import pictures
from core.helpers.helper import LabError
from core.machine.home import Home
from core.records.evaluation import CamView, Prediction
from pages._parts.components.evaluation_parts import Heat, guesses, heat_view, picture_wall
from pages._parts.evaluate import many as evaluation_many
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.pictures import attempt, samples, tile
from pages._parts.evaluate.subject import NEWEST, Subject
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TEST, UPLOAD, WEBCAM, MANY = "Test picture", "Upload", "Webcam", "Many"
OTHERS = 10
"""Test pictures on offer at a time."""

LONGEST = 32
"""Letters of a class's name beside a picture: of a longer one the middle is left out. Its whole name stands in the lists to choose from."""

PLACES = 4
"""Places a side that a map should have, to tell where: for small pictures the last layers have 2 x 2, or one."""

_FROM = "evaluate_from"
_INDEX, _FILE, _SHOT = "evaluate_index", "evaluate_file", "evaluate_shot"
_ERROR = "evaluate_upload_error"
_DEAL = "evaluate_deal"
_LAYER, _TARGET, _OTHER = "evaluate_layer", "evaluate_target", "evaluate_other"
_KEPT = re.compile(r"[0-9A-Za-z][\w.-]*")

NOTHING = -2
"""Stands among the weights for none: this picture is shown alone."""

Source = int | str
"""A picture as the lab wants it: its index in the test set, or the path of one that was brought along."""


def show(shared: Services, subject: Subject) -> None:
    """What it is, at the left; where the model looks, at the right. Or many pictures."""
    _ask_kind()
    if st.session_state[_FROM] == MANY:
        evaluation_many.show(shared, subject)
        return
    left, right = st.columns([5, 7], gap="large")
    with left:
        source = _ask_picture(shared, subject)
        prediction = _predicted(shared, subject, source) if source is not None else None
    with right:
        if source is not None and prediction is not None:
            st.subheader("Where it looks", anchor=False)
            alone(_where, shared, subject, source, prediction)
        elif source is None:
            st.caption("Where the model looks appears here once there is a picture.")
    if st.session_state[_FROM] == TEST and prediction is not None:
        _other_pictures(shared, subject)


# Which picture


def _ask_kind() -> None:
    """Where the picture comes from, as wide as it needs: on a narrow window a column would cut it off."""
    picture = evaluation_state.get("picture") or ""
    if _FROM not in st.session_state:
        st.session_state[_FROM] = MANY if evaluation_state.get("many") else TEST if not picture or picture.isdigit() else UPLOAD
    st.segmented_control("Picture", (TEST, UPLOAD, WEBCAM, MANY), key=_FROM, required=True, label_visibility="collapsed", on_change=_chose_kind)


def _ask_picture(shared: Services, subject: Subject) -> Source | None:
    picture = evaluation_state.get("picture") or ""
    match st.session_state[_FROM]:
        case "Upload":
            st.file_uploader(
                "A picture from this computer",
                key=_FILE,
                help="PNG, JPEG, WebP, GIF, BMP, TIFF ... It stays on this machine.",
                on_change=_take,
                args=(shared.home, _FILE),
            )
        case "Webcam":
            st.camera_input("Take a picture", key=_SHOT, on_change=_take, args=(shared.home, _SHOT))
        case _:
            return _ask_test_picture(subject, picture)
    error = _upload_error()
    if error:
        st.error(words.plain(error), title="This picture cannot be used", icon=":material/broken_image:")
    kept = kept_upload(shared.home, picture)
    if kept is None and not error:
        gone = picture and not picture.isdigit()
        st.caption(
            "That picture is not kept any more. Bring it along again." if gone else "Bring a picture along: what the model makes of it appears here."
        )
    return str(kept) if kept else None


def _chose_kind() -> None:
    """The table of many pictures stands in the URL while it is looked at."""
    if st.session_state[_FROM] == MANY:
        evaluation_many.look_again()
    else:
        evaluation_many.look_away()


def _ask_test_picture(subject: Subject, picture: str) -> Source | None:
    if not subject.samples:
        st.info("This run has no test pictures. Upload one.", icon=":material/info:")
        return None
    index = int(picture) if picture.isascii() and picture.isdigit() and int(picture) < subject.samples else 0
    st.session_state[_INDEX] = index
    number, another = st.columns(2, vertical_alignment="bottom")
    number.number_input(f"Number, 0 to {subject.samples - 1:,}", 0, subject.samples - 1, key=_INDEX, on_change=_chose_index)
    another.button("Another one", icon=":material/shuffle:", width="stretch", on_click=_another, args=(subject.samples,))
    return index


def kept_upload(home: Home, name: str) -> Path | None:
    """The file of a picture that was brought along; None where it is not kept (any more). The name comes from the URL."""
    if not _KEPT.fullmatch(name) or name.isdigit():
        return None
    path = home.cache / "uploads" / name
    return path if path.is_file() else None


def _take(home: Home, key: str) -> None:
    file = st.session_state[key]
    if file is None:
        return
    try:
        kept = pictures.keep(home, file.getvalue(), file.name)
    except ConfigError as error:
        _refuse(error.message)
    except OSError as error:
        _refuse(f"it could not be kept ({error})")
    else:
        evaluation_state.choose(picture=kept.name, target=None)


def _refuse(message: str) -> None:
    """What was brought along last is no picture: remember why. The one of before stays."""
    st.session_state[_ERROR] = (_brought(), f"{message[:1].upper()}{message[1:]}")


def _upload_error() -> str | None:
    """What is wrong with what is held in the box above. What was wrong with an earlier upload is not said of the next, or of none."""
    brought, message = st.session_state.get(_ERROR) or (None, None)
    return message if brought and brought == _brought() else None


def _brought() -> str | None:
    """Which upload the box above holds; None: none."""
    file = st.session_state.get({UPLOAD: _FILE, WEBCAM: _SHOT}.get(st.session_state[_FROM], ""))
    return None if file is None else str(file.file_id)


def _chose_index() -> None:
    evaluation_state.choose(picture=st.session_state[_INDEX], target=None)


def _another(samples_: int) -> None:
    evaluation_state.choose(picture=random.randrange(samples_), target=None)


def _other_pictures(shared: Services, subject: Subject) -> None:
    deal = st.session_state.setdefault(_DEAL, 0)
    indices = sorted(random.Random(f"{subject.run.id} {deal}").sample(range(subject.samples), min(OTHERS, subject.samples)))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown("**Or one of these test pictures**", width="stretch")
    row.button("Others", icon=":material/refresh:", on_click=_deal)
    found = samples(shared, subject, indices)
    if found is not None:
        picture_wall("evaluate_others", "Test pictures to try", [tile(subject, sample) for sample in found], "Try it", _chose_picture)


def _deal() -> None:
    st.session_state[_DEAL] += 1


def _chose_picture(index: int) -> None:
    evaluation_state.choose(picture=index, target=None)


# What it is


def _predicted(shared: Services, subject: Subject, source: Source) -> Prediction | None:
    """Ask the model, and show its answer. An upload that turns out to be broken is not kept."""

    def ask() -> Prediction:
        try:
            return shared.lab.predict(subject.run.id, source, subject.epoch)
        except ConfigError as error:
            if isinstance(source, str) and error.field == "picture":
                pictures.drop(Path(source))
                _refuse(error.message)
                evaluation_state.choose(picture=None, target=None)
            raise

    found = attempt(ask)
    if found is None:
        return None
    label = None
    if isinstance(source, int):
        known = samples(shared, subject, (source,))
        label = known[0].label if known else None
    _answer(subject, found, label)
    return found


def _answer(subject: Subject, found: Prediction, label: int | None) -> None:
    headline = st.empty()  # as wide as there is room: a name may be long
    picture, answer = st.columns([2, 3], vertical_alignment="center")
    alternative = f"The picture as the model saw it, {subject.run.config.image_size} x {subject.run.config.image_size} pixels"
    picture.html(f'<img src="{found.picture}" alt="{alternative}" style="width:100%;max-width:14rem;border-radius:8px;image-rendering:pixelated">')
    if not found.guesses:
        answer.error("The model gave values that are not finite for this picture.", icon=":material/error:")
    else:
        first = found.guesses[0]
        _headline(headline, subject, first.name, first.probability, None if label is None else subject.classes[label], first.label == label)
        with answer:
            guesses("evaluate_guesses", "The likeliest classes", found.guesses, label)
    st.caption(
        f"As the model saw it: {subject.run.config.image_size} x {subject.run.config.image_size} pixels. "
        f"Weights {'before training' if not found.step else f'after epoch {found.epoch:,}'}, step {found.step:,}."
    )
    for note in found.notes:
        st.caption(f":material/info: {words.plain(note)}")


def _headline(place: DeltaGenerator, subject: Subject, name: str, probability: float, label: str | None, right: bool) -> None:
    sure = words.percent(probability)
    name, label = evaluation_words.short(name, LONGEST), None if label is None else evaluation_words.short(label, LONGEST)
    if label is None:
        place.markdown(f"**{words.plain(name)}**, {sure} sure")
    elif right:
        place.markdown(f":green[:material/check:] **{words.plain(name)}**, {sure} sure: right")
    else:
        place.markdown(f":red[:material/close:] **{words.plain(name)}**, {sure} sure. It is **{words.plain(label)}**")


# Where it looks


def _where(shared: Services, subject: Subject, source: Source, prediction: Prediction) -> None:
    """Grad-CAM of two checkpoints. For a fragment: another layer or class asks nothing else anew."""
    layers = attempt(lambda: shared.lab.cam_layers(subject.run.id))
    if layers is None:
        return
    if not layers:
        st.info(
            "No layer of this model has an output that is still laid out like a picture, so there is nothing to show here.", icon=":material/info:"
        )
        return
    layer, target, other = _ask_cam(shared, subject, source, layers, prediction)
    views = [(kept, _cam(shared, subject, kept, source, layer, target)) for kept in (other, subject.chosen) if kept != NOTHING]
    found = [(kept, view) for kept, view in views if view is not None]
    if found:
        heat_view("evaluate_heat", [_heat(subject.named(kept), view) for kept, view in found])
        notes = {view.note: None for _, view in found if view.note}
        for note in notes:
            whose = [subject.named(kept) for kept, view in found if view.note == note]
            only = f"{whose[0][:1].upper()}{whose[0][1:]}: " if len(whose) < len(found) else ""
            st.caption(f":material/info: {words.plain(only + note)}")
    with st.expander("What is this?", icon=":material/help:"):
        st.markdown(
            "Grad-CAM (Selvaraju et al. 2017). Each channel of the layer is weighted by its gradient, how much it would raise the class's value, on "
            "average over the picture; the weighted channels are summed, and what is below zero is left out. **Hot places are evidence for the "
            "class**; cold ones say nothing, or speak against it. Where nothing but an average and one linear layer follows, the map with what was "
            "left out adds up to the class's value, less its bias; in earlier layers it is a first guess. A place of a late layer has seen a larger "
            "part of the picture than itself. A map is scaled to its own highest value: it tells where, not how much. Where the head started at "
            "random, what is hot before training means little."
        )


def _ask_cam(shared: Services, subject: Subject, source: Source, layers: tuple[str, ...], prediction: Prediction) -> tuple[str, int, int]:
    """Ask for layer, class, and the weights beside these; `NOTHING`: there are no others, or none are wanted."""
    others = [NOTHING, *(each for each in subject.kept if each != subject.chosen)]
    first, second, third = st.columns(3)
    layer = evaluation_state.get("layer")
    st.session_state[_LAYER] = layer if layer in layers else _usual_layer(shared, subject, source, layers)
    first.selectbox("Layer", layers, key=_LAYER, on_change=_chose_layer)
    likeliest = prediction.guesses[0].label if prediction.guesses else 0
    target = evaluation_state.number("target", most=len(subject.classes) - 1)
    st.session_state[_TARGET] = likeliest if target is None else target
    second.selectbox(
        "Evidence for",
        range(len(subject.classes)),
        key=_TARGET,
        format_func=lambda each: subject.classes[each],
        help="Until you choose a class it is the likeliest one.",
        on_change=_chose_target,
    )
    named = {"none": NOTHING, "newest": NEWEST}
    text = evaluation_state.get("other") or ""
    wanted = named[text] if text in named else evaluation_state.number("other")
    st.session_state[_OTHER] = wanted if wanted in others else others[min(1, len(others) - 1)]
    third.selectbox(
        "Beside it", others, key=_OTHER, format_func=lambda each: "nothing" if each == NOTHING else subject.option(each), on_change=_chose_other
    )
    return st.session_state[_LAYER], st.session_state[_TARGET], st.session_state[_OTHER]


def _usual_layer(shared: Services, subject: Subject, source: Source, layers: tuple[str, ...]) -> str:
    """The layer that is shown if none was chosen, looked for once a run: maps get smaller from layer to layer, so a few tries find it."""

    def is_fine(layer: str) -> bool:
        heat = shared.lab.cam(subject.run.id, subject.epoch, source, layer, None).heat
        return min(len(heat), len(heat[0])) >= PLACES

    place = f"{_LAYER}_of_{subject.run.id}"
    if st.session_state.get(place) not in layers:
        try:
            st.session_state[place] = last_fine(layers, is_fine)
        except (ConfigError, LabError):
            return layers[-1]  # what is wrong is said where this layer is shown
    usual: str = st.session_state[place]
    return usual


def last_fine(layers: Sequence[str], is_fine: Callable[[str], bool]) -> str:
    """The last of the layers that is fine, where the first ones are and the later ones are not; the very last if the first is not either."""
    if is_fine(layers[-1]) or not is_fine(layers[0]):
        return layers[-1]
    fine, coarse = 0, len(layers) - 1
    while coarse - fine > 1:
        middle = (fine + coarse) // 2
        fine, coarse = (middle, coarse) if is_fine(layers[middle]) else (fine, middle)
    return layers[fine]


def _cam(shared: Services, subject: Subject, kept: int, source: Source, layer: str, target: int) -> CamView | None:
    try:
        return shared.lab.cam(subject.run.id, subject.epoch_at(kept), source, layer, target)
    except (ConfigError, LabError) as error:
        st.error(f"Weights {subject.named(kept)}: {words.plain(words.refusal(error))}", icon=":material/error:")
        return None


def _heat(named: str, view: CamView) -> Heat:
    where = evaluation_words.where_hot(view.heat)
    title = f"{named[:1].upper()}{named[1:]}"
    value = f"{evaluation_words.short(view.target_name, LONGEST)}: {words.percent(view.probability)}"
    return Heat(
        title, view.picture, view.overlay, value, f"{where[:1].upper()}{where[1:]}.", f"{title}: heat for {view.target_name} in {view.layer}: {where}"
    )


def _chose_layer() -> None:
    evaluation_state.choose(layer=st.session_state[_LAYER])


def _chose_target() -> None:
    evaluation_state.choose(target=st.session_state[_TARGET])


def _chose_other() -> None:
    chosen = st.session_state[_OTHER]
    evaluation_state.choose(other="none" if chosen == NOTHING else "newest" if chosen == NEWEST else chosen)
