"""Starting weights: random, torchvision's published ones, or a file. Files come from anywhere and are treated as hostile.

A state_dict is read without ever unpickling code, compared with the model name by name and shape by shape, and only then
loaded, whole: a model never ends up with half of a file.
"""

from __future__ import annotations

import contextlib
import errno
import pickle
import re
import socket
import struct
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from core.catalog.check import weights_file
from core.config import ConfigError, RunConfig
from core.networks.model_entries import ModelEntry
from core.networks.models import find_model

Progress = Callable[[str, float | None], None]

CONTAINERS = ("state_dict", "model_state_dict", "model")
"""Under which keys training scripts keep the state_dict in a larger checkpoint."""

PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)
"""What an ordinary state_dict may hold: no quantized, complex or 8-bit float numbers."""

NETWORK_PATIENCE = 30.0
"""Seconds without a byte after which a download has failed."""

# What the readers raise for files that are not what they should be; torch.load has no error of its own.
_UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, zipfile.BadZipFile, struct.error, RuntimeError, EOFError, OSError, ValueError,
    LookupError, AttributeError, TypeError, AssertionError, ArithmeticError, ImportError, MemoryError,
)  # fmt: skip


def load(model: nn.Module, config: RunConfig, progress: Progress = lambda text, share: None) -> None:
    """Give `model`, as `models.build` made it for `config`, its starting weights. Random ones are what it already has.

    The head (and the heads of auxiliary classifiers) keeps its fresh weights where the others are for another number of classes,
    have no head at all, or one built with other options (dropout, hidden layer). A vision transformer's position embeddings are
    interpolated to its image size.

    Args:
        progress: told what is being done, and the share of it that is done (0 to 1) where that is known.

    Raises:
        ConfigError: on `starting_weights`, with the remedy: no network, no such file, a file that is broken, dangerous or of
            another model. The model is as it was before.
    """
    entry = find_model(config.model)
    match config.starting_weights:
        case "random":
            return
        case "pretrained":
            name, state = f"the published weights of {entry.name}", _published(entry, progress)
        case path:
            file = weights_file(path)
            progress(f"reading {file.name}", None)
            name, state = str(file), read(file)
    _fit(model, entry, state, name)


def read(path: Path) -> dict[str, Tensor]:
    """The state_dict in a `.pth`, `.pt` or `.safetensors` file, on the CPU. No code in the file is run.

    Accepted too: a checkpoint that holds it under 'state_dict' or 'model', and names that begin with 'module.'.

    Raises:
        ConfigError: on `starting_weights`, for a file that cannot be read or holds anything but tensors.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            content: Any = load_file(path, device="cpu")
        else:
            _refuse_bomb(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _error(path, _reason(error)) from None
    return _state_dict(content, path)


def _refuse_bomb(path: Path) -> None:
    """Refuse a zip file that grows in memory. torch.save writes its files uncompressed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
        if unpacked > 2 * path.stat().st_size + 1_000_000:
            raise ValueError(f"it is compressed and would unpack to {unpacked / 1e6:,.0f} MB, which torch.save never does")


def _reason(error: BaseException) -> str:
    """Why a file could not be read, in one line."""
    refused = re.search(r"GLOBAL ([\w.]+)|Unsupported (?:global|class):? ([\w.]+)", str(error))
    if refused:
        return (
            f"it holds something other than tensors ({refused[1] or refused[2]}), which could run code; save only model.state_dict() with torch.save"
        )
    if "Unsupported operand" in str(error):
        return "it is a pickle of another kind than torch.save makes, or damaged; save only model.state_dict() with torch.save"
    if isinstance(error, PermissionError):
        return "it may not be read; check its permissions"
    if isinstance(error, ValueError) and "torch.save never" in str(error):
        return f"{error}; save model.state_dict() with torch.save"
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
    return f"it is damaged, incomplete or no weights file ({first_line}); copy or download it again"


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise _error(path, f"it holds {_kind(content)} instead of a state_dict; save model.state_dict() with torch.save")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise _error(path, f"its entry {str(name)[:80]!r} is {_kind(tensor)} instead of a tensor; save model.state_dict() with torch.save")
        if tensor.layout != torch.strided or tensor.dtype not in DTYPES or tensor.device.type != "cpu":
            raise _error(path, f"its tensor {name[:80]!r} is not an ordinary one; save model.state_dict() of a model in float32")
    state = {str(name): tensor for name, tensor in content.items()}
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _kind(value: Any) -> str:
    return "nothing" if isinstance(value, Mapping) and not value else f"a {type(value).__name__}"


