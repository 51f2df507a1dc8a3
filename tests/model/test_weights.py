"""Starting weights: from files, of which many are hostile."""

from __future__ import annotations

import copy
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from core.config import ConfigError
from core.model import weights
from core.networks import models
from core.records.layers import PLAIN_HEAD, HeadOptions
from tests.model.weights_cases import CLASSES, config, refusal, same, saved, small


def test_random_weights_are_those_the_model_was_built_with() -> None:
    model = small()
    weights.load(model, config())
    assert same(model.state_dict(), small().state_dict())


# Files


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".PTH"])
def test_a_saved_model_is_loaded_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(small(1).state_dict(), path)
    model = small(2)
    told: list[str] = []
    weights.load(model, config(path), lambda text, share: told.append(text))
    assert same(model.state_dict(), small(1).state_dict())
    assert told == [f"reading mine{suffix}"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}},
        lambda state: {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")},
        lambda state: {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()},
    ],
    ids=["state_dict", "model", "module.", "both", "without counters", "float64"],
)
def test_what_training_scripts_make_of_a_state_dict_is_understood(tmp_path: Path, wrap: Callable[[dict[str, Tensor]], Any]) -> None:
    path = saved(wrap(dict(small(1).state_dict())), tmp_path / "mine.pth")
    model = small(2)
    weights.load(model, config(path))
    assert same(model.state_dict(), small(1).state_dict())


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_head_for_other_classes_stays_fresh(tmp_path: Path, classes: int) -> None:
    path = saved(small(1, classes).state_dict(), tmp_path / "mine.pth")
    model = small(2)
    weights.load(model, config(path))
    for name, tensor in model.state_dict().items():
        expected = small(2) if name.startswith("head.") else small(1)
        assert torch.equal(tensor, expected.state_dict()[name])


def test_weights_without_a_head_leave_it_fresh(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in small(1).state_dict().items() if not name.startswith("head.")}
    model = small(2)
    weights.load(model, config(saved(state, tmp_path / "mine.pth")))
    assert torch.equal(model.state_dict()["head.weight"], small(2).state_dict()["head.weight"])
    assert torch.equal(model.state_dict()["stage3.0.weight"], state["stage3.0.weight"])


# Heads that are containers

HIDDEN = HeadOptions(dropout=0.2, hidden=24)


def headed(head: HeadOptions, seed: int = 0, classes: int = CLASSES) -> nn.Module:
    torch.manual_seed(seed)
    return models.build("small_cnn", classes, 16, head)


@pytest.mark.parametrize("head", [HIDDEN, HeadOptions(dropout=0.2), HeadOptions(hidden=24)])
def test_a_file_with_a_head_of_the_same_options_is_loaded_whole(tmp_path: Path, head: HeadOptions) -> None:
    path = saved(headed(head, 1).state_dict(), tmp_path / "mine.pth")
    model = headed(head, 2)
    weights.load(model, config(path))
    assert same(model.state_dict(), headed(head, 1).state_dict())


@pytest.mark.parametrize(
    ("theirs", "ours", "classes"),
    [
        (PLAIN_HEAD, HIDDEN, CLASSES),
        (HIDDEN, PLAIN_HEAD, CLASSES),
        (PLAIN_HEAD, HIDDEN, 9),
        (HIDDEN, HIDDEN, 9),
        (HeadOptions(hidden=32), HeadOptions(hidden=24), CLASSES),
        (HeadOptions(hidden=24), HIDDEN, CLASSES),
    ],
    ids=["plain into container", "container into plain", "other classes too", "other classes", "other width", "other layers"],
)
def test_a_head_that_was_built_otherwise_stays_fresh(tmp_path: Path, theirs: HeadOptions, ours: HeadOptions, classes: int) -> None:
    given = headed(theirs, 1, classes).state_dict()
    model, fresh = headed(ours, 2), headed(ours, 2).state_dict()
    weights.load(model, config(saved(given, tmp_path / "mine.pth")))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, fresh[name] if name.startswith("head.") else given[name]), name


def test_a_container_does_not_hide_that_a_file_is_of_another_model(tmp_path: Path) -> None:
    state = headed(PLAIN_HEAD, 1).state_dict()
    del state["stage2.0.weight"]
    path = saved(state, tmp_path / "mine.pth")
    assert "it lacks stage2.0.weight" in refusal(headed(HIDDEN, 2), config(path))


