"""The script from its imports to the saved weights, and how to load a run's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from core.catalog import AUGMENTATIONS, find_model
from core.code.data import data_lines
from core.code.faults import broken_training
from core.code.freezing import freezing_lines
from core.code.learning import Plan, learning_lines
from core.code.loop import loop_lines
from core.code.model import bare_model, model_imports, model_lines
from core.code.phases import Phase
from core.config import RunConfig


def pytorch_code(
    config: RunConfig,
    classes: int,
    layers: Iterable[tuple[str, bool]],
    multipliers: Mapping[str, float] | None = None,
    phases: Sequence[Phase] | None = None,
) -> str:
    """A script that does what a run of `config` does.

    Args:
        config: canonical, as `catalog.check` returns it.
        classes: number of classes of its dataset.
        layers: (name, frozen) of every parameter tensor at the start, in the model's order.
        multipliers: the factor of each tensor's learning rate at the start, as `layers.multipliers_by_parameter` gives them. None: 1
            for all, and the script says so if `config` has others.
        phases: what changes later, as `phases(config, parameters)` gives it. None: nothing, and the script says so likewise.
    """
    layers = tuple(layers)
    factors = {name: (multipliers or {}).get(name, 1.0) for name, _ in layers}
    plan = Plan(config, layers, factors, tuple(phases or ()))
    freezing = freezing_lines(layers, plan.phases, config.frozen_randomness)
    parts = [
        _left_out(config, multipliers, phases),
        _imports(config),
        "\n".join(_machine(config)),
        data_lines(config),
        model_lines(config, classes),
        _remarked(freezing, config),
        learning_lines(plan, classes),
        broken_training(config),
        loop_lines(plan, bool(freezing)),
    ]
    return _joined([part.strip("\n") for part in parts if part])


def _joined(parts: list[str]) -> str:
    """The parts one below the other: two empty lines after one that ends in a function, else one."""
    text = parts[0]
    for before, part in pairwise(parts):
        text += ("\n\n\n" if before.splitlines()[-1].startswith(" ") else "\n\n") + part
    return text + "\n"


def loading_code(config: RunConfig, classes: tuple[str, ...], file_name: str) -> str:
    """How to build a run's model by hand and load its weights, the file `file_name`, into it."""
    mean, std = find_model(config.model).normalise
    names = ", ".join(repr(name) for name in classes[:200]) + (", ..." if len(classes) > 200 else "")
    built = "\n".join(bare_model(config, len(classes)))
    return f"""import torch
{model_imports(config, len(classes))}

classes = [{names}]
{built}
model.load_state_dict(torch.load({file_name!r}, weights_only=True))
model.eval()

# It takes images float32 [N, 3, {config.image_size}, {config.image_size}], scaled to 0..1 and then normalised:
mean, std = (torch.tensor(values).view(3, 1, 1) for values in ({mean}, {std}))
images = (torch.rand(1, 3, {config.image_size}, {config.image_size}) - mean) / std  # put your own here
with torch.inference_mode():
    print(classes[model(images).argmax(dim=1)[0]])
"""


def _left_out(config: RunConfig, multipliers: Mapping[str, float] | None, phases: Sequence[Phase] | None) -> str:
    """A remark on what the caller did not say, and the config asks for."""
    lines = []
    if multipliers is None and config.learning_rate_multipliers.rules:
        lines.append(f"# Not in this script: the learning-rate multipliers {str(config.learning_rate_multipliers)!r}.")
    if phases is None and config.timeline.changes:
        lines.append(f"# Not in this script: the timeline {str(config.timeline)!r}.")
    if config.speed == "automatic":
        lines.append("# Not in this script: the precision, layout and further ways to compute that a run with speed automatic measures and chooses.")
    if config.fold_norms:
        lines.append("# Not in this script: frozen BatchNorm folded into the convolution before it. The numbers differ in their last digits.")
    return "\n".join(lines)


def _remarked(freezing: str, config: RunConfig) -> str:
    """The freezing, with a remark on what a run does not compute again and this script does."""
    augmentation = AUGMENTATIONS[config.augmentation]
    new_pictures = augmentation.steps and not augmentation.variants and config.fixed_views is None
    if not freezing or config.feature_cache == "off" or new_pictures:
        return freezing
    kept = "rounded to float16; here it is computed each time, in full" if config.feature_cache == "float16" else "with the same result as here"
    remark = f"# Thaw computes what frozen layers give only once for each picture and keeps it, {kept}."
    head, _, rest = freezing.partition("# Freezing\n")
    return f"# Freezing\n{remark}\n{rest}" if rest else f"{remark}\n\n\n{head}"


def _machine(config: RunConfig) -> list[str]:
    lines = [f"torch.manual_seed({config.seed})"]
    if config.threads is not None:
        lines.append(f"torch.set_num_threads({config.threads})")
    return [*lines, f"device = {_device(config)}"]


def _imports(config: RunConfig) -> str:
    own_data = config.dataset in ("digits", "shapes")
    own_dataset = own_data or config.fixed_views is not None or config.fault == "shuffled labels"
    own_model = find_model(config.model).family.own
    wanted = {
        "import copy": config.early_stopping is not None,
        "import hashlib": config.doubles == "leave out",
        "import torch": True,
        "import torch.nn.functional as F": config.loss not in ("CrossEntropyLoss", "MultiMarginLoss"),
        "import torchvision": not own_model,
        "from core.data.embedded import draw_shapes  # Thaw draws these images": config.dataset == "shapes",
        "from safetensors.torch import load_file": config.starting_weights.lower().endswith(".safetensors"),
        "from sklearn.datasets import load_digits": config.dataset == "digits",
        "from torch import nn": True,
        f"from torch.utils.data import DataLoader, {'Dataset, ' if own_dataset else ''}Subset": True,
        "from torchvision import datasets": not own_data,
        "from torchvision.transforms import v2": True,
    }
    return "\n".join(line for line, is_wanted in wanted.items() if is_wanted)


def _device(config: RunConfig) -> str:
    if config.device == "auto":
        return 'torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")'
    return f"torch.device({config.device!r})"
