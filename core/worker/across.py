"""What ranks on several machines do at the beginning, and those of one need not: compare pictures and weights, hand out the checkpoint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from core.config import ConfigError
from core.data import Data
from core.machine.files import written_whole
from core.ranks.digests import Compared
from core.ranks.group import Group
from core.store.checkpoint import listed
from core.store.resume_files import ResumePoint

_NAME = re.compile(r"(resume-\d{1,12}\.pt|epoch-\d{1,12}-step-\d{1,12}\.pth)", re.ASCII)
"""Files that one machine takes from another."""


def pictures_of(machine: int) -> str:
    """The mark by which a machine says what its pictures are."""
    return f"pictures of machine {machine}"


def pictures_digest(images: Data) -> str:
    """Of all pictures that a run is made of: set, class, name and content of each, in their order."""
    told = hashlib.sha256()
    for picture in images.pictures():
        told.update(json.dumps(tuple(picture)).encode())
    return told.hexdigest()


def same_pictures(group: Group, images: Data, names: Sequence[str], meanwhile: Callable[[str, float | None], None]) -> None:
    """See that all machines have the pictures of this one, the first; waits until they have read them.

    Args:
        meanwhile: called again and again, with what is waited for.

    Raises:
        ConfigError: on `dataset`, a machine has others.
    """
    mine = pictures_digest(images)
    for machine in range(1, group.machines):
        while not group.said(pictures_of(machine)):
            meanwhile(f"waiting for the pictures of machine {machine + 1} ({names[machine]})", None)
        if group.mark(pictures_of(machine)) != mine:
            raise ConfigError(
                "dataset",
                f"machine {machine + 1} ({names[machine]}) has other pictures than machine 1 ({names[0]}): bring the same files there, in the same "
                "folders, or join with --dataset and where they are",
            )


def refuse_other_weights(group: Group, compared: Compared, names: Sequence[str]) -> None:
    """Raises ConfigError on `starting_weights` where a machine begins with other values than the first."""
    if compared.differing:
        rank, tensor = compared.differing[0]
        machine = rank // group.ranks_here
        raise ConfigError(
            "starting_weights",
            f"machine {machine + 1} ({names[machine]}) begins with other values than machine 1 ({names[0]}) in {tensor}, of {compared.tensors:,} "
            "tensors: bring the same file of weights there, or join with --starting-weights and where it is",
        )


def hand_out(group: Group, folder: Path, point: ResumePoint) -> None:
    """From the first rank: what others need to stand where a checkpoint was taken, for those who have not the run's folder. Raises OSError."""
    paths = [point.path, *(checkpoint.path for checkpoint in listed(folder) if checkpoint.epoch == 0)]
    group.tell([path.name for path in paths])
    for path in paths:
        group.hand_out(path.read_bytes())
    group.total([0.0])  # all have it


def take_in(group: Group, folder: Path) -> None:
    """Take what the first rank hands out, and keep it where this machine has not the run's folder. Raises OSError."""
    writes = group.machine > 0 and group.rank % group.ranks_here == 0
    for name in group.hear():
        content = group.take()
        if writes and _NAME.fullmatch(name):
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            with written_whole(folder / "checkpoints" / name, settled=False) as file:
                file.write(content)
    group.total([0.0])  # all have it
