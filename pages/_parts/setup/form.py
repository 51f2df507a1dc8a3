"""The form of the Train screen: everything that decides what a run does, what it freezes, and the button that starts it."""

from __future__ import annotations

import streamlit as st

from core.catalog import AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES
from core.catalog.rate_advice import ABOUT_RATE
from core.code import Recorded, about, phases, pytorch_code
from core.config import CLASS_WEIGHTS, DOUBLES, FAULTS, ConfigError, RunConfig
from core.helpers.helper import LabError
from core.records.cost import steps_per_epoch
from core.records.layers import frozen_parameters, head_options, multipliers_by_parameter
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import checks, course, fit_choice, freezing, how_much_view, model_choice, rate_hint, speed_choice, suit_model
from pages._parts.shared import draft, layer_rules, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields, option, sentence
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services

ABOUT_ACCUMULATE = (
    "The gradients of so many batches are added up before the weights move once. For the model that is one large batch, except for BatchNorm, "
    "which works out its figures from each batch by itself."
)
ABOUT_CLIPPING = (
    "The length (L2 norm) of the gradients of all parameters taken together. 1 is a common choice where training is unsteady. "
    "The charts show gradients as they are before."
)
ABOUT_CLASS_WEIGHTS = (
    "Balanced: a picture counts as much as all training pictures divided by (classes times training pictures of its class), which is 1 on average. "
    "Losses of runs with other weights cannot be compared; the accuracy counts every picture the same, on the Evaluate screen too."
)
ABOUT_DOUBLES = (
    "What a model is measured on should be new to it. Pictures are compared pixel for pixel, before any random change. "
    "How many were left out stands on the run's page."
)

MODEL_PAGE, TRAIN_PAGE = "model.py", "train.py"

_FURTHER = {
    "momentum", "weight_decay", "schedule", "augmentation", "validation_share", "early_stopping", "class_weights", "doubles",
    "watch_budget", "watch_every", "checkpoint_minutes", "fault", *draft.OPTIONS,
}  # fmt: skip

_START_ERROR = "setup_start_error"
_GO_ON = "setup_go_on"


def show(shared: Services) -> None:
    """Show the form. Starting a run puts its id into the URL."""
    draft.open_draft()
    form = Form(shared)
    config, form.errors = checks.checked(shared)
    st.title("Set up a run", anchor=False)
    if draft.NOWHERE in (said := draft.notes()):
        st.warning(words.plain(said[draft.NOWHERE]), icon=":material/link_off:")
    left, right = st.columns([11, 9], gap="large")
    with left:
        form.data_and_model()
        form.training()
        form.more_settings()
        speed_choice.ask_speed(form)
        speed_choice.ask_reuse(form)
    draft.keep_in_url()
    layer_rules.desk().remember(draft.values()["model"])
    with right:
        layers = st.container()
        form.start_button()
    # Last, since the first look at a model's layers takes some seconds: everything else is on screen by then.
    with layers:
        table = form.freezing()
    form.code(config, table)
    form.say_what_is_wrong()


