"""Zip and tar files, looked into as folders are. They are taken to be hostile: nothing is unpacked, members are read by their numbers."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.config.errors import ConfigError
from core.data import endings
from core.data.folders import PACKED, Entry, shown
from core.data.intake import UnreadableImage
from core.importing.trees import MOST_BYTES, FolderTree, Read, Refused, Tree, checked

MOST_MEMBERS = 500_000
MOST_UNPACKED = 200_000_000_000
"""Bytes that an archive may unpack to."""

MOST_RATIO, RATIO_FROM = 200, 10_000_000
"""How many times its packed size a picture may unpack to, from so many bytes on: pictures are packed already, and hardly become smaller."""

DEEPEST, LONGEST = 40, 4096
"""Folders inside each other, and letters of a name, in an archive."""

ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, LookupError),
    *(zlib.error, lzma.LZMAError),
)
"""What reading a damaged archive raises."""


@dataclass(frozen=True)
class _Listed:
    """An entry of an archive, as `os.DirEntry` tells of one. `number` None: a folder."""

    name: str
    path: str
    number: int | None
    size: int = 0
    link: bool = False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self.number is None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self.number is not None and not self.link

    def is_symlink(self) -> bool:
        return self.link


@dataclass(frozen=True)
class _Member:
    """What an archive's list says of a file: its place in the list, its name and bytes; `refused`: why it is not read."""

    number: int
    name: str
    size: int
    refused: str = ""
    link: bool = False


class ArchiveTree(Tree):
    """What archives have in common: a tree that is made of the names in their list."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.root = Path(shown(path.name))
        self._inside: dict[str, dict[str, _Listed]] = {str(self.root): {}}
        self._files: dict[str, _Listed] = {}
        self._places: dict[tuple[str, ...], tuple[str, str]] = {}

    def scan(self, folder: Path) -> Iterator[Entry]:
        """See `Folders`."""
        return iter(self._inside.get(str(folder), {}).values())

    def leads_inside(self, link: Path, root: Path) -> bool:
        """See `Folders`: links in archives are not followed."""
        return False

    def size(self, path: Path) -> int:
        """See `Tree`."""
        return self._files[str(path)].size

    def files(self, ending: str = "") -> list[Path]:
        """The files whose names end so (in small letters), wherever they lie, links aside."""
        return [Path(path) for path, listed in self._files.items() if not listed.link and listed.name.casefold().endswith(ending)]

    def copy(self, path: Path, stream: BinaryIO) -> None:
        """Write a file to `stream`, a piece at a time. Raises `ERRORS`."""
        raise NotImplementedError

    def _number(self, path: Path) -> int:
        """The place of a file in the list of the archive."""
        return self._files[str(path)].number or 0

    def begins_as_picture(self, file: Path) -> bool:
        """See `Folders`."""
        try:
            return endings.is_head(self._head(file))
        except ERRORS:
            return False

    def _head(self, file: Path) -> bytes:
        raise NotImplementedError

    def _plant(self, members: Iterable[_Member]) -> None:
        """Make the tree. Names that lead out of it are refused; of two files of one name the first counts."""
        refused = []
        for member in members:
            name = member.name.replace("\\", "/")
            parts = tuple(part for part in name.split("/") if part not in ("", "."))
            why = member.refused or _why_refused(name, parts) or self._put(parts, member)
            if why and parts and not any(endings.is_system(part) for part in parts):
                refused.append(Refused(shown(name)[:300], why, _REMEDIES.get(why.split(",")[0], "pack it anew if it is a picture of yours")))
        self.refused = tuple(refused)

    def _put(self, parts: tuple[str, ...], member: _Member) -> str:
        """Put a file into the tree; why it cannot be, or nothing."""
        folder, why = self._places.get(parts[:-1]) or self._place(parts[:-1])
        if why:
            return why
        name = parts[-1]
        if name in self._inside[folder]:
            return "another file of this name comes before it in the archive"
        listed = _Listed(name, f"{folder}{os.sep}{name}", member.number, member.size, member.link)
        self._inside[folder][name] = self._files[listed.path] = listed
        return ""

    def _place(self, parts: tuple[str, ...]) -> tuple[str, str]:
        """The folder that these parts lead to, made if it is not there; why it cannot be, or nothing."""
        folder = str(self.root)
        for part in parts:
            inner = f"{folder}{os.sep}{part}"
            known = self._inside[folder].get(part)
            if known is not None and known.number is not None:
                return folder, "a file of the name of its folder comes before it in the archive"
            if known is None:
                self._inside[folder][part] = _Listed(part, inner, None)
                self._inside[inner] = {}
            folder = inner
        self._places[parts] = folder, ""
        return folder, ""


class ZipTree(ArchiveTree):
    """A zip file: members are read by their numbers, from any thread."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        try:
            self._archive = zipfile.ZipFile(path)
        except ERRORS as error:
            raise _broken(path, error) from None
        self._list = self._archive.infolist()
        _check_limits(path, len(self._list), sum(info.file_size for info in self._list))
        self._plant(_of_zip(number, info) for number, info in enumerate(self._list) if not info.is_dir())

    def close(self) -> None:
        """See `Tree`."""
        self._archive.close()

    def read(self, path: Path) -> bytes:
        """See `Tree`."""
        try:
            with self._archive.open(self._list[self._number(path)]) as stream:
                return checked(stream.read(MOST_BYTES + 1))
        except UnreadableImage:
            raise
        except ERRORS as error:
            raise _damaged(error) from None

    def copy(self, path: Path, stream: BinaryIO) -> None:
        """See `ArchiveTree`."""
        with self._archive.open(self._list[self._number(path)]) as member:
            shutil.copyfileobj(member, stream, 1 << 20)

    def _head(self, file: Path) -> bytes:
        with self._archive.open(self._list[self._number(file)]) as stream:
            return stream.read(12)


