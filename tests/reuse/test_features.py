"""The table of features: what is wrong, full, shared or damaged in it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.machine.home import Home
from core.networks.model_entries import MODELS
from core.reuse import checks
from core.reuse.features import Column, NoRoom, open_table
from core.reuse.split import Split, fold_norms, split
from core.reuse.way import Way
from tests.reuse.partition_cases import SMALL, Outcome, WithDropout, planned, small_partition, walk
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")


def test_features_that_are_wrong_are_found_out_and_dropped(home: Home) -> None:
    Outcome(home)
    for file in home.features.iterdir():
        content = bytearray(file.read_bytes())
        content[-800_000:] = bytes(800_000)
        file.write_bytes(content)
    spoilt = Outcome(home)
    assert spoilt.reuse.state == "dropped"
    assert "deleted" in spoilt.reuse.reason
    assert len(spoilt.losses) == 3 * 6


def test_frozen_weight_that_somebody_moves_is_found_out(home: Home) -> None:
    model = WithDropout(0.0)
    partition, loader = small_partition(home, model)
    walk(partition, loader)
    with torch.no_grad():
        model.first.weight.add_(1)
    outputs = walk(partition, loader)
    assert partition.tell().state == "dropped"
    expected = [model(partition.normalise(images)) for images, _ in loader.batches(1)]
    assert torch.equal(outputs[-1], expected[-1])


class Disk:
    """Lets some bytes be written, and is full then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self.write = os.pwrite
        monkeypatch.setattr(os, "pwrite", self)

    def __call__(self, file: int, data: Any, place: int) -> int:
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self.write(file, data, place)


def test_disk_that_fills_while_features_grow_loses_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Outcome(home, feature_cache="off")
    Disk(monkeypatch, 100_000)
    kept = Outcome(home)
    assert kept.reuse.state == "dropped"
    assert "No space left" in kept.reuse.reason
    assert kept.equals(plain)
    assert not list(home.features.glob("*"))


