"""What the chosen dataset holds, before anything trains on it: its three sets and why they are so, its classes, eight pictures, what is odd."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from core.catalog import DATASETS
from core.config import ConfigError, RunConfig
from core.data import on_disk, own
from core.data.datasets import DatasetEntry
from core.data.decoding import Fit
from core.data.glance import MOST, Found, Sight, damage, look_at, oddities, sights_of, some_places
from core.data.layouts import PARTS, Layout, Part
from core.data.sources import Source
from core.data.stock import Counts, counted, divided
from core.machine.home import Home
from core.versions import Version, shelf
from pages._parts.components import data_card as drawn
from pages._parts.setup import folder_view
from pages._parts.setup.looking import Looks
from pages._parts.shared import draft, words
from pages._parts.shared.fields import Fields

SHOWN = 160
"""Side of a picture as it is sent, in pixels, at most: on screen it has 96, on a fine screen twice as many dots."""

EXACT = 64
"""Up to this side, in pixels, a picture is sent bit for bit."""


_MADE_SQUARE: Mapping[Fit, str] = {
    "crop": "the middle of what is not square.",
    "squash": "what is not square pressed into a square.",
    "pad": "what is not square with black at two sides.",
}


@dataclass(frozen=True)
class Card:
    """What is known of a dataset's numbers.

    Args:
        classes: their names, in the order of the labels.
        counts: pictures of each class in each of the three sets; None where they are not known one by one.
        totals: pictures in each set; None where they are not known.
        why: of each set, which pictures it holds, as the end of a sentence.
        said: sentences below all this.
    """

    classes: tuple[str, ...]
    counts: Counts | None
    totals: Mapping[Part, int | None]
    why: Mapping[Part, str]
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """Some pictures, each with its address (empty: it cannot be shown); and images of each class by part, where they were counted for this."""

    sights: tuple[Sight, ...]
    addresses: tuple[str, ...]
    counts: Counts | None = None
    here: bool = True
    """False where a dataset has to be downloaded first."""


_previews: Looks[Preview] = Looks(at_most=0.5)


@dataclass(frozen=True)
class _Asked:
    """What the form has that decides about the card; of what cannot be used, the default."""

    dataset: str
    image_size: int
    fit: Fit
    share: float
    batch: int | None


def show(fields: Fields, config: RunConfig | None) -> None:
    """The card, in a box as wide as its place. `config`: that of the form, where it can be used; the card shows what it can without."""
    asked = _asked(config)
    with st.container(border=True, gap="small", key="data_card"):
        if asked.dataset in DATASETS:
            entry = DATASETS[asked.dataset]
            preview = _ask(asked, None, fields.shared.home.data)
            _draw(asked, card_of_entry(entry, asked.share, preview), preview, entry.label, _key(asked, None))
            return
        if asked.dataset.startswith(f"{own.OWN}:"):
            _show_own(fields.shared.home, asked)
            return
        if not asked.dataset.partition(":")[2].strip():
            st.caption("Give the path of a folder: its classes, its pictures and what is wrong with them appear here.")
            return
        found = folder_view.seen(asked.dataset)
        if found is None:
            _looking(asked.dataset, None, "Looking through the folder. Go on with the other settings meanwhile.")
        elif found.layout is None:
            st.caption("The classes and pictures of the folder appear here once it can be used.")
        else:
            preview = _ask(asked, found.files, fields.shared.home.data)
            _draw(asked, card_of_folder(found.layout, asked.share), preview, found.layout.label(found.layout.root), _key(asked, found.files))
            if found.layout.choices:
                with st.container(gap="xxsmall"):
                    folder_view.choices(str(found.layout.root), found.layout.choices, "Instead:")


def _asked(config: RunConfig | None) -> _Asked:
    given, usual = draft.values(), RunConfig()
    if config is not None:
        return _Asked(config.dataset, config.image_size, config.fit, config.validation_share, config.batch_size)
    size, share, batch, fit = (given.get(name) for name in ("image_size", "validation_share", "batch_size", "fit"))
    return _Asked(
        folder_view.canonical(str(given["dataset"])),
        size if isinstance(size, int) and 8 <= size <= 1024 else usual.image_size,
        next((each for each in _MADE_SQUARE if each == fit), usual.fit),
        share if isinstance(share, int | float) and 0 <= share < 1 else usual.validation_share,
        batch if isinstance(batch, int) and batch > 0 else None,
    )


def _show_own(home: Home, asked: _Asked) -> None:
    try:
        choice = own.parse(asked.dataset)
        assert choice is not None
        found = own.resolve(home, choice)
        version = shelf.read(home, found.dataset, found.number)
        card = card_of_version(version, asked.share)
    except ConfigError:  # said beside the picker
        st.caption("The classes and pictures of the dataset appear here once it can be used.")
        return
    key = (version.hash, asked.image_size, asked.fit)
    preview = _previews.ask(key, lambda before: _of_version(home, version, asked.image_size, asked.fit), steady=True)
    _draw(asked, card, preview, version.text, key)


# What is known


def card_of_folder(layout: Layout, share: float) -> Card:
    """A folder's numbers: with `share` of the training images held back to validate on, where no folder is there for that."""
    counts = divided(layout.counts, share) if layout.counts else None
    train, share_of = layout.named("train"), f"{_percent(share)} of"
    whole = f"the {sum(layout.counts['train']):,} in {train}" if layout.counts else f"the pictures in {train}"
    why: dict[Part, str] = {
        "train": f"of {whole}, a folder each class",
        "validation": _all_of(layout, "validation") or f"{share_of} {train}, drawn from each class (validation share)",
        "test": _all_of(layout, "test") or f"a fifth of {train}, set aside, since {layout.why_set_aside}",
    }
    if share == 0:
        unused = f", so {layout.named('validation')} is not used" if "validation" in layout.parts else ""
        why["validation"] = f"the validation share is 0{unused}"
    uncounted = f"More than {layout.at_least:,} files: they are counted when a run starts." if layout.at_least else ""
    said = [uncounted, *(left.sentence for left in layout.left_out)]
    return Card(layout.classes, counts, _totals(counts), why, tuple(filter(None, said)))


