"""How the fastest way to train was found: every way that was measured, and what it would have changed."""

from __future__ import annotations

import streamlit as st

from core.config import RunConfig
from core.records.speed import ALWAYS_ACCEPTED, NEVER_ACCEPTED, SHARE_OF_NOISE, Tuning, Way, applied
from core.store import Run
from pages._parts.shared import words
from pages._parts.shared.services import Services

BUSY = 0.25
"""From this share of the processor on, others are told of: on a quiet machine another way may be the fastest."""

_ROUNDS = {"float32": "", "bfloat16": "rounds to bfloat16: 2 to 3 significant digits", "float16": "rounds to float16: 3 to 4 significant digits"}


def show(shared: Services, run: Run) -> None:
    """The choice in a line, and the table once it is opened. Nothing for a run that was not to look for the fastest way."""
    tuning = shared.store.tuning(run.id) if run.config.speed == "automatic" else None
    if tuning is None:
        return
    with st.expander(f"**How the fastest way was found: {headline(tuning)}**", icon=":material/speed:", key=f"tuning_{run.id}"):
        st.markdown(table(tuning))
        for line in about(tuning):
            st.caption(line)
        if tuning.busy_share >= BUSY and tuning.device == "cpu":
            st.info(
                f"Others used {words.percent(tuning.busy_share)} of the processor while this was measured. On a quiet machine another way may be "
                "the fastest: the next run with speed automatic finds that out by itself.",
                icon=":material/info:",
            )


def with_chosen_way(shared: Services, run: Run, config: RunConfig) -> RunConfig:
    """`config` with what measuring chose for the run; as it is where nothing was chosen."""
    tuning = shared.store.tuning(run.id) if config.speed == "automatic" else None
    return applied(config, tuning.way) if tuning else config


def headline(tuning: Tuning) -> str:
    """'channels_last + bfloat16, 1 thread: 2.20 times as fast as exact'."""
    return words.plain(f"{tuning.way.label}: {tuning.reason}")


def table(tuning: Tuning) -> str:
    """All ways in Markdown, the fastest first, those without a time at the end."""
    heads = ("Way", "Time a step", "Pictures a second", "Times as fast as exact", "Gradients differ by", "What it changes, or why it was not taken")
    rows = [f"| {' | '.join(heads)} |", "|:--|--:|--:|--:|--:|:--|"]
    for way in sorted(tuning.ways, key=lambda way: tuning.seconds(way) or float("inf")):
        seconds, pictures, times = tuning.seconds(way), tuning.samples_per_second(way), tuning.times_faster(way)
        cells = [
            words.plain(way.label) + (" **(chosen)**" if way == tuning.way else ""),
            milliseconds(seconds) if seconds else "not timed",
            f"{pictures:,.0f}" if pictures else "",
            f"{times:.2f}" if times else "",
            difference(way),
            words.plain(note(way)),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def about(tuning: Tuning) -> list[str]:
    """What was measured, and what is accepted."""
    if not tuning.images:
        return ["Nothing was changed: the run trains as exact says."]
    few = f"{tuning.images:,} of a batch's {tuning.batch_size:,}" if tuning.images < tuning.batch_size else f"batches of {tuning.batch_size:,}"
    lines = [
        f"{words.plain(tuning.measured[:1].upper() + tuning.measured[1:])}, with this model on {few} real training pictures "
        f"on {words.code(tuning.device)}: forward, "
        "backward and update, reading pictures left out. The other ways combine parts that were slower alone.",
        f"A way may move a batch's gradient by up to {words.percent(tuning.tolerance)} of its length here: {accepted(tuning.tolerance)}. "
        "Of ways less than 3 % apart, the one nearest to exact is taken.",
    ]
    if tuning.prefix_share is not None:
        lines.append(
            "Features of frozen layers are kept, so the time of a step is that of the layers that learn, and "
            f"{words.percent(tuning.prefix_share)} of what the frozen ones take: each picture goes through them only in that share of the epochs."
        )
    return lines


def accepted(tolerance: float) -> str:
    """Why so much is accepted, `tolerance` as a share of a gradient's length: see `core.measuring.rounding`."""
    if tolerance <= ALWAYS_ACCEPTED:
        return "so much is always accepted"
    if tolerance >= NEVER_ACCEPTED:
        return "more never is, however noisy batches are"
    smaller = 100 * (1 - 1 / (1 + SHARE_OF_NOISE**2))
    return f"a third as far as the choice of its pictures moves it, which is as if batches were {smaller:.0f} % smaller"


def milliseconds(seconds: float) -> str:
    """A time of three digits: '12.3 ms'."""
    return f"{1000 * seconds:.3g}\u00a0ms" if seconds < 0.9995 else f"{seconds:.3g}\u00a0s"


def difference(way: Way) -> str:
    """How far gradients are from exact float32, as a share of their length."""
    if way.gradient_error is None:
        return ""
    if way.gradient_error == 0:
        return "0\u00a0%"
    return f"{100 * way.gradient_error:.1f}\u00a0%" if way.gradient_error >= 0.0005 else "under 0.1\u00a0%"


def note(way: Way) -> str:
    """What a way changes, in words; of one that was refused, why."""
    if way.refused:
        return way.refused
    parts = [_ROUNDS[way.precision]] if _ROUNDS[way.precision] else []
    if way.memory_format != "contiguous" or way.fused_optimizer or way.fold_norms or way.im2col_gradients or way.compile_model:
        parts.append("adds up in another order: a step's last digits differ")
    if way.start_seconds:
        parts.append(f"compiling takes {words.duration(way.start_seconds)} first")
    return "; ".join(parts) or "nothing: as plain PyTorch"
