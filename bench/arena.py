"""Where the contestants of the table against peers meet: one case, each contestant in a process of its own, in turns."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.cases import Case
from bench.contestants import THAW
from bench.task import Found
from core.data import prepare
from core.machine.home import Home, child_environment

ROOT = Path(__file__).resolve().parent.parent

REFERENCE = "frozen"

NEEDS = {"lightning": "lightning", "lightning-norms": "lightning", "accelerate": "accelerate", "fastai": "fastai"}
"""The line of bench/requirements.txt that a contestant needs."""


@dataclass(frozen=True)
class Options:
    """What is measured, and how."""

    cases: Sequence[Case]
    rows: Sequence[str]
    threads: int = 0
    """Threads of each contestant; 0: as many as torch takes by itself."""
    quick: bool = False

    @property
    def clock(self) -> str:
        """What the ratio is worked out from: `wall` or `CPU`. On one thread of a busy machine only the processor's time means anything."""
        return "CPU" if self.threads == 1 and not torch.cuda.is_available() else "wall"

    def seconds(self, found: Found) -> float:
        """The time that counts."""
        return found.cpu_seconds if self.clock == "CPU" else found.seconds


@dataclass(frozen=True)
class Row:
    """One contestant in one case: what it found in each round, and how far its final weights are from the reference's."""

    found: tuple[Found, ...]
    difference: float = math.nan
    """The largest difference of one weight; NaN where there is nothing to compare, infinite where a weight is not finite."""
    note: str = ""
    """Why there is no figure."""


class NotRun(Exception):
    """A contestant could not run; the text says why."""


class Arena:
    """One case, and where its contestants meet."""

    def __init__(self, case: Case, options: Options, folder: Path, pictures: Path, device: str, python: Path, missing: dict[str, str]) -> None:
        self.case = case
        self.options = options
        self.folder = folder
        self.python = python
        self.missing = missing
        self.device = device
        # Every signal at every step, whatever it costs: nothing thins itself here.
        self.config = case.config(pictures, device, options.quick).replace(watch_budget=1.0, threads=options.threads or None)
        folder.mkdir(parents=True)

    def about(self) -> str:
        """What is trained, in words."""
        config, what = self.config, "digits from memory" if self.case.data == "digits" else "a folder of JPEG files"
        size, epochs = f"{config.image_size} px, batches of {config.batch_size}", f"{config.epochs} epochs"
        return f"{config.model}, {config.freeze}, {what}, {size}, {epochs}."

    def rows(self, rounds: int) -> dict[str, Row]:
        """Let all compete, in turns."""
        # Peers read the images themselves: that Thaw, which gives them their model, decodes them first is not for their time and memory.
        peers_home = Home.from_environment(str(self.folder / "home-peers"))
        prepare(self.config, peers_home, lambda text, share: None)
        found: dict[str, list[Found]] = {name: [] for name in self.options.rows}
        notes: dict[str, str] = {}
        for number in range(rounds):
            # The reference comes first in the first round only: who goes first has the coolest processor.
            names = [name for name in self.options.rows if name not in notes]
            ordered = [REFERENCE, *(name for name in names if name != REFERENCE)] if number % 2 == 0 else _reversed(names)
            for name in ordered:
                try:
                    if name == "thaw-cached" and "thaw" in notes:
                        raise NotRun("its first run did not end")
                    found[name].append(self._run(name, keep_weights=number == 0))
                except NotRun as error:
                    notes[name] = str(error)
                self._say(number, name, found[name], notes.get(name))
        reference = self._weights(REFERENCE)
        return {name: Row(tuple(found[name]), difference(self._weights(name), reference), notes.get(name, "")) for name in self.options.rows}

    def clear(self) -> None:
        """Remove what the contestants wrote: caches of features are large."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def home(self, name: str) -> Path:
        """The THAW_HOME of a contestant: a new one for each of Thaw's runs, but the second run has that of the first."""
        if name not in THAW:
            return self.folder / "home-peers"
        home = self.folder / ("home-thaw" if name == "thaw-cached" else f"home-{name}")
        if name != "thaw-cached":
            shutil.rmtree(home, ignore_errors=True)
        return home

    def _run(self, name: str, keep_weights: bool) -> Found:
        needed = NEEDS.get(name)
        if needed in self.missing:
            raise NotRun(f"{needed} is not installed: {self.missing[needed]}")
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        command = [str(self.python), "-m", "bench.contestants", name, "--config", self.config.to_json(), "--home", str(self.home(name))]
        command += ["--folder", str(scratch), "--weights", str(self._file(name) if keep_weights else scratch / "weights.pth")]
        command += ["--threads", str(self.options.threads), "--workers", str(2 if self.device == "cpu" else os.cpu_count() or 2)]
        command += ["--count"] if name == REFERENCE and keep_weights else []
        variables = child_environment()
        variables.pop("THAW_HOME", None)
        if self.options.threads:
            variables["OMP_NUM_THREADS"] = str(self.options.threads)
        return Found(**figures_of(command, scratch, variables))

    def _file(self, name: str) -> Path:
        return self.folder / f"weights-{name}.pth"

    def _weights(self, name: str) -> dict[str, Tensor] | None:
        file = self._file(name)
        weights: dict[str, Tensor] | None = torch.load(file, weights_only=True) if file.exists() else None
        return weights

    def _say(self, number: int, name: str, found: list[Found], note: str | None) -> None:
        """One line on standard error: a long table shows that it gets on."""
        figures = note or f"{found[-1].seconds:.2f} s, {found[-1].cpu_seconds:.2f} s CPU, {found[-1].memory:.0f} MB"
        print(f"{time.strftime('%H:%M:%S')} {self.case.name}, round {number + 1}, {name}: {figures}", file=sys.stderr, flush=True)


