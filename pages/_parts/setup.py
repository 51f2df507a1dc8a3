"""The form of the Train screen: everything that decides what a run does, what it freezes, and the button that starts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import catalog
from core.catalog import AUGMENTATIONS, DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, Option, find_model
from core.code import pytorch_code
from core.config import PRECISIONS, PRESETS, ConfigError, RunConfig
from core.lab import LabError
from core.layers import ModelDescription, frozen_parameters
from pages._parts import draft, words
from pages._parts.draft import CUSTOM, FILE, FOLDER, key
from pages._parts.freeze_tree import freeze_tree
from pages._parts.services import Services

ABOUT_CODE = "A script of its own for the same model, data and settings. Chance is drawn in another order, so its numbers come out close, not equal."

ABOUT_RULES = "A preset and name patterns, comma separated. `layer1.*` freezes, `!layer1.0` keeps trainable; the last that matches a layer decides."

_FURTHER = {"momentum", "weight_decay", "schedule", "augmentation", "validation_share", "early_stopping", "precision", *draft.OPTIONS}

_START_ERROR = "setup_start_error"
_TREE = "setup_tree"
_REVISION = "setup_tree_revision"
_FREEZE_NOTE = "setup_freeze_note"


def show(shared: Services) -> None:
    """Show the form. Starting a run puts its id into the URL."""
    draft.open_draft()
    form = Form(shared)
    config = form.checked()
    st.title("Set up a run", anchor=False)
    left, right = st.columns([11, 9], gap="large")
    with left:
        form.data_and_model()
        form.training()
        form.more_settings()
    draft.keep_in_url()
    with right:
        freezing = st.container()
        form.start_button()
    # Last, since the first look at a model's layers takes some seconds: everything else is on screen by then.
    with freezing:
        form.freezing()
    form.code(config)
    form.say_what_is_wrong()


class Form:
    """The widgets, and below each a line that says what it means or, in its place, what is wrong with its value."""

    def __init__(self, shared: Services) -> None:
        self.shared = shared
        self.errors: dict[str, str] = {}
        self._description: ModelDescription | None = None
        self._frozen: frozenset[str] = frozenset()
        self._slots: dict[str, DeltaGenerator] = {}

    # Ask

    def data_and_model(self) -> None:
        """What learns from what."""
        st.subheader("Data and model", anchor=False)
        left, right = st.columns(2)
        with self._field(left, "dataset"):
            name = st.selectbox("Dataset", list(DATASETS), key=key("dataset"), persist_state="session")
            if name == FOLDER:
                st.text_input("Folder", key=key("dataset", "path"), placeholder="/path/to/photos", persist_state="session")
            self._say("dataset", _about_dataset(name))
        with self._field(right, "model"):
            name = st.selectbox("Model", list(MODELS), key=key("model"), on_change=_suit_plan, args=(self.shared,), persist_state="session")
            self._say("model", find_model(name).about)
        left, right = st.columns(2)
        with self._field(left, "starting_weights"):
            kind = st.selectbox("Starting weights", ["random", "pretrained", FILE], key=key("starting_weights"), persist_state="session")
            if kind == FILE:
                st.text_input("Weights file", key=key("starting_weights", "path"), placeholder="/path/to/weights.pth", persist_state="session")
            self._say("starting_weights", _about_weights(kind, name))
        with self._field(right, "image_size"):
            st.number_input("Image size", step=8, key=key("image_size"), persist_state="session")
            self._say("image_size", f"px a side, every image is resized to it; usual for {name}: {find_model(name).usual} px")

    def training(self) -> None:
        """How it learns."""
        st.subheader("Training", anchor=False)
        first, second, third = st.columns(3)
        with self._field(first, "learning_rate"):
            st.number_input("Learning rate", step=1e-4, format="%g", key=key("learning_rate"), persist_state="session")
            optimizer = OPTIMIZERS[st.session_state[key("optimizer")]]
            self._say("learning_rate", f"usual for {optimizer.name}: {optimizer.learning_rate:g}")
        with self._field(second, "epochs"):
            st.number_input("Epochs", step=1, key=key("epochs"), persist_state="session")
            self._say("epochs", "times that all images are seen")
        with self._field(third, "batch_size"):
            st.number_input("Batch size", step=8, key=key("batch_size"), persist_state="session")
            self._say("batch_size", "images in one step" + _steps())
        left, right = st.columns(2)
        with self._field(left, "optimizer"):
            name = st.selectbox("Optimizer", list(OPTIMIZERS), key=key("optimizer"), on_change=_suit_learning_rate, persist_state="session")
            self._say("optimizer", OPTIMIZERS[name].about)
        with self._field(right, "loss"):
            name = st.selectbox("Loss", list(LOSSES), key=key("loss"), persist_state="session")
            self._say("loss", LOSSES[name].about)
        left, right = st.columns(2)
        with self._field(left, "device"):
            labels = self._devices()
            name = st.selectbox("Device", list(labels), key=key("device"), persist_state="session")
            self._say("device", labels[name])
        with self._field(right, "seed"):
            st.number_input("Seed", step=1, key=key("seed"), persist_state="session")
            self._say("seed", "where all chance starts from: same seed, same run")

    def more_settings(self) -> None:
        """What most runs leave alone."""
        entry = OPTIMIZERS[st.session_state[key("optimizer")]]
        # An error must not hide in a closed expander.
        with st.expander("More settings", expanded=bool(_FURTHER & self.errors.keys()), icon=":material/tune:"):
            left, right = st.columns(2)
            with self._field(left, "momentum"):
                usual = _usual(entry.momentum)
                st.number_input("Momentum", step=0.05, format="%g", placeholder=usual, key=key("momentum"), persist_state="session")
                self._say("momentum", "share of the last update that is kept, 0 to 1")
            with self._field(right, "weight_decay"):
                usual = _usual(entry.weight_decay)
                st.number_input("Weight decay", step=0.01, format="%g", placeholder=usual, key=key("weight_decay"), persist_state="session")
                self._say("weight_decay", "pull of every weight towards 0")
            self._options("optimizer_options")
            self._options("loss_options")
            left, right = st.columns(2)
            with self._field(left, "schedule"):
                name = st.selectbox("Schedule", list(SCHEDULES), key=key("schedule"), persist_state="session")
                self._say("schedule", SCHEDULES[name].about)
            with self._field(right, "augmentation"):
                name = st.selectbox("Augmentation", list(AUGMENTATIONS), key=key("augmentation"), persist_state="session")
                self._say("augmentation", AUGMENTATIONS[name].about)
            self._options("schedule_options")
            left, right = st.columns(2)
            with self._field(left, "validation_share"):
                st.number_input("Validation share", step=0.05, format="%g", key=key("validation_share"), persist_state="session")
                self._say("validation_share", "share of the training images held back to measure progress, 0 to 0.9")
            with self._field(right, "early_stopping"):
                st.number_input("Early stopping", step=1, placeholder="never", key=key("early_stopping"), persist_state="session")
                self._say("early_stopping", "epochs without a better validation loss before the run stops")
            left, _ = st.columns(2)
            with self._field(left, "precision"):
                st.selectbox("Precision", list(PRECISIONS), key=key("precision"), persist_state="session")
                self._say("precision", "number format of the forward pass; float32 is exact")

    def _options(self, field: str) -> None:
        """A widget for each further option of what is chosen, under the name that torch gives it."""
        names = draft.OPTIONS[field]
        chosen = st.session_state[key(names)]
        options = draft.options(field, chosen)
        if not options:
            return
        st.markdown(f"**Options of {chosen}**")
        for start in range(0, len(options), 3):
            for column, option in zip(st.columns(3), options[start : start + 3], strict=False):
                with column:
                    _option(option, draft.option_key(field, chosen, option.name))
        self._say(field, "")

    def _devices(self) -> dict[str, str]:
        """Device names and what they are. Until the lab has looked, those that every machine has."""
        labels = {"auto": "the fastest device that this machine has", "cpu": "the processor"}
        if self.shared.lab.ready:
            for device in self.shared.lab.machine().devices:
                labels[device.name] = device.label
        chosen = st.session_state[key("device")]
        return labels if chosen in labels else {**labels, chosen: "not found on this machine"}

    @contextmanager
    def _field(self, place: DeltaGenerator, field: str) -> Iterator[None]:
        """A widget and the line below it, close together."""
        with place.container(gap="xxsmall", key=f"field_{field}"):
            yield

    def _say(self, field: str, about: str) -> None:
        """Room below a widget for what it means, or for what is wrong with its value."""
        slot = self._slots[field] = st.empty()
        if about:
            slot.caption(about)

    # Act

    def start_button(self) -> None:
        """The button that starts the run, and room for why it could not."""
        st.button("Start training", type="primary", icon=":material/play_arrow:", width="stretch", on_click=_start, args=(self.shared,))
        self._slots["start"] = st.empty()

    def checked(self) -> RunConfig | None:
        """The form as a config that could be started, or None, with the reasons in `errors`."""
        self.errors = draft.errors()
        if self.errors:
            return None
        try:
            config = check(self.shared, RunConfig(**draft.values()))
        except ConfigError as error:
            self.errors[error.field] = error.message
            return None
        return config

    # Show

    def freezing(self) -> None:
        """What learns and what is frozen: a preset, the counts, and a switch a layer."""
        st.subheader("What learns", anchor=False)
        with self._field(st.container(), "freeze"):
            choice = st.selectbox("Freeze", [*PRESETS, CUSTOM], key=key("freeze"), on_change=_choose_preset, persist_state="session")
            if choice == CUSTOM:
                st.text_input("Rules", key=key("freeze", "plan"), persist_state="session", help=ABOUT_RULES)
            self._say("freeze", PRESETS.get(choice, "The switches below, as rules: the last one that matches a layer decides."))
        note = st.session_state.pop(_FREEZE_NOTE, None)
        if note:
            st.warning(note, icon=":material/info:")
        counts = st.container()
        description = self._description = self._look_at_model()
        if description is None:
            counts.caption("The layers appear here once dataset, model and image size fit together.")
            return
        try:
            self._frozen = frozen_parameters(draft.plan(), description.parameters)
        except ConfigError as error:
            self.errors[error.field] = error.message
        with counts:
            _counts(description, self._frozen)
        freeze_tree(description, self._frozen, st.session_state.setdefault(_REVISION, 0), key=_TREE, on_toggle=lambda: _toggle(description))

    def _look_at_model(self) -> ModelDescription | None:
        """The chosen model's layers, or None where the choices do not fit. The first question to the lab takes some seconds."""
        given = draft.values()
        if {"dataset", "model", "image_size"} & self.errors.keys():
            return None
        try:
            with nullcontext() if self.shared.lab.ready else st.spinner("Looking at the model's layers"):
                return _describe(self.shared, given["dataset"], given["model"], given["image_size"])
        except ConfigError as error:
            self.errors[error.field] = error.message
        except LabError as error:
            st.error(str(error))
        return None

    def code(self, config: RunConfig | None) -> None:
        """The same in PyTorch."""
        with st.expander("Show the PyTorch", icon=":material/code:"):
            if config is None or self._description is None or self.errors:
                st.caption("The code appears here once the settings above can be used.")
                return
            st.caption(ABOUT_CODE)
            layers = [(parameter.name, parameter.name in self._frozen) for parameter in self._description.parameters]
            st.code(pytorch_code(config, self._description.classes, layers), language="python")

    def say_what_is_wrong(self) -> None:
        """Put each error where its widget is, and say at the button that the last click started nothing."""
        for field, message in self.errors.items():
            slot = self._slots.get(field)
            (slot or self._slots["start"]).error(_sentence(message), icon=":material/error:")
        failed = st.session_state.pop(_START_ERROR, None)
        if failed:
            field, message = failed
            if field not in self.errors and field in self._slots and field != "start":
                self._slots[field].error(_sentence(message), icon=":material/error:")
            where = "" if field == "start" else f" {words.field(field)}:"
            self._slots["start"].error(f"Nothing was started.{where} {_sentence(message) if field == 'start' else message}", icon=":material/error:")


