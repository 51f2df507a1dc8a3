"""Which model learns from which images: the same four widgets on every screen that asks, and what is known about the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import networks, versions
from core.catalog import DATASETS, MODELS, find_model
from core.config import ConfigError
from core.data import own
from core.data.datasets import find_dataset
from core.helpers.helper import LabError
from core.networks.model_entries import ModelEntry
from core.records.layers import PLAIN_HEAD, HeadOptions, ModelDescription
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import checks, folder_view, trained, weights_fit
from pages._parts.setup.suit_model import suit_model
from pages._parts.setup.trained import weights_chosen
from pages._parts.shared import draft, words
from pages._parts.shared.draft import FILE, FOLDER, key
from pages._parts.shared.fields import Fields
from pages._parts.shared.services import Services


def ask_dataset(fields: Fields, place: DeltaGenerator) -> None:
    """What it learns from: it decides how many classes the head has."""
    with fields.field(place, "dataset"):
        # One's own pictures are what most come for. What is chosen before anybody chooses is in the draft's defaults.
        name = st.selectbox(
            "Dataset",
            _datasets(fields),
            format_func=lambda each: dataset_called(each),
            key=key("dataset"),
            on_change=_suit_dataset,
            args=(fields.shared,),
            persist_state="session",
        )
        if name == FOLDER:
            folder_view.ask_path()
        if own.parse(name):
            st.page_link("data.py", label="Look at it", icon=":material/photo_library:", query_params={"dataset": name.partition("@")[0]})
        fields.say("dataset", words.plain(_about_dataset(name)))


def dataset_called(name: str) -> str:
    """A dataset as a choice: one of a person's own by the name that they gave it, also where the catalogue has one of this name."""
    choice = own.parse(name) if name.startswith(f"{own.OWN}:") else None
    if choice is None:
        return name
    return f"{choice.short} (yours)" if choice.short in DATASETS else choice.short


def _suit_dataset(shared: Services) -> None:
    """Another dataset was chosen: what its person chose for it is proposed. For callbacks."""
    if fit := own.fit_of(shared.home, str(st.session_state[key("dataset")])):
        draft.put(fit=fit)


def ask_model(fields: Fields, place: DeltaGenerator) -> None:
    """The catalogue's models, and behind them the networks that somebody built here."""
    with fields.field(place, "model"):
        saved = networks.saved(fields.shared.home)
        name = st.selectbox(
            "Model",
            _names(saved),
            format_func=lambda each: option(each, saved),
            key=key("model"),
            on_change=suit_model,
            args=(fields.shared,),
            **fields.kept("model"),
        )
        fields.say("model", words.plain(find_model(name).about))


def ask_starting_weights(fields: Fields, place: DeltaGenerator) -> None:
    """What it knows to begin with, and how a file fits the model."""
    with fields.field(place, "starting_weights"):
        kinds = ["random", "pretrained", FILE]
        kind = st.radio(
            words.field("starting_weights"),
            kinds,
            key=key("starting_weights"),
            on_change=weights_chosen,
            horizontal=True,
            **fields.kept("starting_weights"),
        )
        if kind == FILE:
            st.text_input("Weights file", key=key("starting_weights", "path"), placeholder="/path/to/weights.pth", **fields.kept("starting_weights"))
        model = st.session_state[key("model")]
        there = trained.where(fields.shared, model)
        fields.say("starting_weights", words.plain(_about_weights(kind, model, there == "here")))
        weights_fit.show(fields.shared, trained.advised(fields.shared, model, draft.values()["dataset"]))
        trained.show_change()
        fields.leave_room("starting_weights")


def ask_image_size(fields: Fields, place: DeltaGenerator) -> None:
    """How large the images are that it sees: it decides shapes and costs."""
    with fields.field(place, "image_size"):
        st.number_input("Image size", step=8.0, format="%g", key=key("image_size"), **fields.kept("image_size"))
        entry = find_model(st.session_state[key("model")])
        fields.say("image_size", f"px a side, every image becomes such a square; usual for {words.plain(entry.label)}: {entry.usual:,} px")


def label(model: str) -> str:
    """A model's name as a person reads it."""
    return find_model(model).label


def option(model: str, saved: Mapping[str, str]) -> str:
    """A model as a choice. Where a run's own network has the name of a saved one but other layers, a digest of these tells them apart."""
    name = label(model)
    return name if saved.get(name, model) == model else f"{name} · {hashlib.sha256(model.encode()).hexdigest()[:6]}"


