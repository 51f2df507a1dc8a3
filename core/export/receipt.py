"""The receipt of an export: the exported model answers in a process and runtime of its own, and each answer is laid beside the original's."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import ConfigError
from core.config.errors import Cancelled as GivenUp
from core.evaluation import metrics
from core.evaluation.evaluate import Loaded
from core.evaluation.test_set import TestSet, open_test_set
from core.export import runner
from core.export.formats import Cancelled, ExportEntry, Progress
from core.export.predict_code import predict_code
from core.export.subject import Subject
from core.export.weights import loaded_of, made_of
from core.machine.children import Interpreters
from core.machine.files import size_of, written_whole
from core.machine.jobs import Child
from core.records.export import MOST_PICTURES, MOST_TOLD, Different, Receipt

Floats = NDArray[np.float32]

NO_NUMBERS = "NaN or infinite numbers"

END_SECONDS = 20.0
"""A runner that is done is waited for no longer than this."""


def make_receipt(
    subject: Subject, entry: ExportEntry, target: Path, progress: Progress, cancelled: Cancelled
) -> tuple[Receipt | None, tuple[str, ...]]:
    """The receipt of the export `target`, laid beside it as `NAME.receipt.json`, and what is to be told: that answers differ, or that there is none.

    Raises:
        ConfigError: on `format`, the exported model cannot be run.
        Cancelled: `cancelled` was.
    """
    try:
        test = open_test_set(subject.home, subject.run, progress)
    except ConfigError as error:
        return None, (f"There is no receipt, since the test pictures cannot be had: {error.message}",)
    loaded = loaded_of(subject)
    chosen = chosen_of(len(test.images))
    with _workplace(subject) as folder:
        pictures = test.pixels(chosen).numpy()
        np.save(folder / "pictures.npy", pictures)
        script, weights = _ready_to_run(subject, entry, loaded, target, folder)
        with _running(script, weights, folder) as child:
            progress("answering with the original", 0.0)
            original = _original(loaded, pictures, progress, cancelled)
            exported, figures = _answers(child, entry, folder, len(pictures), progress, cancelled)
        progress("timing the original", None)
        times = runner.timed(lambda batch: loaded.logits(torch.from_numpy(batch)).cpu(), pictures)
        digest = digest_of(target if target.is_file() else weights)
    receipt = compare(original, exported, loaded.classes, chosen, test, entry, figures, times, size_of(target), digest)
    with written_whole(target.with_name(f"{target.name}.receipt.json")) as file:
        file.write((json.dumps(asdict(receipt), indent=1) + "\n").encode())
    return receipt, told(receipt)


def chosen_of(count: int) -> list[int]:
    """Which of so many test pictures a receipt looks at: all, or `MOST_PICTURES` that lie evenly among them."""
    return list(range(count)) if count <= MOST_PICTURES else [round(place) for place in np.linspace(0, count - 1, MOST_PICTURES)]


def compare(
    original: Floats,
    exported: Floats,
    classes: Sequence[str],
    chosen: Sequence[int],
    test: TestSet,
    entry: ExportEntry,
    figures: dict[str, Any],
    times: dict[str, float],
    size: int,
    digest: str,
) -> Receipt:
    """A receipt from the logits [N, C] of both, for the test pictures at `chosen`. Logits that are not finite are no answer: both may have none."""
    first, second = metrics.predictions(original), metrics.predictions(exported)
    shares, others = metrics.probabilities(original), metrics.probabilities(exported)
    finite = (first >= 0) & (second >= 0)
    differences = np.abs(shares[finite].astype(np.float64) - others[finite])
    different = tuple(
        Different(chosen[place], _file(test, chosen[place]), *_answer(first, shares, place, classes), *_answer(second, others, place, classes))
        for place in np.flatnonzero(first != second)[:MOST_TOLD].tolist()
    )
    notes = list(test.notes)
    if len(chosen) < len(test.images):
        notes.append(f"{len(chosen):,} of {len(test.images):,} test pictures were looked at, evenly spread.")
    if neither := int(((first < 0) & (second < 0)).sum()):
        notes.append(f"For {neither:,} of {len(chosen):,} pictures the original and the exported model both give {NO_NUMBERS}: that is no answer.")
    if one := int((~finite).sum()) - neither:
        notes.append(f"For {one:,} pictures one of the two gives {NO_NUMBERS}: they are in no difference.")
    return Receipt(
        runtime=entry.runtime,
        pictures=len(chosen),
        same_top1=int((first == second).sum()),
        largest_difference=float(differences.max()) if differences.size else None,
        milliseconds=figures["milliseconds"],
        original_milliseconds=times,
        bytes=size,
        digest=digest,
        versions=runner.versions(("torch", *entry.packages)) | figures["versions"],
        different=different,
        notes=tuple(notes),
    )


def told(receipt: Receipt) -> tuple[str, ...]:
    """What a receipt makes worth saying: that answers differ, and on which pictures; that there are none."""
    none = tuple(note for note in receipt.notes if NO_NUMBERS in note)
    if receipt.same:
        return none
    count = receipt.pictures - receipt.same_top1
    named = [
        f"{row.file or f'number {row.index}'} ({_said(row.original, row.original_probability)}, exported: "
        f"{_said(row.exported, row.exported_probability)})"
        for row in receipt.different[:10]
    ]
    more = f" and {count - len(named):,} more, which the receipt names" if count > len(named) else ""
    what = f"THE ANSWERS DIFFER: on {count:,} of {receipt.pictures:,} test pictures the exported model's likeliest class is another"
    return (f"{what}: {'; '.join(named)}{more}.", *none)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _said(name: str | None, probability: float | None) -> str:
    return "no answer" if name is None else f"{name!r} {100 * (probability or 0):.1f} %"


def _answer(labels: NDArray[np.int64], shares: Floats, place: int, classes: Sequence[str]) -> tuple[str | None, float | None]:
    label = int(labels[place])
    return (None, None) if label < 0 else (classes[label], float(shares[place, label]))


def _file(test: TestSet, index: int) -> str:
    return test.files[index] if index < len(test.files) else ""


@contextmanager
def _workplace(subject: Subject) -> Iterator[Path]:
    """A folder in the cache, for as long as a receipt is made. Raises ConfigError where the disk is full."""
    try:
        subject.home.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="receipt-", dir=subject.home.cache) as folder:
            yield Path(folder)
    except OSError as error:
        remedy = "free some space there, or keep everything elsewhere with THAW_HOME"
        raise ConfigError("home", f"the receipt's pictures need room in {subject.home.cache} ({error.strerror or error}); {remedy}") from None


def _ready_to_run(subject: Subject, entry: ExportEntry, loaded: Loaded, target: Path, folder: Path) -> tuple[Path, Path]:
    """The script that predicts, and the file with the weights, of an export."""
    if entry.runtime == "bundle":
        inside = target
        if target.is_file():
            inside = folder / "bundle"
            with zipfile.ZipFile(target) as archive:
                archive.extractall(inside)
        return inside / "predict.py", inside / "weights.pth"
    script = folder / "predict.py"
    script.write_text(predict_code(made_of(subject), entry.runtime, target.name), encoding="utf-8")
    return script, target


@contextmanager
def _running(script: Path, weights: Path, folder: Path) -> Iterator[Child]:
    """The process that runs the exported model; it loads its runtime while others work."""
    arguments = (str(script), str(weights), str(folder / "pictures.npy"), str(folder / "answers.npy"), str(torch.get_num_threads()))
    child = Interpreters().start("core.export.runner", arguments, folder / "runner.log", talk=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait(END_SECONDS)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def _original(loaded: Loaded, pictures: NDArray[np.uint8], progress: Progress, cancelled: Cancelled) -> Floats:
    def told(done: int) -> None:
        if cancelled():
            raise GivenUp
        progress(f"answering with the original: {done:,} of {len(pictures):,} pictures", 0.5 * done / len(pictures))

    return runner.answers(lambda batch: loaded.logits(torch.from_numpy(batch)).cpu().numpy(), pictures, told)


def _answers(child: Child, entry: ExportEntry, folder: Path, count: int, progress: Progress, cancelled: Cancelled) -> tuple[Floats, dict[str, Any]]:
    """What the process answered, logits [N, C], and its figures. Raises ConfigError on `format` where it could not."""
    assert child.stdin is not None
    assert child.stdout is not None
    for line in child.stdout:
        if cancelled():
            raise GivenUp
        match json.loads(line):
            case {"ready": True}:
                child.stdin.write("go\n")
                child.stdin.flush()
            case {"done": done}:
                progress(f"answering with the export: {done:,} of {count:,} pictures", 0.5 + 0.5 * done / count)
            case {"error": reason}:
                raise ConfigError("format", f"the exported model cannot be run by {entry.runtime} ({reason}); export it as pth or safetensors")
            case figures:
                return np.load(folder / "answers.npy"), figures
    status = child.wait(END_SECONDS)
    raise ConfigError("format", f"the process that ran the exported model ended (status {status}), {_last_line(folder / 'runner.log')}; try again")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return f"its last words: {lines[-1][:200]}" if lines else "and said nothing; it may have been killed for want of memory"
