"""What ranks do together, without a second process: threads stand for ranks, or a group has one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore

from core.data.loader import Batch
from core.ranks import signs
from core.ranks.collectives import Parted
from core.ranks.digests import Compared, compare
from core.ranks.group import Group
from core.ranks.norms import WholeBatch
from core.ranks.signs import Sign, Signs


@pytest.fixture(params=["in memory", "over gloo"])
def group(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    """One of a single rank."""
    if request.param == "over gloo":
        monkeypatch.setattr("core.ranks.group.may_be_shared", lambda: False)
    signs.make(tmp_path, 1)
    mine = Signs(tmp_path, 0)
    made = Group(0, 1, HashStore(), mine, torch.device("cpu"))
    yield made
    made.close()
    mine.close(signs.LEFT)


def side_by_side(ranks: int, work: Callable[[int, Callable[[Tensor], Tensor]], Any]) -> list[Any]:
    """What `work(rank, gather)` gives in a thread for each rank."""
    barrier, given, found = threading.Barrier(ranks, timeout=60), [torch.empty(0)] * ranks, [None] * ranks

    def rank(number: int) -> None:
        def gather(tensor: Tensor) -> Tensor:
            given[number] = tensor.clone()
            barrier.wait()
            everybody = torch.stack(given)
            barrier.wait()
            return everybody

        found[number] = work(number, gather)

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize(
    ("shape", "kind"), [((8, 3, 4, 5), nn.BatchNorm2d), ((8, 3, 2, 3), nn.BatchNorm2d), ((8, 3, 9, 8), nn.BatchNorm2d), ((8, 3), nn.BatchNorm1d)]
)
@pytest.mark.parametrize("sizes", [(4, 4), (5, 2, 1)])
def test_batch_norm_over_ranks_is_batch_norm_over_the_whole_batch(
    shape: tuple[int, ...], kind: type[nn.BatchNorm1d | nn.BatchNorm2d], sizes: tuple[int, ...]
) -> None:
    """Outputs, gradients of inputs, weight and bias, running statistics: for parts of any size, a single picture too.

    The numbers lie far from 0, where a sum of squares would cancel.
    """
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2 + 100
    slope = torch.randn(shape, generator=torch.Generator().manual_seed(1))

    def layer() -> nn.Module:
        made = kind(3)
        made.load_state_dict({**made.state_dict(), "weight": torch.tensor([0.5, 1.0, 2.0]), "bias": torch.tensor([0.1, 0.2, 0.3])})
        return made

    def work(rank: int, gather: Callable[[Tensor], Tensor]) -> Any:
        place = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        mine, part = layer(), inputs[place].clone().requires_grad_()
        with WholeBatch(mine, gather).on():
            output = mine(part)
            (output * slope[place]).sum().backward()
        return output.detach(), part.grad, mine

    whole, given = layer(), inputs.clone().requires_grad_()
    expected = whole(given)
    (expected * slope).sum().backward()
    found = side_by_side(len(sizes), work)
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)
    close(torch.cat([output for output, _, _ in found]), expected.detach())
    close(torch.cat([gradient for _, gradient, _ in found]), given.grad)
    for name in ("weight", "bias"):
        close(sum(getattr(mine, name).grad for _, _, mine in found), getattr(whole, name).grad)
    for _, _, mine in found:
        for name, buffer in whole.named_buffers():
            close(dict(mine.named_buffers())[name], buffer)


def test_batch_norm_is_left_alone_elsewhere() -> None:
    """Outside of a step, and where it is frozen, nobody is asked."""
    layer = nn.BatchNorm1d(2)

    def never(tensor: Tensor) -> Tensor:
        raise AssertionError

    together = WholeBatch(layer, never)
    layer(torch.randn(4, 2))
    layer.eval()
    with together.on():
        layer(torch.randn(4, 2))
    assert type(layer) is nn.BatchNorm1d


def batch(size: int) -> Batch:
    """One of so many pictures, that reads no more than it is asked for."""
    return Batch(torch.arange(size), None, lambda: torch.arange(size), lambda place: torch.arange(size)[place])


@pytest.mark.parametrize(("size", "parts"), [(8, [4, 4]), (7, [4, 3]), (2, [1, 1]), (1, [1, 1])])
def test_each_rank_takes_its_part(group: Group, size: int, parts: list[int]) -> None:
    """All pictures once, as evenly as can be; one picture for two ranks is everybody's."""
    group.ranks = 2
    taken = []
    for group.rank in range(2):
        taken.append(group.part(batch(size)))
    group.rank, group.ranks = 0, 1
    assert [len(each) for each in taken] == parts
    seen = torch.cat([each.images for each in taken]).tolist()
    assert seen == ([0, 0] if size == 1 else list(range(size)))
    assert [each.labels.tolist() for each in taken] == [each.images.tolist() for each in taken]


