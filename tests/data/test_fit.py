"""Pictures that are not square, and those with more than 8 bits, all the way: what a run is told, what it finds, what its model is shown later."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.config import FITS, ConfigError, RunConfig
from core.data import Data, prepare
from core.data.decoding import decode
from core.data.fit_example import ENTRIES, FitExample, _first_files, fit_example
from core.data.manifest import PICTURES, RECIPE
from core.doctor import Doctor, Facts
from core.doctor.picture_rules import RULES
from core.evaluation import evaluate
from core.evaluation.test_set import open_test_set
from core.machine.home import Home
from core.model.batch_norms import raised_by_norm
from core.records.events import RunPlan, RunStatus
from core.records.findings import Appearance, Finding
from core.store import RunStore
from core.worker.worker import Worker

PLAN = RunPlan((), 1, 1, ("a", "b"), 8, 0, 2, "cpu")


def quiet(text: str, share: float | None) -> None:
    pass


def photos(folder: Path, size: tuple[int, int] = (60, 20), count: int = 10) -> Path:
    """Two classes of noise, "left" and "right", with a red mark at the left or the right end of each picture, `size` being width and height."""
    chance = np.random.default_rng(0)
    for name in ("left", "right"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = chance.integers(60, 140, (*size[::-1], 3), dtype=np.uint8)
            mark = slice(0, size[0] // 4) if name == "left" else slice(-(size[0] // 4), None)
            pixels[:, mark] = (240, 20, 20)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def deep(folder: Path, highest: int = 4000, count: int = 10) -> Path:
    """Two classes of pictures of 12 bits in 16: stripes across, and along."""
    chance = np.random.default_rng(1)
    stripes = np.tile(np.repeat([0.0, 1.0], 4), (32, 4))
    for name, lines in (("across", stripes.T), ("along", stripes)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = (np.roll(lines, number % 8, 0 if name == "across" else 1) * chance.uniform(0.7, 1) * highest).astype(np.uint16)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def run_on(folder: Path, home: Home, **fields: object) -> Data:
    return prepare(RunConfig(**{"dataset": f"folder:{folder}", "image_size": 16, "batch_size": 5, **fields}), home, quiet)


def found(appearance: Appearance | None, **fields: object) -> dict[str, Finding]:
    doctor = Doctor(RunConfig(**fields), PLAN, Facts((), (4, 4), (), appearance=appearance), {rule.name: rule for rule in RULES}, lambda: 0.0)
    return {finding.rule: finding for finding in doctor.diagnosis().findings}


# What a run is told


@pytest.mark.parametrize("fit", FITS)
def test_a_run_sees_its_pictures_as_its_fit_says(fit: str, tmp_path: Path, home: Home) -> None:
    folder = photos(tmp_path / "photos")
    data = run_on(folder, home, fit=fit)
    files = sorted(folder.glob("left/*")) + sorted(folder.glob("right/*"))
    expected = {decode(file, 16, fit).tobytes(): file.parent.name for file in files}  # type: ignore[arg-type]
    seen = 0
    for part in (data.train, data.validation, data.test):
        assert part is not None
        for pictures, labels in part.batches(1):
            for picture, label in zip(pictures.numpy(), labels.tolist(), strict=True):
                assert expected[np.ascontiguousarray(picture).tobytes()] == data.classes[label]
                seen += 1
    assert seen == 20
    said = [note for note in data.notes if "middle square" in note]
    assert said == (["The middle square of each picture is used, and 67 % of the median one cut away (fit crop); fit pad or squash uses all of each "
                     "picture."] if fit == "crop" else [])  # fmt: skip
    assert data.appearance is not None
    assert (data.appearance.pictures, data.appearance.flat) == (20, 0)
    assert data.appearance.beyond == pytest.approx(2 / 3, abs=1e-3)


def test_square_pictures_and_arrays_need_no_note(tmp_path: Path, home: Home) -> None:
    (layout,) = run_on(photos(tmp_path / "photos", (20, 20)), home).notes
    assert layout.startswith("Each folder in photos/ is a class")
    digits = prepare(RunConfig(dataset="digits", image_size=16, fit="pad"), home, quiet)
    assert (digits.notes, digits.appearance) == ((), None)
    assert digits.recipe is not None
    assert (digits.recipe.fit, digits.recipe.value_range) == ("pad", None)
    assert torch.equal(next(digits.test.batches(1)).images, next(prepare(RunConfig(image_size=16), home, quiet).test.batches(1)).images)


def test_a_range_is_said_and_used_for_every_set(tmp_path: Path, home: Home) -> None:
    folder = deep(tmp_path / "scans")
    data = run_on(folder, home, image_size=32)
    assert data.recipe is not None
    assert data.recipe.value_range is not None
    low, high = data.recipe.value_range
    assert low == 0
    assert 3700 < high <= 4000
    assert data.notes[1:] == (
        f"The pictures have more than 8 bits a channel: values from 0 to {high:,.6g} become 0 to 255, in training, tests and use.",
    )
    expected = {decode(file, 32, "crop", (low, high)).tobytes() for file in folder.glob("*/*")}
    for part in (data.train, data.validation, data.test):
        assert part is not None
        for pictures, _ in part.batches(1):
            assert {np.ascontiguousarray(picture).tobytes() for picture in pictures.numpy()} <= expected
            assert pictures.max() > 150
    assert data.appearance is not None
    assert data.appearance.flat == 0


# What the doctor says


def test_much_that_is_cut_away_is_found_with_its_share_and_a_remedy() -> None:
    finding = found(Appearance(40, 0, 0.6667))["much cut away"]
    assert finding.severity == "warning"
    assert "67 % of the area of the median picture lies beyond it" in finding.cause
    assert finding.remedy.settings == {"fit": "pad"}
    assert RunConfig(**finding.remedy.settings).fit == "pad"
    for appearance, fields in (
        (Appearance(40, 0, 1 / 3), {}), (Appearance(40, 0, 0.7), {"fit": "pad"}), (Appearance(40, 0, 0.7), {"fit": "squash"}), (None, {}),
    ):  # fmt: skip
        assert found(appearance, **fields) == {}


@pytest.mark.parametrize(("flat", "severity"), [(0, None), (3, None), (4, "note"), (39, "note"), (40, "warning"), (400, "warning")])
def test_pictures_without_contrast_are_found_by_their_share(flat: int, severity: str | None) -> None:
    finding = found(Appearance(400, flat, 0.0)).get("flat pictures")
    assert (finding.severity if finding else None) == severity
    if finding:
        assert finding.cause.startswith(f"{flat} of 400 pictures come out in as good as one colour")


def test_masks_of_small_numbers_are_counted_as_flat(tmp_path: Path, home: Home) -> None:
    folder = photos(tmp_path / "photos", (20, 20))
    for number in range(4):
        Image.fromarray(np.random.default_rng(number).integers(0, 3, (20, 20), dtype=np.uint8)).save(folder / "left" / f"{number}.png")
    for _ in range(2):  # from the files, and from what is kept of them
        data = run_on(folder, home)
        assert data.appearance is not None
        assert (data.appearance.pictures, data.appearance.flat) == (20, 4)


# From the first step to a picture from outside


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(home: Home) -> RunStore:
    return RunStore(home.database)


def trained(home: Home, store: RunStore, folder: Path, **fields: object) -> str:
    config = RunConfig(
        **{"dataset": f"folder:{folder}", "model": "small_cnn", "image_size": 32, "batch_size": 8, "epochs": 1, "threads": 1, **fields}
    )
    run_id = store.create_run(config)
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED
    return run_id


@pytest.mark.parametrize("fit", FITS)
def test_a_trained_model_is_shown_pictures_as_it_was_trained_on(fit: str, tmp_path: Path, home: Home, store: RunStore) -> None:
    folder = photos(tmp_path / "photos")
    run_id = trained(home, store, folder, fit=fit)
    loaded = evaluate.load(home, run_id)
    file = folder / "left" / "3.png"
    images, notes = evaluate.picture(loaded, file)
    assert np.array_equal(images[0].numpy(), decode(file, 32, fit))  # type: ignore[arg-type]
    start = {"crop": "Its middle square was cut out", "squash": "It was pressed together", "pad": "Black was put at two sides"}[fit]
    assert any(note.startswith(start) for note in notes)
    made = evaluate.evaluate(home, run_id)
    result = store.run(run_id).result
    assert result is not None
    assert made.evaluation.accuracy.value == pytest.approx(result.test_accuracy)
    findings = {finding.rule for finding in store.findings(run_id).findings}  # type: ignore[union-attr]
    assert ("much cut away" in findings) == (fit == "crop")


def test_a_trained_model_scales_pictures_by_the_range_of_its_run(tmp_path: Path, home: Home, store: RunStore) -> None:
    run_id = trained(home, store, deep(tmp_path / "scans"))
    loaded = evaluate.load(home, run_id)
    assert loaded.value_range is not None
    assert 3700 < loaded.value_range[1] <= 4000
    dim = tmp_path / "dim.png"  # a range of its own would make it as bright as all others
    Image.fromarray(np.tile(np.linspace(0, 1000, 32).astype(np.uint16), (32, 1))).save(dim)
    images, notes = evaluate.picture(loaded, dim)
    assert int(images.max()) == round(1000 / loaded.value_range[1] * 255)
    assert any("as in the run's pictures" in note for note in notes)
    test = open_test_set(home, loaded.run, quiet)
    assert int(test.pixels(range(4)).max()) > 150
    before = test.pixels(range(4))
    Image.fromarray(np.full((32, 32), 60_000, np.uint16)).save(tmp_path / "scans" / "along" / "new.png")
    assert torch.equal(open_test_set(home, loaded.run, quiet).pixels(range(4)), before), "what came later does not change the range"


def test_a_run_that_did_not_keep_its_range_says_so(tmp_path: Path, home: Home, store: RunStore) -> None:
    """As all of those that were made before there was one."""
    for name, folder, said in (("scans", deep, True), ("photos", photos, False)):
        run_id = trained(home, store, folder(tmp_path / name))
        assert not any("this range" in note for note in open_test_set(home, store.run(run_id), quiet).notes)
        for kept in (PICTURES, RECIPE):
            (home.run_folder(run_id) / kept).unlink()
        notes = open_test_set(home, store.run(run_id), quiet).notes
        assert any("more than 8 bits a channel" in note and note.endswith("did not keep this range scaled them otherwise.") for note in notes) == said
        assert evaluate.load(home, run_id).value_range is None


def test_a_picture_that_is_an_array_to_the_run_is_fitted_too(tmp_path: Path, home: Home, store: RunStore) -> None:
    picture = Image.new("RGB", (60, 20), (250, 250, 250))
    picture.save(tmp_path / "x.png")
    for fit, corner in (("crop", 250), ("squash", 250), ("pad", 0)):
        run_id = store.create_run(RunConfig(dataset="digits", model="small_cnn", image_size=8, epochs=1, threads=1, fit=fit))
        assert Worker(home, store, run_id).run() is RunStatus.FINISHED
        images, _ = evaluate.picture(evaluate.load(home, run_id), tmp_path / "x.png")
        assert images.shape == (1, 3, 8, 8)
        assert int(images[0, 0, 0, 0]) == corner
        assert int(images[0, 0, 4, 4]) == 250


# What the form shows


def test_the_form_shows_one_of_the_persons_own_pictures(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", (30, 30), 2)
    Image.new("RGB", (64, 16), (250, 0, 0)).save(folder / "left" / "long.png")
    (folder / "left" / "text.png").write_text("no picture")
    (folder / "left" / "link.png").symlink_to(folder / "left" / "long.png")
    found = fit_example(str(folder), 24)
    assert (found.name, found.width, found.height) == ("long.png", 64, 16)
    assert found.pixels.keys() == FITS.keys()
    assert (found.pixels["crop"][0] == 250).all()
    assert (found.pixels["squash"][0] == 250).all()
    assert (found.pixels["pad"][0] == 250).sum() == 24 * 6
    assert [found.lost(fit) for fit in found.pixels] == ["75 % of it is cut away", "stretched 4.00 times", "75 % of the square is black"]
    assert found.whole.shape == (3, 12, 48), "twice as wide as high at most"
    assert found.whole[0, 6].tolist() == 18 * [75] + 12 * [250] + 18 * [75], "dark beyond its middle square"
    assert not found.deep
    assert fit_example(str(deep(tmp_path / "scans")), 24).deep


def test_the_size_that_is_said_is_that_of_the_file_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (640, 200)).save(tmp_path / "large.jpg", exif=turned)
    found = fit_example(str(tmp_path), 24)
    assert (found.width, found.height) == (200, 640), "not those of the smaller copy that a JPEG is decoded to"


@pytest.mark.parametrize("folder", [None, "", "no/such/folder", "a\0b", "~nobody-at-all/x"])
def test_without_one_a_drawn_picture_is_shown(folder: str | None) -> None:
    found = fit_example(folder, 24)
    assert (found.name, found.width, found.height) == ("", 64, 32)
    assert len({found.pixels[fit].tobytes() for fit in found.pixels}) == 3
    square = FitExample("", 9, 9, {}, np.zeros((3, 9, 9), np.uint8))
    assert {square.lost(fit) for fit in found.pixels} == {"all of it, in its shape"}


def test_a_folder_is_not_looked_through_for_ever(tmp_path: Path) -> None:
    for number in range(ENTRIES + 1):
        (tmp_path / f"{number}.txt").touch()
    (tmp_path / "deeper").mkdir()
    Image.new("RGB", (64, 16)).save(tmp_path / "deeper" / "x.png")
    assert fit_example(str(tmp_path), 24).name in ("", "x.png")
    for number in range(30):
        Image.new("RGB", (40, 40)).save(tmp_path / f"{number}.png")
    assert fit_example(str(tmp_path), 24).width in (40, 64)


# Errors told apart by where they come from


def test_an_error_of_batch_normalisation_is_known_by_its_layer() -> None:
    norm = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="per channel") as caught:
        norm(torch.zeros(1, 4))
    assert raised_by_norm(caught.value)
    with pytest.raises(ValueError, match="more than 1 value per channel") as caught:
        raise ValueError("Expected more than 1 value per channel")
    assert not raised_by_norm(caught.value)


def test_a_fit_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(fit="letterbox")
    assert caught.value.field == "fit"
    assert all(name in caught.value.message for name in FITS)


def test_the_example_is_looked_for_past_hidden_files_and_never_through_links(tmp_path: Path) -> None:
    real, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    (real / "a" / "b").mkdir(parents=True)
    elsewhere.mkdir()
    wide = Image.new("RGB", (64, 16))
    wide.save(elsewhere / "linked.png")
    (real / "a" / "link").symlink_to(elsewhere, target_is_directory=True)
    (real / "a" / "linked.png").symlink_to(elsewhere / "linked.png")
    assert fit_example(str(real), 24).name == "", "nothing but links: a picture is drawn"
    for number in range(20):
        (real / "a" / f".{number}").write_bytes(b"hidden")
        (real / "a" / f"{number}.txt").write_bytes(b"no picture")
    Image.new("RGB", (32, 16)).save(real / "a" / "b" / "deeper.png")
    Image.new("RGB", (16, 16)).save(real / "a" / "square.png")
    found = fit_example(str(real), 24)
    assert (found.name, found.width, found.height) == ("deeper.png", 32, 16)


def test_a_folder_that_cannot_be_listed_does_not_end_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 16)).save(tmp_path / name / f"{name}.png")
    refused: set[str] = set()
    listed = os.scandir

    def scandir(path: Path) -> Any:
        if path != tmp_path and not refused:  # the first that is asked for, whichever that is
            refused.add(f"{path.name}.png")
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = {file.name for file in _first_files(tmp_path)}
    assert refused
    assert found == {"a.png", "b.png", "c.png"} - refused
