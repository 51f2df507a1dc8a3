"""Many pictures at once: folders, zip files that mean harm, tables, folders for classes. The answers are those of the evaluation."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.commands.cli import main
from core.config import ConfigError
from core.config.errors import Cancelled
from core.data.splits import TEST_SEED, TEST_SHARE, stratified_split
from core.evaluation import answers, evaluate, gathering, many, packed
from core.evaluation.answers import Answers, CsvWriter, folder_names, pack_sorted, sort_into
from core.evaluation.evaluate import Loaded
from core.evaluation.gathering import Picture, gather
from core.evaluation.many import Many
from core.machine.home import Home
from tests.evaluation.evaluate_cases import TINY, made_run

pytestmark = pytest.mark.usefixtures("one_thread_each")


@dataclass(frozen=True)
class World:
    """A home with a run on a folder of pictures of 40 x 60 pixels, in two classes of ten; they are JPEGs."""

    home: Home
    run: str
    folder: Path
    loaded: Loaded


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    base = tmp_path_factory.mktemp("many")
    for label, name in enumerate(("cat", "dog")):
        (base / "photos" / name).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(noise(40, 60, seed=10 * label + number)).save(base / "photos" / name / f"{number}.jpg")
    home = Home.from_environment(str(base / "home"))
    run = made_run(home, TINY.replace(dataset=f"folder:{base / 'photos'}", batch_size=4), classes=2)
    return World(home, run, base / "photos", evaluate.load(home, run))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(20, 30, seed)).save(file, "PNG")
    return file.getvalue()


def thaw(world: World, *arguments: object) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = main([*map(str, arguments), "--home", str(world.home.path)])
    return status, output.getvalue(), errors.getvalue()


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def packed_file(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def left_after(folder: Path) -> set[str]:
    """What lies in it, but for SQLite's own files, which are there while a store is open."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.name.startswith("thaw.db-")}


# The answers


def test_a_folder_and_a_zip_file_are_answered_as_the_evaluation_answers(world: World, tmp_path: Path) -> None:
    made = evaluate.evaluate(world.home, world.run)
    files = sorted(world.folder.glob("*/*.jpg"))
    tested = stratified_split(np.repeat([0, 1], 10), TEST_SHARE, TEST_SEED)[1]
    archive = packed_file(tmp_path / "photos.zip", {path.relative_to(world.folder).as_posix(): path.read_bytes() for path in files})
    seen = []
    for source in (world.folder, archive):
        found = gather([("", source)])
        assert [picture.name for picture in found.pictures] == [path.relative_to(world.folder).as_posix() for path in files]
        passed = Many(world.loaded, found.pictures)
        batches = list(passed.batches())
        assert len(batches) == 5, "in batches of the run's own size"
        assert not passed.refused
        probabilities = np.concatenate([answered.probabilities for answered, _ in batches])
        labels = np.concatenate([answered.labels for answered, _ in batches])
        assert np.allclose(probabilities[tested], made.probabilities, atol=1e-6)
        assert np.array_equal(labels[tested], made.predicted)
        seen.append(torch.cat([pixels for _, pixels in batches]))
    assert torch.equal(*seen)
    assert torch.equal(seen[0][3:4], evaluate.picture(world.loaded, files[3])[0]), "the pixels of a picture that is predicted alone"


def test_pictures_of_a_run_on_arrays_go_the_way_of_arrays(home: Home, tmp_path: Path) -> None:
    loaded = evaluate.load(home, made_run(home, TINY))
    archive = packed_file(tmp_path / "a.zip", {"a.png": png(1), "b.png": png(2)})
    (tmp_path / "a.png").write_bytes(png(1))
    ((answered, pixels),) = Many(loaded, gather([("", archive)]).pictures).batches()
    assert [picture.name for picture in answered.pictures] == ["a.png", "b.png"]
    assert torch.equal(pixels[:1], evaluate.picture(loaded, tmp_path / "a.png")[0])


