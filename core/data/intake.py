"""Image files from outside: a folder of class folders is looked through, a file is decoded. Both are taken to be hostile. No torch."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.config import ConfigError
from core.data.sources import Progress, Raw, Source

EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""The only formats that Pillow may try. Left to itself it would hand an .eps in disguise to Ghostscript."""

TEST_FOLDERS = ("test", "val", "valid", "validation")
MAX_FILES = 500_000
MAX_CLASSES = 10_000
MAX_PIXELS = 100_000_000  # 300 MB decoded, more than any camera takes

DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, BufferError, struct.error, zlib.error),
)
"""What Pillow's decoders raise on damaged files: almost anything."""


class UnreadableImage(ValueError):
    """An image file that cannot be decoded; the text says why in a few words."""


def folder_path(text: str) -> Path:
    """The folder that a person typed, absolute.

    Raises:
        ConfigError: for one that is not there, is no folder or may not be read.
    """
    if not text.strip() or "\0" in text:
        raise ConfigError("dataset", "'folder:' needs the path of a folder behind it that holds one folder a class, for example folder:photos")
    path = Path(text.strip()).expanduser().absolute()
    try:
        if not path.exists():
            raise ConfigError("dataset", f"there is no folder {path}; check the path, it must hold one folder of images a class")
        if not path.is_dir():
            raise ConfigError("dataset", f"{path} is a file; give a folder that holds one folder of images a class")
        os.scandir(path).close()
    except OSError as error:
        raise ConfigError("dataset", f"{path} cannot be read ({error.strerror}); allow this user to read it, or copy it elsewhere") from None
    return path


def folder_classes(text: str) -> tuple[str, ...]:
    """The names of the classes of a folder, sorted: quick, only its directories are read.

    Raises:
        ConfigError: as `folder_path`, and for fewer than two classes.
    """
    return tuple(shown(path.name) for path in _class_folders(_parts(folder_path(text))["train"]))


def read_folder(text: str, progress: Progress) -> Raw:
    """All image files of a folder of class folders, by class. Nothing is decoded yet.

    With `train/` and `test/` (or `val/`, `valid/`, `validation/`) in it, those are used; with all three kinds, `val/` is the
    validation set. Hidden files, links that lead out of the folder and files without the name of an image are left out.

    Raises:
        ConfigError: naming the folder and the remedy, where no training could come of it.
    """
    path = folder_path(text)
    parts = _parts(path)
    folders = _class_folders(parts["train"])
    classes = tuple(folder.name for folder in folders)
    found = _Found(path.resolve(), progress)
    train = _read_part(parts["train"], classes, found)
    counts = np.bincount(train.labels, minlength=len(classes))
    empty = [str(folder) for folder, count in zip(folders, counts, strict=True) if count == 0]
    if empty:
        raise ConfigError("dataset", f"no images in {_some(empty)}; put images there ({_some(sorted(EXTENSIONS), 4)}) or remove the folder")
    others = {part: _read_part(parts[part], classes, found) for part in ("test", "validation") if part in parts}
    for part, source in others.items():
        if len(source) == 0:
            raise ConfigError("dataset", f"no images in {parts[part]}; put a folder of images a class there, or remove it")
    return Raw(tuple(map(shown, classes)), train, others.get("test"), others.get("validation"), found.notes())


def shown(name: str) -> str:
    """A file name as text that can be printed and stored: names on disk may be any bytes."""
    return "".join(letter if letter.isprintable() else "?" for letter in os.fsencode(name).decode("utf-8", "replace"))


def decode(file: Path, image_size: int) -> NDArray[np.uint8]:
    """One image, turned the way it was taken, its shorter side brought to `image_size` and the middle cut out: uint8 [3, S, S].

    Transparent parts become white, grey becomes colour, 16 bits become 8. Of an animation the first picture is taken.

    Raises:
        UnreadableImage: for anything that is not a whole image of a known format and of a sane size.
    """
    with readable():
        square = ImageOps.fit(upright(file, 2 * image_size), (image_size, image_size), method=Image.Resampling.BILINEAR)
        pixels: NDArray[np.uint8] = np.asarray(square).transpose(2, 0, 1)
        return pixels


@contextmanager
def readable() -> Iterator[None]:
    """Have whatever decoding raises inside the `with` block raised as UnreadableImage."""
    try:
        yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImage("far too many pixels") from None
    except DECODING_ERRORS as error:
        raise UnreadableImage(str(error).split("\n")[0][:80] or type(error).__name__) from None


