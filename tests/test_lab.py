"""The helper process that answers what needs torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.config import ConfigError
from core.home import Home
from core.lab import Lab, LabError


@pytest.fixture
def lab(home: Home) -> Iterator[Lab]:
    lab = Lab(home)
    yield lab
    lab.close()


def test_lab_describes_a_model_and_remembers_it(lab: Lab) -> None:
    description = lab.describe("resnet18", 10, 64)
    assert len(description.parameters) == 62
    assert description.count == 11_181_642
    assert [parameter.name for parameter in description.parameters if parameter.role == "head"] == ["fc.weight", "fc.bias"]
    lab.close()
    assert lab.describe("resnet18", 10, 64) == description  # without a process: remembered


def test_lab_says_what_this_machine_has(lab: Lab) -> None:
    machine = lab.machine()
    assert machine.devices[0].name == "cpu"
    assert machine.cores >= 1
    assert machine.memory_bytes > 2**28


def test_bad_model_is_a_config_error_and_the_lab_lives_on(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"resnet81"):
        lab.describe("resnet81", 10, 64)
    assert lab.machine().cores >= 1


def test_lab_that_was_killed_is_started_again(lab: Lab) -> None:
    lab.machine()
    assert lab._process is not None
    lab._process.kill()
    lab._process.wait()
    assert lab.describe("mlp", 3, 16).classes == 3


def test_lab_that_dies_at_a_question_names_its_log(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.lab.sys.executable", "/bin/false")
    with pytest.raises(LabError, match=r"lab\.log"):
        lab.machine()
