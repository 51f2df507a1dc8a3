"""Folders as people have them: which of them are classes and which are splits, what is left out, and what is asked about."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from core import catalog
from core.config import ConfigError, RunConfig
from core.data import layouts, prepare, stock
from core.data.datasets import find_dataset, folder_of
from core.data.layouts import Layout, LayoutQuestion, read_layout, split_kind
from core.machine.home import Home
from tests.data.layouts_cases import PETS, each, fill, read


def layout(root: Path | str) -> Layout:
    found = read(root).layout
    assert found is not None
    return found


def places(found: Layout) -> dict[str, list[str]]:
    """The folders of each part, as paths below the root."""
    return {part: [folder.relative_to(found.root).as_posix() for folder in folders] for part, folders in found.parts.items()}


def left_out(root: Path | str) -> str:
    return " ".join(read(root).notes)


def asked(root: Path | str) -> LayoutQuestion:
    with pytest.raises(LayoutQuestion) as caught:
        read_layout(str(root))
    assert caught.value.field == "dataset"
    for spec, _ in caught.value.choices:
        assert f"{root}::{spec}" in caught.value.message, "what is asked can be answered by writing it"
        read_layout(f"{root}::{spec}")
    return caught.value


# Names of splits


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(
            (name, "train")
            for name in ("train", "TRAIN", "Training", "train_set", "trainset", "seg_train", "train2017", "my-train-images", "trainData")
        ),
        *((name, "train") for name in ("my-train-images", "Training Data", "trainval", "train_val", "01_train", "TrainingSet")),
        *(
            (name, "validation")
            for name in ("val", "Valid", "validation", "dev", "val_set", "validation_data", "valset", "val2017", "Validation Set")
        ),
        *(
            (name, "test")
            for name in ("test", "Testing", "test_set", "evaluation", "eval", "holdout", "hold_out", "Held-Out", "seg_test", "TestImages")
        ),
        *(
            (name, None)
            for name in ("trainer", "constrain", "cat", "contest", "valley", "invalid", "protest", "train_test", "2024", "", "latest", "devil")
        ),
    ],
)
def test_a_split_is_known_by_a_word_of_its_name(name: str, kind: str | None) -> None:
    assert split_kind(name) == kind


@pytest.mark.parametrize(
    "names",
    [
        ("Training", "Testing"), ("train_set", "test_set"), ("training", "validation", "evaluation"), ("TRAIN", "VALID", "TEST"),
        ("seg_train", "seg_dev", "seg_test"), ("trainset", "holdout"), ("Training Data", "Validation Data", "Testing Data"), ("train", "eval"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("above", ["", "archive/", "archive/dataset/"])
def test_splits_of_any_name_are_used_at_any_depth(names: tuple[str, ...], above: str, tmp_path: Path) -> None:
    sizes = dict(zip(names, (5, 2, 3) if len(names) == 3 else (5, 3), strict=True))
    for name, size in sizes.items():
        fill(tmp_path, each([above + name], size))
    raw = read(tmp_path)
    assert raw.classes == PETS
    assert raw.test is not None
    assert (len(raw.train), len(raw.test)) == (10, 6)
    assert raw.train.labels.tolist() == [0] * 5 + [1] * 5
    assert (raw.validation is None) == (len(names) == 2)
    assert raw.layout is not None
    assert f"{above}{names[0]}/ trains 2 classes (cat, dog; 10 images)" in raw.layout.sentence
    assert f"{above}{names[-1]}/ is the test set (6 images)" in raw.layout.sentence


def test_a_folder_may_be_repeated_inside_of_itself(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {**each(["seg_train/seg_train"], 4, ("buildings", "sea")), **each(["seg_test/seg_test"], 2, ("buildings", "sea")), "seg_pred/seg_pred": 3},
    )
    found = layout(tmp_path)
    assert places(found) == {"train": ["seg_train/seg_train"], "test": ["seg_test/seg_test"]}
    assert found.classes == ("buildings", "sea")
    assert "left out: 3 (seg_pred/seg_pred/ 3)" in left_out(tmp_path)


def test_one_folder_too_deep_is_looked_into(tmp_path: Path) -> None:
    fill(tmp_path / "a", each(["photos/photos"], 3))
    (tmp_path / "a" / "photos" / "licence.txt").write_text("free")
    assert places(layout(tmp_path / "a")) == {"train": ["photos/photos"]}
    fill(tmp_path / "b", each(["images"], 3))
    (tmp_path / "b" / "annotations").mkdir()
    (tmp_path / "b" / "annotations" / "cat.xml").write_text("<a/>")
    assert places(layout(tmp_path / "b")) == {"train": ["images"]}
    fill(tmp_path / "c", {"cat/2019": 3, "cat/2020": 3, "dog": 0})
    with pytest.raises(ConfigError, match="no images in .*dog"):
        read(tmp_path / "c")


def test_existing_layouts_have_the_order_of_imagefolder(tmp_path: Path) -> None:
    fill(tmp_path, {"b": 2, "B": 2, "a10": 2, "a2": 2, "Ä": 2})
    raw = read(tmp_path)
    assert raw.classes == ("B", "a10", "a2", "b", "Ä")
    assert isinstance(raw.train.images, tuple)
    assert [(file.parent.name, file.name) for file in raw.train.images[:4]] == [("B", "0.png"), ("B", "1.png"), ("a10", "0.png"), ("a10", "1.png")]


# What measures


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev"])
def test_without_a_test_folder_val_measures_progress_and_the_test_set_comes_from_train(name: str, tmp_path: Path, home: Home) -> None:
    fill(tmp_path / "pets", {**each(["train"], 20), **each([name], 3)})
    data = prepare(RunConfig(dataset=f"folder:{tmp_path / 'pets'}", image_size=8, batch_size=4), home, lambda text, share: None)
    assert data.validation is not None
    assert [len(part.images) for part in (data.train, data.validation, data.test)] == [32, 6, 8]
    assert f"{name}/ measures progress (6 images); a fifth of train/ is set aside as the test set" in data.notes[0]


def test_val_is_the_test_set_where_that_is_said(tmp_path: Path) -> None:
    fill(tmp_path, {**each(["train"], 5), **each(["val"], 3)})
    found = layout(tmp_path)
    assert ("train=train,test=val", "train/ trains and val/ is the test set") in found.choices
    raw = read(f"{tmp_path}::train=train,test=val")
    assert raw.test is not None
    assert (len(raw.test), raw.validation) == (6, None)
    assert find_dataset(f"folder:{tmp_path}::train = train, test = val").name == f"folder:{tmp_path}::train=train,test=val"
    assert folder_of(f"folder:{tmp_path}::none") == tmp_path


def test_validation_images_that_are_not_used_are_said(tmp_path: Path, home: Home) -> None:
    fill(tmp_path / "pets", {**each(["train"], 10), **each(["val"], 3)})
    config = RunConfig(dataset=f"folder:{tmp_path / 'pets'}", image_size=8, batch_size=4, validation_share=0)
    data = prepare(config, home, lambda text, share: None)
    assert data.validation is None
    assert "validation_share is 0, so the dataset's own 6 validation images are not used." in data.notes


@pytest.mark.parametrize("test", ["test", "test/unknown", "Testing/images", "test/test", "test/0"])
def test_a_test_folder_without_classes_is_counted_and_the_test_set_comes_from_train(test: str, tmp_path: Path) -> None:
    fill(tmp_path, {**each(["train"], 5), test: 7})
    raw = read(tmp_path)
    assert raw.test is None
    assert len(raw.train) == 10
    assert raw.notes == (f"Images without a class, since they lie in no class folder, were left out: 7 ({test}/ 7).",)
    assert raw.layout is not None
    assert f"a fifth of train/ is set aside as the test set, since the images in {test.split('/')[0]}/" in raw.layout.sentence


def test_validation_images_without_classes_are_counted_too(tmp_path: Path) -> None:
    fill(tmp_path, {**each(["train"], 5), "val": 7, **each(["test"], 2)})
    raw = read(tmp_path)
    assert raw.validation is None
    assert raw.notes == ("Images without a class, since they lie in no class folder, were left out: 7 (val/ 7).",)
    fill(tmp_path / "b", {**each(["train"], 5), "val": 7})
    assert "as the test set, since there is no folder of test images; a share of train/" in layout(tmp_path / "b").sentence


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("parts", [{"train": 11}, {"train": 11, "test": 4}, {"train": 11, "val": 3}, {"train": 11, "val": 3, "test": 4}])
def test_the_form_knows_the_sizes_that_a_run_will_have(share: float, parts: dict[str, int], tmp_path: Path, home: Home) -> None:
    for part, size in parts.items():
        fill(tmp_path / "pets", each([part], size))
    config = RunConfig(dataset=f"folder:{tmp_path / 'pets'}", image_size=8, batch_size=4, validation_share=share)
    data = prepare(config, home, lambda text, share: None)
    found = catalog.survey(config.dataset)
    assert found is not None
    assert stock.planned(found, share) == (len(data.train.images), len(data.validation.images) if data.validation else 0, len(data.test.images))
    assert data.notes[0] == found.sentence


def test_an_unknown_class_of_test_images_is_refused_with_ways_out(tmp_path: Path) -> None:
    fill(tmp_path, {**each(["train"], 5), **each(["test"], 2), "test/wolf": 1})
    with pytest.raises(ConfigError, match="wolf is a class that the training images do not have.*::train=train to leave the test images out"):
        read(tmp_path)
    assert len(read(f"{tmp_path}::train=train").train) == 10
    fill(tmp_path / "b", {**each(["train"], 5), "test/Cat": 1, "test/dog": 1})
    with pytest.raises(ConfigError, match="rename it to cat"):
        read(tmp_path / "b")


# A class that is called like a split


def test_flat_folders_called_like_splits_are_classes_beside_others(tmp_path: Path) -> None:
    fill(tmp_path / "a", {"train": 3, "car": 3, "bus": 3})
    assert layout(tmp_path / "a").classes == ("bus", "car", "train")
    fill(tmp_path / "b", {"steam_train": 3, "bullet train": 3, "test_tube": 3})
    assert layout(tmp_path / "b").classes == ("bullet train", "steam_train", "test_tube")
    fill(tmp_path / "c", {"valid": 3, "invalid": 3})
    assert layout(tmp_path / "c").classes == ("invalid", "valid")


def test_a_class_called_train_with_folders_in_it_is_asked_about(tmp_path: Path) -> None:
    fill(tmp_path, {"train/steam": 3, "train/diesel": 3, "car": 3, "bus": 3})
    question = asked(tmp_path)
    assert "train/ could be the training images, or a class beside bus/, car/" in question.why
    assert [spec for spec, _ in question.choices] == ["train=train", "none"]
    assert layout(f"{tmp_path}::none").classes == ("bus", "car", "train")
    assert layout(f"{tmp_path}::train=train").classes == ("diesel", "steam")


@pytest.mark.parametrize(
    ("images", "why"),
    [
        ({"train": 3, "test": 3}, "train/ holds images but no class folders"),
        (each(["train", "train_masks", "test"], 2), "train/, train_masks/ could all be the training images"),
        (each(["train", "test", "holdout"], 2), "holdout/, test/ could all be the test images"),
        (each(["train", "check"], 2), "train/ could be the training images, or a class beside check/"),
        (each(["test", "val"], 2), "all hold folders called cat, dog"),
        (each(["2023", "2024"], 2), "2023/, 2024/ all hold folders called cat, dog"),
        ({"cat/train": 2, "cat/test": 2, "dog/train": 2, "dog/test": 2}, "the splits lie inside of the classes"),
        ({"cat": 2, "dog": 2, "test/cat": 2, "test/dog": 2}, "test/ lies beside class folders of the same names"),
    ],
)
def test_what_could_be_guessed_wrongly_is_asked_about(images: dict[str, int], why: str, tmp_path: Path, home: Home) -> None:
    fill(tmp_path / "data", images)
    question = asked(tmp_path / "data")
    assert why in question.why
    assert len(layout(f"{tmp_path / 'data'}::none").classes) == len({name.split("/")[0] for name in images})
    copy = pickle.loads(pickle.dumps(question))
    assert (copy.message, copy.choices) == (question.message, question.choices)
    with pytest.raises(ConfigError, match="::none"):
        catalog.class_names(f"folder:{tmp_path / 'data'}", home.data)


def test_folders_that_differ_inside_of_classes_are_nothing_to_ask_about(tmp_path: Path) -> None:
    fill(tmp_path, {"cat/2023": 2, "cat/2024": 2, "dog/a": 2, "dog/b": 2})
    assert layout(tmp_path).classes == PETS


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("all", "is not a part"), ("test=test", "does not say which images train"), ("train=nowhere", "there is no folder 'nowhere'"),
        ("train=../other", "there is no folder"), ("train=/etc", "there is no folder"), ("train=train,test=train", "names a folder twice"),
        ("train=linked", "or it is a link"),
    ],
)  # fmt: skip
def test_what_is_written_behind_the_path_is_checked(spec: str, complaint: str, tmp_path: Path) -> None:
    fill(tmp_path / "data", each(["train", "test"], 2))
    fill(tmp_path / "other", each(["."], 2))
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "other")
    with pytest.raises(ConfigError, match=complaint):
        read_layout(f"{tmp_path / 'data'}::{spec}")


def test_two_folders_may_train_if_that_is_said(tmp_path: Path) -> None:
    fill(tmp_path, {**each(["2023"], 2), **each(["2024"], 3), **each(["2025"], 1, ("cat", "owl"))})
    raw = read(f"{tmp_path}::train=2023,train=2024")
    assert raw.train.labels.tolist() == [0] * 2 + [1] * 2 + [0] * 3 + [1] * 3
    assert raw.layout is not None
    assert "2023/ and 2024/ train 2 classes (cat, dog; 10 images)" in raw.layout.sentence
    (note,) = raw.notes
    assert "not used were left out: 2 (" in note
    assert "2025/owl/ 1" in note


def test_what_an_older_thaw_read_can_be_read_again(tmp_path: Path) -> None:
    fill(tmp_path / "a", {**each(["train"], 4), **each(["Val"], 2)})
    assert layouts.before(str(tmp_path / "a")) == f"{tmp_path / 'a'}::train=train,test=Val"
    fill(tmp_path / "b", each(["Training", "Testing"], 2))
    assert layouts.before(str(tmp_path / "b")) == f"{tmp_path / 'b'}::none"
    fill(tmp_path / "c", each(["train", "val", "test"], 2))
    assert layouts.before(str(tmp_path / "c")) == f"{tmp_path / 'c'}::train=train,test=test,validation=val"
    for name in "abc":
        read(layouts.before(str(tmp_path / name)))
