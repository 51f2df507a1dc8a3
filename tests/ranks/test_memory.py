"""Collectives through memory. Threads stand for ranks: they map the same memory as processes would."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._C._distributed_c10d import HashStore

from core.ranks import collectives, memory, signs
from core.ranks.collectives import Parted
from core.ranks.digests import Compared, compare
from core.ranks.group import Group
from core.ranks.memory import SLOT, InMemory, may_be_shared
from core.ranks.shares import cut
from core.ranks.signs import Signs

pytestmark = pytest.mark.skipif(not may_be_shared(), reason="this machine's ranks talk over gloo")


def together(ranks: int, work: Callable[[InMemory], Any], gone: Callable[[int], bool] = lambda rank: False) -> list[Any]:
    """What `work` gives on each rank, or what it raised there."""
    store, found = HashStore(), [None] * ranks

    def rank(number: int) -> None:
        try:
            found[number] = work(InMemory(number, ranks, store, gone))
        except (Parted, OSError) as error:
            found[number] = error  # type: ignore[call-overload]

    _side_by_side(ranks, rank)
    return found


def _side_by_side(ranks: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("ranks", [1, 3])
def test_what_each_has_is_everybodys(ranks: int) -> None:
    """Tensors of any kind and shape, one that is more than a message holds among them, and words of any length, again and again."""

    def work(mine: InMemory) -> Any:
        found: list[Any] = []
        for _ in range(3):
            found += [
                mine.gather(torch.full((2, 3), float(mine._rank), dtype=torch.float64)),
                mine.gather(torch.tensor([mine._rank])),
                mine.gather(torch.arange(SLOT // 4 + 5, dtype=torch.float32) + mine._rank),
                mine.gather(torch.tensor(float("nan"))),
            ]
            said = b"x" * (2 * SLOT + 3)
            for words in (said, b"", b"{}"):
                heard = words if mine._rank == 0 else mine.hear()
                if mine._rank == 0:
                    mine.tell(words)
                found.append(heard == words)
        return found

    everybody = together(ranks, work)
    numbers = torch.arange(ranks)
    for found in everybody:
        wide, whole, long, nothing, *heard = found[-7:]
        assert torch.equal(wide, numbers.double().view(-1, 1, 1).expand(ranks, 2, 3))
        assert torch.equal(whole, numbers.view(-1, 1))
        assert torch.equal(long, torch.arange(SLOT // 4 + 5).float() + numbers.view(-1, 1))
        assert nothing.shape == (ranks,)
        assert nothing.isnan().all()
        assert heard == [True] * 3


SHAPES: list[list[tuple[int, ...]]] = [[(5,)], [(SLOT // 2,), ()], [(3, 7), (0,), (2, 64, 3, 3), (SLOT, 3), (), (11,)]]
"""Of what is added up: a little; as much as each adds a share of, within one tensor; many tensors, one of them most of it, the last ones single."""


def test_sums_are_added_in_the_order_of_ranks() -> None:
    """The same bits everywhere, whether each rank adds up all of it or a share; what is summed may change, and how it lies in memory is its own."""
    numbers = [[torch.randn(3, *shape) * torch.tensor([1.0, 1e4, 1e-4]).view(3, *[1] * len(shape)) for shape in shapes] for shapes in SHAPES]

    def work(mine: InMemory) -> Any:
        found = []
        for tensors in numbers:
            mine.room([each[0] for each in tensors])
            assert mine.numbers == sum(each[0].numel() for each in tensors)
            for factor in (1.0, 3.0):
                given = [each[mine._rank] * factor for each in tensors]
                given = [each.to(memory_format=torch.channels_last) if each.dim() == 4 else each for each in given]
                mine.give(given)
                mine.sum()
                mine.take()
                found += given
        return found

    everybody = together(3, work)
    expected = [(each[0] * factor + each[1] * factor) + each[2] * factor for tensors in numbers for factor in (1.0, 3.0) for each in tensors]
    for found in everybody:
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("size", [4, SLOT])
def test_what_a_rank_has_not_counts_as_nothing(size: int) -> None:
    """Whoever adds it up, and whether it was there the last time; who has none gets none."""

    def work(mine: InMemory) -> Any:
        mine.room([torch.empty(size)] * 3)
        found = []
        for missing in ((), (1, 2), (0,), (0, 1, 2)):
            given = [None if mine._rank in missing else torch.full((size,), float(place + 1)) for place in range(3)]
            mine.give(given)
            mine.sum()
            mine.take()
            found.append([None if each is None else set(each.tolist()) for each in given])
        return found

    for rank, found in enumerate(together(3, work)):
        for missing, sums in zip(((), (1, 2), (0,), (0, 1, 2)), found, strict=True):
            assert sums == [None if rank in missing else {float((3 - len(missing)) * (place + 1))} for place in range(3)]


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_shares_are_all_of_it_once_and_about_equal(ranks: int) -> None:
    shapes = [(64, 3, 7, 7), (64,), (), (0, 4), (512, 512, 3, 3), (1, 9), (10, 512), (10,)]
    tensors = [torch.zeros(shape) for shape in shapes]
    for pieces in cut(shapes, ranks):
        for piece in pieces:
            piece.of(tensors).add_(1)
    assert all((each == 1).all() for each in tensors)
    sizes = [sum(piece.of(tensors).numel() for piece in pieces) for pieces in cut(shapes, ranks)]
    assert max(sizes) - min(sizes) <= 2 * 512 * 9


def test_who_has_ended_is_named() -> None:
    """In the middle of a sum: the others do not wait for it."""
    over = threading.Event()

    def work(mine: InMemory) -> Any:
        mine.room([torch.empty(SLOT)])
        mine.give([torch.zeros(SLOT)])
        if mine._rank == 1:
            over.set()
            return None
        mine.sum()
        return None

    first, second, third = together(3, work, lambda rank: rank == 1 and over.is_set())
    assert second is None
    assert str(first) == str(third) == "rank 1 has ended"


def test_who_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lives too, after a set time."""
    monkeypatch.setattr(collectives, "LONGEST_WAIT", 0.3)
    late, _ = together(2, lambda mine: mine.gather(torch.zeros(1)) if mine._rank == 0 else None)
    assert isinstance(late, Parted)
    assert str(late) == "rank 1 did not come for 0.3 s"


def test_memory_that_one_cannot_have_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks are told, so that all of them take gloo."""

    def refused(place: str, size: int) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(memory.InMemory, "_opened", staticmethod(refused))
    for error in together(2, lambda mine: mine):
        assert isinstance(error, OSError)
        assert "ranks cannot share memory: [Errno 13] Permission denied" in str(error)


def test_a_rank_that_drifts_is_named_with_its_tensor(tmp_path: Path) -> None:
    """One last bit of one tensor: every rank is told the same."""
    signs.make(tmp_path, 2)
    store, found = HashStore(), [Compared(0, 0, 0)] * 2

    def rank(number: int) -> None:
        mine = Signs(tmp_path, number)
        group = Group(number, 2, store, mine, torch.device("cpu"))
        norm = nn.BatchNorm2d(2)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), norm)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(1.0)
            if norm.running_var is not None:
                norm.running_var[1] += number * 2e-7
        found[number] = compare(group, model, 12)
        group.close()
        mine.close(signs.LEFT)

    _side_by_side(2, rank)
    assert found[0] == found[1]
    assert found[0].sentence == "rank 1 has other values than rank 0 in 1.running_var, of 7 tensors at step 12"