def _reversed(names: Sequence[str]) -> list[str]:
    """The other way round, but Thaw's second run stays behind its first."""
    turned = [name for name in reversed(names) if name != "thaw-cached"]
    if "thaw-cached" in names and "thaw" in names:
        turned.insert(turned.index("thaw") + 1, "thaw-cached")
    return turned


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def difference(weights: dict[str, Tensor] | None, reference: dict[str, Tensor] | None) -> float:
    """The largest difference of one number in two models' states, running statistics included; counters are left out."""
    if weights is None or reference is None:
        return math.nan
    if weights.keys() != reference.keys():
        return math.inf
    largest = 0.0
    for name, tensor in reference.items():
        if tensor.is_floating_point() and not torch.equal(tensor, weights[name]):
            apart = (tensor.double() - weights[name].double()).abs().max().item()
            largest = max(largest, math.inf if math.isnan(apart) else apart)
    return largest


def environment() -> tuple[Path, dict[str, str]]:
    """The Python of the peers' environment, made first where needed, and what could not be installed there, with pip's reason."""
    done = subprocess.run([sys.executable, str(ROOT / ".ci" / "environment.py"), "peers"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)  # what is wrong has been said
    folder = Path(done.stdout.strip())
    missing = {file.stem: _reason(file.read_text()) for file in (folder / "not-installed").glob("*.txt")}
    return folder / "bin" / "python", missing


def _reason(text: str) -> str:
    """What pip said, in one line that can stand in a table."""
    errors = [line.partition("ERROR:")[2].strip() for line in text.splitlines() if line.startswith("ERROR:")]
    return re.sub(r"[|\n]", " ", (errors or [_last_words(text)])[0])[:300]


def figures_of(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """The line of JSON that a contestant's process writes, started in `folder`. Raises NotRun where it fails or writes none."""
    done = subprocess.run(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        print(done.stderr[-4000:], file=sys.stderr)
        raise NotRun(_last_words(done.stderr) or f"ended with status {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def versions(python: Path, names: Sequence[str]) -> str:
    """The installed versions of some packages, as text."""
    program = (
        "import importlib.metadata as m, sys\n"
        "for n in sys.argv[1:]:\n"
        "    try: print(n, m.version(n))\n"
        "    except m.PackageNotFoundError: print(n, 'not installed')\n"
    )
    done = subprocess.run([python, "-c", program, *names], capture_output=True, text=True, check=False)
    return ", ".join(done.stdout.split("\n")).strip(", ")
