"""What a training step costs, found out by making a few: on the real device, with random images and random weights.

What a memory holds is counted from the tensors themselves.
"""

from __future__ import annotations

import gc
import re
import statistics
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from core import catalog
from core.config import ConfigError, RunConfig
from core.config.errors import Cancelled
from core.config.plans import FreezePlan
from core.machine import devices
from core.model import anatomy
from core.model.batch_norms import raised_by_norm
from core.networks import models
from core.records.cost import Cost
from core.records.layers import backward_share, frozen_parameters, head_options
from core.records.telling import first_line, size
from core.reuse.counts import use_threads
from core.training.steps import THREADS, Pair, Steps, images_within

BUDGET_SECONDS = 2.5
"""No further step is begun after this much time in measured steps."""

LONG_SECONDS = 1.0
"""Where a whole batch takes longer, fewer images are measured, and the rest is worked out."""

FEWEST_STEPS, MOST_STEPS = 2, 10

PROBE_IMAGES = 2
"""The smallest batch that batch normalisation takes: it fits, and tells what a larger one would need."""

REMEMBERED = 256


class Bench:
    """Measures steps, one question at a time, and remembers what it found."""

    def __init__(self) -> None:
        # As `core.worker.assembly` has it for a run: on some devices the exact ways are the slower ones.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self._known: OrderedDict[tuple[str, int, frozenset[str]], Cost] = OrderedDict()

    def measure(self, config: RunConfig, classes: int, cancelled: Callable[[], bool] = lambda: False) -> Cost:
        """The cost of a step of `config`, of which the fields in `core.records.cost.MATTERS` count. Takes 1 to 5 s for most models.

        Args:
            cancelled: asked between two steps.

        Raises:
            ConfigError: the config cannot be used, or a step does not fit into the memory there is.
            Cancelled: as asked.
        """
        config = catalog.check(config)
        layers = anatomy.describe(config.model, classes, config.image_size, head_options(config)).parameters
        frozen = frozen_parameters(config.freeze, layers)
        # Two plans that freeze the same cost the same.
        key = (config.replace(freeze=FreezePlan()).to_json(), classes, frozen)

        def go_on() -> None:
            if cancelled():
                raise Cancelled

        if key not in self._known:
            try:
                self._known[key] = _measure(config, classes, frozen, go_on)
            finally:
                tidy()
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return self._known[key]


def graph_nodes(tensor: Tensor) -> int:
    """Number of nodes of the autograd graph that `tensor.backward()` walks.

    That is every node that can be reached from its `grad_fn` through `next_functions`, each counted once: `grad_fn` itself, and
    the AccumulateGrad of each leaf that requires a gradient, included.
    """
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(seen)


