"""Where the time goes: stages, a profile that changes no bit, and watching that thins itself where it would cost too much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import FROZEN, NO_GRADIENT, NOT_MEASURED, CommandKind, Reuse, StepRow
from core.records.profile import Profile
from core.records.summaries import Summarizer
from core.records.telling import block_note, size
from core.signals.profiling import Profiler, Stages
from core.signals.watch import Pace, Spent, Watch, pace_for
from core.store import RunStore
from core.training.trainer import StepReport, Trainer
from core.worker.assembly import assemble
from core.worker.process import work
from core.worker.recorder import Recorder
from core.worker.supervisor import Supervisor
from tests.signals.profiling_cases import QUICK
from tests.support import nursery, wait_until


class Ticks:
    """A clock that moves a tenth of a millisecond each time that it is read: the same in every test run, however busy the machine."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-4
        return self.now


def trainer_of(home: Home, **changes: Any) -> Trainer:
    return assemble(RunConfig(**{**QUICK, **changes}), home).trainer


def steps_of(trainer: Trainer) -> Iterator[StepReport]:
    return (report for report in trainer.run() if isinstance(report, StepReport))


# How often is measured


NORM, LOOK = 23e-6, 60e-6


EVERY_STEP = Pace(1, 10)


def spent(step: float, always: float = 5e-6, norms: float = NORM, pace: Pace = EVERY_STEP) -> Spent:
    """A thousand steps of `step` seconds without watching, watched at `pace`."""
    measured, looks = 1000 // pace.norms, 1000 // pace.looks
    watching = 1000 * always + measured * norms + looks * LOOK
    return Spent(1000, 1000 * step + watching, watching, measured * norms, measured, looks * LOOK, looks)


def share_at(pace: Pace, step: float, always: float = 5e-6) -> float:
    """What watching costs at a pace, as a share of the time."""
    found = spent(step, always, pace=pace)
    return found.watching / found.seconds


@pytest.mark.parametrize("step", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("norm", [NORM, 0.3, 5.0])
def test_steps_that_a_person_can_follow_are_all_measured_whatever_it_costs(step: float, norm: float) -> None:
    assert pace_for(spent(step, norms=step * norm), step * norm, LOOK, Pace(1, 10), 10, 0.02) == Pace(1, 10)


def test_weight_changes_give_way_before_gradient_norms() -> None:
    pace = pace_for(spent(1.6e-3), NORM, LOOK, Pace(1, 10), 10, 0.02)
    assert pace.norms == 1
    assert pace.looks in (20, 40)


@pytest.mark.parametrize("step", [250e-6, 400e-6, 1e-3])
def test_watching_a_cached_head_stays_within_the_budget(step: float) -> None:
    always = 0.01 * step
    pace = pace_for(spent(step, always), NORM, LOOK, Pace(1, 10), 10, 0.02)
    assert pace.norms > 1
    assert pace.norms & (pace.norms - 1) == 0, "a power of two, so that buckets of every level hold as many measured steps"
    assert share_at(pace, step, always) <= 0.02 < share_at(Pace(1, 10), step, always)


def test_watching_goes_back_to_every_step_when_that_is_cheap_again() -> None:
    assert pace_for(spent(5e-3, pace=Pace(16, 320)), NORM, LOOK, Pace(16, 320), 10, 0.02) == Pace(1, 10)


def test_pace_does_not_go_back_and_forth_between_two_windows() -> None:
    for step in np.geomspace(100e-6, 4e-3, 23):
        pace, found = Pace(1, 10), []
        for wobble in (1.0, 0.94, 1.06, 0.94, 1.06, 0.97, 1.03):
            pace = pace_for(spent(step * wobble, 2e-6, pace=pace), NORM, LOOK, pace, 10, 0.02)
            found.append(pace)
        assert len(set(found[1:])) == 1, (step, found)


def test_what_recording_alone_costs_does_not_thin_norms_to_nothing() -> None:
    step = 400e-6
    pace = pace_for(spent(step, always=0.1 * step), NORM, LOOK, Pace(1, 10), 10, 0.02)
    assert NORM / pace.norms > 0.002 * step


def test_whole_budget_means_that_nothing_is_thinned() -> None:
    assert pace_for(spent(100e-6), NORM, LOOK, Pace(1, 10), 10, 1.0) == Pace(1, 10)


# Thinned watching


def test_norms_are_measured_at_every_kth_step_and_wherever_weights_are_looked_at(home: Home) -> None:
    trainer = trainer_of(home, batch_size=64)
    trainer.watch.pace = Pace(4, 10)
    reports = list(steps_of(trainer))
    assert [report.step for report in reports if report.sample] == [1, 11]
    assert [report.step for report in reports if report.gradient_norms is not None] == [1, 5, 9, 11, 13, 17]


def test_thinned_watching_changes_no_bit_of_the_training(home: Home) -> None:
    whole, thinned = trainer_of(home), trainer_of(home)
    thinned.watch.pace = Pace(8, 40)
    losses = [[report.loss.item() for report in steps_of(trainer)] for trainer in (whole, thinned)]
    assert losses[0] == losses[1]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(whole.model.parameters(), thinned.model.parameters(), strict=True))


