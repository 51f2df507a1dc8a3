"""The data card of the form: what a dataset holds, said before Start, and never in the way of the form."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import catalog
from core.data import glance
from core.data.layouts import Layout, read_layout
from core.data.stock import survey
from pages._parts.components import data_card as drawn
from pages._parts.setup import data_card, folder_view
from pages._parts.setup.looking import REMEMBERED, Looks
from pages._parts.shared import words
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, healthy, open_page, press, shown, widget
from tests.support import PATIENCE

EVIL = "<img src=x onerror=alert(1)> & *b*"


def paint(root: Path, folders: dict[str, int]) -> str:
    """So many pictures in each folder of `root`; its path as text."""
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (20, 12), (20 * number % 255, 90, 30)).save(root / folder / f"{number:03}.png")
    return str(root)


def html(app: AppTest) -> str:
    return "\n".join(each.proto.body for each in app.get("html"))


def form(path: str, **query: str) -> AppTest:
    return open_page("train.py", new="1", dataset=f"folder:{path}", **{"batch_size": "8", **SMALL, **query})


def card(path: str, share: float = 0.2) -> data_card.Card:
    return data_card.card_of_folder(survey(read_layout(path), 10), share)


# What it says


def test_the_sets_of_a_folder_are_said_with_their_reason(tmp_path: Path) -> None:
    own = card(paint(tmp_path / "own", {"train/a": 20, "train/b": 20, "val/a": 3, "val/b": 4, "test/a": 5, "test/b": 5}))
    assert own.totals == {"train": 40, "validation": 7, "test": 10}
    assert own.why == {"train": "of the 40 in train/, a folder each class", "validation": "all of val/", "test": "all of test/"}
    flat = card(paint(tmp_path / "flat", {"a": 20, "b": 20}))
    assert flat.totals == {"train": 26, "validation": 6, "test": 8}
    assert flat.why["train"] == "of the 40 in flat/, a folder each class"
    assert flat.why["validation"] == "20\N{NO-BREAK SPACE}% of flat/, drawn from each class (validation share)"
    assert flat.why["test"] == "a fifth of flat/, set aside, since there is no folder of test images"
    bare = card(paint(tmp_path / "bare", {"train/a": 20, "train/b": 20, "test": 5}))
    assert "since the images in test/ lie in no class folder" in bare.why["test"]


def test_without_a_validation_share_the_card_says_what_is_not_used(tmp_path: Path) -> None:
    found = card(paint(tmp_path / "own", {"train/a": 20, "train/b": 20, "val/a": 3, "val/b": 4}), share=0)
    assert found.why["validation"] == "the validation share is 0, so val/ is not used"
    assert found.totals["validation"] == 0


def test_a_folder_that_is_too_large_to_count_has_a_card_all_the_same(tmp_path: Path) -> None:
    layout = survey(read_layout(paint(tmp_path / "photos", {"a": 250, "b": 2})), seconds=-1)
    assert layout.counts is None
    found = data_card.card_of_folder(layout, 0.2)
    assert (found.counts, set(found.totals.values())) == (None, {None})
    assert found.said[0].startswith("More than 200 files")
    assert found.why["train"] == "of the pictures in photos/, a folder each class"


@pytest.mark.parametrize(
    ("name", "test"), [("MNIST", "all of its own test pictures"), ("EuroSAT", "a fifth of all, set aside, the same for every run")]
)
def test_a_dataset_of_the_catalogue_has_numbers_before_it_is_downloaded(name: str, test: str) -> None:
    entry = catalog.DATASETS[name]
    found = data_card.card_of_entry(entry, 0.2, data_card.Preview((), (), None, here=False))
    assert found.totals["train"] == catalog.DATASETS[name].train_images - (found.totals["validation"] or 0)
    assert found.why["test"] == test
    assert "once they have been downloaded" in found.said[0]


# What it looks like


def rows(count: int) -> list[drawn.ClassRow]:
    return [drawn.ClassRow(f"class {number}", {"train": number, "validation": 0, "test": 1}) for number in range(count)]


def test_twelve_classes_are_in_sight_and_the_others_in_a_list_that_scrolls() -> None:
    few, many = drawn.bars(rows(12)), drawn.bars(rows(120))
    assert "<details>" not in few
    assert "Show all 120 classes" in many
    sight, scrolling = many.split("<details>")
    assert (sight.count('class="bar"'), scrolling.count('class="bar"')) == (12, 108)
    assert ">class 119<" in sight, "the largest first"
    assert 'tabindex="0"' in scrolling


def test_more_classes_than_a_browser_takes_are_counted_instead() -> None:
    assert "<p>500 more are not listed.</p>" in drawn.names([str(number) for number in range(1_500)])


def test_names_from_outside_are_text_in_every_part_of_the_card() -> None:
    row, tile = drawn.ClassRow(EVIL, {"train": 1, "validation": 0, "test": 0}), drawn.Tile(EVIL, EVIL, "data:,", EVIL)
    parts = (drawn.bars([row]), drawn.names([EVIL]), drawn.tiles([tile], True), drawn.tiles([drawn.Tile(EVIL, EVIL, "", EVIL)], True))
    for part in (*parts, drawn.sets([drawn.SetRow("train", 1, EVIL)])):
        assert "<img src=x" not in part
        assert "&lt;img src=x onerror=alert(1)&gt; &amp; *b*" in part


@pytest.mark.parametrize(("size", "kind", "side"), [(64, "png", 64), (224, "jpeg", 160)])
def test_pictures_are_sent_bit_for_bit_where_they_are_small_and_never_large(size: int, kind: str, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size), dtype=np.uint8)
    head, _, data = data_card._address(pixels).partition(",")
    assert head == f"data:image/{kind};base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (side, side)
    assert kind == "jpeg" or np.array_equal(np.asarray(image).transpose(2, 0, 1), pixels)


# On the form


def test_the_card_of_a_folder_shows_numbers_pictures_and_what_is_odd(shared_services: Services, tmp_path: Path) -> None:
    photos = paint(tmp_path / "photos", {"train/ants": 80, "train/bees": 3, "val/ants": 5, "val/bees": 5, "@eaDir": 3})
    (tmp_path / "photos" / "train" / "bees" / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    app = form(photos, batch_size="32")
    assert not errors(app)
    assert "photos/ · 2 classes · 93 pictures" in shown(app)
    assert html(app).count("<img ") >= 7
    assert 'alt="ants: 000.png, as the model sees it"' in html(app)
    assert "Very uneven: " in shown(app)
    assert "1 of the 8 pictures that were looked at cannot be read" in shown(app)
    assert words.plain("were left out: 1 (@eaDir).") in shown(app)


def test_digits_are_shown_as_they_are_enlarged(shared_services: Services) -> None:
    app = open_page("train.py", new="1", **SMALL)
    assert widget(app, "Dataset").value == "digits", "a folder stands first, but is not what a newcomer begins with"
    assert widget(app, "Dataset").options[0] == "folder"
    assert "Digits · 10 classes · 1,797 pictures" in shown(app)
    assert '<ul class="tiles pixelated"' in html(app)
    assert "1,150 learn" in html(app)


def test_without_a_path_the_card_says_what_to_do(shared_services: Services) -> None:
    app = healthy(widget(open_page("train.py", new="1", **SMALL), "Dataset").set_value("folder").run())
    assert "Give the path of a folder" in shown(app)
    assert "is no path" not in shown(app)


def test_what_is_pasted_shows_as_it_is_understood(shared_services: Services, tmp_path: Path) -> None:
    photos = paint(tmp_path / "my photos", {"a": 10, "b": 10})
    app = form("/no/such/folder")
    healthy(widget(app, "Folder").set_value(f' "file://{photos.replace(" ", "%20")}/" ').run())
    assert widget(app, "Folder").value == photos
    assert not errors(app)
    app = form(f"'{photos}/'")
    assert widget(app, "Folder").value == photos, "in a link too"


@pytest.mark.parametrize(
    ("made", "typed", "said"),
    [
        ("photos/", "fotos", "There is no folder {0}/fotos ({0} is there, 'fotos' in it is not; 'photos' is)"),
        ("photos/", "deep/er", "({0} is there, 'deep' in it is not)"),
        ("photos.zip", "photos.zip", "is a packed file; unpack it, and give the folder that comes out"),
        ("photo.jpg", "photo.jpg", "is a file; give a folder that holds"),
        ("album/2023/ album/2024/", "album", "No images in {0}/album, in none of its folders (2023, 2024)"),
    ],
)
def test_what_is_wrong_with_a_path_is_said_by_name(shared_services: Services, tmp_path: Path, made: str, typed: str, said: str) -> None:
    for name in made.split():
        if name.endswith("/"):
            (tmp_path / name).mkdir(parents=True)
        else:
            (tmp_path / name).touch()
    app = form(str(tmp_path / typed))
    assert said.format(tmp_path) in errors(app)
    assert "appear here once it can be used" in shown(app)


def test_the_other_way_to_read_a_folder_is_in_the_card(shared_services: Services, tmp_path: Path) -> None:
    photos = paint(tmp_path / "photos", {"train/ants": 20, "train/bees": 20, "val/ants": 5, "val/bees": 5})
    app = form(photos)
    assert "10 validate</b> <span>all of val/" in html(app)
    app = press(app, words.plain("Instead: train/ trains and val/ is the test set"))
    assert widget(app, "Folder").value == f"{photos}::train=train,test=val"
    assert "10 test</b> <span>all of val/" in html(app)


# Never in the way


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Counting a folder takes until this is set."""
    answers = threading.Event()
    real = catalog.survey

    def wait(dataset: str) -> Layout | None:
        answers.wait(60)
        return real(dataset)

    monkeypatch.setattr(catalog, "survey", wait)
    monkeypatch.setattr(folder_view._looks, "at_most", 0.2)
    yield answers
    answers.set()


