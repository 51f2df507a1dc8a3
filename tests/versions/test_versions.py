"""Versions of a dataset: written whole, read back, compared, restored, binned."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.commands import datasets as datasets_command
from core.config import FITS, ConfigError
from core.data import own
from core.machine.home import Home
from core.machine.locks import locked
from core.versions import Item, Version, bin, compare, edits, find, names, path_of, read, shelf, summaries, write


def item(name: str, label: str, split: str = "", group: str = "", content: str = "") -> Item:
    return Item(hashlib.sha256((content or name).encode()).hexdigest(), ".png", name, label, split, group, 32, 24)


CATS_AND_DOGS = [item(f"cats/{number}.png", "cat") for number in range(4)] + [item(f"dogs/{number}.png", "dog", "train") for number in range(3)]


def first(home: Home, name: str = "Pets") -> Version:
    return write(home, name, ("cat", "dog"), CATS_AND_DOGS, "Imported.", None, split_note="own", report={"skipped": []})


def test_what_is_written_is_read_back_and_never_changes(home: Home) -> None:
    made = first(home)
    strange = item('dogs/a "quoted", two-\u00e4 name.png', "dog", "test", "burst 1")
    second = write(home, "Pets", ("cat", "dog"), [*CATS_AND_DOGS, strange], "One more.", 1)
    assert (made.number, second.number, second.parent) == (1, 2, 1)
    assert read(home, "pets") == second
    shelf._read.cache_clear()
    assert read(home, "PETS", 1) == made
    assert read(home, "Pets").items[-1] == strange
    assert shelf.report_of(home, "Pets", 1) == {"skipped": []}
    assert shelf.report_of(home, "Pets", 2) == {}
    assert path_of(home, "Pets", strange) == home.datasets / "Pets/pictures" / strange.sha256[:2] / f"{strange.sha256}.png"


def test_summaries_say_what_is_there_without_reading_pictures(home: Home) -> None:
    made = first(home)
    (home.datasets / "Pets/versions/0001.csv").unlink()
    (found,) = summaries(home, "Pets")
    assert (found.images, found.classes, found.splits, found.hash) == (7, ("cat", "dog"), {"train": 3, "": 4}, made.hash)
    assert found.text == f"Pets, version 1 ({made.hash[:12]})"


def test_the_hash_is_of_classes_and_items_in_order_and_of_nothing_else(home: Home) -> None:
    hashes = [first(home).hash, first(home, "Other").hash]
    assert hashes[0] == hashes[1]
    others = [
        write(home, "order", ("dog", "cat"), CATS_AND_DOGS, "", None),
        write(home, "items", ("cat", "dog"), CATS_AND_DOGS[::-1], "", None),
        write(home, "split", ("cat", "dog"), [*CATS_AND_DOGS[:-1], CATS_AND_DOGS[-1]._replace(split="test")], "", None),
    ]
    assert len({hashes[0], *(other.hash for other in others)}) == 4


def test_datasets_are_found_without_case_and_sorted_as_people_read(home: Home) -> None:
    assert names(home) == []
    for name in ("set 10", "Set 2", "another"):
        first(home, name)
    (home.datasets / "unfinished/pictures").mkdir(parents=True)
    assert names(home) == ["another", "Set 2", "set 10"]
    assert find(home, "SET 2") == "Set 2"
    with pytest.raises(ConfigError, match="no dataset of your own is called 'nothing'; there are: another"):
        find(home, "nothing")
    with pytest.raises(ConfigError, match="has no version 7; there are 1"):
        read(home, "another", 7)


@pytest.mark.parametrize(
    "name", ["", "  ", "a/b", "..", ".hidden", "a" * 61, "con", "NUL.txt", "a:b", "a@3", "a\nb", "a\u202eb", "dot.", 'a"b', "\ud800"]
)
def test_a_name_that_cannot_be_a_folder_everywhere_is_refused(home: Home, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        first(home, name)
    assert caught.value.field == "name"
    assert not home.datasets.exists() or names(home) == []


@pytest.mark.parametrize(
    ("classes", "items", "field"),
    [
        (("cat",), CATS_AND_DOGS, "items"),
        (("cat", "dog", "cat"), CATS_AND_DOGS, "classes"),
        (("cat", "dog", " "), CATS_AND_DOGS, "classes"),
        (("cat", "dog", "x\x1b[31m"), CATS_AND_DOGS, "classes"),
        (("cat", "dog"), [*CATS_AND_DOGS, CATS_AND_DOGS[0]], "items"),
        (("cat", "dog"), [CATS_AND_DOGS[0]._replace(split="training")], "items"),
        (("cat", "dog"), [CATS_AND_DOGS[0]._replace(sha256="../../etc/passwd")], "items"),
        (("cat", "dog"), [CATS_AND_DOGS[0]._replace(ending="/../x")], "items"),
        (("cat", "dog"), [CATS_AND_DOGS[0]._replace(name="a\nb")], "items"),
        (tuple(map(str, range(10_001))), [], "classes"),
    ],
)  # fmt: skip
def test_what_can_be_no_version_is_refused_and_nothing_is_kept(home: Home, classes: tuple[str, ...], items: list[Item], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write(home, "Pets", classes, items, "", None)
    assert caught.value.field == field
    assert names(home) == []


def test_of_two_that_change_one_version_one_is_told(home: Home) -> None:
    last = first(home)

    def change(label: str) -> str:
        try:
            return str(write(home, "Pets", *edits.relabel(last, {last.items[0].sha256}, label), "", last.number).number)
        except ConfigError as error:
            return error.message

    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(change, ["a", "b", "c", "d"]), key=len)
    assert said[0] == "2"
    assert all("has changed meanwhile: version 2 is the newest now" in text for text in said[1:])


def test_a_lock_that_is_held_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "PATIENCE", 0.1)
    with locked(shelf.lock_of(home, "Pets", "versions")), pytest.raises(ConfigError, match="another process is changing 'Pets'"):
        first(home)
    assert first(home).number == 1


def test_a_version_without_its_last_file_was_never_written(home: Home) -> None:
    made = first(home)
    write(home, "Pets", *edits.drop_class(made, "cat"), "", 1)
    (home.datasets / "Pets/versions/0002.json").unlink()
    assert read(home, "Pets").number == 1
    assert write(home, "Pets", *edits.drop_class(made, "dog"), "", 1).number == 2
    assert read(home, "Pets").classes == ("cat",)


@pytest.mark.parametrize("damage", ["row", "cut", "gone", "json", "classes"])
def test_files_that_were_changed_from_outside_are_said(home: Home, damage: str) -> None:
    first(home)
    shelf._read.cache_clear()
    table, facts = (home.datasets / f"Pets/versions/0001.{ending}" for ending in ("csv", "json"))
    match damage:
        case "row":
            table.write_text(table.read_text().replace(",dog,", ",cat,"))
        case "cut":
            table.write_bytes(table.read_bytes()[:-40])
        case "gone":
            table.unlink()
        case "json":
            facts.write_text("[1")
        case "classes":
            facts.write_text(facts.read_text().replace('"cat"', '"cow"'))
    with pytest.raises(ConfigError, match=r"version 1 of 'Pets' cannot be read: .* was changed or damaged"):
        read(home, "Pets")


def test_edits_change_what_they_say_and_nothing_else(home: Home) -> None:
    last = first(home)
    cat, dog = last.items[0], last.items[-1]
    assert edits.relabel(last, {cat.sha256}, "lynx") == (("cat", "dog", "lynx"), (cat._replace(label="lynx"), *last.items[1:]))
    assert edits.move(last, {dog.key}, "test")[1] == (*last.items[:-1], dog._replace(split="test"))
    assert edits.leave_out(last, {cat.key, dog.key}) == (("cat", "dog"), last.items[1:-1])
    assert edits.rename_class(last, "cat", "Cats")[0] == ("Cats", "dog")
    assert edits.merge_classes(last, ["cat", "dog"], "pet") == (("pet",), tuple(one._replace(label="pet") for one in last.items))
    assert edits.merge_classes(last, ["dog"], "cat")[0] == ("cat",)
    assert edits.drop_class(last, "cat") == (("dog",), last.items[4:])
    assert edits.order_classes(last, ["dog", "cat"]) == (("dog", "cat"), last.items)
    classes, items = edits.add(last, [cat, item("b/new.png", "b10"), item("b/other.png", "b2")])
    assert classes == ("cat", "dog", "b2", "b10")
    assert [one.name for one in items[7:]] == ["b/new.png", "b/other.png"]
    for wrong in (
        lambda: edits.rename_class(last, "cat", "dog"), lambda: edits.rename_class(last, "cow", "x"), lambda: edits.merge_classes(last, [], "x"),
        lambda: edits.relabel(last, {"nothing"}, "cat"), lambda: edits.move(last, {cat.sha256}, "dev"), lambda: edits.order_classes(last, ["cat"]),
        lambda: edits.relabel(last, {cat.sha256}, ""),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            wrong()


def test_one_of_two_names_of_the_same_picture_can_be_meant(home: Home) -> None:
    twins = [item("cats/a.png", "cat", content="same"), item("dogs/a.png", "dog", content="same")]
    last = write(home, "Pets", ("cat", "dog"), twins, "", None)
    assert edits.leave_out(last, {twins[1].key})[1] == (twins[0],)
    assert edits.leave_out(last, {twins[1].sha256})[1] == ()


def test_versions_are_compared(home: Home) -> None:
    old = first(home)
    assert compare(old, old).sentence == "Nothing differs."
    new = write(home, "Pets", *edits.rename_class(old, "cat", "Cats"), "", 1)
    assert compare(old, new).sentence == "Class 'cat' became 'Cats'."
    new = write(home, "Pets", *edits.relabel(new, {new.items[0].key}, "dog"), "", 2)
    new = write(home, "Pets", *edits.move(new, {new.items[-1].key}, "test"), "", 3)
    new = write(home, "Pets", *edits.leave_out(new, {new.items[1].key, new.items[2].key}), "", 4)
    new = write(home, "Pets", *edits.add(new, [item("cows/1.png", "cow")]), "", 5)
    found = compare(read(home, "Pets", 2), new)
    assert [one.name for one in found.came] == ["cows/1.png"]
    assert [one.name for one in found.went] == ["cats/1.png", "cats/2.png"]
    assert [(before.label, after.label) for before, after in found.relabelled] == [("Cats", "dog")]
    assert [(before.split, after.split) for before, after in found.moved] == [("train", "test")]
    assert found.sentence == "1 picture came, 2 went, 1 changed label, 1 changed split; class 'cow' is new."
    back = compare(new, read(home, "Pets", 2))
    assert (back.gone_classes, len(back.came), len(back.went)) == (("cow",), 2, 1)
    ordered = write(home, "Pets", *edits.order_classes(new, ["dog", "Cats", "cow"]), "", 6)
    assert compare(new, ordered).sentence == "The classes stand in another order."
    assert compare(ordered, write(home, "Pets", *edits.merge_classes(ordered, ["cow"], "dog"), "", 7)).relabelled


def test_an_old_version_comes_back_as_a_new_one(home: Home) -> None:
    old = first(home)
    write(home, "Pets", *edits.drop_class(old, "cat"), "", 1)
    back = shelf.restore(home, "pets", 1)
    assert (back.number, back.parent, back.hash, back.split_note) == (3, 2, old.hash, "own")
    with pytest.raises(ConfigError, match="is what version 1 was already"):
        shelf.restore(home, "Pets", 1)
    with pytest.raises(ConfigError, match="has changed meanwhile"):
        shelf.restore(home, "Pets", 2, parent=2)


def test_a_dataset_goes_into_the_bin_comes_back_and_frees_the_disk(home: Home) -> None:
    last = first(home)
    picture = path_of(home, "Pets", last.items[0])
    picture.parent.mkdir(parents=True)
    picture.write_bytes(bytes(10_000))
    with pytest.raises(ConfigError, match="'Pets' is used by run 7; wait until they are done"):
        bin.delete(home, "pets", ["run 7"])
    bin.delete(home, "pets")
    assert names(home) == []
    assert [(one.name, one.size > 10_000) for one in bin.binned(home)] == [("Pets", True)]
    first(home, "PETS")
    with pytest.raises(ConfigError, match="another dataset is called 'Pets' now"):
        bin.undelete(home, "Pets")
    bin.delete(home, "PETS")
    assert bin.undelete(home, "pets") == "PETS"
    bin.delete(home, "PETS")
    assert bin.purge(home, "PETS") > 10_000
    assert (bin.binned(home), bin.purge(home)) == ([], 0)
    with pytest.raises(ConfigError, match="no dataset called 'Pets' is in the bin"):
        bin.undelete(home, "Pets")


def test_facts_are_json_that_others_can_read(home: Home) -> None:
    made = first(home)
    facts = json.loads((home.datasets / "Pets/versions/0001.json").read_text())
    assert facts["hash"] == made.hash == hashlib.sha256(b'["cat", "dog"]\n' + (home.datasets / "Pets/versions/0001.csv").read_bytes()).hexdigest()


def test_a_choice_of_fit_is_a_version_that_can_be_undone_and_runs_are_told_of(home: Home) -> None:
    made = first(home)
    padded = write(home, "Pets", made.classes, made.items, edits.fit_note("pad"), 1, fit="pad")
    assert padded.hash == made.hash, "the pictures are the same"
    assert compare(made, padded).sentence == "Into a square: pad, before as each run says."
    assert [own.fit_of(home, name) for name in ("own:Pets", "own:pets@1", f"own:Pets@2:{made.short_hash}", "own:none", "digits")] == [
        "pad",
        "",
        "pad",
        "",
        "",
    ]
    assert shelf.restore(home, "Pets", 1, 2).fit == ""
    with pytest.raises(ConfigError, match="is what version 1 was already"):
        shelf.restore(home, "Pets", 1)
    assert tuple(datasets_command.FITS) == tuple(FITS)
