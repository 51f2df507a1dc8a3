"""What the doctor's rules look at: the last stretch of a run in numbers, collected as the run goes on. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.catalog.decay import kept
from core.catalog.rates import Course, course, step_of
from core.config import RunConfig
from core.config.plans import Change
from core.doctor.medians import Floats, median, medians
from core.records.events import AuditReport, ChangeRow, EpochRow, RunPlan, Signal, StepBlock
from core.records.findings import Appearance, Birth, Overlap
from core.records.layers import ParameterInfo
from core.records.profile import StepTimes

KEPT_STEPS = 1024
KEPT_NORMS = 256
KEPT_LOOKS = 64
"""How many of the newest steps, measurements of gradient norms and looks at weight changes are kept."""

MEDIAN_OF = 31
"""Measurements of each layer's gradient norm of which a median is taken, at most."""

UNIT_LOOKS = 5
"""Looks in a row at which a unit did nothing, after which it counts as dead: in one batch it may be idle by chance."""

SMALL_STEP = 0.5
"""A step of fewer pictures than this share of a full batch, the last of an epoch, says too little to stand beside the others."""


@dataclass(frozen=True)
class Facts:
    """What is known before the first step. `parameters` are those of the model, in the order of the plan's layers.

    `class_counts` are the training pictures of each class, `validation_counts` those of the validation set (empty: there is none).
    `weight_decay` is what the optimizer uses. `in_optimizer` names frozen tensors that the optimizer was given all the same.
    """

    parameters: tuple[ParameterInfo, ...]
    class_counts: tuple[int, ...]
    validation_counts: tuple[int, ...]
    weight_decay: float = 0.0
    in_optimizer: tuple[str, ...] = ()
    statistics_steps: int = 0
    """Steps after which running statistics of normalisation layers have forgotten what they began with, to 5 %."""
    appearance: Appearance | None = None
    """How the pictures look as squares, if they are files."""
    at_random: tuple[str, ...] = ()
    """Names of the tensors that begin with random values: all of them, or a fresh head on weights that were loaded."""
    direct_decay: bool = True
    """Whether weight decay takes a share off a weight that does not depend on its gradients: not so in Adam and others that divide by their size."""
    guess_loss: float | None = None
    """The loss of giving every class the same logit, 0; None where it is not known."""


@dataclass(frozen=True)
class Before:
    """How a run went before a change: what is seen after it is compared with this, never with windows that reach over it.

    `loss` and `high` are median and 90th percentile of the losses at the last `steps` steps before it (NaN and 0: there were none), `rate` the
    learning rate of the last one, `learned` bool[layers] and `multipliers` float32[layers] what held then, `epoch` the last one that was over.
    """

    change: ChangeRow
    loss: float
    high: float
    steps: int
    rate: float
    learned: NDArray[np.bool_]
    multipliers: NDArray[np.float32]
    epoch: EpochRow | None


@dataclass(frozen=True)
class Stretch:
    """Some neighbouring steps: median loss, and the learning rate of the last one."""

    first_step: int
    last_step: int
    loss: float
    rate: float


