"""The script of an example of one's own: what a run's script begins with, then two steps on one batch."""

from __future__ import annotations

from core.catalog import find_model
from core.code import pytorch_code
from core.config import RunConfig
from core.records.layers import ModelDescription, frozen_parameters, multipliers_by_parameter

_MIXED = {
    "precision": "float32",
    "speed": "exact",
    "timeline": "",
    "compile_model": False,
    "fused_optimizer": False,
    "accumulate": 1,
    "fold_norms": False,
    "im2col_gradients": False,
}


def own_script(config: RunConfig, description: ModelDescription, samples: int, zero_grad: bool) -> str:
    """Plain PyTorch that makes two steps as a run of `config` begins, on `samples` pictures. It runs as it stands."""
    config = config.replace(**_MIXED)
    frozen = frozen_parameters(config.freeze, description.parameters)
    layers = [(parameter.name, parameter.name in frozen) for parameter in description.parameters]
    whole = pytorch_code(config, description.classes, layers, multipliers_by_parameter(config.learning_rate_multipliers, description.parameters))
    return whole.partition("# Training")[0].rstrip() + "\n\n" + "\n".join(_steps(config, samples, zero_grad, whole)) + "\n"


def _steps(config: RunConfig, samples: int, zero_grad: bool, whole: str) -> list[str]:
    clear = "    optimizer.zero_grad()" if zero_grad else "    # no optimizer.zero_grad(): the second step's gradients are added to the first's"
    clip = [f"    nn.utils.clip_grad_norm_(model.parameters(), max_norm={config.clip_norm!r})"] if config.clip_norm is not None else []
    schedule = ["    schedule.step()"] if config.schedule != "constant" else []
    if "def set_rates()" in whole:
        schedule = ["    clock.step()", *schedule, "    set_rates()"]
    return [
        "# Two steps on the first pictures of the first epoch",
        "images, labels = next(iter(batches(1)))",
        f"images, labels = normalise(images[:{samples}]), labels[:{samples}].to(device)",
        "train_mode()" if "def train_mode()" in whole else "model.train()",
        "for step in (1, 2):",
        clear,
        "    output = model(images)",
        *(f"    {line}" for line in _loss(config.model)),
        "    loss.backward()",
        *clip,
        "    optimizer.step()",
        *schedule,
        "    print(step, loss.item())",
    ]


def _loss(model: str) -> list[str]:
    """The loss, with those of auxiliary classifiers."""
    if not find_model(model).family.auxiliary:
        return ["loss = loss_of(output, labels)"]
    if model == "inception_v3":
        return ["loss = loss_of(output.logits, labels) + 0.4 * loss_of(output.aux_logits, labels)"]
    return [
        "loss = loss_of(output.logits, labels)",
        "loss = loss + 0.3 * (loss_of(output.aux_logits1, labels) + loss_of(output.aux_logits2, labels))",
    ]
