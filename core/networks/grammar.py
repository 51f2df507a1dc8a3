"""The text of a network: reading it layer by layer, and its canonical spelling.

    network := label ":" layer ("," layer)*
    layer   := kind [value] (option "=" value)*

`parse` is for a network that must be right. `read` is for one that somebody is still at work on: a layer that cannot be used
keeps its text and says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from core.config import ConfigError, OptionValue
from core.config.entry import Option, suggest
from core.config.limits import quoted
from core.networks.layer_entry import LayerEntry, Values
from core.networks.model_entries import MODELS
from core.networks.network_layers import LAYERS

MOST_LAYERS = 100
LONGEST_LABEL = 40
LONGEST_TEXT = 20_000
"""Characters: what a URL, a run's config and a saved file can be asked to hold."""

EXAMPLE = "mynet: conv 32, norm, relu, global pool"

_FIELD = "model"


@dataclass(frozen=True)
class Layer:
    """One layer: its kind, a name of `LAYERS`, and those of its options that differ from their defaults, in the entry's order."""

    kind: str
    given: tuple[tuple[str, OptionValue], ...] = ()

    @property
    def entry(self) -> LayerEntry:
        """Its kind in the catalogue."""
        return LAYERS[self.kind]

    @cached_property
    def values(self) -> Values:
        """All of its options, defaults filled in."""
        return Values({**{option.name: option.default for option in self.entry.options}, **dict(self.given)})

    def __str__(self) -> str:
        return _spelled(self.entry, {name: spell(value) for name, value in self.given})


@dataclass(frozen=True)
class Network:
    """A label and the layers, from the image to the head, which is not among them. `str` is its canonical text."""

    label: str
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        return f"{self.label}: {', '.join(map(str, self.layers))}"


@dataclass(frozen=True)
class Row:
    """One layer as somebody wrote it. `layer` is None where it cannot be used, and `error` says why.

    `kind` is '' and `given` empty where not even the kind can be told; `text` is canonical where there is a `layer`, else as it
    was given. `given` are the options as text, canonical where they can be read.
    """

    text: str
    kind: str = ""
    given: tuple[tuple[str, str], ...] = ()
    layer: Layer | None = None
    error: str = ""


@lru_cache(maxsize=256)
def parse(text: str) -> Network:
    """The network that `text` says.

    Raises:
        ConfigError: on `model`, naming the place, the value and the remedy.
    """
    label, rows = read(text)
    check_label(label)
    for place, row in enumerate(rows, start=1):
        if row.error:
            raise ConfigError(_FIELD, f"layer {place}, {quoted(row.text)}: {row.error}")
    if not rows:
        raise ConfigError(_FIELD, f"{quoted(label)} has no layers; write at least one behind the colon, for example '{EXAMPLE}'")
    if len(rows) > MOST_LAYERS:
        raise ConfigError(_FIELD, f"{label} has {len(rows)} layers, more than the {MOST_LAYERS} that a network may have; leave some out")
    return Network(label, tuple(row.layer for row in rows if row.layer))


def read(text: str) -> tuple[str, tuple[Row, ...]]:
    """The label and the rows of a text that may be anything: nothing is refused but its length.

    Raises:
        ConfigError: on `model`, for a text that is far too long.
    """
    if len(text) > LONGEST_TEXT:
        raise ConfigError(_FIELD, f"a network of {len(text):,} characters is too long; {LONGEST_TEXT:,} are the most")
    label, _, layers = text.partition(":")
    return label.strip(), tuple(read_row(layer) for layer in layers.split(",") if layer.strip())


def check_label(label: str) -> str:
    """`label`, if a network may have it.

    Raises:
        ConfigError: on `model`, for one that is empty, too long, made of other characters, or the name of a catalogue model.
    """
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_LABEL - 1}}}", label):
        what = "a network needs a name" if not label else f"{label[:60]!r} cannot be the name of a network"
        raise ConfigError(_FIELD, f"{what}; use letters, digits, _ and -, up to {LONGEST_LABEL} of them, for example '{EXAMPLE}'")
    taken = {_squeeze(name): name for name in MODELS}.get(_squeeze(label))
    if taken:
        raise ConfigError(_FIELD, f"{label!r} is the name of a model of the catalogue ({taken}); choose another, for example 'my-{label}'")
    return label


@lru_cache(maxsize=4096)
def read_row(text: str) -> Row:
    """One layer, whatever is written. Never raises."""
    text = " ".join(re.sub(r"\s*=\s*", "=", text).split())
    words = text.split(" ")
    for length in range(min(3, len(words)), 0, -1):
        found = _SPELLINGS.get(_fold(" ".join(words[:length])))
        if found:
            kind, implied = found
            return _read_options(text, LAYERS[kind], implied, words[length:])
    return Row(text, error=f"there is no layer {quoted(words[0])}; {suggest(LAYER_WORDS, words[0])}")