def look(fields: Fields) -> LayerTable | None:
    """The chosen model's layers, or None where the choices do not fit, with the reason in `errors`. The first look takes some seconds.

    A head that cannot be had gives way to a plain one, so that it can be mended with everything else in sight.
    """
    if {"dataset", "model", "image_size"} & fields.errors.keys():
        return None
    given = draft.values()
    wrong_head = {"head_dropout", "head_hidden"} & fields.errors.keys()
    head = PLAIN_HEAD if wrong_head else HeadOptions(given["head_dropout"], given["head_hidden"])
    try:
        with nullcontext() if fields.shared.lab.ready else st.spinner("Looking at the model's layers"):
            return checks.layers(fields.shared, given["dataset"], given["model"], given["image_size"], head)
    except ConfigError as error:
        fields.errors[error.field] = error.message
        return look(fields) if error.field in ("head_dropout", "head_hidden") and not wrong_head else None
    except LabError as error:
        st.error(words.plain(str(error)))
    return None


def facts(table: LayerTable) -> str:
    """What is known about a model at this image size, in one line."""
    description = table.description
    entry = find_model(description.model)
    weights = {parameter.module for parameter in description.parameters if len(parameter.shape) > 1 and not parameter.is_norm}
    said = [f"**{amount(description.count)}** parameters in {len(description.parameters):,} tensors{_other_head(entry, description)}"]
    if description.flops:
        said.append(f"{operations(sum(description.flops.values()))} for one image of {description.image_size} px")
    said.append(f"**{len(weights):,}** layers with weights")
    known = "trained weights ship with Thaw" if entry.shipped else "no trained weights"
    said.append(f"**{entry.accuracy:g}\N{NO-BREAK SPACE}%** top-1 on ImageNet as published" if entry.accuracy is not None else known)
    inside = f" {amount(entry.auxiliary)} of ImageNet's parameters are in auxiliary classifiers, which only training uses." if entry.auxiliary else ""
    return f"{entry.family.label}: {' · '.join(said)}{inside}"


def _other_head(entry: ModelEntry, description: ModelDescription) -> str:
    """Why the number of parameters is not the published one: " with a head for 10 classes (11.7 M with the published one for 1,000)"."""
    if entry.published is None or entry.parameters == description.count:
        return ""
    classes = "1 class" if description.classes == 1 else f"{description.classes:,} classes"
    return f" with a head for {classes} ({amount(entry.parameters)} with the published one for 1,000)"


def operations(flops: int) -> str:
    """FLOPs as both ways of counting have them: torchvision and most papers count a multiplication and the addition behind it as one."""
    return f"**{amount(flops / 2)}** multiply-adds ({amount(flops)} FLOPs, a multiplication and an addition being two)"


def amount(number: float) -> str:
    """A large number with its thousands as a letter: '11.2 M', '3.6 G'."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 999.5 * size else f"{number / size:,.0f} {unit}"
    return f"{number:g}"


def _names(saved: Mapping[str, str]) -> list[str]:
    """What can be chosen: a run's own network too, whatever became of the saved one."""
    names = [*MODELS, *saved.values()]
    chosen = st.session_state[key("model")]
    return names if chosen in names else [*names, chosen]


def _datasets(fields: Fields) -> list[str]:
    """What can be chosen: datasets in versions first, a folder, the catalogue; and what is chosen, were it a version of before, or gone."""
    names = [f"{own.OWN}:{name}" for name in versions.names(fields.shared.home)]
    chosen = st.session_state[key("dataset")]
    there = [*names, FOLDER, *(each for each in DATASETS if each != FOLDER)]
    return there if chosen in there else [chosen, *there]


def _about_dataset(name: str) -> str:
    if own.parse(name):
        try:
            entry = find_dataset(name)
        except ConfigError:  # the error says so
            return ""
        return f"{entry.label}. {entry.about}"
    entry = DATASETS[name]
    if name == FOLDER:
        return "A folder with a folder of pictures for each class, or with train, validation and test folders of such. Paste its path as it comes."
    pixels = f"{entry.pixels} px a side" if entry.pixels else "of many sizes"
    download = f"; about {entry.megabytes:,} MB are downloaded on first use" if entry.megabytes else "; nothing to download"
    return f"{entry.about} Pictures {pixels}{download}. Licence: {entry.licence}."


def _about_weights(kind: str, model: str, here: bool = False) -> str:
    entry = find_model(model)
    match kind:
        case "random":
            return "Fresh random numbers: what learns begins from them, and what is frozen keeps them."
        case "pretrained" if entry.published:
            accuracy = f"{entry.accuracy:.1f}\N{NO-BREAK SPACE}% top-1 there"
            download = "they are on this machine" if here else f"{entry.megabytes:,} MB are downloaded on first use"
            return f"Published by torchvision, {entry.published.origin}: {accuracy}; {download}. {entry.published.terms}"
        case "pretrained" if entry.shipped:
            shipped = entry.shipped
            return (
                f"They ship with Thaw, {shipped.origin}, and are for the other digits (dataset {shipped.suits}); nothing to download. {shipped.terms}"
            )
        case "pretrained":
            return f"There are none for {entry.label}."
        case _:
            return (
                "A file on this machine that torch.save or safetensors wrote (.pth, .ckpt, .bin, .safetensors or any other name). What in it fits "
                "the model is taken, and the run says what that was; no code in it is ever run."
            )
