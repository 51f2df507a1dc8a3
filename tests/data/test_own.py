"""Datasets in versions as something to train on: which pictures, in which sets, and what is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from core import catalog
from core.config import ConfigError, RunConfig
from core.data import own, prepare
from core.data.datasets import find_dataset, folder_of, short_name, training_images
from core.data.manifest import read_pictures
from core.data.splits import grouped_split
from core.evaluation.test_set import open_test_set
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.versions import bin, edits, read, shelf, write
from core.worker.process import work
from tests.code.code_cases import script_of
from tests.versions.own_cases import dataset, items_of

SMALL = RunConfig(dataset="own:colours", model="small_cnn", image_size=16, epochs=1, batch_size=8, device="cpu")


def silent(text: str, share: float | None) -> None:
    pass


def sets(home: Home, config: RunConfig = SMALL) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {"train": Counter(), "validation": Counter(), "test": Counter()}
    for picture in prepare(config, home, silent, listed=True).pictures():
        found[picture.part][picture.file] += 1
    return found


def test_a_name_becomes_the_newest_version_with_its_hash(home: Home) -> None:
    first = dataset(home)
    assert catalog.check(SMALL).dataset == f"own:colours@1:{first.hash[:12]}"
    second = write(home, "colours", *edits.relabel(first, {first.items[0].key}, "blue"), "", 1)
    assert find_dataset("own: COLOURS").name == f"own:colours@2:{second.hash[:12]}"
    assert find_dataset(f"own:colours@1:{first.hash[:12]}").label == f"colours, version 1 ({first.hash[:12]})"
    assert folder_of("own:colours@1") == home.datasets / "colours"
    assert short_name("own:colours@1:abc") == "colours, version 1"
    assert catalog.class_names("own:colours", home.data) == ("red", "blue")


@pytest.mark.parametrize(
    "text",
    ["own:", "own:@1", "own:colours@x", "own:colours@1:zz", "own:colours@0", "own:other", "own:colours@9", "own:../colours", "own:colours@1:0000"],
)
def test_what_is_not_there_is_refused_on_the_dataset(home: Home, text: str) -> None:
    dataset(home)
    with pytest.raises(ConfigError) as caught:
        catalog.check(SMALL.replace(dataset=text))
    assert caught.value.field == "dataset"


def test_a_run_with_a_version_that_is_gone_or_another_is_refused_with_a_remedy(home: Home) -> None:
    made = dataset(home)
    pinned = catalog.check(SMALL)
    bin.delete(home, "colours")
    with pytest.raises(ConfigError, match="lies in the bin; bring it back: python -m core datasets --undelete colours"):
        find_dataset(pinned.dataset)
    dataset(home, count=21)
    with pytest.raises(ConfigError, match=f"is not what was meant: its hash is .*, and {made.hash[:12]} was trained on"):
        find_dataset(pinned.dataset)
    one = read(home, "colours")
    write(home, "colours", *edits.drop_class(one, "red"), "", 1)
    with pytest.raises(ConfigError, match="has a single class, 'blue'"):
        find_dataset("own:colours")


def test_splits_of_the_version_are_used_as_they_are(home: Home) -> None:
    made = dataset(home, splits=("train", "train", "train", "validation", "test"))
    found = sets(home)
    for split, files in found.items():
        assert files == Counter(shelf.place_of(item.sha256, item.ending).as_posix() for item in made.items if item.split == split)
    assert training_images("own:colours", 0.2) == 24
    assert sum(sets(home, SMALL.replace(validation_share=0))["validation"].values()) == 0


def test_without_splits_validation_and_test_pictures_are_set_aside_as_of_a_folder(home: Home) -> None:
    dataset(home)
    found = sets(home)
    assert {split: sum(files.values()) for split, files in found.items()} == {
        "train": training_images("own:colours", SMALL.validation_share) or 0,
        "validation": 6,
        "test": 8,
    }
    assert sets(home) == found
    assert sets(home, SMALL.replace(seed=5))["test"] == found["test"]
    assert sets(home, SMALL.replace(seed=5))["validation"] != found["validation"]


def test_pictures_of_no_split_train_where_the_version_has_a_test_set(home: Home) -> None:
    made = dataset(home, splits=("train", "test"))
    write(home, "colours", *edits.add(made, items_of(home, "colours", 4, first=50)), "", 1)
    notes = prepare(SMALL, home, silent).notes
    assert any("8 of its pictures are in no split; they are trained on" in note for note in notes)
    assert notes[0].startswith("The pictures are those of colours, version 2 (")


@pytest.mark.parametrize("seed", range(3))
def test_no_group_is_in_two_sets(home: Home, seed: int) -> None:
    made = dataset(home, count=40, groups=8)
    group = {shelf.place_of(item.sha256, item.ending).as_posix(): item.group for item in made.items}
    found = {split: {group[file] for file in files} for split, files in sets(home, SMALL.replace(seed=seed)).items()}
    assert all(found.values())
    assert sum(map(len, found.values())) == len(set(group.values())) == 16


def test_groups_that_cannot_be_divided_are_refused(home: Home) -> None:
    dataset(home, groups=1)
    with pytest.raises(ConfigError, match="no group of pictures of colours, version 1 .* can be set aside to test on"):
        prepare(SMALL, home, silent)


def test_a_grouped_split_keeps_proportions_and_every_class() -> None:
    labels = np.repeat([0, 1, 2], [300, 60, 4])
    groups = np.arange(364) // 4
    kept, held = grouped_split(labels, groups, 0.25, seed=1)
    assert not set(groups[kept]) & set(groups[held])
    assert np.bincount(labels[held], minlength=3).tolist() == [76, 16, 0]
    assert grouped_split(labels, groups, 0.25, seed=1)[1].tolist() == held.tolist() != grouped_split(labels, groups, 0.25, seed=2)[1].tolist()


def test_a_class_without_pictures_to_train_on_is_said(home: Home) -> None:
    made = dataset(home)
    write(home, "colours", *edits.move(made, {item.key for item in made.items if item.label == "red"}, "test"), "", 1)
    with pytest.raises(ConfigError, match="has no picture of 'red' among those to train on"):
        prepare(SMALL, home, silent)


def test_files_that_are_gone_or_changed_are_refused_and_not_left_out(home: Home) -> None:
    made = dataset(home)
    path = shelf.path_of(home, "colours", made.items[0])
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(ConfigError, match="1 of 40 pictures of colours, version 1 .* are gone from"):
        prepare(SMALL, home, silent)
    path.write_bytes(shelf.path_of(home, "colours", made.items[1]).read_bytes())
    with pytest.raises(ConfigError, match="was changed since it was imported"):
        prepare(SMALL, home, silent, listed=True)
    path.write_bytes(content)
    prepare(SMALL, home, silent, listed=True)


def test_a_run_keeps_its_version_and_is_evaluated_on_its_pictures(home: Home, store: RunStore) -> None:
    made = dataset(home)
    run_id = store.create_run(catalog.check(SMALL))
    assert work(home, run_id) is RunStatus.FINISHED
    run = store.run(run_id)
    assert run.config.dataset == f"own:colours@1:{made.hash[:12]}"
    assert run.plan is not None
    assert run.plan.notes[0] == f"The pictures are those of colours, version 1 ({made.hash[:12]}): 40 of 2 classes."
    write(home, "colours", *edits.drop_class(made, "red"), "", 1)  # a newer version is no matter of the run's
    tested = open_test_set(home, run, silent)
    listed = [picture for picture in read_pictures(home.run_folder(run_id)) or () if picture.part == "test"]
    assert (len(tested.images), tested.notes) == (8, ())
    assert set(tested.files) <= {item.name for item in made.items}
    assert len(listed) == 8
    bin.delete(home, "colours")
    with pytest.raises(ConfigError, match="lies in the bin; bring it back: python -m core datasets --undelete colours"):
        open_test_set(home, run, silent)
    bin.undelete(home, "colours")
    assert open_test_set(home, run, silent).key == tested.key


@pytest.mark.parametrize(("splits", "groups"), [(("",), 0), (("train", "validation", "test"), 0), (("",), 10)])
def test_a_script_reads_the_same_pictures_as_a_run(home: Home, splits: tuple[str, ...], groups: int) -> None:
    dataset(home, count=40, splits=splits, groups=groups)
    text, training, _ = script_of(SMALL).partition("# Model")
    assert training
    names: dict[str, Any] = {}
    exec(compile(text, "script.py", "exec"), names)
    for split, files in sets(home).items():
        assert Counter(file.relative_to(names["ROOT"]).as_posix() for file in names[f"{split}_set"].pictures) == files


def test_names_of_pictures_are_those_they_came_with(home: Home) -> None:
    made = dataset(home)
    assert own.names_of(home, "own:colours")[made.items[3].sha256] == "red/3.png"
    assert own.names_of(home, "own:nothing") == own.names_of(home, "digits") == {}
