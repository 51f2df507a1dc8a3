"""The weights as a `state_dict` in a file that `torch.load(weights_only=True)` reads."""

from __future__ import annotations

from pathlib import Path

import torch

from core.export.formats import Cancelled, Progress
from core.export.subject import Subject
from core.export.weights import loaded_of, state_of, told_of, write_predict
from core.machine.files import written_whole


def write(subject: Subject, target: Path, progress: Progress, cancelled: Cancelled) -> tuple[str, ...]:
    """See `core.export.formats.Writer`."""
    progress("writing the weights", None)
    loaded = loaded_of(subject)
    with written_whole(target) as file:
        torch.save(state_of(subject), file)
    write_predict(subject, target, "torch")
    return told_of(loaded)
