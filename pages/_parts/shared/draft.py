"""What is being set up, before it is a `RunConfig`: the values of the form's widgets, kept in the URL so that a refresh loses nothing.

What a link or a run asked for and the form cannot show is noted (`notes`), and said beside the widget until that is used.

Each field of a config is a widget whose key is `key(field)`. Two fields are two widgets: a dataset may be a folder with a path, starting
weights a file with a path. Rules about layers (freeze plan, timeline, multipliers) are held by no widget but by `layer_rules`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.catalog import CATALOGUES, DATASETS, find, find_model
from core.config import EXAMPLES, ConfigError, RunConfig
from core.config.entry import check_options
from core.config.examples import beside
from core.config.limits import check_size, quoted, read_json
from core.data import own
from core.data.augmentations import find_augmentation
from pages._parts.shared import layer_rules, words
from pages._parts.shared.layer_rules import RULE_FIELDS

FOLDER, FILE = "folder", "file"

OPTIONS: Mapping[str, str] = {"loss_options": "loss", "optimizer_options": "optimizer", "schedule_options": "schedule"}
"""The fields that hold further options, each with the field that names whose options they are."""

_MAY_BE_EMPTIED = ("old_task", "rendezvous", "partition", "sbatch")
"""The fields of text for which an empty text means nothing."""

PERCENT = ("watch_budget",)
"""The shares that a person reads and writes in percent."""

SET_UP, BRANCH = "new", "fork"
"""In the URL: show the form even while a run is active; of which run, and from which step on, the form sets up a branch."""

EVIDENCE, SWEEP = ("chart", "steps", "layers", "finding"), ("sweep", "vary", "method", "runs", "pruner", "called")
"""In the URL: what the live charts are to show; what a sweep is set up with, or which one is looked at."""

OTHERS_IN_URL = (
    *(SET_UP, BRANCH, "run", "name", "note", *SWEEP, "example", "zero_grad", "at"),
    *("plan", "node", "network", "size", "classes", "modes", "notion", *EVIDENCE),
)
"""What else a screen keeps in the URL beside the fields of a draft."""

_NOTES, _MARKED = "setup_notes", "setup_marked"
_SEEN, _PAGE, _KNOWN = "setup_seen_in_url", "setup_page", "setup_known_in_url"
_DEFAULTS, _NO_WIDGET = RunConfig(), object()


def key(field: str, part: str = "") -> str:
    """The key in `st.session_state` of a field's widget, or of its second one."""
    return f"setup_{field}_{part}" if part else f"setup_{field}"


def option_key(field: str, name: str, option: str) -> str:
    """The key of an option's widget: the same option of another entry is another widget, since its default may differ."""
    return key(field, f"{name}_{option}")


def open_draft() -> None:
    """See to it that every widget has a value: what it had, else what the URL says, else the default.

    A URL that says something else than what the form wrote there last wins: a link, or where the browser's back button led. What the
    form itself once wrote does not, if nobody went back to it: the browser has not heard of the last change yet.
    """
    in_url = {name: value for name, value in st.query_params.to_dict().items() if name in RunConfig.model_fields}
    unknown = [name for name in st.query_params.to_dict() if name not in RunConfig.model_fields and name not in OTHERS_IN_URL]
    if key("dataset") not in st.session_state:
        fill(_DEFAULTS)
    _carry_over()
    if in_url and in_url != st.session_state.get(_SEEN) and (went_back() or not _is_known(in_url)):
        _notes().clear()
        # A model, an optimizer first: the options of another are other ones.
        for field, text in sorted(in_url.items(), key=lambda item: item[0] in OPTIONS):
            _fill_from_text(field, text)
        _know(in_url)
    if unknown:
        names = " and ".join(name[:40] for name in unknown[:3]) + (" and others" if len(unknown) > 3 else "")
        note(NOWHERE, f"The link sets {names}, which is no setting of a run; it was left out.")