def test_auxiliary_heads_stay_fresh_with_the_head(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = models.build("googlenet", 9, 32)
    torch.manual_seed(2)
    model = models.build("googlenet", CLASSES, 32)
    fresh = copy.deepcopy(model.state_dict())
    weights.load(model, config(saved(theirs.state_dict(), tmp_path / "mine.pth"), "googlenet"))
    for name, tensor in model.state_dict().items():
        of_a_head = name.rpartition(".")[0] in ("fc", "aux1.fc2", "aux2.fc2")
        assert torch.equal(tensor, fresh[name] if of_a_head else theirs.state_dict()[name]), name


def test_weights_without_auxiliary_classifiers_leave_them_fresh(tmp_path: Path) -> None:
    model = models.build("googlenet", CLASSES, 32)
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("aux")}
    weights.load(model, config(saved(state, tmp_path / "mine.pth"), "googlenet"))


@pytest.mark.parametrize("size", [32, 128])
def test_position_embeddings_are_interpolated_to_the_image_size(tmp_path: Path, size: int) -> None:
    theirs = models.build("vit_b_32", 9, 96).state_dict()
    model = models.build("vit_b_32", CLASSES, size)
    weights.load(model, config(saved(theirs, tmp_path / "mine.pth"), "vit_b_32", size))
    state = model.state_dict()
    assert state["encoder.pos_embedding"].shape == (1, (size // 32) ** 2 + 1, 768)
    assert torch.equal(state["encoder.pos_embedding"][:, 0], theirs["encoder.pos_embedding"][:, 0])
    assert torch.equal(state["encoder.ln.weight"], theirs["encoder.ln.weight"])


def test_names_from_older_torchvisions_are_understood(tmp_path: Path) -> None:
    transformer = models.build("vit_b_32", CLASSES, 32)
    old = {name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): tensor for name, tensor in transformer.state_dict().items()}
    weights.load(transformer, config(saved(old, tmp_path / "vit.pth"), "vit_b_32", 32))
    dense = models.build("densenet121", CLASSES, 32)
    old = {}
    for name, tensor in dense.state_dict().items():
        for kind in ("norm", "conv"):
            for number in ("1", "2"):
                name = name.replace(f".{kind}{number}.", f".{kind}.{number}.")
        old[name] = tensor
    assert any(".norm.1." in name for name in old)
    weights.load(dense, config(saved(old, tmp_path / "dense.pth"), "densenet121"))


def test_a_model_whose_versions_a_file_does_not_keep_is_loaded(tmp_path: Path) -> None:
    # MNASNet refuses a state_dict without torch's version numbers, and safetensors has no place for them.
    model = models.build("mnasnet0_5", CLASSES, 32)
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    weights.load(model, config(tmp_path / "mine.safetensors", "mnasnet0_5"))


@pytest.mark.shared
def test_real_imagenet_weights_are_loaded(shared: Path) -> None:
    path = shared / "weights" / "mobilenet_v2_imagenet.pth"
    model = models.build("mobilenet_v2", 10, 64)
    fresh = model.state_dict()["classifier.1.weight"].clone()
    weights.load(model, config(path, "mobilenet_v2"))
    theirs = torch.load(path, weights_only=True)
    assert torch.equal(model.state_dict()["features.0.0.weight"], theirs["features.0.0.weight"])
    assert torch.equal(model.state_dict()["classifier.1.weight"], fresh)
    model = models.build("mobilenet_v2", 1000, 64)
    weights.load(model, config(path, "mobilenet_v2"))
    assert torch.equal(model.state_dict()["classifier.1.weight"], theirs["classifier.1.weight"])


# Files that are not what they should be


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("inside", ["torch.save", "pickle", "state_dict"])
def test_code_in_a_file_is_never_run(tmp_path: Path, inside: str) -> None:
    bomb, path = Bomb(tmp_path / "run"), tmp_path / "evil.pth"
    if inside == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    else:
        torch.save({**small().state_dict(), "extra": bomb} if inside == "state_dict" else bomb, path)
    message = refusal(small(), config(path))
    assert not (tmp_path / "run").exists()
    assert str(path) in message
    assert ("a pickle of another kind" if inside == "pickle" else "would call posix.mkdir") in message


def test_a_saved_model_instead_of_its_weights_is_refused(tmp_path: Path) -> None:
    message = refusal(small(), config(saved(small(), tmp_path / "whole.pth")))
    assert "it is a whole model (torch.save(model))" in message
    assert "torch.nn.modules.container.Sequential" in message
    assert "torch.save(model.state_dict(), 'weights.pth')" in message


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"), (b"hello, I am text", "it is a text ('hello, I am text')"), (b"PK\x03\x04 and then nothing", "its end is missing"),
        (b"\x80\x04.", "a pickle of another kind"), (bytes(range(256)) * 40, "it is damaged or no weights file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, words: str, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    message = refusal(small(), config(path))
    assert str(path) in message
    assert words in message
    assert "torch.save" in message or "copy or download it again" in message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "damaged" in (message := refusal(small(), config(path)))
    assert "incomplete" in message


GOOD: dict[str, bytes] = {}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([".pth", ".safetensors"]), st.data())
def test_a_file_with_any_damage_is_refused_in_words_or_loaded_whole(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    path = tmp_path / f"damaged{suffix}"
    if suffix not in GOOD:
        (save_file if suffix == ".safetensors" else torch.save)(small(1).state_dict(), path)
        GOOD[suffix] = path.read_bytes()
    content = bytearray(GOOD[suffix])
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))  # names and structure are at the beginning ...
        content[-data.draw(st.integers(1, 3000))] = data.draw(st.integers(0, 255))  # ... and at the end
    path.write_bytes(content)
    try:
        weights.load(small(2), config(path))
    except ConfigError as error:
        assert error.field == "starting_weights"
        assert str(path) in error.message


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)
    assert path.stat().st_size < 100_000
    assert "unpack to 50 MB" in refusal(small(), config(path))


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2, 3], "a list without a tensor instead of a state_dict"),
        (torch.zeros(3), "a single tensor instead of a state_dict"),
        ({}, "a dict without a tensor instead of a state_dict"),
        ({"state_dict": {}}, "a dict without a tensor instead of a state_dict"),
        ({"stage1.0.weight": "hello"}, "a dict without a tensor instead of a state_dict"),
    ],
    ids=["list", "tensor", "empty", "empty inside", "text"],
)
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, content: object, words: str) -> None:
    message = refusal(small(), config(saved(content, tmp_path / "odd.pth")))
    assert words in message
    assert "state_dict()" in message


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(
    "make",
    [
        lambda tensor: tensor.to_sparse(), lambda tensor: tensor.to(torch.complex64), lambda tensor: tensor.to(torch.float8_e4m3fn),
        lambda tensor: tensor.to("meta"), lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "complex", "8 bits", "without numbers", "quantized"],
)  # fmt: skip
def test_tensors_of_other_kinds_are_refused(tmp_path: Path, make: Callable[[Tensor], Tensor]) -> None:
    state = small(1).state_dict()
    state["stage2.0.weight"] = make(state["stage2.0.weight"])
    message = refusal(small(), config(saved(state, tmp_path / "odd.pth")))
    assert "its tensor stage2.0.weight is not an ordinary one" in message
    assert "save model.state_dict() of a model in float32" in message


