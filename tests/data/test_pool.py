"""Decoded pictures are kept by what their files hold: nothing is decoded twice, whoever asks, and what is kept is whole."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.config import RunConfig
from core.data import Data, decoding, images, pool, prepare
from core.data.augmentations import largest_side
from core.data.intake import decode, decode_and_look
from core.data.loader import resize
from core.data.pool import Pixels, Pool, forget_oldest
from core.data.rows import Rows, rows
from core.data.sources import Source
from core.machine.home import Home

SIDE = 16
QUIET = images.How(SIDE)


@pytest.fixture(autouse=True)
def settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is left that a test would have to wait for."""
    monkeypatch.setattr(pool, "_settle_later", pool.settle)


def paint(path: Path, number: int, size: tuple[int, int] = (40, 32)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(24):
        paint(tmp_path / "photos" / "ab"[number % 2] / f"{number:02}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded from now on, in no order."""
    names: list[str] = []

    def look(file: Path, *rest: object) -> object:
        names.append(file.name)
        return decode_and_look(file, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "decode_and_look", look)
    return names


def quiet(text: str, share: float | None) -> None:
    """A progress callback that tells nobody."""


def run_on(folder: Path, home: Home, **fields: object) -> Data:
    return prepare(RunConfig(**{"dataset": f"folder:{folder}", "image_size": SIDE, "batch_size": 4, **fields}), home, quiet)


def seen(data: Data) -> Tensor:
    return torch.cat([batch.images for batch in data.train.batches(1)])


def source_of(*files: Path) -> Source:
    return Source(files, np.zeros(len(files), np.int64))


def opened(home: Home, *files: Path) -> images.Store:
    return images.open_images(source_of(*files), QUIET, home.cache, "images", quiet)


def is_as_decoded(store: images.Store, *files: Path) -> bool:
    return torch.equal(store.images[:], torch.stack([torch.tensor(decode(file, SIDE)) for file in files]))


def test_a_folder_that_is_called_otherwise_or_lies_elsewhere_is_not_decoded_anew(photos: Path, home: Home, decoded: list[str]) -> None:
    first = run_on(photos, home)
    assert len(decoded) == 24
    moved = photos.rename(photos.parent / "elsewhere")
    (moved / "a" / "00.png").rename(moved / "a" / "00-renamed.png")
    assert torch.equal(seen(run_on(moved, home)), seen(first))
    assert len(decoded) == 24


def test_only_what_is_new_is_decoded_and_a_picture_that_is_there_twice_once(photos: Path, home: Home, decoded: list[str]) -> None:
    run_on(photos, home)
    decoded.clear()
    for number in range(10):
        paint(photos / "a" / f"new{number}.png", 100 + number)
    shutil.copy(photos / "a" / "new0.png", photos / "a" / "twice.png")
    data = run_on(photos, home)
    assert sorted(set(decoded)) == sorted(decoded)
    assert len(decoded) == 10
    assert isinstance(data.train.images.images, Rows)
    files = sorted((photos / "a").iterdir()) + sorted((photos / "b").iterdir())
    assert torch.equal(data.train.images.images[:], torch.stack([torch.tensor(decode(file, SIDE)) for file in files]))


@pytest.mark.parametrize("augmentation", ["none", "flip", "crop, flip and colour"])
def test_epochs_open_no_picture(photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch, augmentation: str) -> None:
    data = run_on(photos, home, augmentation=augmentation)
    with monkeypatch.context() as closed:
        closed.setattr(Image, "open", lambda *given, **named: pytest.fail("a picture is opened"))
        closed.setattr(Path, "open", lambda *given, **named: pytest.fail("a file is opened"))
        assert not torch.equal(seen(data)[:1], torch.zeros(1))
        assert sum(len(batch.images) for epoch in (2, 3) for batch in data.train.batches(epoch)) == 2 * len(data.train.images)


def test_what_cannot_be_read_is_told_each_time_and_tried_once(photos: Path, home: Home, decoded: list[str]) -> None:
    (photos / "a" / "broken.png").write_bytes(b"\x89PNG and nothing more")
    (photos / "a" / "empty.png").write_bytes(b"")
    notes = [next(note for note in run_on(photos, home).notes if "could not be read" in note) for _ in range(2)]
    assert notes[0] == notes[1]
    assert "broken.png" in notes[0]
    assert "empty.png (empty file)" in notes[0]
    assert decoded.count("broken.png") == decoded.count("empty.png") == 1


def test_a_file_that_changes_while_it_is_read_is_kept_under_no_digest(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    steady, file = paint(tmp_path / "0.png", 0), paint(tmp_path / "1.png", 1)

    def look(path: Path, *rest: object) -> object:
        if path == file:
            paint(file, int(file.stat().st_mtime_ns % 1000) + 2, (20, 20))
        return decode_and_look(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "decode_and_look", look)
    store = opened(home, steady, file)
    assert store.numbers.tolist() == [0]
    assert "changed while it was read" in store.skipped[0]
    monkeypatch.undo()
    assert is_as_decoded(opened(home, steady, file), steady, file)


def test_shards_are_read_in_whatever_order_they_are_asked_for(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SHARD_BYTES", 5 * 3 * SIDE**2)
    files = [paint(tmp_path / f"{number:02}.png", number) for number in range(12)]
    assert is_as_decoded(opened(home, *files), *files)
    assert len(list((home.cache / "decoded").glob("*/*.uint8"))) == 3
    turned = files[::-1]
    store = opened(home, *turned)
    assert is_as_decoded(store, *turned)
    assert torch.equal(store.images[3], torch.from_numpy(decode(turned[3], SIDE)))
    assert torch.equal(store.images[2:9], store.images.index_select(0, torch.arange(2, 9)))
    assert store.key != opened(home, *files).key


def test_a_decoding_that_is_killed_keeps_its_finished_shards(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, decoded: list[str]) -> None:
    monkeypatch.setattr(pool, "SHARD_BYTES", 4 * 3 * SIDE**2)
    files = [paint(tmp_path / f"{number:02}.png", number) for number in range(10)]
    child = multiprocessing.get_context("fork").Process(target=_die_at, args=(home, files, files[9]))
    child.start()
    child.join()
    assert child.exitcode == 9
    assert is_as_decoded(opened(home, *files), *files)
    assert "00.png" not in decoded
    assert "09.png" in decoded


def _die_at(home: Home, files: list[Path], last: Path) -> None:
    fill = images._decoded
    images._decoded = lambda file, how: os._exit(9) if file == last and _shards(home) == 2 else fill(file, how)
    images._ahead = lambda pool, make, given, most: iter(map(make, given))
    opened(home, *files)


def _shards(home: Home) -> int:
    return len(list((home.cache / "decoded").glob("*/*.index*")))


def test_two_processes_that_ask_at_once_decode_each_picture_once(tmp_path: Path, home: Home) -> None:
    files = [paint(tmp_path / f"{number:02}.png", number) for number in range(40)]
    fork = multiprocessing.get_context("fork")
    both, told = fork.Barrier(2), fork.Queue()
    children = [fork.Process(target=_ask, args=(home, files, both, told)) for _ in range(2)]
    for child in children:
        child.start()
    counts = [told.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert sorted(counts) == [0, 40]
    assert is_as_decoded(opened(home, *files), *files)


def _ask(home: Home, files: list[Path], both: multiprocessing.synchronize.Barrier, told: multiprocessing.queues.Queue[int]) -> None:
    count, fill = [0], images._decoded

    def counted(file: Path, how: images.How) -> object:
        count[0] += 1
        return fill(file, how)

    images._decoded = counted  # type: ignore[assignment]
    both.wait()
    opened(home, *files)
    told.put(count[0])


@pytest.fixture
def three_pools(tmp_path: Path) -> list[Pool]:
    """A picture of 300 bytes each, the first used longest ago."""
    pools = [Pool(tmp_path / "decoded" / name) for name in ("old", "middle", "new")]
    for age, one in enumerate(pools):
        with one.adding(quiet), one.writer() as writer:
            writer.add("ab" * 32, Pixels(np.zeros((10, 10, 3), np.uint8), 10, 0.0, False))
        for path in one.folder.glob("*.uint8"):
            os.utime(path, (1000 + age, 1000 + age))
    return pools


def test_what_was_used_longest_ago_is_forgotten_and_never_what_is_in_use(three_pools: list[Pool]) -> None:
    old, middle, new = three_pools
    decoded = old.folder.parent
    assert forget_oldest(decoded, keep=[], room=600) == 300
    assert [len(one.missing(["ab" * 32])) for one in three_pools] == [1, 0, 0]
    middle.find(["ab" * 32])  # used just now
    mapped = new.find(["ab" * 32]).shards[0]
    assert forget_oldest(decoded, keep=[new], room=0) == 300
    assert [len(one.missing(["ab" * 32])) for one in three_pools] == [1, 1, 0]
    forget_oldest(decoded, keep=[], room=0)
    assert new.missing(["ab" * 32]) == [0]
    assert len(mapped) == 300, "who has it mapped keeps it"


def test_an_index_that_is_damaged_or_whose_pixels_are_cut_off_counts_for_nothing(three_pools: list[Pool]) -> None:
    cut, damaged, _ = three_pools
    next(cut.folder.glob("*.uint8")).write_bytes(b"short")
    next(damaged.folder.glob("*.index")).write_bytes(b"no index")
    assert [len(one.missing(["ab" * 32])) for one in three_pools] == [1, 1, 0]


def test_pixels_that_are_not_on_the_disk_yet_are_believed_until_the_machine_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_settle_later", lambda folder: None)
    monkeypatch.setattr(pool, "_boot", lambda: "first")
    one = Pool(tmp_path / "decoded" / "one")
    for digest in ("ab" * 32, "cd" * 32):
        with one.adding(quiet), one.writer() as writer:
            writer.add(digest, Pixels(np.zeros((10, 10, 3), np.uint8), 10, 0.0, False))
    assert one.missing(["ab" * 32, "cd" * 32]) == []
    lost = min(one.folder.glob("*.index-first"))
    kept = lost.with_name("kept")
    lost.rename(kept)
    pool.settle(one.folder)
    kept.rename(lost)

    monkeypatch.setattr(pool, "_boot", lambda: "second")
    assert one.missing(["ab" * 32, "cd" * 32]) == [0], "the other one was settled, and has no mark any more"
    old = time.time() - 2 * pool.DAY
    for path in one.folder.glob("*"):
        os.utime(path, (old, old))
    forget_oldest(one.folder.parent, keep=[])
    assert sorted(path.suffix for path in one.folder.iterdir() if path.suffix) == [".index", ".uint8"], "what nobody believes any more is gone"


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    one = Pool(tmp_path / "decoded" / "one")
    with suppress(KeyError), one.adding(quiet), one.writer() as writer:
        writer.add("ab" * 32, Pixels(np.zeros((10, 10, 3), np.uint8), 10, 0.0, False))
        raise KeyError
    assert one.missing(["ab" * 32]) == [0]
    assert [path.name for path in one.folder.iterdir()] == [".lock"]


def test_nothing_but_unreadable_pictures_is_an_empty_set_of_rows(tmp_path: Path) -> None:
    one = Pool(tmp_path / "decoded" / "one")
    with one.adding(quiet), one.writer() as writer:
        writer.add("ab" * 32, "ä" * 200)
    found = one.find(["ab" * 32, "cd" * 32])
    assert found.reasons == {0: "ä" * 60}
    assert found.shard.tolist() == [0, -1]
    assert len(rows(found, np.empty(0, np.int64), SIDE)) == 0


# Large pictures for random crops


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (50, 30), (4000, 2600)])
def test_the_small_square_beside_a_large_one_is_that_which_is_decoded_alone(size: tuple[int, int], fit: decoding.Fit, tmp_path: Path) -> None:
    file = tmp_path / "picture.jpg"
    Image.effect_noise((size[0] // 4, size[1] // 4), 80).resize(size).convert("RGB").save(file)
    for largest in (80, 140):
        both = decode_and_look(file, 40, fit, None, largest)
        assert np.array_equal(both.pixels, decode_and_look(file, 40, fit, None).pixels)
        assert both.large is not None
        assert both.large.shape == (min(largest, max(size) if fit == "pad" else min(size)),) * 2 + (3,)
        assert np.array_equal(both.large.transpose(2, 0, 1), decoding.decode_large(file, 40, largest, fit))


def test_the_large_square_of_a_small_picture_is_cut_out_untouched(tmp_path: Path) -> None:
    file = paint(tmp_path / "small.png", 0, (40, 32))
    pixels = np.asarray(Image.open(file))
    assert np.array_equal(decoding.decode_large(file, 16, 64).transpose(1, 2, 0), pixels[:, 4:36])


def test_crops_are_of_pictures_with_more_detail_than_a_batch_has(tmp_path: Path, home: Home) -> None:
    """Stripes one pixel wide are gone from a picture at a quarter of its size, and are there in a crop of a quarter of its sides."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 255
    for number in range(12):
        (tmp_path / "stripes" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(stripes, number % 4, axis=1)).save(tmp_path / "stripes" / "ab"[number % 2] / f"{number}.png")
    plain = run_on(tmp_path / "stripes", home)
    cut = run_on(tmp_path / "stripes", home, augmentation="crop and flip")
    contrast = [float(seen(data).float().std()) for data in (plain, cut)]
    assert contrast[1] > 1.5 * contrast[0]
    assert any("kept at up to 32 px a side (32 px" in note for note in cut.notes)
    assert torch.equal(next(plain.test.batches(1)).images, next(cut.test.batches(1)).images), "what measures is as it was"


def test_crops_are_those_of_torchvision(home: Home) -> None:
    from torchvision.transforms.v2 import functional

    from core.data import changes

    picture = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)).permute(2, 0, 1)
    for seed in range(5):
        cut = changes.crop([picture], 24, torch.Generator().manual_seed(seed))[0]
        close = [
            functional.resized_crop(picture, top, left, height, width, [24, 24], antialias=True) for top, left, height, width in [_box(seed, 90)]
        ]
        assert torch.equal(cut, close[0])


def _box(seed: int, side: int) -> tuple[int, int, int, int]:
    """The box that `crop` draws for one picture, worked out anew."""
    generator = torch.Generator().manual_seed(seed)
    area = float(torch.rand(1, generator=generator) * 0.75 + 0.25)
    low, high = np.log(3 / 4), np.log(4 / 3)
    shape = float(np.exp(float(torch.rand(1, generator=generator)) * (high - low) + low))
    left, top = torch.rand((2, 1), generator=generator).flatten().tolist()
    width, height = (max(1, round(min(1.0, share**0.5) * side)) for share in (area * shape, area / shape))
    return int(top * (side - height + 1)), int(left * (side - width + 1)), height, width


def test_pictures_for_crops_are_smaller_where_there_are_too_many() -> None:
    assert largest_side(224, 0.25, 2_000) == 448
    assert largest_side(224, None, 2_000) == 224
    assert [largest_side(224, 0.25, count) for count in (20_000, 30_000, 100_000)] == [336, 280, 224]


def test_an_array_of_large_pictures_is_cropped_as_it_is(home: Home) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 40, 40), dtype=np.uint8)
    source = Source(pixels, np.zeros(6, np.int64))
    how = images.How(SIDE, largest=32)
    store = images.open_images(source, how, home.cache, "images", quiet)
    details = images.open_details(source, how, store.numbers, np.arange(6), home.cache, quiet, None)
    assert details is not None
    assert torch.equal(details.picture(3), torch.from_numpy(pixels[3]).expand(3, -1, -1))
    assert torch.equal(store.images[:], resize(torch.from_numpy(pixels), SIDE))
    assert images.open_details(source, images.How(64, largest=128), store.numbers, np.arange(6), home.cache, quiet, None) is None
