"""Cuts that an earlier run has proved: used only where nothing is another, and never to other bits."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.machine import kept_files
from core.machine.home import Home
from core.reuse import cuts as cutting
from core.reuse import proofs
from core.reuse.cuts import Cuts
from tests.reuse.partition_cases import Outcome, WithDropout, planned

pytestmark = pytest.mark.usefixtures("one_thread")


class Tries:
    """How often a model was tried out, by `split` and by `check`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("split", "check"):
            monkeypatch.setattr(cutting, name, partial(self._counted, getattr(cutting, name)))

    def _counted(self, what: object, *given: object) -> object:
        assert callable(what)
        self.count += 1
        return what(*given)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Tries:
    return Tries(monkeypatch)


def probe() -> Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def cuts(folder: Path | None, model: nn.Module, about: str = "") -> Cuts:
    return Cuts(model, probe, folder, lambda: about)


def both_modes(made: Cuts) -> list[str]:
    """The programs of both halves in train and in eval mode."""
    found = []
    for training in (True, False):
        made.model.train(training)
        if training:
            for module in made.model.modules():
                module.train(not isinstance(module, nn.BatchNorm2d))
        found += [made.cut().prefix.code, made.cut().suffix.code]
    return found


# Runs are the same with and without


@pytest.mark.parametrize("fields", [{}, {"freeze": "*, !stage3, !head", "few": 250}], ids=str)
def test_a_later_run_need_not_try_the_model_and_is_the_same_to_the_bit(fields: dict[str, object], home: Home, tries: Tries) -> None:
    plain = Outcome(home, **fields, feature_cache="off")  # type: ignore[arg-type]
    first = Outcome(home, **fields)  # type: ignore[arg-type]
    assert (tries.count, first.reuse.proved) == (2, False), "once for training, once for evaluation"
    second = Outcome(home, **fields)  # type: ignore[arg-type]
    assert (tries.count, second.reuse.proved) == (2, True)
    assert second.reuse.checked > 0, "kept features are compared all the same"
    assert second.equals(first)
    assert second.equals(plain)


def test_each_plan_of_a_run_has_a_proof_of_its_own(home: Home, tries: Tries) -> None:
    first = Outcome(home, (4, "!stage3"), freeze="head only", epochs=2)
    made = tries.count
    second = Outcome(home, (4, "!stage3"), freeze="head only", epochs=2)
    assert tries.count == made
    assert {told.border for told in second.told} == {told.border for told in first.told}
    assert second.equals(first)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "googlenet", "efficientnet_b0"])
def test_a_proved_cut_is_the_one_that_was_tried(name: str, tmp_path: Path, tries: Tries) -> None:
    tried = both_modes(cuts(tmp_path, planned(name, "head only", 32)))
    before = tries.count
    assert before >= 2
    again = cuts(tmp_path, planned(name, "head only", 32))
    assert both_modes(again) == tried
    assert tries.count == before
    assert again.cut().known is None, "nothing was computed"
    assert [tensor.shape[0] for tensor in again.cut().example] == [2] * len(again.cut().border)


# What is another is tried


