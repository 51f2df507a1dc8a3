"""What the catalogue and the screens say of models: compared with torchvision's metadata and with the models themselves."""

from __future__ import annotations

import re
from importlib.metadata import distribution

import pytest
import torchvision
from torch import nn

from core.catalog import MODELS
from core.config import ConfigError
from core.model.anatomy import describe, without_numbers
from core.networks.model_entries import ModelEntry
from core.networks.models import build
from core.networks.published_weights import PUBLISHED
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import model_choice

MULTIPLY_ADDS = ("resnet18", "googlenet", "vit_b_16", "mobilenet_v2", "swin_t", "regnet_y_400mf", "squeezenet1_1")


def built(name: str, classes: int = 1000) -> nn.Module:
    with without_numbers():
        return build(name, classes, MODELS[name].usual)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("entry", [entry for entry in MODELS.values() if entry.published], ids=lambda entry: entry.name)
def test_what_is_said_of_published_weights_is_what_torchvision_says(entry: ModelEntry) -> None:
    weights = torchvision.models.get_model_weights(entry.name).DEFAULT
    published = entry.published
    assert published is PUBLISHED[entry.name]
    assert (published.name, published.recipe) == (weights.name, weights.meta["recipe"])
    said = " ".join(weights.meta["_docs"].split())
    assert (published.made == "SWAG") == ("SWAG" in said) == ("SWAG" in weights.name)
    assert (published.made == "ported") == ("ported from" in said)
    assert (published.made == "trained") == bool(re.search("recipe|results of the paper", said))
    assert bool(published.licence) == ("license" in weights.meta), "torchvision states a licence, or it does not"
    assert list(weights.meta["_metrics"]) == ["ImageNet-1K"]
    assert entry.about.endswith(f"{entry.accuracy:g} % top-1 on ImageNet with its published weights.")


def test_the_licences_are_those_that_torchvision_names_and_everything_else_is_said_to_be_unknown() -> None:
    readme = " ".join((distribution("torchvision").read_text("METADATA") or "").split())
    assert "SWAG models are released under the CC-BY-NC 4.0 license" in readme
    assert "may have their own licenses or terms and conditions derived from the dataset used for training" in readme
    swag = [name for name, published in PUBLISHED.items() if published.licence]
    assert sorted(swag) == ["regnet_y_128gf", "vit_h_14"]
    for name in swag:
        assert PUBLISHED[name].licence == "CC BY-NC 4.0"
        assert "Instagram" in PUBLISHED[name].origin
        assert MODELS[name].terms.endswith("CC BY-NC 4.0, no commercial use.")
    assert "none stated" in MODELS["resnet18"].terms
    assert MODELS["mlp"].terms == ""
    assert MODELS["small_cnn"].terms.startswith("Weights that ship with Thaw: trained on 581 pictures of the handwritten digits 0 to 4.")


@pytest.mark.parametrize(("name", "million", "inside"), [("googlenet", "13.0", "6.4"), ("inception_v3", "27.2", "3.3")])
def test_the_parameters_of_auxiliary_classifiers_are_counted_as_they_are_built(name: str, million: str, inside: str) -> None:
    entry, model = MODELS[name], built(name)
    assert count(model) == entry.parameters
    assert sum(count(model.get_submodule(path)) for path in entry.family.auxiliary) == entry.auxiliary
    assert f"{million} million parameters, {inside} million of them in auxiliary classifiers" in entry.about
    assert [other.name for other in MODELS.values() if other.auxiliary] == ["googlenet", "inception_v3"]


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds_are_what_torchvision_calls_operations(name: str) -> None:
    entry = MODELS[name]
    found = describe(name, 1000, entry.usual)
    auxiliary = tuple(f"{path}." for path in entry.family.auxiliary) or ("\0",)
    flops = sum(operations for path, operations in found.flops.items() if not path.startswith(auxiliary))
    theirs = torchvision.models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert flops / 2e9 == pytest.approx(theirs, abs=6e-4)
    if name == "resnet18":
        assert model_choice.operations(flops) == "**1.81 G** multiply-adds (3.63 G FLOPs, a multiplication and an addition being two)"
        assert model_choice.operations(flops) in model_choice.facts(LayerTable(found))


