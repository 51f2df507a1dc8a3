"""What `speed` automatic is about: ways to compute a step, how the fastest was found, and a config with the chosen one in it. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.config import RunConfig

SHARE_OF_NOISE, ALWAYS_ACCEPTED, NEVER_ACCEPTED = 1 / 3, 0.05, 0.5
"""How far a way may move a gradient: see `core.measuring.rounding`."""


@dataclass(frozen=True)
class Way:
    """One way to compute a training step, and what measuring found out about it. The fields of a config have their names.

    `step_seconds` is the median time of forward, backward and update of one batch (None: it was not timed, `refused` says why; where
    gradients of several batches are added up, its share of an update);
    where features are kept, that of the layers after the border, and `prefix_seconds` what the layers before it take, which come
    once a picture. `start_seconds` pass before the first step: compiling.

    `loss_error` and `gradient_error` are relative differences from exact float32 on the same pictures: |loss' - loss| / loss and
    the L2 norm of gradient' - gradient over that of the gradient, of all parameters together; None: not compared, or not finite.
    `refused`: why it must not be chosen.
    """

    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    fused_optimizer: bool = False
    compile_model: bool = False
    fold_norms: bool = False
    im2col_gradients: bool = False
    threads: int = 1
    step_seconds: float | None = None
    prefix_seconds: float = 0.0
    start_seconds: float = 0.0
    loss_error: float | None = None
    gradient_error: float | None = None
    refused: str = ""

    @property
    def label(self) -> str:
        """What differs from exact, in a few words: 'channels_last + bfloat16, 1 thread'."""
        parts = [
            *([self.memory_format] if self.memory_format != "contiguous" else []),
            *([self.precision] if self.precision != "float32" else []),
            *(["fused optimizer"] if self.fused_optimizer else []),
            *(["folded BatchNorm"] if self.fold_norms else []),
            *(["im2col gradients"] if self.im2col_gradients else []),
            *(["torch.compile"] if self.compile_model else []),
        ]
        return f"{' + '.join(parts) or 'exact'}, {self.threads} thread{'' if self.threads == 1 else 's'}"


@dataclass(frozen=True)
class Tuning:
    """How the fastest way to train was found: `ways`, exact first, of which that at index `chosen` was taken, for `reason`.

    Of `possible` combinations only those are in `ways` whose parts were not slower alone. A step has `batch_size` pictures; it was
    measured on `images` and worked out. `tolerance` is the largest `gradient_error` that is accepted: see `core.measuring.rounding`.
    `prefix_share`: how often a picture goes through the layers before the border, as a share of the epochs (None: nothing is kept,
    every step computes everything). `busy_share` of the processor (0 to 1) was used by others. `remembered`: measured by an earlier
    run, in `measured_seconds`.
    """

    ways: tuple[Way, ...]
    chosen: int
    reason: str
    device: str
    possible: int
    steps: int
    batch_size: int
    images: int
    tolerance: float
    prefix_share: float | None
    busy_share: float
    measured_seconds: float
    remembered: bool = False

    @property
    def way(self) -> Way:
        """The way that was taken."""
        return self.ways[self.chosen]

    @property
    def measured(self) -> str:
        """'measured 9 of 12 ways in 5.8 s'."""
        count = sum(way.step_seconds is not None for way in self.ways)
        return f"measured {count} of {self.possible} ways in {self.measured_seconds:.1f} s" + (", in an earlier run" if self.remembered else "")

    def samples_per_second(self, way: Way) -> float | None:
        """Pictures a second, from `seconds`."""
        seconds = self.seconds(way)
        return self.batch_size / seconds if seconds else None

    def seconds(self, way: Way) -> float | None:
        """What a step costs on average over the run, computing features once included and compiling left out; None: not timed."""
        return None if way.step_seconds is None else way.step_seconds + (self.prefix_share or 0.0) * way.prefix_seconds

    def times_faster(self, way: Way) -> float | None:
        """How many exact steps take as long as one of `way`."""
        exact, own = self.seconds(self.ways[0]), self.seconds(way)
        return exact / own if exact and own else None


def applied(config: RunConfig, way: Way) -> RunConfig:
    """`config` as a run that was told to train in this way, instead of finding one: both do the same."""
    return config.replace(
        speed="exact",
        memory_format=way.memory_format,
        precision=way.precision,
        fused_optimizer=way.fused_optimizer,
        compile_model=way.compile_model,
        fold_norms=way.fold_norms,
        im2col_gradients=way.im2col_gradients,
        threads=way.threads,
    )