def upright(file: Path, side: int, shrink: Callable[[Image.Image], Image.Image] = lambda image: image) -> Image.Image:
    """The whole picture in RGB, turned the way it was taken. Call it inside `readable`.

    Args:
        side: a JPEG may be decoded at a half, a quarter or an eighth of its size, where its sides stay at least this long, in pixels.
        shrink: makes a large picture smaller, in the mode that it was saved in.
    """
    if file.stat().st_size == 0:
        raise UnreadableImage("empty file")
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UnreadableImage(f"too large, {width:,} x {height:,} pixels")
        # Decoding a JPEG at an eighth of its size is several times faster. Twice the size that is wanted leaves the antialiasing its work.
        image.draft("RGB", (side, side))
        image.load()
        turn = _TURNS.get(_orientation(image))
        picture = _to_rgb(shrink(image))
        return picture if turn is None else picture.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """How the camera was held, 1 to 8 as in EXIF; 1, upright, if the file does not say."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except DECODING_ERRORS:  # the picture is whole, so a damaged note about it is no reason to leave it out
        return 1


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow's own conversion cuts everything above 255 off, so that most 16-bit images turn white.
        values = np.asarray(image, dtype=np.float64)
        highest = 65535.0 if image.mode.startswith("I") and (";16" in image.mode or values.max(initial=0) > 255) else 255.0
        return Image.fromarray(np.clip(np.nan_to_num(values) / highest * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        picture = Image.new("RGB", layer.size, "white")
        picture.paste(layer, mask=layer)
        return picture
    return image if image.mode == "RGB" else image.convert("RGB")


@dataclass
class _Found:
    """What was seen and left out while a folder was looked through."""

    root: Path
    progress: Progress
    files: int = 0
    links: list[str] = field(default_factory=list)
    others: int = 0

    def count(self) -> None:
        self.files += 1
        if self.files > MAX_FILES:
            raise ConfigError("dataset", f"{self.root} holds more than {MAX_FILES:,} files; is it the folder you meant? Give one with fewer")
        if self.files % 5_000 == 0:
            self.progress(f"looking through the folder: {self.files:,} files", None)

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.links:
            notes.append(f"Links that lead out of the folder, or to folders, were left out: {_some(self.links)}.")
        if self.others:
            notes.append(f"Files without the name of an image ({_some(sorted(EXTENSIONS), 4)}) were left out: {self.others:,}.")
        return tuple(notes)


def _parts(path: Path) -> dict[str, Path]:
    """Where training images (and test and validation images) lie: `path` itself, or its `train`, `test` ... folders."""
    names = {entry.name.casefold(): Path(entry.path) for entry in _entries(path) if entry.is_dir(follow_symlinks=False)}
    if "train" not in names:
        return {"train": path}
    held_out = [names[name] for name in TEST_FOLDERS if name in names]
    return {"train": names["train"], **dict(zip(("test", "validation"), held_out, strict=False))}


def _class_folders(path: Path) -> list[Path]:
    """The folders in `path`, sorted by name as torchvision's `ImageFolder` does, so that labels are the same."""
    folders = sorted((Path(entry.path) for entry in _entries(path) if entry.is_dir(follow_symlinks=False)), key=lambda folder: folder.name)
    if len(folders) > MAX_CLASSES:
        raise ConfigError("dataset", f"{path} holds {len(folders):,} folders; at most {MAX_CLASSES:,} classes can be told apart")
    if not folders:
        raise ConfigError("dataset", f"{path} has no folders in it; put the images of each class into a folder of its own, named after the class")
    if len(folders) == 1:
        raise ConfigError("dataset", f"{path} has a single class, {shown(folders[0].name)!r}; it takes at least two to tell apart")
    return folders


def _read_part(path: Path, classes: tuple[str, ...], found: _Found) -> Source:
    """The image files below each class folder of `path`, sorted, with the place of the class in `classes` as label."""
    files: list[Path] = []
    labels: list[int] = []
    for entry in sorted(_entries(path), key=lambda entry: entry.name):
        if entry.is_symlink():
            found.links.append(shown(entry.name))
        elif not entry.is_dir():
            found.others += 1
        elif entry.name not in classes:
            raise ConfigError("dataset", f"{entry.path} is a class that the training images do not have; remove it, or add images of it to train/")
        else:
            members = sorted(_files_below(Path(entry.path), found))
            files += members
            labels += [classes.index(entry.name)] * len(members)
    return Source(tuple(files), np.asarray(labels, dtype=np.int64))


def _files_below(folder: Path, found: _Found) -> list[Path]:
    """All image files below `folder`. A linked folder is never entered: it can lead anywhere, and in circles."""
    files: list[Path] = []
    waiting = [folder]
    while waiting:
        for entry in _entries(waiting.pop()):
            found.count()
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_symlink() and not (_inside(path, found.root) and path.is_file()):
                found.links.append(shown(entry.name))
            elif path.suffix.casefold() not in EXTENSIONS or not stat.S_ISREG(path.stat().st_mode):  # a pipe named x.jpg would never end
                found.others += 1
            else:
                files.append(path)
    return files


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, hidden files and what unpacking on a Mac leaves behind aside."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"]
    except OSError as error:
        raise ConfigError("dataset", f"{folder} cannot be read ({error.strerror}); allow this user to read it, or remove it") from None


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # a link to nothing, or in a circle
        return False


def _some(names: list[str], shown_at_most: int = 3) -> str:
    rest = len(names) - shown_at_most
    return ", ".join(names[:shown_at_most]) + (f" and {rest:,} more" if rest > 0 else "")
