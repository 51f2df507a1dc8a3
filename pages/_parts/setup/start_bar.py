"""The bar of the form: what will happen, or what stands in its way, and the button that starts it. It stays in sight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import RunConfig
from core.records.cost import steps_per_epoch
from core.records.telling import about_time
from core.store import StoreError
from core.store.time_taken import time_taken
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.components.go_to import go_to
from pages._parts.setup import checks, freezing
from pages._parts.shared import words
from pages._parts.shared.fields import Fields
from pages._parts.shared.services import Services

_CSS = Path(__file__).with_name("start_bar.css")


class StartBar:
    """Drawn with the form, filled once the layers are known: the first look at them takes some seconds."""

    def __init__(self, fields: Fields) -> None:
        """Make room at this place of the page."""
        st.html(_CSS)
        bar = st.container(key="start_bar", gap="xsmall")
        with bar:
            fields.say("start")
        row = bar.container(horizontal=True, vertical_alignment="center")
        self._said = row.container(width="stretch")
        self.button: DeltaGenerator = row.container(width="content")
        """Where the button goes."""

    def fill(self, fields: Fields, config: RunConfig | None, table: LayerTable | None) -> None:
        """Say what will happen, or which fields stand in its way."""
        with self._said:
            if fields.errors:
                go_to(wrong(fields.errors), key="start_bar_wrong")
            elif config is None or table is None:
                st.caption("What will happen is said here once the layers of the model are known.")
            else:
                images = checks.training_images(config.dataset, config.validation_share)
                seconds, whence = known_time(fields.shared, config, table, images)
                st.markdown(words.plain(what_will_happen(config, table, images, seconds)), help=words.plain(whence) or None)


def known_time(shared: Services, config: RunConfig, table: LayerTable, images: int | None) -> tuple[float | None, str]:
    """Seconds that the run will take and how that is known: from runs that were like it, else from measured steps; (None, "") where it is not."""
    try:
        seconds = time_taken(shared.store, config, images)
    except StoreError:
        seconds = None
    if seconds is not None:
        return seconds, "The time is what an earlier run with these settings took on this machine."
    cost = None if config.timeline.changes else shared.lab.known_cost(config, table.description.classes, images)
    if cost is None or cost.total_seconds is None:
        return None, ""
    return cost.total_seconds, "The time is that of steps that were measured on the Model screen; reading images and validation come on top."


def wrong(errors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What the bar says of errors by field: (field, its label, a sentence)."""
    return [(name, words.field(name), words.sentence(message)) for name, message in errors.items()]


def what_will_happen(config: RunConfig, table: LayerTable, images: int | None, seconds: float | None = None) -> str:
    """'2,562 of 2,226,434 parameters learn, 35 steps, about 1 minute.'

    Args:
        images: pictures to train on; None: only reading the dataset would tell.
        seconds: that the run will take; None: nothing is known about it.
    """
    total = table.description.count
    frozen = freezing.shown_frozen(table)
    learning = total - sum(parameter.count for parameter in table.description.parameters if parameter.name in frozen)
    first = " at first" if config.timeline.changes else ""
    said = [f"{learning:,} of {total:,} parameters learn{first}"]
    most = " at most" if config.early_stopping else ""
    if images:
        steps = steps_per_epoch(images, config.batch_size * config.accumulate) * config.epochs
        said.append(f"{steps:,} step{'' if steps == 1 else 's'}{most}")
    else:
        said.append(f"{config.epochs:,} epoch{'' if config.epochs == 1 else 's'}{most}")
    if seconds is not None:
        said.append(about_time(seconds))
    return f"{', '.join(said)}."