def test_clipping_gets_its_norms_at_every_step(home: Home) -> None:
    trainer = trainer_of(home, clip_norm=0.5)
    trainer.watch.pace = Pace(8, 40)
    reports = list(steps_of(trainer))
    assert all(report.gradient_norms is not None for report in reports)
    assert trainer.watch.norms_measured == len([report for report in reports if (report.step - 1) % 8 == 0])


def test_recorder_thins_what_costs_too_much_and_keeps_every_loss(home: Home, store: RunStore) -> None:
    clock = Ticks()
    assembly = assemble(RunConfig(**{**QUICK, "epochs": 30, "freeze": "head only"}), home)
    trainer = assembly.trainer
    trainer.stages, trainer.watch = Stages(clock), Watch(10, 0.02, clock)
    run_id = store.create_run(RunConfig(**QUICK))
    store.begin(run_id, assembly.plan)
    recorder = Recorder(store, run_id, trainer, assembly.doctor())
    for report in steps_of(trainer):
        recorder.add(report)
        if report.step % 40 == 0:
            recorder.flush()
    recorder.flush()
    run, rows = store.run(run_id), store.steps_after(run_id, 0, 0)
    assert run.stages is not None
    assert run.stages.norms_every > 1
    assert run.stages.looks_every > 10
    assert run.stages.steps == len(rows.step) == assembly.plan.total_steps
    assert np.isfinite(rows.loss).all()
    learns = ~np.array([layer.frozen for layer in assembly.plan.layers])
    missing = (rows.gradient_norms[:, learns] == NOT_MEASURED).all(axis=1)
    assert not missing[:40].any(), "it begins with every step"
    assert missing[-40:].mean() >= 0.5
    assert (rows.gradient_norms[:, learns][~missing] >= 0).all()
    assert (rows.gradient_norms[:, ~learns] == FROZEN).all()


def test_summaries_are_over_the_steps_that_were_measured() -> None:
    def row(step: int, *norms: float) -> StepRow:
        return StepRow(step, 1, 0.0, 1.0, 0.1, 1.0, np.array(norms, np.float32))

    nothing = (NOT_MEASURED, FROZEN, NOT_MEASURED, NOT_MEASURED)
    found = Summarizer().add([row(1, 4.0, FROZEN, np.nan, NO_GRADIENT), row(2, *nothing), row(3, *nothing), row(4, *nothing)])
    norms = {(level.level, level.step): level.gradient_norms for level in found}
    for place in ((1, 2), (2, 4)):
        assert norms[place][:2].tolist() == [4.0, FROZEN]
        assert np.isnan(norms[place][2])
        assert norms[place][3] == NO_GRADIENT
    assert norms[1, 4].tolist() == list(nothing)


# Stages


def test_stages_add_up_to_all_the_time_but_what_is_left_out() -> None:
    clock = Ticks()
    stages = Stages(clock)
    clock.now += 5
    stages.begin()
    clock.now += 2
    stages.done("data")
    clock.now += 1
    stages.done("forward")
    clock.now += 3
    stages.done("data")
    assert stages.seconds == pytest.approx({"data": 5, "forward": 1}, abs=1e-3)


def test_stages_of_a_run_are_in_the_store_and_say_what_watching_costs(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**{**QUICK, "epochs": 2}))
    work(home, run_id)
    run = store.run(run_id)
    assert run.stages is not None
    assert {"data", "forward", "backward", "optimizer", "watching", "recording"} <= run.stages.seconds.keys()
    assert all(seconds >= 0 for seconds in run.stages.seconds.values())
    assert run.stages.steps == run.step
    assert sum(run.stages.seconds.values()) == pytest.approx(run.step_seconds)
    assert run.watching == pytest.approx((run.stages.seconds["watching"] + run.stages.seconds["recording"]) / run.step_seconds)
    # Validation, tests and preparation are in none of them.
    assert run.step_seconds < run.active_seconds
    epochs = store.epochs_after(run_id)
    assert [epoch.epoch for epoch in epochs] == [1, 2]


# Profiles


def profiled(trainer: Trainer, first: int, steps: int = 3) -> Profile:
    """Train to the end, with `steps` steps from `first` on profiled."""
    profiler = Profiler(trainer.model, trainer.optimizer, trainer.stages, trainer.device, steps)
    found: Profile | None = None
    for report in steps_of(trainer):
        if profiler.running and profiler.step():
            found = profiler.profile(report.step, report.samples, trainer.partition.tell(), True)
        elif report.step == first - 1:
            profiler.start()
    assert found is not None
    return found


@pytest.mark.parametrize("changes", [{}, {"freeze": "head only", "epochs": 2}])
def test_profiled_steps_change_no_bit_and_leave_no_hook(home: Home, changes: dict[str, Any]) -> None:
    plain, watched = trainer_of(home, **changes), trainer_of(home, **changes)
    for _ in steps_of(plain):
        pass
    profiled(watched, 2)
    state = watched.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain.model.state_dict().items())
    assert not watched.stages.listener
    assert not modules._global_forward_hooks
    assert not modules._global_forward_pre_hooks
    kept = torch.ones(2, requires_grad=True)
    assert (kept * kept).grad_fn._saved_self is not None  # type: ignore[union-attr]  # and none for what autograd saves


