"""The same run as a plain PyTorch script: what a person would write by hand. Pure text, no torch.

The script trains the same model on the same data with the same settings. Splits, order and random changes are drawn by other
generators, so its numbers come out close to the run's, not equal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.catalog import AUGMENTATIONS, find_model
from core.catalog import models as model_catalog
from core.catalog import optimizers as optimizer_catalog
from core.catalog import schedules as schedule_catalog
from core.config import RunConfig

_CHANGES: Mapping[str, str] = {
    "flip": "v2.RandomHorizontalFlip()",
    "shift": "v2.RandomCrop({size}, padding={margin})",
    "crop": "v2.RandomResizedCrop({size}, scale=(0.25, 1.0))",
    "rotate": "v2.RandomRotation(15, interpolation=v2.InterpolationMode.BILINEAR)",
    "colour": "v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)",
    "trivial": "v2.TrivialAugmentWide()",
}
"""torchvision's transforms that do what `core.data.changes` does to a batch."""


def pytorch_code(config: RunConfig, classes: int, layers: Iterable[tuple[str, bool]]) -> str:
    """A script that does what a run of `config` does.

    Args:
        config: canonical, as `catalog.check` returns it.
        classes: number of classes of its dataset.
        layers: (name, frozen) of every parameter tensor, in the model's order.
    """
    layers = tuple(layers)
    any_frozen = any(frozen for _, frozen in layers)
    parts = [
        _imports(config),
        f"torch.manual_seed({config.seed})\ndevice = {_device(config)}",
        _data(config),
        _model(config, classes),
        _freezing(layers) if any_frozen else "",
        _learning(config, classes),
        _loop(config, any_frozen),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def loading_code(config: RunConfig, classes: tuple[str, ...], file_name: str) -> str:
    """How to build a run's model by hand and load its weights, the file `file_name`, into it."""
    mean, std = find_model(config.model).normalise
    names = ", ".join(repr(name) for name in classes[:200]) + (", ..." if len(classes) > 200 else "")
    return f"""import torch
{_model_imports(config)}

classes = [{names}]
{_bare_model(config, len(classes))}
model.load_state_dict(torch.load({file_name!r}, weights_only=True))
model.eval()

# It takes images float32 [N, 3, {config.image_size}, {config.image_size}], scaled to 0..1 and then normalised:
mean, std = (torch.tensor(values).view(3, 1, 1) for values in ({mean}, {std}))
images = (torch.rand(1, 3, {config.image_size}, {config.image_size}) - mean) / std  # put your own here
with torch.inference_mode():
    print(classes[model(images).argmax(dim=1)[0]])
"""


# Imports and device


def _imports(config: RunConfig) -> str:
    own_data = config.dataset in ("digits", "shapes")
    own_model = find_model(config.model).family.own
    wanted = {
        "import copy": config.early_stopping is not None,
        "import torch": True,
        "import torch.nn.functional as F": config.loss not in ("CrossEntropyLoss", "MultiMarginLoss"),
        "import torchvision": not own_model,
        "from core.data.embedded import draw_shapes  # Thaw draws these images": config.dataset == "shapes",
        "from safetensors.torch import load_file": config.starting_weights.endswith(".safetensors"),
        "from sklearn.datasets import load_digits": config.dataset == "digits",
        "from torch import nn": True,
        f"from torch.utils.data import DataLoader, {'Dataset, ' if own_data else ''}Subset": True,
        "from torchvision import datasets": not own_data,
        "from torchvision.transforms import v2": True,
    }
    return "\n".join(line for line, is_wanted in wanted.items() if is_wanted)


def _model_imports(config: RunConfig) -> str:
    return "from torch import nn\n" + _own_source(config.model) if find_model(config.model).family.own else "import torchvision"


def _device(config: RunConfig) -> str:
    if config.device == "auto":
        return 'torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")'
    return f"torch.device({config.device!r})"


# Data


def _data(config: RunConfig) -> str:
    mean, std = find_model(config.model).normalise
    size = config.image_size
    steps = AUGMENTATIONS[config.augmentation].steps
    changes = [_CHANGES[step].format(size=size, margin=max(1, size // 8)) for step in steps]
    lines = [
        "# Data",
        f"resize = [v2.ToImage(), v2.RGB(), v2.Resize(({size}, {size}), antialias=True)]",
        f"normalise = [v2.ToDtype(torch.float32, scale=True), v2.Normalize({mean}, {std})]",
        "plain = v2.Compose([*resize, *normalise])",
    ]
    training = "plain"
    if changes:
        training = "changed"
        lines.append(f"changed = v2.Compose([*resize, {', '.join(changes)}, *normalise])")
    lines += ["", "", _reader(config), "", ""]
    share = config.validation_share
    if _has_test_set(config):
        lines += [
            f"order = torch.randperm(len(read(plain, train=True)), generator=torch.Generator().manual_seed({config.seed})).tolist()",
            f"held_back = round({share:g} * len(order))",
            f"train_set = Subset(read({training}, train=True), order[held_back:])",
            "validation_set = Subset(read(plain, train=True), order[:held_back])",
            "test_set = read(plain, train=False)",
        ]
    else:
        lines += [
            "order = torch.randperm(len(read(plain)), generator=torch.Generator().manual_seed(0)).tolist()",
            "tested = round(0.2 * len(order))",
            f"held_back = tested + round({share:g} * (len(order) - tested))",
            "test_set = Subset(read(plain), order[:tested])",
            "validation_set = Subset(read(plain), order[tested:held_back])",
            f"train_set = Subset(read({training}), order[held_back:])",
        ]
    lines.append(f"train = DataLoader(train_set, batch_size={config.batch_size}, shuffle=True)")
    return "\n".join(lines)


def _has_test_set(config: RunConfig) -> bool:
    return config.dataset not in ("digits", "shapes", "EuroSAT") and not config.dataset.startswith("folder:")


def _reader(config: RunConfig) -> str:
    """A function `read(transform, train=...)` that returns a Dataset."""
    name = config.dataset
    if name in ("digits", "shapes"):
        load = (
            """digits = load_digits()
        self.images = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8).unsqueeze(1)  # [N, 1, 8, 8]
        self.labels = digits.target.tolist()"""
            if name == "digits"
            else """shapes = draw_shapes(None, lambda text, share: None).train
        self.images = torch.from_numpy(shapes.images)  # uint8 [N, 3, 64, 64]
        self.labels = shapes.labels.tolist()"""
        )
        return f"""class {name.capitalize()}(Dataset):
    def __init__(self, transform):
        {load}
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), self.labels[index]


def read(transform):
    return {name.capitalize()}(transform)"""
    if name.startswith("folder:"):
        path = name.partition(":")[2]
        return f"def read(transform):\n    return datasets.ImageFolder({path!r}, transform=transform)"
    match name:
        case "EuroSAT":
            body = 'return datasets.EuroSAT("data", download=True, transform=transform)'
            return f"def read(transform):\n    {body}"
        case "SVHN" | "STL10":
            body = f'return datasets.{name}("data", split="train" if train else "test", download=True, transform=transform)'
        case "OxfordIIITPet":
            body = f'return datasets.{name}("data", split="trainval" if train else "test", download=True, transform=transform)'
        case "Flowers102":
            body = (
                'splits = ("train", "val") if train else ("test",)\n'
                '    parts = [datasets.Flowers102("data", split=split, download=True, transform=transform) for split in splits]\n'
                "    return torch.utils.data.ConcatDataset(parts)"
            )
        case _:
            body = f'return datasets.{name}("data", train=train, download=True, transform=transform)'
    return f"def read(transform, train):\n    {body}"


# Model


def _model(config: RunConfig, classes: int) -> str:
    lines = ["# Model"]
    if find_model(config.model).family.own:
        lines += [_own_source(config.model)]
    lines.append(_bare_model(config, classes))
    match config.starting_weights:
        case "random":
            pass
        case "pretrained":
            lines.append(f'weights = torchvision.models.get_model_weights("{config.model}").DEFAULT.get_state_dict(progress=True, check_hash=True)')
            lines += _load()
        case path if path.endswith(".safetensors"):
            lines.append(f"weights = load_file({path!r})")
            lines += _load()
        case path:
            lines.append(f"weights = torch.load({path!r}, weights_only=True)")
            lines += _load()
    lines.append("model = model.to(device)")
    return "\n".join(lines)


def _load() -> list[str]:
    return [
        "own = model.state_dict()",
        "# The head keeps its fresh weights where the file's is for another number of classes.",
        "model.load_state_dict({name: value for name, value in weights.items() if name in own and value.shape == own[name].shape}, strict=False)",
    ]


def _bare_model(config: RunConfig, classes: int) -> str:
    entry = find_model(config.model)
    if config.model == "mlp":
        return f"model = MLP({classes}, {config.image_size})"
    if entry.family.own:
        return f"model = SmallCNN({classes})"
    further = "".join(f", {name}={value!r}" for name, value in model_catalog.builder_arguments(entry, config.image_size).items())
    return f'model = torchvision.models.get_model("{config.model}", num_classes={classes}{further})'


def _own_source(model: str) -> str:
    """The class of one of our own models and what it uses, as it is written in `own_models.py`."""
    text = Path(__file__).with_name("own_models.py").read_text()
    wanted = {"mlp": ("MLP",), "small_cnn": ("_stage", "SmallCNN")}[model]
    found = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    source = "\n\n\n".join(ast.get_source_segment(text, found[name]) or "" for name in wanted)
    return f"\n\n{source.replace('Tensor', 'torch.Tensor')}\n\n"


# Freezing


def _freezing(layers: tuple[tuple[str, bool], ...]) -> str:
    frozen, learning = _cover(layers, True), _cover(layers, False)
    by_learning = len(learning) <= len(frozen)
    rule = f"""{"LEARNS" if by_learning else "FROZEN"} = {_tuple(learning if by_learning else frozen)}
for name, parameter in model.named_parameters():
    parameter.requires_grad_({"name.startswith(LEARNS)" if by_learning else "not name.startswith(FROZEN)"})"""
    return f"""# Freezing
{rule}


def train_mode():
    model.train()
    for module in model.modules():
        # Without this a frozen BatchNorm would still move its running statistics.
        if isinstance(module, nn.BatchNorm2d) and not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()
"""


def _cover(layers: tuple[tuple[str, bool], ...], frozen: bool) -> list[str]:
    """The fewest name beginnings that match all tensors in the state `frozen` and none in the other."""
    others = [name for name, state in layers if state != frozen]
    found: list[str] = []
    for name, state in layers:
        if state != frozen or name.startswith(tuple(found)):
            continue
        parts = name.split(".")
        beginnings = [".".join(parts[:depth]) + "." for depth in range(1, len(parts))] + [name]
        found.append(next(start for start in beginnings if not any(other.startswith(start) for other in others) or start == name))
    return found


def _tuple(names: list[str]) -> str:
    return "(" + ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "") + ")"


# Loss, optimizer, schedule


def _learning(config: RunConfig, classes: int) -> str:
    settings = optimizer_catalog.settings(config)
    entry = optimizer_catalog.OPTIMIZERS[config.optimizer]
    usual = {option.name: tuple(option.default) if isinstance(option.default, list) else option.default for option in entry.options}
    given = {name: value for name, value in settings.items() if name not in usual or usual[name] != value}
    lines = [
        "# Loss and optimizer",
        *_loss(config, classes),
        "parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]",
        f"optimizer = torch.optim.{config.optimizer}(parameters, {_arguments(given)})",
    ]
    return "\n".join([*lines, *_schedule(config)])


def _loss(config: RunConfig, classes: int) -> list[str]:
    name = config.loss
    options = _arguments(config.loss_options)
    body: list[str]
    match name:
        case "CrossEntropyLoss" | "MultiMarginLoss":
            return [f"loss_of = nn.{name}({options})"]
        case "NLLLoss":
            body = ["return F.nll_loss(F.log_softmax(logits, dim=1), labels)"]
        case "KLDivLoss":
            smoothing = config.loss_options.get("label_smoothing", 0.1)
            body = [
                f"targets = F.one_hot(labels, {classes}) * (1 - {smoothing}) + {smoothing} / {classes}",
                'return F.kl_div(F.log_softmax(logits, dim=1), targets, reduction="batchmean")',
            ]
        case "SoftMarginLoss":
            body = [f"return F.soft_margin_loss(logits, 2.0 * F.one_hot(labels, {classes}) - 1)"]
        case _:
            body = [f"return nn.{name}({options})(logits, F.one_hot(labels, {classes}).to(logits.dtype))"]
    return ["", "", "def loss_of(logits, labels):", *(f"    {line}" for line in body), "", ""]


def _schedule(config: RunConfig) -> list[str]:
    """The lines that make `schedule`, which counts in steps; none where the learning rate stays as it is."""
    if config.schedule == "constant":
        return []
    entry = schedule_catalog.SCHEDULES[config.schedule]
    values: dict[str, str] = {}
    for option in entry.options:
        value = config.schedule_options.get(option.name, option.default)
        if option.unit == "epochs":
            values[option.name] = _steps(option.name, value)
        elif value is not None:
            values[option.name] = repr(value)
    lines = [f"steps, total = len(train), {config.epochs} * len(train)"]
    name = config.schedule
    match name:
        case "WarmupCosine":
            return [
                *lines,
                f"warmup = {values['warmup']}",
                f"rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor={values['start_factor']}, total_iters=warmup)",
                f"fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, total - warmup), eta_min={values['eta_min']})",
                "schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[warmup])",
            ]
        case "OneCycleLR":
            values = {"max_lr": repr(config.learning_rate), "total_steps": "total", **values}
        case "CyclicLR":
            values = {"base_lr": f"{config.learning_rate / 10:g}", "max_lr": repr(config.learning_rate), **values}
        case "ExponentialLR":
            values["gamma"] += " ** (1 / steps)"
    if "cycle_momentum" in {option.name for option in entry.options} and "cycle_momentum" not in values:
        values["cycle_momentum"] = repr(schedule_catalog.cycles_momentum(None, config))
    arguments = ", ".join(f"{key}={value}" for key, value in values.items())
    return [*lines, f"schedule = torch.optim.lr_scheduler.{name}(optimizer, {arguments})"]


_SHARES: Mapping[str, str] = {"T_max": "1", "step_size": "1 / 3", "T_0": "1 / 4", "warmup": "0.1", "step_size_up": "0.1", "step_size_down": "0.1"}
"""Length of a schedule's part as a share of the run, where the option is left empty."""


def _steps(option: str, epochs: Any) -> str:
    """An option in epochs as an expression in steps."""
    if option == "milestones":
        return f"[round(epoch * steps) for epoch in {epochs!r}]" if epochs else "[total // 2, total * 3 // 4]"
    if epochs is not None:
        return f"max(1, round({epochs:g} * steps))"
    share = _SHARES.get(option, "0.1")
    return "total" if share == "1" else f"max(1, round(total * {share}))"


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in values.items())


# The loop


def _loop(config: RunConfig, any_frozen: bool) -> str:
    entry = find_model(config.model)
    auxiliary = bool(entry.family.auxiliary)
    mixed = config.precision != "float32"
    half = config.precision == "float16"
    autocast = f"with torch.autocast(device.type, dtype=torch.{config.precision}):"
    lines = ["# Training"]
    if half:
        lines.append("scaler = torch.amp.GradScaler(device.type)  # float16 gradients underflow to zero: the loss is scaled up")
    lines += [
        "",
        "",
        "@torch.inference_mode()",
        "def evaluate(dataset):",
        '    """Mean loss and the share of right answers."""',
        "    model.eval()",
        "    loss, right = 0.0, 0",
        f"    for images, labels in DataLoader(dataset, batch_size={config.batch_size}):",
        "        images, labels = images.to(device), labels.to(device)",
        *([f"        {autocast}", "            logits = model(images)"] if mixed else ["        logits = model(images)"]),
        f"        loss += loss_of(logits{'.float()' if mixed else ''}, labels).item() * len(labels)",
        "        right += (logits.argmax(dim=1) == labels).sum().item()",
        "    return loss / len(dataset), right / len(dataset)",
        "",
        "",
    ]
    if config.early_stopping:
        lines.append('lowest, epochs_since, best = float("inf"), 0, copy.deepcopy(model.state_dict())')
    lines += [
        f"for epoch in range({config.epochs}):",
        f"    {'train_mode()' if any_frozen else 'model.train()'}",
        "    for images, labels in train:",
        "        images, labels = images.to(device), labels.to(device)",
    ]
    indent = "        "
    if mixed:
        lines.append(f"        {autocast}")
        indent += "    "
    lines += [f"{indent}output = model(images)", *(f"{indent}{line}" for line in _loss_lines(config.model, auxiliary, mixed))]
    if half:
        lines += ["        scaler.scale(loss).backward()", "        scaler.step(optimizer)", "        scaler.update()"]
    else:
        lines += ["        loss.backward()", "        optimizer.step()"]
    lines.append("        optimizer.zero_grad()")
    if config.schedule != "constant":
        lines.append("        schedule.step()")
    if config.validation_share > 0:
        lines += [
            "    validation_loss, validation_accuracy = evaluate(validation_set)",
            '    print(f"epoch {epoch + 1}: validation loss {validation_loss:.4f}, accuracy {validation_accuracy:.1%}")',
        ]
    else:
        lines.append('    print(f"epoch {epoch + 1}: loss of the last step {loss.item():.4f}")')
    if config.early_stopping:
        lines += [
            "    epochs_since += 1",
            "    if validation_loss < lowest:",
            "        lowest, epochs_since, best = validation_loss, 0, copy.deepcopy(model.state_dict())",
            f"    if epochs_since >= {config.early_stopping}:",
            "        break",
            "model.load_state_dict(best)",
        ]
    lines += [
        "",
        "test_loss, test_accuracy = evaluate(test_set)",
        'print(f"test loss {test_loss:.4f}, accuracy {test_accuracy:.1%}")',
        'torch.save(model.state_dict(), "weights.pth")',
    ]
    return "\n".join(lines)


def _loss_lines(model: str, auxiliary: bool, mixed: bool) -> list[str]:
    wide = ".float()" if mixed else ""
    if not auxiliary:
        return [f"loss = loss_of(output{wide}, labels)"]
    if model == "inception_v3":
        return [f"loss = loss_of(output.logits{wide}, labels) + 0.4 * loss_of(output.aux_logits{wide}, labels)"]
    return [
        f"loss = loss_of(output.logits{wide}, labels)",
        f"loss = loss + 0.3 * (loss_of(output.aux_logits1{wide}, labels) + loss_of(output.aux_logits2{wide}, labels))",
    ]