def _fit(model: nn.Module, entry: ModelEntry, state: Mapping[str, Tensor], name: str) -> None:
    """Load `state` into `model`, or raise and leave the model as it is. `name` is for the errors."""
    own = model.state_dict()
    loaded = {_today(key): tensor for key, tensor in state.items()}
    if isinstance(model, VisionTransformer):
        loaded = _at_image_size(model, loaded, name)
    for head in entry.family.head:
        if _built_otherwise(head, loaded, own):
            loaded = {key: tensor for key, tensor in loaded.items() if not key.startswith(head + ".")}
    loaded |= {key: own[key] for key in own if key not in loaded and (key.endswith(".num_batches_tracked") or _absent_whole(key, entry, loaded))}
    for head in entry.family.head:
        keys = [key for key in own if key.rpartition(".")[0] == head]
        if all(key in loaded and _differ_in_classes_only(loaded[key], own[key]) for key in keys):
            loaded |= {key: own[key] for key in keys}

    missing = [key for key in own if key not in loaded]
    unexpected = [key for key in loaded if key not in own]
    if missing or unexpected:
        complaint = " and ".join(_first(what, keys) for what, keys in (("it lacks", missing), ("it has the unknown", unexpected)) if keys)
        raise _misfit(name, entry, complaint)
    for key, tensor in loaded.items():
        if tensor.shape != own[key].shape:
            raise _misfit(name, entry, f"its {key} is {_size(tensor)} where the model has {_size(own[key])}")
        if tensor.is_floating_point() != own[key].is_floating_point():
            raise _misfit(name, entry, f"its {key} holds {tensor.dtype} where the model has {own[key].dtype}")
        if not bool(torch.isfinite(tensor).all()):
            complaint = f"NaN or infinite numbers in {key}: it was saved after training had failed"
            raise ConfigError("starting_weights", f"{name} holds {complaint}; use another file")
    # The versions torch keeps beside a state_dict say how to convert old names, which `_today` has done.
    ready = OrderedDict(loaded)
    ready._metadata = own._metadata  # type: ignore[attr-defined]
    model.load_state_dict(ready, strict=True)


def _today(key: str) -> str:
    """A parameter's name as torchvision calls it now: published DenseNets and vision transformers have older ones."""
    key = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)
    return re.sub(r"(encoder_layer_\d+\.mlp)\.linear_([12])\.", lambda found: f"{found[1]}.{'0' if found[2] == '1' else '3'}.", key)


