"""On the Model screen: which layers should I unfreeze? One click tries depths from the head alone to everything."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.sweeps import depths
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import checks
from pages._parts.shared import refusals, words
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services
from pages._parts.sweeps import set_up

_STARTED, _FAILED = "layers_started", "layers_failed"


def show(shared: Services, table: LayerTable, config: RunConfig | None) -> None:
    """Seeds and epochs, what it will take, and the button. `config` is None where the draft cannot be run."""
    if started := st.session_state.pop(_STARTED, ""):
        st.switch_page("sweep.py", query_params={"sweep": started})
    found = depths.depths(table.description)
    with st.container(border=True, key="model_which_layers"):
        st.markdown("**Which layers should I unfreeze?**")
        st.caption("Trains from the head alone to everything, with several seeds each, and says which is worth its time, and how sure that is.")
        if len(found) < 2:
            st.caption("This model has no stages to choose between.")
            return
        seeds, epochs, rest = st.columns([2, 2, 7], vertical_alignment="bottom")
        count = seeds.number_input("Seeds each", 1.0, float(depths.MOST_SEEDS), float(depths.SEEDS), 1.0, "%.0f", key="layers_seeds")
        length = epochs.number_input("Epochs each", 1.0, 1000.0, float(depths.EPOCHS), 1.0, "%.0f", key="layers_epochs")
        tries, passes = int(count or depths.SEEDS), int(length or depths.EPOCHS)
        rest.button(
            "Find out", icon=":material/science:", key="layers_begin", disabled=config is None,
            on_click=_begin, args=(shared, config, found, tries, passes, Click()),
        )  # fmt: skip
        names = ", ".join(depth.name for depth in found)
        st.caption(words.plain(f"{_estimate(shared, table, config, found, tries, passes)} Depths: {names}."))
        if failed := refusals.noted(_FAILED):
            st.error(words.plain(failed), icon=":material/error:", title="Nothing was started")


def _estimate(shared: Services, table: LayerTable, config: RunConfig | None, found: tuple[depths.Depth, ...], seeds: int, epochs: int) -> str:
    """What it will take, from an epoch that was measured here, with whatever learned then."""
    seconds = None
    if config is not None:
        images = checks.training_images(config.dataset, config.validation_share)
        for depth in reversed(found):
            try:
                known = shared.lab.known_cost(config.replace(freeze=depth.freeze), table.description.classes, images)
            except (ConfigError, LabError):
                known = None
            if known is not None and known.epoch_seconds is not None:
                seconds = depths.epoch_of_all(table.description, depth.freeze, known.epoch_seconds)
                break
    return depths.estimate(found, seconds, table.description, seeds, epochs)


def _begin(shared: Services, config: RunConfig | None, found: tuple[depths.Depth, ...], seeds: int, epochs: int, click: Click) -> None:
    refusals.forget(_FAILED)
    if config is None:
        return
    if not click.made:
        try:
            click.made = set_up.begin(shared, depths.question(config, found, seeds, epochs))
        except ConfigError as error:
            refusals.note(_FAILED, f"{words.field(error.field)}: {error.message}")
            return
        except (LabError, OSError) as error:
            refusals.note(_FAILED, str(error))
            return
    st.session_state[_STARTED] = click.made
