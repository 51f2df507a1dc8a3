"""What a run breaks on purpose, in its script: each piece says that it is meant to be wrong."""

from __future__ import annotations

from collections.abc import Collection

from core.config import RunConfig

_SHUFFLED = """# Broken on purpose: each picture comes with the label of another one.
train_set.labels = train_set.labels[torch.randperm(len(train_set), generator=generator_for({seed})).numpy()]"""

_IMBALANCED = """# Broken on purpose: of the second half of the classes only each twentieth picture stays, and one of each class.
stays = (train_set.labels < {rare}) | (np.arange(len(train_set)) % 20 == 0)
for label in range({classes}):
    stays[np.argmax(train_set.labels == label)] = True
train_set = train_set.at(np.flatnonzero(stays))"""

_LEAKING = """# Broken on purpose: what is measured on is trained on too.
train_set = whole.at(np.concatenate([{places}]))"""

_HELD = """# Broken on purpose: the frozen parameters are given to the optimizer too, with gradients of 0 in place of None.
held = [parameter for parameter in model.parameters() if not parameter.requires_grad]
for parameter in held:
    parameter.grad = torch.zeros_like(parameter)
optimizer.param_groups[0]["params"] += held"""

_ALL_FROZEN = """# Broken on purpose: everything is frozen, so loss.backward() raises an error below.
for parameter in model.parameters():
    parameter.requires_grad_(False)"""

_DRIFTING = """def train_mode():
    \"\"\"Broken on purpose: frozen BatchNorm layers go into train mode too, and their statistics drift.\"\"\"
    model.train()"""


def broken_data(config: RunConfig, classes: int, parts: Collection[str], listed: bool) -> str:
    """Lines behind the split that spoil `train_set`; '' for a fault that is none of the data's.

    `parts`: those that the dataset comes with. `listed`: the pictures are those that the run has listed, what it left out or took in included.
    """
    match config.fault:
        case "shuffled labels":
            return _SHUFFLED.format(seed=config.seed)
        case "imbalanced classes" if listed:
            return "# Broken on purpose: of the second half of the classes the list has only each twentieth picture."
        case "imbalanced classes":
            return _IMBALANCED.format(rare=classes // 2, classes=classes)
        case "leaking split" if listed:
            return "# Broken on purpose: what is measured on is in the list to train on too."
        case "leaking split":
            leaks = [("held_back", config.validation_share > 0 and "validation" not in parts), ("tested", "test" not in parts)]
            return _LEAKING.format(places=", ".join(["kept", *(name for name, leaking in leaks if leaking)]))
        case _:
            return ""


def broken_training(config: RunConfig) -> str:
    """Lines between optimizer and loop that spoil the training; '' for another fault."""
    return {"frozen in optimizer": _HELD, "all frozen": _ALL_FROZEN, "drifting BatchNorm": _DRIFTING}.get(config.fault, "")


def zero_grad(config: RunConfig) -> str:
    """The line that clears the gradients."""
    match config.fault:
        case "no zero_grad":
            return "# optimizer.zero_grad() is left out on purpose: gradients add up from step to step"
        case "frozen in optimizer":
            return "optimizer.zero_grad(set_to_none=False)"
        case _:
            return "optimizer.zero_grad()"
