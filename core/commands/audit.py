"""`python -m core audit RUN`: what is frozen, what learns, and the proof."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from core.commands import Parsers
from core.commands.missing import missing
from core.machine.home import Home
from core.store import RunStore
from core.worker.supervisor import Supervisor

NAMES = ("audit",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    audit = commands.add_parser("audit", parents=[shared, as_json])
    audit.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out; exit status 1 where anything is not as it should be."""
    return _audit(home, arguments.run, arguments.json)


def _audit(home: Home, run_id: str, as_json: bool) -> int:
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    report = store.audit(run_id) or missing(store.run(run_id), "audit")
    if as_json:
        print(json.dumps({**asdict(report), "frozen_values": report.frozen_values, "values_changed": report.values_changed}))
    else:
        print(f"{'verdict':13} {'values':>12} {'gradient':>8} {'moved':>6} {'statistics':>10} {'mode':>6} {'since':>7}  tensor")
        for row in sorted(report.rows, key=lambda row: not row.verdict.fault):
            moved, statistics = ("-" if value is None else "yes" if value else "no" for value in (row.moved, row.statistics_moved))
            since = "-" if row.frozen_since is None else str(row.frozen_since)
            print(f"{row.verdict:13} {row.count:>12,} {row.gradient:>8} {moved:>6} {statistics:>10} {row.mode:>6} {since:>7}  {row.name}")
        looked = "every tensor compared" if report.complete else "compared so far"
        print(f"{report.values_changed:,} of {report.frozen_values:,} frozen values changed, after step {report.step:,} ({looked})")
    return 1 if any(row.verdict.fault for row in report.rows) else 0