def card_of_version(version: Version, share: float) -> Card:
    """The numbers of a version of a person's own dataset, its splits used as they are. Raises ConfigError where no group can be set aside."""
    parts = own.divided(version)
    numbers = {part: counted(own.labels_of(version, items), len(version.classes)) for part, items in parts.items() if items or part == "train"}
    counts = divided(numbers, share)
    said = {part: any(item.split == part for item in version.items) for part in PARTS}
    as_it_is = f"as version {version.number:,} has them"
    aside = "whole groups, set aside: the version has no test split" if parts["test"] else "a fifth of all, set aside: the version has no test split"
    why: dict[Part, str] = {
        "train": as_it_is if said["train"] else "what is left",
        "validation": as_it_is if said["validation"] else f"{_percent(share)} of those to learn from (validation share)",
        "test": as_it_is if said["test"] else aside,
    }
    if share == 0:
        why["validation"] = "the validation share is 0" + (", so those of the version are not used" if said["validation"] else "")
    return Card(version.classes, counts, _totals(counts), why, (version.split_note,) if version.split_note else ())


def _all_of(layout: Layout, part: Part) -> str:
    return f"all of {layout.named(part)}" if part in layout.parts else ""


def card_of_entry(entry: DatasetEntry, share: float, preview: Preview | None) -> Card:
    """The numbers of a dataset of the catalogue: class by class where it is at hand."""
    classes = entry.classes or ()
    counts = divided(preview.counts, share) if preview and preview.counts else None
    validation = round(entry.train_images * share)
    totals: dict[Part, int | None] = {"train": entry.train_images - validation, "validation": validation, "test": entry.test_images}
    why: dict[Part, str] = {
        "train": f"of its {entry.train_images:,} training pictures",
        "validation": f"{_percent(share)} of its training pictures, drawn from each class (validation share)"
        if share
        else "the validation share is 0",
        "test": "all of its own test pictures" if entry.own_test else "a fifth of all, set aside, the same for every run",
    }
    download = "Its pictures appear here once they have been downloaded, when a run first uses them."
    return Card(classes, counts, totals, why, (download,) if preview and not preview.here else ())


def _percent(share: float) -> str:
    """A share that a person has typed: '20 %', in as many digits as it has."""
    return f"{100 * share:.10g}\N{NO-BREAK SPACE}%"


def _totals(counts: Counts | None) -> dict[Part, int | None]:
    return {part: sum(counts[part]) if counts else None for part in PARTS}


# Pictures, which may take a while


def _key(asked: _Asked, files: Sequence[Found] | None) -> tuple[object, ...]:
    return asked.dataset, tuple(files or ()), asked.image_size, asked.fit


def _ask(asked: _Asked, files: Sequence[Found] | None, data: Path) -> Preview | None:
    """Some pictures of the dataset; None while they are read. Files are those of a folder, which tell when they change."""
    key = _key(asked, files)
    if files is not None:
        return _previews.ask(key, lambda before: _preview(tuple(look_at(each, asked.image_size, asked.fit) for each in files)), steady=True)
    entry = DATASETS[asked.dataset]
    return _previews.ask(key, lambda before: _of_entry(entry, data, asked.image_size, asked.fit), steady=entry.reader is not None)


def _of_entry(entry: DatasetEntry, data: Path, image_size: int, fit: Fit) -> Preview:
    # What is read or drawn anew each time, and never changes, is kept as far as it is shown.
    tasted = _kept(entry.name) if entry.reader else _taste(entry, data)
    if tasted is None:
        here = entry.megabytes == 0 or on_disk.is_here(entry.name, data)
        return Preview((), (), None, here)
    source, counts = tasted
    return _preview(sights_of(source, len(entry.classes or ()), image_size, fit), counts)


