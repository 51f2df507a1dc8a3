"""How a sentence of the index of notions is tried: its lines of code are run, and a function asserts on what they leave behind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from core.notions import NOTIONS, SETUP

Proof = Callable[[Any], None]

PROOFS: dict[str, Proof] = {}
"""Name of a notion to what tries its sentence. Filled by the modules beside this one."""

_LEFT: dict[str, Any] = {}


def proves(name: str) -> Callable[[Proof], Proof]:
    """Have a function try the sentence of the notion `name`; it is given what the lines of code leave behind, as attributes."""

    def keep(proof: Proof) -> Proof:
        assert name not in PROOFS, f"{name} is tried twice"
        PROOFS[name] = proof
        return proof

    return keep


def after_setup() -> dict[str, Any]:
    """What `SETUP` leaves behind, as if it had just been run."""
    if not _LEFT:
        torch.manual_seed(0)
        exec(SETUP, _LEFT)
    torch.manual_seed(1)
    modules = {name: value for name, value in _LEFT.items() if isinstance(value, ModuleType | type) or name == "__builtins__"}
    others = {name: value for name, value in _LEFT.items() if name not in modules}
    return modules | copy.deepcopy(others)  # in one go: the optimizer still holds the model's own parameters


def left_by(name: str) -> SimpleNamespace:
    """What is there after the lines of the notion `name`."""
    left = after_setup()
    exec(NOTIONS[name].code, left)
    return SimpleNamespace(**left)
