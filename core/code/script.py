"""The script from its imports to the saved weights, and how to load a run's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.catalog import find_model
from core.code import ranks
from core.code.data import data_lines
from core.code.differences import differences
from core.code.excerpts import importing, joined
from core.code.faults import broken_training
from core.code.freezing import freezing_lines
from core.code.learning import Plan, learning_lines
from core.code.loop import loop_lines
from core.code.model import bare_model, model_imports, model_lines
from core.code.phases import Phase
from core.code.recorded import NOTHING_RECORDED, Recorded
from core.config import RunConfig
from core.config.devices import shared
from core.data.augmentations import find_augmentation


def pytorch_code(
    config: RunConfig,
    classes: int,
    layers: Iterable[tuple[str, bool]],
    multipliers: Mapping[str, float] | None = None,
    phases: Sequence[Phase] | None = None,
    recorded: Recorded = NOTHING_RECORDED,
) -> str:
    """A script that does what a run of `config` does, and needs nothing of Thaw.

    Args:
        config: canonical, as `catalog.check` returns it.
        classes: number of classes of its dataset.
        layers: (name, frozen) of every parameter tensor at the start, in the model's order.
        multipliers: the factor of each tensor's learning rate at the start, as `layers.multipliers_by_parameter` gives them. None: 1
            for all, and the script says so if `config` has others.
        phases: what changes later, as `phases(config, parameters)` gives it. None: nothing, and the script says so likewise.
        recorded: what a run with this config has recorded; none for a run that is yet to be started.

    Raises:
        ConfigError: on `dataset`, it is a folder that cannot be read, and its pictures were not recorded.
    """
    layers = tuple(layers)
    factors = {name: (multipliers or {}).get(name, 1.0) for name, _ in layers}
    plan = Plan(config, layers, factors, tuple(phases or ()))
    freezing = freezing_lines(layers, plan.phases, config.frozen_randomness)
    code = joined(
        [
            machine_lines(config, shared(config)),
            data_lines(config, classes, recorded),
            model_lines(config, classes),
            _remarked(freezing, config),
            learning_lines(plan, classes),
            ranks.sharing_lines(plan) if shared(config) else broken_training(config),
            loop_lines(plan, bool(freezing), recorded.stopped_after, recorded.as_file),
        ]
    )
    remarks = [*(ranks.remarks(config) if shared(config) else ()), *_left_out(config, multipliers, phases), *differences(config, recorded)]
    head = "\n".join(f"# {remark}" for remark in remarks)
    return "\n\n".join(filter(None, (head, importing(code.text, code.imports), code.text))) + "\n"


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


def _left_out(config: RunConfig, multipliers: Mapping[str, float] | None, phases: Sequence[Phase] | None) -> list[str]:
    """Remarks on what the caller did not say, and the config asks for."""
    lines = []
    if multipliers is None and config.learning_rate_multipliers.rules:
        lines.append(f"Not in this script: the learning-rate multipliers {str(config.learning_rate_multipliers)!r}.")
    if phases is None and config.timeline.changes:
        lines.append(f"Not in this script: the timeline {str(config.timeline)!r}.")
    return lines


def _remarked(freezing: str, config: RunConfig) -> str:
    """The freezing, with a remark on what a run does not compute again and this script does, where that makes no difference."""
    augmentation = find_augmentation(config.augmentation)
    new_pictures = augmentation.changes and not augmentation.variants and config.fixed_views is None
    if not freezing or config.feature_cache != "exact" or new_pictures:
        return freezing
    remark = "# Thaw computes what frozen layers give only once for each picture and keeps it, with the same result as here."
    head, _, rest = freezing.partition("# Freezing\n")
    return f"# Freezing\n{remark}\n{rest}" if rest else f"{remark}\n\n\n{head}"


def machine_lines(config: RunConfig, several: bool = False) -> str:
    """How the machine computes, as a worker sets it, and `device`; `several`: of one of the processes that share it."""
    lines = []
    if config.device != "cpu":
        lines.append('os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may add up in another order each time')
    lines += [
        "torch.use_deterministic_algorithms(True, warn_only=True)",
        "torch.utils.deterministic.fill_uninitialized_memory = False  # it would cost a write of every new tensor",
    ]
    if several:
        return "\n".join([*lines, ranks.process_lines(config)])
    if config.threads is not None:
        lines.append(f"torch.set_num_threads({config.threads})")
    return "\n".join([*lines, f"device = {_device(config)}"])


def _device(config: RunConfig) -> str:
    if config.device == "auto":
        return 'torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")'
    return f"torch.device({config.device!r})"
