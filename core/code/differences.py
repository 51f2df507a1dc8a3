"""In what a script differs from the run that it was made from. Where nothing is said, it ends with the same weights, bit for bit."""

from __future__ import annotations

from core.code.recorded import Recorded
from core.config import RunConfig
from core.config.devices import shared
from core.data.augmentations import find_augmentation
from core.data.datasets import folder_of
from core.records.events import RunStatus
from core.store import Run

ABOUT = "A script of its own for the same model, data and settings: it needs nothing of Thaw."

SAME = "With the same versions of PyTorch, torchvision and Pillow, processor and number of threads, it ends with the same weights, bit for bit."

DEEP = (
    "Only pictures with more than 8 bits a channel come out otherwise: a run finds their range when it starts, which its own script knows; "
    "this one takes the usual range of each picture."
)

GROWS = "The last digits of a step differ, and over a run that can grow."

ON_A_GPU = "On a GPU the last digits of a step may differ, and over a run that can grow, where PyTorch has no way to compute that is always the same."


def about(config: RunConfig, recorded: Recorded) -> tuple[str, ...]:
    """What a screen says of the script: what it is, and in what it differs, or that it does not."""
    gpu = () if config.device == "cpu" else (ON_A_GPU,)
    deep = (DEEP,) if folder_of(config.dataset) is not None and recorded.pictures is None else ()
    return (ABOUT, *(differences(config, recorded) or (SAME,)), *deep, *gpu)


def about_run(run: Run, recorded: Recorded) -> tuple[str, ...]:
    """What is to be said besides of the script of a run: how the run ended, and what it has not recorded."""
    lines = list(about_branch(run))
    if recorded.stopped_after is not None:
        lines.append(f"It stops after step {recorded.stopped_after:,}, as the run was stopped there.")
    elif run.status.active:
        lines.append("The run goes on: what is changed from now on is not in the script yet.")
    elif run.status != RunStatus.FINISHED:
        lines.append(f"The run ended at step {run.step:,}, before its end; the script goes on to the last epoch.")
    return (*lines, *about_test_set(run, recorded))


def about_branch(run: Run) -> tuple[str, ...]:
    """What the script of a branch cannot do: another optimizer or other pictures before the step at which it branched off."""
    fork = run.fork
    if fork is None or not (fork.optimizer_anew or fork.data_anew):
        return ()
    what = " and ".join(each for each, is_so in (("another optimizer", fork.optimizer_anew), ("other pictures", fork.data_anew)) if is_so)
    return (
        f"The run is a branch of {fork.parent}, which had {what} up to step {fork.step:,}. The script has those of the branch from its first "
        "step on, so it is another training.",
    )


def about_test_set(run: Run, recorded: Recorded) -> tuple[str, ...]:
    """That a run has not recorded which pictures are its own, if that matters."""
    unlisted = folder_of(run.config.dataset) is not None and recorded.pictures is None
    return ("The run kept no list of its pictures: the script reads the folder as it is now.",) if unlisted else ()


def differences(config: RunConfig, recorded: Recorded) -> tuple[str, ...]:
    """A sentence for each thing that the script of `config` does in another way than its run; () where nothing is."""
    frozen = config.freeze.rules not in ((), ("train everything",)) or bool(config.timeline.changes)
    found = {
        "Not in this script: the precision, layout and further ways to compute that a run with speed automatic measures and chooses. "
        "What they round, it does not.": config.speed == "automatic",
        f"Not in this script: frozen BatchNorm folded into the convolution before it. {GROWS}": config.fold_norms,
        f"Not in this script: weight gradients of convolutions on small maps as one matrix product. {GROWS}": config.im2col_gradients,
        "The script shares steps through DistributedDataParallel, the run through sums of its own, and sums of float32 in another order differ. "
        + GROWS: shared(config),
        "The run compiles only what is computed anew in each step, the script the whole model. " + GROWS: config.compile_model,
        "The run keeps 3 to 4 digits of what frozen layers give (float16), the script all of them, and over a run that "
        "difference can grow.": config.feature_cache == "float16" and frozen,
        **_of_pictures(config, recorded),
    }
    return tuple(sentence for sentence, holds in found.items() if holds)


def _of_pictures(config: RunConfig, recorded: Recorded) -> dict[str, bool]:
    listed = recorded.pictures is not None
    given = config.starting_weights not in ("random", "pretrained")
    left_out = listed and config.doubles == "leave out"
    fewer = listed and (left_out or config.fault == "imbalanced classes")
    views = find_augmentation(config.augmentation).changes and config.fixed_views is not None
    return {
        "A run that starts from the weights of another run keeps that one's test pictures out of training; this script does not know them.": given
        and not listed,
        "The list of pictures has none of those that were left out, so the random pictures of fixed views are others.": fewer and views,
        "The list of pictures has none of the doubles that were left out, so the labels are shuffled in another way.": left_out
        and config.fault == "shuffled labels",
    }
