"""The list of a run's pictures in its folder, written before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from core.config import ConfigError
from core.data import Data
from core.data.manifest import write_pictures, write_recipe


def list_pictures(folder: Path, images: Data) -> None:
    """Keep what the run trains and is measured on: its test set stays its own, whatever becomes of the dataset.

    Raises:
        ConfigError: on `home`, the disk does not take it.
    """
    try:
        write_pictures(folder, images.pictures())
        if images.recipe is not None:
            write_recipe(folder, images.recipe)
    except OSError as error:
        remedy = "free some space, or keep everything elsewhere with THAW_HOME"
        raise ConfigError("home", f"the list of the run's pictures cannot be written to {folder} ({error.strerror}); {remedy}") from None


@contextmanager
def listing(folder: Path, images: Data, wanted: bool) -> Iterator[None]:
    """`list_pictures`, if that is `wanted`, while something else is done within it: a disk takes some 10 ms for each file. Raises as that does."""
    with ThreadPoolExecutor(1) as beside:
        listed = beside.submit(list_pictures, folder, images) if wanted else None
        yield
        if listed is not None:
            listed.result()
