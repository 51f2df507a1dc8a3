"""Planted doubles are found, all of them and no others, and each mend does what its button says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.curating import alike, checking, duplicates, looking, mending
from core.curating.looking import Looks
from core.machine.home import Home
from core.versions import Version, path_of, write
from tests.curating.planted import NAME, drawn, item, quiet, saved, version

KINDS = [("leak", "conflict"), ("leak",), ("leak",), ("conflict",), ("loose",), ("class",)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Version]:
    """Sixty pictures of two classes, six of which are there once more: each another fault."""
    home = Home.from_environment(str(tmp_path_factory.mktemp("home")))
    files = [saved(drawn(seed)) for seed in range(60)]
    items = [item(home, content, f"{'ab'[at % 2]}/{at}.png", "ab"[at % 2], "test" if at < 20 else "train") for at, content in enumerate(files)]
    items[50] = items[50]._replace(split="")
    small = drawn(4).resize((40, 40), Image.Resampling.LANCZOS)
    items += [
        item(home, files[0], "b/again.png", "b", "train"),  # the same file, in two splits with two labels
        item(home, saved(drawn(2), "BMP"), "a/2.bmp", "a", "train"),  # the same pixels, in two splits
        item(home, saved(small, "JPEG", quality=85), "a/4.jpg", "a", "train"),  # smaller and saved again, in two splits
        item(home, saved(drawn(31), "JPEG", quality=70), "a/31.jpg", "a", "train"),  # saved again, with two labels
        item(home, saved(drawn(50), "WEBP", quality=80), "a/50.webp", "a", ""),  # one that no split holds
        item(home, saved(drawn(40), "JPEG", quality=80), "a/40.jpg", "a", "train"),
    ]
    return home, version(home, items)


def test_all_planted_doubles_are_found_and_nothing_else(planted: tuple[Home, Version]) -> None:
    home, made = planted
    found = checking.check(home, made, quiet)
    assert [group.pictures for group in found.groups] == [(0, 60), (2, 61), (4, 62), (31, 63), (50, 64), (40, 65)]
    assert [group.kinds for group in found.groups] == KINDS
    assert [group.kind for group in found.groups] == ["same file", "same pixels", "alike", "alike", "alike", "alike"]
    assert found.counts == {"leak": 3, "conflict": 2, "loose": 1, "class": 1}
    assert found.odd == ()
    assert checking.kept(home, made) == found


@pytest.mark.parametrize(
    ("mend", "kind", "left_out"),
    [
        ("leave-out-of-test", "leak", {0, 2, 4}),
        ("leave-out-of-train", "leak", {60, 61, 62}),
        ("leave-out-both", "conflict", {0, 60, 31, 63}),
        ("keep-one", "class", {65}),
        ("keep-one", "leak", {60, 61, 62}),
    ],
)
def test_a_mend_leaves_out_what_its_button_says(planted: tuple[Home, Version], mend: str, kind: str, left_out: set[int]) -> None:
    home, made = planted
    groups = checking.check(home, made, quiet).of(kind)
    classes, items = mending.MENDS[mend].act(made, groups)
    assert items == tuple(one for place, one in enumerate(made.items) if place not in left_out)
    assert classes == made.classes


def test_into_train_and_a_label_for_all_change_what_they_should(planted: tuple[Home, Version]) -> None:
    home, made = planted
    found = checking.check(home, made, quiet)
    moved = mending.into_train(made, found.of("leak"))[1]
    assert {moved[place].split for group in found.of("leak") for place in group.pictures} == {"train"}
    edited = mending.labelled("b")(made, found.of("conflict"))
    assert {edited[1][place].label for group in found.of("conflict") for place in group.pictures} == {"b"}
    assert mending.note(made, edited, "labelled b") == "2 doubles labelled b."


def test_what_is_kept_together_is_never_drawn_apart_and_is_no_fault_any_more(planted: tuple[Home, Version]) -> None:
    home, made = planted
    loose = checking.check(home, made, quiet).of("loose")
    classes, items = mending.together(made, loose)
    assert items[50].group == items[64].group != ""
    joined = list(items)
    joined[1] = joined[1]._replace(group="p1")
    joined[50] = joined[50]._replace(group="p1")
    joined[64] = joined[64]._replace(group="p2")
    joined[3] = joined[3]._replace(group="p2")
    again = mending.together(Version(NAME, 9, "", classes, tuple(joined), "", "", None), loose)[1]
    assert {again[place].group for place in (1, 3, 50, 64)} == {"p1"}
    after = write(home, NAME, classes, items, "Held.", made.number)
    assert checking.check(home, after, quiet).counts["loose"] == 0


def test_a_new_version_opens_only_what_is_new(planted: tuple[Home, Version], monkeypatch: pytest.MonkeyPatch) -> None:
    home, made = planted
    looking.look_at_all(home, made, quiet)
    opened: list[Path] = []

    def upright(file: Path, side: int) -> Image.Image:
        opened.append(file)
        return drawn(1)

    monkeypatch.setattr(looking, "upright", upright)
    more = [item(home, saved(drawn(seed)), f"a/{seed}.png", "a") for seed in range(100, 110)]
    grown = Version(NAME, 9, "grown", made.classes, (*made.items, *more), "", "", None)
    assert len(looking.look_at_all(home, grown, quiet).hashes) == len(made.items) + 10
    assert sorted(opened) == sorted(path_of(home, NAME, one) for one in more)


def test_ten_thousand_equal_and_flat_pictures_do_not_compare_all_with_all() -> None:
    count = 10_000
    thumbs = np.zeros((count, looking.THUMB, looking.THUMB, 3), np.uint8)
    flat = Looks(np.zeros(count, np.uint64), thumbs, np.ones(count, bool), {})
    assert alike.groups(flat) == []
    thumbs[:, : looking.THUMB // 2] = 200
    assert alike.groups(Looks(np.full(count, 7, np.uint64), thumbs, np.zeros(count, bool), {})) == [list(range(count))]


def test_the_search_by_pieces_finds_every_near_pair() -> None:
    generator = np.random.default_rng(3)
    hashes = generator.integers(0, 2**64, 300, dtype=np.uint64)
    for place in range(1, 300, 2):  # the picture before, with 0 to 14 other bits
        flips = np.bitwise_or.reduce(np.uint64(1) << generator.permutation(64)[: place % 15].astype(np.uint64), initial=0)
        hashes[place] = hashes[place - 1] ^ np.uint64(flips)
    found = sorted((min(pair), max(pair)) for left, right in alike.near_pairs(hashes) for pair in zip(left.tolist(), right.tolist(), strict=True))
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= alike.NEAR
    assert found == sorted(zip(*(each.tolist() for each in np.nonzero(np.triu(near, 1))), strict=True))
    assert len(found) >= 100


def test_what_cannot_be_read_any_more_is_named_and_asked_for_again(planted: tuple[Home, Version]) -> None:
    home, made = planted
    gone = item(home, saved(drawn(777)), "a/777.png", "a")
    path_of(home, NAME, gone).unlink()
    torn = item(home, saved(drawn(778)), "a/778.png", "a")
    path_of(home, NAME, torn).write_bytes(saved(drawn(778))[:200])
    with_gone = Version(NAME, 9, "f" * 64, made.classes, (*made.items, gone, torn), "", "", None)
    found = checking.check(home, with_gone, quiet)
    assert [(odd.picture, odd.reason.partition("(")[0]) for odd in found.odd] == [
        (66, "it cannot be read any more "),
        (67, "it cannot be read any more "),
    ]
    assert "No such file" in found.odd[0].reason
    assert checking.kept(home, with_gone) is None
    assert duplicates.KINDS.keys() == found.counts.keys()