class Form(Fields):
    """The widgets, in the order in which they are asked."""

    # Ask

    def data_and_model(self) -> None:
        """What learns from what."""
        st.subheader("Data and model", anchor=False)
        left, right = st.columns(2)
        model_choice.ask_dataset(self, left)
        model_choice.ask_model(self, right)
        left, right = st.columns(2)
        model_choice.ask_starting_weights(self, left)
        model_choice.ask_image_size(self, right)
        left, right = st.columns(2)
        fit_choice.ask_fit(self, left)
        fit_choice.show_fits(right)

    def training(self) -> None:
        """How it learns."""
        st.subheader("Training", anchor=False)
        first, second, third = st.columns(3)
        with self.field(first, "learning_rate"):
            st.number_input("Learning rate", step=1e-4, format="%g", key=key("learning_rate"), help=ABOUT_RATE, persist_state="session")
            self.say("learning_rate", words.plain(rate_hint.learning_rate(rate_hint.usable())))
        with self.field(second, "epochs"):
            st.number_input("Epochs", step=1.0, format="%g", key=key("epochs"), persist_state="session")
            self.say("epochs", "times that all training images are seen")
        with self.field(third, "batch_size"):
            st.number_input("Batch size", step=8.0, format="%g", key=key("batch_size"), persist_state="session")
            self.say("batch_size", "images in one step" + _steps() if st.session_state[key("accumulate")] == 1 else "images computed at once")
        left, right = st.columns(2)
        with self.field(left, "accumulate"):
            label, about = words.field("accumulate"), ABOUT_ACCUMULATE
            st.number_input(label, step=1.0, format="%g", key=key("accumulate"), help=about, persist_state="session")
            self.say("accumulate", _update())
        with self.field(right, "clip_norm"):
            st.number_input(
                words.field("clip_norm"), step=0.5, format="%g", placeholder="any", key=key("clip_norm"), help=ABOUT_CLIPPING, persist_state="session"
            )
            self.say("clip_norm", "a longer one, all layers together, is scaled down to it (clipping)")
        left, right = st.columns(2)
        with self.field(left, "optimizer"):
            name = st.selectbox("Optimizer", list(OPTIMIZERS), key=key("optimizer"), on_change=_suit_learning_rate, persist_state="session")
            self.say("optimizer", OPTIMIZERS[name].about)
        with self.field(right, "loss"):
            name = st.selectbox("Loss", list(LOSSES), key=key("loss"), persist_state="session")
            self.say("loss", LOSSES[name].about)
        left, right = st.columns(2)
        with self.field(left, "device"):
            labels = self._devices()
            name = st.selectbox("Device", list(labels), key=key("device"), persist_state="session")
            self.say("device", words.plain(labels[name]))
        with self.field(right, "seed"):
            st.number_input("Seed", step=1.0, format="%g", key=key("seed"), persist_state="session")
            self.say("seed", "where all chance starts from: same seed and settings on the same machine, same run")

    def more_settings(self) -> None:
        """What most runs leave alone."""
        entry = OPTIMIZERS[st.session_state[key("optimizer")]]
        # An error must not hide in a closed expander.
        with st.expander("More settings", expanded=self.needs(_FURTHER), icon=":material/tune:"):
            left, right = st.columns(2)
            with self.field(left, "momentum"):
                usual = _usual(entry.momentum)
                st.number_input("Momentum", step=0.05, format="%g", placeholder=usual, key=key("momentum"), persist_state="session")
                self.say("momentum", "share of the last update that is kept, 0 to 1")
            with self.field(right, "weight_decay"):
                usual = _usual(entry.weight_decay)
                st.number_input("Weight decay", step=0.01, format="%g", placeholder=usual, key=key("weight_decay"), persist_state="session")
                self.say("weight_decay", words.plain(rate_hint.weight_decay(rate_hint.usable())))
            self._options("optimizer_options")
            self._options("loss_options")
            left, right = st.columns(2)
            with self.field(left, "schedule"):
                st.selectbox("Schedule", list(SCHEDULES), key=key("schedule"), persist_state="session")
                self.say("schedule", words.plain(rate_hint.schedule(rate_hint.usable())))
            with self.field(right, "augmentation"):
                name = st.selectbox("Augmentation", list(AUGMENTATIONS), key=key("augmentation"), persist_state="session")
                self.say("augmentation", AUGMENTATIONS[name].about)
            self._options("schedule_options")
            left, right = st.columns(2)
            with self.field(left, "validation_share"):
                st.number_input("Validation share", step=0.05, format="%g", key=key("validation_share"), persist_state="session")
                self.say("validation_share", "share of the training images held back to measure progress, 0 to 0.9")
            with self.field(right, "early_stopping"):
                st.number_input("Early stopping", step=1.0, format="%g", placeholder="never", key=key("early_stopping"), persist_state="session")
                self.say("early_stopping", "epochs without a better validation loss before the run stops")
            left, right = st.columns(2)
            with self.field(left, "class_weights"):
                names, about = list(CLASS_WEIGHTS), ABOUT_CLASS_WEIGHTS
                name = st.selectbox(words.field("class_weights"), names, key=key("class_weights"), help=about, persist_state="session")
                self.say("class_weights", CLASS_WEIGHTS[name])
            with self.field(right, "doubles"):
                name = st.selectbox(words.field("doubles"), list(DOUBLES), key=key("doubles"), help=ABOUT_DOUBLES, persist_state="session")
                self.say("doubles", DOUBLES[name])
            left, right = st.columns(2)
            with self.field(left, "watch_budget"):
                label = f"{words.field('watch_budget')} (%)"
                st.number_input(label, step=0.5, format="%g", key=key("watch_budget"), persist_state="session")
                self.say("watch_budget", "of the time that watching may cost; past it, it measures less often")
            with self.field(right, "watch_every"):
                st.number_input("Watch every", step=5.0, format="%g", key=key("watch_every"), persist_state="session")
                self.say("watch_every", "steps between two looks at weight changes and frozen layers")
            with self.field(st.container(), "checkpoint_minutes"):
                label = f"{words.field('checkpoint_minutes')} (min)"
                st.number_input(label, step=1.0, format="%g", key=key("checkpoint_minutes"), persist_state="session")
                self.say(
                    "checkpoint_minutes", "at most between two checkpoints, from which a run goes on that was interrupted; one at epoch ends too"
                )
            with self.field(st.container(), "fault"):
                name = st.selectbox(words.field("fault"), list(FAULTS), key=key("fault"), persist_state="session")
                self.say("fault", FAULTS[name])

    def _options(self, field: str) -> None:
        """A widget for each further option of what is chosen, under the name that torch gives it."""
        names = draft.OPTIONS[field]
        chosen = st.session_state[key(names)]
        options = draft.options(field, chosen)
        if not options:
            return
        st.markdown(f"**Options of {words.plain(str(chosen))}**")
        for start in range(0, len(options), 3):
            for column, given in zip(st.columns(3), options[start : start + 3], strict=False):
                with column:
                    option(given, draft.option_key(field, chosen, given.name))
        self.say(field, "")

    def _devices(self) -> dict[str, str]:
        """Device names and what they are. Until the lab has looked, those that every machine has."""
        labels = {"auto": "the fastest device that this machine has", "cpu": "the processor"}
        if self.shared.lab.ready:
            for device in self.shared.lab.machine().devices:
                labels[device.name] = device.label
        chosen = st.session_state[key("device")]
        return labels if chosen in labels else {**labels, chosen: "not found on this machine"}

    # Act

    def start_button(self) -> None:
        """The button that starts the run, and room for why it could not."""
        st.button("Start training", type="primary", icon=":material/play_arrow:", width="stretch", on_click=_start, args=(self.shared, Click()))
        self.say("start")

    # Show

    def freezing(self) -> LayerTable | None:
        """What learns and what is frozen: a preset, the counts, a switch a layer, and what the Model screen has set."""
        st.subheader("What learns", anchor=False)
        freezing.ask_preset(self, st.container())
        suit_model.notes()
        counts = st.container()
        table = model_choice.look(self)
        if table is None:
            counts.caption("The layers appear here once dataset, model and image size fit together.")
        else:
            self.errors |= checks.rule_errors(table, self.errors)
            frozen = freezing.shown_frozen(table)
            with counts:
                freezing.counts(table, frozen)
                how_much_view.pictures_against(table, frozen)
            freezing.editor(table, frozen)
            self.say_again("optimizer", words.plain(rate_hint.optimizer(rate_hint.usable(), table)))
        self.set_elsewhere(table)
        return table

    def set_elsewhere(self, table: LayerTable | None) -> None:
        """What the Model screen has set, in a line each, and the way there."""
        given = draft.values()
        timeline, multipliers, dropout, hidden = (given[name] for name in ("timeline", "learning_rate_multipliers", "head_dropout", "head_hidden"))
        said = {
            "timeline": f"Timeline {words.code(str(timeline))}. {words.plain(course.read_course(table)[1]) if table else ''}" if timeline else "",
            "learning_rate_multipliers": f"Learning rates {words.code(str(multipliers))}" if multipliers else "",
            "head_dropout": f"Head dropout {dropout:g}" if dropout else "",
            "head_hidden": f"A hidden layer of {hidden:,} units in the head" if hidden else "",
        }
        with st.container(border=True, gap="xsmall", key="set_on_model"):
            row = st.container(horizontal=True, vertical_alignment="center")
            row.markdown("**When, how fast, and which head**", width="stretch")
            row.page_link(MODEL_PAGE, label="Model screen", icon=":material/account_tree:", query_params={draft.SET_UP: "1"})
            if not any(said.values()):
                st.caption("The same layers all along, one learning rate for all of them, a head of a single layer.")
            for name, text in said.items():
                if text:
                    st.markdown(text)
                if text or self.needs({name}):
                    self.say(name)

    def code(self, config: RunConfig | None, table: LayerTable | None) -> None:
        """The same in PyTorch."""
        box = st.expander("Show the PyTorch", icon=":material/code:", key="form_code", on_change="rerun")
        if not box.open:  # colouring some hundred lines is half of what a browser computes for this screen
            return
        with box:
            if config is None or table is None or self.errors:
                st.caption("The code appears here once the settings above can be used.")
                return
            show_code(config, table)

    def say_what_is_wrong(self) -> None:
        """Put each error where its widget is, and say at the button that the last click started nothing."""
        self.show_errors(rest="start")
        failed = st.session_state.pop(_START_ERROR, None)
        if failed:
            name, message = failed
            if name not in self.errors and self.has_room_for(name) and name != "start":
                self.show_error(name, message)
            where = "" if name == "start" else f" {words.field(name)}:"
            self.show_error("start", f"Nothing was started.{where} {sentence(message) if name == 'start' else message}")


