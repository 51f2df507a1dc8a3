"""ONNX by torch's own exporter: one file, pictures uint8 RGB in, normalised inside, logits out, any number of pictures at once."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from core.config import ConfigError
from core.export.formats import Cancelled, Progress
from core.export.graphs import example_of, give_up_if, quiet, refused
from core.export.predict_code import INPUT, OUTPUT
from core.export.subject import Subject
from core.export.weights import Standing, facts, loaded_of, told_of, write_predict
from core.machine.files import written_whole

LARGEST = 2_000_000_000
"""Bytes of a protobuf file: ONNX keeps larger weights beside it."""


def write(subject: Subject, target: Path, progress: Progress, cancelled: Cancelled) -> tuple[str, ...]:
    """See `core.export.formats.Writer`."""
    import onnx

    progress("loading the model", None)
    loaded = loaded_of(subject)
    model = Standing(loaded)
    size = loaded.config.image_size
    _check_size(model)
    progress("exporting to ONNX", None)
    with refused("PyTorch's ONNX exporter"), quiet(), _silent():
        program = torch.onnx.export(
            model,
            (example_of(size),),
            dynamo=True,
            dynamic_shapes={"pictures": {0: torch.export.Dim("batch")}},
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
        assert program is not None
        made = program.model_proto
    give_up_if(cancelled)
    for name, value in facts(subject, loaded).items():
        made.metadata_props.add(key=name, value=value)
    with refused("ONNX's checker"):
        onnx.checker.check_model(made)
        whole = made.SerializeToString()
    progress("writing the file", None)
    with written_whole(target) as file:
        file.write(whole)
    write_predict(subject, target, "onnxruntime")
    return told_of(loaded)


def _check_size(model: nn.Module) -> None:
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size > LARGEST:
        what = f"its weights have {size / 1e9:.1f} GB, and one ONNX file holds {LARGEST / 1e9:.0f} GB at most"
        raise ConfigError("format", f"{what}; export it as torch-export, safetensors or pth")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The exporter prints its progress and logs what it could not optimise."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
