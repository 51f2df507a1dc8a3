"""Break it on purpose: small real runs on handwritten digits, each with a known failure that the doctor must find. No torch.

A run takes a few seconds on one core. On the screen they are lessons, and they are the tests of `core.doctor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from core import catalog
from core.config import ConfigError, RunConfig
from core.config.entry import suggest


@dataclass(frozen=True)
class Preset:
    """A run that goes wrong.

    `what` says what is broken, `watch_for` what to look at while it runs. `findings` are the doctor's rules that must find it.
    """

    name: str
    label: str
    what: str
    watch_for: str
    findings: tuple[str, ...]
    config: RunConfig


def _run(model: str, **changes: Any) -> RunConfig:
    """A run on digits of 8 pixels, over in a second or two and watched as closely as can be: that is what it is there for."""
    return RunConfig(
        **{"dataset": "digits", "image_size": 8, "model": model, "epochs": 5, "threads": 1, "watch_every": 5, "watch_budget": 1.0, **changes}
    )


def _stack(label: str, *layers: str, times: int = 1) -> str:
    return f"{label}: flatten, {', '.join(layers * times)}"


_RELU = _stack("relu-net", "linear 64", "relu", times=2)

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "learning-rate-too-high", "Learning rate too high",
            "SGD with momentum at a learning rate of 1, a hundred times the usual: each update overshoots.",
            "The loss jumps far above its first value, and at the first look the update ratio of every layer lies far above 0.001.",
            ("learning rate too high",),
            _run(_stack("tanh-net", "linear 64", "tanh", times=2), optimizer="SGD", learning_rate=1.0, momentum=0.9),
        ),
        Preset(
            "no-zero-grad", "No zero_grad",
            "optimizer.zero_grad() is never called: each backward pass adds to the gradients of all steps before it.",
            "The gradient norms grow to a hundred times the first and more; the loss falls, rises and falls again, like with far too much momentum.",
            ("gradients add up",),
            _run(_RELU, fault="no zero_grad"),
        ),
        Preset(
            "all-frozen", "Everything frozen",
            "Every parameter is frozen, the head too, so autograd has nothing to write down in the forward pass.",
            "The run fails in its first step: loss.backward() finds no grad_fn. The error is PyTorch's own.",
            ("nothing learns",),
            _run(_RELU, fault="all frozen"),
        ),
        Preset(
            "batchnorm-drifting", "BatchNorm drifting",
            "The convolutions are frozen, but model.train() has put their BatchNorm layers back into train mode.",
            "The freeze audit: weights verified, statistics drifting. What the frozen part gives for a picture changes from step to step.",
            ("BatchNorm mode",),
            _run("small_cnn", freeze="head only", fault="drifting BatchNorm", epochs=3),
        ),
        Preset(
            "vanishing-gradients", "Vanishing gradients",
            "Eight layers with sigmoids between them: each passes on at most a quarter of a gradient.",
            "The gradient norms in the waterfall: each layer nearer to the picture is fainter than the next, and the first ones are dark.",
            ("vanishing gradients",),
            _run(_stack("deep-sigmoid", "linear 32", "sigmoid", times=8), epochs=5),
        ),
        Preset(
            "dead-relus", "Dead ReLUs",
            "A few updates that are far too long leave weights with which the ReLUs of the first layer give 0 for every picture: no gradient passes "
            "them any more.",
            "Gradient norms of exactly 0 from one step on, in all but the last bias, while the loss wanders a little above that of guessing.",
            ("dead units",),
            _run(_stack("relu-net", "linear 64", "relu", times=3), optimizer="SGD", learning_rate=1.0, momentum=0.9, epochs=5),
        ),
        Preset(
            "shuffled-labels", "Shuffled labels",
            "The labels of the training pictures are shuffled: nothing about a picture says what its label is.",
            "The training accuracy climbs, since a network can learn pictures by heart; the validation accuracy stays at that of guessing.",
            ("no better than chance",),
            _run("wide-net: flatten, linear 256, norm, relu", fault="shuffled labels", learning_rate=0.01, epochs=10),
        ),
        Preset(
            "not-a-number", "Not a number",
            "SGD at a learning rate of 0.3 with momentum, in a network that limits nothing: the numbers outgrow float32.",
            "After some twenty steps the loss grows faster and faster, until it is no number any more, and all weights with it.",
            ("not a number",),
            _run(_stack("leaky-net", "linear 64", "leaky relu", times=2), optimizer="SGD", learning_rate=0.3, momentum=0.9, epochs=4),
        ),
        Preset(
            "exploding-gradients", "Exploding gradients",
            "Six linear layers without normalisation at a learning rate of 0.3: each layer multiplies what the next one sends back.",
            "The gradient norms of all weights: hundreds to thousands of times those of the first step.",
            ("exploding gradients",),
            _run(_stack("deep-net", "linear 64", "leaky relu", times=6), learning_rate=0.3, epochs=5),
        ),
        Preset(
            "learning-rate-too-low", "Learning rate too low",
            "SGD at a learning rate of 0.000001.",
            "A loss that stays where it began, and update ratios of a few millionths at most.",
            ("learning rate too low",),
            _run(_RELU, optimizer="SGD", learning_rate=1e-6, epochs=5),
        ),
        Preset(
            "rate-raised", "Rate raised while it trains",
            "A run that goes well until its timeline raises the learning rate from 0.001 to 0.1 at epoch 5.",
            "The loss jumps at the step of the change and stays up; the accuracies of the epochs after it lie below those before.",
            ("worse since a change",),
            _run(_RELU, timeline="5: learning_rate=0.1", epochs=8),
        ),
        Preset(
            "frozen-random", "Frozen random layers",
            "The body is frozen with the random weights that it began with; only the head learns.",
            "Before the first step: the freeze plan says head only, and the starting weights are random.",
            ("frozen at random",),
            _run("small_cnn", freeze="head only", epochs=3),
        ),
        Preset(
            "loss-blown-up", "Loss blown up, still at chance",
            "Four linear layers without normalisation at a learning rate of 1, for four epochs of five steps: too short for a rule that waits.",
            "A loss of many digits, where guessing has 2.3, and an accuracy that stays at that of guessing.",
            ("learning rate too high",),
            _run(_stack("deep-net", "linear 64", "leaky relu", times=4), optimizer="AdamW", learning_rate=1.0, batch_size=256, epochs=4),
        ),
        Preset(
            "overfitting", "Overfitting",
            "A wide network and 143 training pictures: the rest is held back.",
            "The training loss goes to 0, while the validation loss turns and rises.",
            ("overfitting",),
            _run(_stack("wide-net", "linear 256", "relu", times=2), validation_share=0.9, batch_size=72, learning_rate=0.01, epochs=40),
        ),
        Preset(
            "plateau", "Plateau",
            "Everything goes through two numbers, at a learning rate at which they jump: after a few epochs nothing gets better any more.",
            "A flat training loss, epoch after epoch, far from 0.",
            ("plateau",),
            _run(_stack("narrow-net", "linear 2", "tanh"), learning_rate=0.1, epochs=14),
        ),
        Preset(
            "leaking-split", "Leaking split",
            "The validation and test pictures are in the training set too.",
            "Validation that looks better than it is: nothing in the curves shows it, only the pictures themselves.",
            ("leakage",),
            _run(_RELU, fault="leaking split", epochs=4),
        ),
        Preset(
            "imbalanced-classes", "Uneven classes",
            "Half of the digits have lost all but a twentieth of their training pictures.",
            "A good training accuracy beside a bad validation accuracy: the rare digits are taken for frequent ones.",
            ("class imbalance",),
            _run(_RELU, fault="imbalanced classes", epochs=4),
        ),
        Preset(
            "frozen-in-optimizer", "Frozen, but in the optimizer",
            "The frozen layers stay in the optimizer, with gradients of 0 in place of None: weight decay goes on pulling at them.",
            "The freeze audit: frozen values that have changed.",
            ("frozen in optimizer",),
            _run("small_cnn", freeze="head only", fault="frozen in optimizer", weight_decay=0.1, epochs=3),
        ),
        Preset(
            "batch-too-small", "Batch too small for BatchNorm",
            "BatchNorm works out mean and variance from two pictures at a time.",
            "A jumping training loss, and a validation accuracy far from the training accuracy.",
            ("small batch",),
            _run(_stack("norm-net", "linear 32", "norm", "relu"), batch_size=2, validation_share=0.9, epochs=3),
        ),
        Preset(
            "weight-decay", "Too much weight decay",
            "A weight decay of 3 at a learning rate of 0.01: every step takes 3 % off everything, biases too.",
            "Weights and biases that shrink while they learn; a loss that stops falling early.",
            ("weight decay",),
            _run(_RELU, weight_decay=3.0, learning_rate=0.01, epochs=4),
        ),
        Preset(
            "slow-data", "Data slower than the model",
            "Large pictures with a costly random change to each, and a model that needs next to nothing.",
            "Where the time of a step goes: most of it is reading the batch.",
            ("slow data",),
            _run(
                "quick-net: average pool 8, flatten, linear 16, relu", image_size=224, augmentation="trivial augment", epochs=1,
            ),
        ),
    )
}  # fmt: skip
"""What can be broken with one click, by name."""


def find_preset(name: str) -> Preset:
    """The preset of this name, or of this label.

    Raises:
        ConfigError: on `fault`, naming the closest ones.
    """
    wanted = name.strip().casefold().replace("_", "-").replace(" ", "-")
    found = PRESETS.get(wanted) or next((preset for preset in PRESETS.values() if preset.label.casefold().replace(" ", "-") == wanted), None)
    if found is None:
        raise ConfigError("fault", f"there is no preset {name!r}; {suggest(PRESETS, name)}")
    return found


def preset_of(config: RunConfig) -> Preset | None:
    """The preset that a run was started from, its settings unchanged; None for any other run."""
    return _by_config().get(config.to_json())


@cache
def _by_config() -> Mapping[str, Preset]:
    # A run keeps its settings in canonical spelling.
    return {catalog.check(preset.config).to_json(): preset for preset in PRESETS.values()}
