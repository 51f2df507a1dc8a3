"""The weights that a run keeps, epoch by epoch."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.store import RunStore, saving
from core.store.checkpoint import checkpoints, listed, load_checkpoint, newest
from core.store.saving import Checkpoints, save_weights
from core.worker.process import work

TINY = RunConfig(dataset="digits", model="tiny: conv 4, relu, pool, global pool", image_size=32, batch_size=128, epochs=3, threads=1)


@pytest.fixture
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch is worth keeping, however quick it was."""
    monkeypatch.setattr(saving, "SHARE", 1e9)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(100, 100), nn.BatchNorm1d(100), nn.Linear(100, 2))


def step(trained: nn.Sequential) -> None:
    with torch.no_grad():
        trained[2].get_parameter("weight").add_(1)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_each_epoch_comes_back_whole_and_what_is_frozen_is_on_disk_once(tmp_path: Path, no_haste: None) -> None:
    trained, keeper = model(), Checkpoints(tmp_path)
    states = []
    for epoch in range(4):
        if epoch == 0:
            keeper.begin(trained)
        else:
            step(trained)
            keeper.epoch(trained, epoch, 10 * epoch)
        keeper.close()
        states.append({name: tensor.clone() for name, tensor in trained.state_dict().items()})
    found = listed(tmp_path)
    assert [(checkpoint.epoch, checkpoint.step) for checkpoint in found] == [(0, 0), (1, 10), (2, 20), (3, 30)]
    assert all(same(load_checkpoint(checkpoint), state) for checkpoint, state in zip(found, states, strict=True))
    sizes = [checkpoint.path.stat().st_size for checkpoint in found]
    assert sizes[0] > 40_000
    assert max(sizes[1:]) < 4_000


def test_what_is_kept_before_training_costs_no_epoch_its_place_and_a_slow_disk_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(state: dict[str, torch.Tensor], path: Path) -> None:
        time.sleep(0.2)
        write(state, path)

    write = saving.save
    monkeypatch.setattr(saving, "save", slowly)
    trained, keeper = model(), Checkpoints(tmp_path)
    keeper.begin(trained)
    keeper.close()
    for epoch in (1, 2):
        step(trained)
        keeper.epoch(trained, epoch, 10 * epoch)
        keeper.close()
    assert [checkpoint.epoch for checkpoint in listed(tmp_path)] == [0, 1], "the first took far more than its share of the time"


def test_what_the_run_ended_with_takes_the_place_of_its_epoch_and_is_not_written_twice(tmp_path: Path, no_haste: None) -> None:
    trained, keeper = model(), Checkpoints(tmp_path)
    keeper.begin(trained)
    keeper.close()
    step(trained)
    keeper.epoch(trained, 1, 10)
    keeper.close()
    step(trained)
    save_weights(trained, tmp_path / "weights.pth")
    keeper.finish(1, 15, tmp_path / "weights.pth")
    first, last = listed(tmp_path)
    assert (last.epoch, last.step, last.final) == (1, 15, True)
    assert last.path.samefile(tmp_path / "weights.pth")
    assert same(load_checkpoint(last), trained.state_dict())
    assert not same(load_checkpoint(first), trained.state_dict())


def test_what_is_frozen_is_written_as_it_lies_in_the_model_and_all_else_from_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, torch.Tensor] = {}
    write = saving.save

    def watched(state: dict[str, torch.Tensor], path: Path) -> None:
        given.update(state)
        write(state, path)

    monkeypatch.setattr(saving, "save", watched)
    trained, keeper = model(), Checkpoints(tmp_path)
    whole = torch.zeros(2, 2)
    trained.append(nn.Linear(2, 1))
    trained[3].weight = nn.Parameter(whole[:1])  # of a larger tensor, all of which would go into the file
    keeper.begin(trained, [trained[0].get_parameter("weight"), trained[1].get_parameter("bias"), trained[3].get_parameter("weight")])
    keeper.close()
    lent = {name for name, tensor in trained.state_dict().items() if tensor.data_ptr() == given[name].data_ptr()}
    assert lent == {"0.weight", "1.bias"}
    (kept,) = listed(tmp_path)
    assert same(load_checkpoint(kept), trained.state_dict())


