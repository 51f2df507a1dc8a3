"""How it learns: the fields of the form that say how weights move, from the learning rate to what most runs leave alone."""

from __future__ import annotations

import streamlit as st

from core.catalog import LOSSES, OPTIMIZERS, SCHEDULES
from core.catalog.rate_advice import ABOUT_RATE
from core.config import CLASS_WEIGHTS, DOUBLES, FAULTS
from core.records.cost import steps_per_epoch
from pages._parts.setup import augmentation_choice, checks, devices_fields, rate_finder, rate_hint, target_fields
from pages._parts.shared import draft, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields, option

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
ABOUT_FORGETTING = (
    "For a run that starts from trained weights. Where they come from another run of Thaw, up to 256 of its test pictures are asked with its old "
    "head on the layers as they are now, before the first step, before each change, and between in at most 5 % of the time."
)
ABOUT_OLD_TASK = (
    "A folder with one folder of pictures for each class of the old task. For ImageNet's weights name them as torchvision does (golden retriever), "
    "or by their numbers, 0 to 999."
)

_FURTHER = {
    "momentum", "weight_decay", "schedule", "augmentation", "validation_share", "early_stopping", "class_weights", "doubles",
    "watch_budget", "watch_every", "checkpoint_minutes", "forgetting", "old_task", "fault", *devices_fields.AGAIN, *draft.OPTIONS,
    *target_fields.FURTHER,
}  # fmt: skip


def training(fields: Fields) -> None:
    """How it learns."""
    st.subheader("Training", anchor=False)
    first, second, third, fourth = st.columns(4)
    with fields.field(first, "learning_rate"):
        st.number_input("Learning rate", step=1e-4, format="%g", key=key("learning_rate"), help=ABOUT_RATE, persist_state="session")
        fields.say("learning_rate", words.plain(rate_hint.learning_rate(rate_hint.usable())))
    with fields.field(second, "epochs"):
        st.number_input("Epochs", step=1.0, format="%g", key=key("epochs"), persist_state="session")
        fields.say("epochs", "times that all training images are seen")
    with fields.field(third, "batch_size"):
        st.number_input("Batch size", step=8.0, format="%g", key=key("batch_size"), persist_state="session")
        fields.say("batch_size", "images in one step" + _steps() if st.session_state[key("accumulate")] == 1 else "images computed at once")
    with fields.field(fourth, "accumulate"):
        label, about = words.field("accumulate"), ABOUT_ACCUMULATE
        st.number_input(label, step=1.0, format="%g", key=key("accumulate"), help=about, **fields.kept("accumulate"))
        fields.say("accumulate", _update())
    fields.leave_room("learning_rate")
    fields.leave_room("batch_size")
    fields.leave_room("accumulate")
    rate_finder.show(fields.shared)
    left, right = st.columns(2)
    with fields.field(left, "optimizer"):
        name = st.selectbox("Optimizer", list(OPTIMIZERS), key=key("optimizer"), on_change=_suit_learning_rate, persist_state="session")
        fields.say("optimizer", OPTIMIZERS[name].about)
    with fields.field(right, "loss"):
        name = st.selectbox("Loss", list(LOSSES), key=key("loss"), **fields.kept("loss"))
        fields.say("loss", LOSSES[name].about)
    first, second, third, fourth = st.columns(4)
    with fields.field(first, "clip_norm"):
        label, about = words.field("clip_norm"), ABOUT_CLIPPING
        st.number_input(label, step=0.5, format="%g", placeholder="any", key=key("clip_norm"), help=about, **fields.kept("clip_norm"))
        fields.say("clip_norm", "a longer one, all layers together, is scaled down to it (clipping)")
    with fields.field(second, "device"):
        labels = _devices(fields)
        name = st.selectbox("Device", list(labels), key=key("device"), **fields.kept("device"))
        fields.say("device", words.plain(labels[name]))
    devices_fields.ask_devices(fields, third)
    with fields.field(fourth, "seed"):
        st.number_input("Seed", step=1.0, format="%g", key=key("seed"), **fields.kept("seed"))
        fields.say("seed", "where all chance starts from: same seed and settings on the same machine, same run")


