"""Where the time of training goes: `Stages` always, cheaply; `Profiler`, layer by layer, for a few steps."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, saved_tensors_hooks
from torch.nn.modules import module as modules
from torch.optim import Optimizer

from core.records.events import Reuse, Stage
from core.records.layers import blocks
from core.records.profile import BlockTime, LayerTime, Memory, Profile

STEPS = 5
"""Steps of one profile: enough for a median."""


class Stages:
    """A stopwatch that is pressed after each part of a step. On an accelerator it counts the time to launch a part, not to run it.

    `listener`, if there is one, is told of each press, after the time was read; it may wait for the device then.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[Stage, float] = {}
        self.listener: Callable[[Stage | None], None] | None = None
        self._clock = clock
        self._last = clock()

    def begin(self) -> None:
        """Whatever was done up to now counts for nothing."""
        if self.listener is not None:
            self.listener(None)
        self._last = self._clock()

    def done(self, stage: Stage) -> None:
        """All time since the last press went into `stage`."""
        if self.listener is not None:
            self.listener(stage)
        now = self._clock()
        seconds = self.seconds
        seconds[stage] = seconds.get(stage, 0.0) + now - self._last
        self._last = now


class Profiler:
    """Watches the layers of `model` from `start` until `steps` steps are over, then takes its hooks off again.

    Forward hooks tell when a layer (a module that computes by itself) begins and ends, hooks on the nodes of the autograd graph that
    it made the same of its backward pass: unlike backward hooks of modules they put nothing into the graph, and so change no bit.
    Between two layers lies what has no module, such as the sum of a residual block: it counts for the block of the layer that it
    goes into. Where the device works by itself, it is waited for at each of these borders.

    Args:
        steps: how many, at most.
        layers: False where the layers do not run one by one (torch.compile): then stages and memory are all there is.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, stages: Stages, device: torch.device, steps: int = STEPS, layers: bool = True) -> None:
        self.model = model
        self.optimizer = optimizer
        self.stages = stages
        self.device = device
        self.left = steps
        self._names = dict(_layers(model)) if layers else {}
        self._block_of = _block_finder(model)
        self._order: dict[str, None] = {}  # layers in the order of their first call
        self._steps: list[_Step] = []
        self._step = _Step()
        self._own: set[int] = set()
        self._sizes: dict[str, int] = {"gradients": 0, "activations": 0, "optimizer": 0}
        self._saved: dict[int, int] = {}
        self._hooks = ExitStack()
        self._since = 0.0  # when the last thing ended
        self._last: str | None = None  # what that was: a block, or None for a stage
        self._stage_since = 0.0
        self._backward = False

    @property
    def running(self) -> bool:
        """Whether its hooks are on."""
        return self.stages.listener is not None

    def start(self) -> None:
        """Put the hooks on. Call it between two steps."""
        self._own = {tensor.untyped_storage().data_ptr() for tensor in (*self.model.parameters(), *self.model.buffers())}
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        if self._names:
            # Hooks for all modules, filtered here: some modules of torch take another way through their code if they have hooks of their own.
            for handle in (modules.register_module_forward_pre_hook(self._enters), modules.register_module_forward_hook(self._leaves)):
                self._hooks.callback(handle.remove)
            self._hooks.enter_context(saved_tensors_hooks(self._saves, lambda tensor: tensor))
        self.stages.listener = self._pressed
        self._stage_since = self._now()

    def stop(self) -> None:
        """Take the hooks off. Harmless where they are off."""
        self.stages.listener = None
        self._hooks.close()
        self._step.nodes.clear()

    def step(self) -> bool:
        """A step is over; True once that was the last one, and the hooks are off."""
        self._steps.append(self._step)
        self._step = _Step()
        self.left -= 1
        if self.left <= 0:
            self.stop()
        return self.left <= 0

    @property
    def steps(self) -> int:
        """Steps watched so far."""
        return len(self._steps)

    def profile(self, last_step: int, samples: int, reuse: Reuse, asked: bool) -> Profile:
        """What was found out: the last step watched was `last_step`, one has `samples` samples, somebody `asked` for it or not."""
        assert self._steps, "no step was watched"
        names = {name: child for child, name in self._names.items()}
        by_block: dict[str, list[str]] = {block: [] for block in dict.fromkeys(self._block_of(name) for name in (*names, *self._order))}
        for name in self._order:
            by_block[self._block_of(name)].append(name)
        keeping = reuse.state in ("filling", "serving")
        found = [
            self._block(block, tuple(self._layer(name, names[name]) for name in layers))
            for block, layers in by_block.items()
            if self._is_computed(block) or (keeping and self._is_frozen(block))
        ]
        seen = dict.fromkeys(stage for step in self._steps for stage in step.stages)
        stages: dict[Stage, float] = {stage: _median(step.stages.get(stage, 0.0) for step in self._steps) for stage in seen}
        return Profile(
            first_step=last_step - len(self._steps) + 1,
            last_step=last_step,
            samples=samples,
            device=str(self.device),
            stages=stages,
            blocks=tuple(found),
            loss=_median(step.loss for step in self._steps),
            outside=_median(step.outside for step in self._steps),
            memory=self._memory(reuse),
            reuse=reuse.state,
            asked=asked,
        )

    def _layer(self, name: str, module: nn.Module) -> LayerTime:
        backward = [step.layer_backward[name] for step in self._steps if name in step.layer_backward]
        return LayerTime(name, type(module).__name__, _median(step.layer_forward.get(name, 0.0) for step in self._steps), _median(backward, None))

    def _block(self, name: str, layers: tuple[LayerTime, ...]) -> BlockTime:
        backward = [step.block_backward.get(name, 0.0) for step in self._steps if name in step.block_backward]
        return BlockTime(
            name=name,
            forward=_median(step.block_forward.get(name, 0.0) for step in self._steps) if self._is_computed(name) else None,
            backward=_median(backward, None),
            frozen=self._is_frozen(name),
            layers=layers,
        )

    def _is_computed(self, block: str) -> bool:
        """False for a block that only a check of kept features computed, once."""
        return 2 * sum(block in step.block_forward for step in self._steps) > len(self._steps)

    def _is_frozen(self, block: str) -> bool | None:
        learns = [parameter.requires_grad for name, parameter in self.model.named_parameters() if f"{name}.".startswith(f"{block}.")]
        return not any(learns) if learns else None

    def _memory(self, reuse: Reuse) -> Memory:
        on_device = self.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self.device) if on_device else _peak_of_process()
        return Memory(
            weights=sum(parameter.nbytes for parameter in self.model.parameters()),
            buffers=sum(buffer.nbytes for buffer in self.model.buffers()),
            kept=reuse.kept * reuse.picture_bytes,
            kept_place=reuse.place,
            peak=peak,
            peak_of="device" if on_device else "process",
            **self._sizes,
        )

    # What the hooks see

    def _now(self) -> float:
        """This moment, once the device has done all it was asked for."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        self._since = time.perf_counter()
        return self._since

    def _pressed(self, stage: Stage | None) -> None:
        before = self._since
        now = self._now()
        step = self._step
        if stage is not None:
            step.stages[stage] = step.stages.get(stage, 0.0) + now - self._stage_since
        if stage in ("static prefix", "forward"):
            # From the last layer to the end: the loss, or a tail without layers.
            step.outside += now - before
        if stage == "backward":
            self._gap(now - before)
            self._grew("gradients", sum(parameter.grad.nbytes for parameter in self.model.parameters() if parameter.grad is not None))
            self._grew("activations", sum(self._saved.values()))
            self._saved.clear()
            step.nodes.clear()  # they hold the graph
        if stage == "recording":
            state = (value for values in self.optimizer.state.values() for value in values.values() if isinstance(value, Tensor))
            self._grew("optimizer", sum(value.nbytes for value in state))
        self._backward = stage == "forward"
        self._last = None
        self._stage_since = self._now()

    def _enters(self, module: nn.Module, inputs: Any) -> None:
        name = self._names.get(module)
        if name is None or torch.is_inference_mode_enabled():  # an evaluation between two steps
            return
        before = self._since
        gap = self._now() - before
        block = self._block_of(name)
        if self._last is None:
            self._step.outside += gap  # before the first layer
        else:
            self._step.forward(block, gap)
        if torch.is_grad_enabled():
            self._follow(None, block, inputs)
        self._now()

    def _leaves(self, module: nn.Module, inputs: Any, output: Any) -> None:
        name = self._names.get(module)
        if name is None or torch.is_inference_mode_enabled():
            return
        before = self._since
        seconds = self._now() - before
        block = self._block_of(name)
        self._order[name] = None
        self._step.forward(block, seconds)
        self._step.layer_forward[name] = self._step.layer_forward.get(name, 0.0) + seconds
        self._last = block
        if torch.is_grad_enabled():
            self._follow(name, block, output)
        self._now()

    def _follow(self, name: str | None, block: str, reached: Any) -> None:
        """Put hooks on the nodes of the graph that lead to the tensors `reached` and have none yet: the layer's own, or what lies before it."""
        known = self._step.nodes
        waiting = [tensor.grad_fn for tensor in _tensors(reached)]
        while waiting:
            node = waiting.pop()
            if node is None or node in known or "AccumulateGrad" in node.name():
                continue
            known.add(node)
            self._watch(node, name, block)
            waiting += [following for following, _ in node.next_functions]

    def _watch(self, node: Node, name: str | None, block: str) -> None:
        def enters(gradients: Any) -> None:
            before = self._since
            self._gap(self._now() - before)

        def leaves(gradients: Any, outputs: Any) -> None:
            before = self._since
            seconds = self._now() - before
            self._step.block_backward[block] = self._step.block_backward.get(block, 0.0) + seconds
            if name is not None:
                self._step.layer_backward[name] = self._step.layer_backward.get(name, 0.0) + seconds
            self._last = block

        node.register_prehook(enters)
        node.register_hook(leaves)

    def _gap(self, seconds: float) -> None:
        """Time of the backward pass between two layers: the gradient of a weight is put in its place, two gradients are added up."""
        if self._last is None:
            self._step.loss += seconds
        else:
            self._step.block_backward[self._last] = self._step.block_backward.get(self._last, 0.0) + seconds

    def _saves(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own:
            self._saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would hold the graph that holds it

    def _grew(self, category: str, size: int) -> None:
        self._sizes[category] = max(self._sizes[category], size)


class _Step:
    """What was seen of one step, in seconds."""

    def __init__(self) -> None:
        self.stages: dict[Stage, float] = {}
        self.block_forward: dict[str, float] = {}
        self.block_backward: dict[str, float] = {}
        self.layer_forward: dict[str, float] = {}
        self.layer_backward: dict[str, float] = {}
        self.loss = 0.0
        self.outside = 0.0
        self.nodes: set[Node] = set()  # of the graph, that have hooks

    def forward(self, block: str, seconds: float) -> None:
        self.block_forward[block] = self.block_forward.get(block, 0.0) + seconds


def _layers(model: nn.Module, path: str = "") -> Iterator[tuple[nn.Module, str]]:
    """The modules that compute by themselves, with their names: those without others inside, and torch's own that look into theirs."""
    for name, child in model.named_children():
        where = f"{path}.{name}" if path else name
        if isinstance(child, nn.MultiheadAttention) or not any(True for _ in child.children()):
            yield child, where
        else:
            yield from _layers(child, where)


def _block_finder(model: nn.Module) -> Callable[[str], str]:
    """From a layer's name to its block: see `core.records.layers.blocks`; a layer that is in none is one by itself."""
    found = blocks(name for name, _ in model.named_parameters())
    known: dict[str, str] = {}

    def block_of(name: str) -> str:
        if name not in known:
            known[name] = next((block for block in found if name == block or name.startswith(f"{block}.")), name)
        return known[name]

    return block_of


def _median(values: Iterable[float], otherwise: Any = 0.0) -> Any:
    values = list(values)
    return statistics.median(values) if values else otherwise


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _peak_of_process() -> int:
    """Bytes of memory that this process had at its largest moment."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest
