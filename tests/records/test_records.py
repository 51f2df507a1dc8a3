"""What page and worker share is plain data: values that nobody changes after they were made."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import is_dataclass

import pytest

from core import catalog, config, networks, records

ROOMS_OF_VALUES = (records, config, catalog, networks)


@pytest.mark.parametrize("room", ROOMS_OF_VALUES, ids=lambda room: room.__name__)
def test_every_record_is_frozen_so_that_it_can_be_shared_and_be_a_key(room: object) -> None:
    found = 0
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):  # type: ignore[attr-defined]
        for name, kind in vars(importlib.import_module(module.name)).items():
            if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.name:
                assert kind.__dataclass_params__.frozen, f"{module.name}.{name}"  # type: ignore[attr-defined]
                found += 1
    assert found > 0
