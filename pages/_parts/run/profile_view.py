"""Where the time of a run goes: a step's stages while it trains, and on demand every block, forward and backward, with the memory it takes."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.records import telling
from core.records.events import CommandKind, RunStatus, Stage
from core.records.profile import BlockTime, LayerTime, Profile, StepTimes
from core.store import Run
from pages._parts.components.step_time import Cell, Line, Slice, bar, table
from pages._parts.shared import words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

TICK = 1.0
"""Seconds between looks while a run goes on."""


def show(shared: Services, shown: Run) -> None:
    """The bar of stages always, the rest once it is opened. For a fragment, so that the charts are left alone."""
    run = shared.store.run(shown.id)
    times = run.stages
    if times is not None and times.steps:
        _stages(run, times)
    elif run.status.active:
        st.caption(":material/timer: Where a step's time goes: the first figures come with the first steps.")
    elif not run.step:
        return
    profile = shared.store.profile(run.id)
    # Not the headline: an expander whose label changes is another one, and closed.
    box = st.expander("**Profile: blocks, memory and stages of a step**", icon=":material/timer:", key=f"profile_{run.id}", on_change="rerun")
    if not box.open:
        return
    with box:
        st.markdown(f"**{headline(profile)}**")
        _ask(shared, run, profile)
        if profile is not None:
            _blocks(run, profile)
            _memory(run, profile)
        if times is not None and times.steps:
            _stage_table(run, times)


def headline(profile: Profile | None) -> str:
    """The most important thing, in a line."""
    if profile is None:
        return "No steps were looked into yet"
    return words.plain(f"{telling.profile_headline(profile)}, at steps {profile.first_step:,} to {profile.last_step:,}")


# Stages


def _stages(run: Run, times: StepTimes) -> None:
    recent = run.status.active and times.recent_steps
    seconds, steps = (times.recent_seconds, times.recent_steps) if recent else (times.seconds, times.steps)
    total = sum(seconds.values()) or 1.0
    over = "over the last seconds" if recent else f"over all {times.steps:,} steps"
    slices = tuple(
        Slice(stage, about, seconds[stage] / total, f"{milliseconds(seconds[stage] / steps)} a step", place)
        for place, (stage, about) in enumerate(telling.STAGES.items())
        if seconds.get(stage)
    )
    costs = watching(seconds)
    note = f"{milliseconds(total / steps)} a step {over} · watching costs {costs} of it: the parts watching and recording"
    if times.launches:
        note += " · time to launch each part: the device works on while the next is launched, see the profile for its own times"
    bar(f"stages_{run.id}", "Where a step's time goes", note, slices, run.id, costs)


def watching(seconds: Mapping[Stage, float]) -> str:
    """What watching costs of these seconds, measuring and recording together, as the meter above the charts has it: '1.8 %'."""
    share = (seconds.get("watching", 0.0) + seconds.get("recording", 0.0)) / (sum(seconds.values()) or 1.0)
    return f"{'less than 0.1' if share < 0.0005 else f'{100 * share:.1f}'} %"


def _stage_table(run: Run, times: StepTimes) -> None:
    st.markdown("**Stages of a step, at every step**")

    def cell(seconds: dict[Stage, float], steps: int, stage: Stage) -> Cell:
        total = sum(seconds.values())
        if not steps or not total:
            return Cell(None, "none yet")
        share = seconds.get(stage, 0.0) / total
        return Cell(share, f"{milliseconds(seconds.get(stage, 0.0) / steps)}, {words.percent(share)}")

    lines = tuple(
        Line(stage, about, (cell(times.recent_seconds, times.recent_steps, stage), cell(times.seconds, times.steps, stage)))
        for stage, about in telling.STAGES.items()
        if times.seconds.get(stage)
    )
    columns = ("Stage", f"Last {times.recent_steps:,} steps", f"All {times.steps:,} steps", "What it is")
    table(f"stage_table_{run.id}", "Time a step by stage", columns, lines)
    device = words.code(run.plan.device) if run.plan else "the device"
    st.caption(
        f"On {device} these are the times to launch work, and the work itself shows up as waiting. The profile waits for it at each border."
        if times.launches
        else "Time of training steps alone: validation, pauses and saving are not in it."
    )


# The profile


def _ask(shared: Services, run: Run, profile: Profile | None) -> None:
    asked = [command for command in shared.store.commands(run.id) if command.kind == CommandKind.PROFILE and not command.error]
    last = asked[-1] if asked else None
    waiting = last is not None and (last.applied_at_step is None or profile is None or profile.last_step <= last.applied_at_step)
    waiting = waiting and run.status.active
    row = st.container(horizontal=True, vertical_alignment="center")
    row.button(
        "Profile a few steps",
        key=f"ask_profile_{run.id}",
        icon=":material/timer:",
        disabled=waiting or not run.status.active or run.plan is None,
        help="Measures the next five steps layer by layer. Training itself goes on as it would have, to the bit.",
        on_click=careful(_ask_for_one),
        args=(shared, run.id),
    )
    if waiting:
        paused = "is paused, and looks into its next steps once it goes on" if run.status == RunStatus.PAUSED else "looks into its next steps"
        row.caption(f":material/schedule: Asked for: the run {paused}.")
    elif profile is None and run.status.active:
        row.caption("Press the button to see which blocks of the model take the time, forward and backward, and what lies in memory.")
    elif profile is None:
        row.caption("The run ended before any of its steps were looked into. Train again, and press the button while it goes on.")
    else:
        by = "as asked" if profile.asked else "by itself, near the start"
        medians = f"Medians of steps {profile.first_step:,} to {profile.last_step:,}, taken {by}"
        step = f"{milliseconds(profile.seconds)} a step with the profiler's own work"
        row.caption(f"{medians} · {profile.samples:,} images a step on {words.code(profile.device)} · {step}.")


def _ask_for_one(shared: Services, run_id: str) -> None:
    shared.supervisor.profile(run_id)


def _blocks(run: Run, profile: Profile) -> None:
    if not profile.blocks:
        st.info("torch.compile has translated the model: its layers do not run one by one, so there are no times of blocks.", icon=":material/info:")
        return
    longest = max((seconds for block in profile.blocks for seconds in (block.forward, block.backward) if seconds), default=0.0)
    lines = tuple(_block(block, longest, profile.seconds) for block in profile.blocks)
    table(f"blocks_{run.id}", "Time a step by block", ("Block", "Forward", "Backward", "Share of a step", "Note"), lines)
    forward, backward = milliseconds(profile.outside), milliseconds(profile.loss)
    rest = f"Outside all blocks: {forward} before the first and for the loss, {backward} backward through the loss."
    kept = " Kept features are served in place of what is not computed." if any(block.forward is None for block in profile.blocks) else ""
    st.caption(f"Open a block to see its layers. {rest}{kept}")


def _block(block: BlockTime, longest: float, step: float) -> Line:
    share = ((block.forward or 0.0) + (block.backward or 0.0)) / step if step else 0.0
    cells = (
        _cell(block.forward, longest, "not computed"),
        _cell(block.backward, longest, "none"),
        Cell(min(share, 1.0), words.percent(share)) if block.forward is not None else Cell(None, "0 %"),
    )
    several = len(block.layers) > 1 or any(layer.name != block.name for layer in block.layers)
    inside = tuple(_layer(layer, block, longest, step) for layer in block.layers) if several and block.forward is not None else ()
    return Line(block.name, telling.block_note(block), cells, inside)


def _layer(layer: LayerTime, block: BlockTime, longest: float, step: float) -> Line:
    share = (layer.forward + (layer.backward or 0.0)) / step if step else 0.0
    cells = (_cell(layer.forward, longest, "none"), _cell(layer.backward, longest, "none"), Cell(min(share, 1.0), words.percent(share)))
    return Line(layer.name.removeprefix(f"{block.name}."), layer.kind, cells)


def _cell(seconds: float | None, longest: float, absent: str) -> Cell:
    return Cell(None, absent) if seconds is None else Cell(seconds / longest if longest else 0.0, milliseconds(seconds))


def _memory(run: Run, profile: Profile) -> None:
    st.markdown("**What lies in memory**")
    rows = telling.memory_rows(profile.memory)
    longest = max(number for _, number, _ in rows) or 1
    lines = tuple(Line(name, about, (Cell(number / longest, telling.size(number)),)) for name, number, about in rows)
    table(f"memory_{run.id}", "Memory by category", ("Category", "Size", "What it is"), lines)
    peak = telling.peak_in_words(profile.memory)
    st.caption(f"{peak[:1].upper()}{peak[1:]}.")


def milliseconds(seconds: float) -> str:
    """A time of three digits: '12.3 ms', '0.086 ms' or '1.24 s'."""
    if seconds >= 0.9995:
        return f"{seconds:.3g}\u00a0s"
    return f"{1000 * seconds:.3g}\u00a0ms" if seconds >= 1e-6 else "0\u00a0ms"
