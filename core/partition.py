"""Which part of a model cannot change while it trains, and never computing it twice.

Where layers are frozen, everything before the first layer that learns gives the same features for the same picture in each
epoch. `split` cuts a model there, whatever its shape, and `Partition` computes the features of each picture once and keeps
them. What comes out is bit for bit what the whole model gives, which is checked when the model is cut, and again in each epoch
on some pictures.

A step of the model *can change* if it has a parameter that learns, draws a random number, or depends on the other pictures of
the batch (BatchNorm in train mode), or if anything before it can change. All other steps are *static*. The *border* are the
static tensors that steps that can change, or whoever called the model, make use of.
"""

from __future__ import annotations

import hashlib
import operator
import platform
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.bits import digest, same
from core.data import Loader, Normalise
from core.data.loader import Batch
from core.events import Reuse
from core.features import Column, NoRoom, Table, open_table
from core.profiling import Stages

CHECKED_PICTURES = 4
"""Pictures that are computed again and compared in each pass, where so few give the same bits as a whole batch; elsewhere a whole batch is."""

WORTH = 1.5
"""Features are kept where computing them takes at least this many times as long as reading them."""

READ_BYTES_A_SECOND = 2e9
READ_SECONDS = 50e-6
"""What reading the features of a batch takes, at most, on a machine of today: its bytes, and the calls."""


class NotSplit(Exception):
    """The model has no part that can be computed once; the text says why."""


@dataclass(frozen=True)
class Split:
    """A model cut in two. Both halves share its modules, so what is learned in one is learned in the other.

    `prefix` takes images float [N, 3, S, S] and returns a tuple of tensors [N, ...], the border; `suffix` takes these and returns
    what the model returns. `border` names the layers that the tensors come from. `layers` of `all_layers` lie in the prefix.
    """

    prefix: fx.GraphModule
    suffix: fx.GraphModule
    border: tuple[str, ...]
    layers: int
    all_layers: int


