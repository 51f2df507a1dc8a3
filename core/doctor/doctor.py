"""Opens and closes findings: each rule is asked again and again as a run goes on, and believed when it says the same for a while."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.doctor.memory import memory_of, remember
from core.doctor.rule import Rule, Sign
from core.doctor.rules import RULES
from core.doctor.signs import Facts, Signs
from core.records.events import AuditReport, ChangeRow, EpochRow, RunPlan, StepBlock
from core.records.findings import Birth, Diagnosis, Finding, Overlap, Severity
from core.records.profile import StepTimes

LOOKS = 100
"""About how often the rules are asked in a run, as long as that is every 5 to 250 steps; at its beginning more often.

Runs of fewer than 100 steps are looked at every 1 to 4 steps, so that the shortest are looked at as well.
"""

EARLY = 20
"""They are asked again at the latest after this part of the steps so far: what goes wrong at the beginning is seen at the beginning."""

FREE = 20
"""Looks that are taken whatever they cost: at the beginning, and again after each of the first `CHANGES` changes."""

CHANGES = 5

SHARE = 0.15
"""Part of the budget for watching that the doctor may take. Where looks cost more, some are left out."""

RENEWED_SECONDS = 10.0
"""How often it is told that all is as before, so that nobody reads an old step."""

REFRESH_SECONDS = 3.0
"""How often a finding that is still the same is told again with its newest figures."""

MOST_RESOLVED = 20
"""Resolved findings that are kept."""

_MEMORY = ("seconds", "_due", "_resolved", "_epochs", "_looks", "_free", "_changes", "_left_out", "_looked", "_said")
"""What a doctor remembers besides its signs and cases."""

_ORDER: Mapping[Severity, int] = {"serious": 0, "warning": 1, "note": 2}


@dataclass
class Case:
    """What is known of one rule."""

    seen: int = 0
    missed: int = 0
    step: int = 0
    """The last step at which it was seen."""
    finding: Finding | None = None


@dataclass(frozen=True)
class Units:
    """The gradient rows of one look: `rows` float32[units] as in `core.signals.watch.Sample`, of the tensors that `frozen` leaves."""

    step: int
    frozen: NDArray[np.bool_]
    rows: NDArray[np.float32]


class Doctor:
    """Watches one run.

    Tell it what was seen, in the order of steps; `diagnosis` is what it makes of that, and `news` says whether that is worth telling. A rule
    that fails is left out from then on and never ends a run.

    Args:
        clock: seconds, of which the doctor takes no more than its share.
    """

    def __init__(
        self, config: RunConfig, plan: RunPlan, facts: Facts, rules: Mapping[str, Rule] = RULES, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.signs = Signs(config, plan, facts)
        self._least = min(5, max(plan.total_steps // EARLY, 1))
        self._every = min(max(plan.total_steps // LOOKS, self._least), 250)
        self._due = self._least  # the step at which the rules are asked next
        self.seconds = 0.0
        """What looking has cost so far."""
        self._rules = dict(sorted(rules.items(), key=lambda item: _depth(item[0], rules)))  # what others explain comes after them
        self._cases = {name: Case() for name in rules}
        self._resolved: list[Finding] = []
        self._epochs: list[EpochRow] = []
        self._clock = clock
        self._began = clock()
        self._looks = 0
        self._free = FREE - 1  # one is taken before the first step
        self._changes = 0
        self._left_out = False  # whether the last look that was due was not taken
        self._news = True
        self._fresh = False
        self._told = -REFRESH_SECONDS
        self._looked = self._said = 0  # the step of the last look, and of the last one that was told
        self._look()  # at what is known before the first step

    # What is told

    @property
    def news(self) -> bool:
        """Whether a finding opened, was resolved or got worse since the last `diagnosis`, or has other figures, or was looked at, since a while."""
        ago = self._clock() - self._told
        return self._news or (self._fresh and ago > REFRESH_SECONDS) or (self._looked > self._said and ago > RENEWED_SECONDS)

    def diagnosis(self) -> Diagnosis:
        """What is known now."""
        self._news = self._fresh = False
        self._told, self._said = self._clock(), self._looked
        found = sorted((case.finding for case in self._cases.values() if case.finding), key=lambda finding: _ORDER[finding.severity])
        return Diagnosis(self._looked, self.signs.final, tuple(self._rules), (*found, *reversed(self._resolved)))

    # What is seen

    def steps(self, block: StepBlock, units: Sequence[Units] = (), times: StepTimes | None = None) -> None:
        """Take some steps, what the looks among them saw of single units, and where the time of the newest ones went."""
        if not len(block):
            return
        began = self._clock()
        self.signs.times = times or self.signs.times
        waiting = list(units)
        first = 0
        numbers = block.step
        while first < len(block):
            due = self._due
            last = min(first + max(1, due - int(numbers[first]) + 1), len(block))
            self.signs.add(block, first, last)
            while waiting and waiting[0].step <= numbers[last - 1]:
                look = waiting.pop(0)
                place = int(block.gradient_norms.place[look.step - int(numbers[0])])
                self.signs.add_units(look.frozen, look.rows, block.gradient_norms.rows[place])
            if numbers[last - 1] >= due:
                self._due = due + min(max(due // EARLY, self._least), self._every)
                if self._may_look(began):
                    self._admit_epochs(due)
                    self._look()
            first = last
        self.seconds += self._clock() - began

    def epoch(self, row: EpochRow) -> None:
        """Take a finished epoch."""
        self._epochs.append(row)

    def change(self, row: ChangeRow) -> None:
        """Another plan holds from a step on. Call it after all steps before that one."""
        self._admit_epochs(row.step - 1)
        self.signs.change(row)
        for case in self._cases.values():
            case.seen = 0
        self._changes += 1
        if self._changes <= CHANGES:
            self._free = FREE
        self._due = min(self._due, row.step - 1 + self._least)

    def audited(self, report: AuditReport) -> None:
        """Take what the freeze audit found out."""
        self.signs.audit = report

    def born(self, birth: Birth) -> None:
        """Take where the first value came from that is not a number."""
        self.signs.birth = birth

    def left_over(self, step: int, names: Sequence[str]) -> None:
        """Take the names of tensors whose gradients are still there after step `step`."""
        if names and self.signs.left_over is None:
            self.signs.left_over = (step, tuple(names))

    def overlap(self, found: Sequence[Overlap]) -> None:
        """Take what was found out about pictures that are in two sets."""
        self.signs.overlaps = tuple(found)

    def finish(self) -> Diagnosis:
        """Look once more, at all there is, and say what came out: the run is over, well or not."""
        self.signs.final = True
        self._admit_epochs(None)
        self._look()
        return self.diagnosis()

    # What outlives a process

    def memory(self) -> dict[str, Any]:
        """All that it knows: plain values, arrays and records. Not changed by the doctor afterwards."""
        kept = {name: copy(getattr(self, name)) for name in _MEMORY}
        cases = {name: copy(case) for name, case in self._cases.items()}
        return {"signs": memory_of(self.signs), "cases": cases, "elapsed": self._clock() - self._began, **kept}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on where another doctor of the same run stood, which gave its `memory`."""
        remember(self.signs, memory["signs"])
        self._rules = {name: rule for name, rule in self._rules.items() if name in memory["cases"]}
        self._cases = {name: memory["cases"][name] for name in self._rules}
        self._began = self._clock() - memory["elapsed"]
        for name in _MEMORY:
            setattr(self, name, copy(memory[name]))
        self._news = True

    def _admit_epochs(self, step: int | None) -> None:
        """Let the rules see the epochs that ended by `step`, all of them for None."""
        while self._epochs and (step is None or self._epochs[0].step <= step):
            self.signs.epochs.append(self._epochs.pop(0))

    def _may_look(self, began: float) -> bool:
        now = self._clock()
        allowed = SHARE * self.signs.config.watch_budget * (now - self._began)
        may = self._free > 0 or self.signs.plan.total_steps <= LOOKS or self.seconds + now - began <= allowed
        self._free = max(self._free - 1, 0)
        self._left_out = not may
        return may

    def _look(self) -> None:
        """Ask each rule."""
        self._looks += 1
        self._looked = self.signs.step
        self.signs.looked()
        for name, rule in list(self._rules.items()):
            try:
                with np.errstate(all="ignore"):
                    sign = rule.look(self.signs)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                sys.stderr.write(f"The doctor's rule {name!r} failed and is left out from here on:\n{traceback.format_exc()}\n")
                del self._rules[name], self._cases[name]
                continue
            explained = sign is not None and any(self._is_open(other, sign.severity) for other in rule.explained_by)
            self._judge(rule, self._cases[name], None if explained else sign, explained)

    def _is_open(self, name: str, severity: Severity) -> bool:
        """Whether the rule `name` has an open finding at least as bad."""
        case = self._cases.get(name)
        return case is not None and case.finding is not None and _ORDER[case.finding.severity] <= _ORDER[severity]

    def _judge(self, rule: Rule, case: Case, sign: Sign | None, explained: bool = False) -> None:
        if sign is None:
            case.seen, case.missed = 0, case.missed + (1 if rule.ready(self.signs) else 0)
            # The last look decides where the ones before it were left out: what was not seen for two stretches is gone.
            late = self.signs.final and case.missed and (rule.last_word or self.signs.step - case.step >= 2 * self.signs.window)
            if case.finding and explained:  # it is not over: another finding, which is open, says it from here on
                case.finding, self._news = None, True
            elif case.finding and rule.clear is not None and (case.missed >= rule.clear or late):
                self._resolved = [*self._resolved, replace(case.finding, resolved_step=self.signs.step)][-MOST_RESOLVED:]
                case.finding, self._news = None, True
            return
        case.seen, case.missed, case.step = case.seen + 1, 0, self.signs.step
        # A run that was over before it could be looked at often, or that was not looked at just before, is believed at its last look.
        hold = 1 if sign.settled or (self.signs.final and (self._looks < 4 * rule.hold or self._left_out)) else rule.hold
        if case.finding is None and case.seen < hold:
            return
        finding = _finding(rule, sign, self.signs.step if case.finding is None else case.finding.since_step)
        if case.finding is not None and _ORDER[case.finding.severity] < _ORDER[finding.severity]:
            finding = replace(finding, severity=case.finding.severity)  # it stays as bad as it was while it is open
        self._news |= case.finding is None or case.finding.severity != finding.severity
        self._fresh |= finding != case.finding
        case.finding = finding


def _depth(name: str, rules: Mapping[str, Rule]) -> int:
    """How many rules may explain each other before it is known whether `name` is explained."""
    return 1 + max((_depth(other, rules) for other in rules[name].explained_by if other in rules), default=-1)


def _finding(rule: Rule, sign: Sign, since: int) -> Finding:
    return Finding(
        rule.name,
        sign.severity,
        rule.title,
        sign.cause,
        rule.false_alarm,
        sign.chart,
        sign.first_step,
        sign.last_step,
        sign.layers,
        sign.remedy,
        since,
    )
