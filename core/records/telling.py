"""What is told of a run's engine in plain words, the same on a screen and in a terminal. Pure: data in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.records.events import Reuse, Stage, ThreadsUsed
from core.records.profile import BlockTime, Memory, Profile

STAGES: dict[Stage, str] = {
    "data": "reading the batch",
    "static prefix": "frozen layers, or fetching what was kept of them",
    "forward": "the forward pass and the loss",
    "backward": "the backward pass",
    "optimizer": "the update of the weights",
    "watching": "measuring gradient norms and weight changes",
    "recording": "recording steps and obeying commands",
    "waiting": "waiting until the device is done",
}
"""What each stage of a step is, in the order in which they come."""

STANDS_OUT = 0.15
"""Share of a step from which on one part of it is the most important thing to say."""


@dataclass(frozen=True)
class Part:
    """A part of a step, `what` in words, and its seconds."""

    what: str
    seconds: float


def size(number: float) -> str:
    """Bytes as '380 kB', '4.7 MB' or '23.5 GB'."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number / 1e3:,.0f} kB" if number >= 1000 or number == 0 else f"{number:,.0f} bytes"


def digits(value: float, most: int) -> str:
    """`value` in `most` significant digits, written out up to a million: '0.034', '13', '100', '1,500'. Python's own `g` makes 1e+02 of 99.7."""
    return f"{float(f'{value:.{most}g}'):,.12g}" if abs(value) < 1e6 else f"{value:.{most}g}"


def duration(seconds: float) -> str:
    """Seconds as '0.4 s', '41 s', '3 min 20 s' or '2 h 5 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def about_time(seconds: float) -> str:
    """An estimate, no more exact than it is: 'a few seconds', 'about 40 s', 'about 1 minute', 'about 2.5 hours', 'about 3 days'."""
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 52.5:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 90:
        return "about 1 minute"
    if seconds < 90 * 60:
        minutes = round(seconds / 60)
        return f"about {minutes if minutes < 10 else 5 * round(minutes / 5)} minutes"
    hours = seconds / 3600
    return f"about {digits(hours, 2)} hours" if hours < 48 else f"about {round(hours / 24):,} days"


def first_line(error: BaseException) -> str:
    """What went wrong, short enough for a table."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


# What counts in the loss


def class_weights_in_words(classes: Sequence[str], weights: Sequence[float]) -> str:
    """What class weights do to the figures of a run, with the least and the most that a picture counts."""
    least, most = min(weights), max(weights)
    between = f"{least:.3g} ({classes[weights.index(least)]}) to {most:.3g} ({classes[weights.index(most)]})"
    return f"Class weights: in the training, validation and test loss a picture counts {between}. Accuracies count every picture the same."


# What is kept of frozen layers


def reuse_headline(reuse: Reuse) -> str:
    """Whether frozen layers are computed once, in one short sentence without a full stop."""
    match reuse.state:
        case "off":
            return "Nothing is computed ahead and kept"
        case "dropped":
            return "Kept features were dropped"
        case "filling":
            return f"Frozen layers are computed once and kept: {_kept_layers(reuse)}"
        case "serving":
            return f"Frozen layers are computed once: {_kept_layers(reuse)}"


def reuse_details(reuse: Reuse) -> str:
    """The rest: how much is kept, where, and how sure it is; why not, and what to do."""
    if reuse.state in ("off", "dropped"):
        sentence = reuse.reason.strip().rstrip(".") or "the run has not said why"
        after = " Every step computes the whole model, and results are right." if reuse.state == "dropped" else ""
        return f"{sentence[:1].upper()}{sentence[1:]}.{after}"
    place = "on disk" if reuse.place == "disk" else "in memory"
    if reuse.state == "filling":
        share = f"{reuse.kept:,} of {reuse.pictures:,} pictures seen so far"
        parts = [f"{share}, {size(reuse.kept * reuse.picture_bytes)} {place}"]
    else:
        parts = [f"{reuse.kept:,} {_plural(reuse.kept, 'picture')}, {size(reuse.kept * reuse.picture_bytes)} {place}"]
        if reuse.found:
            parts.append("found from an earlier run")
    if reuse.proved:
        parts.append("cut where an earlier run has proved it")
    if reuse.exact:
        parts.append(f"{reuse.checked:,} checked bit for bit" if reuse.checked else "none checked yet")
    else:
        parts.append("rounded, as was chosen: results differ a little from computing everything")
    if reuse.saved_seconds >= 0.05:
        parts.append(f"{duration(reuse.saved_seconds)} saved so far")
    more = (
        f" Later frozen layers cannot be kept: {reuse.chance} draws random numbers in each step, unless frozen_randomness is off."
        if reuse.chance
        else ""
    )
    return ", ".join(parts) + "." + more


def reuse_in_words(reuse: Reuse) -> str:
    """All of it in one line."""
    return f"{reuse_headline(reuse)}{': ' if reuse.state in ('off', 'dropped') else ' · '}{reuse_details(reuse)}"