def more_settings(fields: Fields) -> None:
    """What most runs leave alone."""
    entry = OPTIMIZERS[st.session_state[key("optimizer")]]
    # An error must not hide in a closed expander.
    with st.expander("More settings", expanded=fields.needs(_FURTHER), icon=":material/tune:"):
        left, right = st.columns(2)
        with fields.field(left, "momentum"):
            usual = _usual(entry.momentum)
            st.number_input("Momentum", step=0.05, format="%g", placeholder=usual, key=key("momentum"), persist_state="session")
            fields.say("momentum", "share of the last update that is kept, 0 to 1")
        with fields.field(right, "weight_decay"):
            usual = _usual(entry.weight_decay)
            st.number_input("Weight decay", step=0.01, format="%g", placeholder=usual, key=key("weight_decay"), persist_state="session")
            fields.say("weight_decay", words.plain(rate_hint.weight_decay(rate_hint.usable())))
        _options(fields, "optimizer_options")
        _options(fields, "loss_options")
        left, right = st.columns(2)
        with fields.field(left, "schedule"):
            st.selectbox("Schedule", list(SCHEDULES), key=key("schedule"), **fields.kept("schedule"))
            fields.say("schedule", words.plain(rate_hint.schedule(rate_hint.usable())))
        augmentation_choice.ask_augmentation(fields, right)
        _options(fields, "schedule_options")
        left, right = st.columns(2)
        with fields.field(left, "validation_share"):
            st.number_input("Validation share", step=0.05, format="%g", key=key("validation_share"), persist_state="session")
            fields.say("validation_share", "share of the training images held back to measure progress, 0 to 0.9")
        with fields.field(right, "early_stopping"):
            st.number_input("Early stopping", step=1.0, format="%g", placeholder="never", key=key("early_stopping"), **fields.kept("early_stopping"))
            fields.say("early_stopping", "epochs without a better validation loss before the run stops")
        left, right = st.columns(2)
        with fields.field(left, "class_weights"):
            names, about = list(CLASS_WEIGHTS), ABOUT_CLASS_WEIGHTS
            name = st.selectbox(words.field("class_weights"), names, key=key("class_weights"), help=about, **fields.kept("class_weights"))
            fields.say("class_weights", CLASS_WEIGHTS[name])
        with fields.field(right, "doubles"):
            name = st.selectbox(words.field("doubles"), list(DOUBLES), key=key("doubles"), help=ABOUT_DOUBLES, persist_state="session")
            fields.say("doubles", DOUBLES[name])
        left, right = st.columns(2)
        with fields.field(left, "watch_budget"):
            label = f"{words.field('watch_budget')} (%)"
            st.number_input(label, step=0.5, format="%g", key=key("watch_budget"), **fields.kept("watch_budget"))
            fields.say("watch_budget", "of the time that watching may cost; past it, it measures less often")
        with fields.field(right, "watch_every"):
            st.number_input("Watch every", step=5.0, format="%g", key=key("watch_every"), **fields.kept("watch_every"))
            fields.say("watch_every", "steps between two looks at weight changes and frozen layers")
        with fields.field(st.container(), "checkpoint_minutes"):
            label = f"{words.field('checkpoint_minutes')} (min)"
            st.number_input(label, step=1.0, format="%g", key=key("checkpoint_minutes"), **fields.kept("checkpoint_minutes"))
            fields.say("checkpoint_minutes", "at most between two checkpoints, from which a run goes on that was interrupted; one at epoch ends too")
        target_fields.ask_target(fields)
        devices_fields.ask_machines(fields)
        devices_fields.ask_failures(fields)
        _forgetting(fields)
        with fields.field(st.container(), "fault"):
            name = st.selectbox(words.field("fault"), list(FAULTS), key=key("fault"), **fields.kept("fault"))
            fields.say("fault", FAULTS[name])


def _forgetting(fields: Fields) -> None:
    """Whether what the weights knew before is measured, and where the pictures of that lie."""
    left, right = st.columns(2)
    with fields.field(left, "forgetting"):
        st.checkbox(words.field("forgetting"), key=key("forgetting"), help=ABOUT_FORGETTING, **fields.kept("forgetting"))
        fields.say("forgetting", "how well the old task is still done, and how far each layer is from where it started")
    with fields.field(right, "old_task"):
        st.text_input(words.field("old_task"), key=key("old_task"), placeholder="none", help=ABOUT_OLD_TASK, **fields.kept("old_task"))
        fields.say("old_task", "for weights of no run of Thaw; empty: the run's own test pictures, or the drift alone")


def _options(fields: Fields, field: str) -> None:
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
    fields.say(field, "")


def _devices(fields: Fields) -> dict[str, str]:
    """Device names and what they are. Until the lab has looked, those that every machine has."""
    labels = {"auto": "the fastest device that this machine has", "cpu": "the processor"}
    if fields.shared.lab.ready:
        for device in fields.shared.lab.machine().devices:
            labels[device.name] = device.label
    chosen = st.session_state[key("device")]
    return labels if chosen in labels else {**labels, chosen: "not found on this machine"}


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
    steps = steps_per_epoch(images, batch_size * accumulate) if images else 0
    return f"; {steps:,} step{'' if steps == 1 else 's'} an epoch" if steps else ""


def _usual(value: float | None) -> str:
    return "this optimizer has none" if value is None else f"the optimizer's usual, {value:g}"