@pytest.mark.parametrize(
    ("name", "classes", "size", "said"),
    [
        ("resnet18", 10, 64, "**11.2 M** parameters in 62 tensors with a head for 10 classes (11.7 M with the published one for 1,000)"),
        ("vgg11", 1, 64, "with a head for 1 class (133 M with the published one for 1,000)"),
        ("resnet18", 1000, 64, "**11.7 M** parameters in 62 tensors ·"),
        ("small_cnn", 5, 32, "tensors ·"),
    ],
)
def test_a_number_of_parameters_that_is_not_the_published_one_says_why(name: str, classes: int, size: int, said: str) -> None:
    found = describe(name, classes, size)
    facts = model_choice.facts(LayerTable(found))
    assert said in facts
    theirs = MODELS[name].published and torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert ("published one for 1,000" in facts) == bool(theirs and theirs != found.count)
    if theirs:
        assert MODELS[name].parameters == theirs


def test_the_form_says_where_weights_come_from_and_on_what_terms() -> None:
    said = model_choice._about_weights("pretrained", "regnet_y_128gf")
    assert "Instagram" in said
    assert "CC BY-NC 4.0" in said
    plain = model_choice._about_weights("pretrained", "resnet18")
    assert plain.startswith(
        "Published by torchvision, trained on ImageNet-1K: 69.8\N{NO-BREAK SPACE}% top-1 there; 47 MB are downloaded on first use."
    )
    assert "non-commercial research and education" in plain
    assert "elsewhere" in model_choice._about_weights("pretrained", "densenet121")
    ours = model_choice._about_weights("pretrained", "small_cnn")
    assert "They ship with Thaw, trained on 581 pictures of the handwritten digits 0 to 4" in ours
    assert "dataset digits_5_9" in ours
    assert "nothing to download" in ours
    assert "ImageNet" not in ours
    assert model_choice._about_weights("pretrained", "mlp") == "There are none for mlp."
    assert "6.38 M of ImageNet's parameters are in auxiliary classifiers" in model_choice.facts(LayerTable(describe("googlenet", 10, 224)))


# What the families are said to be


def test_what_is_said_of_model_families_holds() -> None:
    squeeze, alex = MODELS["squeezenet1_1"], MODELS["alexnet"]
    assert squeeze.accuracy is not None
    assert alex.accuracy is not None
    assert squeeze.accuracy >= alex.accuracy
    assert alex.parameters / squeeze.parameters == pytest.approx(50, rel=0.05)
    assert isinstance(built("squeezenet1_1").get_submodule("classifier.1"), nn.Conv2d)
    plain, wide, parallel = (built(name).get_submodule("layer1.0.conv2") for name in ("resnet50", "wide_resnet50_2", "resnext50_32x4d"))
    assert isinstance(plain, nn.Conv2d)
    assert isinstance(wide, nn.Conv2d)
    assert isinstance(parallel, nn.Conv2d)
    assert wide.out_channels == 2 * plain.out_channels
    assert (plain.groups, parallel.groups) == (1, 32)
    dense = built("densenet121").get_submodule("features.denseblock1")
    widths = [dense.get_submodule(f"denselayer{place}.conv1").in_channels for place in range(1, 7)]
    assert widths == [64 + 32 * place for place in range(6)], "each layer gets the output of all before it in its block"
    mlp = [module for module in built("mlp", 10).modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert len(mlp) == 3
    assert all(isinstance(module, nn.Linear) for module in mlp), "two hidden layers and a head, no convolution"
    small = [type(module).__name__ for module in built("small_cnn", 10).modules()]
    assert (small.count("Conv2d"), small.count("BatchNorm2d"), small.count("MaxPool2d"), small.count("Linear")) == (3, 3, 3, 1)


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.multiple > 1])
def test_a_size_between_two_is_refused_with_the_nearest_that_can_be_used(name: str) -> None:
    entry = MODELS[name]
    for below in (entry.smallest, entry.smallest + entry.multiple):
        with pytest.raises(ConfigError) as caught:
            entry.check_image_size(below + 1)
        tried = {int(number) for number in re.findall(r"\d+", caught.value.message.partition("; try ")[2])}
        assert tried == {size for size in (below, below + entry.multiple) if size <= 1024} | {entry.usual}
        for size in tried:
            entry.check_image_size(size)
