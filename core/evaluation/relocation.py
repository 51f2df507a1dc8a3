"""A run's folder of pictures was moved or renamed: "it is now here", looked into before it is believed. No torch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.config import ConfigError
from core.data.digests import file_digests
from core.data.folders import Folders, shown
from core.data.intake import folder_classes
from core.data.layouts import place
from core.data.manifest import Picture, Recipe, read_pictures, read_recipe, write_recipe
from core.data.own_pictures import image_files, root_of
from core.data.sources import Progress
from core.machine.home import Home
from core.networks.models import find_model
from core.store import Run

LOOKED_AT = 60
"""Pictures of a run that are looked up in a folder that is said to be its own, at most."""

ENOUGH = 0.5
"""So many of them must be there, and hold what they held when the run was made."""


def moved(home: Home, run: Run, path: str, progress: Progress = lambda text, share: None) -> str:
    """Have a run's pictures looked for in the folder at `path` from now on, if it holds them; a sentence that says what was seen there.

    It is written into the run's `recipe.json`, so scripts that are made for the run use it too.

    Raises:
        ConfigError: on `dataset`, the run's dataset is no folder, or `path` is none, or holds other pictures. On `home`, it cannot be written.
    """
    before = root_of(home, run.id, run.config.dataset)
    if before is None:
        raise ConfigError("dataset", f"{run.id} was trained on {run.config.dataset}, which is no folder of yours and so cannot be moved")
    folder, _ = place(path)
    Folders().check(folder)
    recipe = read_recipe(home.run_folder(run.id)) or _recipe_of(run)
    pictures = read_pictures(home.run_folder(run.id))
    if pictures is None:
        root, seen = folder, _look_at_classes(run, folder)
    else:
        root, seen = _look(home, run, (folder, folder / before.name), pictures, progress)
    try:
        write_recipe(home.run_folder(run.id), replace(recipe, root=str(root)))
    except OSError as error:
        what = f"it cannot be written down in {home.run_folder(run.id)} ({error.strerror})"
        raise ConfigError("home", f"{what}; free some space there, or allow this user to write") from None
    return f"The pictures of {run.id} are looked for in {shown(str(root))} from now on: {seen}."


def _look(home: Home, run: Run, candidates: Sequence[Path], pictures: Sequence[Picture], progress: Progress) -> tuple[Path, str]:
    """Which of these folders, of which the first was named, holds the run's pictures, and what was seen there."""
    sample = random.Random(0).sample(pictures, min(LOOKED_AT, len(pictures)))
    for root in candidates:
        digests = file_digests([root / each.file for each in sample], root, home.cache, progress) if root.is_dir() else []
        same = sum(digest == each.sha256 for digest, each in zip(digests, sample, strict=False))
        if same and same >= ENOUGH * len(sample):
            return root, f"{same:,} of {len(sample):,} that were looked up are there, unchanged"
    # They may have been sorted anew: what they hold tells.
    named = candidates[0]
    there = set(file_digests(image_files(named), named, home.cache, progress))
    tested = [each for each in pictures if each.part == "test"]
    found = sum(each.sha256 in there for each in tested)
    if found and found >= ENOUGH * len(tested):
        return named, f"{found:,} of its {len(tested):,} test pictures are in it, under other names or in other folders"
    what = f"of the {len(tested):,} test pictures of {run.id}, {found:,} are in {shown(str(named))}"
    raise ConfigError("dataset", f"{what}, so it is another folder; give the one that the run was trained on, or a copy of it")


def _look_at_classes(run: Run, folder: Path) -> str:
    """Of a run without a list, nothing but its classes can be compared."""
    classes = run.plan.classes if run.plan else ()
    found = folder_classes(str(folder))
    if found != classes:
        what = f"{shown(str(folder))} has the classes {_some(found)}, and {run.id} was trained on {_some(classes)}"
        raise ConfigError("dataset", f"{what}; give the folder that it was trained on, or a copy of it")
    return "it has the same classes. Whether it holds the same pictures is not known, since the run was made before Thaw kept lists of them"


def _recipe_of(run: Run) -> Recipe:
    """What is known of the pictures of a run that was made before recipes were kept."""
    mean, std = find_model(run.config.model).normalise
    return Recipe(run.config.dataset, None, run.plan.classes if run.plan else (), run.config.image_size, mean, std)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