def saved_bytes(model: nn.Module, forward: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """What `forward` returns, and the bytes that autograd keeps for its backward pass: each storage once, the model's own left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would hold the graph that holds it

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    return result, sum(size for address, size in found.items() if address not in own)


@dataclass(frozen=True)
class _Seen:
    """What a few steps of `images` pictures took: seconds of a pass, of one of `PROBE_IMAGES`, and of the update; bytes; nodes of the graph."""

    images: int
    passes: list[float]
    probes: list[float]
    updates: list[float]
    activation_bytes: int
    probe_bytes: int
    gradient_bytes: int
    backward_nodes: int
    all_nodes: int
    peak_bytes: int | None

    def whole_batch(self, left_out: int) -> tuple[float, int]:
        """Seconds of a pass and bytes of activations with `left_out` pictures more. Both grow in a straight line, on which two points are known."""
        seconds = statistics.median(self.passes)
        if not left_out:
            return seconds, self.activation_bytes
        further = self.images - PROBE_IMAGES
        # The part of a pass that does not grow with the images is never most of it; what says so is noise.
        an_image = min(max((min(self.passes) - min(self.probes)) / further, seconds / self.images / 2), seconds / self.images)
        return seconds + left_out * an_image, self.activation_bytes + left_out * (self.activation_bytes - self.probe_bytes) // further


def _measure(config: RunConfig, classes: int, frozen: frozenset[str], go_on: Callable[[], None]) -> Cost:
    description = anatomy.describe(config.model, classes, config.image_size, head_options(config))
    device = devices.resolve(config.device)
    with _memory_explained(config, device):
        go_on()
        use_threads(config.threads or THREADS)
        steps = Steps(models.build(config.model, classes, config.image_size, head_options(config)), config, device)
        seen = _make_steps(steps, config, classes, frozen, go_on)
    left_out = config.batch_size - seen.images
    seconds, activation_bytes = seen.whole_batch(left_out)
    return Cost(
        trainable=sum(parameter.numel() for parameter in steps.learning),
        total=description.count,
        weight_bytes=sum(_bytes((*steps.model.parameters(), *steps.model.buffers()))),
        gradient_bytes=seen.gradient_bytes,
        optimizer_bytes=sum(_bytes(value for state in steps.optimizer.state.values() for value in state.values() if isinstance(value, Tensor))),
        activation_bytes=activation_bytes,
        step_seconds=seconds + statistics.median(seen.updates),
        steps_per_epoch=None,
        epoch_seconds=None,
        total_seconds=None,
        backward_nodes=seen.backward_nodes,
        all_nodes=seen.all_nodes,
        backward_share=backward_share(description, frozen),
        device=str(device),
        steps_measured=len(seen.passes),
        peak_bytes=None if left_out else seen.peak_bytes,
        images_measured=seen.images,
    )


def _make_steps(steps: Steps, config: RunConfig, classes: int, frozen: frozenset[str], go_on: Callable[[], None]) -> _Seen:
    """A probe of a few pictures, then steps of as many as can be made in the time that there is, at most a batch."""
    probe = _batch(config, classes, PROBE_IMAGES)
    all_nodes = graph_nodes(steps.forward(probe))
    steps.freeze(frozen)

    go_on()
    loss, probe_bytes = saved_bytes(steps.model, lambda: steps.forward(probe))
    backward_nodes = graph_nodes(loss)
    steps.backward(loss)  # the first pass sets much up, so it is not timed
    _check_memory(config, steps.device, probe_bytes / PROBE_IMAGES, sum(_bytes(steps.learning)))
    probes = [steps.seconds_of_pass(probe) for _ in range(FEWEST_STEPS)]

    def seconds_of(images: int) -> float:
        go_on()
        return steps.seconds_of_pass(_batch(config, classes, images))

    images = images_within(LONG_SECONDS, config.batch_size, seconds_of, (PROBE_IMAGES, min(probes)))
    batch = _batch(config, classes, images)

    go_on()
    if steps.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(steps.device)
    loss, activation_bytes = saved_bytes(steps.model, lambda: steps.forward(batch))
    steps.backward(loss)
    del loss
    gradient_bytes = sum(_bytes(parameter.grad for parameter in steps.learning if parameter.grad is not None))
    steps.update()
    passes: list[float] = []
    updates: list[float] = []
    while len(passes) < FEWEST_STEPS or (len(passes) < MOST_STEPS and sum(passes) + sum(updates) < BUDGET_SECONDS):
        go_on()
        passes.append(steps.seconds_of_pass(batch))
        updates.append(steps.seconds_of_update())
        if images < config.batch_size:  # in turns, so that what else the machine does disturbs both
            probes.append(steps.seconds_of_pass(probe))
    peak_bytes = torch.cuda.max_memory_allocated(steps.device) if steps.device.type == "cuda" else None
    return _Seen(images, passes, probes, updates, activation_bytes, probe_bytes, gradient_bytes, backward_nodes, all_nodes, peak_bytes)


def _batch(config: RunConfig, classes: int, images: int) -> Pair:
    """Random images and labels, where a loader puts them: in the machine's memory."""
    size = config.image_size
    return torch.randint(256, (images, 3, size, size), dtype=torch.uint8), torch.randint(classes, (images,))


def _bytes(tensors: Iterable[Tensor]) -> Iterator[int]:
    return (tensor.nbytes for tensor in tensors)


def _check_memory(config: RunConfig, device: torch.device, bytes_an_image: float, learning_bytes: int) -> None:
    """Refuse a batch for which the machine has no room: the system would not say no, but end some process, a training perhaps.

    An accelerator says no itself.
    """
    if device.type != "cpu":
        return
    pixels = 3 * config.image_size**2
    each = bytes_an_image + 5 * pixels  # as uint8 and as float32
    rest = 3 * learning_bytes  # gradients, and the two figures a weight that most optimizers keep
    free = psutil.virtual_memory().available
    if each * config.batch_size + rest > free:
        raise _too_large(config, device, f"{size(each * config.batch_size + rest)} needed, {size(free)} free", (free - rest) / each)


def _too_large(config: RunConfig, device: torch.device, figures: str, fits: float) -> ConfigError:
    smaller = next((size for size in (2**power for power in range(15, 0, -1)) if size < min(config.batch_size, fits)), None)
    remedy = f"try {smaller}, smaller images or fewer layers that learn" if smaller else "try smaller images, or fewer layers that learn"
    size = config.image_size
    return ConfigError(
        "batch_size", f"{config.batch_size} images of {size} x {size} pixels do not fit into the memory of {device} ({figures}); {remedy}"
    )


@contextmanager
def _memory_explained(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Within it, running out of memory, and batch normalisation that has too few values, are ConfigErrors."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _too_large(config, device, first_line(error), config.batch_size / 2) from None
    except RuntimeError as error:
        # The processor's allocator and that of Apple's GPUs have no error of their own.
        if not re.search("out of memory|not enough memory|allocate memory", str(error)):
            raise
        raise _too_large(config, device, first_line(error), config.batch_size / 2) from None
    except ValueError as error:
        if not raised_by_norm(error):
            raise
        remedy = "use 2 or more, or freeze the normalisation layers"
        raise ConfigError("batch_size", f"{config.batch_size} gives batch normalisation too few values to learn from; {remedy}") from None


def tidy() -> None:
    """Give back what the last model held: a training may need it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
