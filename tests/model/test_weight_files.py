"""Checkpoints as other people's training scripts write them: what is found in them, what is said of it, and what is refused with which words."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.catalog.check import check
from core.config import ConfigError, RunConfig
from core.model import pickle_scan, weights
from core.model.likeness import looks_like
from core.networks import models

State = dict[str, Tensor]


def small(seed: int = 0, classes: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return models.build("small_cnn", classes, 16)


STATE: State = dict(small(1).state_dict())
BODY = {name: tensor for name, tensor in STATE.items() if not name.startswith("head.")}
OTHER: State = dict(small(5).state_dict())


def before(prefix: str, state: State = STATE) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def taken(path: Path, seed: int = 2) -> tuple[State, str]:
    """What a model has after the file was loaded into it, and what was said."""
    model = small(seed)
    (said,) = weights.load(model, RunConfig(model="small_cnn", image_size=16, starting_weights=str(path)))
    return model.state_dict(), said


def refusal(path: Path, model: str = "small_cnn") -> str:
    built = models.build(model, 4, 32)
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    with pytest.raises(ConfigError) as refused:
        weights.load(built, RunConfig(model=model, image_size=32, starting_weights=str(path)))
    assert refused.value.field == "starting_weights"
    assert all(torch.equal(tensor, before[name]) for name, tensor in built.state_dict().items())
    return refused.value.message


def saved(content: object, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def assert_same(state: State, expected: State = STATE) -> None:
    assert [name for name in expected if not torch.equal(state[name], expected[name])] == []


# Names of files


@pytest.mark.parametrize("name", ["best.pth.tar", "last.ckpt", "pytorch_model.bin", "net.pkl", "a.model", "b.weights", "c.th", "plain", "v1.0"])
@pytest.mark.parametrize("how", ["zip", "legacy", "safetensors"])
def test_what_a_file_is_is_read_off_what_it_holds(tmp_path: Path, name: str, how: str) -> None:
    path = tmp_path / name
    if how == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=how == "zip")
    assert check(RunConfig(model="small_cnn", starting_weights=str(path))).starting_weights == str(path)
    state, said = taken(path)
    assert_same(state)
    kinds = {"zip": "a file of torch.save. ", "legacy": "a file of torch.save from before PyTorch 1.6. ", "safetensors": "a safetensors file. "}
    assert said == f"Starting weights: {name} is {kinds[how]}20 of the model's 20 tensors were taken from it."


def test_a_file_that_is_called_like_another_kind_is_read_all_the_same(tmp_path: Path) -> None:
    assert_same(taken(saved(STATE, tmp_path / "mine.safetensors"))[0])
    save_file(STATE, tmp_path / "mine.pth")
    assert_same(taken(tmp_path / "mine.pth")[0])


def test_a_file_or_folder_that_is_called_as_a_choice_is_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random").mkdir()
    assert check(RunConfig(model="small_cnn", starting_weights="random")).starting_weights == "random"


# Prefixes and containers

PREFIXES = (
    "module.", "model.", "backbone.", "encoder.", "net.", "_orig_mod.", "student.", "module.backbone.", "module._orig_mod.model.", "a.b.c.d.e.",
    "weird name/", "my_", "stage1.",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
def test_whatever_stands_before_all_names_is_found(tmp_path: Path, prefix: str) -> None:
    state, said = taken(saved(before(prefix), tmp_path / "mine.pth"))
    assert_same(state)
    assert f"under names that begin with {prefix!r}" in said


CONTAINERS: tuple[Callable[[Any], Any], ...] = (
    *(lambda state, key=key: {key: state, "epoch": 3} for key in ("state_dict", "model", "net", "model_state", "ema", "params", "anything at all")),  # type: ignore[misc]
    lambda state: {"checkpoint": {"inner": {"state_dict": state}}, "step": torch.tensor(3)},
    lambda state: [3, state, {"lr": 0.1}],
    lambda state: {"fold": (1, {"weights": state})},
    lambda state: {"state_dict": state, "model": state},
    lambda state: collections.OrderedDict(model=collections.OrderedDict(state)),
    lambda state: collections.defaultdict(dict, {"model": state}),
    lambda state: types.SimpleNamespace(weights=state),
    lambda state: collections.deque([state], 3),
    lambda state: {"model": {part: {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(part)} for part in
        ("stage1", "stage2", "stage3", "head")}},
)  # fmt: skip


@pytest.mark.parametrize("wrap", CONTAINERS, ids=range(len(CONTAINERS)))
def test_whatever_the_weights_lie_in_is_found(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    assert_same(taken(saved(wrap(STATE), tmp_path / "mine.pth"))[0])


@pytest.mark.parametrize("wrap", CONTAINERS[:11], ids=range(11))
@pytest.mark.parametrize("prefix", ["module.", "encoder.body."])
def test_containers_and_prefixes_are_found_together(tmp_path: Path, wrap: Callable[[Any], Any], prefix: str) -> None:
    assert_same(taken(saved(wrap(before(prefix)), tmp_path / "mine.pth"))[0])


def test_parts_that_are_numbered_are_found_by_their_places(tmp_path: Path) -> None:
    # SimCLR's and fastai's bodies: nn.Sequential(*model.children())
    model = small(1)
    body = nn.Sequential(*list(model.children())[:-1])
    state, said = taken(saved({"state_dict": before("backbone.", dict(body.state_dict()))}, tmp_path / "simclr.ckpt"))
    assert_same(state, BODY)
    assert_same(state, {name: tensor for name, tensor in small(2).state_dict().items() if name.startswith("head.")})
    assert "its parts are numbered instead of named, the head is new (head)" in said


def test_a_part_that_was_saved_alone_is_found_in_its_place(tmp_path: Path) -> None:
    theirs, model = models.build("mobilenet_v2", 7, 32), models.build("mobilenet_v2", 4, 32)
    path = saved(theirs.get_submodule("features").state_dict(), tmp_path / "features.pth")
    (said,) = weights.load(model, RunConfig(model="mobilenet_v2", image_size=32, starting_weights=str(path)))
    assert_same(dict(model.get_submodule("features").state_dict()), dict(theirs.get_submodule("features").state_dict()))
    assert "it is what the model calls features" in said


def test_an_averaged_model_is_taken_and_its_counter_left_out(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(small(1))
    state, said = taken(saved(averaged.state_dict(), tmp_path / "swa.pth"))
    assert_same(state)
    assert "1 tensor that the model has no place for was left out (n_averaged 1)" in said


# What is beside the weights


def test_what_the_model_has_no_place_for_is_left_out_and_counted(tmp_path: Path) -> None:
    model = small(1)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(2, 3, 16, 16)).sum().backward()
    optimizer.step()
    state = dict(model.state_dict())
    content = {
        "state_dict": before("backbone.", {name: state[name] for name in BODY})
        | before("projection_head.", {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2)}),
        "optimizer": optimizer.state_dict(),
    }
    found, said = taken(saved(content, tmp_path / "moco.pth"))
    assert_same(found, {name: state[name] for name in BODY})
    # Of each of the 11 parameters Adam keeps two tensors and a counter.
    assert "18 of the model's 20 tensors" in said
    assert "the head is new (head)" in said
    assert "35 tensors that the model has no place for were left out (optimizer 33, state_dict 2)." in said


@pytest.mark.parametrize(("parts", "said"), [(4, "(a 4, b 3, c 2, d 1)"), (5, "(a 5, b 4, c 3, d 2, ...)")])
def test_of_what_is_left_out_the_four_largest_parts_are_named(tmp_path: Path, parts: int, said: str) -> None:
    beside = {letter: {f"{place}.weight": torch.ones(2, 7) for place in range(parts - number)} for number, letter in enumerate("abcde"[:parts])}
    _, told = taken(saved({"state_dict": dict(small(1).state_dict()), **beside}, tmp_path / "mine.pth"))
    assert f"tensors that the model has no place for were left out {said}." in told


@pytest.mark.parametrize("head", [{"head.1.weight": torch.ones(10, 128)}, {"head.weight": torch.ones(4, 128)}, {"head.weight": torch.ones(9, 5)}, {}])
def test_a_head_of_any_other_form_stays_fresh_and_that_is_said(tmp_path: Path, head: State) -> None:
    state, said = taken(saved({"model": BODY | head}, tmp_path / "mine.pth"))
    assert_same(state, BODY)
    assert_same(state, {name: tensor for name, tensor in small(2).state_dict().items() if name.startswith("head.")})
    assert "18 of the model's 20 tensors were taken from it" in said
    assert "the head is new (head)" in said


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_the_models(tmp_path: Path, dtype: torch.dtype) -> None:
    halved = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in STATE.items()}
    state, said = taken(saved(halved, tmp_path / "half.pth"))
    assert {tensor.dtype for tensor in state.values()} == {torch.float32, torch.int64}
    assert_same(state, {name: tensor.to(STATE[name].dtype) for name, tensor in halved.items()})
    assert f"{str(dtype).removeprefix('torch.')} became float32" in said


def test_counters_that_profilers_leave_in_the_layers_are_no_other_model(tmp_path: Path) -> None:
    assert_same(taken(saved(STATE | {"stage1.0.total_ops": torch.zeros(1, dtype=torch.float64)}, tmp_path / "thop.pth"))[0])


# Several sets of weights


def test_of_weights_and_their_running_means_the_weights_are_taken_and_that_is_said(tmp_path: Path) -> None:
    for number, content in enumerate((
        {"model": STATE, "model_ema": OTHER}, {"ema": OTHER, "state_dict": STATE}, before("net.") | before("ema_net.", OTHER),
        {"model_ema": before("module.", OTHER) | {"n_averaged": torch.tensor(3)}, "model": STATE},
    )):  # fmt: skip
        state, said = taken(saved(content, tmp_path / f"{number}.pth"))
        assert_same(state)
        assert "It also holds running means of these weights, under " in said
        assert "ema" in said.partition("running means")[2]


def test_two_sets_that_fit_alike_are_not_chosen_from(tmp_path: Path) -> None:
    message = refusal(saved({"student": STATE, "teacher": OTHER}, tmp_path / "dino.pth"))
    assert "holds 2 sets of weights that all fit, under 'student.' and 'teacher.'" in message
    assert "save the one that is meant alone" in message


def test_a_set_that_lacks_something_gives_way_to_a_whole_one(tmp_path: Path) -> None:
    state, said = taken(saved({"first": {name: OTHER[name] for name in BODY}, "second": STATE}, tmp_path / "two.pth"))
    assert_same(state)
    assert "other weights that fit nearly as well, under 'first.'" in said


def test_two_copies_of_the_same_weights_are_one(tmp_path: Path) -> None:
    state, said = taken(saved({"a": STATE, "b": {name: tensor.clone() for name, tensor in STATE.items()}}, tmp_path / "two.pth"))
    assert_same(state)
    assert "It also holds" not in said


# Other architectures


def test_a_larger_model_is_not_taken_for_a_smaller_one_that_is_a_part_of_it(tmp_path: Path) -> None:
    path = saved({"state_dict": before("module.", dict(models.build("resnet34", 4, 32).state_dict()))}, tmp_path / "resnet34.pth")
    message = refusal(path, "resnet18")
    assert "it has the unknown layer1.2.conv1.weight" in message
    assert "by its names and shapes it is resnet34; choose the model that it was saved from" in message


@pytest.mark.parametrize(
    ("name", "own"), [("resnet50", False), ("mobilenet_v3_small", False), ("densenet121", True), ("vit_b_32", True), ("swin_t", True)]
)
def test_the_model_that_a_file_is_of_is_named(name: str, own: bool) -> None:
    state = models.build(name, 1000 if own else 10, 32).state_dict()
    shapes = {f"state_dict.module.{key}": tuple(tensor.shape) for key, tensor in state.items()}
    assert looks_like(shapes) == f"; by its names and shapes it is {name}"


def test_a_model_that_was_changed_is_said_to_be_that(tmp_path: Path) -> None:
    state = models.build("resnet18", 10, 32).state_dict()
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)  # as for CIFAR-10
    message = refusal(saved(state, tmp_path / "cifar.pth"), "resnet18")
    assert "its conv1.weight is 64 x 3 x 3 x 3 where the model has 64 x 3 x 7 x 7; otherwise it looks like resnet18" in message


# Classes in a file


class Mine:
    """Harmless, and on no list."""


class Thing(dict[str, int]):
    """Like a class of settings."""


@pytest.mark.parametrize("legacy", [False, True])
def test_harmless_classes_beside_the_weights_are_put_aside(tmp_path: Path, legacy: bool) -> None:
    content = {
        "model": STATE, "args": argparse.Namespace(lr=0.1, path=pathlib.Path("x"), options={"a": [1]}), "acc": np.float64(0.7), "count": np.int64(3),
        "history": np.arange(3.0), "names": np.array(["a", "b"]), "objects": np.array([None, "a"], dtype=object), "kind": np.dtype("float32"),
        "when": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "took": datetime.timedelta(3), "path": pathlib.PurePosixPath("a"),
        "more": types.SimpleNamespace(a=1), "counts": collections.Counter("aab"), "lists": collections.defaultdict(list, {"a": [1]}),
        "last": collections.deque([1, 2], 3), "device": torch.device("cpu"), "dtype": torch.float16, "size": torch.Size([1, 2]), "set": {1, 2},
        "frozen": frozenset((1, 2)), "complex": 1j, "bytes": b"abc", "error": ValueError("no"), "version": torch.__version__,
        "type": int, "slice": slice(1, 2),
    }  # fmt: skip
    allowed = set(torch.serialization.get_safe_globals())
    state, said = taken(saved(content, tmp_path / "mine.pth", _use_new_zipfile_serialization=not legacy))
    assert_same(state)
    assert "under names that begin with 'model.'" in said
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("thing", [Mine(), Thing(a=1), Mine])
def test_the_class_that_is_refused_is_named_with_the_model_and_what_to_do(tmp_path: Path, thing: object, legacy: bool) -> None:
    content = {"state_dict": before("module.", dict(models.build("resnet18", 10, 32).state_dict())), "extra": thing}
    message = refusal(saved(content, tmp_path / "mine.pth", _use_new_zipfile_serialization=not legacy), "resnet18")
    name = thing.__name__ if isinstance(thing, type) else type(thing).__name__
    assert f"beside tensors it names {__name__}.{name}, which could run code; by its names and shapes it is resnet18;" in message
    assert "content = torch.load(FILE, weights_only=False); torch.save(content['state_dict'], 'weights.pth')" in message


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
def test_another_pickle_protocol_is_named(tmp_path: Path, legacy: bool) -> None:
    path = saved(STATE, tmp_path / "mine.pth", pickle_protocol=4, _use_new_zipfile_serialization=not legacy)
    assert "saved with pickle protocol 4" in refusal(path)


def test_a_pickle_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_scan, "MOST_STEPS", 10_000)
    assert "far more beside the weights" in refusal(saved({"model": STATE, "log": list(range(10_000))}, tmp_path / "long.pth"))


def test_containers_that_hold_each_other_end(tmp_path: Path) -> None:
    circle: dict[str, Any] = {"state": STATE}
    circle["self"] = [circle]
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    doubled: list[Any] = [0]
    for _ in range(60):
        doubled = [doubled, doubled]
    assert_same(taken(saved({"a": circle, "deep": deep, "doubled": doubled}, tmp_path / "odd.pth"))[0])


# Files of other kinds


def archive(path: Path, names: list[str], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name in names:
            file.writestr(name, "x" * 1000)


def test_a_torchscript_archive_is_named_as_such(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(small(), torch.zeros(1, 3, 16, 16)), tmp_path / "script.pt")
    message = refusal(tmp_path / "script.pt")
    assert "it is a TorchScript archive" in message
    assert "torch.jit.load(FILE, map_location='cpu').state_dict()" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 46830571\n", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b'{"weight_map": {}}', "a JSON file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "a model of ONNX or TensorFlow"),
        (b"\x1f\x8b\x08" + bytes(100), "compressed with gzip"),
        (bytes(4096), "nothing but zeros"),
        ((10_000).to_bytes(8, "little") + b'{"a": ', "a safetensors file that is damaged"),
        (b"x" * 257 + b"ustar", "a tar archive"),
    ],
)
def test_files_of_other_kinds_are_named_before_the_start(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=words) as refused:
        check(RunConfig(model="small_cnn", starting_weights=str(tmp_path / "model.pth")))
    assert refused.value.field == "starting_weights"
    assert ";" in refused.value.message, "there is no remedy"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["config.json", "metadata.json", "model.weights.h5"], "a model of Keras or TensorFlow"),
        (["a.npy", "b.npy"], "arrays of NumPy"),
        (["weights/best.pth", "readme.txt"], "it holds 'weights/best.pth', 'readme.txt'); unpack it"),
        (["m/archive_format", "m/models/model.json"], "a program of torch.export"),
    ],
)
def test_zip_files_of_other_kinds_are_named(tmp_path: Path, names: list[str], words: str) -> None:
    archive(tmp_path / "model.pth", names)
    assert words in refusal(tmp_path / "model.pth")


def test_a_zip_file_with_a_list_of_contents_of_any_length_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.catalog.weight_kinds.LARGEST_LISTING", 1000)
    assert "a list of contents" in refusal(saved(STATE, tmp_path / "many.pth"))
