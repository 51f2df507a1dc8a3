"""What compiles is imported when something compiles: until then modules of the same names stand in for it, and nobody notices."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.machine import light_torch
from tests.support import ROOT

WORK = """
import sys
from core.machine import light_torch
import torch, torchvision
from core.model import anatomy
from core.networks import models

# What training does, each of which would import the compiler.
torch.use_deterministic_algorithms(True, warn_only=True)
layer = torch.nn.Linear(3, 2)
optimizer = torch.optim.AdamW(layer.parameters())
layer(torch.ones(4, 3)).sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
for name in ("small_cnn", "resnet18", "mobilenet_v3_small", "vit_b_16"):
    anatomy.describe(name, 10, 224)
big = [name for name in ("torch._dynamo.eval_frame", "torch._inductor.utils", "sympy", "triton", "torch.distributed.fsdp") if name in sys.modules]
assert not big, big

# The answers of what stands in, and then those of the real module.
shapes = sys.modules[light_torch.SHAPES]
asked = [
    ("expect_true", (True,)), ("expect_true", (False, 1)), ("guard_or_false", (True,)), ("guard_or_true", (False,)),
    ("guard_size_oblivious", (True,)), ("guarding_hint_or_throw", (7,)), ("statically_known_true", (False,)),
    ("sym_and", (True, True, False)), ("sym_and", (True,)), ("sym_or", (False, True)), ("sym_or", (False, False)),
    ("sym_eq", (3, 3)), ("sym_eq", ((2, 3), [2, 3])), ("sym_eq", ((2, 3), (2, 4))), ("sym_eq", (torch.Size([1]), (1, 1))),
    ("is_nested_int", (4,)), ("has_guarding_hint", (5,)),
]
assert {name for name, _ in asked} == set(light_torch._SYMBOLS._answers[light_torch.SHAPES])
before = [getattr(shapes, name)(*given) for name, given in asked]
assert "sympy" not in sys.modules

# Somebody compiles.
marked = torch.optim.Optimizer.zero_grad.__wrapped__
optimizer.zero_grad()
assert vars(marked)["__dynamo_disable"] is marked
compiled = torch.compile(layer, backend="eager")
assert torch.equal(compiled(torch.ones(4, 3)), layer(torch.ones(4, 3)))
import torch._dynamo, torch._inductor.config, torch._dynamo.config
assert torch._dynamo.__spec__.loader is not light_torch._COMPILING and torch._dynamo is sys.modules["torch._dynamo"]
assert torch._inductor.config.deterministic, "what was told to the stand-in is told to the compiler"
assert "__dynamo_disable" not in vars(marked)
optimizer.zero_grad()
assert vars(marked)["__dynamo_disable"] is not marked, "marked anew, for the compiler that is there now"
import torch.fx.experimental.symbolic_shapes as real
assert real is not shapes and before == [getattr(real, name)(*given) for name, given in asked]
print("all well")
"""


def test_training_imports_no_compiler_and_who_compiles_has_it() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip().endswith("all well"), done.stderr


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package `heavy_NUMBER` that notes when it is imported."""
    name = f"heavy_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("told = 0\ndef quick(): return 'real'\ndef slow(): return 'real'\n")
    (folder / "part.py").write_text("import sys\nparts = sys.modules.setdefault('parts of ' + __name__, [])\nparts.append(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if name in module]:
        del sys.modules[module]


@pytest.fixture
def later(package: str) -> Iterator[light_torch._Later]:
    """What stands in for it, with one answer."""
    found = light_torch._Later({package: {"quick": lambda: "stand-in"}}, packages=(package,))
    sys.meta_path.insert(0, found)
    yield found
    sys.meta_path.remove(found)


def test_an_answer_needs_no_import_and_anything_else_has_it_imported(package: str, later: light_torch._Later) -> None:
    stand_in: Any = importlib.import_module(package)
    assert stand_in.quick() == "stand-in"
    assert not later.over
    stand_in.told = 3
    assert stand_in.slow() == "real"
    assert later.over
    real: Any = sys.modules[package]
    assert real is not stand_in
    assert real.told == 3
    assert real.quick() == "real"
    assert (stand_in.quick(), stand_in.told) == ("real", 3), "whoever held the stand-in has the real module through it"
    stand_in.told = 4
    assert real.told == 4


def test_another_module_of_the_package_is_imported_once_and_is_whole(package: str, later: light_torch._Later) -> None:
    importlib.import_module(package)
    part = importlib.import_module(f"{package}.part")
    assert part.parts == [1]
    assert sys.modules[package].part is part
    assert part.__spec__ is not None
    assert part.__spec__.name == f"{package}.part"
    assert not isinstance(part, light_torch._StandIn)
    assert importlib.import_module(f"{package}.part") is part


def test_what_stood_in_for_a_while_leaves_nothing(package: str, later: light_torch._Later) -> None:
    importlib.import_module(package)
    later.gone()
    assert package not in sys.modules
    assert not later.over


def test_a_name_that_python_asks_for_imports_nothing(package: str, later: light_torch._Later) -> None:
    stand_in: ModuleType = importlib.import_module(package)
    assert not hasattr(stand_in, "__wrapped__")
    assert not later.over
