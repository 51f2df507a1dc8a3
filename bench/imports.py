"""Importing pictures against merely decoding them with PIL, in turn on the same cores; and a version with a few more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from bench.photos import CLASSES, QUALITY
from bench.table import median, spread, table
from core.machine.home import child_environment

PICTURES, MORE, SCENES = 10_000, 10, 400
SIZE = (500, 375)  # px
LOOK_SECONDS = 0.01

MOST_MEMORY, MOST_SECONDS, LEAST_SHARE = 600, 2.0, 0.8
"""What is asked for: MB at most, seconds for a version with a few more pictures, and pictures a second as a share of what decoding them gives."""


def make(folder: Path, count: int, first: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """`folder/CLASS/*.jpg`: pieces of `size` px of the photographs that scikit-learn brings, no two files alike.

    There are 400 pieces; files of the same one differ in a comment, which a decoder reads over.
    """
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images  # uint8 [427, 640, 3]
    generator = np.random.default_rng(first)
    scenes: list[bytes] = []
    path = folder / "scene.jpg"
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for number in range(min(SCENES, count)):
        photograph = photographs[number % len(CLASSES)]
        top, left = (int(generator.integers(0, length - side + 1)) for length, side in zip(photograph.shape, size[::-1], strict=False))
        Image.fromarray(photograph[top : top + size[1], left : left + size[0]]).save(path, quality=QUALITY)
        scenes.append(path.read_bytes())
    path.unlink()
    for number in range(count):
        comment = f"{first + number:08}".encode()
        scene = scenes[number % len(scenes)]
        marked = scene[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + scene[2:]
        (folder / CLASSES[number % len(CLASSES)] / f"{first + number:05}.jpg").write_bytes(marked)
    return folder


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """Seconds of both, and the most memory that the import's process took."""
    pictures, more = make(folder / "pictures", PICTURES), make(folder / "more", MORE, first=PICTURES)
    files = sorted(pictures.rglob("*.jpg"))
    decoding, importing, adding, memory = [], [], [], []
    work: dict[str, list[float]] = {"decoding": [], "importing": []}
    for number in range(rounds):
        # Nothing is deleted in between: ext4 gives out no inode that was free for less than five minutes, and passes over all of these for
        # each file that is made. A home of 10,000 pictures, deleted just before, made a file cost 0.9 ms in place of 0.06 ms.
        home = folder / f"home-{number}"
        before = time.process_time()
        decoding.append(_decoded(files))
        work["decoding"].append(time.process_time() - before)
        seconds, computed, peak = _run("import", str(pictures), "--name", "mine", "--home", str(home))
        work["importing"].append(computed)
        importing.append(seconds)
        memory.append(peak)
        adding.append(_run("import", str(more), "--name", "mine", "--add", "--home", str(home))[0])
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    what = f"{PICTURES:,} JPEG files of {SIZE[0]} x {SIZE[1]} px ({megabytes:,.0f} MB)"
    yield f"{what}, {os.cpu_count()} cores, {rounds} rounds in turn: median (lowest to highest)."
    yield ""
    shares = [decoded / imported for decoded, imported in zip(decoding, importing, strict=True)]
    rows = [
        ("decoding with PIL, a thread a core", spread(decoding), f"{PICTURES / median(decoding):,.0f}", spread(work["decoding"]), ""),
        (
            "import, a process of its own with its start",
            spread(importing),
            f"{PICTURES / median(importing):,.0f}",
            spread(work["importing"]),
            f"{max(memory):,.0f}",
        ),
        (f"a version with {MORE} more, likewise", spread(adding), "", "", ""),
    ]
    yield from table(("", "seconds", "pictures a second", "seconds of a core", "peak memory, MB"), rows)
    yield ""
    yield f"Import against decoding: {spread(shares)} (asked for: {LEAST_SHARE} at least). Memory: {max(memory):,.0f} MB ({MOST_MEMORY} at most)."
    yield f"A version with {MORE} more: {median(adding):.2f} s ({MOST_SECONDS:g} s at most)."


def _decoded(files: list[Path]) -> float:
    """Seconds that decoding all of them takes."""

    def decode(file: Path) -> None:
        with Image.open(file) as image:
            image.convert("RGB")

    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, files):
            pass
    return time.perf_counter() - began


def _run(*line: str) -> tuple[float, float, float]:
    """Seconds, those that cores worked for it, and MB at most, of a command, which must succeed."""
    began, computed, peak, answer = time.perf_counter(), 0.0, 0, Path(line[-1]).with_name("answer.json")
    with answer.open("wb") as output:
        process = psutil.Popen([sys.executable, "-m", "core", *line, "--json"], env=child_environment(), stdout=output, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(psutil.Error):
            peak, worked = max(peak, process.memory_info().rss), process.cpu_times()
            computed = max(computed, worked.user + worked.system)
        time.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - began
    found = json.loads(answer.read_text().splitlines()[-1])
    assert process.returncode == 0
    assert found["skipped"] == []
    return seconds, computed, peak / 1e6