def test_no_more_than_two_batches_are_held_and_a_cancelled_pass_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    pictures = [Picture(str(number), world.folder / "cat" / "0.jpg") for number in range(200)]
    decode = many.Many._decode

    def counted(self: Many, picture: Picture, reader: packed.Reader) -> Any:
        opened.append(picture.name)
        return decode(self, picture, reader)

    monkeypatch.setattr(many.Many, "_decode", counted)
    shares: list[float] = []
    passed = Many(world.loaded, pictures).batches(lambda text, share: shares.append(share or 0), lambda: len(shares) == 3)
    for done in (4, 8, 12):
        assert len(next(passed)[0].pictures) == 4
        assert len(opened) <= done + 4, "the next batch, and no further one"
    with pytest.raises(Cancelled):
        next(passed)
    assert shares == [0, 4 / 200, 8 / 200]


def test_a_model_with_outputs_that_are_not_finite_leaves_pictures_out_and_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def logits(self: Loaded, images: torch.Tensor) -> torch.Tensor:
        found = torch.arange(2 * len(images)).reshape(-1, 2).float()
        found[1] = torch.nan
        return found

    monkeypatch.setattr(Loaded, "logits", logits)
    passed = Many(world.loaded, [Picture(str(number), world.folder / "cat" / "0.jpg") for number in range(4)])
    ((answered, pixels),) = passed.batches()
    assert [picture.name for picture in answered.pictures] == ["0", "2", "3"]
    assert len(pixels) == 3
    assert [refused.name for refused in passed.refused] == ["1"]
    assert "NaN" in passed.refused[0].reason


# The command


