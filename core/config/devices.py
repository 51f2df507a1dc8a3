"""On how many devices a run trains: the grammar of `devices`, and which devices it means on a machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.config.errors import ConfigError

if TYPE_CHECKING:
    from core.config.run_config import RunConfig

MOST = 1024
"""Devices of a run at most."""

MOST_MACHINES = 64
"""Machines of a run at most."""

ALONE: Mapping[str, Any] = {"speed": "exact", "compile_model": False, "fault": "none", "forgetting": False}
"""Fields that are for runs on one device, and the value that they have on several."""


def canonical(value: Any) -> str:
    """`devices` in its one spelling: `4`, `all`, or `0, 2` for the GPUs cuda:0 and cuda:2.

    Raises:
        ValueError: it is none of them; the text says what is wanted.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | list | tuple):
        raise ValueError("must be a number of devices, all, or a list of GPUs such as 0, 2")
    text = ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value).strip().lower()
    if text == "all":
        return text
    if re.fullmatch(r"\d{1,6}", text, re.ASCII) and not isinstance(value, list | tuple):
        if not 1 <= int(text) <= MOST:
            raise ValueError(f"must be from 1 to {MOST:,} devices, or all")
        return str(int(text))
    numbers = [each.strip().removeprefix("cuda:") for each in text.split(",")]
    if not all(re.fullmatch(r"\d{1,4}", each, re.ASCII) for each in numbers) or len(numbers) > MOST:
        raise ValueError("must be a number of devices, all, or a list of GPUs such as 0, 2")
    if len({int(each) for each in numbers}) < len(numbers):
        raise ValueError("names a GPU twice; name each once")
    if len(numbers) == 1:
        raise ValueError(f"names a single GPU; leave devices at 1 and set device to cuda:{int(numbers[0])}")
    return ", ".join(str(int(each)) for each in numbers)


def meeting(value: Any) -> str | None:
    """`rendezvous` in its one spelling, `HOST:PORT`, port 0 where any free one will do; None: nothing was said.

    Raises:
        ValueError: it is no such place; the text says what is wanted.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none")):
        return None
    match = re.fullmatch(r"([\w.-]{1,150})(?::(\d{1,6}))?", value.strip(), re.ASCII) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be an address of this machine and a port, such as 192.168.1.5:29500, or empty")
    if int(match[2] or 0) > 65535:
        raise ValueError("has a port above 65535; use one from 1024 to 65535, such as 29500")
    return f"{match[1]}:{int(match[2] or 0)}"


def shared(config: RunConfig) -> bool:
    """Whether several devices share the run, on one machine or on several."""
    return config.devices != "1" or config.nodes > 1


def number(devices: str, there: int) -> int:
    """How many `devices` (in its one spelling) are, on a machine that has `there` of the kind."""
    if devices == "all":
        return max(there, 1)
    return len(devices.split(",")) if "," in devices else int(devices)


def places(devices: str, device: str, cores: int, gpus: int) -> tuple[str, ...]:
    """The device of each process, in torch's names; one for a run that is not shared.

    Args:
        devices: in its one spelling.
        device: what `device` of the config means here: cpu, cuda:0, mps.
        cores: processor cores of the machine: so many processes may share it.
        gpus: GPUs of the machine that torch can use.

    Raises:
        ConfigError: on `devices`, there are not as many, or not those.
    """
    if devices == "1":
        return (device,)
    if device == "cpu":
        if "," in devices:
            raise ConfigError("devices", f"{devices!r} names GPUs, and device is the processor; say how many processes, such as {min(2, cores)}")
        return ("cpu",) * _counted(number(devices, cores), cores, "processes", "processor cores")
    if not device.startswith("cuda"):
        if devices == "all":
            return (device,)
        raise ConfigError("devices", f"{devices!r} cannot be had with {device}, of which there is one; use 1, or set device to cpu")
    if "," not in devices:
        return tuple(f"cuda:{place}" for place in range(_counted(number(devices, gpus), gpus, "GPUs", "GPUs")))
    wanted = [int(each) for each in devices.split(",")]
    if missing := [place for place in wanted if place >= gpus]:
        raise ConfigError("devices", f"{devices!r} names cuda:{missing[0]}, and this machine has {_there(gpus)}")
    return tuple(f"cuda:{place}" for place in wanted)


def check_batch(ranks: int, batch_size: int) -> None:
    """Raises ConfigError on `batch_size` where a batch cannot be cut into as many equal parts as there are devices."""
    if batch_size < ranks:
        raise ConfigError("batch_size", f"{batch_size} is smaller than the number of devices ({ranks}), which share it; use {ranks} or more")
    if batch_size % ranks:
        lower = batch_size // ranks * ranks
        raise ConfigError("batch_size", f"{batch_size} cannot be cut into {ranks} equal parts, one for each device; use {lower} or {lower + ranks}")


def check_shared(config: RunConfig) -> None:
    """See that a run on several devices asks for nothing that is for one device alone, and that its batch can be cut.

    Raises:
        ConfigError: on the field that does not go together with `devices`.
    """
    if config.nodes == 1 and config.rendezvous is not None:
        raise ConfigError("rendezvous", f"{config.rendezvous!r} is for runs on several machines; leave it empty, or set nodes to 2")
    if not shared(config):
        return
    for field, usual in ALONE.items():
        value = getattr(config, field)
        if value != usual:
            shown, wanted = (json.dumps(each) if isinstance(each, bool) else repr(each) for each in (value, usual))
            counts = "devices" if config.nodes == 1 else "devices and nodes"
            raise ConfigError(field, f"{shown} is for runs on one device; set it to {wanted}, or {counts} to 1")
    if config.devices != "all":
        check_batch(config.nodes * number(config.devices, 1), config.batch_size)


def _counted(wanted: int, there: int, what: str, of: str) -> int:
    if wanted > there:
        most = f"use {there} or less" if there > 1 else "use 1"
        raise ConfigError("devices", f"{wanted} {what} are more than this machine has {of} ({there}); {most}, or all")
    return wanted


def _there(gpus: int) -> str:
    names: Sequence[str] = [f"cuda:{place}" for place in range(gpus)]
    return ", ".join(names) or "no GPU that torch can use"
