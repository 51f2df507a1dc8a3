"""Common ways to unfreeze a model and to spread its learning rate, written for one model, and what a course says in words. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from core.config.plans import Change, FreezePlan, Multipliers, TimedChange, Timeline
from core.records.layers import ParameterInfo
from pages._parts.components.timeline_editor.grid import Stretch
from pages._parts.shared import words

STEP_DOWN = 2.6
"""How much faster each block learns than the one before it: Howard & Ruder, Universal Language Model Fine-tuning, 2018."""

Blocks = Mapping[str, Sequence[str]]

_MANY = 6
"""More parts than these make no sentence that anyone reads to its end."""


def gradual(parameters: Iterable[ParameterInfo], blocks: Blocks, epochs: int, spread: bool) -> tuple[FreezePlan, Timeline]:
    """The head alone learns in epoch 1, then the model is unfrozen from there down to the stem, until everything learns.

    One group of layers an epoch, or with `spread` as evenly over all epochs as they allow. Where there are fewer epochs than
    groups, several groups come at a time.
    """
    groups = _groups(parameters, blocks)[::-1][1:]
    timed: dict[int, list[str]] = {}
    for place, group in enumerate(groups, start=1):
        if spread:
            epoch = max(2, 1 + round(place * epochs / (len(groups) + 1)))
        else:
            epoch = 1 + place if len(groups) < epochs else 1 + -(-place * (epochs - 1) // len(groups))
        timed.setdefault(min(epoch, epochs), []).extend(group)
    changes = [_unfreeze(epoch, paths) for epoch, paths in timed.items() if epoch > 1]
    if not changes:  # a single epoch: nothing can come later
        return FreezePlan(rules=("head only",)), Timeline()
    changes[-1] = TimedChange(unit="epoch", at=changes[-1].at, change=Change(rules=("train everything",)))
    return FreezePlan(rules=("head only",)), Timeline(changes=tuple(changes))


def discriminative(parameters: Iterable[ParameterInfo], blocks: Blocks) -> Multipliers:
    """The head learns at the learning rate itself, each group of layers before it 2.6 times slower than the next."""
    rules = []
    for place, group in enumerate(_groups(parameters, blocks)[::-1]):
        if place:
            rules.append([f"{path}={STEP_DOWN**-place:.2g}" for path in group])
    return Multipliers(rules=tuple(rule for group in rules[::-1] for rule in group))


def in_words(course: Sequence[Stretch], parameters: Iterable[ParameterInfo], blocks: Blocks, epochs: int) -> str:
    """What learns when, as a sentence: 'The head learns from epoch 1, layer4 from 3, everything from 6.'"""
    heads = {path for path, role in _roles(parameters, blocks).items() if role == "head"}
    first = course[0].frozen
    learning = [path for path, names in blocks.items() if not first.issuperset(names)]
    if len(course) == 1:
        if not first:
            return "Everything learns, from the first epoch to the last."
        span = "all its life" if epochs == 1 else f"all {epochs:,} epochs"
        return _sentence(f"{_listed(learning, blocks, heads, first)} {_verb(learning, 'learn')} for {span}; the rest stays frozen.")
    starts = [f"{_listed(learning, blocks, heads, first)} {_verb(learning, 'learn')} from epoch 1" if first else "everything learns from epoch 1"]
    ends: list[str] = []
    for before, stretch in itertools.pairwise(course):
        thawed, stopped = before.frozen - stretch.frozen, stretch.frozen - before.frozen
        if thawed:
            names = [path for path, members in blocks.items() if not thawed.isdisjoint(members)]
            what = "everything" if not stretch.frozen else _listed(names, blocks, heads, stretch.frozen)
            starts.append(f"{what} from {stretch.first:,}")
        if stopped:
            names = [path for path, members in blocks.items() if not stopped.isdisjoint(members)]
            what = _listed(names, blocks, heads, frozenset().union(*blocks.values()) - stopped)
            verb = "are" if len(names) > 1 else "is"
            ends.append(f"{what} from {stretch.first:,}" if ends else f"{what} {verb} frozen from epoch {stretch.first:,}")
    said = _sentence(", ".join(_shortened(starts)) + ".")
    return f"{said} {_sentence(', '.join(_shortened(ends)))}." if ends else said


def in_other_words(timeline: Timeline) -> tuple[str, ...]:
    """What a timeline says that a grid of epochs cannot show: changes that come at a step, and those of learning rates. As Markdown."""
    said = []
    for timed in timeline.changes:
        parts = [f"the learning rate becomes {timed.change.learning_rate:g}"] if timed.change.learning_rate is not None else []
        parts += [f"the learning rate of {words.code(pattern)} is multiplied by {factor:g}" for pattern, factor in timed.change.multipliers]
        if timed.unit == "step":
            parts = [_freezing(rule) for rule in timed.change.freezing] + parts
        if parts:
            said.append(f"{'Step' if timed.unit == 'step' else 'Epoch'} {timed.at:,}: {', '.join(parts)}.")
    return tuple(said)


def _freezing(rule: str) -> str:
    if " " in rule:
        return f"what learns begins anew with {words.code(rule)}"
    return f"{words.code(rule[1:])} learns" if rule.startswith("!") else f"{words.code(rule)} is frozen"


def _unfreeze(epoch: int, paths: Iterable[str]) -> TimedChange:
    return TimedChange(unit="epoch", at=epoch, change=Change(rules=tuple(f"!{path}" for path in paths)))


def _roles(parameters: Iterable[ParameterInfo], blocks: Blocks) -> dict[str, str]:
    """The role of each block: that of its tensors, '' where they differ."""
    role_of = {parameter.name: parameter.role for parameter in parameters}
    found = {path: {role_of[name] for name in names} for path, names in blocks.items()}
    return {path: str(next(iter(roles))) if len(roles) == 1 else "" for path, roles in found.items()}


def _groups(parameters: Iterable[ParameterInfo], blocks: Blocks) -> list[list[str]]:
    """Blocks that are treated as one, first to last: the whole stem, the whole head, and each other block by itself."""
    roles = _roles(parameters, blocks)
    stem = [path for path, role in roles.items() if role == "stem"]
    head = [path for path, role in roles.items() if role == "head"]
    body = [[path] for path in blocks if path not in (*stem, *head)]
    return [group for group in ([stem] if stem else []) + body + ([head] if head else []) if group]


def _listed(paths: Sequence[str], blocks: Blocks, heads: set[str], frozen: frozenset[str]) -> str:
    """Blocks as words: 'part of layer1, layer2 to layer4 and the head'."""
    order = list(blocks)
    runs: list[list[str]] = []
    for path in paths:
        whole = frozen.isdisjoint(blocks[path])
        name = "the head" if path in heads else path
        name = name if whole else f"part of {name}"
        joins = runs and whole and path not in heads and runs[-1][-1] == order[order.index(path) - 1]
        if joins:
            runs[-1].append(path)
        elif name not in [run[0] for run in runs]:
            runs.append([name])
    words = [word for run in runs for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _verb(paths: Sequence[str], verb: str) -> str:
    return verb if len(paths) > 1 else f"{verb}s"


def _shortened(parts: list[str]) -> list[str]:
    """The first parts and the last, where there are too many to read."""
    return parts if len(parts) <= _MANY else [*parts[: _MANY - 2], "and so on", parts[-1]]


def _sentence(text: str) -> str:
    """Begins with a capital letter, unless it begins with a layer's name."""
    return text[0].upper() + text[1:] if text.startswith(("the ", "everything", "part of")) else text
