"""A step that ranks share, beside the same step of one device: threads stand for ranks, and meet in memory."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._C._distributed_c10d import HashStore

from core.config import RunConfig
from core.machine.home import Home
from core.ranks import signs
from core.ranks.group import Group
from core.ranks.memory import may_be_shared
from core.ranks.signs import Signs
from core.training.trainer import Trainer
from core.worker.assembly import assemble

CONFIG = RunConfig(
    dataset="digits", model="small_cnn", image_size=16, batch_size=8, epochs=1, threads=1, device="cpu", class_weights="balanced", feature_cache="off"
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not may_be_shared(), reason="this machine's ranks talk over gloo, which has no threads for ranks"),
]


def step(trainer: Trainer, labels: list[int]) -> tuple[Tensor, dict[str, Tensor], tuple[float, float, float]]:
    """Loss, gradients and sums of the tally of a step with pictures of these labels, in their order."""
    dataset = trainer.train.images
    of_set = dataset.labels[dataset.indices].tolist()
    places = [[place for place, label in enumerate(of_set) if label == wanted][labels[:number].count(wanted)] for number, wanted in enumerate(labels)]
    trainer.freezing.train()
    trainer.partition.begin("train", trainer.train)
    tally = trainer._new_tally()
    loss = trainer._gradients(dataset.__getitems__(places), tally)
    gradients = {name: each.grad.clone() for name, each in trainer.model.named_parameters() if each.grad is not None}
    return loss, gradients, tally.sums()


@pytest.mark.parametrize("labels", [[3] * 4 + [7] * 4, [1, 1, 2, 9]])
def test_a_class_that_only_one_ranks_part_holds_counts_as_on_one_device(labels: list[int], home: Home, tmp_path: Path) -> None:
    """Each class by its weight, of which each rank's part has another sum: loss, gradients, right answers."""
    loss, gradients, sums = step(assemble(CONFIG, home).trainer, labels)
    signs.make(tmp_path, 2)
    store, made = HashStore(), threading.Lock()
    found: list[tuple[Tensor, dict[str, Tensor], tuple[float, float, float]] | None] = [None, None]

    def rank(number: int) -> None:
        mine = Signs(tmp_path, number)
        group = Group(number, 2, store, mine, torch.device("cpu"))
        with made:  # the seed is every thread's
            trainer = assemble(CONFIG.replace(devices=2), home, group=group).trainer
        found[number] = step(trainer, labels)
        mine.close(signs.LEFT)

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        assert each is not None
        torch.testing.assert_close(each[0], loss)
        assert each[1].keys() == gradients.keys()
        for name, expected in gradients.items():
            torch.testing.assert_close(each[1][name], expected, rtol=1e-3, atol=1e-6)
        assert each[2] == pytest.approx(sums)