def check(shared: Services, config: RunConfig) -> RunConfig:
    """The config with canonical names, once everything that can be known before a worker runs is known to fit.

    Raises:
        ConfigError: for the first field that does not fit.
    """
    config = catalog.check(config)
    catalog.class_names(config.dataset, shared.home.data)
    if shared.lab.ready and config.device not in (known := ["auto", "cuda", *(device.name for device in shared.lab.machine().devices)]):
        raise ConfigError("device", f"{config.device!r} is not on this machine; choose {' or '.join(name for name in known if name != 'cuda')}")
    images = _training_images(config.dataset, config.validation_share)
    if images is not None and config.batch_size > images:
        raise ConfigError("batch_size", f"{config.batch_size:,} is more than the {images:,} images there are to train on; use {images:,} or less")
    return config


def _describe(shared: Services, dataset: str, model: str, image_size: int) -> ModelDescription:
    """The layers of a model with a head for the classes of a dataset. Raises ConfigError and LabError."""
    return shared.lab.describe(model, len(catalog.class_names(dataset, shared.home.data)), image_size)


def _start(shared: Services) -> None:
    """Start the run that the form describes, and show it. What is wrong is said beside the button and beside the field."""
    wrong = draft.errors()
    if wrong:
        st.session_state[_START_ERROR] = next(iter(wrong.items()))
        return
    try:
        config = check(shared, RunConfig(**draft.values()))
        frozen_parameters(config.freeze, _describe(shared, config.dataset, config.model, config.image_size).parameters)
        run_id = shared.supervisor.start(config)
    except ConfigError as error:
        st.session_state[_START_ERROR] = (error.field, error.message)
    except (LabError, OSError) as error:
        st.session_state[_START_ERROR] = ("start", str(error))
    else:
        st.query_params.from_dict({"run": run_id})


