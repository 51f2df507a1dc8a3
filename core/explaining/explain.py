"""Two training steps in slow motion, a node of the graph closely, an activation: what the Autograd screen asks. Real models, real gradients.

Specimens that were looked at are remembered, so that questions about them take milliseconds.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import nn
from torch.nn.modules import module as modules

from core.config import ConfigError
from core.config.errors import Cancelled
from core.explaining.chain_rule import Bench
from core.explaining.figures import png
from core.explaining.labels_tried import labels_tried
from core.explaining.modes import tried
from core.explaining.node_story import checks_of, story_of
from core.explaining.plans import Looked, look
from core.explaining.scripts import script_of
from core.explaining.slow_step import Seen, two_steps
from core.explaining.specimen import Specimen, specimen
from core.machine.home import Home
from core.model.batch_norms import raised_by_norm
from core.records.modes import Modes
from core.records.walkthrough import Check, Example, LabelsTried, LayerCall, NodeStory, ParameterLook, StepStory, Walkthrough

REMEMBERED = 3
"""Specimens that are kept: a model and its float64 copy can be large."""

MANY_CALLS = 150
"""A step with more layers leaves its activation pictures out; they are given one by one."""


class Subject:
    """A specimen, and what is known of it by now: all is found out when it is first asked for."""

    def __init__(self, specimen: Specimen) -> None:
        self.specimen = specimen
        self._bench: Bench | None = None

    @cached_property
    def recorded(self) -> Looked:
        """The graph when everything learns, and what the plans leave of it."""
        return look(self.specimen)

    @cached_property
    def seen(self) -> Seen:
        """Two steps."""
        return two_steps(self.specimen, self.recorded.own_ids)

    @cached_property
    def labels(self) -> LabelsTried | None:
        """What other labels change, where the loss is one for looking at gradients."""
        return labels_tried(self.specimen)

    @property
    def bench(self) -> Bench:
        """To try the chain rule out on. Raises NoBench."""
        if self._bench is None:
            for other in _known.values():
                other._bench = None  # a large model's is more than its weights twice over
            self._bench = Bench(self.specimen)
        return self._bench

    def node(self, number: int) -> NodeStory:
        """A node of the graph, closely."""
        return story_of(self.recorded, self.seen, number, self.specimen.example.config)

    def checks(self, number: int) -> tuple[Check, ...]:
        """The chain rule tried out at a node."""
        return checks_of(self.recorded, number, lambda: self.bench)


_known: OrderedDict[str, Subject] = OrderedDict()


def walkthrough(example: Example, home: Home, cancelled: Callable[[], bool] = lambda: False) -> Walkthrough:
    """Two training steps of `example`, with the graph of the first and what each freeze plan leaves of it.

    Args:
        cancelled: asked before each layer of each forward pass; once it says True the walkthrough is given up.

    Raises:
        Cancelled: it was given up.
        ConfigError: on the field that cannot be used, with the remedy.
    """
    began = time.perf_counter()
    subject = _subject(example, home)
    looked_at = subject.specimen
    with _explained(looked_at), _given_up_when(cancelled):
        graph, seen, tried = subject.recorded.graph, subject.seen, subject.labels
    return Walkthrough(
        title=looked_at.title,
        about=looked_at.about,
        model=looked_at.name,
        device=str(looked_at.inputs.device),
        optimizer=looked_at.optimizer_text,
        code=script_of(looked_at),
        pictures=looked_at.pictures,
        parameters=_parameters(looked_at, seen),
        steps=tuple(_drawn(step, seen, number) for number, step in enumerate(seen.steps)),
        graph=graph,
        notes=(*looked_at.notes, *seen.notes),
        seconds=time.perf_counter() - began,
        labels_tried=tried,
    )


def _drawn(step: StepStory, seen: Seen, number: int) -> StepStory:
    """The step with its activation pictures, unless there are many."""
    if len(step.calls) > MANY_CALLS:
        return step
    calls: list[LayerCall] = []
    for call, tiles in zip(step.calls, seen.pictures[number], strict=True):
        calls.append(replace(call, picture=png(tiles)) if tiles is not None else call)
    return replace(step, calls=tuple(calls))


def _parameters(looked_at: Specimen, seen: Seen) -> tuple[ParameterLook, ...]:
    held = {update.parameter: update.in_optimizer for update in seen.steps[0].updates}
    return tuple(
        ParameterLook(
            name=name,
            shape=tuple(parameter.shape),
            count=parameter.numel(),
            learns=name not in looked_at.frozen,
            in_optimizer=held[name],
            module=name.rpartition(".")[0],
        )
        for name, parameter in looked_at.model.named_parameters()
    )


def _subject(example: Example, home: Home) -> Subject:
    """The specimen of `example`, made if it is not remembered."""
    key = f"{example!r} {home.path}"
    if key not in _known:
        _known[key] = Subject(specimen(example, home))
        if len(_known) > REMEMBERED:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return _known[key]


@contextmanager
def _explained(looked_at: Specimen) -> Iterator[None]:
    """Within it, what a batch that is too small does to batch normalisation, and want of memory, are ConfigErrors."""
    try:
        yield
    except ValueError as error:
        if not raised_by_norm(error):
            raise
        samples = looked_at.example.samples
        raise ConfigError("samples", f"{samples} gives batch normalisation too few values to learn from; use 2 or more") from None
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not re.search("out of memory|not enough memory|allocate memory", str(error)):
            raise
        samples = looked_at.example.samples
        raise ConfigError("samples", f"{samples} pictures do not fit into memory; use fewer, smaller images or a smaller model") from None


@contextmanager
def _given_up_when(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Within it, every forward pass ends with Cancelled once `cancelled` says True."""

    def go_on(module: nn.Module, inputs: Any) -> None:
        if cancelled():
            raise Cancelled

    handle = modules.register_module_forward_pre_hook(go_on)
    try:
        yield
    finally:
        handle.remove()


