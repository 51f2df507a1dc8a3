"""What can be known about a draft before a worker runs: does it fit together, on this machine and with this model's layers?"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import lru_cache

import streamlit as st

from core import catalog
from core.catalog import DATASETS
from core.catalog.batches import check_batches
from core.catalog.check import check_compiling
from core.config import ConfigError, RunConfig
from core.data import datasets, own
from core.data.stock import planned
from core.helpers.helper import LabError
from core.lab.lab import Lab
from core.records.layers import HeadOptions, check_timeline, frozen_parameters, multipliers_by_parameter
from core.records.starting_weights import WeightsFit
from core.store import run_weights
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import folder_view
from pages._parts.shared import draft
from pages._parts.shared.layer_rules import RULE_FIELDS
from pages._parts.shared.services import Services

_CLIENT = "setup_weights_client"


def checked(shared: Services) -> tuple[RunConfig | None, dict[str, str]]:
    """The draft as a config that fits together, or None; and what is wrong with it, field to message. Rules about layers are not looked at."""
    errors = draft.errors()
    if not errors:
        try:
            return check(shared, RunConfig(**draft.values())), {}
        except ConfigError as error:
            errors = {error.field: error.message}
    return None, errors | {field: text for field, text in draft.unanswered().items() if field in errors}


def check(shared: Services, config: RunConfig) -> RunConfig:
    """The config with canonical names, once everything that can be known without its layers is known to fit.

    Raises:
        ConfigError: for the first field that does not fit.
    """
    config = catalog.check(run_weights.resolved(shared.home, config))
    folder_view.look(config.dataset)
    if devices := _devices(shared):
        if config.device not in ("auto", "cuda", *devices):
            raise ConfigError("device", f"{config.device!r} is not on this machine; choose {' or '.join(('auto', *devices))}")
        on_cpu = config.device == "cpu" or (config.device == "auto" and devices == ("cpu",))
        check_compiling(config, "cpu" if on_cpu else config.device)
    _check_file(shared, config)
    images = training_images(config.dataset, config.validation_share)
    if images is not None and config.batch_size > images:
        raise ConfigError("batch_size", f"{config.batch_size:,} is more than the {images:,} images there are to train on; use {images:,} or less")
    if images is not None and config.batch_size * config.accumulate > images:
        many, remedy = f"{config.accumulate:,} batches of {config.batch_size:,}", f"use {images // config.batch_size} or less, or smaller batches"
        raise ConfigError("accumulate", f"{many} are more than the {images:,} images there are to train on; {remedy}")
    return config


def file_fit(shared: Services, config: RunConfig) -> WeightsFit | None:
    """How the weights file of a config fits its model; None while a helper looks at it. Returns at once.

    Raises:
        ConfigError: model, data or file are not there.
        LabError: the helper process failed.
    """
    client = st.session_state.setdefault(_CLIENT, uuid.uuid4().hex)
    config = catalog.check(run_weights.resolved(shared.home, config))
    return shared.lab.weights(client, config, len(catalog.class_names(config.dataset, shared.home.data)))


def _check_file(shared: Services, config: RunConfig) -> None:
    """Refuse a file of weights that is known not to fit. One that is being looked at passes: the run looks again."""
    if config.starting_weights in ("random", "pretrained"):
        return
    try:
        found = file_fit(shared, config)
    except LabError:
        return
    if found is not None and found.error:
        raise ConfigError("starting_weights", found.error)


def _devices(shared: Services) -> tuple[str, ...]:
    """The names of this machine's devices; none while the helper that knows them starts, and where it cannot be asked: the run says the rest."""
    if not shared.lab.ready:
        return ()
    try:
        return tuple(device.name for device in shared.lab.machine().devices)
    except LabError:
        return ()


def check_layers(config: RunConfig, table: LayerTable) -> None:
    """See that the rules of a config can be used on these layers. Raises ConfigError for the first that cannot."""
    parameters = table.description.parameters
    frozen_parameters(config.freeze, parameters)
    multipliers_by_parameter(config.learning_rate_multipliers, parameters)
    check_timeline(config, parameters)
    check_batches(config, table.description)


def rule_errors(table: LayerTable, known: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the draft for these layers, field to message: rules, then batches. What has an error in `known` is passed over."""
    given = draft.values()
    found: dict[str, str] = {}
    # The timeline last: it begins with the other two, and the same message twice would help nobody.
    for names in (("freeze",), ("learning_rate_multipliers",), RULE_FIELDS):
        if (known.keys() | found.keys()).isdisjoint(names):
            try:
                check_layers(RunConfig(**{name: given[name] for name in names}, epochs=100_000), table)
            except ConfigError as error:
                found[error.field] = error.message
    if not known and not found:
        try:
            check_batches(RunConfig(**given), table.description)
        except ConfigError as error:
            found[error.field] = error.message
    return found


def layers(shared: Services, dataset: str, model: str, image_size: int, head: HeadOptions) -> LayerTable:
    """The layers of a model with a head for the classes of a dataset.

    Raises:
        ConfigError: model, head or images cannot be had.
        LabError: the helper process failed.
    """
    return layer_table(shared.lab, model, len(catalog.class_names(dataset, shared.home.data)), image_size, head)


@lru_cache(maxsize=16)
def layer_table(lab: Lab, model: str, classes: int, image_size: int, head: HeadOptions) -> LayerTable:
    """The layers of a model, remembered as they are used: what is worked out of a description takes longer than to ask for it.

    Raises ConfigError and LabError as `Lab.describe`.
    """
    return LayerTable(lab.describe(model, classes, image_size, head))


@lru_cache(maxsize=64)
def _images_of_version(dataset: str, validation_share: float) -> int | None:
    """The same of a version, which never changes: 60,000 pictures are counted once."""
    return datasets.training_images(dataset, validation_share)


def training_images(dataset: str, validation_share: float) -> int | None:
    """Images left to train on once validation has its share; None where only reading the dataset would tell."""
    entry = DATASETS.get(dataset)
    if entry and entry.train_images:
        return entry.train_images - round(entry.train_images * validation_share)
    try:
        if own.parse(dataset):
            return _images_of_version(datasets.find_dataset(dataset).name, validation_share)
        layout = folder_view.look(dataset)
    except ConfigError:
        return None
    return planned(layout, validation_share)[0] if layout and layout.counts else None