def show_code(config: RunConfig, table: LayerTable) -> None:
    """The script that does what a config does, for a model with these layers."""
    parameters = table.description.parameters
    frozen = frozen_parameters(config.freeze, parameters)
    layers = [(parameter.name, parameter.name in frozen) for parameter in parameters]
    multipliers = multipliers_by_parameter(config.learning_rate_multipliers, parameters)
    try:
        code = pytorch_code(config, table.description.classes, layers, multipliers, phases(config, parameters))
    except ConfigError as error:
        st.error(words.plain(f"There is no code for this. {words.field(error.field)}: {error.message}"), icon=":material/error:")
        return
    st.caption(words.plain(" ".join(about(config, Recorded()))))
    write_code(code, "script.py")


def write_code(code: str, file_name: str) -> None:
    """A script, to be read and to be taken away."""
    st.download_button(
        "Download the script", code, file_name=file_name, mime="text/x-python", icon=":material/download:", key="download_script", on_click="ignore"
    )
    st.code(code, language="python")


def start_from_elsewhere(shared: Services, click: Click) -> None:
    """Start the run of the draft. For the callback of a button on another screen, which calls `go_on` when it is drawn next."""
    _start(shared, click)
    st.session_state[_GO_ON] = True


def go_on() -> None:
    """Go to the run that has been started, or to the form, which says why it could not be."""
    if st.session_state.pop(_GO_ON, False):
        run_id = st.query_params.get("run")
        st.switch_page(TRAIN_PAGE, query_params={"run": run_id} if run_id else {draft.SET_UP: "1"})