def _read_options(text: str, entry: LayerEntry, implied: Mapping[str, OptionValue], words: list[str]) -> Row:
    given: dict[str, str] = {name: spell(value) for name, value in implied.items()}
    error = ""
    options = {_squeeze(option.name): option for option in entry.options}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = entry.main, word
        option = options.get(_squeeze(name))
        if option is None:
            error = error or _no_such_option(entry, word, name)
        elif option.name in given and option.name not in implied:
            error = error or f"{option.name} is given twice; write it once"
        else:
            given[option.name] = value
    return row_of(entry, given, text, error)


def row_of(entry: LayerEntry, given: Mapping[str, str], text: str = "", error: str = "") -> Row:
    """The row of a layer with these options as text, as an editor's fields give them. An empty text stands for the default.

    Args:
        text: what the row says where it cannot be used; empty: the options as they are.
        error: what is known to be wrong with it.
    """
    values: dict[str, OptionValue] = {}
    kept: dict[str, str] = {}
    for option in entry.options:
        if given.get(option.name, "") == "":
            continue
        try:
            values[option.name] = _value(option, given[option.name])
            kept[option.name] = spell(values[option.name])
        except ConfigError as found:
            error = error or found.message
            kept[option.name] = given[option.name]
    usual = {option.name: option.default for option in entry.options}
    for name in [name for name in kept if not entry.applies(name, {**usual, **values})]:
        other, choice = entry.only[name]
        if values.pop(name, None) != usual[name]:
            error = error or f"{name} means something for {other}={choice} only; leave it out, or write {_example(entry, other, choice)!r}"
        else:
            kept.pop(name)
    if error:
        return Row(text or _spelled(entry, kept), entry.name, tuple(kept.items()), error=error)
    layer = Layer(entry.name, tuple((name, value) for name, value in values.items() if value != usual[name]))
    return Row(str(layer), entry.name, tuple(kept.items()), layer)


def spell(value: OptionValue) -> str:
    """An option's value as the text has it: yes and no, 0.5, 32."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(option: Option, text: str) -> OptionValue:
    return option.parse(_FIELD, text)


def _spelled(entry: LayerEntry, given: Mapping[str, str]) -> str:
    """A layer in its canonical spelling, from the options that are to be named."""
    given = dict(given)
    words, implied = next(
        (
            (words, implied)
            for words, implied in entry.words.items()
            if implied and all(given.get(name) == spell(value) for name, value in implied.items())
        ),
        next(((words, implied) for words, implied in entry.words.items() if _implies_defaults(entry, implied)), ("", {})),
    )
    parts = [words]
    for name in implied:
        given.pop(name, None)
    main = entry.option(entry.main)
    if main and entry.always:
        given.setdefault(main.name, spell(main.default))
    if entry.main in given:
        parts.append(given.pop(entry.main))
    return " ".join([*parts, *(f"{option.name}={given[option.name]}" for option in entry.options if option.name in given)])


def _implies_defaults(entry: LayerEntry, implied: Mapping[str, OptionValue]) -> bool:
    return all(option.default == implied[option.name] for option in entry.options if option.name in implied)


def _no_such_option(entry: LayerEntry, word: str, name: str) -> str:
    names = [option.name for option in entry.options]
    if not names:
        return f"{entry.name} has no options; leave {quoted(word)} out"
    if not name:
        return f"{entry.name} takes no value without a name; write for example '{names[0]}={word[:20]}'"
    return f"{entry.name} has no option {quoted(name)}; {suggest(names, name)}"


def _example(entry: LayerEntry, option: str, choice: str) -> str:
    return _spelled(entry, {option: choice})


def _fold(words: str) -> str:
    return re.sub(r"[\s._-]+", "_", words.strip().casefold())


def _squeeze(name: str) -> str:
    return re.sub(r"[\s._-]+", "", name.casefold())


_SPELLINGS: Mapping[str, tuple[str, Mapping[str, OptionValue]]] = {
    _fold(words): (entry.name, implied) for entry in LAYERS.values() for words, implied in entry.words.items()
}

LAYER_WORDS = tuple(
    dict.fromkeys([*(next(iter(entry.words)) for entry in LAYERS.values()), *(words for entry in LAYERS.values() for words in entry.words)])
)
"""Everything that a layer may begin with; one word for each kind comes first."""
