"""The graph of torch.export in a `.pt2`, with what belongs to the weights as extra file `about.json`."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from core.export.formats import Cancelled, Progress
from core.export.graphs import give_up_if, quiet, traced
from core.export.subject import Subject
from core.export.weights import Standing, facts, loaded_of, told_of, write_predict
from core.machine.files import written_whole

ABOUT = "about.json"


def write(subject: Subject, target: Path, progress: Progress, cancelled: Cancelled) -> tuple[str, ...]:
    """See `core.export.formats.Writer`."""
    progress("loading the model", None)
    loaded = loaded_of(subject)
    progress("exporting the graph", None)
    program = traced(Standing(loaded), loaded.config.image_size, "torch.export")
    give_up_if(cancelled)
    progress("writing the file", None)
    with quiet(), written_whole(target) as file:
        torch.export.save(program, file, extra_files={ABOUT: json.dumps(facts(subject, loaded))})
    write_predict(subject, target, "torch.export")
    return told_of(loaded)
