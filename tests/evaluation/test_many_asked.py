"""What the Evaluate screen asks about many pictures, in the process that answers: kept, found again after a refresh, given up, forgotten."""

from __future__ import annotations

import csv
import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import ConfigError
from core.evaluation import asked, evaluate, many
from core.evaluation.asked import Answered
from core.evaluation.gathering import Picture, Refused
from core.evaluation.helper import Answers
from core.lab.lab import Lab
from core.machine.home import Home
from tests.evaluation.evaluate_cases import TINY, made_run, run  # noqa: F401
from tests.support import nursery, wait_until

pytestmark = pytest.mark.usefixtures("one_thread")


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(256, size=(8, 8), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def answer(home: Home, key: str) -> Answered:
    """What the helper process makes of a question."""
    Answers(home).to({"question": "many", "key": key}, lambda: False, lambda text, share: None)
    found = asked.answer(home, key)
    assert found is not None
    return found


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, png(seed))
    return file.getvalue()


def test_uploads_of_one_name_a_zip_file_and_a_folder_get_their_answers(home: Home, run: str, tmp_path: Path) -> None:
    loaded = evaluate.load(home, run)
    uploads = answer(
        home, asked.ask_uploads(home, run, None, [("a.png", png(0)), ("in/a.png", png(1)), ("bad.png", b"x"), ("..", png(2)), ("README", b"x")])
    )
    assert [picture.name for picture in uploads.pictures] == ["a (2).png", "a.png", "picture"]
    assert "without an ending (1)" in uploads.notes[0]
    assert [refused.name for refused in uploads.refused] == ["bad.png"]
    assert uploads.called == "5 pictures"
    packed = answer(home, asked.ask_uploads(home, run, None, [("my.zip", zipped("x.png", "in/y.png"))]))
    assert [picture.name for picture in packed.pictures] == ["in/y.png", "x.png"]
    assert packed.called == "my.zip"
    (tmp_path / "photos" / "in").mkdir(parents=True)
    (tmp_path / "photos" / "in" / "y.png").write_bytes(png(1))
    folder = answer(home, asked.ask_folder(home, run, None, f"'{tmp_path / 'photos'}'"))
    assert [picture.name for picture in folder.pictures] == ["in/y.png"]
    assert folder.classes == loaded.classes
    assert len(folder.thumbnails) == 1
    assert folder.thumbnails[0].startswith("data:image/jpeg;base64,")
    expected = evaluate.predict(loaded, *evaluate.picture(loaded, tmp_path / "photos" / "in" / "y.png"))
    assert folder.labels[0] == expected.guesses[0].label
    assert folder.probabilities[0].max() == pytest.approx(expected.guesses[0].probability, abs=1e-6)
    assert packed.probabilities[0] == pytest.approx(folder.probabilities[0], abs=1e-6)
    (head, row) = csv.reader(io.StringIO(folder.csv().decode(), newline=""))
    assert head == ["file", "predicted", "probability", *loaded.classes]
    assert np.array_equal(np.array(row[3:], dtype=np.float32), folder.probabilities[0])
    single = answer(home, asked.ask_folder(home, run, None, str(tmp_path / "photos" / "in" / "y.png")))
    assert [picture.name for picture in single.pictures] == ["y.png"]


def test_the_same_pictures_are_asked_about_again_with_other_weights(home: Home, run: str) -> None:
    other = made_run(home, TINY.replace(seed=3))
    key = asked.ask_uploads(home, run, None, [("a.png", png(0))])
    again = asked.ask_again(home, key, other, None)
    asked.forget(home, key)
    found = answer(home, again)
    assert (found.run_id, found.called) == (other, "a.png")
    assert asked.asked(home, key) is None
    with pytest.raises(ConfigError, match="not kept any more"):
        asked.ask_again(home, key, other, None)


