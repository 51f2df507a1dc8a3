"""Many pictures asked about on the Evaluate screen, and what was answered: kept in the cache, so that a refresh or a new server loses nothing.

A folder `cache/predicted/KEY` has `ask.json` (which run, whose weights, where the pictures are), uploaded pictures as `pictures.zip`, and, once the
work is done, `probabilities.npy` and `answers.json`. No torch.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from core.config import ConfigError
from core.data import endings
from core.evaluation import predictions
from core.evaluation.answers import Answers as Batch
from core.evaluation.answers import CsvWriter
from core.evaluation.gathering import Picture, Refused
from core.machine.files import written_whole
from core.machine.home import Home
from core.machine.paths import pasted
from core.store.sizes import folder_bytes

KEPT, KEPT_BYTES = 12, 2_000_000_000
"""Answers that are kept, and their bytes with uploaded pictures, at most; those that were not looked at for longest go first."""

MOST_VALUES = 50_000_000
"""Probabilities of one table on a screen: 50,000 pictures of 1,000 classes. The command line writes any number."""

THUMBNAILS = 500
"""Pictures that are kept small beside their answers; beyond so many a table has none."""

_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Ask:
    """What is asked: the pictures at `path`, by the weights of a run after `epoch` (None: those it ended with). `called`: what a person calls it."""

    run_id: str
    epoch: int | None
    path: Path
    called: str


@dataclass(frozen=True)
class Answered:
    """What came of it: N pictures with their likeliest class, int64 [N], and all probabilities, float32 [N, C].

    `refused`: pictures that were left out, with reasons; `notes`: sentences; `thumbnails`: N data URIs, or none.
    """

    run_id: str
    epoch: int
    step: int
    called: str
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]
    seconds: float
    thumbnails: tuple[str, ...] = ()

    def csv(self) -> bytes:
        """The table as the command line writes it."""
        stream = io.BytesIO()
        writer = CsvWriter(stream, self.classes)
        writer.write(Batch(self.pictures, self.labels, self.probabilities))
        writer.end()
        return stream.getvalue()


_ASK = TypeAdapter(Ask)
_ABOUT = TypeAdapter(dict[str, Any])
_PICTURES = TypeAdapter(tuple[Picture, ...])
_REFUSED = TypeAdapter(tuple[Refused, ...])


def ask_folder(home: Home, run_id: str, epoch: int | None, text: str) -> str:
    """Put down a question about a folder, a zip file or a picture on this machine; returns its key. Nothing is looked into yet.

    Raises:
        ConfigError: on `pictures`, there is no such path; on `run` or `epoch`, no such weights.
    """
    path = pasted(text, "pictures")
    if not path.exists():
        raise ConfigError("pictures", f"there is no file or folder {path}; check the path")
    return _put(home, Ask(run_id, _meant(home, run_id, epoch), path, path.name or str(path)))


def ask_uploads(home: Home, run_id: str, epoch: int | None, uploads: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> str:
    """Put down a question about uploaded pictures, or one zip file of them; returns its key.

    Raises:
        ConfigError: on `pictures`, there is none, or the disk is full.
    """
    files = list(uploads.items()) if isinstance(uploads, Mapping) else list(uploads)
    if not files:
        raise ConfigError("pictures", "there is no picture; choose some, or a zip file of them")
    epoch = _meant(home, run_id, epoch)
    zips = [(name, data) for name, data in files if endings.ending(name) == ".zip"]
    if zips and len(files) > 1:
        raise ConfigError("pictures", f"{zips[0][0]} is a zip file among other files; bring it along alone, or pictures without it")
    called = files[0][0] if len(files) == 1 else f"{len(files):,} pictures"
    key = secrets.token_hex(8)
    target = _folder(home, key) / "pictures.zip"
    try:
        with written_whole(target) as stream:
            if zips:
                stream.write(zips[0][1])
            else:
                with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                    for name, data in _named_apart(files):
                        archive.writestr(name, data)
    except OSError as error:
        shutil.rmtree(_folder(home, key), ignore_errors=True)
        what = f"{called} cannot be kept in {home.cache} ({error.strerror or error})"
        raise ConfigError("pictures", f"{what}; free some space there, or give the path of their folder") from None
    return _put(home, Ask(run_id, epoch, target, called), key)


def ask_again(home: Home, key: str, run_id: str, epoch: int | None) -> str:
    """The same pictures asked about with other weights; returns the new key. Raises ConfigError as the others, or if it is not kept."""
    before = asked(home, key)
    if before is None:
        raise ConfigError("pictures", "these pictures are not kept any more; bring them along again")
    epoch = _meant(home, run_id, epoch)
    new = secrets.token_hex(8)
    if before.path.parent == _folder(home, key):
        try:
            _folder(home, new).mkdir(parents=True)
            shutil.copyfile(before.path, _folder(home, new) / "pictures.zip")
        except OSError as error:
            forget(home, new)
            raise ConfigError("home", f"{home.cache} cannot be written ({error.strerror or error}); free some space there") from None
    return _put(home, Ask(run_id, epoch, before.path, before.called), new)


def asked(home: Home, key: str) -> Ask | None:
    """What was asked under a key, which may come from anywhere; None where it is not known (any more)."""
    if not _KEY.fullmatch(key):
        return None
    folder = _folder(home, key)
    try:
        found = _ASK.validate_json((folder / "ask.json").read_text(encoding="utf-8"))
        os.utime(folder / "ask.json")
    except (OSError, ValueError):
        return None
    # Uploads lie beside the question, wherever the home is now.
    return replace(found, path=folder / "pictures.zip") if (folder / "pictures.zip").exists() else found


def keep(home: Home, key: str, answered: Answered) -> None:
    """Write down what was answered, whole or not at all. Raises ConfigError on `home` where the disk is full."""
    folder = _folder(home, key)
    about = {name: getattr(answered, name) for name in ("run_id", "epoch", "step", "called", "classes", "notes", "seconds")} | {
        "pictures": _PICTURES.dump_python(answered.pictures, mode="json"),
        "labels": answered.labels.tolist(),
        "refused": _REFUSED.dump_python(answered.refused, mode="json"),
        "thumbnails": answered.thumbnails,
    }
    try:
        with written_whole(folder / "probabilities.npy") as stream:
            np.save(stream, answered.probabilities)
        with written_whole(folder / "answers.json") as stream:  # the last: it says that the others are there
            stream.write(json.dumps(about).encode())
    except OSError as error:
        raise ConfigError("home", f"{folder} cannot be written ({error.strerror or error}); free some space there and ask again") from None


def answer(home: Home, key: str) -> Answered | None:
    """What was answered; None where it was not yet, or is not readable any more."""
    if not _KEY.fullmatch(key):
        return None
    try:
        return _read(_folder(home, key), (_folder(home, key) / "answers.json").stat().st_mtime_ns)
    except (OSError, ValueError, KeyError):
        return None


def forget(home: Home, key: str) -> None:
    """Forget a question and its answer, with the pictures that were uploaded for it."""
    if _KEY.fullmatch(key):
        shutil.rmtree(_folder(home, key), ignore_errors=True)


@lru_cache(maxsize=3)
def _read(folder: Path, changed: int) -> Answered:
    about = _ABOUT.validate_json((folder / "answers.json").read_text(encoding="utf-8"))
    pictures = _PICTURES.validate_python(about["pictures"])
    uploads = folder / "pictures.zip"
    if uploads.exists():
        pictures = tuple(replace(picture, path=uploads) for picture in pictures)
    probabilities = np.load(folder / "probabilities.npy", allow_pickle=False)
    labels = np.asarray(about["labels"], dtype=np.int64)
    if probabilities.shape != (len(pictures), len(about["classes"])) or len(labels) != len(pictures):
        raise ValueError("parts of two answers")
    return Answered(
        about["run_id"],
        about["epoch"],
        about["step"],
        about["called"],
        tuple(about["classes"]),
        pictures,
        labels,
        probabilities,
        _REFUSED.validate_python(about["refused"]),
        tuple(about["notes"]),
        about["seconds"],
        tuple(about["thumbnails"]),
    )


def _meant(home: Home, run_id: str, epoch: int | None) -> int | None:
    """The newest of a run that goes on is another one soon: these weights are meant."""
    checkpoint = predictions.find_checkpoint(home, predictions.find_run(home, run_id), epoch)
    return None if checkpoint.final else checkpoint.epoch


def _put(home: Home, ask: Ask, key: str = "") -> str:
    key = key or secrets.token_hex(8)
    try:
        with written_whole(_folder(home, key) / "ask.json") as stream:
            stream.write(_ASK.dump_json(ask))
    except OSError as error:
        raise ConfigError("home", f"{home.cache} cannot be written ({error.strerror or error}); free some space there") from None
    _forget_oldest(home, key)
    return key


def _named_apart(files: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Uploaded files with names of their own, without folders: two pictures from two folders may be called alike."""
    taken: set[str] = set()
    found = []
    for name, data in files:
        base = name.replace("\\", "/").rpartition("/")[2].replace("\0", "?").lstrip(".") or "picture"
        stem, dot, ending = base.rpartition(".")
        number, free = 1, base
        while free in taken:
            number += 1
            free = f"{stem} ({number}).{ending}" if dot else f"{base} ({number})"
        taken.add(free)
        found.append((free, data))
    return found


def _folder(home: Home, key: str) -> Path:
    return home.cache / "predicted" / key


def _forget_oldest(home: Home, newest: str) -> None:
    used: list[tuple[float, Path]] = []
    for folder in (home.cache / "predicted").iterdir():
        with suppress(OSError):
            used.append(((folder / "ask.json").stat().st_mtime, folder))
    room = KEPT_BYTES
    for place, (_, folder) in enumerate(sorted(used, key=lambda found: (found[1].name != newest, -found[0]))):
        room -= folder_bytes(folder)
        if folder.name != newest and (place >= KEPT or room < 0):
            shutil.rmtree(folder, ignore_errors=True)
