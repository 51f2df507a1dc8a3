"""What the doctor knows of a run: findings with their remedies, and the two looks into a run that they rest on. Imports nothing of the project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["note", "warning", "serious"]
"""Worth knowing; something is probably wrong; the run is not doing what it is meant to."""

Evidence = Literal["loss", "gradient norms", "update ratio", "accuracy", "settings"]
"""Where a finding can be seen: a chart, or nothing but the settings and the data."""


@dataclass(frozen=True)
class Remedy:
    """What to do about a finding. `advice` says it in a sentence.

    `change` is a `core.config.plans.Change` that mends a run while it goes on, `settings` are fields of a `RunConfig` with which the next run
    would not have it; both are empty where there is no such thing.
    """

    advice: str
    change: str = ""
    settings: dict[str, bool | int | float | str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be with a run, as a rule of `core.doctor` found it. `cause` is a sentence with the real numbers.

    It is seen at steps `first_step` to `last_step` of `chart`, at `layers` (none: at all of them, or at none in particular).
    `since_step` is when it opened, `resolved_step` when it was gone (None: it is still there).
    """

    rule: str
    severity: Severity
    title: str
    cause: str
    false_alarm: str
    chart: Evidence
    first_step: int
    last_step: int
    layers: tuple[str, ...]
    remedy: Remedy
    since_step: int
    resolved_step: int | None = None

    @property
    def open(self) -> bool:
        """Whether it is still there."""
        return self.resolved_step is None

    @property
    def alarming(self) -> bool:
        """Whether it is more than a note."""
        return self.severity != "note"


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor knows after `step` steps: `findings`, worst first, the open ones before the resolved. `final`: the run is over.

    `rules` names the rules that were looked at.
    """

    step: int
    final: bool
    rules: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def open(self) -> tuple[Finding, ...]:
        """The findings that are still there."""
        return tuple(finding for finding in self.findings if finding.open)

    @property
    def resolved(self) -> tuple[Finding, ...]:
        """Those that are gone."""
        return tuple(finding for finding in self.findings if not finding.open)


@dataclass(frozen=True)
class Birth:
    """Where the first value came from that is not a number, found at step `step` by running its batch once more, layer by layer.

    `place`: the `weights` of `layer` were not finite before the step; its `output` was not, from inputs that were; the `loss` was not,
    from logits that were. "unknown": nothing of it came up again.
    """

    step: int
    place: Literal["weights", "output", "loss", "unknown"]
    layer: str = ""
    largest_input: float | None = None
    """The largest absolute value that went into the layer, or into the loss."""


@dataclass(frozen=True)
class Overlap:
    """Pictures of the `measured` set (validation or test) that are also in the training set, pixel for pixel: `shared` of `pictures`."""

    measured: Literal["validation", "test"]
    shared: int
    pictures: int
    other_label: int = 0
    """How many of them have another label there."""


@dataclass(frozen=True)
class Appearance:
    """How the `pictures` of a dataset of files come out as squares: `flat` of them in as good as one colour.

    `beyond` is the share (0 to 1) of a picture's area that lies beyond its middle square, the median of all.
    """

    pictures: int
    flat: int
    beyond: float
