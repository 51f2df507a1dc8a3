"""One contestant of the table against peers, in a process of its own: `python -m bench.contestants NAME --config JSON ...`.

All begin with the same weights, see the same batches in the same order and use the same optimizer; its time runs from the first
batch to the end of the last step. What it found is one line of JSON on standard output, whatever else the libraries print goes to
standard error. It runs in the environment of `.ci/environment.py peers`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

# As workers have it, set before torch is imported; the same for every contestant.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

if __name__ == "__main__":
    # What libraries print must not get between the figures.
    FIGURES = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

import psutil
import torch
from torch import Tensor, nn

from bench.task import Clock, Found, Task, begin, device_memory, device_peak, peak_memory, step_flop
from core.config import RunConfig
from core.data import prepare
from core.machine import devices
from core.machine.home import Home
from core.machine.memory import keep_for_next_step
from core.store import RunStore
from core.training.audit import Audit
from core.training.trainer import Report, StepReport
from core.worker.assembly import assemble
from core.worker.recorder import Recorder
from core.worker.worker import Worker


def tutorial(task: Task) -> None:
    """The loop of PyTorch's transfer-learning tutorial: `requires_grad = False` for what is frozen, and `model.train()` for all.

    https://pytorch.org/tutorials/beginner/transfer_learning_tutorial.html
    """
    model, criterion, optimizer, loader = task.model, task.loss, task.optimizer(), task.loader()
    task.clock.start()
    for _ in range(task.config.epochs):
        model.train()
        running_loss, running_corrects = 0.0, torch.tensor(0, device=task.device)
        for inputs, labels in task.batches(loader):
            optimizer.zero_grad()
            with torch.set_grad_enabled(True):
                outputs = model(inputs)
                _, predictions = torch.max(outputs, 1)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
            running_loss += loss.item() * inputs.size(0)
            running_corrects += torch.sum(predictions == labels.data)
        print(f"loss {running_loss / len(task.data):.4f} accuracy {running_corrects.double() / len(task.data):.4f}")  # type: ignore[arg-type]
    task.clock.stop()


def frozen(task: Task) -> None:
    """The shortest loop that does what Thaw does: what is frozen is in eval mode as well. It records nothing."""
    model, criterion, optimizer, loader = task.model, task.loss, task.optimizer(), task.loader()
    task.clock.start()
    for _ in range(task.config.epochs):
        task.freezing.train()
        for images, labels in task.batches(loader):
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    task.clock.stop()


def thaw(config: RunConfig, home: Home, clock: Clock) -> tuple[nn.Module, int]:
    """Thaw's own loop as a worker goes through it, up to the last training step; returns the model and the samples seen.

    Where the images are files the clock runs while they are decoded, too: peers decode within their loops.
    """
    if config.dataset != "digits":
        clock.start()
        prepare(config, home, lambda text, share: None)
        clock.stop()
    decoding = clock.seconds, clock.cpu_seconds
    clock.began = None
    assembly = assemble(config, home)
    trainer = assembly.trainer
    store = RunStore(home.database)
    run_id = store.create_run(config)
    store.begin(run_id, assembly.plan)
    recorder, audit = Recorder(store, run_id, trainer, assembly.doctor()), Audit(trainer.freezing, trainer.optimizer)
    reports, samples = trainer.run(), 0

    def up_to_the_last_step() -> Iterator[Report]:
        nonlocal samples
        for report in reports:
            yield report
            if isinstance(report, StepReport):
                samples += report.samples
                if report.step == assembly.plan.total_steps:
                    return

    trainer.run = up_to_the_last_step  # type: ignore[method-assign]
    worker = Worker(home, store, run_id)
    clock.start()
    worker._train(trainer, recorder, audit)
    recorder.flush()
    clock.stop()
    trainer.partition.close()
    clock.seconds += decoding[0]
    clock.cpu_seconds += decoding[1]
    return trainer.model, samples


def _framework(name: str) -> Callable[[Task], None]:
    def contestant(task: Task) -> None:
        from bench import frameworks

        frameworks.CONTESTANTS[name](task)

    return contestant


CONTESTANTS: dict[str, Callable[[Task], None]] = {
    "tutorial": tutorial,
    "frozen": frozen,
    **{name: _framework(name) for name in ("lightning", "lightning-norms", "accelerate", "fastai")},
}

THAW: dict[str, dict[str, Any]] = {"thaw": {}, "thaw-cached": {}, "thaw-automatic": {"speed": "automatic"}}
"""Thaw's rows, and the fields of the config that make them."""


def compete(name: str, config: RunConfig, home: Home, folder: Path, workers: int, count: bool = False) -> tuple[Found, dict[str, Tensor]]:
    """Let one contestant do its training; returns what it found and its final weights, on the CPU.

    Args:
        home: where decoded images are kept, and what Thaw remembers.
        folder: where the contestant may write.
        workers: processes that decode images for a peer.
        count: find out what a bare loop has to compute, and what the GPU can do.
    """
    if name in THAW:
        keep_for_next_step()  # as its workers do
        config = config.replace(**THAW[name])
        clock = Clock(devices.resolve(config.device))
        model, samples = thaw(config, home, clock)
        device = clock.device
    else:
        given = begin(config, home, folder, workers)
        model, clock, device = given.model, given.clock, given.device
        CONTESTANTS[name](given)
        samples = given.samples
    setup = time.time() - psutil.Process().create_time() - clock.seconds
    # The peak is taken before the weights are copied and anything is counted.
    found = Found(clock.seconds, clock.cpu_seconds, setup, samples, peak_memory(), device_memory(device))
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    if count and name not in THAW and device.type == "cuda":
        found = Found(**{**asdict(found), "flop": step_flop(given) * samples / config.batch_size, "peak": device_peak(device)})
    return found, weights


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.contestants")
    parser.add_argument("name", choices=[*CONTESTANTS, *THAW])
    parser.add_argument("--config", required=True, help="a RunConfig as JSON")
    parser.add_argument("--home", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--weights", required=True, type=Path, help="file for the final weights")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--count", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = RunConfig.from_json(arguments.config)
    home = Home.from_environment(arguments.home)
    found, weights = compete(arguments.name, config, home, arguments.folder, arguments.workers, arguments.count)
    torch.save(weights, arguments.weights)
    print(json.dumps(asdict(found)), file=FIGURES, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
