"""Two training steps of a specimen, watched: what each layer gives, how gradients arrive, what the optimizer makes of them.

The hooks look and keep; they change no number: the weights after two watched steps are those of a bare loop, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules import module as modules

from core.explaining.figures import FIRST, FIRST_OF_MANY, MANY, figures, tensors, tiles
from core.explaining.followed_value import FollowedValue
from core.explaining.graph import is_leaf, walk
from core.explaining.loss_lines import loss_lines
from core.explaining.specimen import Moving, Specimen
from core.explaining.update_rules import rule_of
from core.explaining.words import about_layer
from core.records.walkthrough import Arrival, Figures, Grad, LayerCall, StepStory, Update

STEPS = 2


@dataclass
class Passing:
    """The gradients at a node: `incoming` by output of its operation, `outgoing` by input; None where there is none."""

    incoming: tuple[Figures | None, ...] = ()
    outgoing: tuple[Figures | None, ...] = ()


@dataclass
class Seen:
    """What was seen of the steps.

    `pictures`: by step, the tiles of each call's output, or None where it has none. `passing`: by node, the gradients of the first step. `copies`:
    room for weights while a step is made; empty afterwards.
    """

    steps: list[StepStory] = field(default_factory=list)
    pictures: list[list[NDArray[np.uint8] | None]] = field(default_factory=list)
    passing: dict[int, Passing] = field(default_factory=dict)
    copies: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def two_steps(specimen: Specimen, own_ids: Sequence[int]) -> Seen:
    """Make two training steps in a row with a copy of the specimen's model, and watch them.

    Args:
        own_ids: the id of each node of a step's graph, in the order of its walk.
    """
    model = specimen.working()
    seen = Seen()
    with specimen.seeded():
        moving = specimen.optimizer_of(model)
        if specimen.resting:  # whoever made the optimizer has frozen the model as well
            specimen.prepare(model, specimen.frozen)
        for number in range(1, STEPS + 1):
            _Step(specimen, model, moving, own_ids, number, seen).make()
    seen.copies.clear()
    moved = specimen.moved_statistics(model)
    if moved:
        seen.notes.append(_statistics_note(specimen, model, moved))
    return seen


class _Step:
    """One step, and the notes taken while it is made."""

    def __init__(self, specimen: Specimen, model: nn.Module, moving: Moving, own_ids: Sequence[int], number: int, seen: Seen) -> None:
        self.specimen = specimen
        self.model = model
        self.moving = moving
        self.optimizer = moving.optimizer
        self.own_ids = own_ids
        self.number = number
        self.seen = seen
        self.parameters = dict(model.named_parameters())
        self.calls: list[tuple[LayerCall, Node | None]] = []
        self.tiles: list[NDArray[np.uint8] | None] = []
        self.arrivals: list[Arrival] = []
        self.brought: dict[str, Figures] = {}
        self.before: dict[str, Figures | None] = {}

    def make(self) -> None:
        """zero_grad, forward, loss, backward, step."""
        at_start = self._grads()
        cleared = self.specimen.example.zero_grad
        if cleared:
            self.optimizer.zero_grad()
        self.before = {name: self._figures(parameter.grad) if parameter.grad is not None else None for name, parameter in self.parameters.items()}
        with self._forward_watched():
            output = self.model(self.specimen.inputs)
            loss, logits = self.specimen.loss_of(output)
        lines = loss_lines(self.specimen, output, loss, logits)
        nodes = walk(loss).nodes
        ids = dict(zip(nodes, self.own_ids, strict=True)) if len(nodes) == len(self.own_ids) else {}
        with self._arrivals_watched(ids), self._nodes_watched(ids if self.number == 1 else {}):
            loss.backward()
        if self.specimen.clip_norm is not None:
            self._clip()
        updates = self._update()
        self.seen.steps.append(
            StepStory(
                number=self.number,
                cleared=cleared,
                grads_at_start=at_start,
                calls=tuple(replace(call, node=ids.get(node) if node is not None else None) for call, node in self.calls),
                output=self._figures(logits),
                loss=float(loss.detach()),
                loss_lines=lines,
                arrivals=tuple(self.arrivals),
                updates=updates,
                grads_at_end=self._grads(),
            )
        )
        self.seen.pictures.append(self.tiles)
        self.moving.advance()

    def _figures(self, tensor: Tensor) -> Figures:
        return figures(tensor, FIRST_OF_MANY if len(self.parameters) > MANY else FIRST)

    def _grads(self) -> tuple[Grad, ...]:
        return tuple(Grad(name, self._figures(parameter.grad) if parameter.grad is not None else None) for name, parameter in self.parameters.items())

    # Forward

    @contextmanager
    def _forward_watched(self) -> Iterator[None]:
        leaves = {module: path for path, module in self.model.named_modules() if computes(module)}
        paths = {parameter: name for name, parameter in self.parameters.items()}

        def done(module: nn.Module, inputs: Any, output: Any) -> None:
            path = leaves.get(module)
            given = tensors(output)
            if path is None or not given:
                return
            first = given[0]
            own = [parameter for parameter in module.parameters() if parameter in paths]
            # At once: an in-place ReLU behind this layer will overwrite what it gave.
            self.tiles.append(tiles(first, _channels_last(module, first)))
            call = LayerCall(
                number=len(self.calls),
                module=path,
                kind=type(module).__name__,
                inputs=tuple(tuple(tensor.shape) for tensor in tensors(inputs)),
                output=tuple(first.shape),
                device=str(first.device),
                mode="train" if module.training else "eval",
                state=_state(own),
                parameters=tuple(paths[parameter] for parameter in own),
                figures=self._figures(first),
                node=None,
                about=about_layer(module),
            )
            self.calls.append((call, first.grad_fn))

        # One hook for all modules: some of torch's take another way through their code where they have hooks of their own.
        handle = modules.register_module_forward_hook(done)
        try:
            yield
        finally:
            handle.remove()

    # Backward

    @contextmanager
    def _arrivals_watched(self, ids: Mapping[Node, int]) -> Iterator[None]:
        places = {id(node.variable): number for node, number in ids.items() if is_leaf(node)}  # type: ignore[attr-defined]
        with ExitStack() as hooks:
            for name, parameter in self.parameters.items():
                if not parameter.requires_grad:
                    continue

                def comes(gradient: Tensor, name: str = name) -> None:
                    self.brought[name] = self._figures(gradient)

                def has_come(parameter: Tensor, name: str = name) -> None:
                    assert parameter.grad is not None
                    before = self.before[name]
                    # Where there was nothing before, what is there now is what came.
                    after = self.brought[name] if before is None else self._figures(parameter.grad)
                    self.arrivals.append(Arrival(len(self.arrivals), name, places.get(id(parameter), -1), before, self.brought[name], after))

                hooks.callback(parameter.register_hook(comes).remove)
                hooks.callback(parameter.register_post_accumulate_grad_hook(has_come).remove)
            yield

    @contextmanager
    def _nodes_watched(self, ids: Mapping[Node, int]) -> Iterator[None]:

        def look(gradients: tuple[Tensor | None, ...]) -> tuple[Figures | None, ...]:
            return tuple(None if gradient is None else self._figures(gradient) for gradient in gradients)

        def watch(node: Node, passing: Passing) -> list[Any]:
            def comes(gradients: tuple[Tensor | None, ...]) -> None:
                passing.incoming = look(gradients)

            def leaves(inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor | None, ...]) -> None:
                passing.outgoing = look(inputs)

            return [node.register_prehook(comes)] if is_leaf(node) else [node.register_prehook(comes), node.register_hook(leaves)]

        handles = [handle for node, number in ids.items() for handle in watch(node, self.seen.passing.setdefault(number, Passing()))]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _clip(self) -> None:
        most = self.specimen.clip_norm
        assert most is not None
        norm = float(nn.utils.clip_grad_norm_([parameter for parameter in self.parameters.values() if parameter.requires_grad], most))
        if norm > most:
            self.seen.notes.append(
                f"clip_norm in step {self.number}: all gradients together are {norm:.4g} long, so each was multiplied by {most:g} / {norm:.4g} = "
                f"{most / norm:.4g} before the update. What arrives is shown as it came, what the update uses after that."
            )

    # Update

    def _update(self) -> tuple[Update, ...]:
        groups = {parameter: group for group in self.optimizer.param_groups for parameter in group["params"]}
        followed = {name: FollowedValue(name, parameter, groups.get(parameter), self.optimizer) for name, parameter in self.parameters.items()}
        before = self.seen.copies
        for name, parameter in self.parameters.items():
            if parameter.requires_grad:
                before[name] = before[name].copy_(parameter.detach()) if name in before else parameter.detach().clone()
        self.optimizer.step()
        updates = []
        for name, parameter in self.parameters.items():
            value = followed[name]
            value.look_again()
            moved = float(torch.linalg.vector_norm(before[name].sub_(parameter.detach()))) if name in before else 0.0
            rule = rule_of(type(self.optimizer).__name__, value)
            updates.append(
                Update(
                    parameter=name,
                    in_optimizer=value.group is not None,
                    index=value.index,
                    gradient=value.gradient,
                    weight_before=value.weight_before,
                    weight_after=value.weight_after,
                    norm_before=value.norm_before,
                    norm_after=float(torch.linalg.vector_norm(parameter.detach())),
                    update_norm=moved,
                    state=value.state,
                    formula=rule.formula,
                    filled=rule.filled,
                    still=_why_still(value, parameter, moved),
                )
            )
        return tuple(updates)


def computes(module: nn.Module) -> bool:
    """Whether a module computes by itself. Attention has a layer inside that it never calls, only reads."""
    return isinstance(module, nn.MultiheadAttention) or not any(True for _ in module.children())


def _state(own: list[nn.Parameter]) -> Literal["learns", "frozen", "mixed", "none"]:
    learning = sum(parameter.requires_grad for parameter in own)
    if not own:
        return "none"
    return "learns" if learning == len(own) else "mixed" if learning else "frozen"


def _channels_last(module: nn.Module, output: Tensor) -> bool:
    """Whether maps lie as [N, H, W, C], as the Swin transformers have them."""
    if output.dim() != 4:
        return False
    if isinstance(module, nn.Linear | nn.LayerNorm):
        return True
    if isinstance(module, nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase):
        return False
    return output.shape[1] == output.shape[2] != output.shape[3]


def _why_still(value: FollowedValue, parameter: nn.Parameter, moved: float) -> str:
    """Why a parameter did not move; '' if it did."""
    if moved != 0:  # not a number counts as moved
        return ""
    if not parameter.requires_grad:
        held = "the optimizer holds it, but skips what has no gradient" if value.group is not None else "nor is it in the optimizer"
        return f"It is frozen: its .grad is None, and {held}."
    if value.gradient is None:
        return "Its .grad is None: no gradient has reached it, so the optimizer skips it."
    if value.group is None:
        return "It is not in the optimizer."
    if value.gradient == 0:
        return "Its gradient is 0 everywhere, and nothing else moves it."
    return "The update is too small to change a float32 of this size."


def _statistics_note(specimen: Specimen, model: nn.Module, moved: list[str]) -> str:
    before, after = (dict(part.named_buffers())[f"{moved[0]}.running_mean"] for part in (specimen.model, model))
    place = int((after - before).abs().argmax())
    return (
        f"Frozen, and yet something moves: the model is in train mode, as its lines leave it, so {len(moved)} BatchNorm layers of which every "
        "parameter is frozen still update their running statistics in each forward pass. "
        f"{moved[0]}.running_mean[{place}] was {float(before[place]):.4g} and is {float(after[place]):.4g} after {STEPS} steps. "
        "A run of Thaw puts such layers into eval mode; by hand it takes one more line: call .eval() on them after model.train()."
    )