def _start(shared: Services, click: Click) -> None:
    """Start the run that the form describes, and show it. What is wrong is said beside the button and beside the field."""
    if click.made:
        st.query_params.from_dict({"run": click.made})
        return
    wrong = draft.errors()
    if wrong:
        st.session_state[_START_ERROR] = next(iter(wrong.items()))
        return
    try:
        config = checks.check(shared, RunConfig(**draft.values()))
        checks.check_layers(config, checks.layers(shared, config.dataset, config.model, config.image_size, head_options(config)))
        click.made = shared.supervisor.start(config)
    except ConfigError as error:
        st.session_state[_START_ERROR] = (error.field, error.message)
    except (LabError, OSError) as error:
        st.session_state[_START_ERROR] = ("start", str(error))
    else:
        st.query_params.from_dict({"run": click.made})


def _suit_learning_rate() -> None:
    """A learning rate that nobody has changed follows the optimizer."""
    if st.session_state[key("learning_rate")] in {entry.learning_rate for entry in OPTIMIZERS.values()}:
        st.session_state[key("learning_rate")] = OPTIMIZERS[st.session_state[key("optimizer")]].learning_rate


def _update() -> str:
    """What one update of the weights is made of."""
    batch_size, accumulate = draft.number("batch_size", 0), draft.number("accumulate", 0)
    if not isinstance(batch_size, int) or not isinstance(accumulate, int) or batch_size < 1 or accumulate < 2:
        return "batches added up for one step: a larger batch in the memory of a small one"
    return f"{batch_size:,} x {accumulate:,} = {batch_size * accumulate:,} images in one step{_steps()}"


def _steps() -> str:
    """How many steps make an epoch, where that is known."""
    batch_size, accumulate, share = (draft.number(name, -1) for name in ("batch_size", "accumulate", "validation_share"))
    if not isinstance(batch_size, int) or batch_size < 1 or not isinstance(accumulate, int) or accumulate < 1 or not 0 <= share < 1:
        return ""
    images = checks.training_images(draft.values()["dataset"], share)
    return f"; {steps_per_epoch(images, batch_size * accumulate):,} steps an epoch" if images else ""


def _usual(value: float | None) -> str:
    return "this optimizer has none" if value is None else f"the optimizer's usual, {value:g}"