def test_what_was_frozen_moves_only_once_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, order = threading.Event(), list[str]()
    write = saving.save

    def watched(state: dict[str, torch.Tensor], path: Path) -> None:
        assert begun.wait(60)
        write(state, path)
        order.append("written")

    monkeypatch.setattr(saving, "save", watched)
    trained, keeper = model(), Checkpoints(tmp_path)
    first = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    keeper.begin(trained, trained.parameters())

    def thaw() -> None:
        begun.set()
        keeper.settle()
        order.append("moved")
        step(trained)

    thawing = threading.Thread(target=thaw)
    thawing.start()
    thawing.join()
    assert order == ["written", "moved"]
    (kept,) = listed(tmp_path)
    assert same(load_checkpoint(kept), first)


def test_a_frozen_tensor_that_was_written_to_all_the_same_is_not_kept_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, keeper = model(), Checkpoints(tmp_path)
    write = saving.save

    def moved_meanwhile(state: dict[str, torch.Tensor], path: Path) -> None:
        step(trained)
        write(state, path)

    monkeypatch.setattr(saving, "save", moved_meanwhile)
    keeper.begin(trained, trained.parameters())
    keeper.close()
    assert listed(tmp_path) == ()
    assert "2.weight is frozen, and was written to while it was saved" in capsys.readouterr().err


def test_few_epochs_are_kept_of_a_long_run_and_evenly(tmp_path: Path, no_haste: None) -> None:
    trained, keeper = model(), Checkpoints(tmp_path)
    keeper.begin(trained)
    for epoch in range(1, 61):
        keeper.close()
        keeper.epoch(trained, epoch, epoch)
    keeper.close()
    epochs = [checkpoint.epoch for checkpoint in listed(tmp_path)]
    assert len(epochs) == saving.MOST_CHECKPOINTS
    assert (epochs[0], epochs[-1]) == (0, 60)
    gaps = [later - earlier for earlier, later in pairwise(epochs)]
    assert max(gaps) <= 16


def test_epochs_of_milliseconds_are_not_all_kept(tmp_path: Path) -> None:
    trained, keeper = model(), Checkpoints(tmp_path)
    keeper.begin(trained)
    keeper.close()
    for epoch in range(1, 20):
        keeper.epoch(trained, epoch, epoch)
        keeper.close()
    assert len(listed(tmp_path)) < 5


def test_a_full_disk_ends_the_keeping_and_not_the_run(
    tmp_path: Path, no_haste: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    trained, keeper = model(), Checkpoints(tmp_path)
    keeper.begin(trained)
    keeper.close()
    monkeypatch.setattr(saving, "save", full)
    keeper.epoch(trained, 1, 10)
    keeper.close()
    keeper.epoch(trained, 2, 20)
    keeper.finish(2, 20, tmp_path / "weights.pth")
    assert [checkpoint.epoch for checkpoint in listed(tmp_path)] == [0]
    assert "No space left on device" in capsys.readouterr().err


def test_a_run_keeps_its_epochs_and_one_of_before_has_its_last_weights(tmp_path: Path, no_haste: None, one_thread: None) -> None:
    home = Home.from_environment(str(tmp_path))
    store = RunStore(home.database)
    run_id = store.create_run(TINY)
    assert checkpoints(home, store.run(run_id)) == ()
    assert newest(home, store.run(run_id)) is None
    work(home, run_id)
    run = store.run(run_id)
    found = checkpoints(home, run)
    assert (found[0].epoch, found[0].step) == (0, 0)
    assert (found[-1].epoch, found[-1].final) == (3, True)
    assert newest(home, run) == found[-1]
    assert not same(load_checkpoint(found[0]), load_checkpoint(found[-1]))

    for checkpoint in found:
        checkpoint.path.unlink()
    (old,) = checkpoints(home, run)
    assert (old.epoch, old.path.name) == (3, "weights.pth")
    assert load_checkpoint(old).keys() == torch.load(home.run_folder(run_id) / "weights.pth").keys()


def test_weights_that_are_gone_or_broken_are_said_to_be(tmp_path: Path) -> None:
    keeper = Checkpoints(tmp_path)
    keeper.begin(model())
    keeper.close()
    (kept,) = listed(tmp_path)
    kept.path.write_bytes(b"no weights")
    with pytest.raises(ConfigError, match=r"cannot be read .*; choose another epoch"):
        load_checkpoint(kept)
    kept.path.unlink()
    with pytest.raises(ConfigError, match="not there any more"):
        load_checkpoint(kept)
