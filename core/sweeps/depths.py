"""Which layers should I unfreeze? A sweep over depths, from the head alone to everything, several seeds each, and its answer in a sentence."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from core.config import ConfigError, RunConfig
from core.config.plans import PRESETS, FreezePlan
from core.machine.hardware import cores, device_of
from core.records.layers import ModelDescription, blocks, crossed_share, frozen_parameters
from core.records.telling import about_time, duration
from core.sweeps.outcome import Entry, Outcome, margin_of, ranked
from core.sweeps.plan import MOST_AT_ONCE, Plan, make
from core.sweeps.vary import Vary

SEEDS = 2
EPOCHS = 5
MOST_SEEDS = 20

STEP_OF_ALL = 3.0
"""A training step in which everything learns takes about so many times as long as a forward pass: backward is about twice as much work."""


@dataclass(frozen=True)
class Depth:
    """How far down a model learns: a `freeze` plan, its name in words, and how many of the model's numbers learn."""

    freeze: str
    name: str
    learning: int


def depths(description: ModelDescription) -> tuple[Depth, ...]:
    """From the head alone to everything, each with more to learn than the one before: head, last stage, half of the body, everything.

    What a model has not (a network without stages) is left out.
    """
    counts = {parameter.name: parameter.count for parameter in description.parameters}
    wanted = [("head only", "the head alone"), ("last stage", "the last stage and the head")]
    if half := _half(description):
        first, plan = half
        wanted.append((plan, f"everything from {first} on"))
    wanted.append(("train everything", "everything"))
    found: list[Depth] = []
    seen: set[frozenset[str]] = set()
    for freeze, name in wanted:
        try:
            frozen = frozen_parameters(FreezePlan.model_validate(freeze), description.parameters)
        except ConfigError:
            continue
        if frozen not in seen:
            seen.add(frozen)
            found.append(Depth(freeze, name, sum(count for layer, count in counts.items() if layer not in frozen)))
    return tuple(found)