def _carry_over() -> None:
    """Give the widgets of the page that was switched to the values of those with the same keys on the page before.

    Streamlit keeps them (`persist_state`), but a widget that both pages have is another one on each, and in its first run it would
    show its own default.
    """
    context = get_script_run_ctx(suppress_warning=True)
    page = context.page_script_hash if context else ""
    if st.session_state.get(_PAGE) == page:
        return
    st.session_state[_PAGE] = page
    fields = [key(field) for field in RunConfig.model_fields]
    starts = tuple(f"{key(field)}_" for field in OPTIONS)
    for name in list(st.session_state):
        if name in fields or name in (key("dataset", "path"), key("starting_weights", "path")) or str(name).startswith(starts):
            st.session_state[name] = st.session_state[name]


def on_dataset(dataset: str, fit: str) -> dict[str, str]:
    """What a link to the form says to set it up for a dataset, and for its fit where it has one."""
    return {SET_UP: "1", "dataset": dataset, **({"fit": fit} if fit else {})}


def keep_in_url(also: Mapping[str, str] | None = None) -> None:
    """Write what differs from the defaults into the URL, and `also` what else a page keeps there, be it a default."""
    differs = _changed() | {name: text for name, text in (also or {}).items() if name in RunConfig.model_fields}
    wanted = ({SET_UP: "1", **differs} if differs or SET_UP in st.query_params else {}) | dict(also or {})
    if wanted != st.query_params.to_dict():
        st.query_params.from_dict(wanted)
    _know(differs)


def is_set() -> bool:
    """Whether anything was set by a person, a link or a run's settings."""
    return bool(_changed() or _MARKED in st.session_state or not RunConfig.model_fields.keys().isdisjoint(st.query_params))


def _changed() -> dict[str, str]:
    """What differs from the defaults, as text."""
    default = _DEFAULTS.model_dump()
    return {field: _as_text(value) for field, value in values().items() if value != default[field]}


def _know(in_url: dict[str, str]) -> None:
    st.session_state[_SEEN] = in_url
    st.session_state.setdefault(_KNOWN, set()).add(frozenset(in_url.items()))


def _is_known(in_url: dict[str, str]) -> bool:
    return frozenset(in_url.items()) in st.session_state.get(_KNOWN, ())


def went_back() -> bool:
    """True where the browser's back or forward button led here. Streamlit knows it, but does not say it in `st.context`."""
    context = get_script_run_ctx(suppress_warning=True)
    return context is not None and context.is_history_navigation


def set_up(config: RunConfig, failed: str = "", before: RunConfig | None = None) -> None:
    """Have the Train screen show the form with a config's values, and mark what is other than `before` (None: than the defaults). For callbacks.

    `failed`: what the run ended with that had this config. Where it names a field, that is said beside it.
    """
    fill(config)
    given, other = values(), before or _DEFAULTS
    st.session_state[_MARKED] = {
        field: Note(f"{'was' if before else 'default:'} {_brief(field, getattr(other, field))}", given[field])
        for field in RunConfig.model_fields
        if getattr(config, field) != getattr(other, field)
    }
    field, colon, message = failed.partition(": ")
    if colon and field in RunConfig.model_fields:
        note(field, f"The run failed because of this: {_first_line(message)}")
    elif failed:
        note(NOWHERE, f"The run with these settings failed: {_first_line(failed)}")
    st.query_params.from_dict({SET_UP: "1"})


def marked() -> dict[str, str]:
    """The fields that `set_up` has set to something else, each with what stood there, for as long as it holds that value."""
    found: dict[str, Note] = st.session_state.get(_MARKED, {})
    given = values() if found else {}
    return {field: mark.text for field, mark in found.items() if mark.value == given.get(field)}


