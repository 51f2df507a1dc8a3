"""Brings what a job told (`report_lines`) into the store, in order and each line exactly once: lines and cursor change in one transaction.

Whoever looks may do it, and several at once: who finds that another was there in between has brought nothing in.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from core.records.events import RunStatus
from core.store.job_tables import Nesting, Unfit
from core.store.report_lines import LONGEST_LINE, BadReport, Call, read, whole
from core.store.run_store import RunStore

AT_ONCE = 4 << 20
"""Bytes of reports that are brought in in one transaction, or one line where that is longer: others wait for the lock meanwhile."""


class _Refused(Exception):
    """A line cannot be brought in."""


class ReportStore(Nesting, RunStore):
    """`RunStore` that brings in what jobs have told."""

    def bring_in(self, run_id: str, number: int, reports: Path) -> int:
        """Bring in what a job has told since the last time; returns the number of lines. A last line that is not whole waits for its rest.

        What cannot be brought in is kept as the job's trouble, and nothing behind it is read.

        Raises:
            StoreError: the store cannot be written; what was not brought in is at the next look.
        """
        lines = 0
        while (brought := self._bring_some(run_id, number, reports)) > 0:
            lines += brought
        return lines

    def _bring_some(self, run_id: str, number: int, reports: Path) -> int:
        start = self.imported(run_id, number)
        if start is None:
            return 0
        try:
            content = _read(reports, start)
        except FileNotFoundError:
            return 0
        except _Refused as refused:
            self.job_refused(run_id, number, str(refused))
            return 0
        except OSError:  # a folder of the network that is not there just now
            return 0
        texts = content.split(b"\n")[:-1]
        if not texts:
            return 0
        with self._transaction():
            if self.imported(run_id, number) != start:
                return 0
            at, skipped, trouble = start, 0, ""
            for text in texts:
                if whole(text):
                    trouble = self._carry_out(run_id, text)
                    if trouble:
                        break
                else:
                    skipped += bool(text)
                at += len(text) + 1
            self.set_imported(run_id, number, at, skipped)
            if trouble:
                self.job_refused(run_id, number, trouble)
        return 0 if trouble else len(texts)

    def _carry_out(self, run_id: str, text: bytes) -> str:
        """Do what a line says. Why it cannot be done, and nothing of it was; empty: it is."""
        try:
            with self._apart():
                self._apply(run_id, read(text))
        except (BadReport, Unfit) as error:
            return str(error)
        return ""

    def _apply(self, run_id: str, call: Call) -> None:
        at = min(call.at, time.time())
        if call.method == "acknowledge":
            number, step, error = call.arguments
            known = [command for command in self.commands(run_id) if command.id == number]
            if known:
                self.acknowledge(known[0], step, error)
            return
        if call.method == "append" and call.arguments[0].step[0] <= self.last_step(run_id):
            raise BadReport("it tells of steps that are there already")
        self._refuse_other_norms(run_id, call)
        getattr(self, call.method)(run_id, *call.arguments)
        if call.method == "begin":
            self.set_moments(run_id, started=at)
        elif call.method == "end":
            if call.arguments[0].active:
                raise BadReport(f"it says that the run has ended, and is {call.arguments[0]}")
            self.set_moments(run_id, ended=at)

    def _refuse_other_norms(self, run_id: str, call: Call) -> None:
        """Rows of norms must be as long as the model has tensors: whoever reads them cuts them by that."""
        match call.method:
            case "append":
                found = {len(call.arguments[0].blank), *(len(row.gradient_norms) for row in call.arguments[1])}
            case "append_change":
                found = {len(call.arguments[0].frozen)}
            case "set_status":
                if not call.arguments[0].active or call.arguments[0] is RunStatus.QUEUED:
                    raise BadReport(f"it says that the run is {call.arguments[0]} without an end")
                return
            case _:
                return
        plan = self.run(run_id).plan
        if plan is None or found != {len(plan.layers)}:
            raise BadReport("it tells of another model than the run has")


def _read(reports: Path, start: int) -> bytes:
    """What stands there from `start` on, at most `AT_ONCE` bytes or one line. Raises OSError, and `_Refused` with the reason."""
    with reports.open("rb") as file:
        size = file.seek(0, 2)
        if size < start:
            raise _Refused(f"the file of reports has become shorter ({size:,} bytes, {start:,} were read)")
        file.seek(start)
        content: Any = file.read(AT_ONCE)
        while b"\n" not in content and (more := file.read(AT_ONCE)):
            content += more
            if len(content) > LONGEST_LINE:
                raise _Refused(f"a line is longer than {LONGEST_LINE:,} bytes")
    return bytes(content)
