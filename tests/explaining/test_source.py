"""A model's own source: the text that Python has, and lines that really make and call each layer."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from core.code import network_code
from core.config import ConfigError
from core.explaining.source import GENERATED, model_source
from core.model.anatomy import without_numbers
from core.networks.models import build, find_model
from core.records.layers import PLAIN_HEAD, HeadOptions
from core.records.sources import Mention, ModelSource

FAMILIES = (
    "small_cnn", "resnet18", "vgg11", "densenet121", "googlenet", "inception_v3", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5",
    "regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t", "maxvit_t",
)  # fmt: skip
OWN = "mynet: conv 32, norm, residual 64, global pool"


def source(model: str, head: HeadOptions = PLAIN_HEAD) -> ModelSource:
    return model_source(model, 10, find_model(model).usual, head)


def lines(found: ModelSource, mention: Mention) -> str:
    its = found.classes[mention.place]
    return "\n".join(its.text.split("\n")[mention.first - its.first : mention.last - its.first + 1])


read: Callable[[Any], tuple[list[str], int]] = cache(inspect.getsourcelines)
"""Python's own way to find a class's text, which reads the whole file each time."""


@pytest.mark.parametrize("model", FAMILIES)
def test_the_text_of_each_class_is_what_python_has_loaded(model: str) -> None:
    found = source(model)
    with without_numbers():
        modules = dict(build(model, 10, find_model(model).usual).named_modules())
    assert list(found.layers) == list(modules)
    for kind, path in {type(module): path for path, module in modules.items()}.items():
        its = found.of(path)
        lines, first = read(kind)
        assert (its.text, its.first) == ("".join(lines), first), path
    for path, module in modules.items():
        assert getattr(importlib.import_module(found.of(path).module), found.of(path).name) is type(module)
    assert len({its.address for its in found.classes}) == len(found.classes), "each class once"


@pytest.mark.parametrize("model", [*FAMILIES, OWN])
def test_each_outermost_layer_is_found_in_lines_that_make_it_and_lines_that_call_it(model: str) -> None:
    found = source(model)
    outermost = [path for path in found.layers if path and "." not in path]
    assert outermost
    for path in outermost:
        mentions = found.layers[path].mentions
        assert {"made"} < {mention.use for mention in mentions}, path
        for mention in mentions:
            assert f"self.{path}" in lines(found, mention)
        first = next(mention for mention in mentions if mention.use == "made")
        node = ast.parse(textwrap.dedent(lines(found, first))).body[0]
        assert isinstance(node, ast.Assign | ast.AnnAssign), "a whole statement that gives the attribute"
        called = [mention for mention in mentions if mention.use == "called"]
        assert all(f"self.{path}(" in lines(found, mention) for mention in called)


@pytest.mark.parametrize("model", FAMILIES)
def test_every_layer_deeper_down_has_lines_or_a_note_that_says_who_calls_it(model: str) -> None:
    found = source(model)
    for path, layer in found.layers.items():
        assert not path or layer.mentions or layer.note, path


def test_a_block_shows_its_own_class_and_where_it_was_made() -> None:
    found = source("resnet18")
    assert found.of("layer1.0").name == "BasicBlock"
    block = found.layers["layer1.0"]
    assert "nn.Sequential: its forward calls what is in it one after the other" in block.note
    said = [lines(found, mention) for mention in block.mentions]
    assert any("self.layer1 = self._make_layer(block, 64" in text for text in said)
    assert any("def _make_layer" in text and "return nn.Sequential(*layers)" in text for text in said), "the method that does it"
    (made, called) = found.layers["layer1.0.conv1"].mentions
    assert (lines(found, made).strip(), lines(found, called).strip()) == ("self.conv1 = conv3x3(inplanes, planes, stride)", "out = self.conv1(x)")


def test_layers_under_names_that_are_put_together_are_found_in_the_loops() -> None:
    found = source("densenet121")
    said = {mention.use: lines(found, mention) for mention in found.layers["features.denseblock1.denselayer1"].mentions}
    assert 'self.add_module("denselayer%d" % (i + 1), layer)' in said["made"]
    assert "for name, layer in self.items():" in said["called"]


def test_what_a_sequential_is_said_to_do_is_what_it_does() -> None:
    one, other = nn.Linear(2, 3), nn.Linear(3, 4)
    row = nn.Sequential(one, other)
    given = torch.randn(1, 2)
    assert bool((row(given) == other(one(given))).all())
    with pytest.raises(NotImplementedError):
        nn.ModuleList([one])(given)


def test_a_network_of_ones_own_shows_the_code_that_is_written_for_it() -> None:
    found = source(OWN)
    code = network_code(OWN, find_model(OWN).usual, 10)
    assert (found.of("").name, found.of("").module) == ("Mynet", GENERATED)
    assert found.of("").text.strip() in code
    assert code.splitlines()[found.of("").first - 1].startswith("class Mynet")
    assert found.of("residual1").name == "Residual"
    assert found.of("residual1").text.strip() in code
    assert found.of("conv1").module == "torch.nn.modules.conv"
    (made, called) = found.layers["residual1.conv1"].mentions
    assert "self.conv1 = nn.Conv2d(" in lines(found, made)
    assert "self.conv1(x)" in lines(found, called)


def test_a_new_head_is_said_to_have_been_put_there_by_thaw() -> None:
    found = source("resnet18", HeadOptions(hidden=24))
    assert found.of("fc").name == "Sequential"
    assert found.layers["fc"].note == "Thaw then puts a new head in its place: model.fc = Sequential(...)."
    assert source("resnet18").layers["fc"].note == ""


def test_what_cannot_be_built_has_no_source() -> None:
    with pytest.raises(ConfigError, match="resnet81"):
        model_source("resnet81", 10, 224)
