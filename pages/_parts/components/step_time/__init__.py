"""Where a step's time goes: the bar of stages, the blocks of a profile and what lies in memory, drawn in the browser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from pages._parts.shared import assets

_FOLDER = Path(__file__).parent

_component = st.components.v2.component(
    "thaw_step_time",
    html='<div class="thaw-step-time"></div>\n',
    css=(_FOLDER / "step_time.css").read_text(),
    js=assets.loader("step_time.js"),
    isolate_styles=False,
)


@dataclass(frozen=True)
class Slice:
    """A part of a bar: `share` from 0 to 1, the rest in words. `place` says which colour it has."""

    name: str
    about: str
    share: float
    value: str
    place: int


@dataclass(frozen=True)
class Cell:
    """A bar of a table with its value: `share` (0 to 1) of the longest; None: there is none, and `value` says why."""

    share: float | None
    value: str


@dataclass(frozen=True)
class Line:
    """A row of a table: its name, a note, its bars, and the rows that it is made of, which are shown once it is opened."""

    name: str
    note: str
    cells: tuple[Cell, ...]
    inside: tuple[Line, ...] = ()


def bar(key: str, title: str, note: str, slices: tuple[Slice, ...], run: str = "", watching: str = "") -> None:
    """A horizontal bar of slices with its key.

    `watching`, of a `run`, is what the meter above that run's charts shows as well, as long as the bar is on the page: the charts are told
    over a line of their own, and a page must not have two figures of different moments for one thing.
    """
    _show(key, {"kind": "bar", "title": title, "note": note, "slices": [vars(part) for part in slices], "run": run, "watching": watching})


def table(key: str, caption: str, columns: tuple[str, ...], lines: tuple[Line, ...]) -> None:
    """Rows with bars. `columns` are the titles: that of the name, then one for each bar, then that of the note."""
    _show(key, {"kind": "table", "caption": caption, "columns": columns, "lines": [_line(line) for line in lines]})


def _line(line: Line) -> dict[str, object]:
    cells = [vars(cell) for cell in line.cells]
    return {"name": line.name, "note": line.note, "cells": cells, "inside": [_line(part) for part in line.inside]}


def _show(key: str, data: dict[str, object]) -> None:
    _component(key=key, data=json.dumps(data, separators=(",", ":")).encode())
