"""The weights that ship with Thaw are the ones that their entry names, were made as it says, and help where it says so."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from bench import trained_weights
from core import catalog, data
from core.catalog.demo import DEMO
from core.config import ConfigError, RunConfig
from core.data.datasets import DATASETS
from core.data.digests import pixel_digests
from core.data.preparation import prepare
from core.explaining.normalising import features_and_logits, starting_model
from core.machine.home import Home
from core.model import anatomy, published, weights
from core.networks import models
from core.networks.model_entries import MODELS
from core.networks.shipped_weights import SHIPPED
from core.reuse.counts import use_threads

ENTRY = SHIPPED["small_cnn"]
CONFIG = RunConfig(model="small_cnn", dataset="digits_5_9", starting_weights="pretrained", image_size=32)


def quiet(text: str, share: float | None) -> None:
    pass


def test_the_file_is_the_one_that_its_entry_names_and_is_small() -> None:
    content = ENTRY.path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == ENTRY.sha256
    assert len(content) < 1_000_000
    assert {file.name for file in ENTRY.path.parent.iterdir()} == {each.file for each in SHIPPED.values()}


def test_the_file_holds_every_tensor_of_the_model_but_those_of_the_head() -> None:
    own = models.build("small_cnn", 5, 32).state_dict()
    given = load_file(ENTRY.path)
    assert set(given) == {name for name in own if not name.startswith("head.")}
    torch.manual_seed(0)
    model = models.build("small_cnn", 5, 32)
    head = model.get_parameter("head.weight").detach().clone()
    weights.load(model, CONFIG)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, given.get(name, tensor)), name
    assert torch.equal(model.get_parameter("head.weight"), head), "the head is new, although there are as many classes"


def test_the_weights_learned_from_so_many_pictures_of_0_to_4_and_from_no_test_picture(home: Home) -> None:
    images, labels = trained_weights.learned_from()
    assert len(labels) == ENTRY.pictures
    assert set(labels.tolist()) == set(range(5))
    learned = set(pixel_digests(images))
    for name in ENTRY.datasets:
        prepared = prepare(RunConfig(dataset=name, image_size=8), home, quiet, listed=True)
        listed = prepared.pictures()
        tested = {each.sha256 for each in listed if each.part == "test"}
        assert len(tested) > 150
        assert not learned & tested, name
        validated = {each.sha256 for each in listed if each.part == "validation"}
        assert bool(learned & validated) == (name in ENTRY.seen), name


def test_the_script_in_the_project_makes_them_again() -> None:
    threads = torch.get_num_threads()
    try:
        model, right = trained_weights.trained()
    finally:
        torch.use_deterministic_algorithms(False)
        use_threads(threads)
    assert right > 0.98
    given = load_file(ENTRY.path)
    made = {name: tensor for name, tensor in model.state_dict().items() if name in given}
    assert set(made) == set(given)
    # Bits differ from processor to processor, and over 200 steps that grows: alike means of the same length and in the same direction.
    for name in ("stage1.0.weight", "stage2.0.weight", "stage3.0.weight"):
        assert float(torch.cosine_similarity(made[name].flatten(), given[name].flatten(), dim=0)) > 0.9, name


def test_a_new_head_on_the_shipped_weights_reads_what_one_on_random_weights_cannot(home: Home) -> None:
    images = data.prepare(CONFIG, home, quiet)
    assert images.validation is not None
    right: dict[str, float] = {}
    for kind in ("pretrained", "random"):
        entry = catalog.find_model("small_cnn")
        model, _, said, learned = starting_model(CONFIG.replace(starting_weights=kind), entry, images.classes)
        assert learned == (kind == "pretrained")
        assert ("ship with Thaw" in said) == learned
        normalise = data.Normalise(*entry.normalise)
        (x, y), (new, truth) = (
            (features_and_logits(model, entry, normalise(batch.images))[0], batch.labels)
            for batch in (part.images.__getitems__(list(range(len(part.images)))) for part in (images.train, images.validation))
        )
        torch.manual_seed(0)
        head = torch.nn.Linear(128, 5)
        optimizer = torch.optim.SGD(head.parameters(), lr=DEMO.learning_rate, momentum=DEMO.momentum or 0)
        for _ in range(80):
            optimizer.zero_grad()
            F.cross_entropy(head(x), y).backward()
            optimizer.step()
        right[kind] = float((head(new).argmax(dim=1) == truth).float().mean())
    assert right["pretrained"] > 0.6
    assert right["pretrained"] - right["random"] > 0.2


def test_a_damaged_or_missing_file_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.networks.shipped_weights.FOLDER", tmp_path)
    model = models.build("small_cnn", 5, 32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigError, match=r"cannot be read .*git checkout"):
        weights.load(model, CONFIG)
    (tmp_path / ENTRY.file).write_bytes(b"\0" * 100)
    with pytest.raises(ConfigError, match="is not the file that ships with this Thaw"):
        weights.load(model, CONFIG)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_nothing_is_said_of_imagenet_where_the_weights_are_ours() -> None:
    entry = MODELS["small_cnn"]
    assert entry.pretrained
    assert entry.published is None
    assert "ImageNet" not in f"{entry.about} {entry.terms} {ENTRY.learned_from}"
    assert all(head.old == "" for head in anatomy.describe("small_cnn", 5, 32).head)
    with pytest.raises(ConfigError, match="no trained weights"):
        published.published(replace(entry, shipped=None), quiet)


def test_a_run_on_pictures_that_the_weights_learned_from_says_so() -> None:
    for name in ENTRY.datasets:
        said = weights.load(models.build("small_cnn", 10, 32), CONFIG.replace(dataset=name))
        assert bool(said) == (name in ENTRY.seen)
    (sentence,) = weights.load(models.build("small_cnn", 10, 32), CONFIG.replace(dataset="digits"))
    assert "581 pictures of the handwritten digits 0 to 4" in sentence
    assert weights.load(models.build("small_cnn", 10, 32), CONFIG.replace(dataset="digits", validation_share=0.0)) == ()
    assert ENTRY.suits in DATASETS
    assert all(name in DATASETS for name in ENTRY.datasets)