def _brief(field: str, value: Any) -> str:
    """A value as its widget shows it, in a few words."""
    text = "none" if value is None or value == {} or str(value) == "" else f"{100 * value:g} %" if field in PERCENT else _as_text(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _first_line(message: str) -> str:
    """The first line of a message. Notes are made plain where they are shown."""
    return message.strip().partition("\n")[0]


@dataclass(frozen=True)
class Note:
    """Something to be said beside a widget for as long as it holds `value`, which it held when that was noted."""

    text: str
    value: Any


NOWHERE = ""
"""Stands for the field of a note that belongs to no widget."""


def note(field: str, text: str) -> None:
    """Have something said beside a field, until it is used. `text` is no Markdown: it is made plain where it is shown, once."""
    given = values()
    _notes()[field] = Note(text, given if field == NOWHERE else given.get(field))


def notes() -> dict[str, str]:
    """What is to be said beside which field; what belongs to no widget is said until any is used."""
    if not _notes():
        return {}
    given = values()
    left = {field: found for field, found in _notes().items() if found.value == (given if field == NOWHERE else given.get(field))}
    st.session_state[_NOTES] = left
    return {field: found.text for field, found in left.items()}


def _notes() -> dict[str, Note]:
    found: dict[str, Note] = st.session_state.setdefault(_NOTES, {})
    return found


def fill(config: RunConfig) -> None:
    """Put a config's values into the form. A name that is in no catalogue (any more) gives way to the default, which is noted."""
    _notes().clear()
    lost: dict[str, str] = {}
    for field in RunConfig.model_fields:
        try:
            _fill_field(field, getattr(config, field))
        except ConfigError as error:
            _fill_field(field, getattr(_DEFAULTS, field))
            lost[field] = error.message
    for field, message in lost.items():
        note(field, f"{words.sentence(message)} The form has {_shown_value(field)} instead.")


def put(**given: Any) -> None:
    """Put some values into the form, as a config has them. For callbacks. Raises ConfigError for a name that is in no catalogue."""
    for field, value in sorted(given.items(), key=lambda item: item[0] in OPTIONS):
        _fill_field(field, value)


def reset(fields: Iterable[str]) -> None:
    """Put the defaults of some fields into the form."""
    for field in fields:
        _fill_field(field, getattr(_DEFAULTS, field))


def values() -> dict[str, Any]:
    """The form's values under the names of a config's fields, not validated."""
    state = st.session_state  # `in` costs as much as a read there, and this is asked some 30 times a run of the form
    found = {field: _whole(value) for field in RunConfig.model_fields if (value := state.get(key(field), _NO_WIDGET)) is not _NO_WIDGET}
    if found["dataset"] == FOLDER:
        found["dataset"] = f"{FOLDER}:{state[key('dataset', 'path')]}"
    if found["starting_weights"] == FILE:
        found["starting_weights"] = state[key("starting_weights", "path")]
    for field in PERCENT:
        if isinstance(found.get(field), int | float):
            found[field] = round(found[field] / 100, 10)  # 7 / 100 is 0.07, and no longer number
    for field in _MAY_BE_EMPTIED:
        found[field] = found.get(field) or None
    found |= layer_rules.rules().values()
    for field, names in OPTIONS.items():
        found[field] = {
            option.name: _whole(value)
            for option in options(field, found[names])
            if (value := state.get(option_key(field, found[names], option.name), _NO_WIDGET)) is not _NO_WIDGET and value != shown(option.default)
        }
    return found


def number(field: str, otherwise: float) -> float:
    """The number in a field's widget; `otherwise` where there is none. A whole one is an int."""
    found = _whole(st.session_state.get(key(field)))
    return found if isinstance(found, int | float) else otherwise


def _whole(value: Any) -> Any:
    """Numbers of a widget are floats, so that a browser rounds nothing: whole ones are given back as ints."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def unanswered() -> dict[str, str]:
    """What has been asked for and nobody has said yet, field to request: no fault of anybody's."""
    asked = {
        "dataset": (FOLDER, "Paste the path of your folder. It holds one folder for each class, or train and val with those in them."),
        "starting_weights": (FILE, "Paste the path of your file of weights."),
    }
    state = st.session_state
    return {
        field: text for field, (kind, text) in asked.items() if state.get(key(field)) == kind and not (state.get(key(field, "path")) or "").strip()
    }


def errors() -> dict[str, str]:
    """What is wrong with each value by itself, and with all together: field to message. Empty when a run could start."""
    given = values()
    found: dict[str, str] = {}
    for field, value in given.items():
        try:
            RunConfig(**{field: value, **beside(field, given)})
        except ConfigError as error:
            found[field] = _about_percent(field) if field in PERCENT else error.message
    if not found:
        try:
            RunConfig(**given)
        except ConfigError as error:
            found[error.field] = error.message
    return found


def _about_percent(field: str) -> str:
    """What is wrong with a share, in the unit of its widget."""
    value = st.session_state[key(field)]
    got = "nothing" if value is None else f"{value:g}"
    return f"must be above 0 and 100 or less, in percent, got {got}; try {100 * getattr(_DEFAULTS, field):g}"


def options(field: str, name: str) -> tuple[Any, ...]:
    """The further options of what `name` means in the catalogue of an options field."""
    entry = CATALOGUES[OPTIONS[field]].get(name)
    return entry.options if entry else ()


def shown(value: Any) -> Any:
    """An option's value as its widget holds it: lists are text."""
    return ", ".join(f"{item:g}" for item in value) if isinstance(value, list) else value


def _fill_field(field: str, value: Any) -> None:
    """Put one value into its widgets. Raises ConfigError for a name that is in no catalogue."""
    state = st.session_state
    match field:
        case "dataset":
            kind, _, path = str(value).partition(":")
            chosen, path = (str(value), "") if own.parse(str(value)) else (find(DATASETS, field, kind).name, path)
            state[key(field)], state[key(field, "path")] = chosen, path
        case "model":
            state[key(field)] = find_model(value).name
        case "augmentation":
            state[key(field)] = find_augmentation(value).name
        case _ if field in CATALOGUES:
            state[key(field)] = find(CATALOGUES[field], field, value).name
        case "starting_weights":
            known = value in ("random", "pretrained")
            state[key(field)], state[key(field, "path")] = (value, "") if known else (FILE, value)
        case _ if field in RULE_FIELDS:
            layer_rules.desk().put(**{field: str(value)})
        case _ if field in OPTIONS:
            name = state[key(OPTIONS[field])]
            value = check_options(find(CATALOGUES[OPTIONS[field]], field, name), field, value)
            for option in options(field, name):
                state[option_key(field, name, option.name)] = shown(value.get(option.name, option.default))
        case _ if field in PERCENT:
            state[key(field)] = round(100 * value, 8)
        case _:
            state[key(field)] = value


def _fill_from_text(field: str, text: str) -> None:
    """One value of the URL. What cannot be used is noted: the form keeps what it has."""
    if field in RULE_FIELDS:
        layer_rules.desk().put(**{field: text})  # the form says what is wrong with it
        return
    try:
        check_size(text)
        value: Any = read_json(text) if field in OPTIONS else text
        _fill_field(field, getattr(RunConfig(**{**beside(field, {}), field: value}), field))
        return
    except ConfigError as error:
        reason = error.message
    except ValueError:
        reason = f"{quoted(text)} cannot be read; write for example {EXAMPLES[field]}"
    found = _as_number(field, text)
    if found is not None:  # the form shows it, and says what is wrong with it
        st.session_state[key(field)] = 100 * found if field in PERCENT else found
        return
    note(field, f"The link cannot be followed here. {words.sentence(reason)} The form has {_shown_value(field)} instead.")


def _as_number(field: str, text: str) -> float | None:
    """`text` as a number that a widget can show, where the field has one."""
    try:
        number = None if field in OPTIONS or _number(field) is None else float(text)
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _shown_value(field: str) -> str:
    """What the form has, in Markdown."""
    value = values()[field]
    return "nothing" if value in ("", None, {}) else f"“{value}”"


def _number(field: str) -> type[int] | type[float] | None:
    """What kind of number a field holds; None: none. One that may be empty is written `Annotated[int, ...] | None`."""
    written = RunConfig.model_fields[field].annotation
    kinds = {written, *get_args(written), *(kind for part in get_args(written) for kind in get_args(part))}
    return int if int in kinds else float if float in kinds else None


def _as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