def test_a_folder_with_broken_pictures_becomes_a_table_and_folders(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep" / "er").mkdir(parents=True)
    for number, name in enumerate(("1.png", "deep/1.png", "deep/er/1.PNG", 'deep/er/a "b",\nc.png', "deep/no_ending")):
        (folder / name).write_bytes(png(number))
    for name, data in {"broken.png": b"no picture", "empty.jpg": b"", "phone.heic": b"x", "notes.txt": b"x", ".hidden.png": png()}.items():
        (folder / name).write_bytes(data)
    (folder / "half.png").write_bytes(png()[:300])
    (folder / "round").symlink_to(folder)
    (folder / "linked.png").symlink_to(folder / "1.png")
    os.mkfifo(folder / "pipe.png")
    table, out = tmp_path / "out.csv", tmp_path / "sorted"
    status, output, errors = thaw(world, "predict", world.run, folder, "--csv", table, "--sort-into", out, "--json")
    assert status == 0, errors
    told = json.loads(output.splitlines()[-1])
    reasons = {Path(each["file"]).name: each["reason"] for each in told["left_out"]}
    assert reasons.keys() == {"broken.png", "empty.jpg", "phone.heic", "half.png"}
    assert "not an image" in reasons["broken.png"]
    assert "convert it to JPEG or PNG" in reasons["phone.heic"]
    assert f"left out: {folder}/broken.png: not an image" in errors
    assert any(".txt (1)" in note for note in told["notes"])
    head, *lines = rows(table)
    assert head == ["file", "predicted", "probability", "cat", "dog"]
    assert [line[0] for line in lines] == sorted(
        f"{folder}/{name}" for name in ("1.png", "deep/1.png", "deep/er/1.PNG", 'deep/er/a "b",\nc.png', "deep/no_ending", "linked.png")
    )
    for _, predicted, probability, *shares in lines:
        assert sum(map(float, shares)) == pytest.approx(1, abs=1e-6)
        assert probability == max(shares, key=float) == shares[("cat", "dog").index(predicted)]
    copies = [path for path in out.rglob("*") if path.is_file()]
    assert sorted(path.read_bytes() for path in copies) == sorted(Path(line[0]).read_bytes() for line in lines)
    assert told["pictures"] == len(lines) == sum(told["classes"].values())
    assert told["classes"] == {path.name: len(list(path.iterdir())) for path in out.iterdir()} | {
        name: 0 for name in ("cat", "dog") if not (out / name).exists()
    }


def test_without_a_table_each_picture_has_its_likeliest_classes(world: World, tmp_path: Path) -> None:
    archive = packed_file(tmp_path / "two.zip", {"a.png": png(1), "v1.0/b": png(2), "../c.png": png(3), "v1.0/README": b"x", "c.heic": b"x"})
    status, output, errors = thaw(world, "predict", world.run, archive)
    assert status == 0
    assert [line.partition(": ")[0] for line in output.splitlines()] == [f"{archive}/a.png", f"{archive}/v1.0/b"]
    assert "2 pictures predicted by run" in errors
    assert "2 left out" in errors
    assert "without an ending (1)" in errors
    assert "c.heic: pictures of the format .heic are not read" in errors
    status, output, _ = thaw(world, "predict", world.run, archive, world.folder / "cat", "--json", "--epoch", "9")
    assert status == 2, "an epoch that was not kept"
    status, output, _ = thaw(world, "predict", world.run, archive, world.folder / "cat" / "3.jpg", "--json")
    told = json.loads(output)
    assert status == 0
    assert [each["file"] for each in told["predictions"]] == [f"{archive}/a.png", f"{archive}/v1.0/b", str(world.folder / "cat" / "3.jpg")]
    first, second = told["predictions"][0]["guesses"]
    assert first["probability"] + second["probability"] == pytest.approx(1, abs=1e-6)


def test_a_table_is_not_written_over_and_a_full_disk_leaves_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "out.csv"
    table.write_text("mine")
    for target, words in ((table, "is there already; give another name, or --force"), (tmp_path, "is a folder; give the name of a file")):
        status, _, errors = thaw(world, "predict", world.run, world.folder, "--csv", target)
        assert status == 2
        assert f"thaw: csv: {target}" in errors
        assert words in errors
    assert table.read_text() == "mine"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("core.machine.files.os.fsync", full)
        status, _, errors = thaw(world, "predict", world.run, world.folder, "--csv", table, "--force")
        assert status == 2
        assert "No space left on device" in errors
        assert str(table) in errors
        status, _, errors = thaw(world, "predict", world.run, world.folder, "--sort-into", tmp_path / "sorted")
        assert status == 2
        assert "sort_into" in errors
        assert "free some space" in errors
    assert left_after(tmp_path) == {"out.csv"}
    assert table.read_text() == "mine"
    assert thaw(world, "predict", world.run, world.folder, "--csv", table, "--force")[0] == 0
    assert len(rows(table)) == 21


def test_where_no_picture_can_be_used_nothing_is_written(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    before = left_after(tmp_path)
    status, output, errors = thaw(world, "predict", world.run, folder, "--csv", tmp_path / "out.csv", "--sort-into", tmp_path / "sorted")
    assert (status, output) == (2, "")
    assert "a.png: not an image" in errors
    assert "none of the 1 pictures can be used" in errors
    status, output, _ = thaw(world, "predict", world.run, folder, "--csv", tmp_path / "out.csv", "--json")
    told = json.loads(output)
    assert (status, told["pictures"], told["csv"], len(told["left_out"])) == (2, 0, None, 1)
    assert left_after(tmp_path) == before


def test_pictures_are_not_sorted_into_what_holds_files_or_among_themselves(world: World, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for target, words in (
        (tmp_path / "full", "holds files already"),
        (tmp_path / "file", "is a file"),
        (world.folder / "sorted", "the next time its copies would be predicted too"),
    ):
        status, _, errors = thaw(world, "predict", world.run, world.folder, "--sort-into", target)
        assert status == 2
        assert f"thaw: sort_into: {target}" in errors
        assert words in errors
    assert left_after(tmp_path) == {"full", "full/mine", "file"}
    assert not (world.folder / "sorted").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path / "gone", "there is no file or folder"),
        (lambda path: linked(path / "a", path / "gone"), "a link to something that is not there"),
        (lambda path: written(path / "a.zip", b"PK no zip"), "cannot be read as a zip file"),
        (lambda path: written(path / "a.tar.gz", b"x"), "unpack it, and give the folder"),
        (lambda path: packed_file(path / "a.zip", {"a.txt": b"x", "b.txt": b"x"}), ".txt (2)"),
        (lambda path: path, "there is no picture that can be used"),
        (lambda path: pipe(path / "a"), "neither a file nor a folder"),
    ],
)
def test_what_holds_no_picture_is_refused_before_anything_is_computed(world: World, tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    status, output, errors = thaw(world, "predict", world.run, make(tmp_path), world.folder, "--csv", tmp_path / "out.csv")
    if words == "there is no picture that can be used" or ".txt (2)" in words:  # beside other pictures that is no fault
        assert status == 0
        status, output, errors = thaw(world, "predict", world.run, make(tmp_path), "--csv", tmp_path / "other.csv")
    assert (status, output) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "other.csv").exists()


