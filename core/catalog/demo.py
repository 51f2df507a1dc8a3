"""The demo: a true fine-tune that needs no network and takes less than a minute, the same from random weights beside it, and a large model. No torch.

The settings were chosen so that each thaw is seen on the curve. Validation accuracy in percent after 4 epochs (head alone), 7 (the last stage too)
and 10 (all of it), on one thread, seeds 0 to 4:

    trained weights  75.5 98.6 97.9 | 79.0 96.5 97.9 | 84.6 94.4 98.6 | 76.9 97.9 97.2 | 80.4 95.8 96.5
    random weights   23.8 86.7 97.2 | 20.3 87.4 97.2 | 27.3 76.9 98.6 | 20.3 85.3 86.0 | 20.3 67.8 94.4
"""

from __future__ import annotations

from collections.abc import Sequence

from core.config import RunConfig

LAST_STAGE, EVERYTHING = 5, 8
"""The first epochs in which the last stage, and all the rest, learn too. Before, the head learns alone."""

DEMO = RunConfig(
    dataset="digits_5_9",
    model="small_cnn",
    starting_weights="pretrained",
    image_size=32,
    freeze="head only",
    timeline=f"{LAST_STAGE}: !stage3; {EVERYTHING}: train everything",
    learning_rate_multipliers="stem=0.1, body=0.1",
    optimizer="SGD",
    learning_rate=0.03,
    momentum=0.9,
    epochs=10,
    seed=1,
)
"""small_cnn, which knows the digits 0 to 4 from the weights that ship with it, learns 5 to 9."""

DEMO_AT_RANDOM = DEMO.replace(starting_weights="random")
"""The same model, pictures and plan, with no knowledge to begin with: what the frozen layers give the head is of random weights."""

DEMO_LARGE = RunConfig(dataset="digits", model="resnet18", freeze="head only", image_size=64, learning_rate=0.01, epochs=5)
"""The head of a large model at random: it takes longer, has more layers to look at, and shows what freezing random layers comes to."""

ABOUT = (
    "The demo fine-tunes a small network that knows the digits 0 to 4 on the digits 5 to 9: its new head alone first, the last stage from epoch "
    f"{LAST_STAGE}, all of it from epoch {EVERYTHING}. It takes less than a minute, and no network: the weights ship with Thaw."
)

HELPS = 0.1
"""So much more of the validation pictures right, as a share, that one speaks of help: two seeds differ by less."""


def compared(trained: Sequence[float], random: Sequence[float]) -> str:
    """What the validation accuracies of the two, shares from 0 to 1 an epoch, came to: in the numbers of these runs."""
    alone, whole = LAST_STAGE - 2, DEMO.epochs - 1
    head = f"With the head alone (epoch {alone + 1}), {_percent(trained[alone])} of the validation pictures are right from trained weights"
    end = f"After epoch {whole + 1}, when all had learned, it is {_percent(trained[whole])} and {_percent(random[whole])}."
    said = f"{head} and {_percent(random[alone])} from random ones. {end}"
    if trained[alone] - random[alone] < HELPS:
        return said
    return f"{said} A new head can only use what the frozen layers give it: layers that had learned other digits gave it more than random ones."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
