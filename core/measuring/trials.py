"""Ways to compute a training step, tried on the actual model, pictures and device: how long each takes, and how far from exact it is.

Ways are tried factor by factor, not in all combinations: first the threads, then the fused optimizer, then memory format and number format
together (one can need the other), then what can be added to the best of these. In each of these stages all ways take their steps in turn, and
one that was measured before is among them: what else the machine does disturbs all alike, and times of two stages compare. Where
one thread is used the processor's time is measured instead of the clock's, in which others' turns are left out.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.catalog.optimizers import OPTIMIZERS
from core.config import RunConfig
from core.machine.devices import bfloat16_is_native
from core.measuring.rounding import Reference
from core.measuring.sample import pictures
from core.measuring.trial import Found, Hopeless, Subject, Timer, Trial, stopwatch
from core.records.speed import Way
from core.records.telling import first_line
from core.reuse.counts import use_threads
from core.reuse.split import NotSplit, Split, fold_norms, split
from core.training import im2col
from core.training.steps import Pair, Steps

BUDGET_SECONDS, BUDGET_PASSES, SHARE_OF_RUN, MOST_SECONDS = 6.0, 24, 0.05, 60.0
"""No further way is begun after this much time: the most of 6 s, of 24 passes (what all of it takes at least), and of a twentieth of
what the run would take, but never more than the last."""

FEWEST_ROUNDS, MOST_ROUNDS, STAGE_SECONDS = 3, 50, 1.2
"""Steps that count for each way in a stage: as many as fit into the time, within bounds."""

TOO_SLOW = 3.0
"""A way that takes this many times as long as the quickest in its first step takes no second."""

WORTH_TRYING = 0.03
"""What can save less than this share of a step is not tried."""

WORTH_COMPILING_SECONDS = 180.0
"""torch.compile is tried where the steps to come take longer: it needs 8 to 92 s before the first, and saves about a third."""

BESIDE_OTHERS = 0.9
"""More threads than cores that nobody else uses are taken only below this share of the time: waiting for a late one has a long tail."""

FORMATS: tuple[Literal["contiguous", "channels_last"], ...] = ("contiguous", "channels_last")


GoOn = Callable[[float, int], None]
"""Told between two steps how many ways of about how many are done. What it raises ends everything."""


class _Ended(BaseException):
    """Brings what a `GoOn` raised past all that catches whatever a way may raise."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


