"""What the freeze audit found out, in words: for the run's page and for reports. Pure: data in, sentences out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from core.records.events import AuditReport, AuditRow, Verdict


@dataclass(frozen=True)
class Fault:
    """What a verdict that is no good one means. `short` is for counts."""

    short: str
    what: str
    why: str


FAULTS: dict[Verdict, Fault] = {
    Verdict.LEAKING: Fault(
        "leaking",
        "frozen, but the values changed",
        "Something still writes to these weights. An optimizer does where it holds them and a .grad is there: with momentum or weight decay one of "
        "zeros is enough, without a .grad it leaves them alone. Code of its own may, too.",
    ),
    Verdict.DRIFTING: Fault(
        "drifting",
        "frozen weights, but the statistics drift",
        "The weights rest, but running mean and variance of their normalisation layers went on moving: a layer in train mode updates them with "
        "every batch, whether it learns or not.",
    ),
    Verdict.NO_OPTIMIZER: Fault(
        "in no optimizer",
        "trainable, but in no optimizer",
        "Gradients are computed for these tensors and add up from step to step, but no update uses them: they do not learn. Where gradients are "
        "clipped they count all the same, and make the updates of the others smaller.",
    ),
    Verdict.IDLE: Fault(
        "idle",
        "trainable, but idle",
        "At no look had these tensors a gradient, or only one that was zero everywhere: they learn nothing. With a gradient of zeros the optimizer "
        "keeps memory for them all the same, and weight decay shrinks them.",
    ),
}

VERIFIED, WAITING, LEARNING = "frozen and verified", "frozen, waiting for a first comparison", "learning"


def headline(report: AuditReport, step: int = 0) -> str:
    """The proof in one line: '0 of 11,176,512 frozen values changed, complete, after step 480 · 60 frozen and verified, 2 learning'.

    `step` is where the run is: a look that is older says so. Where several devices share the run, what they found when they compared follows.
    """
    counts = Counter(in_short(row) for row in report.rows)
    order = [*(fault.short for fault in FAULTS.values()), VERIFIED, WAITING, LEARNING]
    verdicts = ", ".join(f"{counts[name]:,} {name}" for name in order if counts[name])
    when = f"complete, after step {report.step:,}" if report.complete else f"so far, after step {report.step:,}"
    if step > report.step and not report.complete:
        when += f" of {step:,} (the next look follows)"
    verdicts += f" · {report.across}" if report.across else ""
    if not report.frozen_values:
        return f"nothing is frozen ({when}) · {verdicts}"
    return f"{report.values_changed:,} of {report.frozen_values:,} frozen values changed, {when} · {verdicts}"


def in_short(row: AuditRow) -> str:
    """The verdict on a tensor in a few words."""
    match row.verdict:
        case Verdict.LEARNING:
            return LEARNING
        case Verdict.VERIFIED:
            return WAITING if row.moved is None and row.count else VERIFIED
        case fault:
            return FAULTS[fault].short


def about(report: AuditReport) -> str:
    """What was looked at, and how sure that is."""
    found = (
        "Looked up in the model and its optimizer, never taken from the plan. "
        "A digest (SHA-256) of each tensor when it was frozen is compared with one of now: "
    )
    if report.complete:
        return found + "equal digests, equal values, bit for bit. Every tensor was compared at the end of the run."
    waiting = sum(1 for row in report.rows if row.moved is None and row.count)
    left = f"; {waiting:,} tensors wait for their first turn" if waiting else ""
    return found + f"a few tensors at each look, in turn{left}. At the end of the run all of them are compared."
