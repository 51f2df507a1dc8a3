"""What every export of weights begins with: the weights of the checkpoint that is meant, the model that they belong to, and what is told of both."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from core.evaluation import evaluate
from core.evaluation.evaluate import Loaded
from core.export.predict_code import Made, predict_code
from core.export.subject import Subject
from core.machine.files import written_whole
from core.networks.models import logits_and_auxiliary
from core.records.layers import head_options
from core.store.checkpoint import Checkpoint, load_checkpoint


class Standing(nn.Module):
    """A model as others run it: uint8 RGB pictures [N, 3, S, S] go in, float32 logits [N, C] come out. In eval mode, on the processor."""

    mean: Tensor
    std: Tensor

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.model = copy.deepcopy(loaded.model).cpu().float().to(memory_format=torch.contiguous_format).requires_grad_(False)
        mean, std = loaded.entry.normalise
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits [N, C] of pictures [N, 3, S, S]."""
        logits: Tensor = logits_and_auxiliary(self.model((pictures.float() / 255 - self.mean) / self.std))[0]
        return logits


def checkpoint_of(subject: Subject) -> Checkpoint:
    """The weights that are meant, which an export of weights has always."""
    assert subject.checkpoint is not None
    return subject.checkpoint


def loaded_of(subject: Subject) -> Loaded:
    """The model with these weights, as the Evaluate screen has it. Raises ConfigError as `evaluate.load`."""
    if "loaded" not in subject.known:
        subject.known["loaded"] = evaluate.load(subject.home, subject.run.id, checkpoint=checkpoint_of(subject))
    loaded: Loaded = subject.known["loaded"]
    return loaded


def state_of(subject: Subject) -> OrderedDict[str, Tensor]:
    """The `state_dict` as a model built by hand gives it: each tensor for itself, contiguous, with the versions of layers that torch keeps beside."""
    kept = load_checkpoint(checkpoint_of(subject))
    state = loaded_of(subject).model.state_dict()  # it fits: loading has seen to it
    assert isinstance(state, OrderedDict)
    for name in state:
        state[name] = kept[name].detach().clone(memory_format=torch.contiguous_format)
    return state


def made_of(subject: Subject) -> Made:
    """What `predict.py` of this export is made from. Raises ConfigError where the run's recipe is damaged."""
    run, checkpoint = subject.run, checkpoint_of(subject)
    about = f"What {one_line(run.config.model)} of run {run.id}, epoch {checkpoint.epoch}, makes of pictures"
    loaded = loaded_of(subject)
    return Made(run.config, loaded.classes, about, loaded.value_range)


def facts(subject: Subject, loaded: Loaded) -> dict[str, str]:
    """What belongs to the weights, as text for the metadata of a file: lists and objects as JSON."""
    run, checkpoint, config = subject.run, checkpoint_of(subject), loaded.config
    mean, std = loaded.entry.normalise
    return {
        "made_by": "Thaw",
        "model": config.model,
        "head": json.dumps(asdict(head_options(config))),
        "classes": json.dumps(list(loaded.classes)),
        "mean": json.dumps(list(mean)),
        "std": json.dumps(list(std)),
        "image_size": str(config.image_size),
        "fit": config.fit,
        "value_range": json.dumps(loaded.value_range),
        "input": f"uint8 RGB [N, 3, {config.image_size}, {config.image_size}], divided by 255, less mean, divided by std",
        "run": run.id,
        "dataset": config.dataset,
        "epoch": str(checkpoint.epoch),
        "step": str(checkpoint.step),
    }


def told_of(loaded: Loaded) -> tuple[str, ...]:
    """What has to be known of any export of these weights."""
    said = []
    if loaded.config.precision != "float32":
        said.append(
            f"The run computes its forward pass in {loaded.config.precision}, the export in float32: its last digits are others, and it is the "
            "more exact of the two."
        )
    return tuple(said)


def write_predict(subject: Subject, target: Path, runtime: str) -> None:
    """Put the script that predicts with the file `target` beside it."""
    script = target.with_name(f"{target.name}.predict.py")
    code = predict_code(made_of(subject), runtime, target.name, script.name)
    with written_whole(script) as file:
        file.write(code.encode())


def one_line(text: str, most: int = 200) -> str:
    """`text` without line breaks and quotes that would end a docstring."""
    return " ".join(text.split()).replace('"', "'").replace("\\", "/")[:most]