def frozen_bit(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.no_grad():
        model.get_parameter("layer1.0.conv1.weight").view(torch.int32).view(-1)[0] ^= 1


def buffer(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    model.get_buffer("bn1.running_mean")[0] += 1


def learning(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    model.get_parameter("layer4.1.conv2.weight").requires_grad_(True)


def setting(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    model.get_submodule("bn1").eps = 1e-4  # type: ignore[assignment]


def kernel(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)


def code(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "_CODE", "of a later Thaw")


def library(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "99.0")


def hook(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    model.get_submodule("layer1").register_forward_hook(lambda layer, given, result: result)


def own_forward(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    relu = model.get_submodule("relu")
    relu.forward = relu.forward


def nothing(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all the others differ from."""


OTHERS = [frozen_bit, buffer, learning, setting, kernel, code, library, hook, own_forward]


@pytest.mark.parametrize("change", [nothing, *OTHERS], ids=lambda change: change.__name__)
def test_a_proof_of_something_else_is_not_used(change: object, tmp_path: Path, tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts(tmp_path, planned("resnet18", "head only", 32)).cut()
    model = planned("resnet18", "head only", 32)
    assert callable(change)
    change(model, monkeypatch)
    found = cuts(tmp_path, model).cut()
    assert (tries.count, found.proved) == ((1, True) if change is nothing else (2, False))


def test_threads_sizes_number_formats_and_the_machine_are_part_of_a_proof(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Outcome(home).trainer
    partition = trainer.partition
    said = {partition._about_cuts()}
    for changed in ({"most": 7}, {"about": "bfloat16"}, {"image_size": 8}):
        with monkeypatch.context() as patched:
            for name, value in changed.items():
                patched.setattr(partition, name, value)
            said.add(partition._about_cuts())
    with monkeypatch.context() as patched:
        patched.setattr(partition.threads, "base", 3)
        said.add(partition._about_cuts())
    with monkeypatch.context() as patched:
        patched.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX1024")
        said.add(partition._about_cuts())
    assert len(said) == 6


def test_a_module_of_somebody_else_has_no_proof(tmp_path: Path, tries: Tries) -> None:
    for _ in range(2):
        assert not cuts(tmp_path, WithDropout(0.0)).cut().proved
    assert tries.count == 2
    assert not list(tmp_path.iterdir())


def test_a_trace_of_other_steps_makes_a_proof_void(tmp_path: Path, tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts(tmp_path, planned("resnet18", "head only", 32)).cut()
    monkeypatch.setattr(type(planned("resnet18", "head only", 32)), "forward", lambda self, x: self.fc(self.conv1(x).mean((2, 3)).repeat(1, 8)))
    assert cuts(tmp_path, planned("resnet18", "head only", 32)).cut().border == ("conv1",)
    assert tries.count == 2


# What lies there


@pytest.mark.parametrize("what", ["cut short", "another byte", "nothing", "no proof", "foreign", "steps that are not there", "a folder"])
def test_a_file_that_does_not_count_is_written_anew(what: str, tmp_path: Path, tries: Tries) -> None:
    model = planned("small_cnn", "head only", 16)
    cuts(tmp_path, model).cut()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    body = whole.partition(b"\n")[2]
    other = {"steps that are not there": body.replace(b'"pool"', b'"no_such"'), "no proof": b'{"by_chance": 1}'}.get(what, b"")
    if what == "a folder":
        file.unlink()
        file.mkdir()
    else:
        spoilt = {"cut short": whole[:-9], "another byte": whole.replace(b"2", b"3"), "nothing": b"", "foreign": b"\x80\x04hello\n\xff"}
        file.write_bytes(spoilt.get(what) or (hashlib.sha256(other).hexdigest().encode() + b"\n" + other if other else b""))
    assert not cuts(tmp_path, model).cut().proved
    assert tries.count == 2
    if what != "a folder":
        assert file.read_bytes() == whole


def test_a_disk_that_takes_nothing_and_no_folder_cost_only_the_proof(tmp_path: Path, tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **named: object) -> object:
        raise OSError("no space left")

    monkeypatch.setattr(kept_files, "written_whole", full)
    model = planned("small_cnn", "head only", 16)
    for folder in (tmp_path, None):
        assert cuts(folder, model).cut().border


def test_those_used_longest_ago_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "MOST", 2)
    model = planned("small_cnn", "head only", 16)
    for number, about in enumerate(("first", "second")):
        cuts(tmp_path, model, about).cut()
        for file in tmp_path.iterdir():
            if number == 0 or file.stat().st_mtime > 10**6:
                os.utime(file, (number, number))
    assert cuts(tmp_path, model, "first").cut().proved
    cuts(tmp_path, model, "third").cut()
    assert [cuts(tmp_path, model, about).cut().proved for about in ("first", "third")] == [True, True]
    assert len(list(tmp_path.iterdir())) == 2


def test_proofs_go_with_features_that_were_wrong(home: Home) -> None:
    Outcome(home)
    folder = home.cache / "proofs"
    assert len(list(folder.iterdir())) == 2
    for file in home.features.iterdir():
        content = bytearray(file.read_bytes())
        content[-800_000:] = bytes(800_000)
        file.write_bytes(content)
    assert Outcome(home).reuse.state == "dropped"
    assert not list(folder.iterdir())