def linked(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def test_a_folder_within_that_may_not_be_read_is_named_and_the_rest_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").write_bytes(png())
    scandir = os.scandir

    def closed(folder: str | Path) -> Any:  # root may read everything, so nobody's rights are taken away here
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed)
    found = gather([("", tmp_path)])
    assert [picture.name for picture in found.pictures] == ["a.png"]
    assert [refused.name for refused in found.refused] == ["closed/"]


def test_far_too_many_files_are_refused(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed_file(tmp_path / "a.zip", {f"{number}.png": b"" for number in range(8)})
    monkeypatch.setattr(gathering, "MOST_FILES", 7)
    for source in (world.folder, archive):
        with pytest.raises(ConfigError, match="more than 7 files; is it what you meant"):
            gather([("", source)])
    monkeypatch.setattr(packed, "MOST_MEMBERS", 7)
    with pytest.raises(ConfigError, match="holds 8 files, more than 7"):
        gather([("", archive)])


# Zip files that mean harm


def hostile(path: Path) -> Path:
    """One good picture among what must not be read."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("good.png", "../up.png", "in/../../up.png", "/root.png", "C:/windows.png", "back\\..\\..\\up.png", "A.png", "a.png"):
            archive.writestr(name, png())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bomb.png", b"\0" * 20_000_000)
        archive.writestr("secret.png", png())
        archive.writestr("broken.png", png())
        archive.writestr("__MACOSX/._good.png", b"x")
        archive.writestr("inner.zip", b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("good.png", png(9))
    data = bytearray(path.read_bytes())
    place = data.rfind(b"secret.png")
    data[place - 46 + 8] |= 1  # the flags in the list of members: encrypted
    place = data.find(b"broken.png")
    data[place + 40 : place + 60] = bytes(20)
    path.write_bytes(data)
    return path


def test_a_zip_file_that_means_harm_is_read_for_its_good_pictures_alone(world: World, tmp_path: Path) -> None:
    archive = hostile(tmp_path / "in.zip")
    before = left_after(tmp_path.parent)
    status, output, errors = thaw(world, "predict", world.run, archive, "--csv", tmp_path / "out.csv", "--sort-into", tmp_path / "sorted", "--json")
    assert status == 0, errors
    told = json.loads(output)
    reasons = {each["file"].removeprefix(f"{archive}/"): each["reason"] for each in told["left_out"]}
    for name in ("../up.png", "in/../../up.png", "/root.png", "C:/windows.png", "back/../../up.png"):
        assert reasons.pop(name) == "its name in the zip file leads out of it"
    assert "is a link in the zip file" in reasons.pop("link.png")
    assert "times its size in the zip file, as no picture does" in reasons.pop("bomb.png")
    assert "encrypted; unpack the zip file with its password" in reasons.pop("secret.png")
    assert "another file of this name" in reasons.pop("good.png")
    assert "cannot be unpacked" in reasons.pop("broken.png")
    assert not reasons
    assert [line[0].removeprefix(f"{archive}/") for line in rows(tmp_path / "out.csv")[1:]] == ["A.png", "a.png", "good.png"]
    new = left_after(tmp_path.parent) - before
    (folder,) = (tmp_path / "sorted").iterdir()
    assert {path.name for path in folder.iterdir()} == {"A.png", "a (2).png", "good.png"}, "two names that differ in case alone stay apart anywhere"
    allowed = {"out.csv", "sorted", f"sorted/{folder.name}", *(f"sorted/{folder.name}/{name}" for name in ("A.png", "a (2).png", "good.png"))}
    assert new == {f"{tmp_path.name}/{name}" for name in allowed}


def test_a_zip_file_that_says_it_is_enormous_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed_file(tmp_path / "a.zip", {"a.bmp": bytes(3_000_000), "b.png": png()})
    monkeypatch.setattr(packed, "MOST_UNPACKED", 1_000_000)
    with pytest.raises(ConfigError, match="unpacks to 0 GB, more than 0 GB"):
        gather([("", archive)])
    monkeypatch.undo()
    monkeypatch.setattr(packed, "MOST_BYTES", 1_000_000)
    found = gather([("", archive)])
    assert [(refused.name, refused.reason) for refused in found.refused] == [("a.bmp", "it unpacks to 3 MB, more than 1 MB")]


def test_a_zip_file_that_was_changed_meanwhile_is_noticed(world: World, tmp_path: Path) -> None:
    archive = packed_file(tmp_path / "a.zip", {"a.png": png(1), "b.png": png(2), "c.png": png(3)})
    found = gather([("", archive)])
    packed_file(archive, {"b.png": png(4), "a.png": png(5)})
    passed = Many(world.loaded, found.pictures)
    assert list(passed.batches()) == []
    assert {refused.reason for refused in passed.refused} == {"the zip file was changed meanwhile"}


# Tables and folders


NASTY = ('it"s, a\ncat', "<b>dog</b>", "=1+1", "../up", "a/b", "A/B", "CON", "..", "", "x" * 300 + "é", "é", "e\u0301")


def test_class_names_of_any_kind_survive_the_table(tmp_path: Path) -> None:
    shares = np.linspace(0.1, 0.2, 2 * len(NASTY), dtype=np.float32).reshape(2, -1)
    stream = io.BytesIO()
    writer = CsvWriter(stream, NASTY)
    writer.write(Answers((Picture("a.png", tmp_path), Picture('b "c"\n.png', tmp_path)), np.array([0, 11]), shares))
    writer.end()
    head, *lines = list(csv.reader(io.StringIO(stream.getvalue().decode(), newline="")))
    assert tuple(head) == ("file", "predicted", "probability", *NASTY)
    assert [line[:2] for line in lines] == [["a.png", NASTY[0]], ['b "c"\n.png', NASTY[11]]]
    assert np.array_equal(np.array([line[3:] for line in lines], dtype=np.float32), shares), "to the bit"


def test_folders_of_classes_have_names_that_every_system_can_have_and_none_twice(tmp_path: Path) -> None:
    names = folder_names(NASTY)
    assert len({name.casefold() for name in names}) == len(NASTY)
    for name in names:
        assert name.strip(" .") == name != ""
        assert not set(name) & set('<>:"/\\|?*\n')
        assert len(name.encode()) <= 255
    assert "con" not in {name.casefold() for name in names}
    pictures = [Picture(f"{number}/a.png", written(tmp_path / f"{number}.png", png(number))) for number in range(3)]
    refused = sort_into(tmp_path / "out", [*pictures, Picture("gone", tmp_path / "gone.png")], [3, 3, 8, 0], NASTY, lambda text, share: None)
    assert [each.name for each in refused] == ["gone"]
    assert {path.parent.name: path.read_bytes() for path in (tmp_path / "out").glob("*/*")} == {names[3]: png(1), names[8]: png(2)}
    assert len(list((tmp_path / "out").glob("*/*"))) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"0.png", "1.png", "2.png", "out"}
    stream = io.BytesIO()
    assert [each.name for each in pack_sorted(stream, [*pictures, Picture("gone", tmp_path / "gone.png")], [3, 3, 8, 0], NASTY)] == ["gone"]
    with zipfile.ZipFile(stream) as archive:
        inside: Sequence[str] = archive.namelist()
        assert list(inside) == [f"{names[3]}/0.png", f"{names[3]}/1.png", f"{names[8]}/2.png"]
        assert archive.read(inside[2]) == png(2)


def test_pictures_of_one_name_get_numbers(tmp_path: Path) -> None:
    pictures = [Picture(name, tmp_path, 0, name) for name in ("a/1.png", "b/1.png", "c/1.PNG", "d/1 (2).png", "e/" + "y" * 300 + ".jpeg")]
    found = [name for _, name, _ in answers.places(pictures, [0] * 5, ["cat"])]
    assert found[:4] == ["1.png", "1 (2).png", "1 (3).PNG", "1 (2) (2).png"]
    assert found[4].endswith(".jpeg")
    assert len(found[4]) <= 130