def _option(option: Option, place: str) -> None:
    """The widget of one option, under the name that torch gives it."""
    st.session_state.setdefault(place, draft.shown(option.default))
    about = (f"{option.about} ({option.unit})" if option.unit else option.about) or None
    empty = "worked out at the start"
    match option.kind:
        case "bool":
            st.checkbox(option.name, key=place, help=about, persist_state="session")
        case "choice":
            st.selectbox(option.name, option.choices, key=place, help=about, persist_state="session")
        case "floats":
            st.text_input(option.name, key=place, help=about, placeholder=empty, persist_state="session")
        case "int":
            st.number_input(option.name, step=1, key=place, help=about, placeholder=empty, persist_state="session")
        case "float":
            st.number_input(option.name, step=None, format="%g", key=place, help=about, placeholder=empty, persist_state="session")


def _suit_learning_rate() -> None:
    """A learning rate that nobody has changed follows the optimizer."""
    if st.session_state[key("learning_rate")] in {entry.learning_rate for entry in OPTIMIZERS.values()}:
        st.session_state[key("learning_rate")] = OPTIMIZERS[st.session_state[key("optimizer")]].learning_rate


def _suit_plan(shared: Services) -> None:
    """Rules about layers that the newly chosen model does not have go; the preset that they started from stays."""
    given = draft.values()
    try:
        plan = draft.plan()
        if not plan.patterns:
            return
        parameters = _describe(shared, given["dataset"], given["model"], find_model(given["model"]).usual).parameters
    except (ConfigError, LabError):
        return  # said elsewhere
    try:
        frozen_parameters(plan, parameters)
    except ConfigError:
        st.session_state[key("freeze")] = st.session_state[key("freeze", "plan")] = plan.preset
        st.session_state[_FREEZE_NOTE] = f"{given['model']} has other layers, so the rules `{plan}` were dropped; `{plan.preset}` is left."


