"""The grammar of `devices`, what it means on a machine, and what does not go together with it."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import ConfigError, RunConfig
from core.config.devices import places


@pytest.mark.parametrize(("given", "spelt"), [(1, "1"), ("04", "4"), (" ALL ", "all"), ([0, 2], "0, 2"), ("cuda:1,cuda:0", "1, 0"), ("2", "2")])
def test_one_spelling(given: Any, spelt: str) -> None:
    assert RunConfig(devices=given).devices == spelt
    assert RunConfig.from_json(RunConfig(devices=given).to_json()).devices == spelt


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (0, "from 1 to 1,024"), (True, "a number of devices"), ("0, 0", "a GPU twice"), ([3], "set device to cuda:3"), ("-1", "a number of devices"),
        ("2.5", "a number of devices"), ("", "a number of devices"), ("<b>2</b>", "a number of devices"), ("9999999", "a number of devices"),
        ({"a": 1}, "a number of devices"), (None, "a number of devices"), (",", "a number of devices"), ("\u0662", "a number of devices"),
    ],
)  # fmt: skip
def test_what_is_no_number_of_devices_is_named(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RunConfig(devices=given)
    assert raised.value.field == "devices"
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"batch_size": 3, "devices": 4}, "batch_size", "use 4 or more"),
        ({"batch_size": 33}, "batch_size", "use 32 or 34"),
        ({"speed": "automatic"}, "speed", 'set it to \'exact\', or devices to 1'),
        ({"compile_model": True}, "compile_model", "set it to false"),
        ({"fault": "no zero_grad"}, "fault", "set it to 'none'"),
        ({"forgetting": True}, "forgetting", "set it to false"),
    ],
)  # fmt: skip
def test_what_is_for_one_device_is_refused_on_several(changes: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RunConfig(**{"devices": 2, **changes})
    assert raised.value.field == field
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"nodes": 0}, "nodes", "1 or more"),
        ({"nodes": 65}, "nodes", "64 or less"),
        ({"nodes": True}, "nodes", "must be a number"),
        ({"nodes": 3, "batch_size": 32}, "batch_size", "cut into 3 equal parts"),
        ({"nodes": 2, "devices": 2, "batch_size": 3}, "batch_size", "number of devices (4)"),
        ({"nodes": 2, "speed": "automatic"}, "speed", "set it to 'exact', or devices and nodes to 1"),
        ({"rendezvous": "10.0.0.5:29500"}, "rendezvous", "leave it empty, or set nodes to 2"),
        ({"nodes": 2, "rendezvous": "10.0.0.5:99999"}, "rendezvous", "use one from 1024 to 65535"),
        ({"nodes": 2, "rendezvous": "<b>:1"}, "rendezvous", "such as 192.168.1.5:29500"),
        ({"nodes": 2, "rendezvous": "[::1]:1"}, "rendezvous", "such as 192.168.1.5:29500"),
        ({"nodes": 2, "rendezvous": 29500}, "rendezvous", "such as 192.168.1.5:29500"),
    ],
)
def test_what_several_machines_cannot_do_is_refused(changes: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RunConfig(**changes)
    assert raised.value.field == field
    assert said in raised.value.message


@pytest.mark.parametrize(("given", "spelt"), [("", None), (" ", None), (None, None), (" host ", "host:0"), ("10.0.0.5:29500", "10.0.0.5:29500")])
def test_where_machines_meet_has_one_spelling(given: Any, spelt: str | None) -> None:
    config = RunConfig(nodes=2, rendezvous=given)
    assert config.rendezvous == spelt
    assert RunConfig.from_json(config.to_json()) == config


def test_places_on_a_machine() -> None:
    assert places("1", "cuda:3", 2, 4) == ("cuda:3",)
    assert places("all", "cpu", 2, 0) == ("cpu", "cpu")
    assert places("all", "mps", 8, 0) == ("mps",)
    assert places("2", "cuda:0", 8, 4) == ("cuda:0", "cuda:1")
    assert places("3, 1", "cuda:0", 8, 4) == ("cuda:3", "cuda:1")


@pytest.mark.parametrize(
    ("devices", "device", "said"),
    [
        ("3", "cpu", "3 processes are more than this machine has processor cores (2); use 2 or less"),
        ("0, 1", "cpu", "names GPUs, and device is the processor"),
        ("2", "cuda:0", "2 GPUs are more than this machine has GPUs (1); use 1"),
        ("0, 1", "cuda:0", "names cuda:1, and this machine has cuda:0"),
        ("2", "mps", "cannot be had with mps"),
    ],
)
def test_devices_that_are_not_there(devices: str, device: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        places(devices, device, 2, 1)
    assert raised.value.field == "devices"
    assert said in raised.value.message
