"""In what kind of file weights lie: told from its first bytes and, for a zip file, from its list of contents, never from its name. No torch.

A file that cannot hold PyTorch weights is refused here, before Start, with what it is and what to do instead. Nothing is unpacked.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal

from core.config import ConfigError
from core.config.limits import quoted

Kind = Literal["zip", "legacy", "safetensors"]
"""What can be read: the zip files of torch.save, its files from before version 1.6, and those of safetensors."""

IN_WORDS: dict[Kind, str] = {
    "zip": "a file of torch.save",
    "legacy": "a file of torch.save from before PyTorch 1.6",
    "safetensors": "a safetensors file",
}

HEAD = 1024
"""Bytes that are looked at first."""

LARGEST_LISTING = 8_000_000
"""Bytes of a zip file's list of contents: that of 50,000 tensors."""

LARGEST_HEADER = 100_000_000
"""Bytes of the names and shapes in a safetensors file: the limit of the library itself."""

_MAGIC_NUMBER = b"l\xfc\x9cF\xf9 j\xa8P\x19."
"""How the number at the beginning of torch's older files is pickled, whatever the protocol."""

_UNPACK = "unpack it, and give the path of the weights file in it"
_AGAIN = "copy or download it again"
_TORCH_ONLY = "Thaw reads weights of PyTorch: take a file of the same model that was saved with torch.save(model.state_dict(), 'weights.pth')"

