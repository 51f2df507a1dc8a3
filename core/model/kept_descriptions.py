"""Descriptions of models on disk: what `anatomy` works out, 0.1 s of each start, stays the same until the code or torch is another.

A file for each model, head and image size, in the home that this process works in; a process without one keeps nothing. A file counts if it is
whole (`machine.kept_files`) and of what was asked for. Whatever else lies there is worked out and written anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
import torchvision
from pydantic import TypeAdapter, ValidationError

from core import networks
from core.config import plans
from core.machine import kept_files
from core.machine.home import Home
from core.records import layers
from core.records.layers import HeadOptions, ModelDescription

MOST = 200
"""Files that are kept at most, 2 to 210 kB each: those that were written longest ago go first."""

_DESCRIPTION = TypeAdapter(ModelDescription)


def _code() -> str:
    """SHA-256 of the files that decide what a description says."""
    rooms = Path(networks.__file__).parent.glob("*.py")
    files = [Path(__file__), Path(__file__).with_name("anatomy.py"), Path(plans.__file__), Path(layers.__file__), *sorted(rooms)]
    return kept_files.code_of(files)


_CODE = _code()  # when it is imported: a file that is edited later is not what this process works with


def kept(model: str, classes: int, image_size: int, head: HeadOptions) -> ModelDescription | None:
    """The description that `keep` was given for these, by this process or an earlier one; None: there is none that counts."""
    path = _path(model, classes, image_size, head)
    body = kept_files.read(path) if path else None
    if body is None:
        return None
    try:
        found = _DESCRIPTION.validate_json(body)
    except ValidationError:
        return None
    return found if (found.model, found.classes, found.image_size) == (model, classes, image_size) else None


def keep(description: ModelDescription, head: HeadOptions) -> None:
    """Have `kept` find this one. A disk that does not take it costs nothing but that."""
    path = _path(description.model, description.classes, description.image_size, head)
    if path is not None:
        kept_files.keep(path, _DESCRIPTION.dump_json(description), MOST)


def _path(model: str, classes: int, image_size: int, head: HeadOptions) -> Path | None:
    """Where the description of these lies; None where this process works in no home, or in one that is gone."""
    home = Home.chosen()
    if home is None or not home.cache.is_dir():
        return None
    told = json.dumps([_CODE, torch.__version__, torchvision.__version__, model, classes, image_size, asdict(head)])
    return home.cache / "descriptions" / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"
