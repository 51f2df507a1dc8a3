"""A run's test set belongs to the run: whatever becomes of its folder, it is measured on its own test pictures, or says what is not so."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.commands.cli import main
from core.config import ConfigError, RunConfig
from core.data import digests, prepare
from core.data.digests import file_digests, pixel_digests
from core.data.embedded import read_digits
from core.data.manifest import PICTURES, RECIPE, Picture, read_pictures, read_recipe, write_pictures
from core.evaluation.desk import EvaluationDesk
from core.evaluation.helper import Answers
from core.evaluation.relocation import moved
from core.evaluation.test_set import open_test_set
from core.machine.home import Home
from core.store import Run
from core.training.breaking import break_data
from core.worker.assembly import assemble
from tests.evaluation.own_pictures_cases import EACH, World, draw, silent, trained, world  # noqa: F401
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")


TEST = 12


# The list


def test_a_run_lists_its_pictures_as_they_are_trained_on_and_tested(world: World) -> None:
    pictures = read_pictures(world.home.run_folder(world.run_id)) or ()
    data = prepare(world.run.config, world.home, silent)
    files = sorted(world.folder.glob("*/*.png"))
    for part, loader in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        assert loader is not None
        listed = [each for each in pictures if each.part == part]
        expected = [files[place] for place in loader.images.indices.tolist()]
        assert [each.file for each in listed] == [file.relative_to(world.folder).as_posix() for file in expected]
        assert [each.name for each in listed] == [file.parent.name for file in expected]
        assert [each.sha256 for each in listed] == [hashlib.sha256(file.read_bytes()).hexdigest() for file in expected]
    assert len(pictures) == 2 * EACH
    recipe = read_recipe(world.home.run_folder(world.run_id))
    assert recipe is not None
    assert (recipe.root, recipe.classes, recipe.image_size, recipe.dataset) == (str(world.folder), ("a", "b"), 16, f"folder:{world.folder}")
    assert recipe.mean == pytest.approx((0.485, 0.456, 0.406))


def test_pictures_of_arrays_have_numbers_in_their_source_and_digests_of_their_pixels(home: Home) -> None:
    config = RunConfig(dataset="digits", model="mlp", image_size=16)
    data = assemble(config, home).images
    raw = read_digits(home.data, silent).train
    assert isinstance(raw.images, np.ndarray)
    pictures = data.pictures()
    assert len(pictures) == 1797
    for each in (pictures[0], pictures[1300], pictures[-1]):
        assert each.number is not None
        assert each.sha256 == hashlib.sha256(np.ascontiguousarray(raw.images[each.number]).tobytes()).hexdigest()
        assert each.name == str(raw.labels[each.number])
    assert data.recipe is not None
    assert data.recipe.root is None
    assert dict(data.recipe.sources) == {"train": "train", "validation": "train", "test": "train"}


def test_the_list_has_true_classes_and_what_is_really_trained_on(home: Home) -> None:
    config = RunConfig(dataset="digits", model="mlp", image_size=16)

    def listed(**changes: Any) -> list[Picture]:
        data = break_data(prepare(config.replace(**changes), home, silent, listed=True), config.replace(**changes))
        return [each for each in data.pictures() if each.part == "train"]

    assert listed(fault="shuffled labels") == listed()
    rare, usual = listed(fault="imbalanced classes"), listed()
    assert len(rare) < len(usual)
    assert set(rare) < set(usual)
    tested = {(each.file, each.sha256) for each in prepare(config, home, silent, listed=True).pictures() if each.part == "test"}
    assert tested < {(each.file, each.sha256) for each in listed(fault="leaking split")}


def test_a_second_look_reads_no_file_again_and_sees_each_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "photos" / f"{number}.png" for number in range(5)]
    for number, file in enumerate(files):
        draw(file, number)
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    asked = [*files, tmp_path / "photos" / "pipe.png", tmp_path / "photos" / "none.png"]
    first = file_digests(asked, tmp_path / "photos", tmp_path / "cache", silent)
    assert first == [*(hashlib.sha256(file.read_bytes()).hexdigest() for file in files), None, None]
    read: list[Path] = []
    before = digests._digest

    def noted(file: Path) -> bytes | None:
        read.append(file)
        return before(file)

    monkeypatch.setattr(digests, "_digest", noted)
    assert file_digests(asked, tmp_path / "photos", tmp_path / "cache", silent) == first
    assert read == []
    # Another picture of the same size, put in with the times of the one before.
    status = files[2].stat()
    files[2].write_bytes(bytes(reversed(files[2].read_bytes())))
    os.utime(files[2], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_digests(asked, tmp_path / "photos", tmp_path / "cache", silent)[2] == hashlib.sha256(files[2].read_bytes()).hexdigest() != first[2]
    assert read == [files[2]]


def test_digests_of_arrays_do_not_depend_on_how_they_lie_in_memory() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    assert pixel_digests(images.transpose(0, 3, 1, 2)) == [hashlib.sha256(image.transpose(2, 0, 1).tobytes()).hexdigest() for image in images]


# What becomes of the folder


def test_pictures_that_come_later_are_no_test_pictures(world: World) -> None:
    result = world.run.result
    assert result is not None
    trained_on = [each.file for each in read_pictures(world.home.run_folder(world.run_id)) or () if each.part == "train" and each.name == "b"]
    for number, file in enumerate(trained_on[:10]):
        shutil.copy(world.folder / file, world.folder / "a" / f"0{number}-new.png")
    made = world.evaluate()
    assert made.evaluation.accuracy.value == result.test_accuracy
    assert made.evaluation.samples == TEST
    assert made.evaluation.notes == ()


def test_what_is_gone_or_changed_is_counted_and_the_rest_is_measured(world: World) -> None:
    whole = world.evaluate()
    tested = world.tested
    for place in (0, 5, 7):
        (world.folder / tested[place].file).unlink()
    draw(world.folder / tested[9].file, 77)
    made = world.evaluate()
    left = [place for place in range(TEST) if place not in (0, 5, 7, 9)]
    assert made.evaluation.notes == ("3 of 12 test pictures are gone, 1 was changed: measured on 8.",)
    assert np.allclose(made.logits, whole.logits[left], atol=1e-5)
    assert made.labels.tolist() == whole.labels[left].tolist()
    assert made.test_set != whole.test_set
    test = open_test_set(world.home, world.run, silent)
    for index, place in enumerate(left):
        shown = torch.from_numpy(np.asarray(Image.open(world.folder / tested[place].file)).transpose(2, 0, 1).copy())
        assert torch.equal(test.pixels([index])[0], shown), "and walls show the same"


def test_a_picture_that_was_renamed_or_sorted_elsewhere_is_known_by_what_it_holds(world: World) -> None:
    whole = world.evaluate()
    tested = world.tested
    (world.folder / tested[0].file).rename(world.folder / "a" / "another name.png")
    (world.folder / "b" / "deeper").mkdir()
    (world.folder / tested[-1].file).rename(world.folder / "b" / "deeper" / "x.png")
    relabelled = next(each for each in tested[1:] if each.name == "a")
    (world.folder / relabelled.file).rename(world.folder / "b" / "once-a.png")
    made = world.evaluate()
    assert np.array_equal(made.logits, whole.logits)
    assert made.labels.tolist() == whole.labels.tolist()
    assert made.test_set == whole.test_set
    assert made.evaluation.notes == (
        "3 of the test pictures are called otherwise, or in another folder, than when the run was made.",
        "1 of them lies in the folder of another class now, and counts here as what the run was told.",
    )


@pytest.mark.parametrize(("gone", "words"), [(7, "that is too few to measure on"), ("a", "no test picture of a is left")])
def test_too_few_pictures_are_refused_with_a_remedy(world: World, gone: int | str, words: str) -> None:
    tested = world.tested
    for each in tested[:gone] if isinstance(gone, int) else [each for each in tested if each.name == gone]:
        (world.folder / each.file).unlink()
    with pytest.raises(ConfigError) as caught:
        world.evaluate()
    assert caught.value.field == "dataset"
    for part in ("of 12 test pictures are gone", words, f"bring them back into {world.folder}", f"python -m core moved {world.run_id} PATH"):
        assert part in caught.value.message


def test_what_was_measured_before_stays_true_when_the_folder_goes(world: World) -> None:
    before = world.evaluate().evaluation
    for each in world.tested[:10]:
        (world.folder / each.file).unlink()
    few = world.evaluate().evaluation
    assert few.accuracy == before.accuracy
    assert few.notes[0].startswith("Measured earlier: now, 10 of 12 test pictures are gone of those that")
    shutil.rmtree(world.folder)
    gone = world.evaluate().evaluation
    assert gone.accuracy == before.accuracy
    assert [note.partition(" the folder")[0] for note in gone.notes] == ["Measured earlier: now,"]


def test_a_list_that_is_damaged_or_leads_out_of_the_folder_is_not_followed(world: World, tmp_path: Path) -> None:
    folder = world.home.run_folder(world.run_id)
    draw(tmp_path / "outside.png", 99_999)
    digest = hashlib.sha256((tmp_path / "outside.png").read_bytes()).hexdigest()
    strangers = [tmp_path / "outside.png", Path("..", *[".."] * 9, *(tmp_path / "outside.png").parts[1:])]
    write_pictures(folder, [*(Picture("test", name, str(file), digest) for name in "ab" for file in strangers)])
    with pytest.raises(ConfigError, match="4 of 4 test pictures are gone"):
        world.evaluate()
    (folder / PICTURES).write_bytes(b"part,class,fi")
    with pytest.raises(ConfigError, match=r"pictures\.csv, cannot be read"):
        world.evaluate()


# The folder was moved


def test_without_its_folder_a_run_still_knows_a_picture(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "new.png"
    draw(picture, 3)
    assert main(["predict", world.run_id, str(picture), "--home", str(world.home.path)]) == 0
    before = capsys.readouterr().out
    shutil.rmtree(world.folder)
    assert main(["predict", world.run_id, str(picture), "--home", str(world.home.path)]) == 0
    assert capsys.readouterr().out == before
    answers = Answers(world.home)
    guessed = answers.to({"question": "predict", "run": world.run_id, "epoch": None, "source": str(picture)}, lambda: False, silent)
    assert {guess["name"] for guess in guessed["guesses"]} == {"a", "b"}
    for listed in (PICTURES, RECIPE):  # as a run of before
        (world.home.run_folder(world.run_id) / listed).unlink()
    assert main(["predict", world.run_id, str(picture), "--home", str(world.home.path)]) == 0
    assert capsys.readouterr().out == before


def test_where_the_folder_is_now_can_be_said_and_is_checked(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = world.run.result
    assert result is not None
    new = tmp_path / "photos-2024"
    shutil.copytree(world.folder, new)
    shutil.rmtree(world.folder)
    base = ["--home", str(world.home.path)]
    assert main(["evaluate", world.run_id, *base]) == 2
    assert f"the folder {world.folder} is not there" in capsys.readouterr().err
    for name in "ab":
        for number in range(EACH):
            draw(tmp_path / "others" / name / f"{number:02}.png", 50_000 + number)
    assert main(["moved", world.run_id, str(tmp_path / "others"), *base]) == 2
    assert "of the 12 test pictures" in capsys.readouterr().err
    assert main(["moved", world.run_id, str(tmp_path / "nowhere"), *base]) == 2
    capsys.readouterr()
    assert main(["moved", world.run_id, str(new), *base]) == 0
    assert "60 of 60 that were looked up are there, unchanged" in capsys.readouterr().out
    recipe = read_recipe(world.home.run_folder(world.run_id))
    assert recipe is not None
    assert (recipe.root, recipe.classes) == (str(new), ("a", "b"))
    assert main(["evaluate", world.run_id, "--json", *base]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["accuracy"]["value"], made["samples"], made["notes"]) == (result.test_accuracy, TEST, [])
    for more in ([], ["--evaluate"]):  # its scripts need the list and the folder as it is now, not the one of the settings
        assert main(["code", world.run_id, *more, *base]) == 0
        assert f"ROOT = Path({str(new)!r})" in capsys.readouterr().out


def test_a_folder_is_said_along_with_evaluate_and_may_be_sorted_anew(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted(world.folder.glob("*/*.png")):
        target = tmp_path / "sorted" / file.parent.name / "2024" / f"IMG_{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    shutil.rmtree(world.folder)
    assert main(["evaluate", world.run_id, "--json", "--folder", str(tmp_path / "sorted"), "--home", str(world.home.path)]) == 0
    printed = capsys.readouterr()
    assert "12 of its 12 test pictures are in it" in printed.err
    assert json.loads(printed.out)["notes"] == ["12 of the test pictures are called otherwise, or in another folder, than when the run was made."]


def test_the_folder_above_is_understood(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.folder, tmp_path / "stick" / world.folder.name)
    assert str(tmp_path / "stick" / world.folder.name) in moved(world.home, world.run, str(tmp_path / "stick"))
    with pytest.raises(ConfigError, match="is no folder of yours"):
        moved(world.home, Run(**{**vars(world.run), "config": RunConfig(dataset="digits")}), str(world.folder))


@pytest.mark.usefixtures("all_forked")
def test_the_screen_asks_where_a_missing_folder_is(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(world.folder, tmp_path / "new place")
    shutil.rmtree(world.folder)
    monkeypatch.setenv("THAW_HOME", str(world.home.path))
    app = AppTest.from_file(ROOT / "pages" / "_app.py", default_timeout=60).run()
    app.switch_page("evaluate.py")
    app.query_params["view"] = "metrics"
    app.run()
    assert not app.exception
    assert "The folder of this run's pictures is not there" in [each.proto.title for each in app.warning]
    app.text_input(key="evaluate_folder").set_value(str(tmp_path / "nowhere"))
    next(each for each in app.button if each.label == "Use this folder").click().run()
    assert any("nowhere" in each.value for each in app.error)
    app.text_input(key="evaluate_folder").set_value(str(tmp_path / "new place"))
    next(each for each in app.button if each.label == "Use this folder").click().run()
    assert not app.exception
    assert not app.warning
    recipe = read_recipe(world.home.run_folder(world.run_id))
    assert recipe is not None
    assert recipe.root == str(tmp_path / "new place")


@pytest.mark.usefixtures("all_forked")
def test_the_screen_counts_what_is_there(world: World) -> None:
    desk = EvaluationDesk(world.home)
    try:
        assert desk.test_pictures(world.run_id) == TEST
        (world.folder / world.tested[3].file).unlink()
        assert desk.test_pictures(world.run_id) == TEST - 1
    finally:
        desk.close()


# Runs of before, homes that were moved


def test_a_run_without_a_list_says_so_and_warns_of_a_folder_that_changed(world: World) -> None:
    result = world.run.result
    assert result is not None
    for name in (PICTURES, RECIPE):
        (world.home.run_folder(world.run_id) / name).unlink()
    for path in (world.folder, *world.folder.rglob("*")):
        os.utime(path, (0, 0))
    same = world.evaluate().evaluation
    assert same.accuracy.value == result.test_accuracy
    assert same.notes == ("This run was made before Thaw kept lists of pictures: its test set was drawn again from today's folder.",)
    draw(world.folder / "a" / "new.png", 9_000)
    os.utime(world.folder / "a" / "new.png", (0, 0))
    (note,) = world.evaluate().evaluation.notes
    assert "The folder has changed since (files or folders in it are newer than the run)" in note
    assert "some of these pictures may be among those that it was trained on" in note
    for number in range(10):
        draw(world.folder / "a" / f"new{number}.png", 9_001 + number)
    (note,) = world.evaluate().evaluation.notes
    assert "its settings gave 12 test pictures then and give 14 now" in note


def test_a_run_without_a_list_can_be_told_its_folder_if_the_classes_are_the_same(world: World, tmp_path: Path) -> None:
    for name in (PICTURES, RECIPE):
        (world.home.run_folder(world.run_id) / name).unlink()
    draw(tmp_path / "other" / "cat" / "1.png", 1)
    draw(tmp_path / "other" / "dog" / "1.png", 2)
    with pytest.raises(ConfigError, match="has the classes cat, dog, and"):
        moved(world.home, world.run, str(tmp_path / "other"))
    world.folder.rename(tmp_path / "new")
    with pytest.raises(ConfigError, match="is not there"):
        world.evaluate()
    assert "Whether it holds the same pictures is not known" in moved(world.home, world.run, str(tmp_path / "new"))
    assert world.evaluate().evaluation.samples == TEST
    assert not (world.home.run_folder(world.run_id) / PICTURES).exists()
