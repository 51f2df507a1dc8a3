"""The form of the Train screen: everything that decides what a run does, what it freezes, and the button that starts it."""

from __future__ import annotations

import streamlit as st

from core.code import Recorded, about, phases, pytorch_code
from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.records.layers import frozen_parameters, head_options, multipliers_by_parameter
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.components.go_to import go_to
from pages._parts.setup import (
    augmentation_view,
    branch,
    called,
    checks,
    course,
    data_card,
    fit_choice,
    freezing,
    how_fields,
    how_much_view,
    judging,
    model_choice,
    rate_hint,
    speed_choice,
    suit_model,
    trained,
)
from pages._parts.setup.start_bar import StartBar
from pages._parts.shared import draft, layer_rules, refusals, words
from pages._parts.shared.fields import Fields, sentence
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services

MODEL_PAGE, TRAIN_PAGE, SWEEP_PAGE = "model.py", "train.py", "sweep.py"

_START_ERROR = "setup_start_error"
_GO_ON = "setup_go_on"


def show(shared: Services) -> None:
    """Show the form. Starting a run puts its id into the URL."""
    draft.open_draft()
    branch.open_link(shared)
    trained.begin(shared)
    form = Form(shared)
    config, form.errors = checks.checked(shared)
    begun = branch.of_draft(shared)
    if begun is None:
        st.title("Set up a run", anchor=False)
    else:
        st.title(words.plain(branch.of_what(begun)), anchor=False)
        branch.show(begun, config)
        form.errors |= branch.refusals(begun, config)
        form.cannot_change = branch.cannot_change
    if draft.NOWHERE in (said := draft.notes()):
        st.warning(words.plain(said[draft.NOWHERE]), icon=":material/link_off:")
    if set_from_run := draft.marked():
        go_to([(name, words.field(name), was) for name, was in set_from_run.items()], key="set_from_run", before="Set from a run:")
    left, right = st.columns([11, 9], gap="large")
    with left:
        form.data()
        data_card.show(form, config)
    with right:
        form.model()
        layers = st.container()
    how_fields.training(form)
    how_fields.more_settings(form)
    speed_choice.ask_speed(form)
    speed_choice.ask_reuse(form)
    augmentation_view.show(shared, config)
    code = st.container()
    called.ask(form)
    bar = StartBar(form)
    row = bar.button.container(horizontal=True, vertical_alignment="center")
    row.page_link(SWEEP_PAGE, label="Try several settings", icon=":material/stacked_line_chart:", query_params={draft.SET_UP: "1"})
    label = "Start training" if begun is None else "Start the branch"
    row.button(label, type="primary", icon=":material/play_arrow:", on_click=_start, args=(shared, Click()))
    draft.keep_in_url({**trained.in_url(), **called.in_url(), **branch.in_url()})
    layer_rules.desk().remember(draft.values()["model"])
    # Last, since the first look at a model's layers takes some seconds: everything else is on screen by then.
    with layers:
        table = form.freezing()
    with code:
        form.code(config, table)
    judging.judge(form, config, table)
    bar.fill(form, config, table)
    form.say_what_is_wrong()


class Form(Fields):
    """What is asked and shown, in the order of a person's eyes: data, model, what learns; how it learns is asked in `how_fields`."""

    def data(self) -> None:
        """What is learned from, and how its pictures become squares."""
        st.subheader("Data", anchor=False)
        model_choice.ask_dataset(self, st.container())
        left, right = st.columns(2)
        fit_choice.ask_fit(self, left)
        fit_choice.show_fits(right)

    def model(self) -> None:
        """What learns from it, and from which weights on."""
        st.subheader("Model", anchor=False)
        left, right = st.columns(2)
        model_choice.ask_model(self, left)
        model_choice.ask_image_size(self, right)
        self.leave_room("image_size")
        model_choice.ask_starting_weights(self, st.container())

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
            row.page_link(MODEL_PAGE, label="Model screen", icon=":material/account_tree:", query_params={draft.SET_UP: "1", **branch.in_url()})
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
        if _START_ERROR in st.session_state and (failed := refusals.noted(_START_ERROR, of=draft.values())):
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
        st.switch_page(TRAIN_PAGE, query_params={"run": run_id} if run_id else {draft.SET_UP: "1", **branch.in_url()})


def _start(shared: Services, click: Click) -> None:
    """Start the run that the form describes, and show it. What is wrong is said beside the button and beside the field."""
    if click.made:
        st.query_params.from_dict({"run": click.made})
        return
    refusals.forget(_START_ERROR)
    wrong = draft.errors()
    if wrong:
        refusals.note(_START_ERROR, next(iter(wrong.items())), of=draft.values())
        return
    try:
        wanted = called.change()
        config = checks.check(shared, RunConfig(**draft.values()))
        checks.check_layers(config, checks.layers(shared, config.dataset, config.model, config.image_size, head_options(config)))
        begun = branch.of_draft(shared)
        click.made = shared.supervisor.start(config) if begun is None else branch.start(shared, begun)
    except ConfigError as error:
        refusals.note(_START_ERROR, (error.field, error.message), of=draft.values())
    except (LabError, OSError) as error:
        refusals.note(_START_ERROR, ("start", str(error)), of=draft.values())
    else:
        called.call(shared, click.made, wanted)
        st.query_params.from_dict({"run": click.made})
