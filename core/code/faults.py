"""What a run breaks on purpose, in its script: each piece says that it is meant to be wrong."""

from __future__ import annotations

from core.config import RunConfig

_SHUFFLED = """class ShuffledLabels(Dataset):
    \"\"\"Broken on purpose: each picture comes with the label of another one.\"\"\"

    def __init__(self, dataset):
        self.dataset = dataset
        self.other = torch.randperm(len(dataset)).tolist()

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index][0], self.dataset[self.other[index]][1]


train_set = ShuffledLabels(train_set)"""

_IMBALANCED = """# Broken on purpose: of the second half of the classes only each twentieth picture stays.
labels_of = [label for _, label in train_set]
rare = (max(labels_of) + 1) // 2
train_set = Subset(train_set, [place for place, label in enumerate(labels_of) if label < rare or place % 20 == 0])"""

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


def broken_data(config: RunConfig) -> str:
    """Lines behind the split that spoil `train_set`; '' for a fault that is none of the data's."""
    match config.fault:
        case "shuffled labels":
            return _SHUFFLED
        case "imbalanced classes":
            return _IMBALANCED
        case "leaking split" if config.doubles == "leave out":
            return "# Broken on purpose: what is measured on would be trained on too, if it were not left out above."
        case "leaking split":
            sets = "train_set, validation_set, test_set" if config.validation_share > 0 else "train_set, test_set"
            return f"# Broken on purpose: what is measured on is trained on too.\ntrain_set = torch.utils.data.ConcatDataset([{sets}])"
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