def _at_image_size(model: VisionTransformer, state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    positions = state.get("encoder.pos_embedding")
    if positions is None or positions.dim() != 3 or positions.shape[2] != model.hidden_dim:
        return state
    try:
        return dict(interpolate_embeddings(model.image_size, model.patch_size, OrderedDict(state)))
    except (ValueError, RuntimeError) as error:
        complaint = f"position embeddings that do not fit {model.image_size} pixels ({error})"
        raise ConfigError("starting_weights", f"{name} has {complaint}; use another file") from None


def _absent_whole(key: str, entry: ModelEntry, state: Mapping[str, Tensor]) -> bool:
    """True if `key` is of a head, or of an auxiliary classifier, of which `state` has nothing at all."""
    parts = (*entry.family.head, *entry.family.auxiliary)
    return any(key.startswith(part + ".") and not any(other.startswith(part + ".") for other in state) for part in parts)


def _built_otherwise(head: str, given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """True if one of two heads is a container (a hidden layer, dropout) and the other is none, or one of other layers or widths."""
    theirs, ours = ({key: tensor.shape for key, tensor in state.items() if key.startswith(head + ".")} for state in (given, own))
    containers = any(key.rpartition(".")[0] != head for key in (*theirs, *ours))
    return containers and theirs != ours


def _differ_in_classes_only(given: Tensor, own: Tensor) -> bool:
    return given.dim() == own.dim() > 0 and given.shape[1:] == own.shape[1:] and len(given) != len(own)


def _first(what: str, keys: list[str]) -> str:
    rest = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{what} {', '.join(key[:80] for key in keys[:3])}{rest}"


def _size(tensor: Tensor) -> str:
    return " x ".join(str(length) for length in tensor.shape) or "a single number"


def _misfit(name: str, entry: ModelEntry, complaint: str) -> ConfigError:
    remedy = "choose the model that it was saved from, or another file"
    return ConfigError("starting_weights", f"{name} does not fit {entry.label}: {complaint}; {remedy}")


def _error(path: Path, reason: str) -> ConfigError:
    return ConfigError("starting_weights", f"{str(path)!r} cannot be used: {reason}")


def _published(entry: ModelEntry, progress: Progress) -> dict[str, Tensor]:
    """The default weights of torchvision for a model, from torch's own cache or the network."""
    if not entry.pretrained:
        raise ConfigError("starting_weights", f"'pretrained': {entry.label} is a model of our own and has no published weights; use random")
    weights = torchvision.models.get_model_weights(entry.name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    here = file.exists()
    progress("reading the published weights" if here else f"downloading weights: 0 of {entry.megabytes} MB", None if here else 0.0)
    try:
        _remove_leftovers(file)
        with _download_reported(progress):
            state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except ConfigError:
        raise  # whoever listens to the progress
    except _DOWNLOAD_ERRORS as error:
        if file.exists():
            raise _error(file, f"{_reason(error)}, or delete it and start again to download it") from None
        raise _not_downloaded(error, weights.url, file) from None
    return state


_DOWNLOAD_ERRORS = (*_UNREADABLE, HTTPException)


def _not_downloaded(error: BaseException, address: str, file: Path) -> ConfigError:
    remedy = f"use random, give the path of a weights file, or put {file.name} into {file.parent}"
    if isinstance(error, HTTPError):
        reason = f"{address} answered {error.code} {error.reason}; try later"
    elif isinstance(error, RuntimeError) and "hash" in str(error):
        reason = f"the download from {address} was incomplete or damaged; start again"
    elif isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename} cannot be written ({error.strerror}); set TORCH_HOME to a folder that can"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:  # while writing, it comes without a file name
        reason = f"no space is left in {file.parent}; make room, set TORCH_HOME to another folder"
    else:
        reason = f"{address} could not be reached ({str(error).strip() or type(error).__name__}); connect to the internet"
    return ConfigError("starting_weights", f"'pretrained': {reason}, {remedy}")


def _remove_leftovers(file: Path) -> None:
    """Remove what downloads of this file left behind when they were killed: their partial files, untouched for an hour."""
    for partial in file.parent.glob(f"{file.name}.*.partial"):
        with contextlib.suppress(OSError):  # another process was quicker
            if partial.stat().st_mtime < time.time() - 3600:
                partial.unlink()


@contextlib.contextmanager
def _download_reported(progress: Progress) -> Iterator[None]:
    """Within it, torch.hub reports its downloads to `progress`, keeps standard output clean and does not wait for ever."""

    class Report:
        """Stands in for tqdm: `update` is told of every chunk."""

        def __init__(self, total: int | None = None, **_: Any) -> None:
            self.total = total
            self.done = 0
            self.told = 0.0

        def update(self, size: int) -> None:
            self.done += size
            now = time.monotonic()
            if now - self.told >= 0.2 or self.done == self.total:  # whoever listens writes to a database
                self.told = now
                of = f" of {self.total / 1e6:.0f}" if self.total else ""
                progress(f"downloading weights: {self.done / 1e6:.0f}{of} MB", self.done / self.total if self.total else None)

        def __enter__(self) -> Report:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    hub: Any = torch.hub
    bar, patience = hub.tqdm, socket.getdefaulttimeout()
    hub.tqdm = Report
    socket.setdefaulttimeout(NETWORK_PATIENCE)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        hub.tqdm = bar
        socket.setdefaulttimeout(patience)