def test_pictures_of_everybody_meet_the_same_chance(group: Group) -> None:
    """Else a layer that is left out by chance before BatchNorm would have its statistics part from rank to rank."""
    group.ranks = 3
    chances = []
    for group.rank in range(3):
        chances.append((group.chance(batch(3)), group.chance(batch(2))))
    group.rank, group.ranks = 0, 1
    assert chances == [(0, 0), (1, 0), (2, 0)]


def test_only_what_has_a_gradient_gets_one(group: Group) -> None:
    """Auxiliary heads of googlenet and inception have none in some runs: they stay without, so that no optimizer moves them."""
    learning = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    group.follow(learning)
    learning[0].grad = torch.tensor([1.0, 2.0])
    summed = group.sum(torch.tensor(3.0), torch.tensor(5), 0.5)
    assert learning[0].grad.tolist() == [0.5, 1.0]
    assert learning[1].grad is None
    assert (float(summed.loss), int(summed.right), summed.meet) == (3.0, 5, False)
    assert group.step_bytes == 4 * (5 + 3)
    group.wants_to_meet = lambda: True
    assert group.sum(torch.tensor(float("nan")), torch.tensor(0)).meet


def test_words_and_digests(group: Group) -> None:
    """What is told is JSON of any letters; equal models are equal."""
    assert group.gather_words({"é<b>": [1, None]}) == [{"é<b>": [1, None]}]
    group.say("there", "ü")
    assert group.said("there")
    assert group.mark("there") == "ü"
    assert not group.wait_for("never", else_over="there")
    assert compare(group, nn.BatchNorm1d(2), 7) == Compared(7, 5, 1)


def test_what_a_comparison_says() -> None:
    """Who drifted is named, with the tensor."""
    assert Compared(900, 62, 2).sentence == "62 tensors equal on 2 ranks at step 900"
    drifted = Compared(900, 62, 3, ((1, "fc.weight"), (2, "fc.weight"), (2, "fc.bias")))
    assert drifted.sentence == (
        "rank 1 has other values than rank 0 in fc.weight; rank 2 has other values than rank 0 in fc.weight and 1 more, of 62 tensors at step 900"
    )


def test_a_failure_of_the_group_is_nobodys_own(group: Group) -> None:
    """It passes by whoever saves and reports failures of a run."""
    with pytest.raises(Parted), group.together():
        raise RuntimeError("connection closed by peer")
    assert not issubclass(Parted, Exception)


def test_signs_of_life(tmp_path: Path) -> None:
    """Written and read, and nothing where nothing is; a file that is cut off says nothing."""
    assert signs.read(tmp_path) == ()
    path = signs.make(tmp_path, 2)
    assert [row.pid for row in signs.read(tmp_path)] == [0, 0]
    mine = Signs(tmp_path, 1)
    mine.phase(signs.TRAINING)
    mine.stepped(4, 0.5)
    row = signs.read(tmp_path)[1]
    assert (row.step, row.step_seconds, row.phase, row.memory > 0, time.time() - row.alive < 60) == (4, 0.5, "training", True, True)
    mine.close(signs.LEFT)
    path.write_bytes(path.read_bytes()[:-3])
    assert signs.read(tmp_path) == ()


def test_who_is_waited_for() -> None:
    """The one that waits least, where the others wait for a good part of a step."""
    row = Sign(0, 1, 0.0, 9, 0.1, 0.05, 0, "training", 0, 0, 0)
    slow = replace(row, rank=1, waiting_seconds=0.01)
    assert signs.slowest([row, slow]) == "Rank 1 is the slowest: others wait 40 ms of each step of 100 ms for it"
    assert signs.slowest([row, replace(slow, waiting_seconds=0.045)]) == ""
    assert signs.slowest([row, replace(slow, step_seconds=0.0)]) == ""
    assert signs.slowest([row]) == ""
