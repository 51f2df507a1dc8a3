"""What is judged before a start, beside the field that it is about: what would work and be of no use, and the remedies at one click.

What cannot work is an error (`checks`); here are the remedies for it. What works and is hardly meant is an amber note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.catalog import find_model
from core.catalog.batches import norms_that_learn
from core.catalog.rate_advice import outside, rate_advice
from core.config import ConfigError, RunConfig
from core.networks.model_entries import ModelEntry
from core.records.layers import frozen_parameters
from core.records.starting_weights import WeightsFit
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import checks, trained, weights_fit
from pages._parts.setup.suit_model import suit_model
from pages._parts.setup.trained import EVERYTHING, Where
from pages._parts.shared import draft, words
from pages._parts.shared.fields import Fields
from pages._parts.shared.services import Services

MUCH_SMALLER = 0.75
"""Share of the side that weights were measured at, below which pictures are called small for them."""


_USED = "setup_remedy_used"


@dataclass(frozen=True)
class Remedy:
    """Settings at one click."""

    label: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Hint:
    """An amber note beside a field. `text` is no Markdown."""

    field: str
    text: str
    remedies: tuple[Remedy, ...] = ()


def judge(fields: Fields, config: RunConfig | None, table: LayerTable | None, part_of_page: bool = False) -> None:
    """Say beside the fields of the draft what works and is hardly meant, and what would mend that or what cannot work.

    Args:
        config: the draft; None where it cannot be used.
        table: the model's layers; None where they are not known.
        part_of_page: it is called in a fragment, and what a remedy sets may stand elsewhere: the page is drawn anew then.
    """
    if st.session_state.pop(_USED, False) and part_of_page:
        st.rerun(scope="app")
    given = draft.values()
    share = given["validation_share"]
    images = checks.training_images(given["dataset"], share) if isinstance(share, int | float) and 0 <= share < 1 else None
    fit, _ = weights_fit.of_draft(fields.shared)
    place = trained.advised(fields.shared, given["model"], given["dataset"])
    found = hints(config, table, images, fit, place) if config and table and not fields.errors else iter(())
    show(fields, found, remedies(fields.errors, images, fit))


def hints(config: RunConfig, table: LayerTable, images: int | None, fit: WeightsFit | None, place: Where) -> Iterator[Hint]:
    """What is to be said of settings that can be used.

    Args:
        images: pictures to train on; None: not known.
        fit: what is known of the file of weights, where there is one.
        place: where trained weights of the model can be had.
    """
    if config.fault != "none":  # broken on purpose
        return
    yield from _random_and_frozen(config, table, place)
    yield from _far_rate(config)
    yield from _small_pictures(config, fit)
    yield from _single_pictures(config, table, images)


def remedies(errors: Mapping[str, str], images: int | None, fit: WeightsFit | None) -> dict[str, tuple[Remedy, ...]]:
    """What mends errors of the draft at one click, by field."""
    given = draft.values()
    found: dict[str, tuple[Remedy, ...]] = {}
    batch = given["batch_size"]
    if "batch_size" in errors and images and isinstance(batch, int) and batch > images:
        found["batch_size"] = (_number("batch_size", _round(images)),)
    if "accumulate" in errors and images and isinstance(batch, int) and 1 <= batch <= images:
        found["accumulate"] = (_number("accumulate", images // batch),)
    if "image_size" in errors and (entry := _entry(given["model"])) is not None:
        found["image_size"] = tuple(_number("image_size", size) for size in sizes(entry, given["image_size"]))
    if "starting_weights" in errors and fit is not None:
        found["starting_weights"] = tuple(Remedy(f"Use {name}", {"model": name}) for name in fit.likely[:3])
    elif "starting_weights" in errors and given["starting_weights"] == "pretrained":
        found["starting_weights"] = (Remedy("Begin from random numbers", {"starting_weights": "random"}),)
    return found


def sizes(entry: ModelEntry, wanted: object) -> list[int]:
    """The sides that a model takes next to the one that was `wanted`, in pixels, the smaller first, and its usual one."""
    found = {entry.usual}
    if isinstance(wanted, int | float):
        for near in (int(wanted // entry.multiple), int(wanted // entry.multiple) + 1):
            found.add(min(max(near * entry.multiple, _smallest(entry)), 1024 // entry.multiple * entry.multiple))
    return sorted(size for size in found if _takes(entry, size))


def show(fields: Fields, found: Iterator[Hint], mending: Mapping[str, tuple[Remedy, ...]]) -> None:
    """Put hints and remedies where their fields are. What has an error gets no hint."""
    for hint in found:
        place = fields.room_of(hint.field)
        if place is not None and hint.field not in fields.errors:
            with place:
                st.warning(words.plain(hint.text), icon=":material/warning:")
                _buttons(fields.shared, hint.field, hint.remedies)
    for name, each in mending.items():
        place = fields.room_of(name)
        if place is not None and name in fields.errors:
            with place:
                _buttons(fields.shared, name, each)


def _buttons(shared: Services, name: str, found: tuple[Remedy, ...]) -> None:
    if not found:
        return
    with st.container(horizontal=True, gap="xsmall", key=f"remedies_{name}"):
        for number, remedy in enumerate(found):
            label = words.plain(remedy.label)
            st.button(label, key=f"remedy_{name}_{number}", icon=":material/build:", on_click=_use, args=(shared, remedy))


def _use(shared: Services, remedy: Remedy) -> None:
    draft.put(**remedy.values)
    st.session_state[_USED] = True
    if "model" in remedy.values:
        suit_model(shared)


def _number(name: str, value: int) -> Remedy:
    return Remedy(f"Use {value:,}{' px' if name == 'image_size' else ''}", {name: value})


def _round(images: int) -> int:
    """A batch for so few pictures: some steps an epoch, in a power of two."""
    return max(1, min(32, 1 << max(images // 4, 1).bit_length() - 1))


def _entry(model: str) -> ModelEntry | None:
    try:
        return find_model(model)
    except ConfigError:
        return None


def _smallest(entry: ModelEntry) -> int:
    return -(-max(entry.smallest, 8) // entry.multiple) * entry.multiple


def _takes(entry: ModelEntry, size: int) -> bool:
    try:
        RunConfig(image_size=size)
        entry.check_image_size(size)
    except ConfigError:
        return False
    return True


# What is judged


def _random_and_frozen(config: RunConfig, table: LayerTable, place: Where) -> Iterator[Hint]:
    """Layers that begin as random numbers and never learn. What a timeline thaws is not counted."""
    if config.starting_weights != "random":
        return
    parameters = table.description.parameters
    random = {parameter.name for parameter in parameters if len(parameter.shape) > 1 and not parameter.is_norm}
    plan = config.freeze
    never = random & frozen_parameters(plan, parameters)
    for timed in sorted(config.timeline.changes, key=lambda timed: (timed.unit, timed.at)):
        if not never:
            return
        plan = plan.then(timed.change)
        never &= frozen_parameters(plan, parameters)
    if not never:
        return
    those = _named(never, random, table)
    named = ", ".join(those[:3]) + (f" and {len(those) - 3:,} more" if len(those) > 3 else "")
    one = len(those) == 1
    text = f"{named} begin{'s' if one else ''} as random numbers and stay{'s' if one else ''} frozen: {'it' if one else 'those layers'} will never "
    text += f"learn anything, and what learns has to make do with what {'it makes' if one else 'they make'} of the pictures."
    better = (Remedy("Start from trained weights", {"starting_weights": "pretrained"}),) if place in ("here", "network") else ()
    yield Hint("freeze", text, (*better, Remedy("Train everything", {"freeze": EVERYTHING})))


def _far_rate(config: RunConfig) -> Iterator[Hint]:
    """A learning rate that is more than ten times above or below what is usual."""
    advice = rate_advice(config)
    for text in outside(config):
        yield Hint("learning_rate", text, (Remedy(f"Use {advice.usual:g}", {"learning_rate": advice.usual}),) if advice else ())


def _named(never: Set[str], random: Set[str], table: LayerTable) -> list[str]:
    """The blocks that never learn, and of those in which something does, the layers that do not."""
    found: dict[str, None] = {}
    for block, names in table.blocks.items():
        inside = [name for name in names if name in random]
        still = [name for name in inside if name in never]
        found |= {block: None} if still and still == inside else {name.rpartition(".")[0] or name: None for name in still}
    return list(found)


def _small_pictures(config: RunConfig, fit: WeightsFit | None) -> Iterator[Hint]:
    """Weights that have learned from pictures of ImageNet, and pictures far smaller than those."""
    entry = find_model(config.model)
    of_imagenet = entry.published is not None and (config.starting_weights == "pretrained" or (fit is not None and fit.of_imagenet))
    if not of_imagenet or config.image_size >= MUCH_SMALLER * entry.usual:
        return
    times = (entry.usual / config.image_size) ** 2
    text = (
        f"These weights have learned from ImageNet's pictures at about {entry.usual:,} px; at {config.image_size:,} px, what they know comes "
        f"{entry.usual / config.image_size:.2g} times smaller. {entry.usual:,} px cost about {times:.2g} times the computing for each picture."
    )
    yield Hint("image_size", text, (_number("image_size", entry.usual),))


def _single_pictures(config: RunConfig, table: LayerTable, images: int | None) -> Iterator[Hint]:
    """Batches of one picture where BatchNorm learns, and a last one that is left out."""
    norms = list(norms_that_learn(config, table.description))
    if config.batch_size == 1 and norms:
        these = f"{norms[0]} and {len(norms) - 1:,} more BatchNorm layers learn" if len(norms) > 1 else f"{norms[0]} (BatchNorm) learns"
        text = f"{these}, and works out mean and variance from each batch: from a single picture they say little. Accumulation does not change that."
        yield Hint("batch_size", text.replace("learn, and works", "learn, and work"), (_number("batch_size", _round(images or 128)),))
    elif images and config.batch_size > 1 and images > config.batch_size and images % config.batch_size == 1:
        nearby = next((size for size in range(config.batch_size - 1, 1, -1) if images % size != 1), None)
        text = f"{images:,} pictures in batches of {config.batch_size:,} leave a last batch of one, which is left out: one is not seen in each epoch."
        yield Hint("batch_size", text, (_number("batch_size", nearby),) if nearby else ())
