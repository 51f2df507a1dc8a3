"""What the Evaluate screen draws in the browser: pictures as buttons, guesses, heat, confusion matrix, scores, reliability and map."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from core.records.evaluation import Bin, ClassScore, EmbeddingMap, Guess, Interval
from pages._parts.shared import assets

_FOLDER = Path(__file__).parent


def _component(name: str, place: str) -> Callable[..., Any]:
    """The component whose script and styles are called `name`, drawn into an element of the class `place`."""
    return st.components.v2.component(
        f"thaw_{name}",
        html=f'<div class="{place}"></div>\n',
        css=(_FOLDER / f"{name}.css").read_text(),
        js=assets.loader(f"{name}.js", "elements.js"),
        isolate_styles=False,
    )


_WALL = _component("picture_wall", "thaw-wall")
_GUESSES = _component("guesses", "thaw-guesses")
_HEAT = _component("heat_view", "thaw-heat")
_CONFUSION = _component("confusion_grid", "thaw-confusion")
_CLASSES = _component("class_table", "thaw-classes")
_RELIABILITY = _component("reliability", "thaw-reliability")
_MAP = _component("embedding_map", "thaw-map")


@dataclass(frozen=True)
class Tile:
    """A picture on a wall: `index` in the test set, a data URI, a title, what is said below it, and whether the model was right about it."""

    index: int
    picture: str
    title: str
    about: str
    verdict: Literal["right", "wrong", ""] = ""
    chosen: bool = False


@dataclass(frozen=True)
class Heat:
    """A picture with its heat over it (data URIs): whose heat it is, the probability in words, and where the heat is, in words twice."""

    title: str
    picture: str
    overlay: str
    value: str
    text: str
    alternative: str


def picture_wall(key: str, label: str, tiles: Sequence[Tile], action: str, on_press: Callable[[int], None]) -> None:
    """Pictures as buttons. `action` says what pressing one does; `on_press` gets its index, in a callback."""

    def pressed() -> None:
        event = st.session_state[key].pressed
        if event:
            on_press(int(event["index"]))

    _WALL(key=key, data=_data(label=label, action=action, pictures=[vars(tile) for tile in tiles]), on_pressed_change=pressed)


def guesses(key: str, label: str, found: Sequence[Guess], right: int | None = None) -> None:
    """Classes with bars, likeliest first. `right` is the class that the picture really has, where that is known."""
    rows = [{"name": guess.name, "probability": guess.probability, "mark": "✓" if guess.label == right else ""} for guess in found]
    _GUESSES(key=key, data=_data(label=label, guesses=rows))


def heat_view(key: str, views: Sequence[Heat]) -> None:
    """Pictures side by side, each with its heat, and a slider for how strongly it is shown."""
    _HEAT(key=key, data=_data(views=[vars(view) for view in views]))


def confusion_grid(
    key: str,
    label: str,
    classes: Sequence[str],
    confusion: Sequence[Sequence[int]],
    totals: Sequence[int],
    shares: bool,
    chosen: tuple[int, int] | None,
    on_open: Callable[[int, int], None],
    of: int | None = None,
) -> None:
    """The confusion matrix.

    Args:
        confusion: counts by label and predicted class.
        totals: test pictures of each class, those included that were taken for nothing.
        shares: show shares of the row in place of counts.
        chosen: the cell that is open.
        on_open: called in a callback with label and predicted class of the cell that a person opens.
        of: a class that is looked for: its row and column are brought into sight and marked.
    """
    rows = [[[predicted, number] for predicted, number in enumerate(row) if number] for row in confusion]

    def opened() -> None:
        event = st.session_state[key].opened
        if event:
            on_open(int(event["label"]), int(event["predicted"]))

    data = _data(label=label, classes=classes, rows=rows, totals=totals, shares=shares, chosen=chosen, of=of)
    _CONFUSION(key=key, data=data, on_opened_change=opened)


def class_table(key: str, caption: str, scores: Sequence[ClassScore]) -> None:
    """Precision, recall and F1 of each class, with intervals."""
    rows = [
        {
            "name": score.name,
            "samples": score.samples,
            "predicted": score.predicted,
            "precision": _three(score.precision),
            "recall": _three(score.recall),
            "f1": _three(score.f1),
        }
        for score in scores
    ]
    _CLASSES(key=key, data=_data(caption=caption, rows=rows))


def reliability(key: str, label: str, bins: Sequence[Bin]) -> None:
    """The reliability diagram. `label` says in words what is to be seen."""
    _RELIABILITY(key=key, data=_data(label=label, bins=[{**vars(each), "accuracy": vars(each.accuracy)} for each in bins]))


def embedding_map(
    key: str,
    label: str,
    found: EmbeddingMap,
    classes: Sequence[str],
    titles: tuple[str, str],
    pictures: Sequence[tuple[int, str, str]],
    on_ask: Callable[[int], None],
    on_open: Callable[[int], None],
) -> None:
    """The map before and after.

    Args:
        titles: what the two maps are called.
        pictures: index, data URI and words of pictures that were asked for.
        on_ask: called in a callback with the index of a picture that a person points at.
        on_open: the same for one that a person opens.
    """
    points = [[point.index, point.label, *(round(value, 4) for value in (*point.before, *point.after))] for point in found.points]
    shown = [{"index": index, "picture": picture, "text": text} for index, picture, text in pictures]

    def call(event: str, act: Callable[[int], None]) -> Callable[[], None]:
        def happened() -> None:
            sent = getattr(st.session_state[key], event)
            if sent:
                act(int(sent["index"]))

        return happened

    data = _data(label=label, points=points, classes=classes, titles=titles, pictures=shown)
    _MAP(key=key, data=data, on_asked_change=call("asked", on_ask), on_opened_change=call("opened", on_open))


def _three(interval: Interval) -> tuple[float | None, float | None, float | None]:
    return interval.value, interval.low, interval.high


def _data(**fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
