"""The list of a run's pictures in its folder, written before it begins."""

from __future__ import annotations

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