def test_profile_has_every_block_forward_and_backward_and_adds_up(home: Home) -> None:
    trainer = trainer_of(home)
    profile = profiled(trainer, 3)
    assert [block.name for block in profile.blocks if block.frozen is not None] == ["stage1", "stage2", "stage3", "head"]
    assert (profile.first_step, profile.last_step, profile.samples) == (3, 5, 128)
    for block in profile.blocks:
        assert block.forward is not None
        assert block.forward > 0
        assert sum(layer.forward for layer in block.layers) <= block.forward * 1.5
    stage1 = profile.blocks[0]
    assert {layer.kind for layer in stage1.layers} >= {"Conv2d", "BatchNorm2d"}
    assert all(layer.backward for layer in stage1.layers if layer.kind == "Conv2d")
    forward = sum(block.forward or 0 for block in profile.blocks) + profile.outside
    backward = sum(block.backward or 0 for block in profile.blocks) + profile.loss
    # Medians of parts, so about the median of the whole; without what the profiler itself does between two layers.
    assert 0.3 * profile.stages["forward"] < forward < 1.5 * profile.stages["forward"]
    assert 0.3 * profile.stages["backward"] < backward < 1.5 * profile.stages["backward"]


def test_memory_of_a_profile_is_counted_from_the_tensors(home: Home) -> None:
    trainer = trainer_of(home)
    memory = profiled(trainer, 3).memory
    weights = sum(parameter.nbytes for parameter in trainer.model.parameters())
    assert memory.weights == memory.gradients == weights
    assert 2 * weights <= memory.optimizer <= 2 * weights + 1000  # AdamW: two moments, and a counter a tensor
    first = 128 * 3 * 16 * 16 * 4
    assert first < memory.activations < 100 * first
    assert memory.peak > 50e6
    assert memory.peak_of == "process"


def test_frozen_blocks_have_no_backward_and_kept_ones_are_not_computed(home: Home) -> None:
    filling, serving = (profiled(trainer_of(home, freeze="head only", epochs=2), first) for first in (3, 12))
    for profile, state, note in ((filling, "filling", "no backward: frozen"), (serving, "serving", "not computed: kept")):
        blocks = {block.name: block for block in profile.blocks}
        assert profile.reuse == state
        assert [block_note(blocks[name]) for name in ("stage1", "stage2", "stage3")] == [note] * 3
        assert blocks["head"].backward
        assert block_note(blocks["head"]) == ""
    assert serving.memory.kept > 0


def test_container_modules_with_sums_between_their_layers_are_counted_whole() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.one(x)
            for _ in range(200):
                x = (x + 1).sin()
            y: torch.Tensor = self.two(x)
            return y

    model = nn.Sequential(Residual(), nn.Linear(64, 2))
    stages = Stages()
    profiler = Profiler(model, torch.optim.SGD(model.parameters()), stages, torch.device("cpu"), 1)
    profiler.start()
    stages.begin()
    loss = model(torch.randn(8, 64)).sum()
    stages.done("forward")
    loss.backward()
    stages.done("backward")
    assert profiler.step()
    found = {block.name: block for block in profiler.profile(1, 8, Reuse("off"), True).blocks}
    between = found["0.two"]  # what goes into a layer counts for its block
    assert between.forward is not None
    assert between.backward is not None
    # 400 operations that belong to no layer: they are most of the block, and of its backward pass.
    assert between.forward > 2 * sum(layer.forward for layer in between.layers)
    assert between.backward > 2 * sum(layer.backward or 0 for layer in between.layers)


def test_running_run_profiles_itself_once_and_again_when_asked(home: Home, store: RunStore) -> None:
    supervisor = Supervisor(home, store, nursery())
    run_id = supervisor.start(RunConfig(**{**QUICK, "epochs": 5000, "augmentation": "flip"}))
    wait_until(lambda: store.profile(run_id), what="the first profile")
    first = store.profile(run_id)
    assert first is not None
    assert not first.asked
    assert first.first_step == 21
    command = supervisor.profile(run_id)
    wait_until(lambda: (found := store.profile(run_id)) and found.asked, what="the profile that was asked for")
    asked = store.profile(run_id)
    assert asked is not None
    (answered,) = [each for each in store.commands(run_id) if each.id == command]
    assert answered.kind is CommandKind.PROFILE
    assert answered.applied_at_step is not None
    assert answered.applied_at_step < asked.first_step <= asked.last_step
    supervisor.stop(run_id)
    wait_until(lambda: not store.run(run_id).status.active, what="the end")
    assert store.profile(run_id) == asked
    supervisor.close()


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 kB"), (999, "999 bytes"), (1000, "1 kB"), (20_480, "20 kB"), (4_718_592, "4.7 MB"), (43_000_000, "43.0 MB"), (23.5e9, "23.5 GB")],
)
def test_bytes_are_put_into_the_same_words_everywhere(number: float, words: str) -> None:
    assert size(number) == words