def modes(example: Example, home: Home, cancelled: Callable[[], bool] = lambda: False) -> Modes:
    """Freezing, eval(), no_grad() and inference_mode() tried on the example's model and batch. Arguments and errors as `walkthrough`."""
    looked_at = _subject(example, home).specimen
    with _explained(looked_at), _given_up_when(cancelled):
        return tried(looked_at)


def node_story(example: Example, id: int, home: Home, checked: bool = True) -> NodeStory:
    """One node of the graph, closely, with its gradients in the first step; its checks only if `checked`, since they take longest.

    Raises:
        ConfigError: there is no such node, or the example cannot be used.
    """
    subject = _subject(example, home)
    with _explained(subject.specimen):
        story = subject.node(id)
        return replace(story, checks=subject.checks(id)) if checked else story


def checks(example: Example, id: int, home: Home) -> tuple[Check, ...]:
    """The chain rule tried out at a node of the graph, in the first step; nothing where the example's plan has removed the node.

    Raises:
        ConfigError: there is no such node, or the example cannot be used.
    """
    subject = _subject(example, home)
    with _explained(subject.specimen):
        return subject.checks(id)


def activation(example: Example, step: int, number: int, home: Home) -> str:
    """What call `number` of step `step` (1 or 2) gave, as a PNG in a data URI: up to 8 channels of the first picture; "" where it has no picture.

    Raises:
        ConfigError: there is no such step or call, or the example cannot be used.
    """
    subject = _subject(example, home)
    with _explained(subject.specimen):
        pictures = subject.seen.pictures
    if not 1 <= step <= len(pictures):
        raise ConfigError("step", f"there is no step {step}; use 1 to {len(pictures)}")
    if not 0 <= number < len(pictures[step - 1]):
        raise ConfigError("number", f"step {step} has no call {number}; use 0 to {len(pictures[step - 1]) - 1}")
    tiles = pictures[step - 1][number]
    return png(tiles) if tiles is not None else ""