def test_what_cannot_be_asked_is_refused_and_leaves_nothing(home: Home, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ask, words in (
        (lambda: asked.ask_folder(home, run, None, str(tmp_path / "gone")), "there is no file or folder"),
        (lambda: asked.ask_folder(home, run, None, ""), "no path is given"),
        (lambda: asked.ask_folder(home, run, 7, str(tmp_path)), "were not kept"),
        (lambda: asked.ask_uploads(home, run, None, []), "choose some, or a zip file"),
        (lambda: asked.ask_uploads(home, run, None, [("a.png", png()), ("b.zip", b"")]), "bring it along alone"),
    ):
        with pytest.raises(ConfigError, match=words):
            ask()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("core.machine.files.os.fsync", full)
    with pytest.raises(ConfigError, match="No space left on device.*free some space"):
        asked.ask_uploads(home, run, None, [("a.png", png())])
    assert not list((home.cache / "predicted").glob("*"))


def test_what_cannot_be_answered_says_why(home: Home, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"none of the 1 pictures can be used, the first is 'a.png' \(not an image\)"):
        answer(home, asked.ask_folder(home, run, None, str(tmp_path / "photos")))
    with pytest.raises(ConfigError, match="cannot be read as a zip file"):
        answer(home, asked.ask_uploads(home, run, None, [("my.zip", b"no zip")]))
    with pytest.raises(ConfigError, match="not kept any more; ask again"):
        answer(home, "0123456789abcdef")
    (tmp_path / "photos" / "b.png").write_bytes(png())
    monkeypatch.setattr(asked, "MOST_VALUES", 19)
    with pytest.raises(ConfigError, match=f"more than a table on a screen holds; use python -m core predict {run}"):
        answer(home, asked.ask_folder(home, run, None, str(tmp_path / "photos")))


def test_a_key_from_a_link_reaches_nothing_else_and_a_damaged_answer_is_none(home: Home, run: str) -> None:
    key = asked.ask_uploads(home, run, None, [("a.png", png())])
    for wrong in ("../../runs", "..", "", f"{key}/..", "x" * 16, "A" * 16):
        assert asked.asked(home, wrong) is None
        assert asked.answer(home, wrong) is None
        asked.forget(home, wrong)
    assert asked.asked(home, key) is not None
    assert asked.answer(home, key) is None, "it is not answered yet"
    answer(home, key)
    np.save(home.cache / "predicted" / key / "probabilities.npy", np.zeros((3, 10), np.float32))
    asked._read.cache_clear()
    assert asked.answer(home, key) is None
    answers = home.cache / "predicted" / key / "answers.json"
    answers.write_text("{")
    assert asked.answer(home, key) is None


def test_names_and_classes_of_any_kind_are_kept_as_they_are(home: Home, run: str) -> None:
    key = asked.ask_uploads(home, run, None, [("a.png", png())])
    nasty = ('it"s\na cat', "<b>dog</b>", "\u202eleft")
    pictures = (Picture("a\nb.png", home.path / "x", 0, "a\nb.png"), Picture("c.png", home.path / "x", 1, "c.png"))
    shares = np.array([[0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]], dtype=np.float32)
    made = Answered(run, 1, 2, "called", nasty, pictures, np.array([2, 0]), shares, (Refused("x", "y"),), ("note",), 0.5, ("data:,", "data:,"))
    asked.keep(home, key, made)
    found = asked.answer(home, key)
    assert found is not None
    assert np.array_equal(found.probabilities, shares)
    assert (found.classes, found.refused, found.notes, found.thumbnails) == (nasty, made.refused, made.notes, made.thumbnails)
    assert [picture.path for picture in found.pictures] == [home.cache / "predicted" / key / "pictures.zip"] * 2, "wherever the home is now"


def test_only_so_many_answers_are_kept_and_the_last_used_stay(home: Home, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "KEPT", 3)
    keys = []
    for number in range(4):
        keys.append(asked.ask_uploads(home, run, None, [("a.png", png(number))]))
        os.utime(home.cache / "predicted" / keys[-1] / "ask.json", (number, number))
        if number == 2:
            asked.asked(home, keys[0])  # looked at again
    newest = asked.ask_uploads(home, run, None, [("a.png", png())])
    assert {path.name for path in (home.cache / "predicted").iterdir()} == {keys[0], keys[3], newest}
    monkeypatch.setattr(asked, "KEPT_BYTES", 1)
    last = asked.ask_uploads(home, run, None, [("a.png", png())])
    assert {path.name for path in (home.cache / "predicted").iterdir()} == {last}


def test_the_desk_answers_gives_up_and_does_not_begin_again(home: Home, run: str, tmp_path: Path) -> None:
    lab = Lab(home, nursery())
    key = asked.ask_uploads(home, run, None, [(f"{number}.png", png(number)) for number in range(30)])
    wait_until(lambda: lab.many(key)[0].state != "working", what="the answer")
    work, found = lab.many(key)
    assert work.state == "done", work.message
    assert found is not None
    assert len(found.pictures) == 30
    failed = asked.ask_uploads(home, run, None, [("a.png", b"x")])
    wait_until(lambda: lab.many(failed)[0].state != "working", what="the failure")
    work, _ = lab.many(failed)
    assert (work.state, "none of the 1 pictures" in work.message) == ("failed", True)
    given_up = asked.ask_uploads(home, run, None, [("a.png", png())])
    lab.many(given_up)
    lab.cancel_many(given_up)
    with pytest.raises(ConfigError, match="bring them along again"):
        lab.many(given_up)
    wait_until(lambda: lab._evaluating._running is None, what="the desk to be idle")
    assert not (home.cache / "predicted" / given_up / "answers.json").exists()
    lab.close()


def test_a_cancelled_question_is_ended_between_two_batches(home: Home, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "BATCH", 2)
    key = asked.ask_uploads(home, run, None, [(f"{number}.png", png(number)) for number in range(9)])
    told: list[str] = []
    given = Answers(home).to({"question": "many", "key": key}, lambda: len(told) > 2, lambda text, share: told.append(text))
    assert given is None
    assert [text for text in told if text.startswith("predicting")][-1] != "predicting: 8 of 9 pictures"
    assert asked.answer(home, key) is None
