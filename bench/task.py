"""What every contestant of the table against peers is given, and what is taken down about it.

All begin with the same weights, see the same batches in the same order and use the same optimizer.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from core import catalog
from core.catalog import optimizers
from core.config import RunConfig
from core.data import Loader, Normalise
from core.data.loader import BatchOrder, generator_for
from core.machine.home import Home
from core.model.freezing import Freezing, trainable
from core.worker.assembly import assemble

if TYPE_CHECKING:
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Found:
    """What one contestant found. Times in seconds, memory in MB (10^6 bytes).

    `cpu_seconds` are those of the process and of its loader processes; `setup_seconds` is the rest of the process's life: imports, reading
    data, building the model, putting everything away. `device_memory` is None without a GPU. `flop` is what a
    bare loop has to compute in all this time, and `peak` what the GPU can do a second: both from the contestant that is asked for them.
    """

    seconds: float
    cpu_seconds: float
    setup_seconds: float
    samples: int
    memory: float
    device_memory: float | None = None
    flop: float | None = None
    peak: float | None = None
    note: str = ""


class Clock:
    """The seconds between `start` and `stop`, on the wall and of processors; a GPU is waited for at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.began: tuple[float, float] | None = None
        self.seconds = self.cpu_seconds = 0.0

    def start(self) -> None:
        """Begin, unless it runs already."""
        if self.began is None:
            self.began = self._now()

    def stop(self) -> None:
        """The last call counts."""
        assert self.began is not None, "the clock was never started"
        self.seconds, self.cpu_seconds = (now - before for now, before in zip(self._now(), self.began, strict=True))

    def _now(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        me = psutil.Process()
        times = [me.cpu_times(), *(child.cpu_times() for child in me.children(recursive=True))]  # loader processes live until the end
        return time.perf_counter(), sum(taken.user + taken.system for taken in times)


@dataclass(frozen=True)
class Task:
    """What every contestant is given: the model with its starting weights and what is frozen, the data, and the clock."""

    config: RunConfig
    model: nn.Module
    freezing: Freezing
    loss: nn.Module
    normalise: nn.Module
    """What a batch of the loader goes through on the device before the model."""
    data: Dataset[Any]
    workers: int
    steps: int
    """In all epochs."""
    samples: int
    """Seen in all epochs."""
    device: torch.device
    folder: Path
    clock: Clock = field(repr=False)

    def loader(self) -> DataLoader[Any]:
        """The batches of every epoch in Thaw's order: each `iter` goes on with the next epoch."""
        order = Order(len(self.data), self.config)  # type: ignore[arg-type]
        many = hasattr(self.data, "__getitems__")
        return DataLoader(
            self.data,
            batch_sampler=order,
            collate_fn=_as_it_is if many else None,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else each epoch takes a number from the global one, which dropout uses too
        )

    def optimizer(self) -> Optimizer:
        """The optimizer, over what learns."""
        return optimizers.build(self.config, trainable(self.model))

    def batches(self, loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch, on the device and ready for the model."""
        for images, labels in loader:
            yield self.normalise(images.to(self.device, non_blocking=True)), labels.to(self.device, non_blocking=True)


class Order(Sampler[list[int]]):
    """The indices of each batch as Thaw draws them. Each iteration is one epoch further."""

    def __init__(self, samples: int, config: RunConfig) -> None:
        self.samples = samples
        self.batch_size = config.batch_size
        self.seed = config.seed
        self.epoch = 0
        self.drop_last = False
        self.sampler = range(samples)  # Accelerate looks for it

    def __len__(self) -> int:
        return len(self._batches(1))

    def __iter__(self) -> Iterator[list[int]]:
        # A generator: an iterator that is made and thrown away, as DataLoader does with processes, is no epoch.
        self.epoch += 1
        yield from self._batches(self.epoch)

    def _batches(self, epoch: int) -> BatchOrder:
        return BatchOrder(self.samples, self.batch_size, generator_for(self.seed, epoch))


class InMemory(Dataset[tuple[Tensor, Tensor]]):
    """Images uint8 [N, 3, S, S] and labels int64 [N] that are given out a batch at a time: the quickest that a DataLoader can be."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """The samples at `indices`, stacked."""
        chosen = torch.as_tensor(indices)
        return self.images[chosen], self.labels[chosen]


def _as_it_is(batch: Any) -> Any:
    return batch


def everything(loader: Loader) -> InMemory:
    """All training images of one of Thaw's loaders, in the order in which `Order` counts them."""
    batch = loader.images.__getitems__(list(range(len(loader.images))))
    return InMemory(batch.images, batch.labels)


def begin(config: RunConfig, home: Home, folder: Path, workers: int) -> Task:
    """The task as Thaw would begin it, taken out of its hands."""
    threads = torch.get_num_threads()
    assembly = assemble(config.replace(feature_cache="off", speed="exact"), home)
    # Peers get torch as it is by default, without what Thaw sets for itself.
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    trainer = assembly.trainer
    device = trainer.device
    figures = Normalise(*catalog.find_model(config.model).normalise)
    normalise: nn.Module = figures.to(device)
    data: Dataset[Any]
    if config.dataset == "digits":
        data, workers = everything(trainer.train), 0
    else:
        data = _image_folder(Path(config.dataset.removeprefix("folder:")), config.image_size, figures.mean, figures.std)
        normalise = nn.Identity()
    order = Order(len(data), config)  # type: ignore[arg-type]
    samples = sum(len(indices) for _ in range(config.epochs) for indices in order)
    return Task(
        config,
        trainer.model,
        trainer.freezing,
        trainer.loss,
        normalise,
        data,
        workers,
        assembly.plan.total_steps,
        samples,
        device,
        folder,
        Clock(device),
    )


def _image_folder(folder: Path, image_size: int, mean: Tensor, std: Tensor) -> Dataset[Any]:
    """The JPEG files as torchvision's tutorials read them: each decoded and resized whenever it is asked for."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Normalize, Resize, ToTensor

    # Resize of a PIL image is bilinear and antialiased, as core.data.intake.decode is.
    steps = [Resize((image_size, image_size)), ToTensor(), Normalize(mean.flatten().tolist(), std.flatten().tolist())]
    images: Dataset[Any] = ImageFolder(str(folder / "train"), Compose(steps))
    return images


def peak_memory() -> float:
    """The most memory that this process had in use so far, in MB."""
    try:
        # Of this program alone: getrusage would give that of the process that started it, if that was larger.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass  # not Linux
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def device_memory(device: torch.device) -> float | None:
    """The most memory of the GPU that torch had in use so far, in MB; None without a GPU."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None


def step_flop(task: Task) -> float:
    """Floating-point operations of one training step of a whole batch in a bare loop, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    images = torch.zeros(task.config.batch_size, 3, task.config.image_size, task.config.image_size, device=task.device)
    labels = torch.zeros(task.config.batch_size, dtype=torch.int64, device=task.device)
    task.freezing.train()
    with FlopCounterMode(display=False) as counter:
        task.loss(task.model(images), labels).backward()
    return float(counter.get_total_flops())


def device_peak(device: torch.device, side: int = 8192, rounds: int = 20) -> float:
    """Floating-point operations a second that the GPU reaches in a large bfloat16 matrix product, which it is quickest at."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    left @ right
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(rounds):
        left @ right
    torch.cuda.synchronize()
    return 2 * side**3 * rounds / (time.perf_counter() - began)