class Signs:
    """All that is known of a run at step `step`.

    A change of what learns, or how fast, begins everything anew that a median is taken of: windows never reach over it, and `befores` keeps
    what was before. Steps of fewer pictures (the last of an epoch) count by their size.

    `steps`, `loss` and `rates` (learning rates) are of the last steps, equally long; `norms` float32[m, layers] are the gradient norms
    that were measured at `norm_steps`, and `ratios` float32[looks, layers] how far an update moved each tensor as a share of its size,
    at `look_steps`, both with NaN for what does not learn.
    """

    def __init__(self, config: RunConfig, plan: RunPlan, facts: Facts) -> None:
        self.config = config
        self.plan = plan
        self.facts = facts
        self.step = 0
        self.final = False
        self.steps = np.empty(0, np.int64)
        self.loss: Floats = np.empty(0)
        self.rates: Floats = np.empty(0)
        self.sizes: Floats = np.empty(0)
        """Pictures of the same steps, as a share of a full batch."""
        self.norm_steps = np.empty(0, np.int64)
        self.norms = np.empty((0, len(plan.layers)), np.float32)
        self.totals: Floats = np.empty(0)
        self.look_steps = np.empty(0, np.int64)
        self.ratios = np.empty((0, len(plan.layers)), np.float32)
        self.first_losses: tuple[float, ...] = ()
        self.first_totals: tuple[float, ...] = ()
        """Lengths of all gradients together, at first since something else learns."""
        self.first_totals_since = 1
        self.first_total = math.nan
        """Length of all gradients together at the first step at which it was measured."""
        self.highest_rate = 0.0
        self.bad_step: int | None = None
        """The first step whose loss was not finite."""
        self.bad_gradient: tuple[int, tuple[str, ...]] | None = None
        """The first step with gradients that were not finite, and the layers that had them."""
        self.birth: Birth | None = None
        self.left_over: tuple[int, tuple[str, ...]] | None = None
        """A step after which gradients were left over, and whose."""
        self.audit: AuditReport | None = None
        self.overlaps: tuple[Overlap, ...] = ()
        self.times: StepTimes | None = None
        self.epochs: list[EpochRow] = []
        self.changed = 1
        """The step from which on the plan holds that holds now."""
        self.befores: list[Before] = []
        self.rate_change: ChangeRow | None = None
        """The last change that set the learning rate."""
        self._rates_set: list[tuple[int, float]] = []
        self._decayed: dict[tuple[int, int], tuple[float, float]] = {}
        self.lowest: Stretch | None = None
        """The stretch with the lowest loss since the last change, of those that ended at a look."""
        self.learns = np.array([not layer.frozen for layer in plan.layers], np.bool_)
        self.ever_learned = self.learns
        """bool[layers]: what learned at any step so far, or learns now."""
        self.multipliers = np.array([layer.multiplier for layer in plan.layers], np.float32)
        self.names = [layer.name for layer in plan.layers]
        infos = {name: info for info in facts.parameters for name in info.names}
        self.infos = [infos.get(name) for name in self.names]
        self.is_weight = np.array(
            [len(layer.shape) > 1 and not (info and info.is_norm) for layer, info in zip(plan.layers, self.infos, strict=True)], np.bool_
        )
        self.counts = np.array([layer.count for layer in plan.layers], np.float64)
        self._idle_looks: dict[int, NDArray[np.int64]] = {}
        self._unit_learns = self.learns

    # What the rules ask

    @property
    def since(self) -> int:
        """Steps since the last change (or the beginning)."""
        return self.step - self.changed + 1

    @property
    def window(self) -> int:
        """Steps that make a stretch: a twentieth of the run, 10 to 200, in short runs down to 2; at first a fifth of those since the last change."""
        fewest = min(10, max(2, self.plan.total_steps // 5))
        return max(min(self.plan.total_steps // 20, 200, self.since // 5), fewest)

    @property
    def chance(self) -> float:
        """The accuracy (0 to 1) of saying the most frequent class each time."""
        counts = self.facts.validation_counts or self.facts.class_counts
        return max(counts) / max(sum(counts), 1) if counts else 1.0

    @property
    def recent_loss(self) -> float:
        """Median loss of the last stretch since the last change; NaN without a finite one."""
        return self._loss_of(self.steps > self.step - min(self.window, self.since))

    @property
    def earlier_loss(self) -> float:
        """Median loss of the stretch before, if that is whole since the last change; NaN where it is not."""
        if self.since < 2 * self.window:
            return math.nan
        return self._loss_of((self.steps > self.step - 2 * self.window) & (self.steps <= self.step - self.window))

    def _loss_of(self, chosen: NDArray[np.bool_]) -> float:
        return median(self.loss[chosen], self.sizes[chosen])

    @property
    def first_loss(self) -> float:
        """How bad a model is that has learned nothing: the first loss, or the median of the first three where that is lower, of full batches.

        One lucky batch is no such figure: the lowest of three small batches is, by chance alone, a fraction of what all later ones have.
        """
        return min(self.first_losses[0], median(np.array(self.first_losses))) if self.first_losses else math.nan

    @property
    def era_epochs(self) -> list[EpochRow]:
        """The epochs that began after the last change."""
        return [row for row in self.epochs if row.step - self.plan.steps_per_epoch >= self.changed - 1]

    @property
    def rate(self) -> float:
        """The learning rate of the newest step, before multipliers."""
        return float(self.rates[-1]) if len(self.rates) else self.config.learning_rate

    def decay(self, steps: int) -> tuple[float, float]:
        """What weight decay alone takes off a value in the first `steps` steps (0 nothing, 1 all), and the highest learning rate in them."""
        key = (steps, len(self._rates_set))
        if key not in self._decayed:
            whole = course(self.config, self.plan.total_steps, max(self.plan.steps_per_epoch, 1), self._rates_known())
            part = Course(whole.rates[:steps], None if whole.momenta is None else whole.momenta[:steps])
            left = kept(self.config, part, self.facts.weight_decay)
            self._decayed[key] = (1 - min(abs(left), 1.0), float(part.rates.max(initial=0.0)))
        return self._decayed[key]

    def _rates_known(self) -> list[tuple[int, float]]:
        """The changes of the learning rate that were made, and those that the timeline will make."""
        planned = [(step_of(timed, self.plan.steps_per_epoch), timed.change.learning_rate) for timed in self.config.timeline.changes]
        return [*self._rates_set, *((step, rate) for step, rate in planned if rate is not None and step > self.step)]

    def window_start(self, steps: int | None = None) -> int:
        """The first step of the last stretch."""
        return max(1, self.step - (steps or self.window) + 1)

    def total_norms(self) -> Floats:
        """L2 norm of all gradients together, at each of the last measurements of the stretch."""
        recent = self.norm_steps > self.step - self.window
        return self.totals[recent][self._fit(self.norm_steps[recent])]

    def recent_norms(self) -> Floats:
        """Median gradient norm of each layer at the last measurements of the stretch; NaN for what does not learn."""
        recent = self.norm_steps[-MEDIAN_OF:] > self.step - self.window
        norms = self.norms[-MEDIAN_OF:][recent][self._fit(self.norm_steps[-MEDIAN_OF:][recent])]
        return medians(norms) if len(norms) else np.full(len(self.names), np.nan)

    @property
    def looks(self) -> int:
        """Of how many looks a median is taken: 5, in runs with fewer than ten looks fewer, down to 2."""
        return min(5, max(2, self._possible_looks // 2))

    @property
    def unit_looks(self) -> int:
        """`UNIT_LOOKS`, in runs with hardly so many looks fewer, down to 3."""
        return min(UNIT_LOOKS, max(3, self._possible_looks - 1))

    @property
    def _possible_looks(self) -> int:
        return self.plan.total_steps // self.config.watch_every + 1

    def recent_ratios(self) -> Floats:
        """Median of the last looks' update ratios of each layer; NaN for what does not learn, and everywhere before so many looks."""
        if len(self.ratios) < self.looks:
            return np.full(len(self.names), np.nan)
        return medians(self.ratios[-self.looks :][self._fit(self.look_steps[-self.looks :])])

    def _fit(self, steps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these steps a median is taken of: those of whole batches, unless few of them are."""
        whole = self.size_of(steps) >= SMALL_STEP
        return whole if 2 * whole.sum() >= len(whole) else np.ones(len(steps), np.bool_)

    def size_of(self, steps: NDArray[np.int64]) -> Floats:
        """Pictures of these steps, as a share of a full batch: the last one of an epoch may have fewer."""
        batch = max(1, min(self.config.batch_size * self.config.accumulate, self.plan.train_samples))
        ends = steps % max(self.plan.steps_per_epoch, 1) == 0
        left = (self.plan.train_samples - (self.plan.steps_per_epoch - 1) * batch) / batch
        return np.where(ends, left if 0 < left < 1 else 1.0, 1.0)

    def dead_units(self) -> dict[int, tuple[int, int]]:
        """Layer to (dead, all) units, for learning layers in front of the head that were looked at often enough."""
        found = {}
        for place, idle in self._idle_looks.items():
            info = self.infos[place]
            if self.learns[place] and info is not None and info.role != "head":
                found[place] = (int((idle >= self.unit_looks).sum()), len(idle))
        return found

    def dead_since(self, place: int) -> int:
        """The step of the look since which most of the dead units of a layer do nothing, as far back as looks are kept."""
        idle = self._idle_looks[place]
        looks = int(np.median(idle[idle >= self.unit_looks]))
        return int(self.look_steps[-min(looks, len(self.look_steps))]) if len(self.look_steps) else self.window_start()

    # Collecting

    def add(self, block: StepBlock, first: int, last: int) -> None:
        """Take the steps at places `first` to `last` (not itself) of a block."""
        self.step = int(block.step[last - 1])
        loss = block.loss[first:last]
        self.steps = np.concatenate([self.steps, block.step[first:last]])[-KEPT_STEPS:]
        self.loss = np.concatenate([self.loss, loss])[-KEPT_STEPS:]
        self.rates = np.concatenate([self.rates, block.learning_rate[first:last]])[-KEPT_STEPS:]
        sizes = self.size_of(block.step[first:last])
        self.sizes = np.concatenate([self.sizes, sizes])[-KEPT_STEPS:]
        self.highest_rate = max(self.highest_rate, float(block.learning_rate[first:last].max()))
        finite = np.isfinite(loss)
        if len(self.first_losses) < 3:
            self.first_losses = (*self.first_losses, *loss[finite & (sizes >= SMALL_STEP)].tolist())[:3]
        if self.bad_step is None and not finite.all():
            self.bad_step = int(block.step[first + int(np.argmin(finite))])
        steps, norms = _measured(block.gradient_norms, block.step, first, last)
        if len(steps):
            self._add_norms(steps, norms)
        looks, updates = _measured(block.update_norms, block.step, first, last)
        if len(looks):
            _, weights = _measured(block.weight_norms, block.step, first, last)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = np.where((updates < 0) | (weights <= 0), np.nan, updates / weights)
            self.look_steps = np.concatenate([self.look_steps, looks])[-KEPT_LOOKS:]
            self.ratios = np.concatenate([self.ratios, ratios.astype(np.float32)])[-KEPT_LOOKS:]

    def _add_norms(self, steps: NDArray[np.int64], norms: NDArray[np.float32]) -> None:
        if self.bad_gradient is None and not np.isfinite(norms).all():
            row = int(np.argmin(np.isfinite(norms).all(axis=1)))
            layers = tuple(name for name, value in zip(self.names, norms[row].tolist(), strict=True) if not math.isfinite(value))
            self.bad_gradient = (int(steps[row]), layers)
        known = np.where(norms < 0, np.nan, norms)
        self.norm_steps = np.concatenate([self.norm_steps, steps])[-KEPT_NORMS:]
        self.norms = np.concatenate([self.norms, known])[-KEPT_NORMS:]
        totals = np.sqrt(np.nansum(known.astype(np.float64) ** 2, axis=1))
        self.totals = np.concatenate([self.totals, totals])[-KEPT_NORMS:]
        if math.isnan(self.first_total):
            self.first_total = float(totals[0])
        if not self.first_totals:
            self.first_totals_since = self.changed
        if len(self.first_totals) < 3:
            self.first_totals = (*self.first_totals, *totals[self.size_of(steps) >= SMALL_STEP].tolist())[:3]

    def add_units(self, frozen: NDArray[np.bool_], rows: NDArray[np.float32], norms: NDArray[np.float32]) -> None:
        """Take the lengths of the gradient rows of one look (`core.signals.watch.Sample.unit_norms`) and the gradient norms of its step."""
        learns = ~frozen
        if not (learns == self._unit_learns).all():
            self._idle_looks, self._unit_learns = {}, learns
        if not (norms > 0).any():
            return  # no gradient at all: it is the loss that has nothing to say (0, or cut off), not the units
        start = 0
        for place, layer in enumerate(self.plan.layers):
            if not learns[place] or len(layer.shape) < 2:
                continue
            units = layer.shape[0]
            if self.is_weight[place] and units > 1:
                idle = rows[start : start + units] == 0
                self._idle_looks[place] = np.where(idle, self._idle_looks.get(place, np.zeros(units, np.int64)) + 1, 0)
            start += units

    def looked(self) -> None:
        """Take note of the stretch that ends now, if it is the lowest since the last change."""
        if self.since < self.window:
            return
        loss = self.recent_loss
        if math.isfinite(loss) and (self.lowest is None or loss < self.lowest.loss):
            self.lowest = Stretch(self.step - self.window + 1, self.step, loss, self.rate)

    def change(self, row: ChangeRow) -> None:
        """Another plan holds: what was measured before says nothing about how it goes on, and is kept to be compared with."""
        if self.befores and self.befores[-1].change.step == row.step:  # two at one moment: one, with the words of both
            before = self.befores[-1]
            self.befores[-1] = replace(before, change=replace(row, text=f"{before.change.text}, {row.text}"))
        else:
            self.befores.append(self._before(row))
        if Change.parse(row.text).learning_rate is not None:
            self.rate_change = row
            self._rates_set.append((row.step, row.learning_rate))
        learns = ~row.frozen
        if not (learns == self.learns).all():
            self.first_totals = ()  # the length of other gradients
        self.learns, self.multipliers = learns, row.multipliers
        self.ever_learned = self.ever_learned | learns
        self.changed = row.step
        self.lowest = None
        self._forget()

    def _before(self, row: ChangeRow) -> Before:
        steps = min(self.window, self.since)
        chosen = self.steps > self.step - steps
        loss = self.loss[chosen & np.isfinite(self.loss) & (self.sizes >= SMALL_STEP)]
        high = float(np.quantile(loss, 0.9)) if len(loss) else math.nan
        epoch = self.epochs[-1] if self.epochs else None
        return Before(row, self._loss_of(chosen), high, int(chosen.sum()), self.rate, self.learns, self.multipliers, epoch)

    def _forget(self) -> None:
        self.ratios, self.look_steps = self.ratios[:0], self.look_steps[:0]
        self.norms, self.norm_steps, self.totals = self.norms[:0], self.norm_steps[:0], self.totals[:0]

    def names_at(self, places: Sequence[int] | NDArray[np.int64]) -> tuple[str, ...]:
        """Names of the layers at these places."""
        return tuple(self.names[int(place)] for place in places)


def _measured(signal: Signal, steps: NDArray[np.int64], first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The steps among places `first` to `last` at which a signal was measured, and its rows there."""
    places = signal.place[first:last]
    known = places >= 0
    return steps[first:last][known], signal.rows[places[known]]
