"""Networks of one's own: every kind of layer against the real module, the text, the shelf of saved ones, and the whole way to a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core import catalog, networks
from core.catalog import find_model
from core.code import class_name, network_code
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.model import anatomy
from core.networks import models, own_models
from core.networks.layer_entry import OWN_CLASSES, LayerError, Shape
from core.networks.network_layers import ACTIVATIONS, LAYERS
from core.networks.templates import TEMPLATES
from core.records.layers import HeadOptions
from core.training.trainer import FinalReport, StepReport
from core.worker.assembly import assemble
from tests.networks.networks_cases import NET

SHAPES: tuple[Shape, ...] = ((3, 32, 32), (12, 7, 7), (16, 1, 1), (5, 2, 2), (24,), (7,))


# Every kind of layer


def every_layer() -> Iterator[tuple[str, Shape]]:
    """Each layer with each of its options at its ends and in the middle, on each shape."""
    texts = [
        *(f"conv 12 {rest}" for rest in ("", "kernel=1", "kernel=5 stride=2", "kernel=4 padding=0", "kernel=7 padding=0", "dilation=3", "bias=no")),
        *(f"conv 24 groups={groups}" for groups in (1, 3, 12)),
        "conv 1 kernel=31 stride=16 padding=31 dilation=2",
        *(f"{which} norm" for which in ("batch", "layer", "instance")), "group norm 1", "group norm groups=8", "group norm 6",
        *(name.replace("_", " ") for name in ACTIVATIONS), "leaky relu 0.3",
        *(f"{which} pool {rest}" for which in ("max", "average") for rest in ("", "3", "3 stride=1 padding=1", "2 stride=3", "1", "5 padding=2")),
        "pool 2 padding=2", "global pool", "global max pool 2", "global pool 7",
        "dropout 0", "dropout 0.3", "dropout 0.9 whole_channels=yes", "flatten", "linear 9", "linear 1 bias=no",
        "residual 12", "residual 16", "residual 8 stride=2", "residual 24 activation=gelu norm=group", "residual 9 norm=group groups=3",
        "residual 10 norm=group groups=3",
    ]  # fmt: skip
    for text in texts:
        for shape in SHAPES:
            yield text, shape


@pytest.mark.parametrize(("text", "shape"), list(every_layer()), ids=lambda value: str(value))
def test_what_a_layer_says_of_itself_is_what_the_real_module_does(text: str, shape: Shape) -> None:
    layer = networks.read_row(text).layer
    assert layer is not None, networks.read_row(text).error
    entry, values = layer.entry, layer.values
    images = torch.randn(2, *shape)
    if refused(layer, shape):
        with pytest.raises(LayerError, match=r"\S; (use|put) "):
            entry.returns(shape, values)
        if not torch_makes_something_of(text, shape):
            with pytest.raises((RuntimeError, ValueError)):
                entry.call(shape, values).build()(images)
        return
    expected, call = entry.returns(shape, values), entry.call(shape, values)
    module = call.build().train()
    assert tuple(module(images).shape[1:]) == expected
    assert sum(parameter.numel() for parameter in module.parameters()) == entry.count(shape, values)
    written = eval(str(call), {"nn": nn, **{name: getattr(own_models, name) for name in OWN_CLASSES}})
    assert repr(written) == repr(module)


def refused(layer: networks.Layer, shape: Shape) -> bool:
    try:
        layer.entry.returns(shape, layer.values)
    except LayerError:
        return True
    return False


def torch_makes_something_of(text: str, shape: Shape) -> bool:
    """What torch does and nobody means: a linear layer on each row of pixels, a vector taken for a map, maps larger than came in."""
    vector = len(shape) == 1
    return (text.startswith("linear") and not vector) or (vector and text.startswith(("dropout", "average pool"))) or text.startswith("global")


def test_every_kind_of_layer_is_walked() -> None:
    walked = {networks.read_row(text).kind for text, _ in every_layer()}
    assert walked == set(LAYERS)
    for entry in LAYERS.values():
        assert entry.words
        assert not entry.main or entry.option(entry.main)
        assert {*entry.only, *entry.further} <= {option.name for option in entry.options}
        assert entry.about.endswith(".")


def test_no_spelling_means_two_layers() -> None:
    spellings = [words.replace(" ", "_") for entry in LAYERS.values() for words in entry.words]
    assert len(spellings) == len(set(spellings))


# The text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (NET, NET),
        ("  mynet :  CONV 32 ,Norm,ReLU,max pool 2,residual_block 64 stride = 1,Global-Average-Pool 1 ", NET),
        ("a: conv", "a: conv 32"),
        ("a: conv channels=64 kernel=3 bias=true", "a: conv 64"),
        ("a: conv 64 stride=2 kernel=5", "a: conv 64 kernel=5 stride=2"),
        ("a: conv2d 8 padding=none", "a: conv 8"),
        ("a: batch norm, layer_norm, group norm 8, group norm 4", "a: norm, layer norm, group norm, group norm 4"),
        ("a: activation function=leaky_relu, leaky relu 0.2, swish", "a: leaky relu, leaky relu 0.2, silu"),
        ("a: avg pool size=3 stride=2", "a: average pool 3 stride=2"),
        ("a: dropout, dropout 0.5, flatten, dense 128, fc 4 bias=off", "a: dropout 0.5, dropout 0.5, flatten, linear 128, linear 4 bias=no"),
        ("a: residual 64 norm=group groups=8", "a: residual 64 norm=group"),
        ("a: conv 8,, \n norm,", "a: conv 8, norm"),
    ],
)
def test_a_text_has_one_canonical_spelling(text: str, canonical: str) -> None:
    assert str(networks.parse(text)) == canonical
    assert str(networks.parse(canonical)) == canonical


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: convv 3", "layer 1, 'convv 3': there is no layer 'convv'; did you mean conv"),
        ("a: conv 3, relu, poool", "layer 3, 'poool': there is no layer 'poool'; did you mean pool"),
        ("a: conv many", "layer 1, 'conv many': channels must be a whole number 1 or more and 4096 or less, got 'many'"),
        ("a: conv 0", "channels must be a whole number 1 or more"),
        ("a: conv 1e9", "4096 or less, got '1e9'"),
        ("a: conv 8 kernel=2.5", "kernel must be a whole number"),
        ("a: conv 8 kernl=3", "conv has no option 'kernl'; did you mean kernel"),
        ("a: conv 8 9", "channels is given twice; write it once"),
        ("a: conv 8 stride=2 stride=3", "stride is given twice"),
        ("a: relu 0.1", "slope means something for function=leaky_relu only; leave it out, or write 'leaky relu'"),
        ("a: norm groups=4", "write 'group norm'"),
        ("a: flatten 3", "flatten has no options; leave '3' out"),
        ("a: dropout 1", "share must be a finite number 0 or more and below 1"),
        ("a: dropout nan", "share must be"),
        ("a:", "'a' has no layers; write at least one"),
        (": conv", "a network needs a name"),
        ("my net: conv", "'my net' cannot be the name of a network; use letters, digits, _ and -"),
        ("../up: conv", "cannot be the name of a network"),
        ("ResNet-18: conv", "is the name of a model of the catalogue (resnet18); choose another"),
        ("a: " + "relu, " * 101, "has 101 layers, more than the 100"),
        ("a: " + "r" * 30_000, "30,003 characters is too long"),
        ("a: flatten, conv 3", "fits no image size: layer 2, 'conv 3': conv needs maps with a height and a width, and gets 3,072 values"),
        ("a: pool 64, pool 64", "fits no image size: layer 2"),
        ("a: conv 4096, flatten, linear 65536", "too large even at 32 pixels a side: 274,878,742,538 parameters"),
        ("a: global pool, conv 8 kernel=3 padding=0", "layer 2, 'conv 8 padding=0': kernel 3 does not fit into 1 x 1 pixels; use a smaller kernel"),
    ],
)
def test_a_bad_text_is_refused_with_its_place_its_value_and_the_remedy(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        catalog.check(RunConfig(model=text))
    assert refusal.value.field == "model"
    assert complaint in refusal.value.message


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="convpl :,=012._-\n\0é", max_size=60)
    | st.lists(st.sampled_from(["conv", "norm", "group", "relu", "leaky", "pool", "global", "residual", "3", "0.5", "kernel=5", "kernel", "=x",
                                "groups=2", "stride=2", "bias=no", "function=group", "padding=", ",", ",", ",", ":", "="])).map(" ".join)
)  # fmt: skip
def test_no_text_breaks_the_reader(text: str) -> None:
    _, rows = networks.read(text)
    sketch = networks.sketch(rows, 32, 10)
    assert len(sketch.stages) == len(rows)
    for row in rows:
        assert (row.layer is None) == bool(row.error)
        again = networks.read_row(row.text)
        assert (again.text, again.error) == (row.text, row.error), "what the URL keeps says the same"
    try:
        network = networks.parse(text)
    except ConfigError:
        return
    assert networks.parse(str(network)) == network


# Shapes


def test_a_network_says_what_each_layer_returns_and_costs() -> None:
    stages = networks.shapes(networks.parse(NET), 32)
    assert [(stage.name, stage.shape, stage.parameters) for stage in stages] == [
        ("conv1", (32, 32, 32), 3 * 32 * 9 + 32),
        ("norm1", (32, 32, 32), 64),
        ("relu1", (32, 32, 32), 0),
        ("pool1", (32, 16, 16), 0),
        ("residual1", (64, 16, 16), 32 * 64 * 9 + 64 * 64 * 9 + 32 * 64 + 6 * 64),
        ("global_pool1", (64, 1, 1), 0),
        ("head", (10,), 650),
    ]


def test_the_first_layer_that_does_not_fit_says_why_and_the_rest_wait() -> None:
    stages = networks.shapes(networks.parse("a: pool 4, conv 8 kernel=7 padding=0, relu"), 16)
    assert stages[1].error == ("kernel 7 does not fit into 4 x 4 pixels; use a smaller kernel or more padding, or fewer pools and strides before it")
    assert [stage.shape for stage in stages] == [(3, 4, 4), None, None, None]
    assert [stage.error for stage in stages[2:]] == ["", ""]


@pytest.mark.parametrize(
    ("text", "smallest"),
    [("a: conv 8, global pool", 8), ("a: pool, pool, pool, pool, pool", 32), ("a: conv 8 kernel=11 stride=4 padding=2, pool 3 stride=2", 15)],
)
def test_the_smallest_image_is_the_smallest_that_really_goes_through(text: str, smallest: int) -> None:
    assert find_model(text).smallest == smallest
    models.build(text, 4, smallest)(torch.randn(2, 3, smallest, smallest))
    if smallest > 8:
        with pytest.raises(ConfigError, match=rf"a needs at least {smallest} pixels a side, got {smallest - 1}"):
            models.build(text, 4, smallest - 1)


def test_an_image_so_large_that_the_parameters_explode_is_refused_by_its_size() -> None:
    with pytest.raises(ConfigError, match="image_size: a cannot take 1024 pixels a side: .* parameters are more than the 1,000,000,000"):
        find_model("a: conv 64, flatten, linear 64").check_image_size(1024)


# The model


SEVERAL = [
    NET,
    "flat: flatten",
    "one: conv 8 kernel=5 stride=2",
    "deep: residual 8 activation=mish norm=group, residual 16 stride=2, instance norm, elu, average pool, flatten, linear 20, layer norm",
    *(f"{template.name}: {template.layers}" for template in TEMPLATES.values()),
]


@pytest.mark.parametrize("text", SEVERAL)
def test_the_exported_class_is_the_network_bit_for_bit(text: str) -> None:
    made = networks.assembled(networks.parse(text), 32, 7)
    torch.manual_seed(5)
    ours = models.build(text, 7, 32)
    names: dict[str, Any] = {}
    exec(compile(network_code(text, 32, 7), "exported.py", "exec"), names)
    torch.manual_seed(5)
    exported: nn.Module = names[class_name(find_model(text).label)](7)
    images: Tensor = torch.randn(4, 3, 32, 32)
    for model in (ours, exported):
        model.train()
        torch.manual_seed(6)  # dropout
        model(images)
    assert torch.equal(ours.eval()(images), exported.eval()(images)), "the same seed makes the same weights"
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    exported.load_state_dict(ours.state_dict(), strict=True)
    assert torch.equal(ours(images), exported(images))
    assert sum(parameter.numel() for parameter in exported.parameters()) == made.parameters
    last = networks.shapes(networks.parse(text), 32)[-2].shape
    assert last is not None
    assert ("x.flatten(1)" in network_code(text, 32, 7)) == made.flatten == (len(last) == 3)


@pytest.mark.parametrize("text", SEVERAL)
def test_a_network_is_taken_apart_like_any_model(text: str) -> None:
    description = anatomy.describe(text, 7, 32)
    roles = {parameter.module: parameter.role for parameter in description.parameters}
    assert roles["head"] == "head"
    others = [role for module, role in roles.items() if module != "head"]
    assert "head" not in others
    assert not others or others[0] == "stem"
    assert description.count == networks.assembled(networks.parse(text), 32, 7).parameters
    (head,) = description.head
    assert (head.path, head.options) == ("head", True)


def test_a_head_with_options_stands_in_a_network_too() -> None:
    model = models.build(NET, 7, 32, HeadOptions(dropout=0.5, hidden=12))
    assert [type(layer).__name__ for layer in model.get_submodule("head").children()] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 7)


def test_a_run_trains_a_network_and_its_weights_load_into_the_exported_class(home: Home) -> None:
    config = catalog.check(RunConfig(model="MyNet: Conv 8, norm, relu, global pool", image_size=8, epochs=1, batch_size=512, device="cpu"))
    assert config.model == "MyNet: conv 8, norm, relu, global pool"
    assert RunConfig.from_json(config.to_json()) == config
    trainer = assemble(config, home).trainer
    reports = list(trainer.run())
    assert sum(isinstance(report, StepReport) for report in reports) == 3
    assert isinstance(reports[-1], FinalReport)
    names: dict[str, Any] = {}
    exec(compile(network_code(config.model, 8, 10), "exported.py", "exec"), names)
    names["MyNet"](10).load_state_dict(trainer.model.state_dict(), strict=True)


def test_pretrained_weights_of_a_network_are_refused_by_its_label() -> None:
    with pytest.raises(ConfigError, match="starting_weights: 'pretrained': mynet is"):
        catalog.check(RunConfig(model=NET, starting_weights="pretrained"))


@pytest.mark.parametrize("text", [f"{template.name}: {template.layers}" for template in TEMPLATES.values()])
def test_every_template_fits_small_and_large_images(text: str) -> None:
    assert str(networks.parse(text)) == text
    for size in (32, 64, 224):
        assert networks.sketch(networks.read(text)[1], size, 10).fits
    assert not re.search(r"conv \d+(?! bias=no), norm", text), "a bias before a norm learns nothing"


# The shelf


def test_a_saved_network_comes_back_and_another_home_does_not_have_it(home: Home, tmp_path: Path) -> None:
    assert networks.saved(home) == {}
    assert networks.save(home, "mynet: CONV 32,norm") == "mynet: conv 32, norm"
    networks.save(home, "Another: flatten")
    assert networks.saved(home) == {"Another": "Another: flatten", "mynet": "mynet: conv 32, norm"}
    assert list(networks.saved(home)) == ["Another", "mynet"]
    assert sorted(path.name for path in home.networks.iterdir()) == ["another.txt", "mynet.txt"], "nothing else is left behind"
    assert networks.saved(Home(tmp_path / "elsewhere")) == {}