def _half(description: ModelDescription) -> tuple[str, str] | None:
    """The first block of the body's second half, and the plan that freezes all before it; None where the body cannot be halved."""
    role = {parameter.name: parameter.role for parameter in description.parameters}
    roles = {path: Counter(role[name] for name in names).most_common(1)[0][0] for path, names in blocks(role).items()}
    paths = list(roles)
    body = [path for path in paths if roles[path] == "body"]
    if len(body) < 2:
        return None
    first = body[len(body) // 2]
    before = paths[: paths.index(first)]
    # One pattern for neighbours with a common parent would also catch what comes later: each block is named.
    return first, ", ".join(before)


def question(config: RunConfig, found: Sequence[Depth], seeds: int = SEEDS, epochs: int = EPOCHS) -> Plan:
    """The sweep that answers it: each depth with `seeds` seeds from the config's own on. Raises ConfigError as `core.sweeps.plan.make`."""
    if not 1 <= seeds <= MOST_SEEDS:
        raise ConfigError("seeds", f"must be 1 to {MOST_SEEDS}, got {seeds}; try {SEEDS}")
    if len(found) < 2:
        raise ConfigError("model", "has no stages to choose between: there is one way to freeze it; choose another model")
    config = config.replace(epochs=epochs, timeline="")  # a timeline would make another depth of each
    at_once = None
    if config.threads is None and device_of(config.device) == "cpu":
        at_once = beside(config, found, seeds * len(found))
        config = config.replace(threads=max(1, cores() // at_once))
    vary = (Vary("freeze", tuple(depth.freeze for depth in found)), Vary("seed", tuple(range(config.seed, config.seed + seeds))))
    return make(config, vary, at_once=at_once, name="Which layers should I unfreeze?", about="layers")


def beside(config: RunConfig, found: Sequence[Depth], runs: int) -> int:
    """How many of so many runs go on at once on this machine's processor: two threads on two runs do more than two threads on one.

    Threads of one run wait for each other after every layer: two runs of resnet18 at 64 px with a thread each take 1.2 to 1.6 times fewer seconds
    together than one after the other with both. As many as there are cores, and as fit into the memory that nobody uses now: each with
    1 GB for itself, four numbers for each that learns (AdamW), and what the backward pass needs of a batch, taken as 200 times its pictures.
    """
    learning = max(depth.learning for depth in found)
    batch = config.batch_size * config.image_size**2 * 3 * 4
    fitting = psutil.virtual_memory().available // (2**30 + 16 * learning + 200 * batch)
    return int(max(1, min(cores(), runs, fitting, MOST_AT_ONCE)))


@dataclass(frozen=True)
class Answered:
    """What the finished runs of one depth came to, accuracies from 0 to 1, one a seed, and the mean of their seconds."""

    freeze: str
    accuracies: tuple[float, ...]
    seconds: float
    learning: int
    samples: int
    run_ids: tuple[str, ...]

    @property
    def name(self) -> str:
        """The depth in words."""
        return named(self.freeze)

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return statistics.fmean(self.accuracies)


@dataclass(frozen=True)
class Answer:
    """The depths, the cheapest first; which to take (a place among them), and why, as sentences. `margin`: see `half_width`."""

    depths: tuple[Answered, ...]
    take: int | None
    sentence: str
    margin: float | None


def answer(found: Outcome) -> Answer:
    """What can be said by now.

    The depth to take is the one that took the least time among those that cannot be told from the best: a difference counts where it is larger
    than chance makes 95 % of differences between two means of so many seeds, by the spread within all depths together (Student's t). With one
    seed each, what chance does to so many validation pictures has to do.
    """
    by_depth: dict[str, list[Entry]] = {}
    for entry in ranked(found.entries):
        by_depth.setdefault(str(entry.given.get("freeze", "")), []).append(entry)
    done = sorted((_answered(freeze, entries) for freeze, entries in by_depth.items()), key=lambda depth: depth.seconds)
    if len(done) < 2:
        return Answer(tuple(done), None, "An answer needs two depths that came to their end." if not found.going else "", None)
    best = max(done, key=lambda depth: depth.mean)
    margin = half_width(done, best)
    alike = [depth for depth in done if best.mean - depth.mean <= margin]
    take = min(alike, key=lambda depth: depth.seconds)
    return Answer(tuple(done), done.index(take), _sentence(found, done, best, take, alike, margin), margin)


def half_width(done: Sequence[Answered], best: Answered) -> float:
    """By how much the means of two depths may differ by chance, with 95 % certainty."""
    spreads = [(len(depth.accuracies) - 1, statistics.variance(depth.accuracies)) for depth in done if len(depth.accuracies) > 1]
    freedom = sum(weight for weight, _ in spreads)
    by_pictures = margin_of(best.mean, best.samples) / math.sqrt(max(1, min(len(depth.accuracies) for depth in done)))
    if not freedom:
        return by_pictures
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    variance = sum(weight * spread for weight, spread in spreads) / freedom
    by_seeds = float(stdtrit(freedom, 0.975)) * math.sqrt(2 * variance / min(len(depth.accuracies) for depth in done))
    # Few seeds may happen to agree: pictures alone leave no less doubt than so many can.
    return max(by_seeds, by_pictures)


def _answered(freeze: str, entries: Sequence[Entry]) -> Answered:
    return Answered(
        freeze,
        tuple(entry.validation_accuracy or 0.0 for entry in entries),
        statistics.fmean(entry.seconds or 0.0 for entry in entries),
        entries[0].learning or 0,
        min(entry.validation_samples for entry in entries),
        tuple(entry.run_id for entry in entries),
    )


def named(freeze: str) -> str:
    """A depth's plan as what learns: a preset says that itself, patterns name what is frozen ('all but conv1, layer1')."""
    return freeze if freeze in PRESETS else f"all but {freeze}"


def _sentence(found: Outcome, done: Sequence[Answered], best: Answered, take: Answered, alike: Sequence[Answered], margin: float) -> str:
    seeds = min(len(depth.accuracies) for depth in done)
    of = f"{seeds} seed{'' if seeds == 1 else 's'} each"
    points = f"{100 * margin:.1f} points"
    value = f"{100 * best.mean:.1f} % of the validation pictures right"
    so_far = "So far, " if found.going else ""
    if len(alike) == 1:
        second = max((depth for depth in done if depth is not best), key=lambda depth: depth.mean)
        gap = f"{100 * (best.mean - second.mean):.1f} points more than '{second.name}'"
        said = f"{so_far}'{best.name}' is best: {value}, {gap}, which is more than chance explains ({points}, 95 %, {of})."
    elif take is best:
        others = _list([depth for depth in alike if depth is not best])
        said = (
            f"{so_far}take '{best.name}': {value}, and the least time ({duration(best.seconds)} a run) of those that cannot be told apart. "
            f"{others} differ{'s' if len(alike) == 2 else ''} from it by less than chance explains ({points}, 95 %, {of})."
        )
    else:
        said = (
            f"{so_far}take '{take.name}': '{best.name}' got {value}, but '{take.name}' with {100 * take.mean:.1f} % cannot be told from it "
            f"({points} may be chance, 95 %, {of}) and takes {duration(take.seconds)} a run instead of {duration(best.seconds)}."
        )
    if seeds == 1:
        said += " One seed each says little about chance: add seeds to be surer."
    return said[:1].upper() + said[1:]


def _list(some: Sequence[Answered]) -> str:
    names = [f"'{depth.name}'" for depth in some]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def estimate(found: Sequence[Depth], epoch_seconds_of_all: float | None, description: ModelDescription, seeds: int, epochs: int) -> str:
    """What it will take, from a measured epoch in which everything learns (seconds): '8 runs (...): about 3 minutes.'

    What is frozen is computed once for each picture, what learns in every epoch: shares of the numbers of operations of each part.
    """
    runs = (
        f"{seeds * len(found):,} runs ({len(found)} depths, {seeds} seed{'' if seeds == 1 else 's'} each, {epochs} epoch{'' if epochs == 1 else 's'})"
    )
    if epoch_seconds_of_all is None:
        return f"{runs}; how long they take is known once an epoch has been measured."
    total = 0.0
    for depth in found:
        frozen = frozen_parameters(FreezePlan.model_validate(depth.freeze), description.parameters)
        share = learning_share(description, frozen)
        total += epoch_seconds_of_all * (epochs * share + (1 - share) / STEP_OF_ALL)
    return f"{runs}: {about_time(seeds * total)}."


def learning_share(description: ModelDescription, frozen: frozenset[str]) -> float:
    """The part of a step's work (0 to 1) that has to be done in every epoch where what is frozen before the first learning layer is kept."""
    return crossed_share(description, frozen)


def epoch_of_all(description: ModelDescription, freeze: str, seconds: float) -> float:
    """How long an epoch takes in which everything learns, from one with this freeze plan in which nothing was kept yet (both in seconds)."""
    share = learning_share(description, frozen_parameters(FreezePlan.model_validate(freeze), description.parameters))
    return seconds / (share + (1 - share) / STEP_OF_ALL)
