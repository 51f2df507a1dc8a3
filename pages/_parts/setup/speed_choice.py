"""How fast a run trains and what that changes: the ways to compute, and what of the frozen layers is computed once and kept."""

from __future__ import annotations

import streamlit as st

from core.catalog import OPTIMIZERS
from core.config import MEASURED, PRECISIONS, RunConfig
from core.data.augmentations import AugmentationEntry
from core.machine.hardware import cores
from pages._parts.setup import augmentation_choice
from pages._parts.shared import draft, layer_rules, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields

SPEED = {"speed", "threads", *MEASURED}
REUSE = {"feature_cache", "feature_cache_gigabytes", "fixed_views", "frozen_randomness"}

_WAYS = {
    "exact": "As set below; without a change there, the same numbers as plain PyTorch in float32, bit for bit.",
    "automatic": "Before the first step, some seconds go into timing each sensible way on this model, data and device; what was found is "
    "remembered. The fastest way that changes gradients by far less than another batch would is taken, and shown with all figures. "
    "Losses differ slightly from an exact run.",
}
_PRECISION = {
    "float32": "the forward pass in full: exact",
    "bfloat16": "the forward pass in half the bits, 2 to 3 digits: faster on some processors and most GPUs, slower elsewhere; losses differ slightly",
    "float16": "the forward pass in half the bits, 3 to 4 digits, with scaled gradients: for GPUs; losses differ slightly",
}
_FORMATS = {
    "contiguous": "images lie channel by channel, as PyTorch has them: exact",
    "channels_last": "images lie pixel by pixel: faster for some models, slower for others; a step's last digits differ",
}
_KEPT = {
    "exact": (
        "Kept as they are",
        "The same losses and weights as without, bit for bit; as training goes on, some features are computed again and compared.",
    ),
    "float16": ("Kept in float16", "Rounded to 3 to 4 digits: half the room. Losses differ slightly."),
    "off": ("Not kept", "Frozen layers compute everything again in every epoch."),
}
_COMPILING = "the model is translated before the first step, which takes 10 s to over a minute; most are faster then; a step's last digits differ"
_FOLDING = "frozen BatchNorm is worked into the convolution before it, where features are kept: a faster first epoch; a step's last digits differ"
_IM2COL = (
    "where a convolution gives small maps, as in the last stage for small pictures, its weight gradient is one matrix product: up to twice as fast "
    "on a processor; a step's last digits differ"
)

_RANDOMNESS = (
    "on, as in any training loop; without it they rest, which EfficientNet, ConvNeXt and Swin need for more than their first layers to be kept; "
    "losses differ"
)

_DEFAULTS = RunConfig()


def ask_speed(fields: Fields) -> None:
    """How it computes: exactly as set here, or as measuring says is fastest."""
    with st.expander("Speed", expanded=fields.needs(SPEED), icon=":material/speed:"):
        with fields.field(st.container(), "speed"):
            captions = list(_WAYS.values())
            speed = st.radio(
                "Speed", list(_WAYS), captions=captions, key=key("speed"), on_change=_leave_to_measuring, label_visibility="collapsed",
                **fields.kept("speed"),
            )  # fmt: skip
            fields.say("speed")
        left, right = st.columns(2)
        if _is_asked("precision", speed):
            with fields.field(left, "precision"):
                precision = st.selectbox("Precision", list(PRECISIONS), key=key("precision"), **fields.kept("precision"))
                fields.say("precision", _PRECISION[precision])
        if _is_asked("memory_format", speed):
            with fields.field(right, "memory_format"):
                layout = st.selectbox("Memory format", list(_FORMATS), key=key("memory_format"), **fields.kept("memory_format"))
                fields.say("memory_format", _FORMATS[layout])
        for name, about in (
            ("fused_optimizer", _about_fused()), ("compile_model", _COMPILING), ("fold_norms", _FOLDING), ("im2col_gradients", _IM2COL),
        ):  # fmt: skip
            if _is_asked(name, speed):
                with fields.field(st.container(), name):
                    st.checkbox(words.field(name), key=key(name), disabled=_is_out_of_reach(name) or fields.fixed(name), persist_state="session")
                    fields.say(name, about)
        with fields.field(st.container(), "threads"):
            many = f"all {cores()} cores" if cores() > 1 else "1 core"
            empty = many if speed == "exact" else "measured too"
            st.number_input("Threads", step=1.0, format="%g", placeholder=empty, key=key("threads"), **fields.kept("threads"))
            fields.say("threads", f"processor threads that training uses; empty: {empty}; with another number a step's last digits may differ")


