"""Where Thaw keeps everything: one folder, `THAW_HOME` or `.thaw/` in the current directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from core.machine.memory import LARGE_PAGES

_ROOT = Path(__file__).resolve().parents[2]

SCRATCH = "THAW_SCRATCH"
"""In the environment of a job on another machine: the folder for its own database, since the home's lies on a network there."""

APART = "THAW_APART"
"""In the environment of a machine that has the home over a network, and shares a run with the machine that writes there: its own folder for what
frozen layers computed, since two machines cannot map one file."""


@dataclass(frozen=True)
class Home:
    """One folder with the store, a folder a run, the logs, the caches and the downloaded datasets."""

    path: Path

    _in_use: ClassVar[Home | None] = None

    @classmethod
    def in_use(cls) -> Home:
        """The home that this process works in: the one that `from_environment` gave last. What a config names without a path lies there."""
        return cls._in_use or cls.from_environment()

    @classmethod
    def chosen(cls) -> Home | None:
        """The home that `from_environment` gave last; None: this process has asked for none yet."""
        return cls._in_use

    @classmethod
    def from_environment(cls, path: str | None = None) -> Home:
        """`path`, else `$THAW_HOME`, else `.thaw/` in the current directory. The folder is made if it is not there."""
        home = cls(Path(path or os.environ.get("THAW_HOME") or ".thaw").expanduser().resolve())
        for folder in (home.runs, home.logs, home.cache, home.networks):
            folder.mkdir(parents=True, exist_ok=True)
        Home._in_use = home
        return home

    @property
    def database(self) -> Path:
        """The SQLite file of the `RunStore`."""
        return Path(os.environ.get(SCRATCH) or self.path) / "thaw.db"

    @property
    def runs(self) -> Path:
        """Parent of the run folders."""
        return self.path / "runs"

    @property
    def logs(self) -> Path:
        """Logs of processes that belong to no run yet: standby workers, the lab."""
        return self.path / "logs"

    @property
    def cache(self) -> Path:
        """What can be made again: decoded images."""
        return self.path / "cache"

    @property
    def features(self) -> Path:
        """What frozen layers computed, kept for later runs: it can be made again."""
        return Path(os.environ.get(APART) or self.cache) / "features"

    @property
    def networks(self) -> Path:
        """Networks that somebody built and saved, a text file each."""
        return self.path / "networks"

    @property
    def data(self) -> Path:
        """Downloaded datasets, a torchvision data root: `$THAW_DATA`, else `data/` in the home."""
        return Path(os.environ.get("THAW_DATA") or self.path / "data").expanduser().resolve()

    @property
    def datasets(self) -> Path:
        """Datasets that somebody brought, a folder each: pictures and versions. It is made when the first one comes."""
        return self.path / "datasets"

    @property
    def curves(self) -> Path:
        """Curves that other programs wrote, as they were read."""
        return self.path / "curves"

    def run_folder(self, run_id: str) -> Path:
        """Folder of one run: its log and its weights."""
        return self.runs / run_id


def child_environment() -> dict[str, str]:
    """This process's environment, in which `python -m core...` finds this project from any current directory, and torch uses large pages."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**LARGE_PAGES, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
