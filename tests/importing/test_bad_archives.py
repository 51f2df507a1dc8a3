"""Archives that are hostile, damaged or cut off: what is wrong is said, what can be used is kept, nothing lands outside."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.config import ConfigError
from core.importing import archives
from core.importing.plan import plan
from core.machine.home import Home
from core.versions import names
from tests.importing.importing_cases import classes, imported, picture, reasons, tarred, zipped

GOOD = classes("cat", "dog")
OUT = "its name leads out of the archive"


def with_member(path: Path, info: zipfile.ZipInfo, content: bytes) -> Path:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, content)
    return path


def link(path: Path) -> Path:
    info = zipfile.ZipInfo("cat/link.png")
    info.external_attr = 0o120777 << 16
    return with_member(path, info, b"/etc/passwd")


def encrypted(path: Path) -> Path:
    """Says of each member called dog that it is encrypted."""
    data = bytearray(path.read_bytes())
    for signature, flags, length, name in ((b"PK\3\4", 6, 26, 30), (b"PK\1\2", 8, 28, 46)):
        place = data.find(signature)
        while place >= 0:
            (size,) = struct.unpack_from("<H", data, place + length)
            if data[place + name : place + name + size].startswith(b"dog/0"):
                data[place + flags] |= 1
            place = data.find(signature, place + 4)
    path.write_bytes(data)
    return path


def corrupt(path: Path) -> Path:
    """Damages the bytes of one member."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("dog/0.png")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + 9 + 100 : info.header_offset + 30 + 9 + 140] = bytes(40)
    path.write_bytes(data)
    return path