def ask_reuse(fields: Fields) -> None:
    """What of the frozen layers is computed once and kept."""
    with st.expander("Frozen layers, computed once", expanded=fields.needs(REUSE), icon=":material/ac_unit:"):
        st.caption(
            "Frozen layers in front of the first that learns compute the same features for the same picture in every epoch, unless chance is in "
            "them. Kept from the first time on, they leave only the layers behind them to be computed, and the next run with the same frozen "
            "layers and data starts with them." + _about_plan()
        )
        with fields.field(st.container(), "feature_cache"):
            captions = [about for _, about in _KEPT.values()]
            kept = st.radio(
                words.field("feature_cache"), list(_KEPT), captions=captions, format_func=lambda name: _KEPT[name][0], key=key("feature_cache"),
                **fields.kept("feature_cache"),
            )  # fmt: skip
            fields.say("feature_cache")
        left, right = st.columns(2)
        with fields.field(left, "feature_cache_gigabytes"):
            label = f"{words.field('feature_cache_gigabytes')} (GB)"
            unused = kept == "off" and "feature_cache_gigabytes" not in fields.errors
            st.number_input(
                label,
                step=1.0,
                format="%g",
                key=key("feature_cache_gigabytes"),
                disabled=unused or fields.fixed("feature_cache_gigabytes"),
                persist_state="session",
            )
            fields.say("feature_cache_gigabytes", "the most they may take on disk; where they would need more, none are kept, and the run says so")
        with fields.field(right, "fixed_views"):
            about, useful = _about_views(augmentation_choice.chosen_entry(), kept)
            empty = fields.fixed("fixed_views") or not useful and st.session_state[key("fixed_views")] is None
            st.number_input(
                "Fixed views", step=1.0, format="%g", placeholder="always new", key=key("fixed_views"), disabled=empty, persist_state="session"
            )
            fields.say("fixed_views", about)
        with fields.field(st.container(), "frozen_randomness"):
            st.checkbox(words.field("frozen_randomness"), key=key("frozen_randomness"), **fields.kept("frozen_randomness"))
            fields.say("frozen_randomness", _RANDOMNESS)


def _is_asked(name: str, speed: str) -> bool:
    """Measuring decides by itself; what is set although it does stays within reach."""
    return speed == "exact" or st.session_state[key(name)] != getattr(_DEFAULTS, name)


def _is_out_of_reach(name: str) -> bool:
    """Nothing that can be ticked: what is ticked already can be taken back, whatever else is chosen."""
    if st.session_state[key(name)]:
        return False
    if name == "fold_norms":
        return bool(st.session_state[key("feature_cache")] == "off")
    return name == "fused_optimizer" and not OPTIMIZERS[st.session_state[key("optimizer")]].fused


def _about_fused() -> str:
    entry = OPTIMIZERS[st.session_state[key("optimizer")]]
    if not entry.fused:
        able = [other.name for other in OPTIMIZERS.values() if other.fused]
        return f"{entry.name} has no such way; {', '.join(able[:-1])} and {able[-1]} have"
    return "all weights are updated in one operation; a step's last digits differ"


def _about_plan() -> str:
    if layer_rules.rules().freeze != str(_DEFAULTS.freeze):
        return ""
    return " Every layer learns to begin with: there is nothing to keep until one is frozen."


def _about_views(entry: AugmentationEntry | None, kept: str) -> tuple[str, bool]:
    """What fixed views mean beside these choices, and whether they are of any use."""
    if entry is None:
        return "Of use with an augmentation that can be used.", False
    if not entry.changes:
        return "Without augmentation every epoch shows the same pictures: all features can be kept.", False
    if kept == "off":
        return "Of use only where features are kept.", False
    if entry.variants:
        return "Flipping makes two pictures of an image: their features are all kept, and the run stays exact, without this.", False
    return (
        "random pictures of each image, shown in turn. Empty: augmentation makes every picture new, so no features can be kept. With a number "
        "they are, from the second turn on; the model sees less variety",
        True,
    )


def _leave_to_measuring() -> None:
    """What measuring decides is given back to it."""
    if st.session_state[key("speed")] == "automatic":
        draft.reset(MEASURED)