def _choose_preset() -> None:
    choice = st.session_state[key("freeze")]
    if choice != CUSTOM:
        st.session_state[key("freeze", "plan")] = choice


def _toggle(description: ModelDescription) -> None:
    """A switch of the tree was moved: add it to the plan, unless nothing would be left to learn."""
    toggled = st.session_state[_TREE].toggled
    st.session_state[_REVISION] += 1
    try:
        plan = draft.plan().with_module(toggled["path"], toggled["freeze"])
        frozen = frozen_parameters(plan, description.parameters)
    except ConfigError as error:
        st.session_state[_FREEZE_NOTE] = f"{_sentence(error.message)} The switch was put back."
        return
    same = [preset for preset in PRESETS if frozen_by(preset, description) == frozen]
    st.session_state[key("freeze")] = same[0] if same else CUSTOM
    st.session_state[key("freeze", "plan")] = same[0] if same else str(plan)


def frozen_by(preset: str, description: ModelDescription) -> frozenset[str] | None:
    """What a preset freezes in this model; None where it would leave nothing to learn."""
    try:
        return frozen_parameters(RunConfig(freeze=preset).freeze, description.parameters)
    except ConfigError:
        return None


def _counts(description: ModelDescription, frozen: frozenset[str]) -> None:
    still = sum(parameter.count for parameter in description.parameters if parameter.name in frozen)
    learning, still_metric = st.columns(2)
    learning.metric("Trainable parameters", f"{description.count - still:,}", border=True)
    still_metric.metric("Frozen parameters", f"{still:,}", border=True)
    st.progress(1 - still / description.count, text=f"{100 * (1 - still / description.count):.3g} % of {description.count:,} parameters learn")


