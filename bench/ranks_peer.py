"""Lightning's DistributedDataParallel on the work of `bench.ranks`: `python -m bench.ranks_peer PLAN --home FOLDER`.

What the first process found, seconds of a step and the bytes that each process sends in it, is one line of JSON on standard output.

As Lightning's documentation has it: one process is started, which starts the others by itself. Both have the weights, the pictures and the
optimizer of the other contestants, their half of the same batches, and log the norm of every gradient at every step, with Lightning's own
`grad_norm`. Runs in the environment of `.ci/environment.py peers`; whatever Lightning prints goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", GLOO_SOCKET_IFNAME="lo")

if __name__ == "__main__":
    FIGURES = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

import torch
from torch.utils.data import DataLoader

from bench.frameworks import lightning_module
from bench.ranks import RANKS, STEPS, WARM, WORK
from bench.table import median
from bench.task import Order, Task, begin
from core.machine.home import Home
from core.model.freezing import trainable


class Halves(Order):
    """A rank's half of each batch that `Order` draws."""

    def __init__(self, samples: int, rank: int) -> None:
        super().__init__(samples, WORK)
        self._rank = rank

    def __iter__(self) -> Iterator[list[int]]:
        for indices in super().__iter__():
            half = len(indices) // RANKS
            yield indices[self._rank * half : (self._rank + 1) * half]


def train(task: Task) -> list[float]:
    """Seconds of each step of this process, the first ones included."""
    import lightning  # type: ignore[import-not-found]

    ended = []

    class Halved(lightning_module(task, norms=True)):  # type: ignore[misc]
        def train_dataloader(self) -> DataLoader[Any]:
            halves = Halves(len(task.data), self.trainer.global_rank)  # type: ignore[arg-type]
            return DataLoader(task.data, batch_sampler=halves, collate_fn=lambda batch: batch)

        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            ended.append(time.perf_counter())

        def on_train_batch_end(self, *_: Any) -> None:
            ended.append(time.perf_counter())

    trainer = lightning.Trainer(
        max_steps=STEPS + WARM,
        accelerator="cpu",
        devices=RANKS,
        strategy="ddp",
        use_distributed_sampler=False,  # the halves are made above
        log_every_n_steps=1,
        default_root_dir=task.folder,
    )
    trainer.fit(Halved())
    return [after - before for before, after in pairwise(ended)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ranks_peer")
    parser.add_argument("plan")
    parser.add_argument("--home", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        task = begin(WORK.replace(freeze=arguments.plan), Home.from_environment(arguments.home), Path(folder), 0)
        taken = train(task)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        found = {"seconds": median(taken[WARM:]), "bytes": 4 * sum(each.numel() for each in trainable(task.model))}
        print(json.dumps(found), file=FIGURES, flush=True)


if __name__ == "__main__":
    main()
