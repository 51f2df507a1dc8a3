"""Never computing the same thing twice: what cannot change while a model trains is computed once for each picture, and kept.

Where layers are frozen, everything before the first layer that learns gives the same features for the same picture in each
epoch. `core.reuse.split` cuts the model there; `Partition` computes the features of each picture once and keeps them in a table
(`core.reuse.features`). What comes out is bit for bit what the whole model gives, which is checked on some pictures as training goes on.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torchvision
from torch import Tensor, fx, nn

from core.data import Loader, Normalise
from core.data.loader import Batch
from core.machine.bits import digest, seen, unchanged, writes
from core.records.events import Reuse
from core.reuse.checks import Checks
from core.reuse.compiling import Translator
from core.reuse.counts import AllThreads, Pass
from core.reuse.cuts import Cuts
from core.reuse.features import Column, NoRoom, Table, open_table
from core.reuse.split import NotSplit
from core.reuse.way import Keeping, Way
from core.signals.profiling import Stages

WORTH = 1.5
"""Features are kept where computing them takes at least this many times as long as reading them."""

READ_BYTES_A_SECOND = 2e9
READ_SECONDS = 50e-6
"""What reading the features of a batch takes, at most, on a machine of today: its bytes, and the calls."""


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
        self.threads = AllThreads()
        self.together: Callable[[], object] | None = None
        """Waits for the other ranks that share the tables on this machine, so that each finds in a pass what others kept in those before."""
        self._translator = Translator() if compiled else None
        self._whole = self._translator.translated(model) if self._translator else model
        self._learning = self._what_learns()
        self.cuts = Cuts(model, self._probe, keeping.folder and keeping.folder.with_name("proofs"), self._about_cuts)
        self._ways: dict[Pass, Way] = {}
        self._digests: dict[tuple[tuple[int, int | None], ...], str] = {}
        self._said_of: tuple[fx.GraphModule | None, str] = (None, "")
        self._tables: dict[str, Table] = {}
        self._dropped = ""
        self._checks = Checks()
        self._pass: Pass = "train"
        self._loader: Loader | None = None
        self._calls = 0
        self._said = 0.0

    def begin(self, what: Pass, loader: Loader) -> None:
        """A pass over `loader` begins; the model is in the mode that it needs."""
        self._pass, self._loader = what, loader
        self._calls = 0
        self._checks.begin(len(loader))
        self.news = True
        for table in self._tables.values():
            table.settle(wait=self.together is not None)
        if self.together is not None:
            self.together()
            for table in self._tables.values():
                table.look_again()
        way = self._ways.get(what)
        if way is not None and not way.all_there:
            way.all_there = way.table is not None and way.table.has(way.pictures)

    def split(self) -> None:
        """Something else is frozen from now on, or frozen weights are not what they were: cut the model anew before the next batch."""
        self.cuts.forget()
        self._ways.clear()
        self.threads.forget()
        self._digests.clear()
        self.news = True
        before, self._learning = self._learning, self._what_learns()
        if self._translator and self._learning != before:
            self._translator.forget()

    def _what_learns(self) -> list[bool]:
        return [parameter.requires_grad for parameter in self.model.parameters()]

    def forward(self, batch: Batch, stages: Stages | None = None) -> Any:
        """What the model returns for the images of `batch`. Call it as the model: in its mode, under autocast and inference mode."""
        way = self._ways.get(self._pass) or self._open()
        stages = stages or Stages()
        self._calls += 1
        if way.split is None or way.table is None:
            images = self._images(batch)
            stages.done("data")
            return self.threads.live(self._pass, (images,), self._whole)(images)
        border = self._border(batch, way, way.table, stages)
        stages.done("static prefix")
        return self.threads.live(self._pass, border, way.suffix)(*border)

    @property
    def suffix(self) -> Any:
        """What follows the border in the pass at hand; None where nothing is kept."""
        way = self._ways.get(self._pass) or self._open()
        return None if way.table is None else way.suffix

    def border(self, batch: Batch, stages: Stages) -> list[Tensor] | None:
        """What `suffix` is to be given for `batch`; None where nothing is kept."""
        way = self._ways.get(self._pass) or self._open()
        if way.table is None:
            return None
        self._calls += 1
        return list(self._border(batch, way, way.table, stages))

    def tell(self) -> Reuse:
        """How far it is."""
        self.news = False
        self._said = time.perf_counter()
        passes, untranslated = (self._translator.passes, self._translator.untranslated) if self._translator else (0, 0)
        return replace(self._reuse(), passes=passes, untranslated=untranslated, threads=self.threads.tell())

    def _reuse(self) -> Reuse:
        way = self._ways.get("train") or self._ways.get(self._pass)
        checked = sum(way.checked for way in self._ways.values())
        saved = sum(way.saved_seconds for way in self._ways.values())
        if way is None:
            return Reuse("off", "nothing was asked for yet")
        if way.split is None or way.table is None:
            return Reuse("dropped" if self._dropped else "off", self._dropped or way.reason, checked=checked, saved_seconds=saved)
        kept = len(way.pictures) if way.all_there else way.table.count(way.pictures)
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
            chance=way.split.chance,
            proved=way.split.proved,
            exact=not (self.keeping.half or self.keeping.fold),
            checked=checked,
            saved_seconds=saved,
        )

    def close(self) -> None:
        """Have everything that was kept survive this process."""
        self.threads.frozen()
        for table in self._tables.values():
            table.settle(wait=True)

    def _border(self, batch: Batch, way: Way, table: Table, stages: Stages) -> Sequence[Tensor]:
        """The border tensors of a batch: read, or computed and kept."""
        pictures, size = batch.pictures, len(batch)
        if pictures is not None and (size == self.most or way.agrees.get(size)) and (way.all_there or table.has(pictures)):
            began = time.perf_counter()
            border = table.read(pictures)
            if self.device.type != "cpu":
                border = [tensor.to(self.device) for tensor in border]
            reading = time.perf_counter() - began
            if self._checks.due(self._calls, self._proved(way)):
                border = self._compared(batch, way, table, border)
            if way.picture_seconds:
                way.saved_seconds += way.picture_seconds * size - reading
            return border
        images = self._images(batch)
        stages.done("data")
        began = time.perf_counter()
        border = way.compute(images)
        if pictures is not None and size == self.most:
            way.computed(time.perf_counter() - began, size)
            if self._worth(way, table, size):
                self._keep(table, pictures, border)
        elif pictures is not None and size < self.most and not (size in way.agrees and table.has(pictures)):
            self._keep_unusual(way, table, pictures, images, border)
        self.news |= time.perf_counter() - self._said > 1
        return table.rounded(border)

    def _proved(self, way: Way) -> bool:
        """Whether a whole batch was compared, or as many pictures as are known to stand for one, in this pass or in one with the same prefix."""
        other = next((other for other in self._ways.values() if other.proved and other.split is way.split), None)
        if not way.proved and other is not None:
            way.proved, way.few = True, other.few
        return way.proved

    def _keep_unusual(self, way: Way, table: Table, pictures: Tensor, images: Tensor, border: list[Tensor]) -> None:
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
        if way.agrees.setdefault(size, table.agree(usual, border)):
            table.sizes.add(size)
        self._keep(table, pictures, usual)

    def _keep(self, table: Table, pictures: Tensor, border: list[Tensor]) -> None:
        try:
            table.write(pictures, border)
        except OSError as error:
            self._drop(table, f"features could not be kept: {error.strerror}; free some disk, or lower feature_cache_gigabytes")

    def _compared(self, batch: Batch, way: Way, table: Table, border: list[Tensor]) -> list[Tensor]:
        """Compute some of the pictures of a batch again. What differs is dropped, all of it, and what is right is given back."""
        again = self._checks.other(way, table, batch, self._images, border, self._proved(way))
        if again is None:
            return border
        self.cuts.wrong()
        self._drop(table, "kept features were not what the frozen layers compute now, so they were deleted, and every step computes everything again")
        return again

    def _drop(self, table: Table, reason: str) -> None:
        table.delete()
        self._dropped = reason
        self._tables = {key: other for key, other in self._tables.items() if other is not table}
        for way in self._ways.values():
            if way.table is table:
                way.table, way.all_there = None, False
        self.news = True

    def _worth(self, way: Way, table: Table, pictures: int) -> bool:
        """Whether keeping pays. Known after a few batches; on an accelerator the clock cannot tell."""
        if self.device.type != "cpu" or way.batches != Way.WARM + 3:
            return True
        computing = way.picture_seconds * pictures
        reading = pictures * table.picture_bytes / READ_BYTES_A_SECOND + READ_SECONDS
        if computing > WORTH * reading:
            return True
        way.reason = f"computing the frozen layers takes {1e3 * computing:.2f} ms for {pictures} pictures, reading what was kept would take as long"
        self._tables = {key: other for key, other in self._tables.items() if other is not table}
        table.delete()
        for other in self._ways.values():
            other.all_there = other.all_there and other.table is not table
        way.table = None
        self.news = True
        return False

    def _images(self, batch: Batch) -> Tensor:
        self.threads.frozen()  # pictures are asked for where something is to be computed of them
        # Pixels travel as uint8, a quarter of float32; non_blocking lets the copy overlap with what the device still does.
        images: Tensor = self.normalise(batch.images.to(self.device, non_blocking=True))
        return images

    def _open(self) -> Way:
        """How the pass at hand gets what the model gives."""
        assert self._loader is not None
        self.threads.frozen()
        self.news = True
        way = Way()
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
            way.use(self.cuts.cut(), self.keeping.fold, self._translator)
            columns = self._columns(way)
            stored = len(images.images)
            way.pictures = torch.cat([images.indices + view * stored for view in range(views)])
            key = self._key(way.prefix, self._loader.key)
            if key not in self._tables:
                self._tables[key] = open_table(self.keeping.folder, key, columns, stored * views, len(way.pictures), self.keeping.budget)
            way.table = self._tables[key]
            way.agrees = dict.fromkeys(way.table.sizes, True)
        except (NotSplit, NoRoom) as problem:
            way.reason = str(problem)
            way.split = way.table = None
        return way

    def _columns(self, way: Way) -> list[Column]:
        """What a row of this way's table is made of."""
        known = [other.table.columns for other in self._ways.values() if other.table is not None and other.split is way.split]
        if known:
            return list(known[0])
        assert way.split is not None
        example = way.compute(self._probe()) if self.keeping.fold else way.split.example
        return [Column.of(tensor, self.keeping.half) for tensor in example]

    def _probe(self) -> Tensor:
        """Random images float32 [3, 3, S, S]."""
        shape = (3, 3, self.image_size, self.image_size)
        pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        images: Tensor = self.normalise(pixels.to(self.device))
        return images

    def _key(self, prefix: fx.GraphModule, pictures: str) -> str:
        """Another one wherever features would be others: all that decides them goes in."""
        parts = [
            self._operations(prefix),
            self._digest(prefix),
            pictures,
            self.about,
            # Kernels add up in another order for other sizes of batch, and other numbers of threads.
            f"{self.model.training} {self.most} {self.threads.base} {self.keeping.half} {self.keeping.fold}",
            f"{torch.__version__} {torchvision.__version__}",
            self._machine(),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def _machine(self) -> str:
        """What kernels are chosen by."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{self.device.type} {platform.processor()}{torch.backends.cpu.get_cpu_capability()}"

    def _about_cuts(self) -> str:
        """What decides which steps of the model give which bits besides the model: see `cuts`."""
        images = f"{self.image_size} {self.normalise!r} {digest(self.normalise.buffers())}"
        return f"{self.about} {self.most} {self.threads.base} {self.compiled} {images} {self._machine()}"

    def _operations(self, prefix: fx.GraphModule) -> str:
        """What `prefix` does, in words; put together once, since passes share it."""
        if self._said_of[0] is not prefix:
            called = sorted({str(node.target) for node in prefix.graph.nodes if node.op == "call_module"})
            text = "\0".join([prefix.code, *(f"{name} {prefix.get_submodule(name)!r}" for name in called)])
            self._said_of = (prefix, text)
        return self._said_of[1]

    def _digest(self, prefix: fx.GraphModule) -> str:
        """Of all numbers that decide what `prefix` gives; worked out once, since passes share them."""
        tensors = [*prefix.parameters(), *prefix.buffers(), *self.normalise.buffers()]
        names = tuple((id(tensor), writes(tensor)) for tensor in tensors)  # of those made in inference mode none is written to
        if names not in self._digests:
            each = [unchanged(tensor) or seen(tensor) for tensor in tensors]  # the audit has read most of them just before
            self._digests[names] = hashlib.sha256("".join(each).encode()).hexdigest()
        return self._digests[names]