def test_a_slow_disk_does_not_hold_up_the_form(
    shared_services: Services, tmp_path: Path, slow_disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = paint(tmp_path / "photos", {"a": 20, "b": 20})
    polled: list[Any] = []
    monkeypatch.setattr(data_card, "_poll", lambda *given: polled.append(given))
    app = form(photos)
    assert "Looking through the folder. Go on with the other settings meanwhile." in shown(app)
    assert "2 classes" not in shown(app)
    healthy(widget(app, "Epochs").set_value(3).run())
    assert widget(app, "Epochs").value == 3
    assert not data_card.arrived(*polled[-1])
    slow_disk.set()
    folder_view._looks.at_most = PATIENCE
    assert data_card.arrived(*polled[-1]), "the form is drawn anew as soon as the folder is counted, whoever asks for its pictures"
    app = healthy(app.run())
    assert "photos/ · 2 classes · 40 pictures" in shown(app)
    assert "Looking through" not in shown(app)


def test_pictures_that_take_long_come_after_the_numbers(shared_services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = paint(tmp_path / "photos", {"a": 20, "b": 20})
    read, look = threading.Event(), glance.look_at
    asked: list[Any] = []
    polled: list[Any] = []

    def wait(*given: Any) -> Any:
        asked.append(given)
        read.wait(60)
        return look(*given)

    monkeypatch.setattr(data_card, "look_at", wait)
    monkeypatch.setattr(data_card, "_poll", lambda *given: polled.append(given))
    monkeypatch.setattr(data_card._previews, "at_most", 0.2)
    app = form(photos)
    assert "photos/ · 2 classes · 40 pictures" in shown(app)
    assert "Pictures, which are being read" in html(app)
    assert not data_card.arrived(*polled[-1])
    read.set()
    data_card._previews.at_most = PATIENCE
    app = healthy(app.run())
    assert data_card.arrived(*polled[-1]), "what was polled for is what was asked for"
    assert html(app).count("<img ") == 8 + 4, "and the whole picture and its three fits"
    assert len(asked) == 8


def test_a_run_can_be_started_while_its_folder_is_being_counted(shared_services: Services, tmp_path: Path, slow_disk: threading.Event) -> None:
    photos = paint(tmp_path / "photos", {"a": 20, "b": 20})
    press(form(photos), "Start training")
    (run,) = shared_services.store.runs(1)
    assert run.config.dataset == f"folder:{photos}"


def test_what_is_being_found_out_is_waited_for_once_and_given_when_it_is_there() -> None:
    looks: Looks[str] = Looks(at_most=0.05)
    ready, called = threading.Event(), threading.Semaphore(0)

    def find(before: str | None) -> str:
        called.release()
        ready.wait(60)
        return f"{before} and more"

    assert [looks.ask("a", find) for _ in range(3)] == [None] * 3
    assert not looks.knows("a")
    ready.set()
    patient: Any = Looks(at_most=60, _matters=looks._matters, _lock=looks._lock)
    assert patient.ask("a", find) == "None and more"
    assert looks.knows("a")
    assert called.acquire(blocking=False)
    assert not called.acquire(blocking=False), "asked three times, looked up once"


def test_what_is_known_is_given_while_it_is_looked_up_anew() -> None:
    looks: Looks[int] = Looks(at_most=0.05)
    ready = threading.Event()
    assert looks.ask("a", lambda before: 1) == 1
    looks._matters["a"].took = 0.0
    assert looks.ask("a", lambda before: ready.wait(60) + 1) == 1
    assert looks.ask("a", lambda before: 3, steady=True) == 1
    ready.set()


def test_only_so_much_is_remembered() -> None:
    looks: Looks[int] = Looks(at_most=60)
    for number in range(2 * REMEMBERED):
        assert looks.ask(number, lambda before: 1) == 1
    assert len(looks._matters) <= REMEMBERED