def split(model: nn.Module, images: Tensor) -> Split:
    """Cut `model` between what can change and what cannot, as its parameters' `requires_grad` and its modules' modes are now.

    Args:
        model: in train or eval mode; its buffers and torch's chance are left as they were.
        images: float [N, 3, S, S], at least 3, on the model's device: what it is tried out with.

    Raises:
        NotSplit: every layer can change, or the model cannot be traced, or its halves do not give what it gives.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # noqa: BLE001  whatever a model's forward does with a stand-in for a tensor
        raise NotSplit(f"the model decides while it runs what it does next, so it cannot be cut in two ({_first_line(error)})") from None
    whole = fx.GraphModule(model, graph)
    with _untouched(model, images.device):
        probe, other = _Probe(whole), _Probe(whole)
        probe.run(images[:2])
        other.run(images[:3])
    changing = _changing(whole, probe)
    border, again = _border(graph, changing, probe, other)
    if not border:
        raise NotSplit("nothing is frozen before the first layer that learns")
    names = tuple(_name(node) for node in border)
    prefix, suffix = _prefix(whole, border), _suffix(whole, border, changing | again)
    layers = _layers(prefix)
    if not layers or any(node.op == "placeholder" for node in border):
        raise NotSplit("the first layer can change, and everything after it with it")
    found = Split(prefix, suffix, names, layers, _layers(whole))
    _check(model, found, images[:2])
    return found


class _Probe(fx.Interpreter):
    """Runs a model step by step, and notes what each step gives and does."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.random: set[fx.Node] = set()  # drew a random number, or moved a buffer

    def run_node(self, n: fx.Node) -> Any:
        buffers = self._written(n)
        before = _chance(), [buffer._version for buffer in buffers]  # torch counts the writes to a tensor
        result = super().run_node(n)
        if not torch.equal(before[0], _chance()) or before[1] != [buffer._version for buffer in buffers]:
            self.random.add(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result

    def _written(self, n: fx.Node) -> list[Tensor]:
        """The buffers that a step can write to."""
        if n.op == "call_module":
            return list(self.fetch_attr(str(n.target)).buffers())
        return [self.env[before] for before in n.all_input_nodes if before.op == "get_attr" and isinstance(self.env[before], Tensor)]


def _chance() -> Tensor:
    """The state of torch's random generators, as bytes."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return torch.cat(states)


def _changing(whole: fx.GraphModule, probe: _Probe) -> set[fx.Node]:
    """The steps that can change."""
    changing: set[fx.Node] = set()
    for node in whole.graph.nodes:
        own = False
        if node.op == "call_module":
            module = whole.get_submodule(str(node.target))
            own = any(parameter.requires_grad for parameter in module.parameters())
            own |= any(isinstance(part, _BatchNorm) and (part.training or part.running_mean is None) for part in module.modules())
        elif node.op == "get_attr":
            own = getattr(operator.attrgetter(str(node.target))(whole), "requires_grad", False)
        if own or node.op == "output" or node in probe.random or any(before in changing for before in node.all_input_nodes):
            changing.add(node)
    return changing


def _border(graph: fx.Graph, changing: set[fx.Node], probe: _Probe, other: _Probe) -> tuple[list[fx.Node], set[fx.Node]]:
    """The tensors to keep, and the static steps that are done again each time: those whose result is not one row a picture."""
    of_images: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(before in of_images for before in node.all_input_nodes):
            of_images.add(node)
    by_picture = {node for node in of_images if probe.shapes.get(node, ())[:1] == (2,) and other.shapes.get(node, ())[:1] == (3,)}
    border: set[fx.Node] = set()
    again: set[fx.Node] = set()
    waiting = [before for node in changing for before in node.all_input_nodes]
    while waiting:
        node = waiting.pop()
        if node in changing or node in again or node in border:
            continue
        if node in by_picture:
            border.add(node)
        else:
            again.add(node)
            waiting += node.all_input_nodes
    for node in reversed(graph.nodes):  # what a function makes of other kept tensors (a concatenation, say) is sooner made than read
        if (
            node in border
            and node.op in ("call_function", "call_method")
            and all(before in border or before in again for before in node.all_input_nodes)
        ):
            border.remove(node)
            again.add(node)
    return [node for node in graph.nodes if node in border], again


def _prefix(whole: fx.GraphModule, border: Sequence[fx.Node]) -> fx.GraphModule:
    needed: set[fx.Node] = set()
    waiting = list(border)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in whole.graph.nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = graph.node_copy(node, lambda before: copies[before])
    graph.output(tuple(copies[node] for node in border))
    return fx.GraphModule(whole, graph, "Prefix")


def _suffix(whole: fx.GraphModule, border: Sequence[fx.Node], steps: set[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"border_{number}") for number, node in enumerate(border)}
    for node in whole.graph.nodes:
        if node in steps:
            copies[node] = graph.node_copy(node, lambda before: copies[before])
    return fx.GraphModule(whole, graph, "Suffix")


def _check(model: nn.Module, found: Split, images: Tensor) -> None:
    """Steps that write into their input could see another order of things when a model is cut: try it."""
    with torch.no_grad(), _untouched(model, images.device) as again:
        expected = _tensors(model(images))
        again()
        given = _tensors(found.suffix(*(tensor.clone() for tensor in found.prefix(images))))
    if len(expected) != len(given) or not all(same(left, right) for left, right in zip(expected, given, strict=True)):
        raise NotSplit("the model's two halves do not give what the whole model gives")


@contextmanager
def _untouched(model: nn.Module, device: torch.device) -> Iterator[Any]:
    """Puts the model's buffers and torch's chance back at the end, and whenever what it yields is called. No gradients within it."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    chance = torch.get_rng_state()
    own_chance = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def put_back() -> None:
        for buffer, before in buffers:
            buffer.copy_(before)
        torch.set_rng_state(chance)
        if own_chance is not None:
            torch.cuda.set_rng_state(own_chance, device)

    with torch.no_grad():
        try:
            yield put_back
        finally:
            put_back()


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [tensor for part in output for tensor in _tensors(part)] if isinstance(output, tuple | list) else []


def _layers(module: fx.GraphModule) -> int:
    """Layers with parameters that it calls."""
    called = {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
    return sum(any(True for _ in module.get_submodule(target).parameters()) for target in called)


def _name(node: fx.Node) -> str:
    """Where the tensor comes from, in the model's words: the last layer on the way to it."""
    waiting, last = [node], node
    while waiting:
        last = waiting.pop(0)
        if last.op == "call_module":
            break
        waiting += reversed(last.all_input_nodes)
    return str(last.target)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def fold_norms(prefix: fx.GraphModule) -> fx.GraphModule:
    """A prefix whose BatchNorms are folded into the convolutions before them: fewer operations, other rounding.

    (w * x + b - mean) / sqrt(var + eps) * gamma + beta is a convolution again (Jacob et al., Quantization and Training of Neural
    Networks, 2018, section 3.2).
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    root = dict(prefix.named_modules())
    folded: dict[str, nn.Module] = {}
    for node in prefix.graph.nodes:
        before = node.all_input_nodes[0] if node.all_input_nodes else None
        if (
            node.op == "call_module"
            and isinstance(root[node.target], nn.BatchNorm2d)
            and before is not None
            and before.op == "call_module"
            and isinstance(root[str(before.target)], nn.Conv2d)
            and len(before.users) == 1
        ):
            norm, convolution = root[node.target], root[str(before.target)]
            modes = norm.training, convolution.training
            fused = fuse_conv_bn_eval(convolution.eval(), norm.eval())
            norm.train(modes[0])
            convolution.train(modes[1])
            folded[str(before.target)] = fused.requires_grad_(False)
            copies[node] = copies[before]
        else:
            copies[node] = graph.node_copy(node, lambda before: copies[before])
    modules: dict[str, Any] = {str(node.target): root[str(node.target)] for node in graph.nodes if node.op == "call_module"}
    constants = {str(node.target): operator.attrgetter(str(node.target))(prefix) for node in graph.nodes if node.op == "get_attr"}
    return fx.GraphModule({**modules, **constants, **folded}, graph, "Prefix")


@dataclass(frozen=True)
class Keeping:
    """How features are kept. `folder` None: they are not. `half`: rounded to float16. `budget` in bytes, of all tables together."""

    folder: Path | None
    budget: int = 8 * 10**9
    half: bool = False
    fold: bool = False


Pass = Literal["train", "validation", "test"]


class Partition:
    """Gives what `model` gives for a batch, and computes what cannot have changed only once.

    Args:
        model: on its device; what learns is marked by `requires_grad`.
        normalise: uint8 images [N, 3, S, S] -> float32, run on the device.
        image_size: S.
        keeping: where features go, and how.
        about: what decides the features besides the model and the pictures: the number format.
        most: samples that go through the model at once.
        compiled: have torch.compile translate what runs in each step.
    """

    def __init__(
        self,
        model: nn.Module,
        normalise: Normalise,
        image_size: int,
        device: torch.device,
        keeping: Keeping,
        about: str,
        most: int,
        compiled: bool = False,
    ) -> None:
        self.model = model
        self.normalise = normalise.to(device)
        self.image_size = image_size
        self.device = device
        self.keeping = keeping
        self.about = about
        self.most = most
        self.compiled = compiled
        self.news = False
        """Whether `tell` has something new to say."""
        self._whole = _compiled(model) if compiled else model
        self._splits: dict[bool, Split | NotSplit] = {}
        self._ways: dict[Pass, _Way] = {}
        self._tables: dict[str, Table] = {}
        self._dropped = ""
        self._random = random.Random(0)
        self._pass: Pass = "train"
        self._loader: Loader | None = None
        self._calls = 0
        self._check_at = 0
        self._unchecked = True
        self._said = 0.0

    def begin(self, what: Pass, loader: Loader) -> None:
        """A pass over `loader` begins; the model is in the mode that it needs."""
        self._pass, self._loader = what, loader
        self._calls, self._check_at, self._unchecked = 0, self._random.randrange(len(loader)), True
        self.news = True
        for table in self._tables.values():
            table.settle()

    def split(self) -> None:
        """Something else is frozen from now on, or frozen weights are not what they were: cut the model anew before the next batch."""
        self._splits.clear()
        self._ways.clear()
        self.news = True

    def forward(self, batch: Batch, stages: Stages | None = None) -> Any:
        """What the model returns for the images of `batch`. Call it as the model: in its mode, under autocast and inference mode."""
        way = self._ways.get(self._pass) or self._open()
        stages = stages or Stages()
        self._calls += 1
        if way.split is None or way.table is None:
            images = self._images(batch)
            stages.done("data")
            return self._whole(images)
        border = self._border(batch, way, way.table, stages)
        stages.done("static prefix")
        return way.suffix(*border)

    def tell(self) -> Reuse:
        """How far it is."""
        self.news = False
        self._said = time.perf_counter()
        way = self._ways.get("train") or self._ways.get(self._pass)
        checked = sum(way.checked for way in self._ways.values())
        saved = sum(way.saved_seconds for way in self._ways.values())
        if way is None:
            return Reuse("off", "nothing was asked for yet")
        if way.split is None or way.table is None:
            return Reuse("dropped" if self._dropped else "off", self._dropped or way.reason, checked=checked, saved_seconds=saved)
        kept = way.table.count(way.pictures)
        return Reuse(
            state="serving" if kept == len(way.pictures) else "filling",
            border=way.split.border,
            layers=way.split.layers,
            all_layers=way.split.all_layers,
            picture_bytes=way.table.picture_bytes,
            pictures=len(way.pictures),
            kept=kept,
            budget_bytes=self.keeping.budget,
            place=way.table.place,
            found=way.table.found,
            exact=not (self.keeping.half or self.keeping.fold),
            checked=checked,
            saved_seconds=saved,
        )

    def close(self) -> None:
        """Have everything that was kept survive this process."""
        for table in self._tables.values():
            table.settle(wait=True)

    def _border(self, batch: Batch, way: _Way, table: Table, stages: Stages) -> Sequence[Tensor]:
        """The border tensors of a batch: read, or computed and kept."""
        pictures, size = batch.pictures, len(batch)
        if pictures is not None and (size == self.most or way.agrees.get(size)) and table.has(pictures):
            began = time.perf_counter()
            border = [tensor.to(self.device) for tensor in table.read(pictures)]
            way.saved_seconds += way.picture_seconds * size - (time.perf_counter() - began)
            if self._unchecked and (self._calls > self._check_at or not way.checked):
                self._unchecked = False
                return self._compared(batch, way, table, border)
            return border
        images = self._images(batch)
        stages.done("data")
        began = time.perf_counter()
        border = way.compute(images)
        if pictures is not None and size == self.most:
            way.computed(time.perf_counter() - began, size)
            if self._worth(way, table, size):
                self._keep(table, pictures, border)
        elif pictures is not None and not (size in way.agrees and table.has(pictures)):
            self._keep_unusual(way, table, pictures, images, border)
        self.news |= time.perf_counter() - self._said > 1
        return table.rounded(border)

    def _keep_unusual(self, way: _Way, table: Table, pictures: Tensor, images: Tensor, border: list[Tensor]) -> None:
        """Keep the features of a batch of another size than the usual, and find out whether this size gives the same as the usual one.

        Kernels are chosen by the size of a batch, and some add up in another order then: the rows of a table are those of full batches.
        """
        size = len(images)
        usual = border
        if table.has(pictures):
            usual = table.read(pictures)
        elif not way.agrees.get(size):
            places = torch.arange(self.most, device=self.device) % size
            usual = [tensor[:size] for tensor in way.compute(images[places])]
        way.agrees.setdefault(size, table.agree(usual, border))
        self._keep(table, pictures, usual)

    def _keep(self, table: Table, pictures: Tensor, border: list[Tensor]) -> None:
        try:
            table.write(pictures, border)
        except OSError as error:
            self._drop(table, f"features could not be kept: {error.strerror}; free some disk, or lower feature_cache_gigabytes")

    def _compared(self, batch: Batch, way: _Way, table: Table, border: list[Tensor]) -> list[Tensor]:
        """Compute some of the pictures of a batch again. What differs is dropped, all of it, and what is right is given back."""
        images = self._images(batch)
        if way.few_agree and way.checked:
            chosen = torch.tensor(self._random.sample(range(len(batch)), min(CHECKED_PICTURES, len(batch))), device=self.device)
            way.checked += len(chosen)
            if table.agree(way.compute(images[chosen]), [tensor[chosen] for tensor in border]):
                return border
        # So few pictures may take another way through a kernel: what counts is the whole batch.
        again = way.compute(images)
        way.checked += len(batch)
        if table.agree(again, border):
            way.few_agree = way.checked == len(batch)
            return border
        self._drop(table, "kept features were not what the frozen layers compute now, so they were deleted, and every step computes everything again")
        return again

    def _drop(self, table: Table, reason: str) -> None:
        table.delete()
        self._dropped = reason
        self._tables = {key: other for key, other in self._tables.items() if other is not table}
        for way in self._ways.values():
            if way.table is table:
                way.table = None
        self.news = True

    def _worth(self, way: _Way, table: Table, pictures: int) -> bool:
        """Whether keeping pays. Known after a few batches; on an accelerator the clock cannot tell."""
        if self.device.type != "cpu" or way.batches != _Way.WARM + 3:
            return True
        computing = way.picture_seconds * pictures
        reading = pictures * table.picture_bytes / READ_BYTES_A_SECOND + READ_SECONDS
        if computing > WORTH * reading:
            return True
        way.reason = f"computing the frozen layers takes {1e3 * computing:.2f} ms for {pictures} pictures, reading what was kept would take as long"
        self._tables = {key: other for key, other in self._tables.items() if other is not table}
        table.delete()
        way.table = None
        self.news = True
        return False

    def _images(self, batch: Batch) -> Tensor:
        # Pixels travel as uint8, a quarter of float32; non_blocking lets the copy overlap with what the device still does.
        images: Tensor = self.normalise(batch.images.to(self.device, non_blocking=True))
        return images

    def _open(self) -> _Way:
        """How the pass at hand gets what the model gives."""
        assert self._loader is not None
        self.news = True
        way = _Way()
        self._ways[self._pass] = way
        views = self._loader.views
        try:
            if self.keeping.folder is None:
                raise NotSplit("it is switched off (feature_cache)")
            if self._dropped:
                raise NotSplit(self._dropped)
            if views is None:
                raise NotSplit(
                    "random changes make every picture a new one in each epoch; choose an augmentation without them, flip alone, or fixed_views"
                )
            images = self._loader.images
            way.use(self._split(), self.keeping.fold, self.compiled)
            columns = [Column.of(tensor, self.keeping.half) for tensor in way.compute(self._probe())]
            stored = len(images.images)
            way.pictures = torch.cat([images.indices + view * stored for view in range(views)])
            key = self._key(way.prefix, self._loader.key)
            if key not in self._tables:
                self._tables[key] = open_table(self.keeping.folder, key, columns, stored * views, len(way.pictures), self.keeping.budget)
            way.table = self._tables[key]
        except (NotSplit, NoRoom) as problem:
            way.reason = str(problem)
            way.split = way.table = None
        return way

    def _split(self) -> Split:
        mode = self.model.training
        if mode not in self._splits:
            try:
                self._splits[mode] = split(self.model, self._probe())
            except NotSplit as problem:
                self._splits[mode] = problem
        found = self._splits[mode]
        if isinstance(found, NotSplit):
            raise found
        return found

    def _probe(self) -> Tensor:
        """Random images float32 [3, 3, S, S]."""
        shape = (3, 3, self.image_size, self.image_size)
        pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        images: Tensor = self.normalise(pixels.to(self.device))
        return images

    def _key(self, prefix: fx.GraphModule, pictures: str) -> str:
        """Another one wherever features would be others: all that decides them goes in."""
        called = sorted({str(node.target) for node in prefix.graph.nodes if node.op == "call_module"})
        processor = platform.processor() + torch.backends.cpu.get_cpu_capability()
        parts = [
            prefix.code,
            *(f"{name} {prefix.get_submodule(name)!r}" for name in called),
            digest([*prefix.parameters(), *prefix.buffers(), *self.normalise.buffers()]),
            pictures,
            self.about,
            # Kernels add up in another order for other sizes of batch, and other numbers of threads.
            f"{self.model.training} {self.most} {torch.get_num_threads()} {self.keeping.half} {self.keeping.fold}",
            f"{torch.__version__} {torchvision.__version__}",
            torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else f"{self.device.type} {processor}",
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


class _Way:
    """How one pass gets what the model gives, and what that has brought so far."""

    WARM = 2
    """Batches whose time does not count: the first ones set much up."""

    def __init__(self) -> None:
        self.split: Split | None = None
        self.table: Table | None = None
        self.prefix: Any = None
        self.suffix: Any = None
        self.reason = ""
        self.pictures = torch.empty(0, dtype=torch.int64)
        self.agrees: dict[int, bool] = {}
        """Whether batches of another size than the usual give the same features."""
        self.few_agree = True
        """Whether a few pictures alone do."""
        self.checked = 0
        self.batches = 0
        self.saved_seconds = 0.0
        self._seconds = 0.0
        self._counted = 0

    def use(self, parts: Split, fold: bool, compiled: bool) -> None:
        self.split = parts
        self.prefix = fold_norms(parts.prefix) if fold else parts.prefix
        self.suffix = _compiled(parts.suffix) if compiled else parts.suffix

    def compute(self, images: Tensor) -> list[Tensor]:
        """The border tensors of these images."""
        with torch.no_grad():
            return list(self.prefix(images))

    @property
    def picture_seconds(self) -> float:
        """Time to compute the features of one picture; 0 until it is known."""
        return self._seconds / self._counted if self._counted else 0.0

    def computed(self, seconds: float, pictures: int) -> None:
        self.batches += 1
        if self.batches > self.WARM:
            self._seconds += seconds
            self._counted += pictures


def _compiled(module: nn.Module) -> Any:
    return torch.compile(module)