class _Info(tarfile.TarInfo):
    """A header of a tar file, whose extended parts are read into memory only where they are small."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        extended = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if self.type in extended and self.size > 1_000_000:
            raise tarfile.ReadError(f"a header of it has {self.size:,} bytes")
        return super()._proc_member(tarfile_)  # type: ignore[misc, no-any-return]


class TarTree(ArchiveTree):
    """A tar file, packed or not. It is read from its beginning to its end twice: once for its list, once for its pictures."""

    kind = "tar"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._heads: dict[int, bytes] = {}
        self._lock = threading.Lock()
        try:
            self._archive = tarfile.open(path, "r:*", tarinfo=_Info)  # noqa: SIM115  # closed by `close`
            members = list(self._listed())
        except ConfigError:
            raise
        except ERRORS as error:
            raise _broken(path, error) from None
        self._plant(members)

    def close(self) -> None:
        """See `Tree`."""
        self._archive.close()

    def read(self, path: Path) -> bytes:
        """See `Tree`. Quick only in the order of the file."""
        try:
            with self._lock:
                stream = self._archive.extractfile(self._members[self._number(path)])
                return checked(stream.read(MOST_BYTES + 1) if stream else b"")
        except UnreadableImage:
            raise
        except ERRORS as error:
            raise _damaged(error) from None

    def copy(self, path: Path, stream: BinaryIO) -> None:
        """See `ArchiveTree`."""
        with self._lock:
            if member := self._archive.extractfile(self._members[self._number(path)]):
                shutil.copyfileobj(member, stream, 1 << 20)

    def contents(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Read]]:
        """See `Tree`: each is read before the next is asked for."""
        for path in sorted(paths, key=self._number):
            try:
                data = self.read(path)
            except UnreadableImage as error:
                yield path, _raising(error)
            else:
                yield path, lambda data=data: data  # type: ignore[misc]

    def _head(self, file: Path) -> bytes:
        return self._heads.get(self._number(file), b"")

    def _listed(self) -> Iterator[_Member]:
        self._members: list[tarfile.TarInfo] = []
        packed = max(self.path.stat().st_size, 1)
        for number, info in enumerate(self._archive):
            end = info.offset_data + (0 if info.issparse() else info.size)
            if end > MOST_UNPACKED or (end > RATIO_FROM and end > 5 * MOST_RATIO * packed):
                what = f"{shown(str(self.path))} unpacks to {end / 1e6:,.0f} MB or more, {end / packed:,.0f} times its size, as no pictures do"
                raise ConfigError("source", f"{what}; pack the pictures anew")
            _check_limits(self.path, number, 0)
            self._members.append(info)
            if info.isdir():
                continue
            refused = "" if info.isreg() or info.issym() or info.islnk() else "it is no regular file"
            refused = "it is stored in pieces (sparse), as no picture is" if info.issparse() else refused
            refused = _too_large(info.name, info.size) or refused
            if info.isreg() and not refused and not self.is_picture(info.name) and len(self._heads) < 2_000:
                stream = self._archive.extractfile(info)
                self._heads[number] = stream.read(12) if stream else b""
            yield _Member(number, info.name, info.size, refused, link=info.issym() or info.islnk())


def open_tree(path: Path) -> Tree:
    """What lies at `path`, a folder or an archive, ready to be looked into.

    Raises:
        ConfigError: on `source`, it is not there, cannot be read, is packed in another way, damaged, or says that it holds far too much.
    """
    if path.is_dir():
        return FolderTree(path.resolve())
    if not path.is_file():
        what = "is no file or folder" if path.exists() else "is not there"
        raise ConfigError("source", f"{shown(str(path))} {what}; give a folder, a zip or tar file, or a table (.csv, .parquet) beside pictures")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise ConfigError("source", f"{shown(str(path))} cannot be read ({error.strerror}); allow this user to read it") from None
    if not head:
        raise ConfigError("source", f"{shown(str(path))} is empty; upload or copy it again")
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")) or (path.suffix.casefold() == ".zip" and zipfile.is_zipfile(path)):
        return ZipTree(path)
    if head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return TarTree(path)
    if PACKED.search(path.name.casefold()) and path.suffix.casefold() in (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".tbz2", ".txz"):
        raise ConfigError("source", f"{shown(str(path))} does not begin as an archive does: it is damaged or something else; pack it again")
    kind = "packed in a way that is not read" if PACKED.search(path.name.casefold()) else "no archive"
    raise ConfigError("source", f"{shown(str(path))} is {kind}; give a folder, or a zip or tar file (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz)")


_ENCRYPTED = "it is encrypted"
_REMEDIES = {_ENCRYPTED: "unpack the archive with its password, and give the folder"}


def _of_zip(number: int, info: zipfile.ZipInfo) -> _Member:
    name = info.orig_filename if "\0" in info.orig_filename else info.filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    refused = _ENCRYPTED if info.flag_bits & 1 else _too_large(info.filename, info.file_size)
    if not refused and info.file_size > RATIO_FROM and info.file_size > MOST_RATIO * max(info.compress_size, 1):
        refused = f"it unpacks to {info.file_size / max(info.compress_size, 1):,.0f} times its size in the archive, as no picture does"
    if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
        refused = "it is no regular file"
    return _Member(number, name, info.file_size, refused, link=kind == stat.S_IFLNK)


def _too_large(name: str, size: int) -> str:
    if name.casefold().endswith(".parquet"):  # it may hold many pictures: see `rows_inside`
        return ""
    return f"it has {size / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:,.0f} MB" if size > MOST_BYTES else ""


def _why_refused(name: str, parts: tuple[str, ...]) -> str:
    if not parts:
        return "it has no name"
    if ".." in parts or name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\0" in name:
        return "its name leads out of the archive"
    if len(parts) > DEEPEST or len(name) > LONGEST:
        return f"its name is longer than {LONGEST:,} letters or {DEEPEST} folders"
    return ""


def _check_limits(path: Path, members: int, size: int) -> None:
    if members > MOST_MEMBERS:
        raise ConfigError("source", f"{shown(str(path))} holds more than {MOST_MEMBERS:,} files; pack fewer pictures at a time, and add them")
    if size > MOST_UNPACKED:
        what = f"{shown(str(path))} says that it unpacks to {size / 1e9:,.0f} GB, more than {MOST_UNPACKED / 1e9:,.0f} GB"
        raise ConfigError("source", f"{what}; pack fewer pictures at a time, and add them")


def _broken(path: Path, error: Exception) -> ConfigError:
    why = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
    remedy = "it may have been cut off: upload or copy it again, or pack it anew"
    return ConfigError("source", f"{shown(str(path))} cannot be read as an archive ({shown(why)[:120]}); {remedy}")


def _damaged(error: Exception) -> UnreadableImage:
    return UnreadableImage(f"it cannot be unpacked: {shown(str(error)).splitlines()[0][:80] if str(error) else type(error).__name__}", "damaged")


def _raising(error: UnreadableImage) -> Read:
    def read() -> bytes:
        raise error

    return read