def test_full_disk_leaves_memory(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    kept = Outcome(home)
    assert (kept.reuse.state, kept.reuse.place) == ("serving", "memory")
    assert not list(home.features.glob("*"))
    assert kept.equals(Outcome(home, feature_cache="off"))


def test_features_over_the_budget_are_not_kept_and_the_reason_says_what_to_do(home: Home) -> None:
    reuse = Outcome(home, feature_cache_gigabytes=0.0001).reuse
    assert reuse.state == "off"
    remedy = re.search(r"more than the 100 kB allowed; raise feature_cache_gigabytes to ([\d.]+), or set feature_cache to off", reuse.reason)
    assert remedy is not None, reuse.reason
    assert Outcome(home, feature_cache_gigabytes=float(remedy[1])).reuse.state == "serving"


@pytest.mark.parametrize(("stored", "budget", "offered"), [("float32", 250_000, True), ("float32", 150_000, False), ("float16", 150_000, False)])
def test_half_the_room_is_offered_where_it_would_be_enough(home: Home, stored: str, budget: int, offered: bool) -> None:
    with pytest.raises(NoRoom) as refused:
        open_table(home.features, "full", [Column((1000,), (0, 1), stored, "float32")], 100, 100, budget)
    assert ("set feature_cache to float16" in str(refused.value)) == offered


def test_tables_that_were_not_used_for_longest_make_room(home: Home) -> None:
    columns = [Column((1000,), (0, 1), "float32", "float32")]
    for name in ("old", "new"):
        table = open_table(home.features, name, columns, 100, 100, 10**6)
        table.write(torch.arange(100), [torch.rand(100, 1000)])
        table.settle(wait=True)
        os.utime(home.features / f"{name}.features", (name == "new", name == "new"))
    open_table(home.features, "third", columns, 100, 100, 10**6)
    assert sorted(file.stem for file in home.features.iterdir()) == ["new", "third"]


def test_two_runs_that_build_the_same_table_help_each_other(home: Home) -> None:
    columns = [Column((3,), (0, 1), "float32", "float32")]
    rows = torch.rand(10, 3)
    left, right = (open_table(home.features, "same", columns, 10, 10, 10**6) for _ in range(2))
    left.write(torch.arange(6), [rows[:6]])
    right.write(torch.arange(4, 10), [rows[4:]])
    left.settle(wait=True)
    right.settle(wait=True)
    third = open_table(home.features, "same", columns, 10, 10, 10**6)
    assert third.found
    assert third.has(torch.arange(10))
    assert torch.equal(third.read(torch.arange(10))[0], rows)


def test_two_processes_build_the_same_table_at_the_same_time(home: Home) -> None:
    command = [sys.executable, "-m", "core", "train", "--home", str(home.path), "--json"]
    flags = [text for name, value in SMALL.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    both = [subprocess.Popen([*command, *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert Outcome(home).reuse.found


def test_row_counts_only_when_its_mark_has_reached_the_disk(home: Home) -> None:
    columns = [Column((3,), (0, 1), "float32", "float32")]
    open_table(home.features, "killed", columns, 4, 4, 10**6).write(torch.arange(4), [torch.rand(4, 3)])
    assert not open_table(home.features, "killed", columns, 4, 4, 10**6).found


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_keep_bits_and_layout(layout: torch.memory_format, home: Home) -> None:
    features_of_three = torch.randn(3, 4, 5, 6).to(memory_format=layout)
    features_of_three[1, 2, 3, 4] = float("nan")
    features_of_three[0, 0, 0, 0] = -0.0
    column = Column.of(features_of_three, half=False)
    table = open_table(home.features, "rows", [column], 8, 3, 10**6)
    table.write(torch.tensor([7, 0, 3]), [features_of_three])
    (again,) = table.read(torch.tensor([3, 7]))
    assert again.stride()[1:] == features_of_three.stride()[1:]
    assert torch.equal(again.view(torch.int32), features_of_three[[2, 0]].view(torch.int32))


def test_nan_in_a_feature_is_kept_as_it_is(home: Home) -> None:
    model = WithDropout(0.0)
    with torch.no_grad():
        model.first.weight[0, 0, 0, 0] = float("nan")
    partition, loader = small_partition(home, model)
    first, second = walk(partition, loader), walk(partition, loader)
    assert first[0].isnan().any()
    assert partition.tell().state == "serving"
    assert partition.tell().checked > 0
    assert all(torch.equal(left.isnan(), right.isnan()) for left, right in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("augmentation", "state"), [("none", "serving"), ("flip", "serving"), ("shift", "off"), ("crop and flip", "off"), ("shift and flip", "off")]
)
def test_random_changes_leave_something_to_keep_only_where_pictures_come_again(augmentation: str, state: str, home: Home) -> None:
    outcome = Outcome(home, augmentation=augmentation, epochs=12 if augmentation == "flip" else 1, batch_size=512, image_size=8)
    reuse = outcome.reuse
    assert reuse.state == state or (augmentation == "flip" and reuse.kept > 0.9 * reuse.pictures)
    assert reuse.pictures == {"none": 1150, "flip": 2300}.get(augmentation, 0)
    if state == "off":
        assert "fixed_views" in reuse.reason


def test_fixed_views_come_in_turn_and_can_be_kept(home: Home) -> None:
    fields: dict[str, Any] = {"augmentation": "shift and flip", "fixed_views": 2, "epochs": 5}
    plain, kept = Outcome(home, **fields, feature_cache="off"), Outcome(home, **fields)
    assert kept.equals(plain)
    assert (kept.reuse.state, kept.reuse.pictures) == ("serving", 2300)
    loader = kept.trainer.train

    def sorted_images(epoch: int) -> Tensor:
        batches = list(loader.batches(epoch))
        order = torch.cat([batch.pictures for batch in batches if batch.pictures is not None]).remainder(len(loader.images.images)).argsort()
        return torch.cat([batch.images for batch in batches])[order]

    assert torch.equal(sorted_images(1), sorted_images(3))
    assert not torch.equal(sorted_images(1), sorted_images(2))


# What is not exact says so


def test_features_rounded_to_float16_take_half_the_room_and_are_used_from_the_first_step_on(home: Home) -> None:
    exact, half = Outcome(home), Outcome(home, feature_cache="float16")
    assert half.reuse.picture_bytes * 2 == exact.reuse.picture_bytes
    assert not half.reuse.exact
    assert half.reuse.checked > 0
    assert half.losses != exact.losses
    assert half.losses == pytest.approx(exact.losses, rel=1e-2)
    assert Outcome(home, feature_cache="float16").losses == half.losses


def test_folded_norms_give_the_same_but_for_rounding() -> None:
    model = planned("resnet18", "head only", 32)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    prefix = split(model, torch.rand(3, 3, 32, 32)).prefix
    folded = fold_norms(prefix)
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        (expected,), (given,) = prefix(images), folded(images)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(given, expected, rtol=1e-3, atol=1e-4)
    assert not torch.equal(given, expected)
    assert model.training


# The catalogue


@pytest.mark.all_models
@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_can_be_cut_before_its_head(name: str) -> None:
    entry = MODELS[name]
    if entry.parameters > 1e8:
        pytest.skip("over 100 million parameters: too much memory")
    size = -(-max(entry.smallest, 32) // entry.multiple) * entry.multiple
    found: Split = split(planned(name, "head only", size, training=False), torch.rand(3, 3, size, size))
    assert found.layers >= found.all_layers - len(entry.family.head)


def test_sizes_of_batches_that_gave_the_same_rows_are_known_to_the_next_run(home: Home) -> None:
    columns = [Column((3,), (0, 1), "float32", "float32")]
    table = open_table(home.features, "sizes", columns, 10, 10, 10**6)
    assert table.sizes == set()
    table.sizes |= {7, 4095, 5000}
    table.settle(wait=True)
    assert open_table(home.features, "sizes", columns, 10, 10, 10**6).sizes == {7, 4095}, "one bit a size, up to 4095"
    table.sizes.add(9)  # and no row is new
    table.settle(wait=True)
    assert open_table(home.features, "sizes", columns, 10, 10, 10**6).sizes == {7, 9, 4095}
    table.delete()
    assert table.sizes == set()


def test_a_second_run_computes_a_last_smaller_batch_no_more_than_others(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Outcome(home, few=450)  # a last batch of 50
    computed: list[int] = []
    before = Way.compute
    monkeypatch.setattr(Way, "compute", lambda self, images: computed.append(len(images)) or before(self, images))  # type: ignore[func-returns-value]
    second = Outcome(home, few=450)
    assert 50 not in computed or 200 not in computed, "one whole batch is compared, whichever comes first"
    assert second.equals(first)


def test_a_mark_is_written_only_once_its_row_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = open_table(tmp_path, "ordered", [Column((4,), (0, 1), "float32", "float32")], 8, 8, 10**6)
    seen: list[str] = []
    fsync, pwrite = os.fsync, os.pwrite

    def noted_fsync(file: int) -> None:
        seen.append("on the disk")
        fsync(file)

    def noted_pwrite(file: int, data: bytes, place: int) -> int:
        seen.append("written")
        return pwrite(file, data, place)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "pwrite", noted_pwrite)
    table.write(torch.tensor([2]), [torch.ones(1, 4)])
    table.settle(wait=True)
    assert seen == ["written", "on the disk", "written", "on the disk"], "the row, then its mark"


def test_a_table_that_was_proved_is_checked_by_few_pictures_at_the_beginning_of_the_next_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECK_SHARE", 0)  # a whole batch once more is never cheap enough
    model = WithDropout(0.0)
    first, loader = small_partition(home, model)
    expected = [walk(first, loader) for _ in range(2)]
    assert first.tell().checked == 16 + checks.CHECKED_PICTURES
    first.close()
    second, loader = small_partition(home, model)
    given = walk(second, loader)
    assert (second.tell().found, second.tell().checked) == (True, checks.CHECKED_PICTURES)
    assert all(torch.equal(left, right) for left, right in zip(given, expected[0], strict=True))


class ByFours(WithDropout):
    """Fewer than four pictures come out a little otherwise, as where kernels are chosen by the size of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + (x.shape[0] < 4))


def test_where_two_pictures_alone_are_otherwise_the_fewest_that_are_not_are_compared(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECK_SHARE", 0)  # a whole batch once more is never cheap enough
    model = ByFours(0.0)
    first, loader = small_partition(home, model)
    expected = [walk(first, loader) for _ in range(2)]
    assert first.tell().checked == 16 + 2 + 4
    first.close()
    second, loader = small_partition(home, model)
    given = walk(second, loader)
    assert second.tell().checked == 4
    second.begin("validation", loader)
    given_there = [second.forward(batch) for batch in loader.batches(1)]
    assert (second.tell().found, second.tell().checked) == (True, 4), "proved by the pass before, of the same prefix"
    assert all(torch.equal(left, right) for left, right in zip([*given, *given_there], [*expected[0], *expected[0]], strict=True))


def test_whole_batches_stand_for_themselves_where_no_fewer_pictures_do() -> None:
    assert [checks._counts(size) for size in (1, 8, 31, 32)] == [(2,), (2, 4), (2, 4, 8), (2, 4, 8, 16)]