class Trials:
    """Tries the ways of one subject, once."""

    def __init__(self, subject: Subject, timer: Timer = stopwatch, go_on: GoOn = lambda done, ways: None) -> None:
        self.subject = subject
        self.timer = timer
        self.tell = go_on
        self.ways: list[Way] = []
        self.complete = True
        self._own = False
        """Whether processor time is measured. On one thread it is what the work takes, however often others interrupt it."""
        config, views = subject.config, subject.train.views
        # Where features are kept, a picture goes through the prefix once for each of its views, and not again.
        self.share = None if config.feature_cache == "off" or views is None else min(1.0, views / config.epochs)
        self._small_maps = False
        self._models: dict[str, tuple[nn.Module, torch.optim.Optimizer]] = {}
        self._deadline = math.inf

    def run(self) -> Found:
        """Try all. Torch's chance and its number of threads are as before when it returns.

        Raises:
            Hopeless: not even an exact step can be made, or compared.
        """
        threads = torch.get_num_threads()
        device = self.subject.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            try:
                return self._run()
            except _Ended as ended:
                raise ended.reason from None
            finally:
                use_threads(threads)

    def _run(self) -> Found:
        best = self._threads(self._prepared())
        seconds = statistics.median(best.passes) + statistics.median(best.prefixes or [0.0])
        passes = max(BUDGET_PASSES, SHARE_OF_RUN * self.subject.steps * self.scale)
        self._deadline = time.perf_counter() + min(MOST_SECONDS, max(BUDGET_SECONDS, passes * seconds))
        self._own = best.way.threads == 1 and self.subject.device.type == "cpu"
        # Where updates take much, fusing them is tried first: it is quickly measured, and brings more than formats do.
        early = self._update_share(best) >= WORTH_TRYING
        fused = [self._fused]
        for variation in (*(fused if early else []), self._im2col, self._layouts, *([] if early else fused), self._folded, self._compiled):
            best = variation(best)
        return Found(tuple(self.ways), self._possible(), self.images, self.reference.tolerance, self.share, self.complete)

    # The stages

    def _prepared(self) -> Trial:
        """The exact way, after a few steps, with all that others are compared with."""
        subject = self.subject
        way = Way(threads=subject.threads[0])
        # Beside a busy neighbour a step on all cores can take a hundred times as long as one on those that are free.
        use_threads(min(way.threads, subject.free))
        try:
            self._go_on()
            model = copy.deepcopy(subject.model)
            steps = Steps(model, self._config(way), subject.device, subject.frozen)
            judged, self.images = pictures(subject, steps, self.timer, self._go_on)
            self.batches = [(images[: self.images], labels[: self.images]) for images, labels in judged]
            self.scale = subject.config.batch_size / self.images
            self._models["contiguous"] = (model, steps.optimizer)
            try:
                exact = Trial(way, steps, self._halves(steps), warm=True)
            except NotSplit:
                self.share = None
                exact = Trial(way, steps, warm=True)
            for batch in judged:
                self._go_on()
                steps.backward(steps.forward(batch))
                steps.update()
            self._go_on()
            self.reference = Reference(steps, judged[-2:])
        except (RuntimeError, ValueError, MemoryError) as error:  # the run itself will say what to do
            raise Hopeless(first_line(error)) from None
        if not self.reference.finite:
            raise Hopeless("losses are not finite, even in float32")
        self.ways.append(replace(way, loss_error=0.0, gradient_error=0.0))
        exact.way = self.ways[0]
        return exact

    def _threads(self, exact: Trial) -> Trial:
        """How many threads: more than there are free cores only if that is clearly faster."""
        subject = self.subject
        trials = [exact, *(Trial(replace(exact.way, threads=count), exact.steps, exact.halves, warm=True) for count in subject.threads[1:])]
        self.ways = [trial.way for trial in trials]
        # Those that fit come first: a step on more threads than free cores can take so long that one is enough.
        self._time(sorted(trials, key=lambda trial: trial.way.threads > subject.free))
        measured = [trial for trial in trials if trial.passes]
        fitting = [trial for trial in measured if trial.way.threads <= subject.free] or measured
        best = min(fitting, key=self._seconds)
        for trial in measured:
            if trial.way.threads > subject.free and trial not in fitting:
                if self._seconds(trial) < BESIDE_OTHERS * self._seconds(best):
                    best = trial
                else:
                    self._put(trial, refused="others use the processor: more threads than free cores wait for each other")
        return best

    def _layouts(self, exact: Trial) -> Trial:
        """Memory format and number format, each with each."""
        trials = [exact]
        for number_format in self._precisions():
            for memory_format in reversed(FORMATS):  # the more promising one first, should time run out
                way = Way(memory_format, number_format, exact.way.fused_optimizer, threads=exact.way.threads)  # type: ignore[arg-type]
                if number_format == "bfloat16" and self.subject.device.type == "cpu" and not bfloat16_is_native():
                    self.ways.append(replace(way, refused="not tried: this processor has no instructions for bfloat16"))
                elif (memory_format, number_format) != ("contiguous", "float32"):
                    trials += self._tried(way, lambda way=way: self._of_format(way))  # type: ignore[misc]
        self._time(trials)
        return self._best(trials)

    def _im2col(self, best: Trial) -> Trial:
        """Other weight gradients of convolutions, where these give small maps. Before the formats, since only contiguous float32 has them."""
        steps, (pixels, _) = best.steps, self.batches[0]
        self._small_maps = self.subject.device.type == "cpu" and im2col.helps(steps.model, lambda: steps.live(*steps.inputs(pixels)))
        if not self._small_maps:
            return best
        way = replace(best.way, im2col_gradients=True, step_seconds=None)

        def make() -> Trial:
            own = Steps(copy.deepcopy(steps.model), self._config(way), self.subject.device, self.subject.frozen)
            return Trial(way, own, self._halves(own))

        return self._added(best, way, make)

    def _fused(self, best: Trial) -> Trial:
        way = replace(best.way, fused_optimizer=True, step_seconds=None)
        if not OPTIMIZERS[self.subject.config.optimizer].fused:
            return best
        if self._in_vain("updates take", self._update_share(best), way):
            return best

        def make() -> Trial:
            return Trial(way, Steps(best.steps.model, self._config(way), self.subject.device, self.subject.frozen), best.halves)

        found = self._added(best, way, make, judged=False)
        self._models[way.memory_format] = (found.steps.model, found.steps.optimizer)  # formats share it from here on
        return found

    def _folded(self, best: Trial) -> Trial:
        halves = best.halves
        if halves is None or not any(isinstance(module, _BatchNorm) for module in _called(halves)):
            return best
        way = replace(best.way, fold_norms=True, step_seconds=None)
        prefixes = (self.share or 0.0) * self.scale * statistics.median(best.prefixes)
        if self._in_vain("computing features once takes", prefixes / self._seconds(best), way):
            return best

        def make() -> Trial:
            steps = Steps(best.steps.model, self._config(way), self.subject.device, self.subject.frozen, best.steps.optimizer)
            return Trial(way, steps, replace(halves, prefix=fold_norms(halves.prefix)))

        return self._added(best, way, make)

    def _compiled(self, best: Trial) -> Trial:
        if not self._may_compile():
            return best
        way = replace(best.way, compile_model=True, step_seconds=None)
        left = self.subject.steps * self._seconds(best)
        if left < WORTH_COMPILING_SECONDS:
            self.ways.append(replace(way, refused=f"not tried: the run takes {left:.0f} s, and compiling alone 8 to 92 s"))
            return best

        def make() -> Trial:
            steps = Steps(best.steps.model, self._config(way), self.subject.device, self.subject.frozen, best.steps.optimizer)
            trial = Trial(way, steps, best.halves)
            steps.live = torch.compile(steps.live)
            start = self.timer(way, "start", steps, lambda: steps.backward(steps.forward(self.batches[0])), False)
            steps.optimizer.zero_grad()
            trial.way = replace(way, start_seconds=start)
            return trial

        return self._added(best, way, make)

    # Making and timing

    def _of_format(self, way: Way) -> Trial:
        """A way that differs from exact in its formats: ways of one memory format share a copy of the model."""
        model, optimizer = self._models.get(way.memory_format, (None, None))
        if model is None:
            model = copy.deepcopy(self._models["contiguous"][0])
        steps = Steps(model, self._config(way), self.subject.device, self.subject.frozen, optimizer)
        self._models[way.memory_format] = (model, steps.optimizer)
        return Trial(way, steps, self._halves(steps))

    def _tried(self, way: Way, make: Callable[[], Trial], judged: bool = True) -> list[Trial]:
        """The trial of a way, ready to be timed; none where it cannot be made or is too far from exact, and then its row says why."""
        self._go_on()
        if time.perf_counter() > self._deadline:
            self.complete = False
            self.ways.append(replace(way, refused="not tried: no time left"))
            return []
        use_threads(way.threads)
        try:
            trial = make()
            if judged:
                trial.way = self.reference.judged(trial.way, trial.steps)
                trial.warm = True
        except Exception as error:  # noqa: BLE001 - whatever an unusual way, a backend or a compiler raises: it is not for this run
            self.ways.append(replace(way, refused=f"does not work here: {first_line(error)}"))
            self.complete = self.complete and not isinstance(error, torch.OutOfMemoryError | MemoryError)
            return []
        self.ways.append(trial.way)
        return [] if trial.way.refused else [trial]

    def _added(self, best: Trial, way: Way, make: Callable[[], Trial], judged: bool = True) -> Trial:
        """The better one of the best way so far and that with one thing added."""
        trials = self._tried(way, make, judged)
        if not trials:
            return best
        self._time([best, *trials])
        return self._best([best, *trials])

    def _halves(self, steps: Steps) -> Split | None:
        """The model before and after what is kept, if anything is."""
        side = self.subject.config.image_size
        return None if self.share is None else split(steps.model, steps.inputs(torch.randint(256, (3, 3, side, side), dtype=torch.uint8))[0])

    def _time(self, trials: list[Trial]) -> None:
        """Have all take steps in turn. The first, if it was timed before, sets the scale for the others."""
        anchor, began = trials[0], time.perf_counter()
        before = self._seconds(anchor) if anchor.passes else None
        if before and len(trials) == 1:
            return
        for trial in trials:
            trial.prefixes, trial.passes, trial.updates = [], [], []
        running = list(trials)
        for number in range(MOST_ROUNDS):
            now = time.perf_counter()
            if number >= FEWEST_ROUNDS and (now > self._deadline or now - began > STAGE_SECONDS):
                break
            for trial in list(running):
                self._go_on((len(trials) - bool(before)) * min(1.0, number / FEWEST_ROUNDS))
                try:
                    self._step(trial, self.batches[number % len(self.batches)])
                except Exception as error:  # noqa: BLE001 - as in `_tried`
                    if trial is anchor:
                        raise Hopeless(first_line(error)) from None
                    running.remove(trial)
                    self._put(trial, refused=f"does not work here: {first_line(error)}")
                    trial.passes = []
            if number == 0:
                quickest = min(self._seconds(trial) for trial in running)
                running = [trial for trial in running if self._seconds(trial) < TOO_SLOW * quickest or (before and trial is anchor)]
        factor = before / self._seconds(anchor) if before else 1.0
        for trial in trials:
            for times in (trial.prefixes, trial.passes, trial.updates):
                times[:] = [factor * seconds for seconds in times]
            if trial.passes:
                step = trial.seconds(self.scale, 0.0, 1 / self.subject.config.accumulate)
                self._put(trial, step_seconds=step, prefix_seconds=statistics.median(trial.prefixes or [0.0]) * self.scale)

    def _step(self, trial: Trial, batch: Pair) -> None:
        steps, way = trial.steps, trial.way
        use_threads(way.threads)
        if not trial.warm:
            steps.backward(steps.forward(batch))
            steps.update()
            trial.warm = True
        pixels, labels = batch
        inputs: list[tuple[Tensor, ...]] = []
        if trial.halves is None:
            passed = self.timer(way, "pass", steps, lambda: steps.backward(steps.forward(batch)), self._own)
        else:
            trial.prefixes.append(self.timer(way, "prefix", steps, lambda: inputs.append(steps.inputs(pixels)), self._own))
            passed = self.timer(way, "pass", steps, lambda: steps.backward(steps.loss_of(inputs[-1], labels)), self._own)
        trial.passes.append(passed)
        trial.updates.append(self.timer(way, "update", steps, steps.update, self._own))

    # Small questions

    def _best(self, trials: list[Trial]) -> Trial:
        return min((trial for trial in trials if trial.passes), key=self._seconds)

    def _seconds(self, trial: Trial) -> float:
        return trial.seconds(self.scale, self.share or 0.0, 1 / self.subject.config.accumulate)

    def _put(self, trial: Trial, **figures: Any) -> None:
        place = self.ways.index(trial.way) if trial.way in self.ways else len(self.ways)
        trial.way = replace(trial.way, **figures)
        self.ways[place : place + 1] = [trial.way]

    def _update_share(self, trial: Trial) -> float:
        """Share of a step that its update takes."""
        return statistics.median(trial.updates) / self.subject.config.accumulate / self._seconds(trial)

    def _in_vain(self, what: str, share: float, way: Way) -> bool:
        """Whether so small a share of a step goes into something that making it faster cannot help; the way's row says so then."""
        if share < WORTH_TRYING:
            self.ways.append(replace(way, refused=f"not tried: {what} {100 * share:.1f} % of the time"))
        return share < WORTH_TRYING

    def _precisions(self) -> tuple[str, ...]:
        return ("float32", "bfloat16") if self.subject.device.type == "cpu" else ("float32", "bfloat16", "float16")

    def _may_compile(self) -> bool:
        """On a processor torch.compile needs a C++ compiler, and longer than most runs."""
        return self.subject.device.type == "cuda"

    def _possible(self) -> int:
        """Number of combinations there are."""
        fused = OPTIMIZERS[self.subject.config.optimizer].fused
        yes_or_no = fused + (self.share is not None) + self._may_compile() + self._small_maps
        return int(len(FORMATS) * len(self._precisions()) * len(self.subject.threads) * 2**yes_or_no)

    def _config(self, way: Way) -> RunConfig:
        return self.subject.config.replace(
            memory_format=way.memory_format,
            precision=way.precision,
            fused_optimizer=way.fused_optimizer,
            im2col_gradients=way.im2col_gradients,
            fold_norms=False,
            compile_model=False,
        )

    def _go_on(self, nearly: float = 0.0) -> None:
        """`nearly`: ways that are being timed, each as much as of it is done."""
        measured = sum(way.step_seconds is not None or bool(way.refused) for way in self.ways) + nearly
        ways = max(int(measured) + 1, len(self.subject.threads) + len(FORMATS) * len(self._precisions()) + 1)
        try:
            self.tell(measured, ways)
        except Exception as reason:  # noqa: BLE001 - it comes out of `run`
            raise _Ended(reason) from None


def _called(halves: Split) -> Iterator[nn.Module]:
    for node in halves.prefix.graph.nodes:
        if node.op == "call_module":
            yield halves.prefix.get_submodule(str(node.target))