def test_weights_of_another_model_are_refused_with_the_first_few_names(tmp_path: Path) -> None:
    message = refusal(small(), config(saved(models.build("resnet18", CLASSES, 32).state_dict(), tmp_path / "resnet18.pth")))
    assert "does not fit small_cnn" in message
    assert "it lacks stage1.0.weight, stage1.1.weight, stage1.1.bias and" in message
    assert "conv1.weight, bn1.weight, bn1.bias and" in message
    assert "choose the model that it was saved from" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("stage2.0.weight"), "it lacks stage2.0.weight;"),
        (lambda state: state.update({"stage2.3.weight": torch.zeros(5)}), "it has the unknown stage2.3.weight;"),
        (
            lambda state: state.update({"stage2.0.weight": torch.zeros(64, 32, 5, 5)}),
            "stage2.0.weight is 64 x 32 x 5 x 5 where the model has 64 x 32 x 3 x 3",
        ),
        (lambda state: state.update({"stage2.1.bias": torch.zeros(64, dtype=torch.int64)}), "stage2.1.bias holds torch.int64"),
        (lambda state: state["stage2.0.weight"].fill_(float("nan")), "NaN or infinite numbers in stage2.0.weight"),
    ],
)
def test_weights_that_nearly_fit_are_refused(tmp_path: Path, change: Callable[[dict[str, Tensor]], object], words: str) -> None:
    state = small(1).state_dict()
    change(state)
    assert words in refusal(small(), config(saved(state, tmp_path / "near.pth")))


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(small().state_dict(), tmp_path / "mine.pth")

    def refuse(*_: object, **__: object) -> None:  # root may read anything, so the operating system cannot be asked
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)
    assert "may not be read; check its permissions" in refusal(small(), config(path))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    assert "does not exist" in refusal(small(), config(tmp_path / "nowhere.pth"))
    assert "is a folder" in refusal(small(), config(tmp_path / "folder.pth"))