_BEGINNINGS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves models", _TORCH_ONLY),
    (4, b"TFL3", "a model of TensorFlow Lite", _TORCH_ONLY),
    (0, b"GGUF", "a GGUF file of a language model", _TORCH_ONLY),
    (0, b"\x93NUMPY", "an array of NumPy", _TORCH_ONLY),
    (0, b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (0, b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a rar archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89PNG", "a picture", "give the path of a weights file"),
    (0, b"\xff\xd8\xff", "a picture", "give the path of a weights file"),
    (0, b"%PDF", "a PDF document", "give the path of a weights file"),
)
"""Where in a file, which bytes, what that is, and what to do."""


def refused(path: Path, reason: str) -> ConfigError:
    """The error for a weights file that cannot be used, with the reason and the remedy."""
    return ConfigError("starting_weights", f"{quoted(str(path))} cannot be used: {reason}")


def kind_of(path: Path) -> Kind:
    """In which of the kinds that can be read the weights at `path` lie. Reads a few kB, whatever the file.

    Raises:
        ConfigError: on `starting_weights`, for a file of any other kind, an empty one, and one whose end is missing.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            size = path.stat().st_size
            if head.startswith(b"PK"):
                return _zip(path, file, size)
    except PermissionError:
        raise refused(path, "it may not be read; check its permissions") from None
    except OSError as error:
        raise refused(path, f"it cannot be read ({error.strerror or error}); {_AGAIN}") from None
    if not head.strip(b"\0"):
        what = f"it holds nothing but zeros in its first {len(head):,} bytes" if head else "it is empty"
        raise refused(path, f"{what}: a download or a copy that has not happened; {_AGAIN}")
    if _MAGIC_NUMBER in head[:32]:
        return "legacy"
    if _is_safetensors(path, head, size):
        return "safetensors"
    raise refused(path, _another_kind(head))


def _is_safetensors(path: Path, head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 2 <= length <= LARGEST_HEADER:
        return False
    if size < 8 + length:
        raise refused(path, f"it is a safetensors file that is damaged, incomplete: it ends within its list of tensors; {_AGAIN}")
    return True


def _another_kind(head: bytes) -> str:
    """What a file is that no weights can be read from, and what to do, as the end of a sentence."""
    for place, magic, what, remedy in _BEGINNINGS:
        if head[place : place + len(magic)] == magic:
            return f"it is {what}; {remedy}"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        remedy = "where you trust it, load it in Python and save only the weights: torch.save(model.state_dict(), 'weights.pth')"
        return f"it is a pickle of another kind than torch.save makes, which could run code; {remedy}"
    if len(head) > 3 and head[0] == 8 and head[1] < 128 and head[2] in (0x12, 0x1A, 0x22, 0x2A, 0x3A, 0x42):
        return f"it is a model of ONNX or TensorFlow (protobuf); {_TORCH_ONLY}"
    return _text(head) or f"it is damaged or no weights file (it begins with {head[:8].hex(' ')}); {_AGAIN}"


def _text(head: bytes) -> str:
    """The same for a file of text; nothing for any other."""
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD else "ignore").lstrip()
    except UnicodeDecodeError:
        return ""
    if any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
        return ""
    start = text[:200].casefold()
    if start.startswith("version https://git-lfs"):
        remedy = "run 'git lfs pull' where it was cloned, or download the file itself"
        return f"it is a pointer of Git LFS, which stands for the weights and does not hold them; {remedy}"
    if start.startswith(("<!doctype", "<html", "<?xml", "<head", "<!--")):
        what = "it is a web page that was saved in the place of the weights (a login, a notice or an error)"
        return f"{what}; open its address in a browser, and download the file itself"
    if start.startswith(("{", "[")):
        what = "it is a JSON file and not the weights: settings, or a list of the files that they lie in"
        return f"{what}; give the path of the weights file beside it"
    return f"it is a text ({quoted(text[:40])}) and no weights file; {_AGAIN}"


# Zip files


def _zip(path: Path, file: BinaryIO, size: int) -> Kind:
    if (listing := _listing(file, size)) is None:
        raise refused(path, f"it is damaged, incomplete: it begins as a file of torch.save and its end is missing; {_AGAIN}")
    if listing > LARGEST_LISTING:
        raise refused(path, f"it is a zip file with a list of contents of {listing / 1e6:,.0f} MB, which no file of weights has; {_AGAIN}")
    try:
        with zipfile.ZipFile(file) as archive:
            items = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError):
        raise refused(path, f"it is damaged, incomplete: its list of contents cannot be read; {_AGAIN}") from None
    names = [item.filename for item in items]
    folders = sorted({name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == "data.pkl" and name.count("/") <= 1})
    if len(folders) != 1:
        raise refused(path, _another_zip(names))
    inside = f"{folders[0]}/" if folders[0] else ""
    if any(name == f"{inside}constants.pkl" or name.startswith(f"{inside}code/") for name in names):
        lines = "state = torch.jit.load(FILE, map_location='cpu').state_dict(); torch.save(state, 'weights.pth')"
        what = "it is a TorchScript archive (torch.jit.save), a program and not weights alone"
        raise refused(path, f"{what}; where you trust it, save its weights: {lines}")
    unpacked = sum(item.file_size for item in items)
    if any(item.compress_type != zipfile.ZIP_STORED for item in items) or unpacked > size:
        remedy = "save model.state_dict() with torch.save, or zip it again without compression (zip -0)"
        raise refused(path, f"it is compressed and would unpack to {unpacked / 1e6:,.0f} MB, which torch.save never does; {remedy}")
    return "zip"


def _listing(file: BinaryIO, size: int) -> int | None:
    """How many bytes the list of contents of a zip file has; None where its end is missing."""
    file.seek(max(0, size - 65_600))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return None
    length: int = struct.unpack_from("<I", tail, at + 12)[0]
    large = tail.rfind(b"PK\x06\x06", 0, at)  # the record of a zip64 file, which torch always writes
    if large >= 0 and at >= large + 56:
        length = max(struct.unpack_from("<Q", tail, large + 40)[0], length if length != 0xFFFFFFFF else 0)
    return length


def _another_zip(names: list[str]) -> str:
    """What a zip file is that torch.save has not written, and what to do, as the end of a sentence."""
    ends = {name.rpartition("/")[2] for name in names}
    if "model.weights.h5" in ends or "saved_model.pb" in ends:
        return f"it is a model of Keras or TensorFlow; {_TORCH_ONLY}"
    if any(end.startswith(("archive_format", "serialized_exported_program")) for end in ends):
        lines = "state = torch.export.load(FILE).state_dict; torch.save(state, 'weights.pth')"
        return f"it is a program of torch.export; where you trust it, save its weights: {lines}"
    if names and all(name.endswith(".npy") for name in names):
        return f"it holds arrays of NumPy (npz); {_TORCH_ONLY}"
    if ".data/extern_modules" in names or any(name.endswith("/.data/extern_modules") for name in names):
        return f"it is a torch.package, which holds code; {_TORCH_ONLY}"
    first = ", ".join(quoted(name[:60]) for name in names[:3]) or "nothing"
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"it is a zip file that torch.save has not written (it holds {first}{more}); {_UNPACK}"
