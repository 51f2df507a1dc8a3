"""Where a run branched off from another one, and what it does otherwise from there on: plain data. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fork:
    """The beginning of a branch.

    Args:
        parent: id of the run that it branched off from, which may have been deleted since.
        asked: the step that a person asked for.
        step: the step behind which the branch really begins, that of the checkpoint: `asked` or earlier.
        epochs: whole epochs of the parent that lie before it.
        changed: what is another than in the parent, as (field, what it was, what it is), in the order of a config's fields.
        optimizer_anew: the optimizer is another, so it begins without what the parent's knew of each weight.
        data_anew: the pictures or their order are others, so the branch begins with a whole epoch of its own.
    """

    parent: str
    asked: int
    step: int
    epochs: int = 0
    changed: tuple[tuple[str, str, str], ...] = ()
    optimizer_anew: bool = False
    data_anew: bool = False


def begins(fork: Fork) -> str:
    """Where a branch begins, without its parent's name: 'behind step 120, the nearest checkpoint before step 130, which was asked for'."""
    if fork.step == fork.asked:
        return f"behind step {fork.step:,}"
    return f"behind step {fork.step:,}, the nearest checkpoint before step {fork.asked:,}, which was asked for"


def differs(fork: Fork) -> str:
    """What a branch does otherwise, in words; that it does the same where nothing was changed."""
    if not fork.changed:
        return "nothing was changed: it does the same as its parent, to the bit"
    return "; ".join(f"{field}: {before} before, {after} from there on" for field, before, after in fork.changed)


def told(fork: Fork) -> tuple[str, ...]:
    """All that is to be said of how a branch begins, in sentences without a full stop."""
    lines = [f"branched off from {fork.parent} {begins(fork)}", differs(fork)]
    if fork.optimizer_anew:
        lines.append("the optimizer begins anew: what the parent's had gathered for each weight (momentum, mean squares) is not taken along")
    if fork.data_anew:
        lines.append("the pictures are others from there on: the branch begins with a whole epoch of its own, in the order that its seed gives it")
    return tuple(lines)
