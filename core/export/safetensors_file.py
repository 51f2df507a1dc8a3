"""The weights as safetensors, with what belongs to them in the file's metadata."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save

from core.export.formats import Cancelled, Progress
from core.export.subject import Subject
from core.export.weights import facts, loaded_of, state_of, told_of, write_predict
from core.machine.files import written_whole


def write(subject: Subject, target: Path, progress: Progress, cancelled: Cancelled) -> tuple[str, ...]:
    """See `core.export.formats.Writer`."""
    progress("writing the weights", None)
    loaded = loaded_of(subject)
    with written_whole(target) as file:
        file.write(save(state_of(subject), {"format": "pt", **facts(subject, loaded)}))
    write_predict(subject, target, "safetensors")
    return told_of(loaded)
