"""The tensors in a file that comes from anywhere: a file of torch.save, old or new, or of safetensors. Files are treated as hostile.

No code in a file is ever run: its pickle is looked through first, a class that is not harmless refuses it, and what is left is read by
torch's safe loader. The numbers of newer files are not read but mapped, so that a checkpoint with the state of an optimizer costs no
more memory than the model that takes its weights from it.
"""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.catalog.weight_kinds import IN_WORDS, kind_of, refused
from core.config import ConfigError
from core.model import pickle_scan
from core.model.allowed import STAND_INS
from core.model.contents import tensors_in
from core.model.likeness import looks_like
from core.model.pickle_scan import Scan

MOST_TENSORS = 20_000
"""Those of a model with the state of its optimizer are 5,000 at most."""

RISKY = frozenset(("builtins", "ctypes", "importlib", "nt", "os", "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys", "webbrowser"))
"""Modules of Python whose functions no weights need, and attacks do."""

# What the readers raise for files that are not what they should be; torch.load has no error of its own.
UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, zipfile.BadZipFile, struct.error, RuntimeError, EOFError, OSError, ValueError,
    LookupError, AttributeError, TypeError, AssertionError, ArithmeticError, ImportError, MemoryError, NotImplementedError,
)  # fmt: skip

DAMAGED = "it is damaged or incomplete; copy or download it again"


@dataclass(frozen=True)
class Found:
    """What lies in a file: its tensors, by their names with those of all that they lie in, joined by dots. `kind`: of the file, in words."""

    tensors: Mapping[str, Tensor]
    kind: str


def read(path: Path) -> Found:
    """The tensors in a file of weights, on the CPU, whatever the file is called and whatever they lie in. No code in the file is run.

    Raises:
        ConfigError: on `starting_weights`, for a file that cannot be read, may not be, or holds no tensors.
    """
    kind = kind_of(path)
    try:
        if kind == "safetensors":
            content: Any = load_file(path, device="cpu")
        else:
            scan = _look_through(path, kind == "legacy")
            content = _load(path, scan, mapped=kind == "zip")
    except ConfigError:
        raise
    except PermissionError:
        raise refused(path, "it may not be read; check its permissions") from None
    except MemoryError:
        raise refused(path, "it needs more memory than is free; save only model.state_dict() with torch.save") from None
    except UNREADABLE:
        raise refused(path, DAMAGED) from None
    return Found(_tensors(content, path), IN_WORDS[kind])


def _look_through(path: Path, legacy: bool) -> Scan:
    """See, before anything is loaded, that a pickle names no class but harmless ones and is of a size that can be."""
    try:
        if legacy:
            with path.open("rb") as file:
                scan = pickle_scan.scan(file, pickle_scan.PICKLES)
        else:
            with zipfile.ZipFile(path) as archive:
                item = next(each for each in archive.infolist() if each.filename.rpartition("/")[2] == "data.pkl" and each.filename.count("/") <= 1)
                if item.file_size > pickle_scan.LARGEST:
                    raise pickle_scan.TooLong
                with archive.open(item) as inside:
                    scan = pickle_scan.scan(inside)
    except pickle_scan.TooLong:
        reason = "it holds far more beside the weights than a file of weights does; save only model.state_dict() with torch.save"
        raise refused(path, reason) from None
    if scan.protocol > 3:
        raise refused(path, _protocol(scan))
    if scan.refused:
        raise refused(path, _not_harmless(scan, path))
    if scan.numbers > path.stat().st_size:
        raise refused(path, DAMAGED)
    return scan


def _not_harmless(scan: Scan, path: Path) -> str:
    names = scan.refused
    if risky := [name for name in names if name.partition(".")[0] in RISKY]:
        named = ", ".join(name[:100] for name in risky[:3])
        what = f"it would call {named}, which files of weights have no use for: opened without care, it could run any program"
        return f"{what}; do not open it in another way, and get the weights from somewhere else"
    whole = [name for name in names if name.startswith(("torch.nn.modules.", "torchvision.models.", "timm.models."))]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    named = ", ".join(name[:100] for name in (whole or names)[:3]) + more
    if whole:
        what = f"it is a whole model (torch.save(model)), whose classes ({named}) could run code"
        lines = "model = torch.load(FILE, weights_only=False); torch.save(model.state_dict(), 'weights.pth')"
    else:
        what = f"beside tensors it names {named}, which could run code{looks_like(scan.shapes)}"
        lines = "content = torch.load(FILE, weights_only=False); torch.save(content['state_dict'], 'weights.pth'), or whatever it calls the weights"
    return f"{what}; save only the weights, where you trust {path.name[:80]}: {lines}"


def _load(path: Path, scan: Scan, mapped: bool) -> Any:
    try:
        with torch.serialization.safe_globals(list(STAND_INS)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the protocol, which is looked at below, and of sparse tensors, which are refused
            if path.suffix == ".safetensors":  # torch would go by the name
                with path.open("rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UNREADABLE:
        if scan.protocol <= 2:
            raise
    raise refused(path, _protocol(scan))


def _protocol(scan: Scan) -> str:
    what = f"it was saved with pickle protocol {scan.protocol}, which the safe loader of PyTorch does not read"
    return f"{what}; save it again with torch.save(model.state_dict(), 'weights.pth'), without pickle_protocol"


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors_in(content):
        if name in found and found[name] is not tensor:
            raise refused(path, f"it holds two tensors that are called {name[:80]!r}; save only model.state_dict() with torch.save")
        found[name] = tensor
        if len(found) > MOST_TENSORS:
            reason = f"it holds more than {MOST_TENSORS:,} tensors, which no model here has; save only model.state_dict() with torch.save"
            raise refused(path, reason)
    if not found or list(found) == [""]:
        what = "a single tensor" if found else f"a {type(content).__name__} without a tensor"
        raise refused(path, f"it holds {what} instead of a state_dict; save model.state_dict() with torch.save")
    return {name: tensor.detach() for name, tensor in found.items()}
