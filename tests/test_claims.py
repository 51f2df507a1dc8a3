"""Every sentence that claims something about torch, statistics, models or data stands where it should, and was tried by a test that exists."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from functools import cache

import pytest
import torch

from tests import claims
from tests.claims import TRIED_WITH, Claim
from tests.house import ROOT

CLAIMS: tuple[Claim, ...] = tuple(
    claim for found in pkgutil.iter_modules(claims.__path__) for claim in importlib.import_module(f"{claims.__name__}.{found.name}").CLAIMS
)


@cache
def sentences(where: str) -> str:
    """All texts of a file, each on a line; what is put into an f-string reads `{...}`, and runs of white space are one space."""
    source = (ROOT / where).read_text()
    if where.endswith(".js"):  # what stands in an object's braces is text too
        return re.sub(r"\$\{[^{}]*\}", "{...}", re.sub(r"\s+", " ", source))
    if not where.endswith(".py"):
        return re.sub(r"\s+", " ", source)
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "{...}" for part in node.values))
    return "\n".join(re.sub(r"\s+", " ", text) for text in found)


@cache
def named_in(where: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / where).read_text())) if isinstance(node, ast.FunctionDef)}


def ident(claim: Claim) -> str:
    return f"{claim.where}-{claim.text[:40]}"


@pytest.mark.parametrize("claim", CLAIMS, ids=ident)
def test_a_claim_stands_where_it_is_said_to_stand_and_its_test_exists(claim: Claim) -> None:
    assert claim.text in sentences(claim.where)
    if claim.tried.startswith("by hand: "):
        assert len(claim.tried) > 30, "say how it was tried"
        return
    place, _, name = claim.tried.partition("::")
    assert name.startswith("test_")
    assert name in named_in(place)


def test_no_claim_stands_twice() -> None:
    assert len({(claim.text, claim.where) for claim in CLAIMS}) == len(CLAIMS)


def test_the_claims_were_looked_at_with_this_torch() -> None:
    """Fails when torch is newer: then run the tests that are named, read again what was tried by hand, and raise TRIED_WITH."""
    version = ".".join(torch.__version__.split(".")[:2])
    by_hand = [f"{claim.where}: {claim.text}" for claim in CLAIMS if claim.tried.startswith("by hand: ")]
    assert version == TRIED_WITH, "\n".join(["to be read again:", *by_hand])