def _of_version(home: Home, version: Version, image_size: int, fit: Fit) -> Preview:
    labels = own.labels_of(version, version.items)
    places = some_places(labels, len(version.classes))
    few = Source(tuple(shelf.path_of(home, version.dataset, version.items[place]) for place in places), labels[np.asarray(places)])
    return _preview(sights_of(few, len(version.classes), image_size, fit))


@lru_cache(maxsize=8)
def _kept(name: str) -> tuple[Source, Counts] | None:
    return _taste(DATASETS[name], Path())  # these need no folder


def _taste(entry: DatasetEntry, data: Path) -> tuple[Source, Counts] | None:
    """A few pictures of a dataset that is at hand, and its images by part and class."""
    parts, classes = entry.at_hand(data), len(entry.classes or ())
    if parts is None:
        return None
    names: tuple[Part, Part] = ("train", "test")
    counts = {name: counted(part.labels, classes) for name, part in zip(names, parts, strict=False)}
    images, places = parts[0].images, np.asarray(some_places(parts[0].labels, classes))
    few = tuple(images[place] for place in places.tolist()) if isinstance(images, tuple) else np.array(images[places])
    return Source(few, parts[0].labels[places]), counts


def _preview(sights: tuple[Sight, ...], counts: Counts | None = None) -> Preview:
    """The pixels are given up once they have addresses: of large pictures they would add up."""
    addresses = tuple("" if sight.pixels is None else _address(sight.pixels) for sight in sights)
    return Preview(tuple(Sight(sight.label, sight.name, None, sight.problem, sight.damaged) for sight in sights), addresses, counts)


def _address(pixels: NDArray[np.uint8]) -> str:
    """uint8 [3, S, S] as a data URI: exact where it is small, else of `SHOWN` pixels a side at most."""
    image, file = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))), io.BytesIO()
    if image.width <= EXACT:
        image.save(file, "PNG")
    else:
        image.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        image.save(file, "JPEG", quality=90)
    kind = "png" if image.width <= EXACT else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


# Show


def _draw(asked: _Asked, card: Card, preview: Preview | None, title: str, waited_for: Hashable) -> None:
    every = [total for total in card.totals.values() if total is not None]
    pictures = f" · {sum(every):,} pictures" if every else ""
    st.markdown(f"**What it learns from:** {words.plain(title)} · {len(card.classes):,} classes{pictures}")
    st.html(drawn.sets([drawn.SetRow(part, card.totals[part], card.why[part]) for part in PARTS]))
    if preview is None:
        _looking(asked.dataset, waited_for, "")
    elif preview.sights:
        st.html(drawn.tiles(_tiles(card, preview, asked), asked.image_size <= drawn.SIDE))
        entry = DATASETS.get(asked.dataset)
        made_square = "." if entry and entry.pixels else f", {_MADE_SQUARE[asked.fit]}"
        st.caption(f"As the model will see them: {asked.image_size:,} x {asked.image_size:,} px{made_square}")
    warnings = [*(oddities(card.classes, card.counts, asked.batch) if card.counts else ()), damage(preview.sights) if preview else ""]
    if any(warnings):
        st.warning("\n\n".join(words.plain(text) for text in warnings if text), icon=":material/warning:")
    if card.counts:
        st.html(drawn.bars([_row(card, card.counts, label) for label in range(len(card.classes))]))
    else:
        st.html(drawn.names(card.classes))
    if card.said:
        st.caption(words.plain("\n".join(card.said)))


def _tiles(card: Card, preview: Preview, asked: _Asked) -> list[drawn.Tile]:
    found = []
    for sight, address in zip(preview.sights, preview.addresses, strict=True):
        name = card.classes[sight.label]
        whose = f"{name}: {sight.name}" if sight.name else name
        about = f"{whose}, as the model sees it" if address else f"{whose}, which is not shown: {sight.problem}"
        found.append(drawn.Tile(name, about, address, sight.problem))
    return found


def _row(card: Card, counts: Counts, label: int) -> drawn.ClassRow:
    return drawn.ClassRow(card.classes[label], {part: counts[part][label] for part in PARTS})


def _looking(dataset: str, waited_for: Hashable, about: str) -> None:
    """Room for what is still being found out, and a look every half second whether it is: then the form is drawn anew.

    `waited_for`: the key of the preview that was asked for; None while the folder itself is looked through.
    """
    if about:
        st.caption(f":material/hourglass_top: {about}")
    st.html(drawn.waiting(MOST))
    _poll(dataset, waited_for)


@st.fragment(run_every=0.5)
def _poll(dataset: str, waited_for: Hashable) -> None:
    if arrived(dataset, waited_for):
        st.rerun()


def arrived(dataset: str, waited_for: Hashable) -> bool:
    """Whether what `_looking` waits for is there."""
    return folder_view.seen(dataset) is not None if waited_for is None else _previews.knows(waited_for)