def threads_in_words(used: ThreadsUsed) -> str:
    """On how many threads what learns runs, and why, in a sentence."""
    on = f"on {used.count} {_plural(used.count, 'thread')}"
    if used.failed:
        return (
            f"What learns runs {on}: another number gave other bits when it was compared again, so none is used any more. Results since the look "
            "before may differ in the last digits from those of another run of this config."
        )
    if len(used.seconds) < 2:
        return f"What learns runs {on}, as usual: no other number gives the same bits."
    times = dict(used.seconds)
    busy = f"; others used {100 * used.busy:.0f} % of the processor" if used.busy >= 0.05 else ""
    looks = f", tried {used.looks} times" if used.looks > 1 else ""
    if used.count == used.usual:
        others = ", ".join(f"{_milliseconds(seconds)} on {count}" for count, seconds in used.seconds if count != used.count)
        return f"What learns runs {on}, as usual: {_milliseconds(times[used.count])} a batch against {others}, with the same bits{busy}{looks}."
    slower = f"{_milliseconds(times[used.count])} a batch instead of {_milliseconds(times[used.usual])}"
    return f"What learns runs {on} instead of {used.usual}, with the same bits: {slower}{busy}{looks}."


def _milliseconds(seconds: float) -> str:
    return f"{digits(1000 * seconds, 3)} ms"


def given_up(reuse: Reuse | None) -> str:
    """That torch.compile has given up, and what that means; '' where it has not."""
    if reuse is None or not reuse.untranslated:
        return ""
    return (
        f"torch.compile gave up: {reuse.untranslated:,} of {reuse.passes:,} passes of a batch ran as they would without it. Results are right, only "
        "not as fast. PyTorch translates the same code a few times at most; the end of the run's log has its reason."
    )


def _kept_layers(reuse: Reuse) -> str:
    names = [*reuse.border[:2], f"{len(reuse.border) - 2:,} more"] if len(reuse.border) > 3 else list(reuse.border)
    border = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
    return f"layers up to {border} ({reuse.layers:,} of {reuse.all_layers:,})"


def _plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


# Where the time of a step goes


def parts_of(profile: Profile) -> list[Part]:
    """What a step consists of, longest first: forward and backward of each block, and the other stages."""
    found = [Part(f"forward through {block.name}", block.forward) for block in profile.blocks if block.forward]
    found += [Part(f"backward through {block.name}", block.backward) for block in profile.blocks if block.backward]
    # Where the frozen layers were computed, their blocks have the time of that stage already.
    whole = {"forward", "backward", *(("static prefix",) if _computes_prefix(profile) else ())} if profile.blocks else set()
    found += [Part(STAGES[stage], seconds) for stage, seconds in profile.stages.items() if stage not in whole]
    return sorted(found, key=lambda part: -part.seconds)


def profile_headline(profile: Profile) -> str:
    """The most important thing about a profile: '62 % of a step is backward through layer4'."""
    total = profile.seconds
    parts = parts_of(profile)
    if not total or not parts:
        return "Nothing was measured"
    share = parts[0].seconds / total
    if share >= STANDS_OUT:
        return f"{100 * share:.0f} % of a step is {parts[0].what}"
    stage = max(profile.stages, key=lambda stage: profile.stages[stage])
    return f"{100 * profile.stages[stage] / total:.0f} % of a step is {STAGES[stage]}, and no part of it stands out"


def block_note(block: BlockTime) -> str:
    """What is special about a block: '' for one that is computed forward and backward."""
    if block.forward is None:
        return "not computed: kept"
    if block.backward is None:
        return "no backward: frozen" if block.frozen else "no backward"
    return "frozen, but gradients pass through" if block.frozen else ""


def memory_rows(memory: Memory) -> list[tuple[str, int, str]]:
    """Categories of memory: name, bytes, what it is."""
    rows = [
        ("weights", memory.weights, "all parameters, frozen or not"),
        ("buffers", memory.buffers, "running statistics and the like"),
        ("gradients", memory.gradients, "one for each parameter that learns"),
        ("optimizer", memory.optimizer, "what the optimizer keeps for each parameter that learns"),
        ("activations", memory.activations, "what the forward pass keeps for the backward pass"),
    ]
    if memory.kept:
        where = "a file on disk" if memory.kept_place == "disk" else "the machine's memory"
        rows.append(("kept features", memory.kept, f"what frozen layers gave, in {where}"))
    return rows


def peak_in_words(memory: Memory) -> str:
    """The largest moment."""
    if memory.peak_of == "device":
        return f"{size(memory.peak)} of the device's memory at the worst moment of these steps"
    return f"{size(memory.peak)} is the most memory that the whole process has had so far, PyTorch itself included"


def _computes_prefix(profile: Profile) -> bool:
    return any(block.forward is not None and block.backward is None and block.frozen for block in profile.blocks)