def _about_dataset(name: str) -> str:
    entry = DATASETS[name]
    if not entry.classes:
        return entry.about
    pixels = f" of {entry.pixels} px" if entry.pixels else ""
    download = f"; about {entry.megabytes:,} MB are downloaded on first use" if entry.megabytes else "; nothing to download"
    return f"{entry.label}: {entry.train_images:,} training and {entry.test_images:,} test images{pixels}, {len(entry.classes)} classes{download}."


def _training_images(dataset: str, validation_share: float) -> int | None:
    """Images left to train on once validation has its share; None where only reading the dataset would tell."""
    entry = DATASETS.get(dataset)
    return entry.train_images - round(entry.train_images * validation_share) if entry and entry.train_images else None


def _steps() -> str:
    """How many steps make an epoch, where that is known."""
    batch_size, share = st.session_state[key("batch_size")], st.session_state[key("validation_share")]
    if not batch_size or batch_size < 1 or share is None or not 0 <= share < 1:
        return ""
    images = _training_images(st.session_state[key("dataset")], share)
    return f"; {-(-images // batch_size):,} steps an epoch" if images else ""


def _about_weights(kind: str, model: str) -> str:
    entry = find_model(model)
    match kind:
        case "random":
            return "Everything is learned from nothing."
        case "pretrained" if entry.pretrained:
            return f"torchvision's own, trained on ImageNet ({entry.accuracy:.1f} % accuracy); {entry.megabytes:,} MB are downloaded on first use."
        case "pretrained":
            return f"There are none for {model}."
        case _:
            return "A .pth file (weights only, never a pickle with code) or a .safetensors file on this machine."


def _usual(value: float | None) -> str:
    return "this optimizer has none" if value is None else f"the optimizer's usual, {value:g}"


def _sentence(message: str) -> str:
    """A message as a sentence. A name that it starts with keeps its spelling."""
    first = message.partition(" ")[0]
    start = message[:1].upper() + message[1:] if first.isalpha() else message
    return start + ("" if message.endswith((".", "?", "!")) else ".")