def tar_links(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in GOOD.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, kind, target in (
            ("cat/s.png", tarfile.SYMTYPE, "/etc/passwd"),
            ("cat/h.png", tarfile.LNKTYPE, "../../x"),
            ("cat/p.png", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return path


SKIPPING: dict[str, tuple[Callable[[Path], Path], dict[str, str]]] = {
    "up and out": (
        lambda place: zipped(place, {**GOOD, "../up.png": picture(1), "cat/../../up.png": picture(2)}), {"../up.png": OUT, "cat/../../up.png": OUT},
    ),
    "absolute": (lambda place: zipped(place, {**GOOD, "/etc/x.png": picture(1), "C:\\x.png": picture(2)}), {"/etc/x.png": OUT, "C:/x.png": OUT}),
    "up and out of a tar": (
        lambda place: tarred(place, {**GOOD, "../up.png": picture(1), "/abs.png": picture(2)}), {"../up.png": OUT, "/abs.png": OUT},
    ),
    "a link": (lambda place: link(zipped(place, GOOD)), {"cat/link.png": "a link, which is not followed"}),
    "links and pipes in a tar": (
        lambda place: tar_links(place.with_suffix(".tar.gz")),
        {"cat/p.png": "it is no regular file", "cat/s.png": "a link, which is not followed", "cat/h.png": "a link, which is not followed"},
    ),
    "a bomb": (lambda place: zipped(place, {**GOOD, "cat/bomb.png": bytes(20_000_000)}), {"cat/bomb.png": "it unpacks to 1,0"}),
    "an encrypted member": (lambda place: encrypted(zipped(place, GOOD)), {"dog/0.png": "it is encrypted"}),
    "a damaged member": (lambda place: corrupt(zipped(place, GOOD)), {"dog/0.png": "it cannot be unpacked"}),
    "far too deep": (lambda place: zipped(place, {**GOOD, f"cat/{'a/' * 300}x.png": picture(1)}), {f"cat/{'a/' * 148}": "its name is longer"}),
    "a file where a folder is": (
        lambda place: tarred(place, {"emu": b"x", **GOOD, "emu/0.png": picture(1), "dog/0.png/x.png": picture(2)}),
        {"emu/0.png": "a file of the name of its folder", "dog/0.png/x.png": "a file of the name of its folder"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SKIPPING)
def test_what_is_wrong_with_a_member_is_said_and_the_others_are_kept(tmp_path: Path, home: Home, name: str) -> None:
    make, expected = SKIPPING[name]
    source = make(tmp_path / "inner" / "data")
    before = sorted(path for path in tmp_path.rglob("*") if home.path not in path.parents)
    version, report = imported(home, source)
    skipped = reasons(report)
    assert skipped.keys() == {next(file for file in skipped if file.startswith(key)) for key in expected}
    assert all(next(reason for file, reason in skipped.items() if file.startswith(key)).startswith(why) for key, why in expected.items())
    assert all(one.remedy for one in report.skipped)
    assert len(version.items) == 4 - (name in ("an encrypted member", "a damaged member"))
    assert sorted(path for path in tmp_path.rglob("*") if home.path not in path.parents) == before


def test_names_that_differ_in_case_alone_and_long_ones_are_all_taken(tmp_path: Path, home: Home) -> None:
    files = {
        "cat/a.png": picture(1),
        "cat/A.png": picture(2),
        f"dog/{'n' * 300}.png": picture(3),
        "dog/\u732b.png": picture(4),
        "dog/a\x07b.png": picture(5),
    }
    for kind in (zipped, tarred):
        version, report = imported(home, kind(tmp_path / "data", files), name=kind.__name__)
        assert sorted(item.name for item in version.items) == sorted([*(name for name in files if "\x07" not in name), "dog/a?b.png"])
        assert report.skipped == []


def test_of_two_members_of_one_name_the_first_is_taken(tmp_path: Path, home: Home) -> None:
    source = zipped(tmp_path / "data", GOOD)
    with pytest.warns(UserWarning, match="Duplicate name"):
        with_member(source, zipfile.ZipInfo("cat/0.png"), picture(9))
    version, report = imported(home, source)
    assert len(version.items) == 4
    assert reasons(report) == {"cat/0.png": "another file of this name comes before it in the archive"}


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def broken_directory(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\1\2")
    data[place : place + 4] = b"XXXX"
    path.write_bytes(data)
    return path


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def tar_of(path: Path, *infos: tuple[str, int, bytes]) -> Path:
    """A tar file, packed, with headers that say what they like of their sizes; so many zeros follow."""
    import gzip

    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for name, size, kind in infos:
            info = tarfile.TarInfo(name)
            info.size, info.type = size, kind
            stream.write(info.tobuf())
            for _ in range(min(size, 60_000_000) // 1_000_000):
                stream.write(bytes(1_000_000))
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a zip cut off half-way": (lambda place: cut(zipped(place, GOOD), 0.5), "cannot be read as an archive .*cut off: upload or copy"),
    "a tar cut off half-way": (lambda place: cut(tarred(place, GOOD), 0.5), "cannot be read as an archive .*; it may have been cut off"),
    "a plain tar cut off": (lambda place: cut(tarred(place, GOOD, ""), 0.4), "cannot be read as an archive"),
    "a broken central directory": (lambda place: broken_directory(zipped(place, GOOD)), "cannot be read as an archive"),
    "nothing at all": (lambda place: written(place.with_suffix(".zip"), b""), "is empty; upload or copy it again"),
    "text": (lambda place: written(place.with_suffix(".zip"), b"hello" * 200), "does not begin as an archive does"),
    "RAR": (lambda place: written(place.with_suffix(".rar"), b"Rar!\x1a\x07" + bytes(600)), "packed in a way that is not read; give a folder"),
    "a picture": (lambda place: written(place.with_suffix(".png"), picture(1)), "is no archive; give a folder, or a zip"),
    "no pictures": (lambda place: zipped(place, {"a.txt": b"x"}), "has no folders in it"),
    "all encrypted": (lambda place: encrypted(zipped(place, {"dog/0.png": picture(1)})), "0.png: it is encrypted.*with its password"),
    "archives in an archive": (lambda place: zipped(place, {"cats.zip": b"PK", "dogs.zip": b"PK"}), r"packed in it \(cats.zip, dogs.zip\)"),
    "a header that unpacks to far too much": (
        lambda place: tar_of(place.with_suffix(".tar.gz"), ("pax", 60_000_000, tarfile.XHDTYPE)), "a header of it has 60,000,000 bytes",
    ),
    "a tar bomb": (
        lambda place: tar_of(place.with_suffix(".tar.gz"), ("x.png", 3 * 10**11, tarfile.REGTYPE)), "as no pictures do; pack the pictures anew",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_archives_that_cannot_be_used_are_refused_whole_with_a_remedy(tmp_path: Path, home: Home, name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(ConfigError, match=said) as caught:
        imported(home, make(tmp_path / "data"))
    assert caught.value.field == "source"
    assert names(home) == []
    assert list((home.datasets / ".incoming").iterdir()) == []


def test_far_too_many_members_are_refused_and_a_hundred_thousand_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100_000):
            archive.writestr(zipfile.ZipInfo(f"{'cat' if number % 2 else 'dog'}/{number}.png"), b"")
    found = plan(path)
    assert (found.images, found.becoming) == (100_000, ("cat", "dog"))
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    for packed in (zipped, tarred):
        with pytest.raises(ConfigError, match="holds more than 3 files; pack fewer pictures at a time"):
            plan(packed(tmp_path / "data", classes("cat", "dog", each=3)))
    monkeypatch.setattr(archives, "MOST_MEMBERS", 500_000)
    monkeypatch.setattr(archives, "MOST_UNPACKED", 1_000)
    with pytest.raises(ConfigError, match=r"unpacks to 0 GB, more than 0 GB"):
        plan(zipped(tmp_path / "data", GOOD))


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there; give a folder, a zip or tar file"):
        plan(tmp_path / "nothing.zip")
