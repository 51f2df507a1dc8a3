"""What a name says about a file or a folder: a picture, something that systems keep for themselves, something else. No torch."""

from __future__ import annotations

import re
from pathlib import Path

EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    )
)
"""The endings of the formats that are decoded (`core.data.decoding.FORMATS`), as Pillow knows them."""

USUAL = (".jpg", ".png", ".webp", ".tif")
"""The endings that a message names."""

UNREAD = frozenset(
    (
        *(".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs", ".jxl", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jxr", ".wdp"),
        *(".svg", ".svgz", ".eps", ".ai", ".pdf", ".emf", ".wmf", ".psd", ".psb", ".xcf", ".kra", ".ico", ".icns", ".tga", ".pcx", ".qoi"),
        *(".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f", ".3fr"),
        *(".exr", ".hdr", ".dds", ".fits", ".fit", ".dcm", ".dicom", ".nii", ".mha", ".nrrd", ".svs", ".ndpi", ".czi", ".lif"),
    )
)
"""Pictures of formats that are not decoded: they are counted apart from what is no picture."""

_SAVED_BY_BROWSERS = re.compile(r"\.(jpe?g|png|webp|gif)[-_:@]?(large|medium|small|orig|original|thumb|\d+x)$")
"""`photo.jpg_large` and the like: what some sites put behind the ending."""

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")

_SYSTEM = re.compile(
    r"""
    \.ds_store | \._.* | \.appledouble | \.appledb | \.appledesktop | \.trash(es|-\d+)? | \.spotlight-v100 | \.fseventsd | \.temporaryitems
    | \.documentrevisions-v100 | __macosx | icon\r | network\ trash\ folder | temporary\ items
    | \.ipynb_checkpoints | __pycache__ | \.cache | \.thumbnails | \.picasaoriginals | \.picasa\.ini | \.nomedia | \.directory
    | @(eadir|tmp|recycle|recently-snapshot|sharebin|sharesnap|snapshot|database|upload_tmp|syno.*|__thumb) | \.@__thumb | \.@upload_cache
    | [#](recycle|snapshot|trash) | \.snapshots? | \.zfs | \.recycle | lost\+found
    | \$recycle\.bin | \$extend | recycler | recycled | recycle\.bin | system\ volume\ information | found\.\d{3}
    | ehthumbs(_vista)?\.db | thumbs\.db(:encryptable)? | desktop\.ini | ~\$.* | synofile_thumb_.*
    """,
    re.VERBOSE,
)


def is_system(name: str) -> bool:
    """True for what operating systems, network storage and notebooks put beside a person's files: thumbnails, recycle bins, indexes."""
    return _SYSTEM.fullmatch(name.casefold()) is not None


def is_picture(name: str) -> bool:
    """True for a name that ends as a picture does that can be decoded."""
    return ending(name) in EXTENSIONS or _SAVED_BY_BROWSERS.search(name.casefold()) is not None


def ending(name: str) -> str:
    """The ending in small letters, `.jpg`; empty where there is none."""
    stem, _, end = name.rpartition(".")
    return f".{end.casefold()}" if stem else ""


def begins_as_picture(file: Path) -> bool:
    """True for a file that begins as the usual formats do, whatever its name. Only ever ask it of a regular file: a pipe has no end.

    What the system makes up as it is read (`/proc/kmsg` waits for the next message) says that it is empty, and is not opened.
    """
    try:
        if file.stat().st_size == 0:
            return False
        with file.open("rb") as stream:
            head = stream.read(12)
    except OSError:
        return False
    return is_head(head)


def is_head(head: bytes) -> bool:
    """True for the first 12 bytes of a picture of the usual formats."""
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
